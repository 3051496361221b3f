//! A stored file as an action of a Delta log.

use std::time::UNIX_EPOCH;

use arrow::datatypes::{DataType, Schema};
use arrowsmith_io_manager::{ColumnStatistics, StoredFile, StoredTable};
use deltalake::kernel::Add;
use serde_json::{Map, Value, json};

/// The path of a file below the table, as a Delta log and the store know it.
pub(crate) fn path_in_table(stored: &StoredTable, file: &StoredFile) -> String {
    format!("{}/{}", stored.version, file.path)
}

/// The action that adds a file to a table.
pub(crate) fn add(stored: &StoredTable, file: &StoredFile) -> Add {
    let created = stored.version.created_at().duration_since(UNIX_EPOCH).unwrap_or_default();
    Add {
        path: path_in_table(stored, file),
        partition_values: file.partition.clone().into_iter().collect(),
        size: file.size_bytes.try_into().unwrap_or(i64::MAX),
        modification_time: created.as_millis().try_into().unwrap_or(i64::MAX),
        data_change: true,
        stats: Some(statistics(stored.schema.arrow(), file).to_string()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    }
}

/// Statistics of a file, by which readers skip it.
fn statistics(schema: &Schema, file: &StoredFile) -> Value {
    let (mut mins, mut maxes, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (name, known) in &file.columns {
        let Ok(field) = schema.field_with_name(name) else { continue };
        let ColumnStatistics { null_count, min, max } = known;
        let value = |text: &Option<String>| json_value(field.data_type(), text.as_deref()?);
        nulls.extend(null_count.map(|count| (name.clone(), json!(count))));
        mins.extend(value(min).map(|min| (name.clone(), min)));
        maxes.extend(value(max).map(|max| (name.clone(), max)));
    }
    json!({
        "numRecords": file.row_count, "minValues": mins, "maxValues": maxes, "nullCount": nulls,
    })
}

/// A value as Delta writes it in statistics, where its text is the same in both.
fn json_value(data_type: &DataType, text: &str) -> Option<Value> {
    match data_type {
        DataType::Int8
        | DataType::Int16
        | DataType::Int32
        | DataType::Int64
        | DataType::Float32
        | DataType::Float64
        | DataType::Decimal128(..) => serde_json::from_str(text).ok().filter(Value::is_number),
        DataType::Date32 | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some(Value::from(text))
        }
        _ => None,
    }
}
