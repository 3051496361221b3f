//! The concurrent executor: a step starts when its inputs are there and a slot is free.

mod announce;
mod confirm;
mod expand;
mod hooks;
mod inputs;
mod publish;
mod ready;
mod resources;
mod run;
mod step;
mod verify;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrowsmith_instance::{
    BackfillId, EndRun, EndStep, NewRun, ProcessIdentity, RunId, RunStatus, StepState,
};
use futures::future::OptionFuture;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use crate::{Engine, Observer, Plan, Progress, Result};
use announce::UNANNOUNCED_MAX;
use resources::RunResources;
use run::Run;
use step::StepEnd;
pub use verify::{Verdict, Verified};

/// How long a run is believed to live without another word.
const LEASE: Duration = Duration::from_secs(30);
/// How often it looks whether it is to stop.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How often it gives a word: with every so many looks.
const RENEW_EVERY: u32 = 10;
/// Steps that wait for a slot, compute, or have computed and wait for their transaction.
const TASKS_MAX: usize = 1024;
/// How long steps may take to notice that they are to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
/// How often a run looks whether a pool has a slot that another run held.
const POOL_POLL: Duration = Duration::from_millis(50);
/// The label whose value says how many seconds a run may take.
const RUNTIME_TAG: &str = "arrowsmith/max_runtime";
const RUN_TIMEOUT: Duration = Duration::from_hours(24);

/// How a plan is carried out.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// Steps that compute at the same time; the project's limit, else the number of processors.
    pub max_concurrent: Option<usize>,
    /// Whether the first failure stops everything.
    pub fail_fast: bool,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// The backfill that the run is a part of.
    pub backfill: Option<BackfillId>,
    /// The run of the queue that it is; a new one if it is open.
    pub queued: Option<RunId>,
}

/// How a run ended.
#[derive(Debug, Clone)]
pub struct RunReport {
    /// Its id.
    pub run_id: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// How many steps ended in each state.
    pub steps: BTreeMap<&'static str, usize>,
    /// Why it did not end well.
    pub error: Option<String>,
    /// From its beginning to its end.
    pub elapsed: Duration,
}

impl Engine {
    /// Carries out a plan. Cancelling `cancel` stops it in an orderly way.
    ///
    /// # Errors
    /// Only of the instance; failures of steps are in the report.
    pub async fn run(
        self: &Arc<Self>,
        plan: Plan,
        options: RunOptions,
        cancel: CancellationToken,
        observer: Arc<dyn Observer>,
    ) -> Result<RunReport> {
        let run_id = options.queued.unwrap_or_else(|| RunId(Uuid::now_v7()));
        let span = tracing::info_span!(
            "run",
            run_id = %run_id,
            selection = plan.selection,
            job = plan.job,
            status = Empty,
            otel.status_code = Empty,
        );
        if let Some(path) = self.instance.log_path(run_id) {
            self.logs.open(run_id, &path);
        }
        let engine = Arc::clone(self);
        let running = async move { engine.run_as(run_id, plan, options, cancel, observer).await };
        // Among the threads of its steps each of them wakes it without the system's help.
        let running = tokio::spawn(running.instrument(span.clone()));
        let report = match AbortOnDropHandle::new(running).await {
            Ok(report) => report,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.logs.close(run_id);
        let status = report.as_ref().map_or(RunStatus::Failure, |report| report.status);
        span.record("status", status.as_str());
        if status == RunStatus::Failure {
            span.record("otel.status_code", "ERROR");
        }
        report
    }

    async fn run_as(
        self: &Arc<Self>,
        run_id: RunId,
        plan: Plan,
        options: RunOptions,
        cancel: CancellationToken,
        observer: Arc<dyn Observer>,
    ) -> Result<RunReport> {
        let began = self.clock.now();
        self.instance
            .start_run(NewRun {
                run_id,
                environment: plan.environment.clone(),
                selection: plan.selection.clone(),
                tags: options.tags.clone(),
                job: plan.job.clone(),
                parent: plan.parent,
                root: plan.root.unwrap_or(run_id),
                config: plan.config.clone(),
                partitions: plan.partitions.clone(),
                backfill: options.backfill,
                process: ProcessIdentity::current(),
                lease_until: began + micros(LEASE),
                at: began,
                steps: plan.steps.iter().map(|step| step.key.clone()).collect(),
                pins: plan.pins(),
            })
            .await?;
        observer.notice(Progress::RunStarted { run_id, steps: plan.steps.len() });
        let ended = match RunResources::set_up(self, run_id, &plan).await {
            Ok(resources) => {
                let (engine, values) = (Arc::clone(self), resources.values.clone());
                let run = Run::new(engine, run_id, plan, &options, values, Arc::clone(&observer));
                let run = Arc::new(run);
                let ended = Loop::new(Arc::clone(&run), options.fail_fast).drive(cancel).await;
                run::free(run);
                resources.tear_down().await;
                ended
            }
            Err(reason) => Ok(Ended::before(&plan, reason)),
        };
        let at = self.clock.now();
        let (status, error) = match &ended {
            Ok(ended) => (ended.status, ended.error.clone()),
            Err(error) => (RunStatus::Failure, Some(crate::error::chain(error))),
        };
        self.instance.end_run(EndRun { run_id, status, error, crashed: false, at }).await?;
        observer.notice(Progress::RunEnded { status });
        let elapsed = Duration::from_micros((at - began).try_into().unwrap_or_default());
        let ended = ended?;
        Ok(RunReport { run_id, status, steps: ended.states, error: ended.error, elapsed })
    }
}

pub(crate) fn micros(duration: Duration) -> i64 {
    duration.as_micros().try_into().unwrap_or(i64::MAX)
}

struct Ended {
    status: RunStatus,
    error: Option<String>,
    states: BTreeMap<&'static str, usize>,
}

impl Ended {
    /// A run that failed before its first step.
    fn before(plan: &Plan, reason: String) -> Self {
        let states = BTreeMap::from([(StepState::Canceled.as_str(), plan.steps.len())]);
        Self { status: RunStatus::Failure, error: Some(reason), states }
    }
}

/// The scheduling loop. It alone decides what is ready, failed and skipped.
struct Loop {
    run: Arc<Run>,
    /// `None` is a step that stood for those of a dynamic output, and was replaced by them.
    states: Vec<Option<StepState>>,
    tasks: JoinSet<Result<Option<StepEnd>>>,
    fail_fast: bool,
    /// Whether every ready step waits for a pool.
    pools_full: bool,
    /// Why nothing new is started any more.
    stopping: Option<String>,
    canceled: bool,
}

impl Loop {
    fn new(run: Arc<Run>, fail_fast: bool) -> Self {
        let count = run.shape().steps.len();
        let mut this = Self {
            states: vec![Some(StepState::Planned); count],
            tasks: JoinSet::new(),
            fail_fast,
            pools_full: false,
            stopping: None,
            canceled: false,
            run,
        };
        (0..count).for_each(|at| this.push_if_free(at));
        this
    }

    /// A planned step that waits for nothing becomes ready.
    fn push_if_free(&mut self, at: usize) {
        let run = Arc::clone(&self.run);
        let shape = run.shape();
        let is_free = shape.waiting_for[at] == 0 && shape.steps[at].node.mapped_over.is_none();
        if is_free && self.states[at] == Some(StepState::Planned) {
            self.states[at] = Some(StepState::Running);
            self.run.ready.push(shape.steps[at].longest_path, at);
        }
    }

    async fn drive(mut self, cancel: CancellationToken) -> Result<Ended> {
        let engine = Arc::clone(&self.run.engine);
        let said = self.run.tags.get(RUNTIME_TAG).and_then(|seconds| seconds.parse().ok());
        let said = said.map(Duration::from_secs);
        let limit = said.or(engine.limits.run_timeout).unwrap_or(RUN_TIMEOUT);
        let mut timeout = engine.clock.sleep(limit);
        let mut heartbeat = engine.clock.sleep(HEARTBEAT);
        let mut announce = engine.clock.sleep(UNANNOUNCED_MAX);
        let mut beats = 0_u32;
        let (mut next_look, mut grace) = (None, None);
        loop {
            let wants_start = self.stopping.is_none() && !self.run.ready.is_empty();
            if !wants_start && self.tasks.is_empty() {
                break;
            }
            if wants_start && !self.pools_full {
                self.spawn_workers();
                next_look = None;
            } else if self.pools_full {
                next_look.get_or_insert_with(|| engine.clock.sleep(POOL_POLL));
            }
            if self.stopping.is_some() {
                grace.get_or_insert_with(|| engine.clock.sleep(STOP_GRACE));
            }
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !self.canceled => {
                    self.canceled = true;
                    self.stop("it was asked to stop");
                }
                Some(done) = self.tasks.join_next() => {
                    self.done(done).await?;
                    while let Some(done) = self.tasks.try_join_next() {
                        self.done(done).await?;
                    }
                }
                // Another run may hold the pools, and nothing tells when it lets go.
                Some(()) = OptionFuture::from(next_look.as_mut()) => {
                    next_look = None;
                    self.look_at_pools();
                }
                () = &mut announce => {
                    self.run.unannounced.announce(&engine.instance, engine.clock.now()).await?;
                    announce = engine.clock.sleep(UNANNOUNCED_MAX);
                }
                () = &mut timeout => {
                    self.stop(&format!("the run took longer than {} s", limit.as_secs()));
                    timeout = engine.clock.sleep(RUN_TIMEOUT);
                }
                () = &mut heartbeat => {
                    beats += 1;
                    if beats.is_multiple_of(RENEW_EVERY) {
                        let lease_until = engine.clock.now() + micros(LEASE);
                        engine.instance.renew(self.run.run_id, lease_until).await?;
                    }
                    // A look that fails is made up for by the next one.
                    let asked = engine.instance.is_to_stop(self.run.run_id).await;
                    if !self.canceled && asked.unwrap_or(false) {
                        self.canceled = true;
                        self.stop("it was asked to stop");
                    }
                    heartbeat = engine.clock.sleep(HEARTBEAT);
                }
                Some(()) = OptionFuture::from(grace.as_mut()) => {
                    self.tasks.abort_all();
                    while self.tasks.join_next().await.is_some() {}
                }
            }
        }
        self.finish().await
    }

    /// One task for each ready step that has none, as long as there may be more.
    fn spawn_workers(&mut self) {
        while self.tasks.len() < TASKS_MAX && self.run.ready.wants_worker() {
            // The spans of steps are within that of the run.
            self.tasks.spawn(ready::work(Arc::clone(&self.run)).in_current_span());
        }
    }

    fn stop(&mut self, reason: &str) {
        if self.stopping.is_none() {
            self.stopping = Some(reason.to_owned());
            self.run.canceled.store(true, Ordering::Release);
            self.run.cancel.cancel();
            self.run.observer.notice(Progress::Stopping { reason: reason.to_owned() });
        }
    }

    fn look_at_pools(&mut self) {
        self.pools_full = false;
        self.run.ready.look_at_pools();
    }

    /// A task has come to its end.
    async fn done(
        &mut self,
        done: std::result::Result<Result<Option<StepEnd>>, JoinError>,
    ) -> Result<()> {
        match done {
            Ok(Ok(Some(end))) => self.ended(end).await,
            Ok(Ok(None)) => {
                self.pools_full = self.run.ready.waits_for_pools();
                Ok(())
            }
            Ok(Err(error)) => Err(error),
            // A step's own panics are caught in it; this is a fault of the executor.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    async fn ended(&mut self, end: StepEnd) -> Result<()> {
        self.look_at_pools();
        self.states[end.at] = Some(end.state);
        self.run.engine.free_slot(self.run.run_id, &self.run.step(end.at)).await?;
        match end.state {
            StepState::Success | StepState::Confirmed | StepState::Reused => {
                self.expand(end.at, &end.mapping_keys).await?;
                self.release(end.at).await?;
            }
            StepState::Failure => {
                self.skip_readers(end.at).await?;
                if self.fail_fast {
                    let key = &self.run.step(end.at).key;
                    self.stop(&format!("`{key}` failed, and --fail-fast was asked for"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Tells the readers of a step that it has ended without a failure. Those that wait for nothing
    /// more become ready, or are skipped because an output was not emitted, which may let others go.
    async fn release(&mut self, at: usize) -> Result<()> {
        let mut pending = VecDeque::from([at]);
        while let Some(at) = pending.pop_front() {
            let readers = self.run.shape().readers[at].clone();
            for reader in readers {
                let step = {
                    let mut shape = self.run.shape();
                    shape.waiting_for[reader] = shape.waiting_for[reader].saturating_sub(1);
                    if shape.waiting_for[reader] > 0 {
                        continue;
                    }
                    Arc::clone(&shape.steps[reader])
                };
                if self.states[reader] != Some(StepState::Planned) {
                    continue;
                }
                if let Some(reason) = self.run.missing_output(&step) {
                    self.states[reader] = Some(StepState::Skipped);
                    self.end_steps(&[reader], StepState::Skipped, &reason).await?;
                    pending.push_back(reader);
                } else {
                    self.push_if_free(reader);
                }
            }
        }
        Ok(())
    }

    /// Everything downstream of a failed step, which can no longer be computed.
    async fn skip_readers(&mut self, failed: usize) -> Result<()> {
        let (reason, mut pending) = {
            let shape = self.run.shape();
            let reason = format!("upstream `{}` failed", shape.steps[failed].key);
            (reason, shape.readers[failed].clone())
        };
        let mut skipped = Vec::new();
        while let Some(at) = pending.pop() {
            if self.states[at] == Some(StepState::Planned) {
                self.states[at] = Some(StepState::Skipped);
                skipped.push(at);
                pending.extend(self.run.shape().readers[at].iter().copied());
            }
        }
        skipped.sort_unstable();
        self.end_steps(&skipped, StepState::Skipped, &reason).await
    }

    async fn end_steps(&self, steps: &[usize], state: StepState, reason: &str) -> Result<()> {
        if steps.is_empty() {
            return Ok(());
        }
        let at = self.run.engine.clock.now();
        let keys: Vec<String> = steps.iter().map(|i| self.run.step(*i).key.clone()).collect();
        let end = |step_key: &String| EndStep {
            run_id: self.run.run_id,
            step_key: step_key.clone(),
            state,
            reason: reason.to_owned(),
            at,
        };
        self.run.engine.instance.end_steps(keys.iter().map(end).collect()).await?;
        for step in keys {
            self.run.observer.notice(Progress::StepEnded {
                step,
                state,
                rows: 0,
                bytes: 0,
                elapsed: Duration::ZERO,
                reason: Some(reason.to_owned()),
            });
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Ended> {
        let is_open = |at: &usize| self.states[*at].is_some_and(|state| !state.is_final());
        let open: Vec<usize> = (0..self.states.len()).filter(is_open).collect();
        let reason = self.stopping.clone().unwrap_or_default();
        let state = if self.canceled { StepState::Canceled } else { StepState::Skipped };
        self.end_steps(&open, state, &reason).await?;
        for at in open {
            self.states[at] = Some(state);
        }
        let mut states = BTreeMap::new();
        for state in self.states.iter().flatten() {
            *states.entry(state.as_str()).or_insert(0) += 1;
        }
        let count = states.values().sum::<usize>();
        let failed = states.get(StepState::Failure.as_str()).copied().unwrap_or(0);
        let (status, error) = if self.canceled {
            (RunStatus::Canceled, Some(reason))
        } else if failed > 0 {
            (RunStatus::Failure, Some(format!("{failed} of {count} steps failed")))
        } else if !reason.is_empty() {
            (RunStatus::Failure, Some(reason))
        } else {
            (RunStatus::Success, None)
        };
        Ok(Ended { status, error, states })
    }
}
