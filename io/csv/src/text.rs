//! Values as texts and back.

use std::io::BufReader;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::writer::{LineDelimited, WriterBuilder};
use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;

const NULL: &str = "\\N";
/// The only column of a JSON line.
const VALUE: &str = "v";

/// Whether values of a type have a text from which they come back equal.
pub(crate) fn fits(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(inner) | DataType::LargeList(inner) => fits(inner.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| fits(field.data_type())),
        DataType::Dictionary(_, value) => fits(value),
        other => {
            other.is_numeric()
                || matches!(
                    other,
                    DataType::Null
                        | DataType::Boolean
                        | DataType::Utf8
                        | DataType::LargeUtf8
                        | DataType::Utf8View
                        | DataType::Date32
                        | DataType::Date64
                        | DataType::Timestamp(..)
                        | DataType::Time32(_)
                        | DataType::Time64(_)
                )
        }
    }
}

fn options() -> CastOptions<'static> {
    CastOptions { safe: false, format_options: FormatOptions::default() }
}

/// A column as texts, none of which is null.
pub(crate) fn encode(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = if column.data_type().is_nested() {
        json_texts(column)?
    } else {
        let texts = cast_with_options(column, &DataType::Utf8, &options())?;
        let escaped = texts.as_string::<i32>().iter().map(|text| match text {
            None => NULL.to_owned(),
            Some(text) if text.starts_with('\\') => format!("\\{text}"),
            Some(text) => text.to_owned(),
        });
        StringArray::from_iter_values(escaped)
    };
    Ok(Arc::new(texts))
}

/// Texts as a column of a type.
pub(crate) fn decode(texts: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let texts = texts.as_string::<i32>();
    let plain = texts.iter().map(|text| match text {
        Some(NULL) => None,
        // The reader takes an empty text for null.
        None => Some(""),
        Some(text) => Some(text.strip_prefix('\\').unwrap_or(text)),
    });
    let plain: ArrayRef = Arc::new(plain.collect::<StringArray>());
    if field.data_type().is_nested() {
        return from_json(&plain, field);
    }
    cast_with_options(&plain, field.data_type(), &options())
}

fn json_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let field = Field::new(VALUE, column.data_type().clone(), true);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::clone(column)])?;
    let builder = WriterBuilder::new().with_explicit_nulls(true);
    let mut writer = builder.build::<_, LineDelimited>(Vec::new());
    writer.write(&batch)?;
    writer.finish()?;
    let text = String::from_utf8(writer.into_inner())
        .map_err(|error| ArrowError::ExternalError(error.into()))?;
    let lines = text
        .lines()
        .enumerate()
        .map(|(row, line)| if column.is_null(row) { NULL.to_owned() } else { line.to_owned() });
    Ok(lines.map(Some).collect())
}

fn from_json(texts: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let value = Field::new(VALUE, field.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![value]));
    let texts = texts.as_string::<i32>();
    let lines: Vec<&str> = texts.iter().map(|text| text.unwrap_or("{\"v\":null}")).collect();
    let text = lines.join("\n");
    let reader = ReaderBuilder::new(schema)
        .with_batch_size(texts.len().max(1))
        .build(BufReader::new(text.as_bytes()))?;
    match reader.into_iter().next().transpose()? {
        Some(batch) => Ok(Arc::clone(batch.column(0))),
        None => Ok(new_null_array(field.data_type(), 0)),
    }
}
