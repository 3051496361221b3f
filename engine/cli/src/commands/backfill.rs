//! `backfill start|status|list|cancel|resume|retry`.

use std::sync::Arc;

use arrowsmith_definitions::PartitionSet;
use arrowsmith_execution::{AssetProgress, BackfillProgress, Engine, Plan};
use arrowsmith_instance::{BackfillRecord, RunStatus};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::materialize::{probe, run_options, tell};
use super::{partitions, signals};
use crate::Exit;
use crate::args::{BackfillCommand, Format, RunArgs};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, count, heat_map, moment, print, print_document, say};
use crate::progress::observer;

pub(crate) async fn backfill(context: &Context, command: BackfillCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        BackfillCommand::Start { selection, partitions, run } => {
            let request = partitions::request(&selection, &partitions)?;
            let tags = run.tags.iter().cloned().collect();
            probe(&engine).await?;
            let started = engine.start_backfill(&request, tags).await;
            let (record, plan) = started.map_err(|e| fail(&e))?;
            carry_out(context, &engine, record, plan, run).await
        }
        BackfillCommand::Resume { backfill, run } | BackfillCommand::Retry { backfill, run } => {
            let resumed = engine.resume_backfill(&backfill).await;
            let (record, plan) = resumed.map_err(|e| fail(&e))?;
            if plan.is_empty() {
                say(&format!("backfill {} has made everything", record.backfill_id.short()));
                return Ok(Exit::Ok);
            }
            carry_out(context, &engine, record, plan, run).await
        }
        BackfillCommand::Status { backfill, format } => {
            let progress = engine.backfill_progress(&backfill).await.map_err(|e| fail(&e))?;
            status(&progress, format.format)
        }
        BackfillCommand::List { limit, format } => list(&engine, limit, format.format).await,
        BackfillCommand::Cancel { backfill } => {
            let record = engine.cancel_backfill(&backfill).await.map_err(|e| fail(&e))?;
            say(&format!("backfill {} is asked to stop", record.backfill_id.short()));
            Ok(Exit::Ok)
        }
    }
}

async fn carry_out(
    context: &Context,
    engine: &Arc<Engine>,
    record: BackfillRecord,
    plan: Plan,
    args: RunArgs,
) -> CommandResult {
    let id = record.backfill_id.short();
    say(&format!("backfill {id}: {} steps", plan.steps.len()));
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    let (options, observer) = (run_options(args), observer(context.quiet));
    let report = engine.run_backfill(record, plan, options, cancel, observer).await;
    let report = report.map_err(|e| fail(&e))?;
    tell(context, &report);
    match report.status {
        RunStatus::Success => Ok(Exit::Ok),
        RunStatus::Canceled => {
            say(&format!("next: `arrowsmith backfill resume {id}` goes on"));
            Ok(signalled.exit())
        }
        _ => {
            say(&format!(
                "next: `arrowsmith backfill status {id}` shows what failed, `arrowsmith backfill \
                 retry {id}` makes it again"
            ));
            Ok(Exit::Failed)
        }
    }
}

fn status(progress: &BackfillProgress, format: Format) -> CommandResult {
    let record = &progress.record;
    let keys = |asset: &AssetProgress, set: &PartitionSet| match &asset.partitions {
        Some(partitions) => partitions.keys.shown(set),
        None => String::new(),
    };
    let rows = progress.assets.iter().map(|asset| {
        json!({
            "asset": asset.asset.to_string(),
            "target": asset.target.len(),
            "made": asset.made.len(),
            "running": asset.running.len(),
            "failed": asset.failed.len(),
            "left": asset.left().len(),
            "failed_keys": keys(asset, &asset.failed),
        })
    });
    let rows: Vec<Value> = rows.collect();
    if format != Format::Table {
        let document = json!({
            "backfill": record.backfill_id,
            "status": record.status,
            "selection": record.selection,
            "target": record.target,
            "tags": record.tags,
            "created": moment(record.created_at),
            "ended": record.ended_at.map(moment),
            "error": record.error,
            "runs": progress.runs.iter().map(|run| run.run_id).collect::<Vec<_>>(),
            "assets": rows,
        });
        print_document("arrowsmith.backfill.v1", "backfill", &document)?;
        return Ok(Exit::Ok);
    }
    print(&format!("backfill {}  {}", record.backfill_id.short(), record.status))?;
    print(&format!("  selection    {}", record.selection))?;
    print(&format!("  created      {}", moment(record.created_at)))?;
    if let Some(ended) = record.ended_at {
        print(&format!("  ended        {}", moment(ended)))?;
    }
    if let Some(error) = &record.error {
        print(&format!("  because      {error}"))?;
    }
    let runs: Vec<String> = progress.runs.iter().map(|run| run.run_id.short()).collect();
    print(&format!("  runs         {}", runs.join(", ")))?;
    for asset in &progress.assets {
        let (made, target) = (asset.made.len(), asset.target.len());
        let failed = asset.failed.len();
        let behind = if failed > 0 { format!(", {} failed", count(failed)) } else { String::new() };
        print(&format!("{}  {} of {} made{behind}", asset.asset, count(made), count(target)))?;
        if let Some(partitions) = &asset.partitions {
            let states = |index: u32| {
                if asset.failed.contains(index) {
                    'x'
                } else if asset.running.contains(index) {
                    '>'
                } else if asset.made.contains(index) {
                    '#'
                } else {
                    '.'
                }
            };
            print(&heat_map(&partitions.keys, &asset.target, states))?;
        }
    }
    Ok(Exit::Ok)
}

async fn list(engine: &Engine, limit: u32, format: Format) -> CommandResult {
    let found = engine.instance.backfills(limit).await.map_err(|e| fail(&e.into()))?;
    let columns = &["backfill", "status", "selection", "partitions", "created", "ended"];
    let mut rows = Rows::new("arrowsmith.backfills.v1", columns);
    for backfill in found {
        let sets = backfill.target.iter().filter(|(_, set)| !set.is_empty());
        let sets: Vec<String> = sets.map(|(_, set)| set.clone()).collect();
        let mut shown: Vec<String> = Vec::new();
        for set in sets {
            let short = if set.len() > 40 { format!("{}…", &set[..40]) } else { set };
            if !shown.contains(&short) {
                shown.push(short);
            }
        }
        rows.push(vec![
            json!(backfill.backfill_id.short()),
            json!(backfill.status),
            json!(backfill.selection),
            json!(shown),
            json!(moment(backfill.created_at)),
            json!(backfill.ended_at.map(moment)),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}
