//! What happened, in order; append-only.

use serde::{Deserialize, Serialize};

use crate::TimeMicros;

/// One thing that happened in a run. The names are Dagster's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum Event {
    /// The run waits.
    RunEnqueued {
        /// Who asked for it.
        origin: String,
    },
    /// The run was handed to a process.
    RunStarting,
    /// The run was asked to stop.
    RunCanceling {
        /// By what.
        reason: String,
    },
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
    /// A value for an input was found.
    LoadedInput {
        /// The name of the input.
        input: String,
        /// The asset, or the step and output, that it comes from.
        from: String,
    },
    /// A value was computed.
    StepOutput {
        /// The name of the output.
        output: String,
        /// Which of a dynamic output it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mapping_key: Option<String>,
    },
    /// A value was stored.
    HandledOutput {
        /// The name of the output.
        output: String,
        /// The name of the IO manager.
        io_manager: String,
    },
    /// A check has looked at a version that is not published yet.
    AssetCheckEvaluation {
        /// The name of the check.
        check: String,
        /// The version.
        version: String,
        /// Whether it holds.
        passed: bool,
        /// `warn` or `error`.
        severity: String,
        /// Whether its failure keeps the version from being published.
        blocks: bool,
        /// How many rows it does not hold for, if it is about rows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failing_rows: Option<u64>,
        /// A few of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        sample: Vec<serde_json::Value>,
        /// What was found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        found: Option<String>,
    },
    /// A hook has done its work.
    HookCompleted {
        /// Its name.
        hook: String,
    },
    /// A hook failed, which changes nothing for its step.
    HookErrored {
        /// Its name.
        hook: String,
        /// With all causes.
        error: String,
    },
    /// A resource was set up for the run.
    ResourceInitSuccess {
        /// Its name.
        resource: String,
    },
    /// A resource could not be set up.
    ResourceInitFailure {
        /// Its name.
        resource: String,
        /// With all causes.
        error: String,
    },
    /// A version became current, or a partition of one.
    AssetMaterialization {
        /// The version.
        version: String,
        /// The partition, if the asset has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition_key: Option<String>,
        /// Its rows.
        row_count: u64,
        /// Its bytes.
        size_bytes: u64,
    },
    /// A version that was stored before became current again, or a partition of one.
    AssetReused {
        /// The version.
        version: String,
        /// The partition, if the asset has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partition_key: Option<String>,
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
    /// What the step would compute is what is current already.
    StepConfirmed {
        /// How long it took to find out, in microseconds.
        duration_us: u64,
    },
    /// All that the step would compute was stored before.
    StepReused {
        /// How long it took to find out, in microseconds.
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
    /// Whether nobody looks for it by itself: what a step says on its way is kept in one row with what
    /// comes of it.
    pub(crate) fn is_folded(&self) -> bool {
        matches!(
            self,
            Self::LoadedInput { .. } | Self::StepOutput { .. } | Self::HandledOutput { .. }
        )
    }

    /// The name, such as `STEP_START`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunEnqueued { .. } => "RUN_ENQUEUED",
            Self::RunStarting => "RUN_STARTING",
            Self::RunCanceling { .. } => "RUN_CANCELING",
            Self::RunStart { .. } => "RUN_START",
            Self::RunSuccess => "RUN_SUCCESS",
            Self::RunFailure { .. } => "RUN_FAILURE",
            Self::RunCanceled { .. } => "RUN_CANCELED",
            Self::StepStart { .. } => "STEP_START",
            Self::StepConfirmed { .. } => "STEP_CONFIRMED",
            Self::StepReused { .. } => "STEP_REUSED",
            Self::AssetReused { .. } => "ASSET_REUSED",
            Self::LoadedInput { .. } => "LOADED_INPUT",
            Self::StepOutput { .. } => "STEP_OUTPUT",
            Self::HandledOutput { .. } => "HANDLED_OUTPUT",
            Self::AssetCheckEvaluation { .. } => "ASSET_CHECK_EVALUATION",
            Self::HookCompleted { .. } => "HOOK_COMPLETED",
            Self::HookErrored { .. } => "HOOK_ERRORED",
            Self::ResourceInitSuccess { .. } => "RESOURCE_INIT_SUCCESS",
            Self::ResourceInitFailure { .. } => "RESOURCE_INIT_FAILURE",
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
    /// Rises with time, within a run and across runs. What a step has told at once may share it.
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
