//! What a run tells while it goes on.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrowsmith_instance::{RunId, RunStatus, StepState};

/// Rows that have come by so far; read while the step runs.
#[derive(Debug, Default)]
pub struct Counters {
    rows: AtomicU64,
}

impl Counters {
    /// Rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    pub(crate) fn add_rows(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

/// One thing that a run tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Progress {
    /// It began.
    RunStarted {
        /// Its id.
        run_id: RunId,
        /// How many steps it has.
        steps: usize,
    },
    /// An attempt of a step began.
    StepStarted {
        /// The step.
        step: String,
        /// Counted from one.
        attempt: u32,
        /// What it has done so far.
        counters: Arc<Counters>,
    },
    /// A step failed and waits for its next attempt.
    StepRetrying {
        /// The step.
        step: String,
        /// With all causes.
        error: String,
        /// How long it waits.
        wait: Duration,
    },
    /// A step has succeeded, but something around it has not.
    StepWarned {
        /// The step.
        step: String,
        /// What, with all causes.
        warning: String,
    },
    /// A step came to its end.
    StepEnded {
        /// The step.
        step: String,
        /// How.
        state: StepState,
        /// Rows that it published.
        rows: u64,
        /// Bytes that it published.
        bytes: u64,
        /// How long it took.
        elapsed: Duration,
        /// Why it failed or did not run.
        reason: Option<String>,
    },
    /// The run was asked to stop, and does so.
    Stopping {
        /// By what.
        reason: String,
    },
    /// It came to its end.
    RunEnded {
        /// How.
        status: RunStatus,
    },
}

/// Is told what happens; must not block.
pub trait Observer: fmt::Debug + Send + Sync {
    /// One thing has happened.
    fn notice(&self, progress: Progress);
}

/// Does not care.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Observer for Silent {
    fn notice(&self, _progress: Progress) {}
}
