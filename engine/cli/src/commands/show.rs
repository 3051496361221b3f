//! `show` and `files`: what is stored of one asset.

use std::sync::Arc;

use arrow::datatypes::Field;
use arrowsmith_definitions::Body;
use arrowsmith_execution::Engine;
use arrowsmith_io_manager::StoredTable;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use super::asset::find;
use crate::Exit;
use crate::args::{Format, QueryFormat};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, bytes, complain, count, print, print_batches, say};

pub(crate) async fn show(
    context: &Context,
    name: &str,
    limit: usize,
    format: Format,
) -> CommandResult {
    let engine = context.engine().await?;
    let asset = Arc::clone(&find(&engine, name)?.asset);
    let table = engine.table(&asset.key).await.map_err(|e| fail(&e))?;
    let session = SessionContext::new_with_state((**engine.session()).clone());
    let frame = session.read_table(table).and_then(|frame| frame.limit(0, Some(limit)));
    let stream = match frame {
        Ok(frame) => frame.execute_stream().await,
        Err(error) => Err(error),
    };
    let stream = stream.map_err(|error| {
        complain(&format!("`{}` cannot be read: {}", asset.key, error.find_root()));
        Exit::Failed
    })?;
    let rows_format = match format {
        Format::Table => QueryFormat::Table,
        Format::Json => QueryFormat::Json,
        Format::Ndjson => QueryFormat::Ndjson,
        Format::Csv => QueryFormat::Csv,
    };
    let schema = stream.schema();
    print_batches(stream, rows_format).await?;
    if format != Format::Table {
        return Ok(Exit::Ok);
    }
    let stored = if asset.is_external() {
        None
    } else {
        Some(engine.current(&asset.key).await.map_err(|e| fail(&e))?.stored)
    };
    let columns = &["column", "type", "nulls", "min", "max"];
    let mut rows = Rows::new("arrowsmith.columns.v1", columns);
    for field in schema.fields() {
        let statistics = stored.as_deref().map(|stored| statistics(stored, field));
        let [nulls, min, max] = statistics.unwrap_or([Value::Null, Value::Null, Value::Null]);
        rows.push(vec![json!(field.name()), json!(field.data_type().to_string()), nulls, min, max]);
    }
    print("")?;
    rows.print(Format::Table)?;
    if let Some(stored) = stored {
        let (total, size) = (count(stored.row_count), bytes(stored.size_bytes));
        say(&format!("{total} rows, {size} in {} files", stored.files.len()));
    }
    Ok(Exit::Ok)
}

/// Nulls, minimum and maximum over all files, as far as every file knows them.
fn statistics(stored: &StoredTable, field: &Field) -> [Value; 3] {
    let mut nulls = Some(0_u64);
    let (mut min, mut max): (Option<ScalarValue>, Option<ScalarValue>) = (None, None);
    let mut known = !stored.files.is_empty();
    for file in stored.files.iter().filter(|file| file.row_count > 0) {
        let column = file.columns.get(field.name());
        nulls = nulls.zip(column.and_then(|c| c.null_count)).map(|(a, b)| a + b);
        let scalar = |text: Option<&String>| {
            ScalarValue::try_from_string(text?.clone(), field.data_type()).ok()
        };
        let all_null = column.is_some_and(|c| c.null_count == Some(file.row_count));
        let (low, high) = (
            scalar(column.and_then(|c| c.min.as_ref())),
            scalar(column.and_then(|c| c.max.as_ref())),
        );
        known &= all_null || (low.is_some() && high.is_some());
        if let Some(low) = low {
            min = Some(min.filter(|min| *min <= low).unwrap_or(low));
        }
        if let Some(high) = high {
            max = Some(max.filter(|max| *max >= high).unwrap_or(high));
        }
    }
    let shown =
        |value: Option<ScalarValue>| json!(value.filter(|_| known).map(|value| value.to_string()));
    [json!(nulls), shown(min), shown(max)]
}

/// The JSON form of a listing of files, and its columns.
const FILES: &str = "arrowsmith.files.v1";
const FILE_COLUMNS: &[&str] = &["file", "rows", "bytes", "partition"];

pub(crate) async fn files(context: &Context, name: &str, format: Format) -> CommandResult {
    let engine = context.engine().await?;
    let asset = Arc::clone(&find(&engine, name)?.asset);
    if let Body::External(source) = &asset.body {
        // Nothing is known of single files of a source; its path or glob is what is read.
        let location = source.location();
        if format == Format::Table {
            print(&location)?;
            return Ok(Exit::Ok);
        }
        let mut rows = Rows::new(FILES, FILE_COLUMNS);
        rows.push(vec![json!(location), Value::Null, Value::Null, Value::Null]);
        rows.print(format)?;
        return Ok(Exit::Ok);
    }
    let made = engine.current(&asset.key).await.map_err(|e| fail(&e))?;
    let locations = locate(&engine, &made.io_manager, &made.stored);
    if format == Format::Table {
        // Plain lines, since another program reads them.
        locations.iter().try_for_each(|location| print(location))?;
        return Ok(Exit::Ok);
    }
    let mut rows = Rows::new(FILES, FILE_COLUMNS);
    for (location, file) in locations.iter().zip(&made.stored.files) {
        let partition = json!(file.partition);
        rows.push(vec![json!(location), json!(file.row_count), json!(file.size_bytes), partition]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

fn locate(engine: &Engine, manager: &str, stored: &StoredTable) -> Vec<String> {
    let manager = engine.resolved.io_managers.get(manager);
    manager.map(|manager| manager.locate(stored)).unwrap_or_default()
}
