//! The concurrent executor: a step starts when its inputs are there and a slot is free.

mod run;
mod step;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_instance::{EndRun, EndStep, NewRun, ProcessIdentity, RunId, RunStatus, StepState};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use uuid::Uuid;

use crate::{Engine, Observer, Plan, Progress, Result};
use run::Run;
use step::{Begun, StepEnd};

/// How long a run is believed to live without another word.
const LEASE: Duration = Duration::from_secs(30);
/// How often it gives one.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Steps that have computed and wait for their transaction; more than this wait for a slot.
const PUBLISHING_MAX: usize = 1024;
/// How long steps may take to notice that they are to stop.
const STOP_GRACE: Duration = Duration::from_secs(5);
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
    /// From its beginning to its end.
    pub elapsed: Duration,
}

/// The longest path first; among equals the order of the plan.
type Ready = BinaryHeap<(usize, Reverse<usize>)>;

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
        let run_id = RunId(Uuid::now_v7());
        let span = tracing::info_span!("run", run_id = %run_id);
        if let Some(path) = self.instance.log_path(run_id) {
            self.logs.open(run_id, &path);
        }
        let report = self.run_as(run_id, plan, options, cancel, observer).instrument(span).await;
        self.logs.close(run_id);
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
                process: ProcessIdentity::current(),
                lease_until: began + micros(LEASE),
                at: began,
                steps: plan.steps.iter().map(|step| step.key.clone()).collect(),
                pins: plan.pinned.values().map(|pointer| pointer.version).collect(),
            })
            .await?;
        observer.notice(Progress::RunStarted { run_id, steps: plan.steps.len() });
        let run =
            Run::new(Arc::clone(self), run_id, plan, &options, cancel.child_token(), observer);
        let run = Arc::new(run);
        let ended = Loop::new(Arc::clone(&run), options.fail_fast).drive(cancel).await;
        let at = self.clock.now();
        let (status, error) = match &ended {
            Ok(ended) => (ended.status, ended.error.clone()),
            Err(error) => (RunStatus::Failure, Some(crate::error::chain(error))),
        };
        self.instance.end_run(EndRun { run_id, status, error, at }).await?;
        run.observer.notice(Progress::RunEnded { status });
        let elapsed = Duration::from_micros((at - began).try_into().unwrap_or_default());
        Ok(RunReport { run_id, status, steps: ended?.states, elapsed })
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

/// The scheduling loop. It alone decides what is ready, failed and skipped.
struct Loop {
    run: Arc<Run>,
    ready: Ready,
    begun: BTreeMap<usize, Begun>,
    waiting_for: Vec<usize>,
    states: Vec<StepState>,
    tasks: JoinSet<StepEnd>,
    fail_fast: bool,
    /// Why nothing new is started any more.
    stopping: Option<String>,
    canceled: bool,
}

impl Loop {
    fn new(run: Arc<Run>, fail_fast: bool) -> Self {
        let steps = &run.plan.steps;
        let waiting_for: Vec<usize> = steps.iter().map(|step| step.after.len()).collect();
        let ready = (0..steps.len())
            .filter(|at| waiting_for[*at] == 0)
            .map(|at| (steps[at].longest_path, Reverse(at)))
            .collect();
        Self {
            ready,
            waiting_for,
            states: vec![StepState::Planned; steps.len()],
            begun: BTreeMap::new(),
            tasks: JoinSet::new(),
            fail_fast,
            stopping: None,
            canceled: false,
            run,
        }
    }

    async fn drive(mut self, cancel: CancellationToken) -> Result<Ended> {
        let engine = Arc::clone(&self.run.engine);
        let limit = engine.limits.run_timeout.unwrap_or(RUN_TIMEOUT);
        let mut timeout = engine.clock.sleep(limit);
        let mut heartbeat = engine.clock.sleep(HEARTBEAT);
        loop {
            let may_start = self.stopping.is_none()
                && !self.ready.is_empty()
                && self.tasks.len() < PUBLISHING_MAX;
            if !may_start && self.tasks.is_empty() {
                break;
            }
            let slots = Arc::clone(&self.run.slots);
            tokio::select! {
                biased;
                () = cancel.cancelled(), if !self.canceled => {
                    self.canceled = true;
                    self.stop("it was asked to stop");
                }
                Some(done) = self.tasks.join_next() => match done {
                    Ok(end) => self.ended(end).await?,
                    // A step's own panics are caught in it; this is a fault of the executor.
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                Ok(slot) = slots.acquire_owned(), if may_start => self.start(slot),
                () = &mut timeout => {
                    self.stop(&format!("the run took longer than {} s", limit.as_secs()));
                    timeout = engine.clock.sleep(RUN_TIMEOUT);
                }
                () = &mut heartbeat => {
                    let lease_until = engine.clock.now() + micros(LEASE);
                    engine.instance.renew(self.run.run_id, lease_until).await?;
                    heartbeat = engine.clock.sleep(HEARTBEAT);
                }
                () = engine.clock.sleep(STOP_GRACE), if self.stopping.is_some() => {
                    self.tasks.abort_all();
                    while self.tasks.join_next().await.is_some() {}
                }
            }
        }
        self.finish().await
    }

    fn start(&mut self, slot: OwnedSemaphorePermit) {
        let Some((_, Reverse(at))) = self.ready.pop() else { return };
        self.states[at] = StepState::Running;
        let begun = self.begun.remove(&at);
        let step = tracing::info_span!("step", step = %self.run.plan.steps[at].key);
        let work = step::run_step(Arc::clone(&self.run), at, slot, begun);
        self.tasks.spawn(work.instrument(step));
    }

    fn stop(&mut self, reason: &str) {
        if self.stopping.is_none() {
            self.stopping = Some(reason.to_owned());
            self.run.cancel.cancel();
            self.run.observer.notice(Progress::Stopping { reason: reason.to_owned() });
        }
    }

    async fn ended(&mut self, end: StepEnd) -> Result<()> {
        self.states[end.at] = end.state;
        self.begun.extend(end.begun);
        match end.state {
            StepState::Success => {
                for at in self.run.readers[end.at].clone() {
                    self.waiting_for[at] -= 1;
                    self.run.published_input(at);
                    if self.waiting_for[at] == 0 && self.states[at] == StepState::Planned {
                        self.ready.push((self.run.plan.steps[at].longest_path, Reverse(at)));
                    }
                }
            }
            StepState::Failure => {
                self.skip_readers(end.at).await?;
                if self.fail_fast {
                    let key = &self.run.plan.steps[end.at].key;
                    self.stop(&format!("`{key}` failed, and --fail-fast was asked for"));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Everything downstream of a failed step, which can no longer be computed.
    async fn skip_readers(&mut self, failed: usize) -> Result<()> {
        let reason = format!("upstream `{}` failed", self.run.plan.steps[failed].key);
        let mut pending = self.run.readers[failed].clone();
        let mut skipped = Vec::new();
        while let Some(at) = pending.pop() {
            if self.states[at] == StepState::Planned {
                self.states[at] = StepState::Skipped;
                skipped.push(at);
                pending.extend(self.run.readers[at].iter().copied());
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
        let end = |i: &usize| EndStep {
            run_id: self.run.run_id,
            step_key: self.run.plan.steps[*i].key.clone(),
            state,
            reason: reason.to_owned(),
            at,
        };
        self.run.engine.instance.end_steps(steps.iter().map(end).collect()).await?;
        for i in steps {
            self.run.observer.notice(Progress::StepEnded {
                step: self.run.plan.steps[*i].key.clone(),
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
        let open: Vec<usize> = (0..self.states.len())
            .filter(|at| matches!(self.states[*at], StepState::Planned | StepState::Running))
            .collect();
        let reason = self.stopping.clone().unwrap_or_default();
        let state = if self.canceled { StepState::Canceled } else { StepState::Skipped };
        self.end_steps(&open, state, &reason).await?;
        for at in open {
            self.states[at] = state;
        }
        let mut states = BTreeMap::new();
        for state in &self.states {
            *states.entry(state.as_str()).or_insert(0) += 1;
        }
        let failed = self.states.iter().filter(|s| **s == StepState::Failure).count();
        let (status, error) = if self.canceled {
            (RunStatus::Canceled, Some(reason))
        } else if failed > 0 {
            (RunStatus::Failure, Some(format!("{failed} of {} steps failed", self.states.len())))
        } else if !reason.is_empty() {
            (RunStatus::Failure, Some(reason))
        } else {
            (RunStatus::Success, None)
        };
        Ok(Ended { status, error, states })
    }
}
