//! Values as texts and back, for formats and databases that speak in text.

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

/// The only column of a JSON line.
const VALUE: &str = "v";

/// Whether values of a type have a text from which they come back equal.
pub fn has_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(inner) | DataType::LargeList(inner) => has_text(inner.data_type()),
        DataType::Struct(fields) => fields.iter().all(|field| has_text(field.data_type())),
        DataType::Dictionary(_, value) => has_text(value),
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

/// A column as texts: numbers and moments so that they come back equal, moments as RFC 3339, lists
/// and structs as JSON. A null is null.
///
/// # Errors
/// Arrow's, if a value has no text.
pub fn to_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    if column.data_type().is_nested() {
        return json_texts(column);
    }
    Ok(cast_with_options(column, &DataType::Utf8, &options())?.as_string().clone())
}

/// Texts as a column of a type.
///
/// # Errors
/// Arrow's, if a text is no value of the type.
pub fn from_texts(texts: &StringArray, field: &Field) -> Result<ArrayRef, ArrowError> {
    if field.data_type().is_nested() {
        return from_json(texts, field);
    }
    cast_with_options(texts, field.data_type(), &options())
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
    let lines = text.lines().enumerate();
    Ok(lines.map(|(row, line)| (!column.is_null(row)).then_some(line)).collect())
}

fn from_json(texts: &StringArray, field: &Field) -> Result<ArrayRef, ArrowError> {
    let value = Field::new(VALUE, field.data_type().clone(), true);
    let schema = Arc::new(Schema::new(vec![value]));
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
