//! `run launch|terminate|execute`: runs of the queue.

use std::sync::Arc;
use std::time::Duration;

use arrowsmith_daemon::{PRIORITY_TAG, queued_run};
use arrowsmith_definitions::{RunRequest, RunTarget, check_config, run_shape};
use arrowsmith_execution::{Clock, Engine, Silent, SystemClock};
use arrowsmith_instance::{Instance, RunId, RunStatus, Ticked};
use rustix::process::{Resource, Rlimit, setrlimit};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{job, partitions, signals};
use crate::Exit;
use crate::args::LaunchArgs;
use crate::context::{CommandResult, Context, fail};
use crate::output::{complain, print, say};

/// How long a run that was asked to stop may take, before its end is not waited for any longer.
const STOP_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);

/// Queues a run; its id is the output.
pub(super) async fn launch(engine: &Engine, args: LaunchArgs) -> CommandResult {
    let LaunchArgs { selection, job, partitions, config, force, tags, priority, run_key } = args;
    let target = match &job {
        Some(job) => RunTarget::Job(job.clone()),
        None => RunTarget::Assets(selection.join(" or ")),
    };
    // What is wrong with it is told now, not to the log of a run that nobody looks at.
    let mut request = partitions::request(&selection, &partitions)?;
    let config = job::read_config(&config, Vec::new())?;
    match &job {
        Some(job) => {
            let job = engine.job(job).map_err(|e| fail(&e))?;
            let shape = run_shape(job, &engine.resolved);
            let of = format!("job `{}`", job.name);
            let checked = check_config(&of, &config, &shape, &|name| std::env::var(name).ok());
            checked.map_err(|problems| fail(&arrowsmith_execution::Error::Config { problems }))?;
        }
        None => {
            request.is_question = true;
            engine.plan_request(&request).await.map_err(|e| fail(&e))?;
        }
    }
    let mut request = RunRequest {
        run_key,
        config: config.value(),
        tags: tags.into_iter().collect(),
        partitions: (!partitions.partitions.is_empty()).then(|| partitions.partitions.join(",")),
        only_needed: !force && job.is_none(),
        ..RunRequest::new()
    };
    if request.config.as_object().is_some_and(serde_json::Map::is_empty) {
        request.config = serde_json::Value::Null;
    }
    if priority != 0 {
        request.tags.insert(PRIORITY_TAG.to_owned(), priority.to_string());
    }
    let (run_id, now) = (RunId(Uuid::now_v7()), engine.now());
    let run = queued_run(engine, run_id, &target, request, "launch", now).map_err(|error| {
        complain(&error);
        Exit::Usage
    })?;
    let queued = engine.instance.enqueue(vec![run]).await.map_err(|e| fail(&e.into()))?;
    if let Ticked::Yes { suppressed, .. } = queued
        && let Some(earlier) = suppressed.first()
    {
        say(&format!("run {} was queued for this key before", earlier.short()));
        print(&earlier.to_string())?;
        return Ok(Exit::Ok);
    }
    print(&run_id.to_string())?;
    say(&format!("run {} waits for a daemon", run_id.short()));
    Ok(Exit::Ok)
}

/// Asks a run to stop, and waits until it has.
pub(super) async fn terminate(instance: &Instance, id: &str, no_wait: bool) -> CommandResult {
    let told = |error: arrowsmith_instance::Error| fail(&error.into());
    let run = instance.run(id).await.map_err(told)?;
    let (run_id, short) = (run.run_id, run.run_id.short());
    if run.status.is_final() {
        complain(&format!("run {short} has already ended as {}", run.status));
        return Err(Exit::Usage);
    }
    let clock = SystemClock;
    instance.cancel_run(run_id, clock.now()).await.map_err(told)?;
    say(&format!("run {short} is asked to stop"));
    if no_wait {
        return Ok(Exit::Ok);
    }
    let mut waited = Duration::ZERO;
    loop {
        let now = instance.run(&run_id.to_string()).await.map_err(told)?;
        if now.status.is_final() {
            say(&format!("run {short} has ended as {}", now.status));
            return Ok(Exit::Ok);
        }
        if waited > STOP_LIMIT {
            complain(&format!("run {short} has not stopped yet; no daemon is there to kill it"));
            return Err(Exit::Failed);
        }
        clock.sleep(POLL).await;
        waited += POLL;
    }
}

/// Carries out a run of the queue.
pub(super) async fn execute(context: &Context, id: &str) -> CommandResult {
    let engine = context.engine_of_run().await?;
    if let Some(limit) = engine.resolved.operations.run_memory_bytes {
        let limit = u64::try_from(limit).ok();
        let limit = Rlimit { current: limit, maximum: limit };
        if let Err(error) = setrlimit(Resource::Data, limit) {
            complain(&format!("the memory of the run cannot be limited: {error}"));
            return Err(Exit::Environment);
        }
    }
    let run = engine.instance.run(id).await.map_err(|e| fail(&e.into()))?;
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    let report = engine.run_queued(run.run_id, cancel, Arc::new(Silent)).await;
    let report = report.map_err(|e| fail(&e))?;
    Ok(match report.status {
        RunStatus::Success => Exit::Ok,
        RunStatus::Canceled => signalled.exit(),
        _ => {
            complain(&report.error.unwrap_or_default());
            Exit::Failed
        }
    })
}
