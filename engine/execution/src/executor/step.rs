//! One step from its slot to its end: attempts and retries.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::{AssetKey, BoxError, HookEvent, PermanentFailure, RetryRequested};
use arrowsmith_instance::{
    AttemptStatus, EndAttempt, Event, NewAttempt, Provenance, StepState, Target, Tell,
};
use arrowsmith_io_manager::Version;
use datafusion::catalog::TableProvider;
use futures::future::Either;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use super::POOL_POLL;
use super::announce::Attempt;
use super::confirm::{parts_of, without};
use super::hooks::run_hooks;
use super::inputs::Inputs;
use super::run::Run;
use crate::attempt::{AttemptInput, Written, attempt};
use crate::catalog::Part;
use crate::checks::Evaluated;
use crate::error::{chain, out_of_memory};
use crate::panics::caught;
use crate::pools::PoolSlot;
use crate::{Counters, Progress, Step};

/// How long an attempt may take if nobody says otherwise.
const STEP_TIMEOUT: Duration = Duration::from_hours(6);

/// What a step holds while it computes: a slot of the run, and one of its pool if it has one.
pub(super) struct Held(
    #[expect(dead_code, reason = "it is held, not read")] pub(super) OwnedSemaphorePermit,
    #[expect(dead_code, reason = "it is held, not read")] pub(super) PoolSlot,
);

/// How a step ended.
pub(super) struct StepEnd {
    pub(super) at: usize,
    pub(super) state: StepState,
    /// Mapping keys of its dynamic outputs, in the order of emission.
    pub(super) mapping_keys: Vec<String>,
}

impl StepEnd {
    pub(super) fn new(at: usize, state: StepState) -> Self {
        Self { at, state, mapping_keys: Vec::new() }
    }
}

enum Outcome {
    Written(Written),
    /// All that it would compute is stored already.
    Stored,
    Failed(Failed),
    Canceled,
}

/// A failure, and what its function says about trying again.
pub(super) struct Failed {
    pub(super) error: String,
    pub(super) hint: Hint,
}

pub(super) enum Hint {
    AsThePolicySays,
    /// There was not enough memory; whoever needs less may have enough.
    NeedsLessMemory,
    Never,
    Requested {
        max_retries: u32,
        wait: Duration,
    },
}

impl From<String> for Failed {
    fn from(error: String) -> Self {
        Self { error, hint: Hint::AsThePolicySays }
    }
}

impl From<BoxError> for Failed {
    fn from(error: BoxError) -> Self {
        let hint = if let Some(requested) = error.downcast_ref::<RetryRequested>() {
            let wait = requested.wait.unwrap_or_default();
            Hint::Requested { max_retries: requested.max_retries, wait }
        } else if error.is::<PermanentFailure>() {
            Hint::Never
        } else if let Some(told) = out_of_memory(&*error) {
            let error = format!(
                "there was not enough memory; `memory_limit` in `[run]` says how much all queries \
                 may have together: {told}"
            );
            return Self { error, hint: Hint::NeedsLessMemory };
        } else {
            Hint::AsThePolicySays
        };
        Self { error: chain(&*error), hint }
    }
}

/// A step on its way.
pub(super) struct Work {
    pub(super) run: Arc<Run>,
    pub(super) step: Arc<Step>,
    pub(super) at: usize,
    pub(super) number: u32,
    /// Whether it is to need little memory, after an attempt that had not enough.
    pub(super) frugal: bool,
    pub(super) attempt: Arc<Attempt>,
    pub(super) input_versions: BTreeMap<String, Version>,
    pub(super) loaded: Vec<Event>,
    /// Whether what is written comes behind what is stored already.
    pub(super) appends: bool,
    /// What it is made of, if that is known.
    pub(super) provenance: Option<Provenance>,
    /// What of it is fresh and not computed again.
    pub(super) kept: Vec<Part>,
    /// What of it was stored before and is to become current again.
    pub(super) reused: Vec<Part>,
}

pub(super) async fn run_step(run: Arc<Run>, at: usize, held: Held) -> StepEnd {
    let step = run.step(at);
    let (mut number, mut frugal) = (1, false);
    let mut held = Some(held);
    loop {
        let attempt = Arc::new(Attempt::new(new_attempt(&run, &step, number)));
        if adds_to(&step).is_none() {
            run.unannounced.push(&attempt);
        } else if let Err(error) = attempt.fence(&run.engine.instance).await {
            return failed_to_begin(&run, &step, at, &chain(&error));
        }
        let mut work = Work {
            run: Arc::clone(&run),
            step: Arc::clone(&step),
            at,
            number,
            frugal,
            attempt,
            input_versions: BTreeMap::new(),
            loaded: Vec::new(),
            appends: false,
            provenance: None,
            kept: Vec::new(),
            reused: Vec::new(),
        };
        let failed: Failed = match work.attempt().await {
            Outcome::Written(written) => {
                // Others may compute while this waits for its transaction.
                release(&run, &step, &mut held).await;
                if let Some(reason) = work.tell_checks(&written).await {
                    // The same rows would fail the same checks again.
                    let failed = Failed { error: reason, hint: Hint::Never };
                    return work.give_up(failed).await;
                }
                match work.publish(written).await {
                    Ok(end) => {
                        run_hooks(&run, &step, HookEvent::Success, None).await;
                        return end;
                    }
                    Err(failed) => failed,
                }
            }
            Outcome::Stored => {
                release(&run, &step, &mut held).await;
                if work.reused.is_empty() {
                    return work.confirmed().await;
                }
                match work.publish(Written::default()).await {
                    Ok(end) => return end,
                    Err(failed) => failed,
                }
            }
            Outcome::Failed(failed) => failed,
            Outcome::Canceled => return work.canceled().await,
        };
        let Some(wait) = work.wait_before_retry(&failed.hint) else {
            return work.give_up(failed).await;
        };
        work.up_for_retry(&failed.error, wait).await;
        release(&run, &step, &mut held).await;
        tokio::select! {
            () = run.cancel.cancelled() => return work.canceled().await,
            () = run.engine.clock.sleep(wait) => {}
        }
        held = hold(&run, &step).await;
        number += 1;
        frugal |= matches!(failed.hint, Hint::NeedsLessMemory);
    }
}

/// The asset to whose stored rows a step adds: an incremental one, unless it is to be made anew.
fn adds_to(step: &Step) -> Option<&AssetKey> {
    let resolved = step.node.outputs.first()?.asset.as_ref()?;
    let adds = resolved.asset.materialized.is_incremental() && !step.node.full_refresh;
    adds.then_some(&resolved.asset.key)
}

/// The rows to which a step adds.
async fn previous_of(run: &Run, step: &Step) -> Result<Option<Arc<dyn TableProvider>>, BoxError> {
    match adds_to(step) {
        Some(asset) => Ok(run.engine.previous(asset).await?),
        None => Ok(None),
    }
}

/// Waits for a slot, and for one of the pool if the step has one.
async fn hold(run: &Run, step: &Step) -> Option<Held> {
    let pool = loop {
        match run.engine.take_slot(run.run_id, step).await {
            Ok(Some(pool)) => break pool,
            Ok(None) => run.engine.clock.sleep(POOL_POLL).await,
            Err(error) => {
                tracing::error!(%error, "no slot of the pool could be taken");
                return None;
            }
        }
    };
    Some(Held(Arc::clone(&run.slots).acquire_owned().await.ok()?, pool))
}

/// Lets others have what a step holds.
async fn release(run: &Run, step: &Step, held: &mut Option<Held>) {
    if held.take().is_some()
        && let Err(error) = run.engine.free_slot(run.run_id, step).await
    {
        tracing::error!(%error, "the slot of the pool is given back when the run ends");
    }
}

fn new_attempt(run: &Run, step: &Step, number: u32) -> NewAttempt {
    let keys = match &step.node.partitions {
        Some(partitions) => partitions.texts(),
        None => vec![String::new()],
    };
    let targets = step.node.assets().into_iter().flat_map(|asset| {
        let asset = asset.to_string();
        let target =
            move |key: &String| Target { asset: asset.clone(), partition_key: key.clone() };
        keys.iter().map(target).collect::<Vec<_>>()
    });
    NewAttempt {
        attempt_id: Uuid::now_v7(),
        run_id: run.run_id,
        step_key: step.key.clone(),
        number,
        version: Version(Uuid::now_v7()),
        environment: run.plan.environment.clone(),
        targets: targets.collect(),
        at: run.engine.clock.now(),
    }
}

fn failed_to_begin(run: &Run, step: &Step, at: usize, error: &str) -> StepEnd {
    tracing::error!(error, "the attempt could not begin");
    run.observer.notice(Progress::StepEnded {
        step: step.key.clone(),
        state: StepState::Failure,
        rows: 0,
        bytes: 0,
        elapsed: Duration::ZERO,
        reason: Some(error.to_owned()),
    });
    StepEnd::new(at, StepState::Failure)
}

impl Work {
    pub(super) fn elapsed(&self) -> Duration {
        let now = self.run.engine.clock.now();
        Duration::from_micros((now - self.attempt.new.at).try_into().unwrap_or_default())
    }

    async fn attempt(&mut self) -> Outcome {
        let engine = Arc::clone(&self.run.engine);
        let counters = Arc::new(Counters::default());
        self.run.observer.notice(Progress::StepStarted {
            step: self.step.key.clone(),
            attempt: self.number,
            counters: Arc::clone(&counters),
        });
        tracing::debug!(attempt = self.number, version = %self.attempt.new.version, "attempt began");
        let policy = &self.step.node.policy;
        let limit = policy.timeout.or(engine.limits.step_timeout).unwrap_or(STEP_TIMEOUT);
        let cancel = self.run.cancel.clone();
        let (run, step, version) =
            (Arc::clone(&self.run), Arc::clone(&self.step), self.attempt.new.version);
        let frugal = self.frugal;
        let context = run.context(&step, self.number, self.attempt.new.at, frugal);
        let (versions, loaded, appends) =
            (&mut self.input_versions, &mut self.loaded, &mut self.appends);
        let (made_of, kept, reused) = (&mut self.provenance, &mut self.kept, &mut self.reused);
        let work = caught(async {
            let (mut step, mut context) = (step, context);
            let computing = &run.engine.computing;
            let _turn = if frugal {
                Either::Left(computing.write().await)
            } else {
                Either::Right(computing.read().await)
            };
            if let Some(known) = run.known(&step).await? {
                if !known.fresh.is_empty() || !known.reusable.is_empty() {
                    *kept = parts_of(&run, &step, &known.fresh).await?;
                    *reused = parts_of(&run, &step, &known.reusable).await?;
                    let Some(left) = without(&step, &known) else { return Ok(None) };
                    context.partitions.clone_from(&left.node.partitions);
                    step = Arc::new(left);
                }
                *made_of = Some(known.now);
            }
            let Inputs { bound, versions: found, loaded: told } = run.inputs(&step).await?;
            versions.clone_from(&found);
            *loaded = told;
            context = context.with_inputs(bound);
            context.previous = previous_of(&run, &step).await?;
            *appends = context.previous.is_some() && step.node.appends();
            let input = AttemptInput { context, version, input_versions: found, counters, frugal };
            attempt(&run.engine, &step.node, input).await.map(Some)
        });
        tokio::select! {
            biased;
            () = cancel.cancelled() => Outcome::Canceled,
            done = work => match done {
                Ok(Ok(Some(written))) => Outcome::Written(written),
                Ok(Ok(None)) => Outcome::Stored,
                Ok(Err(error)) => Outcome::Failed(error.into()),
                Err(panic) => {
                    tracing::error!(backtrace = %panic.backtrace, "{panic}");
                    Outcome::Failed(panic.to_string().into())
                }
            },
            () = engine.clock.sleep(limit) => {
                let seconds = limit.as_secs_f64();
                Outcome::Failed(format!("it took longer than its limit of {seconds} s").into())
            }
        }
    }

    /// Fails for good.
    async fn give_up(&self, failed: Failed) -> StepEnd {
        let end = self.failed(&failed.error).await;
        run_hooks(&self.run, &self.step, HookEvent::Failure, Some(failed.error)).await;
        end
    }

    /// Remembers what the checks have found; returns why nothing is published, if so.
    async fn tell_checks(&self, written: &Written) -> Option<String> {
        if written.checks.is_empty() {
            return None;
        }
        let at = self.run.engine.clock.now();
        let tell = |check: &Evaluated| Tell {
            run_id: self.run.run_id,
            step_key: Some(self.step.key.clone()),
            asset: Some(check.asset.clone()),
            event: check.event.clone(),
            at,
        };
        let told = written.checks.iter().map(tell).collect();
        let instance = &self.run.engine.instance;
        let told = match self.attempt.announce(instance).await {
            Ok(()) => instance.tell(told).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = told {
            return Some(format!("its checks were not recorded: {}", chain(&error)));
        }
        let blocking: Vec<&str> =
            written.checks.iter().filter_map(|check| check.blocking.as_deref()).collect();
        (!blocking.is_empty()).then(|| blocking.join("; "))
    }

    pub(super) fn notice_end(
        &self,
        state: StepState,
        rows: u64,
        bytes: u64,
        reason: Option<String>,
    ) {
        self.run.observer.notice(Progress::StepEnded {
            step: self.step.key.clone(),
            state,
            rows,
            bytes,
            elapsed: self.elapsed(),
            reason,
        });
    }

    /// The wait before the next attempt, if there is to be one.
    fn wait_before_retry(&self, hint: &Hint) -> Option<Duration> {
        if self.run.cancel.is_cancelled() {
            return None;
        }
        match hint {
            Hint::Never => None,
            Hint::Requested { max_retries, wait } => (self.number <= *max_retries).then_some(*wait),
            Hint::NeedsLessMemory if !self.frugal => Some(Duration::ZERO),
            Hint::AsThePolicySays | Hint::NeedsLessMemory => {
                let policy = self.step.node.policy.retry?;
                let retries = self.number <= policy.max_retries;
                retries.then(|| policy.wait(self.number, fastrand::f64()))
            }
        }
    }

    async fn up_for_retry(&self, error: &str, wait: Duration) {
        tracing::warn!(error, attempt = self.number, "the attempt failed and is tried again");
        let wait_ms = wait.as_millis().try_into().unwrap_or(u64::MAX);
        let event = Event::StepUpForRetry { error: error.to_owned(), wait_ms };
        self.end(AttemptStatus::Failure, StepState::UpForRetry, error, event).await;
        let step = self.step.key.clone();
        self.run.observer.notice(Progress::StepRetrying { step, error: error.to_owned(), wait });
    }

    async fn failed(&self, error: &str) -> StepEnd {
        tracing::error!(error, attempt = self.number, "the step failed");
        let event = Event::StepFailure { error: error.to_owned() };
        self.end(AttemptStatus::Failure, StepState::Failure, error, event).await;
        self.notice_end(StepState::Failure, 0, 0, Some(error.to_owned()));
        StepEnd::new(self.at, StepState::Failure)
    }

    async fn canceled(&self) -> StepEnd {
        let reason = "the run was asked to stop";
        let event = Event::StepCanceled { reason: reason.to_owned() };
        self.end(AttemptStatus::Canceled, StepState::Canceled, reason, event).await;
        self.notice_end(StepState::Canceled, 0, 0, Some(reason.to_owned()));
        StepEnd::new(self.at, StepState::Canceled)
    }

    /// Ends the attempt in the instance. If that fails, the end of the run or its recovery does it.
    pub(super) async fn end(
        &self,
        status: AttemptStatus,
        state: StepState,
        reason: &str,
        event: Event,
    ) {
        let end = EndAttempt {
            attempt_id: self.attempt.new.attempt_id,
            run_id: self.run.run_id,
            step_key: self.step.key.clone(),
            status,
            state,
            reason: reason.to_owned(),
            event,
            at: self.run.engine.clock.now(),
        };
        let instance = &self.run.engine.instance;
        let ended = match self.attempt.announce(instance).await {
            Ok(()) => instance.end_attempt(end).await.map_err(Into::into),
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            tracing::error!(error = %chain(&error), "the end of the attempt was not recorded");
        }
    }
}
