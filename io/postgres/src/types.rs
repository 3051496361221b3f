//! Columns of Arrow as columns of PostgreSQL.

use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrowsmith_io_manager::{Error, Result, has_text};

use crate::database::identifier;

/// The column of a partitioned version that says to which partition a row belongs.
pub(crate) const PARTITION: &str = "_arrowsmith_partition";

/// Bytes of a name that PostgreSQL keeps; longer ones are cut off.
const NAME_BYTES_MAX: usize = 63;

/// Columns of a PostgreSQL table have at most this many.
const COLUMNS_MAX: usize = 1600;

/// The definitions of the columns of a table, as in `create table`.
///
/// # Errors
/// `Unwritable` for the first column that PostgreSQL cannot hold.
pub(crate) fn columns(table: &str, schema: &Schema) -> Result<Vec<String>> {
    let unwritable = |reason| Error::Unwritable { table: table.to_owned(), reason };
    if schema.fields().len() >= COLUMNS_MAX {
        let many = schema.fields().len();
        return Err(unwritable(format!("it has {many} columns, and PostgreSQL allows 1,600")));
    }
    let mut columns = Vec::new();
    for field in schema.fields() {
        let (name, data_type) = (field.name(), field.data_type());
        if name.len() > NAME_BYTES_MAX || name == PARTITION || name.contains('\0') {
            let reason = format!("`{name}` is no name that PostgreSQL can keep as it is");
            return Err(unwritable(reason));
        }
        let Some(kind) = kind(data_type) else {
            let reason = format!("`{name}` is {data_type}, which PostgreSQL cannot hold");
            return Err(unwritable(reason));
        };
        let null = if field.is_nullable() { "" } else { " not null" };
        columns.push(format!("{} {kind}{null}", identifier(name)));
    }
    Ok(columns)
}

/// The type of a column.
pub(crate) fn kind(data_type: &DataType) -> Option<String> {
    let kind = match data_type {
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64 => "numeric(20)",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => return Some(format!("numeric({p}, {s})")),
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Dictionary(_, value) => return kind(value),
        nested if nested.is_nested() && has_text(nested) => "json",
        _ => return None,
    };
    Some(kind.to_owned())
}

/// Whether values are counted in nanoseconds, of which PostgreSQL keeps only whole microseconds.
pub(crate) fn has_nanoseconds(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Timestamp(TimeUnit::Nanosecond, _) | DataType::Time64(TimeUnit::Nanosecond)
    )
}
