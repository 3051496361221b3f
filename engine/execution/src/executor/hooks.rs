//! Hooks after a step: what they do is recorded, and changes nothing for the step.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::{BoxError, Hook, HookAction, HookContext, HookEvent, Logger};
use arrowsmith_instance::{Event, Tell};
use tokio::process::Command;

use super::run::Run;
use crate::Step;
use crate::error::chain;
use crate::panics::caught;

/// How long a hook may take.
const LIMIT: Duration = Duration::from_mins(1);
/// Characters of what a program has printed that are kept.
const KEPT_OUTPUT: usize = 1000;

pub(super) async fn run_hooks(run: &Run, step: &Step, on: HookEvent, error: Option<String>) {
    let mut told = Vec::new();
    for hook in step.node.hooks.iter().filter(|hook| hook.on == on) {
        let context = HookContext {
            run_id: run.run_id.to_string(),
            job: run.plan.job.clone(),
            step_key: step.key.clone(),
            error: error.clone(),
            resources: Arc::clone(&run.resources),
            log: Logger::new(tracing::Span::current()),
        };
        let work = caught(carry_out(hook, context, run.engine.resolved.root.as_deref()));
        let failure = tokio::select! {
            ended = work => match ended {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(chain(&*error)),
                Err(panic) => Some(panic.to_string()),
            },
            () = run.engine.clock.sleep(LIMIT) => {
                Some(format!("it took longer than its limit of {} s", LIMIT.as_secs()))
            }
        };
        let hook = hook.name.clone();
        told.push(match failure {
            None => Event::HookCompleted { hook },
            Some(error) => {
                tracing::warn!(hook, error, "a hook failed");
                Event::HookErrored { hook, error }
            }
        });
    }
    if told.is_empty() {
        return;
    }
    let at = run.engine.clock.now();
    let step_key = Some(step.key.clone());
    let tell =
        |event| Tell { run_id: run.run_id, step_key: step_key.clone(), asset: None, event, at };
    let told = told.into_iter().map(tell).collect();
    if let Err(error) = run.engine.instance.tell(told).await {
        tracing::error!(error = %chain(&error), "the end of a hook was not recorded");
    }
}

async fn carry_out(
    hook: &Hook,
    context: HookContext,
    folder: Option<&Path>,
) -> Result<(), BoxError> {
    let words = match &hook.action {
        HookAction::Function(function) => return function(context).await,
        HookAction::Command(words) => words,
    };
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("ARROWSMITH_RUN_ID", &context.run_id)
        .env("ARROWSMITH_JOB", context.job.unwrap_or_default())
        .env("ARROWSMITH_STEP", &context.step_key)
        .env("ARROWSMITH_ERROR", context.error.unwrap_or_default())
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let ended = command.output().await.map_err(|e| format!("`{program}` did not start: {e}"))?;
    let printed = |bytes: &[u8]| -> String {
        String::from_utf8_lossy(bytes).trim().chars().take(KEPT_OUTPUT).collect()
    };
    let output = printed(&ended.stdout);
    if !output.is_empty() {
        context.log.with("hook", hook.name.clone()).info(&output);
    }
    if ended.status.success() {
        return Ok(());
    }
    let error = printed(&ended.stderr);
    Err(format!("`{program}` ended with {}: {error}", ended.status)
        .trim_end_matches([':', ' '])
        .into())
}
