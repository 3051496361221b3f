//! `vacuum`, `fsck` and `io migrate`.

use std::time::Duration;

use arrowsmith_definitions::{AssetKey, nearest};
use arrowsmith_io_manager::Depth;
use serde_json::json;

use super::asset::select;
use crate::Exit;
use crate::args::Format;
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, bytes, complain, count, print_document, say};

pub(crate) async fn vacuum(
    context: &Context,
    retention: Duration,
    dry_run: bool,
    format: Format,
) -> CommandResult {
    let engine = context.engine().await?;
    let vacuum = engine.vacuum(retention, dry_run).await.map_err(|e| fail(&e))?;
    match format {
        Format::Table => {
            for version in &vacuum.removed {
                say(&format!("  {version}"));
            }
            let word = if dry_run { "would be removed" } else { "removed" };
            let (removed, freed, kept) = (vacuum.removed.len(), bytes(vacuum.bytes), vacuum.kept);
            say(&format!("{removed} versions {word}, {freed} freed; {kept} kept"));
        }
        Format::Json => print_document("arrowsmith.vacuum.v1", "vacuum", &vacuum)?,
        Format::Ndjson | Format::Csv => {
            let mut rows = Rows::new("arrowsmith.vacuum.v1", &["removed"]);
            vacuum.removed.iter().for_each(|version| rows.push(vec![json!(version)]));
            rows.print(format)?;
        }
    }
    Ok(Exit::Ok)
}

pub(crate) async fn fsck(context: &Context, quick: bool, format: Format) -> CommandResult {
    let engine = context.engine().await?;
    let depth = if quick { Depth::Size } else { Depth::Full };
    let fsck = engine.fsck(depth).await.map_err(|e| fail(&e))?;
    if format == Format::Json {
        print_document("arrowsmith.fsck.v1", "fsck", &fsck)?;
    } else {
        let columns = &["asset", "version", "file", "problem"];
        let mut rows = Rows::new("arrowsmith.fsck.v1", columns);
        for finding in &fsck.findings {
            rows.push(vec![
                json!(finding.asset),
                json!(finding.version),
                json!(finding.path),
                json!(finding.reason),
            ]);
        }
        if format != Format::Table || !fsck.findings.is_empty() {
            rows.print(format)?;
        }
    }
    if fsck.findings.is_empty() {
        say(&format!("{} tables are as they were written", fsck.checked));
        return Ok(Exit::Ok);
    }
    complain(&format!("{} files are damaged; materialize their assets again", fsck.findings.len()));
    Ok(Exit::Failed)
}

pub(crate) async fn migrate(
    context: &Context,
    selection: &str,
    to: &str,
    format: Format,
) -> CommandResult {
    let engine = context.engine().await?;
    let managers = &engine.resolved.io_managers;
    if !managers.contains_key(to) {
        let near = nearest(to, managers.keys().map(String::as_str));
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        complain(&format!("there is no IO manager `{to}`{near}"));
        return Err(Exit::Usage);
    }
    let selected = select(&engine, selection)?.into_iter();
    let is_stored = |key: &AssetKey| engine.resolved.assets[key].asset.is_materializable();
    let assets: Vec<AssetKey> = selected.filter(is_stored).collect();
    let migration = engine.migrate(&assets, to).await.map_err(|e| fail(&e))?;
    if format == Format::Table {
        for (asset, rows) in &migration.migrated {
            say(&format!("      ok  {asset}  {} rows", count(*rows)));
        }
        for (asset, why) in &migration.failed {
            say(&format!("  failed  {asset}: {why}"));
        }
        let skipped = migration.skipped.len();
        say(&format!("{} assets migrated to `{to}`, {skipped} skipped", migration.migrated.len()));
        if !migration.migrated.is_empty() {
            say(&format!("next: name `{to}` as the IO manager of these assets, or of the project"));
        }
    } else {
        print_document("arrowsmith.migration.v1", "migration", &migration)?;
    }
    Ok(if migration.failed.is_empty() { Exit::Ok } else { Exit::Failed })
}
