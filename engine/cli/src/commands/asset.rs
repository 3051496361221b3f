//! `asset list|show`.

use std::collections::BTreeSet;

use arrowsmith_definitions::{AssetKey, Materialized, ResolvedAsset, Selection};
use arrowsmith_execution::{AssetPartitions, Engine, Error};
use arrowsmith_instance::Materialization;
use arrowsmith_io_manager::Version;
use serde_json::{Value, json};

use crate::Exit;
use crate::args::{AssetCommand, Format};
use crate::context::{CommandResult, Context, fail};
use crate::diagnostics::report;
use crate::output::{Rows, bytes, complain, count, heat_map, moment, print, print_document, say};

pub(crate) async fn asset(context: &Context, command: AssetCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        AssetCommand::List { selection, format } => {
            list(&engine, &selection.join(" or "), format.format).await
        }
        AssetCommand::Show { asset, format } => show(&engine, &asset, format.format).await,
        AssetCommand::Versions { asset, limit, format } => {
            versions(&engine, &asset, limit, format.format).await
        }
        AssetCommand::Rollback { asset, to } => rollback(&engine, &asset, to.as_deref()).await,
    }
}

/// The asset of a name; a wrong name is told with the nearest.
pub(crate) fn find<'a>(engine: &'a Engine, name: &str) -> CommandResult<&'a ResolvedAsset> {
    engine.resolved.find(name).map_err(|diagnostic| {
        report(&[diagnostic]);
        Exit::Usage
    })
}

/// The assets of a selection, where empty means all.
pub(crate) fn select(engine: &Engine, selection: &str) -> CommandResult<BTreeSet<AssetKey>> {
    if selection.is_empty() {
        return Ok(engine.resolved.assets.keys().cloned().collect());
    }
    let parsed = selection.parse::<Selection>();
    let selected = parsed.and_then(|parsed| parsed.evaluate(&engine.resolved));
    selected.map_err(|source| fail(&Error::Selection { text: selection.to_owned(), source }))
}

async fn list(engine: &Engine, selection: &str, format: Format) -> CommandResult {
    let selected = select(engine, selection)?;
    let pointers = engine.instance.pointers(&engine.environment).await;
    let pointers = pointers.map_err(|e| fail(&e.into()))?;
    let totals = engine.instance.partition_totals(&engine.environment).await;
    let totals = totals.map_err(|e| fail(&e.into()))?;
    let columns = &["asset", "group", "kinds", "columns", "rows", "bytes", "materialized"];
    let mut rows = Rows::new("arrowsmith.assets.v1", columns);
    for key in &selected {
        let resolved = &engine.resolved.assets[key];
        let current = match resolved.asset.partitions {
            Some(_) => {
                let total = totals.get(key.as_str());
                total.map(|total| (total.row_count, total.size_bytes, total.published_at))
            }
            None => {
                let pointer = pointers.get(key.as_str());
                // What was appended stands beside it.
                let more = totals.get(key.as_str()).copied().unwrap_or_default();
                pointer.map(|p| {
                    let at = p.published_at.max(more.published_at);
                    (p.row_count + more.row_count, p.size_bytes + more.size_bytes, at)
                })
            }
        };
        let materialized = match (resolved.asset.is_external(), current) {
            (true, _) => json!("source"),
            _ if resolved.asset.materialized == Materialized::View => json!("view"),
            (false, Some((.., published_at))) => json!(moment(published_at)),
            (false, None) => Value::Null,
        };
        rows.push(vec![
            json!(key.to_string()),
            json!(resolved.asset.attributes.group),
            json!(resolved.asset.attributes.kinds),
            json!(resolved.schema.as_ref().map(|schema| schema.fields().len())),
            json!(current.map(|(rows, ..)| rows)),
            json!(current.map(|(_, bytes, _)| bytes)),
            materialized,
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

async fn show(engine: &Engine, name: &str, format: Format) -> CommandResult {
    let resolved = find(engine, name)?;
    let asset = &resolved.asset;
    let key = &asset.key;
    let said = &asset.attributes;
    let names = |keys: Vec<AssetKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
    let reads = names(engine.resolved.graph.upstream(key));
    let read_by = names(engine.resolved.graph.downstream(key));
    let partitions = engine.partitions(key).await.map_err(|e| fail(&e))?;
    let made = match &partitions {
        // The versions of many partitions are many manifests, which nobody asked for.
        Some(_) => None,
        None if asset.materialized == Materialized::View => None,
        None => match engine.current(key).await {
            Ok(mut made) => made.pop(),
            Err(Error::NotMaterialized { .. }) => None,
            Err(error) => return Err(fail(&error)),
        },
    };
    let columns = columns_document(resolved);
    let current = made.as_ref().map(current_document);
    if format != Format::Table {
        let document = json!({
            "key": key.to_string(), "description": said.description, "group": said.group,
            "tags": said.tags, "owners": said.owners, "kinds": said.kinds,
            "metadata": said.metadata, "place": asset.place.as_ref().map(ToString::to_string),
            "reads": reads, "read_by": read_by, "columns": columns, "current": current,
            "partitions": partitions.as_ref().map(partitions_document),
        });
        print_document("arrowsmith.asset.v1", "asset", &document)?;
        return Ok(Exit::Ok);
    }
    print(key.as_str())?;
    let line = |name: &str, text: String| {
        if text.is_empty() { Ok(()) } else { print(&format!("  {name:<13}{text}")) }
    };
    line("description", said.description.clone().unwrap_or_default())?;
    line("group", said.group.clone().unwrap_or_default())?;
    line("kinds", said.kinds.iter().cloned().collect::<Vec<_>>().join(", "))?;
    line("owners", said.owners.iter().cloned().collect::<Vec<_>>().join(", "))?;
    let tag = |(tag, value): (&String, &String)| match value.as_str() {
        "" => tag.clone(),
        value => format!("{tag}={value}"),
    };
    line("tags", said.tags.iter().map(tag).collect::<Vec<_>>().join(", "))?;
    line("defined", asset.place.as_ref().map(ToString::to_string).unwrap_or_default())?;
    line("reads", reads.join(", "))?;
    line("read by", read_by.join(", "))?;
    if asset.materialized != Materialized::Table {
        line("stored as", asset.materialized.name().to_owned())?;
    }
    if let Some(partitions) = &partitions {
        line("partitions", partitions.definition.to_string())?;
        print_partitions(partitions, asset.is_external())?;
    } else if let Some(made) = &made {
        let (rows, size) = (count(made.stored.row_count), bytes(made.stored.size_bytes));
        let (at, run) = (moment(made.created_at), made.run_id.short());
        line("materialized", format!("{at} by run {run}: {rows} rows, {size}"))?;
        line("version", made.stored.version.to_string())?;
    } else if asset.is_materializable() {
        line("materialized", "never".to_owned())?;
    }
    print_columns(columns.unwrap_or_default())?;
    Ok(Exit::Ok)
}

async fn versions(engine: &Engine, name: &str, limit: u32, format: Format) -> CommandResult {
    let key = &find(engine, name)?.asset.key;
    let stored = engine.instance.versions(key.as_str(), None, limit).await;
    let columns = &["version", "published", "run", "rows", "bytes", "partitions", "removed"];
    let mut rows = Rows::new("arrowsmith.versions.v1", columns);
    for row in stored.map_err(|e| fail(&e.into()))? {
        rows.push(vec![
            json!(row.version),
            json!(moment(row.created_at)),
            json!(row.run_id.short()),
            json!(row.row_count),
            json!(row.size_bytes),
            json!((row.partitions > 0).then_some(row.partitions)),
            json!(row.removed),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

async fn rollback(engine: &Engine, name: &str, version: Option<&str>) -> CommandResult {
    let key = &find(engine, name)?.asset.key;
    let version = match version {
        Some(text) => text.parse::<Version>().map_err(|_| {
            complain(&format!(
                "`{text}` is no version; `arrowsmith asset versions {key}` lists them"
            ));
            Exit::Usage
        })?,
        None => before_current(engine, key).await?,
    };
    let run = engine.roll_back(key, version).await.map_err(|e| fail(&e))?;
    say(&format!("{key} is at version {version} again, by run {}", run.short()));
    Ok(Exit::Ok)
}

/// The newest stored version that is older than what is current.
async fn before_current(engine: &Engine, key: &AssetKey) -> CommandResult<Version> {
    let current = engine.current(key).await.map_err(|e| fail(&e))?;
    let newest = current.iter().map(|made| made.stored.version).max();
    let stored = engine.instance.versions(key.as_str(), None, u32::from(u8::MAX)).await;
    let stored = stored.map_err(|e| fail(&e.into()))?;
    let mut older =
        stored.iter().filter(|row| !row.removed).filter_map(|row| row.version.parse().ok());
    older.find(|version: &Version| Some(*version) < newest).ok_or_else(|| {
        complain(&format!("`{key}` has no older version that is still stored"));
        Exit::Failed
    })
}

fn columns_document(resolved: &ResolvedAsset) -> Option<Vec<Value>> {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| {
        json!({
            "name": field.name(),
            "type": field.data_type().to_string(),
            "nullable": field.is_nullable(),
            "description": resolved.asset.attributes.columns.get(field.name()),
        })
    };
    Some(resolved.schema.as_ref()?.fields().iter().map(column).collect())
}

fn current_document(made: &Materialization) -> Value {
    json!({
        "version": made.stored.version,
        "materialized": moment(made.created_at),
        "run": made.run_id,
        "rows": made.stored.row_count,
        "bytes": made.stored.size_bytes,
        "files": made.stored.files.len(),
        "duration_ms": made.duration_us / 1000,
        "code_version": made.code_version,
        "inputs": made.inputs,
        "metadata": made.metadata,
        "store": made.stored.store,
    })
}

fn partitions_document(partitions: &AssetPartitions) -> Value {
    let missing = partitions.missing();
    let [rows, bytes] = totals(partitions);
    json!({
        "definition": partitions.definition.to_string(),
        "total": partitions.keys.len(),
        "materialized": partitions.materialized.len(),
        "missing": partitions.keys.shown(&missing),
        "rows": rows,
        "bytes": bytes,
    })
}

/// Rows and bytes of all materialized partitions.
fn totals(partitions: &AssetPartitions) -> [u64; 2] {
    let current = partitions.materialized.iter().filter_map(|index| partitions.current(index));
    current.fold([0, 0], |[rows, bytes], p| [rows + p.row_count, bytes + p.size_bytes])
}

fn print_partitions(partitions: &AssetPartitions, is_external: bool) -> CommandResult<()> {
    if is_external {
        return print(&format!("  {:<13}{} keys", "", count(partitions.keys.len().into())));
    }
    let (made, all) = (partitions.materialized.len(), u64::from(partitions.keys.len()));
    let [rows, size] = totals(partitions);
    print(&format!(
        "  {:<13}{} of {}: {} rows, {}",
        "materialized",
        count(made),
        count(all),
        count(rows),
        bytes(size)
    ))?;
    let missing = partitions.missing();
    if !missing.is_empty() {
        print(&format!("  {:<13}{}", "missing", partitions.keys.shown(&missing)))?;
    }
    let sign = |index| if partitions.materialized.contains(index) { '#' } else { '.' };
    print(&heat_map(&partitions.keys, &partitions.keys.all(), sign))
}

fn print_columns(columns: Vec<Value>) -> CommandResult<()> {
    if columns.is_empty() {
        return print("  columns      not known before it runs");
    }
    let mut rows = Rows::new("", &["column", "type", "nullable", "description"]);
    for mut column in columns {
        let cells = ["name", "type", "nullable", "description"];
        rows.push(cells.map(|cell| column[cell].take()).to_vec());
    }
    rows.print(Format::Table)
}
