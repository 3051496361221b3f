//! Events as they are sent.

use arrowsmith_instance::{EventRecord, RunId};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// Something that happened in a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventInfo {
    /// Rises with time, across runs.
    pub(crate) id: i64,
    pub(crate) at: i64,
    pub(crate) run_id: String,
    /// Such as `STEP_START`.
    pub(crate) kind: String,
    pub(crate) step: Option<String>,
    pub(crate) asset: Option<String>,
    /// Everything else that is known of it.
    #[schema(value_type = Object)]
    pub(crate) details: Value,
}

impl EventInfo {
    pub(crate) fn of(run_id: RunId, event: EventRecord) -> Self {
        let mut details = serde_json::to_value(&event.event).unwrap_or_default();
        if let Some(details) = details.as_object_mut() {
            details.remove("kind");
        }
        Self {
            id: event.event_id,
            at: event.at,
            run_id: run_id.to_string(),
            kind: event.event.kind().to_owned(),
            step: event.step_key,
            asset: event.asset,
            details,
        }
    }
}

/// The kinds of events that change what pages show.
pub(crate) const KINDS: [&str; 18] = [
    "RUN_ENQUEUED",
    "RUN_STARTING",
    "RUN_CANCELING",
    "RUN_START",
    "RUN_SUCCESS",
    "RUN_FAILURE",
    "RUN_CANCELED",
    "STEP_START",
    "STEP_SUCCESS",
    "STEP_CONFIRMED",
    "STEP_REUSED",
    "STEP_FAILURE",
    "STEP_UP_FOR_RETRY",
    "STEP_SKIPPED",
    "STEP_CANCELED",
    "ASSET_MATERIALIZATION",
    "ASSET_REUSED",
    "ASSET_CHECK_EVALUATION",
];
