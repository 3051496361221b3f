//! Backfills.

use std::collections::BTreeMap;

use arrowsmith_definitions::PartitionSet;
use arrowsmith_execution::AssetProgress;
use arrowsmith_instance::BackfillRecord;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::history::HistoryQuery;
use super::launch::{ORIGIN, plan_request};
use super::runs::RunInfo;
use super::{Answer, ApiError, page};
use crate::Web;

/// A backfill.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillInfo {
    id: String,
    /// `requested`, `completed_success`, `completed_failed`, `failed`, `canceling` or `canceled`.
    status: String,
    /// Whether its run waits in the queue.
    waits: bool,
    selection: String,
    /// Sets of the partitions that are to be made, by asset.
    target: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    created_at: i64,
    ended_at: Option<i64>,
    error: Option<String>,
}

impl From<BackfillRecord> for BackfillInfo {
    fn from(record: BackfillRecord) -> Self {
        Self {
            id: record.backfill_id.to_string(),
            status: record.status.to_string(),
            waits: record.waits(),
            selection: record.selection,
            target: record.target,
            tags: record.tags,
            created_at: record.created_at,
            ended_at: record.ended_at,
            error: record.error,
        }
    }
}

/// How far a backfill is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillDetail {
    backfill: BackfillInfo,
    /// Its runs, oldest first.
    runs: Vec<RunInfo>,
    assets: Vec<BackfillAsset>,
}

/// How far a backfill is with one asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillAsset {
    asset: String,
    target: u64,
    made: u64,
    running: u64,
    failed: u64,
    /// What is still to be made, in the language of sets.
    left: String,
}

fn progress(of: &AssetProgress) -> BackfillAsset {
    let shown = |set: &PartitionSet| match &of.partitions {
        Some(partitions) => partitions.keys.shown(set),
        None => String::new(),
    };
    BackfillAsset {
        asset: of.asset.to_string(),
        target: of.target.len(),
        made: of.made.len(),
        running: of.running.len(),
        failed: of.failed.len(),
        left: shown(&of.left()),
    }
}

/// The newest backfills, newest first.
#[utoipa::path(get, path = "/backfills", params(HistoryQuery),
    responses((status = 200, body = Vec<BackfillInfo>)))]
pub(crate) async fn backfills(
    State(web): State<Web>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Vec<BackfillInfo>> {
    let found = web.daemon().instance().backfills(page(query.limit)).await?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// How far a backfill is.
#[utoipa::path(get, path = "/backfills/{id}", params(("id" = String, Path)),
    responses((status = 200, body = BackfillDetail), (status = 404, body = ApiError)))]
pub(crate) async fn backfill(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Answer<BackfillDetail> {
    let engine = web.engine()?;
    let found = engine.backfill_progress(&id).await?;
    Ok(Json(BackfillDetail {
        backfill: found.record.into(),
        runs: found.runs.into_iter().map(Into::into).collect(),
        assets: found.assets.iter().map(progress).collect(),
    }))
}

/// Which partitions are made.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct BackfillRequest {
    /// Which assets.
    selection: String,
    /// Which partitions, in the language of sets.
    partitions: Option<String>,
    /// Whether what is fresh is made as well.
    force: bool,
    /// Labels of its runs.
    tags: BTreeMap<String, String>,
}

/// A backfill that waits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackfillStarted {
    backfill_id: String,
    /// The run that carries it out; none if nothing is left to do.
    run_id: Option<String>,
}

/// Queues a backfill; a daemon carries it out.
#[utoipa::path(post, path = "/backfills", request_body = BackfillRequest,
    responses((status = 200, body = BackfillStarted), (status = 422, body = ApiError)))]
pub(crate) async fn start(
    State(web): State<Web>,
    Json(asked): Json<BackfillRequest>,
) -> Answer<BackfillStarted> {
    let engine = web.engine()?;
    let request = plan_request(&asked.selection, asked.partitions.as_deref(), asked.force)?;
    if engine.plan_request(&request).await?.is_empty() {
        return Err(ApiError::invalid("everything of it is fresh already; `force` makes it anew"));
    }
    let (record, run_id) = engine.queue_backfill(&request, asked.tags, ORIGIN).await?;
    web.daemon().hurry();
    let (backfill_id, run_id) = (record.backfill_id.to_string(), Some(run_id.to_string()));
    Ok(Json(BackfillStarted { backfill_id, run_id }))
}

/// Asks a backfill to stop. What it has made stays.
#[utoipa::path(post, path = "/backfills/{id}/cancel", params(("id" = String, Path)),
    responses((status = 200, body = BackfillInfo), (status = 404, body = ApiError),
        (status = 422, body = ApiError)))]
pub(crate) async fn cancel(State(web): State<Web>, Path(id): Path<String>) -> Answer<BackfillInfo> {
    Ok(Json(web.engine()?.cancel_backfill(&id).await?.into()))
}

/// Queues what a backfill has not made yet.
#[utoipa::path(post, path = "/backfills/{id}/resume", params(("id" = String, Path)),
    responses((status = 200, body = BackfillStarted), (status = 404, body = ApiError),
        (status = 422, body = ApiError)))]
pub(crate) async fn resume(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Answer<BackfillStarted> {
    let (record, run_id) = web.engine()?.requeue_backfill(&id, ORIGIN).await?;
    web.daemon().hurry();
    let backfill_id = record.backfill_id.to_string();
    Ok(Json(BackfillStarted { backfill_id, run_id: run_id.map(|id| id.to_string()) }))
}
