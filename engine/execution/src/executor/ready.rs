//! Steps whose inputs are there, and the tasks that work them off: each takes a slot, and then the step
//! that is most urgent by that time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrowsmith_instance::StepState;
use tracing::Instrument;
use tracing::field::Empty;

use super::run::Run;
use super::step::{Held, StepEnd, run_step};
use crate::Result;
use crate::pools::PoolSlot;

/// The longest path first; among equals the order of the plan.
type Urgency = (usize, Reverse<usize>);

/// Steps that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct Ready {
    steps: Mutex<BinaryHeap<Urgency>>,
    /// Tasks that wait for a slot.
    workers: AtomicUsize,
    /// Whether no step could be taken because no pool has a slot.
    waits_for_pools: AtomicBool,
}

/// Tasks that wait for a slot, at most: as many as may take one before more are made.
const WORKERS_MAX: usize = 64;

impl Ready {
    pub(super) fn push(&self, longest_path: usize, at: usize) {
        self.steps().push((longest_path, Reverse(at)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.steps().is_empty()
    }

    /// Counts one more task if there are more steps than tasks that are going to take them.
    pub(super) fn wants_worker(&self) -> bool {
        let wants = self.steps().len().min(WORKERS_MAX) > self.workers.load(Ordering::Acquire);
        if wants {
            self.workers.fetch_add(1, Ordering::AcqRel);
        }
        wants
    }

    pub(super) fn waits_for_pools(&self) -> bool {
        self.waits_for_pools.load(Ordering::Acquire)
    }

    /// Something may have changed about the pools.
    pub(super) fn look_at_pools(&self) {
        self.waits_for_pools.store(false, Ordering::Release);
    }

    fn steps(&self) -> MutexGuard<'_, BinaryHeap<Urgency>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a slot and the most urgent step, and carries it out. `None` if there is none whose pool has a
/// slot, or nothing new is to begin.
pub(super) async fn work(run: Arc<Run>) -> Result<Option<StepEnd>> {
    let slot = Arc::clone(&run.slots).acquire_owned().await;
    let waits = run.cancel.is_cancelled() || run.ready.waits_for_pools();
    let taken = if waits { Ok(None) } else { take(&run).await };
    run.ready.workers.fetch_sub(1, Ordering::AcqRel);
    let (Ok(slot), Some((at, pool))) = (slot, taken?) else { return Ok(None) };
    let step = run.step(at);
    let span = tracing::info_span!(
        "step",
        step = %step.key,
        state = Empty,
        otel.name = step.key,
        otel.status_code = Empty,
    );
    // It is several kilobytes, which would be copied from hand to hand.
    let carried_out = Box::pin(run_step(run, at, Held(slot, pool)));
    let told = async move {
        let end = carried_out.await;
        let span = tracing::Span::current();
        span.record("state", end.state.as_str());
        if end.state == StepState::Failure {
            span.record("otel.status_code", "ERROR");
        }
        end
    };
    Ok(Some(told.instrument(span).await))
}

/// The most urgent step whose pool has a slot, with that slot.
async fn take(run: &Run) -> Result<Option<(usize, PoolSlot)>> {
    let (mut waiting, mut taken) = (Vec::new(), Ok(None));
    loop {
        let Some((path, Reverse(at))) = run.ready.steps().pop() else { break };
        match run.engine.take_slot(run.run_id, &run.step(at)).await {
            Ok(Some(pool)) => {
                taken = Ok(Some((at, pool)));
                break;
            }
            Ok(None) => waiting.push((path, Reverse(at))),
            Err(error) => {
                taken = Err(error);
                break;
            }
        }
    }
    if matches!(taken, Ok(None)) && !waiting.is_empty() {
        run.ready.waits_for_pools.store(true, Ordering::Release);
    }
    run.ready.steps().extend(waiting);
    taken
}
