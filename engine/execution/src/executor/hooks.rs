//! Hooks after a step: what they do is recorded, and changes nothing for the step.

use std::sync::Arc;

use arrowsmith_definitions::{HookContext, HookEvent, Logger};
use arrowsmith_instance::{Event, Tell};

use super::run::Run;
use crate::Step;
use crate::error::chain;
use crate::panics::caught;

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
        let failure = match caught(hook.run(context)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(chain(&*error)),
            Err(panic) => Some(panic.to_string()),
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
