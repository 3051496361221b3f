//! What happened, in order; append-only.

use serde::{Deserialize, Serialize};

use crate::TimeMicros;

/// One thing that happened in a run. The names are Dagster's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Event {
    /// The run began.
    RunStart {
        /// How many steps it has.
        steps: usize,
    },
    /// The run ended well.
    RunSuccess,
    /// The run ended with failures.
    RunFailure {
        /// In one sentence.
        reason: String,
    },
    /// The run was stopped.
    RunCanceled {
        /// By what.
        reason: String,
    },
    /// An attempt began.
    StepStart {
        /// Counted from one.
        attempt: u32,
        /// The version that it is going to write.
        version: String,
    },
    /// A version became current.
    AssetMaterialization {
        /// The version.
        version: String,
        /// Its rows.
        row_count: u64,
        /// Its bytes.
        size_bytes: u64,
    },
    /// The step is done.
    StepSuccess {
        /// How long it took, in microseconds.
        duration_us: u64,
    },
    /// The step failed for good.
    StepFailure {
        /// With all causes.
        error: String,
    },
    /// The step failed and waits for its next attempt.
    StepUpForRetry {
        /// With all causes.
        error: String,
        /// How long it waits.
        wait_ms: u64,
    },
    /// The step did not run.
    StepSkipped {
        /// Because of what.
        reason: String,
    },
    /// The step was stopped.
    StepCanceled {
        /// Because of what.
        reason: String,
    },
}

impl Event {
    /// The name, such as `STEP_START`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunStart { .. } => "RUN_START",
            Self::RunSuccess => "RUN_SUCCESS",
            Self::RunFailure { .. } => "RUN_FAILURE",
            Self::RunCanceled { .. } => "RUN_CANCELED",
            Self::StepStart { .. } => "STEP_START",
            Self::AssetMaterialization { .. } => "ASSET_MATERIALIZATION",
            Self::StepSuccess { .. } => "STEP_SUCCESS",
            Self::StepFailure { .. } => "STEP_FAILURE",
            Self::StepUpForRetry { .. } => "STEP_UP_FOR_RETRY",
            Self::StepSkipped { .. } => "STEP_SKIPPED",
            Self::StepCanceled { .. } => "STEP_CANCELED",
        }
    }
}

/// An event as it is read back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EventRecord {
    /// Rises with time, within a run and across runs.
    pub event_id: i64,
    /// When it happened.
    pub at: TimeMicros,
    /// The step, if it is about one.
    pub step_key: Option<String>,
    /// The asset, if it is about one.
    pub asset: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}
