//! `materialize`: compute assets and publish their tables.

use arrowsmith_execution::RunOptions;
use arrowsmith_instance::RunStatus;
use tokio_util::sync::CancellationToken;

use super::signals;
use crate::Exit;
use crate::context::{CommandResult, Context, fail};
use crate::output::{elapsed, say};
use crate::progress::observer;

/// What the user asked for.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) selection: String,
    pub(crate) max_concurrent: Option<u16>,
    pub(crate) fail_fast: bool,
    pub(crate) tags: Vec<(String, String)>,
}

pub(crate) async fn materialize(context: &Context, asked: Asked) -> CommandResult {
    let engine = context.engine().await?;
    let plan = engine.plan(&asked.selection).await.map_err(|e| fail(&e))?;
    if plan.is_empty() {
        say("nothing to materialize: the selection holds no asset that can be computed");
        return Ok(Exit::Ok);
    }
    probe(&engine).await?;
    let options = RunOptions {
        max_concurrent: asked.max_concurrent.map(usize::from),
        fail_fast: asked.fail_fast,
        tags: asked.tags.into_iter().collect(),
    };
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    let report = engine.run(plan, options, cancel, observer(context.quiet)).await;
    let report = report.map_err(|e| fail(&e))?;
    if !context.quiet || report.status != RunStatus::Success {
        let states: Vec<String> =
            report.steps.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let (run, took) = (report.run_id.short(), elapsed(report.elapsed));
        say(&format!("run {run} {}: {} in {took}", report.status, states.join(", ")));
    }
    match report.status {
        RunStatus::Success => Ok(Exit::Ok),
        RunStatus::Canceled => Ok(signalled.exit()),
        _ => {
            say(&format!(
                "next: `arrowsmith run logs {}` tells what happened",
                report.run_id.short()
            ));
            Ok(Exit::Failed)
        }
    }
}

/// Every store is writable before work is begun.
async fn probe(engine: &arrowsmith_execution::Engine) -> CommandResult<()> {
    for (name, manager) in &engine.resolved.io_managers {
        if let Err(error) = manager.probe().await {
            let (store, why) = (manager.store_url(), crate::output::chain(&error));
            crate::output::complain(&format!(
                "IO manager `{name}` cannot write to `{store}`: {why}"
            ));
            return Err(Exit::Environment);
        }
    }
    Ok(())
}
