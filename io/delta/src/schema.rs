//! Which columns a Delta table can have.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef, Fields, Schema, TimeUnit};
use arrowsmith_io_manager::{Error, Result};
use deltalake::kernel::engine::arrow_conversion::TryFromArrow;
use deltalake::kernel::{Protocol, StructType, contains_timestampntz};
use serde_json::json;

/// The columns of a Delta table.
///
/// # Errors
/// `Unwritable` for the first column that Delta cannot hold with all its values: unsigned and 256-bit
/// numbers, times, durations, nanoseconds and other units than microseconds.
pub(crate) fn delta_schema(table: &str, schema: &Schema) -> Result<StructType> {
    let unwritable = |reason| Error::Unwritable { table: table.to_owned(), reason };
    for field in schema.fields() {
        if let Some((part, hint)) = misfit(field.data_type()) {
            let (name, whole) = (field.name(), field.data_type());
            let of = if part == whole { String::new() } else { format!(" of {whole}") };
            let reason = format!("`{name}` is {part}{of}, which Delta cannot hold; {hint}");
            return Err(unwritable(reason));
        }
    }
    let fields = schema.fields().iter().map(in_utc).collect::<Fields>();
    StructType::try_from_arrow(&Schema::new(fields)).map_err(|error| {
        // Behind the first line comes where in the library it happened.
        let said = error.to_string();
        unwritable(format!("Delta says: {}", said.lines().next().unwrap_or_default()))
    })
}

/// The field with its moments in UTC, as Delta has them: it keeps the moment, not the zone.
fn in_utc(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("UTC".into())),
        DataType::List(inner) => DataType::List(in_utc(inner)),
        DataType::LargeList(inner) => DataType::LargeList(in_utc(inner)),
        DataType::FixedSizeList(inner, size) => DataType::FixedSizeList(in_utc(inner), *size),
        DataType::Map(inner, sorted) => DataType::Map(in_utc(inner), *sorted),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(in_utc).collect()),
        DataType::Dictionary(key, value) => {
            let value = Arc::new(field.as_ref().clone().with_data_type((**value).clone()));
            DataType::Dictionary(key.clone(), Box::new(in_utc(&value).data_type().clone()))
        }
        _ => return Arc::clone(field),
    };
    Arc::new(field.as_ref().clone().with_data_type(data_type))
}

/// The part of a type that a Delta table cannot hold, and what can be done.
fn misfit(data_type: &DataType) -> Option<(&DataType, &'static str)> {
    let hint = match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, _) => return None,
        DataType::Timestamp(..) => "`cast(… as timestamp(6))` has microseconds",
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => "cast it to a larger signed one",
        DataType::UInt64 => "cast it to `bigint` or `decimal(20, 0)`",
        DataType::Decimal256(..) => "cast it to `decimal(38, …)`",
        DataType::Time32(_) | DataType::Time64(_) => "cast it to text, or to a number of seconds",
        DataType::Null => "cast it to a type",
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => return misfit(inner.data_type()),
        DataType::Struct(fields) => return fields.iter().find_map(|f| misfit(f.data_type())),
        DataType::Dictionary(_, value) => return misfit(value),
        DataType::Boolean
        | DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_)
        | DataType::Date32 => return None,
        _ => "cast it to another type",
    };
    Some((data_type, hint))
}

/// What a reader must understand of these columns.
pub(crate) fn protocol(schema: &StructType) -> serde_json::Result<Protocol> {
    serde_json::from_value(if contains_timestampntz(schema.fields()) {
        json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": ["timestampNtz"], "writerFeatures": ["timestampNtz"],
        })
    } else {
        json!({ "minReaderVersion": 1, "minWriterVersion": 2 })
    })
}
