//! `materialize`, and what all commands that run something share.

use std::sync::Arc;

use arrowsmith_execution::{Engine, Plan, PlanRequest, RunOptions, RunReport};
use arrowsmith_instance::RunStatus;
use tokio_util::sync::CancellationToken;

use super::signals;
use crate::Exit;
use crate::args::RunArgs;
use crate::context::{CommandResult, Context, fail};
use crate::output::{elapsed, say};
use crate::progress::observer;
use crate::unchanged::Unchanged;

pub(crate) async fn materialize(
    context: &Context,
    request: &PlanRequest,
    args: RunArgs,
) -> CommandResult {
    let unchanged = Unchanged::look(context, request).await;
    let known = unchanged.as_ref().and_then(Unchanged::nothing_to_do);
    if let Some(fresh) = known {
        if !context.quiet {
            say(nothing(fresh));
        }
        return Ok(Exit::Ok);
    }
    let engine = context.engine().await?;
    let plan = engine.plan_request(request).await.map_err(|e| fail(&e))?;
    if plan.is_empty() {
        if let Some(unchanged) = unchanged {
            unchanged.remember(&engine, &plan, unchanged.changes).await;
        }
        if !context.quiet {
            say(nothing(plan.fresh));
        }
        return Ok(Exit::Ok);
    }
    let exit = carry_out(context, &engine, plan, args).await?;
    if let (Exit::Ok, Some(unchanged)) = (&exit, unchanged) {
        unchanged.remember_after_run(&engine, request).await;
    }
    Ok(exit)
}

/// Why nothing is computed.
pub(super) fn nothing(fresh: u64) -> &'static str {
    if fresh > 0 {
        "nothing to do: everything that is selected is fresh; `--force` computes it again"
    } else {
        "nothing to do: the selection holds no asset or partition to compute"
    }
}

/// Runs a plan with progress, signals, and a last word on how it went.
pub(crate) async fn carry_out(
    context: &Context,
    engine: &Arc<Engine>,
    plan: Plan,
    args: RunArgs,
) -> CommandResult {
    if plan.is_empty() {
        say("nothing to run");
        return Ok(Exit::Ok);
    }
    probe(engine).await?;
    let options = run_options(args);
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    let report = engine.run(plan, options, cancel, observer(context.quiet)).await;
    let report = report.map_err(|e| fail(&e))?;
    tell(context, &report);
    match report.status {
        RunStatus::Success => Ok(Exit::Ok),
        RunStatus::Canceled => Ok(signalled.exit()),
        _ => {
            if let Some(error) = report.error {
                say(&format!("because {error}"));
            }
            let run = report.run_id.short();
            say(&format!(
                "next: `arrowsmith run logs {run}` tells what happened, `arrowsmith run reexecute \
                 {run} --from-failure` goes on"
            ));
            Ok(Exit::Failed)
        }
    }
}

pub(super) fn run_options(args: RunArgs) -> RunOptions {
    RunOptions {
        max_concurrent: args.max_concurrent.map(usize::from),
        fail_fast: args.fail_fast,
        tags: args.tags.into_iter().collect(),
        backfill: None,
        queued: None,
    }
}

/// How a run ended, in one line.
pub(super) fn tell(context: &Context, report: &RunReport) {
    if context.quiet && report.status == RunStatus::Success {
        return;
    }
    let states: Vec<String> =
        report.steps.iter().map(|(state, count)| format!("{count} {state}")).collect();
    let (run, took) = (report.run_id.short(), elapsed(report.elapsed));
    say(&format!("run {run} {}: {} in {took}", report.status, states.join(", ")));
}

/// Every store is writable before work is begun.
pub(super) async fn probe(engine: &Engine) -> CommandResult<()> {
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
