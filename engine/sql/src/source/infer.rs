//! The columns of files that nobody has declared.
//!
//! Every file of a source is looked at, and what is found does not depend on their order.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::Session;
use datafusion::datasource::file_format::FileFormat;
use datafusion::error::Result;
use object_store::{ObjectMeta, ObjectStore};

use super::{Format, SourceSettings};

/// The schema of all files together; the error names the file that does not fit.
pub(super) async fn infer(
    settings: &SourceSettings,
    format: &Arc<dyn FileFormat>,
    session: &dyn Session,
    store: &Arc<dyn ObjectStore>,
    objects: &[ObjectMeta],
) -> Result<Result<SchemaRef, String>> {
    let mut merged: Option<SchemaRef> = None;
    for object in objects {
        let found = format.infer_schema(session, store, std::slice::from_ref(object)).await?;
        let found = Arc::new(plain(&found));
        merged = Some(match merged {
            None => found,
            Some(before) => match merge(settings.format, &before, &found) {
                Ok(schema) => Arc::new(schema),
                Err(reason) => {
                    let file = object.location.filename().unwrap_or_default();
                    return Ok(Err(format!("`{file}` does not fit the files before it: {reason}")));
                }
            },
        });
    }
    // A column of which only nulls were seen is a text, which any later value can be.
    let schema = merged.unwrap_or_else(|| Arc::new(Schema::empty()));
    let settled = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Null => field.as_ref().clone().with_data_type(DataType::Utf8),
        _ => field.as_ref().clone(),
    });
    Ok(Ok(Arc::new(Schema::new(settled.collect::<Vec<_>>()))))
}

/// Without metadata of files and with plain texts, so that inference says the same of each.
fn plain(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| {
        let data_type = match field.data_type() {
            DataType::Utf8View => DataType::Utf8,
            DataType::BinaryView => DataType::Binary,
            other => other.clone(),
        };
        Field::new(field.name(), data_type, field.is_nullable())
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn merge(format: Format, a: &Schema, b: &Schema) -> Result<Schema, String> {
    if format == Format::Csv {
        let names = |s: &Schema| s.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>();
        let (before, found) = (names(a), names(b));
        if before != found {
            let differing = before.iter().zip(&found).find(|(x, y)| x != y);
            return Err(match differing {
                Some((x, y)) => format!("it has column `{y}` where they have `{x}`"),
                None => format!("it has {} columns, not {}", found.len(), before.len()),
            });
        }
    }
    let mut fields: Vec<Field> = Vec::new();
    for field in a.fields() {
        let other = b.field_with_name(field.name()).ok();
        let data_type = match other {
            Some(other) => {
                common_type(format, field.data_type(), other.data_type()).ok_or_else(|| {
                    format!(
                        "column `{}` is {}, not {}",
                        field.name(),
                        other.data_type(),
                        field.data_type()
                    )
                })?
            }
            None => field.data_type().clone(),
        };
        let nullable = field.is_nullable() || other.is_none_or(Field::is_nullable);
        fields.push(Field::new(field.name(), data_type, nullable));
    }
    for field in b.fields() {
        if a.field_with_name(field.name()).is_err() {
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }
    }
    Ok(Schema::new(fields))
}

/// Formats without types widen; those with types must agree.
fn common_type(format: Format, a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    Some(match (a, b) {
        _ if a == b => a.clone(),
        (T::Null, other) | (other, T::Null) => other.clone(),
        _ if matches!(format, Format::Parquet | Format::Arrow) => return None,
        (T::Int64, T::Float64) | (T::Float64, T::Int64) => T::Float64,
        (T::Date32, T::Timestamp(..)) => b.clone(),
        (T::Timestamp(..), T::Date32) => a.clone(),
        _ => T::Utf8,
    })
}
