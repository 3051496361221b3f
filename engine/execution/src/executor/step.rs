//! One step from its slot to its end: attempts, retries, and the publishing transaction.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_instance::{
    AttemptStatus, EndAttempt, Event, NewAttempt, NewVersion, Publish, Published, StepState,
    Target, TimeMicros,
};
use arrowsmith_io_manager::Version;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::run::Run;
use crate::attempt::{AttemptInput, Written, attempt};
use crate::error::chain;
use crate::panics::caught;
use crate::record::code_version;
use crate::{Counters, Progress};

/// How long an attempt may take if nobody says otherwise.
const STEP_TIMEOUT: Duration = Duration::from_hours(6);

/// An attempt that the instance knows, or is about to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    attempt_id: Uuid,
    version: Version,
}

/// How a step ended.
pub(super) struct StepEnd {
    pub(super) at: usize,
    pub(super) state: StepState,
    /// Attempts of readers that began with the publishing of this step.
    pub(super) begun: BTreeMap<usize, Begun>,
}

enum Outcome {
    Written(Written),
    Failed(String),
    Canceled,
}

/// A step on its way.
struct Work {
    run: Arc<Run>,
    at: usize,
    number: u32,
    begun: Begun,
    started_at: TimeMicros,
    input_versions: BTreeMap<String, Version>,
}

pub(super) async fn run_step(
    run: Arc<Run>,
    at: usize,
    slot: OwnedSemaphorePermit,
    begun: Option<Begun>,
) -> StepEnd {
    let mut number = 1;
    let mut begun = begun;
    let mut slot = Some(slot);
    loop {
        let started_at = run.engine.clock.now();
        let first = if let Some(begun) = begun.take() {
            begun
        } else {
            let (begun, new) = new_attempt(&run, at, number, started_at);
            if let Err(error) = run.engine.instance.begin_soon(vec![new]).await {
                return failed_to_begin(&run, at, &chain(&error));
            }
            begun
        };
        let mut work = Work {
            run: Arc::clone(&run),
            at,
            number,
            begun: first,
            started_at,
            input_versions: BTreeMap::new(),
        };
        let error = match work.attempt().await {
            Outcome::Written(written) => {
                // Others may compute while this waits for its transaction.
                drop(slot.take());
                match work.publish(written).await {
                    Ok(end) => return end,
                    Err(error) => error,
                }
            }
            Outcome::Failed(error) => error,
            Outcome::Canceled => return work.canceled().await,
        };
        match work.wait_before_retry() {
            Some(wait) => {
                work.up_for_retry(&error, wait).await;
                drop(slot.take());
                tokio::select! {
                    () = run.cancel.cancelled() => return work.canceled().await,
                    () = run.engine.clock.sleep(wait) => {}
                }
                slot = Arc::clone(&run.slots).acquire_owned().await.ok();
                number += 1;
            }
            None => return work.failed(&error).await,
        }
    }
}

fn new_attempt(run: &Run, at: usize, number: u32, now: TimeMicros) -> (Begun, NewAttempt) {
    let step = &run.plan.steps[at];
    let begun = Begun { attempt_id: Uuid::now_v7(), version: Version(Uuid::now_v7()) };
    let new = NewAttempt {
        attempt_id: begun.attempt_id,
        run_id: run.run_id,
        step_key: step.key.clone(),
        number,
        version: begun.version,
        environment: run.plan.environment.clone(),
        targets: vec![Target { asset: step.key.clone(), partition_key: String::new() }],
        at: now,
    };
    (begun, new)
}

fn failed_to_begin(run: &Run, at: usize, error: &str) -> StepEnd {
    tracing::error!(error, "the attempt could not begin");
    run.observer.notice(Progress::StepEnded {
        step: run.plan.steps[at].key.clone(),
        state: StepState::Failure,
        rows: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
        reason: Some(error.to_owned()),
    });
    StepEnd { at, state: StepState::Failure, begun: BTreeMap::new() }
}

impl Work {
    fn key(&self) -> &str {
        &self.run.plan.steps[self.at].key
    }

    fn elapsed(&self) -> Duration {
        let now = self.run.engine.clock.now();
        Duration::from_micros((now - self.started_at).try_into().unwrap_or_default())
    }

    async fn attempt(&mut self) -> Outcome {
        let engine = Arc::clone(&self.run.engine);
        let counters = Arc::new(Counters::default());
        self.run.observer.notice(Progress::StepStarted {
            step: self.key().to_owned(),
            attempt: self.number,
            counters: Arc::clone(&counters),
        });
        tracing::debug!(attempt = self.number, version = %self.begun.version, "attempt began");
        let resolved = self.run.resolved(self.at).clone();
        let limit =
            resolved.asset.policy.timeout.or(engine.limits.step_timeout).unwrap_or(STEP_TIMEOUT);
        let cancel = self.run.cancel.clone();
        let run = Arc::clone(&self.run);
        let (at, number, begun) = (self.at, self.number, self.begun);
        let versions = &mut self.input_versions;
        let work = caught(async {
            let (inputs, input_versions) = run.inputs(at).await?;
            versions.clone_from(&input_versions);
            let run_id = run.run_id;
            let version = begun.version;
            let input = AttemptInput { run_id, number, version, inputs, input_versions, counters };
            attempt(&run.engine, &resolved, input).await
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => Outcome::Canceled,
            done = work => match done {
                Ok(Ok(written)) => Outcome::Written(written),
                Ok(Err(error)) => Outcome::Failed(chain(&*error)),
                Err(panic) => {
                    tracing::error!(backtrace = %panic.backtrace, "{panic}");
                    Outcome::Failed(panic.to_string())
                }
            },
            () = engine.clock.sleep(limit) => {
                Outcome::Failed(format!("it took longer than its limit of {} s", limit.as_secs_f64()))
            }
        }
    }

    /// The one transaction that makes the version visible; an error says why it did not.
    async fn publish(&self, written: Written) -> Result<StepEnd, String> {
        let run = &self.run;
        let (engine, step) = (&run.engine, &run.plan.steps[self.at]);
        let resolved = run.resolved(self.at);
        let (elapsed, at) = (self.elapsed(), engine.clock.now());
        let mut begun = BTreeMap::new();
        let mut then_begin = Vec::new();
        if !run.cancel.is_cancelled() {
            for next in run.next_after(self.at) {
                let (attempt, new) = new_attempt(run, next, 1, at);
                begun.insert(next, attempt);
                then_begin.push(new);
            }
        }
        let stored = Arc::clone(&written.stored);
        let publish = Publish {
            attempt_id: self.begun.attempt_id,
            run_id: run.run_id,
            step_key: step.key.clone(),
            environment: run.plan.environment.clone(),
            versions: vec![NewVersion {
                target: Target { asset: step.key.clone(), partition_key: String::new() },
                stored: Arc::clone(&stored),
                io_manager: resolved.io_manager.clone(),
                code_version: code_version(&resolved.asset),
                inputs: self.input_versions.clone(),
                metadata: written.metadata,
            }],
            started_at: self.started_at,
            duration_us: elapsed.as_micros().try_into().unwrap_or(u64::MAX),
            at,
            then_begin,
        };
        match engine.instance.publish(publish).await {
            Ok(Published::Yes(_)) => {}
            Ok(Published::No(refusal)) => return Err(format!("it was not published: {refusal}")),
            Err(error) => return Err(format!("it was not published: {}", chain(&error))),
        }
        run.remember(&step.asset, Arc::clone(&stored));
        let (rows, bytes) = (stored.row_count, stored.size_bytes);
        let elapsed_ms = elapsed.as_secs_f64() * 1e3;
        tracing::info!(rows, bytes, elapsed_ms, "published");
        self.notice_end(StepState::Success, rows, bytes, None);
        Ok(StepEnd { at: self.at, state: StepState::Success, begun })
    }

    fn notice_end(&self, state: StepState, rows: u64, bytes: u64, reason: Option<String>) {
        self.run.observer.notice(Progress::StepEnded {
            step: self.key().to_owned(),
            state,
            rows,
            bytes,
            elapsed: self.elapsed(),
            reason,
        });
    }

    /// The wait before the next attempt, if there is to be one.
    fn wait_before_retry(&self) -> Option<Duration> {
        let policy = self.run.resolved(self.at).asset.policy.retry?;
        let retries = !self.run.cancel.is_cancelled() && self.number <= policy.max_retries;
        retries.then(|| policy.wait(self.number, fastrand::f64()))
    }

    async fn up_for_retry(&self, error: &str, wait: Duration) {
        tracing::warn!(error, attempt = self.number, "the attempt failed and is tried again");
        let wait_ms = wait.as_millis().try_into().unwrap_or(u64::MAX);
        let event = Event::StepUpForRetry { error: error.to_owned(), wait_ms };
        self.end(AttemptStatus::Failure, StepState::UpForRetry, error, event).await;
        let step = self.key().to_owned();
        self.run.observer.notice(Progress::StepRetrying { step, error: error.to_owned(), wait });
    }

    async fn failed(&self, error: &str) -> StepEnd {
        tracing::error!(error, attempt = self.number, "the step failed");
        let event = Event::StepFailure { error: error.to_owned() };
        self.end(AttemptStatus::Failure, StepState::Failure, error, event).await;
        self.notice_end(StepState::Failure, 0, 0, Some(error.to_owned()));
        StepEnd { at: self.at, state: StepState::Failure, begun: BTreeMap::new() }
    }

    async fn canceled(&self) -> StepEnd {
        let reason = "the run was asked to stop";
        let event = Event::StepCanceled { reason: reason.to_owned() };
        self.end(AttemptStatus::Canceled, StepState::Canceled, reason, event).await;
        self.notice_end(StepState::Canceled, 0, 0, Some(reason.to_owned()));
        StepEnd { at: self.at, state: StepState::Canceled, begun: BTreeMap::new() }
    }

    /// Ends the attempt in the instance. If that fails, the end of the run or its recovery does it.
    async fn end(&self, status: AttemptStatus, state: StepState, reason: &str, event: Event) {
        let end = EndAttempt {
            attempt_id: self.begun.attempt_id,
            run_id: self.run.run_id,
            step_key: self.key().to_owned(),
            status,
            state,
            reason: reason.to_owned(),
            event,
            at: self.run.engine.clock.now(),
        };
        if let Err(error) = self.run.engine.instance.end_attempt(end).await {
            tracing::error!(error = %chain(&error), "the end of the attempt was not recorded");
        }
    }
}
