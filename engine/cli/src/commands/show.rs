//! `show` and `files`: what is stored of one asset.

use std::sync::Arc;

use arrow::datatypes::Field;
use arrowsmith_definitions::{Asset, Body};
use arrowsmith_execution::Engine;
use arrowsmith_instance::Materialization;
use arrowsmith_io_manager::StoredTable;
use datafusion::common::ScalarValue;
use datafusion::prelude::SessionContext;
use serde_json::{Value, json};

use super::asset::find;
use crate::Exit;
use crate::args::{Format, PartitionArgs, QueryFormat};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, bytes, complain, count, print, print_batches, say};

pub(crate) async fn show(
    context: &Context,
    name: &str,
    limit: usize,
    partitions: &PartitionArgs,
    format: Format,
) -> CommandResult {
    let engine = context.engine().await?;
    let asset = Arc::clone(&find(&engine, name)?.asset);
    let current = current(&engine, &asset, partitions).await?;
    let table = match &current {
        Some(current) => engine.table_of_versions(&asset.key, current),
        None => engine.table(&asset.key).await,
    };
    let table = table.map_err(|e| fail(&e))?;
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
    let columns = &["column", "type", "nulls", "min", "max"];
    let mut rows = Rows::new("arrowsmith.columns.v1", columns);
    for field in schema.fields() {
        let statistics = current.as_ref().map(|current| statistics(current, field));
        let [nulls, min, max] = statistics.unwrap_or([Value::Null, Value::Null, Value::Null]);
        rows.push(vec![json!(field.name()), json!(field.data_type().to_string()), nulls, min, max]);
    }
    print("")?;
    rows.print(Format::Table)?;
    if let Some(current) = current {
        let sum = |of: fn(&StoredTable) -> u64| current.iter().map(|made| of(&made.stored)).sum();
        let (total, size) = (count(sum(|s| s.row_count)), bytes(sum(|s| s.size_bytes)));
        say(&format!("{total} rows, {size} in {} files", sum(|s| s.files.len() as u64)));
    }
    Ok(Exit::Ok)
}

/// Nulls, minimum and maximum over all files, as far as every file knows them.
fn statistics(current: &[Materialization], field: &Field) -> [Value; 3] {
    let files = || current.iter().flat_map(|made| &made.stored.files);
    let mut nulls = Some(0_u64);
    let (mut min, mut max): (Option<ScalarValue>, Option<ScalarValue>) = (None, None);
    let mut known = files().next().is_some();
    for file in files().filter(|file| file.row_count > 0) {
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

pub(crate) async fn files(
    context: &Context,
    name: &str,
    partitions: &PartitionArgs,
    format: Format,
) -> CommandResult {
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
    let Some(current) = current(&engine, &asset, partitions).await? else {
        complain(&format!("`{}` is a view, which stores no files", asset.key));
        return Err(Exit::Usage);
    };
    let mut rows = Rows::new(FILES, FILE_COLUMNS);
    for made in &current {
        let locations = locate(&engine, &made.io_manager, &made.stored);
        if format == Format::Table {
            // Plain lines, since another program reads them.
            locations.iter().try_for_each(|location| print(location))?;
            continue;
        }
        for (location, file) in locations.iter().zip(&made.stored.files) {
            let partition = match &file.partition_key {
                Some(key) => json!(key),
                None => json!(file.partition),
            };
            let (count, size) = (json!(file.row_count), json!(file.size_bytes));
            rows.push(vec![json!(location), count, size, partition]);
        }
    }
    if format != Format::Table {
        rows.print(format)?;
    }
    Ok(Exit::Ok)
}

/// What is current of an asset, or of some of its partitions; `None` if it is only read.
async fn current(
    engine: &Engine,
    asset: &Asset,
    partitions: &PartitionArgs,
) -> CommandResult<Option<Vec<Materialization>>> {
    if !asset.is_materializable() {
        return Ok(None);
    }
    let expr = super::partitions::expression(partitions)?;
    let current = engine.current_of(&asset.key, expr.as_ref()).await;
    current.map(Some).map_err(|e| fail(&e))
}

fn locate(engine: &Engine, manager: &str, stored: &StoredTable) -> Vec<String> {
    let manager = engine.resolved.io_managers.get(manager);
    manager.map(|manager| manager.locate(stored)).unwrap_or_default()
}
