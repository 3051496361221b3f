//! What is to run: it is looked at before it is queued, and a daemon begins it.

use std::collections::BTreeMap;

use arrowsmith_daemon::queued_run;
use arrowsmith_definitions::{PartitionExpr, RunRequest, RunTarget};
use arrowsmith_execution::{Engine, PlanRequest, Reexecute};
use arrowsmith_instance::{Again, Launch, QueuedRun, RunId};
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use super::assets::RunStarted;
use super::{Answer, ApiError, jobs};
use crate::Web;

/// Who asks for runs that are launched here.
pub(super) const ORIGIN: &str = "web";
/// Steps of a plan that are told.
const STEPS_SHOWN: usize = 500;

/// What is to run.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
pub(crate) struct LaunchRequest {
    /// A job, in the place of a selection.
    job: Option<String>,
    /// Which assets; all if it is open.
    selection: Option<String>,
    /// Which partitions, in the language of sets: `2024-01...2024-03`, `missing`, `latest(7)`.
    partitions: Option<String>,
    /// Whether what is fresh is computed as well.
    force: bool,
    /// The run config of a job in TOML.
    config: Option<String>,
    /// Labels of the run.
    tags: BTreeMap<String, String>,
}

/// What would run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanInfo {
    /// How many steps there are.
    count: usize,
    /// How many tables and partitions are left out, because they are fresh.
    fresh: u64,
    /// The first steps.
    steps: Vec<PlanStep>,
    /// Sets of the partitions that are made, by asset.
    partitions: BTreeMap<String, String>,
}

/// A step that would run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PlanStep {
    key: String,
    /// Why, in a few words.
    reason: String,
}

/// What would run, and why; nothing is run.
#[utoipa::path(post, path = "/plan", request_body = LaunchRequest,
    responses((status = 200, body = PlanInfo), (status = 422, body = ApiError)))]
pub(crate) async fn plan(
    State(web): State<Web>,
    Json(request): Json<LaunchRequest>,
) -> Answer<PlanInfo> {
    let engine = web.engine()?;
    let plan = engine.plan_launch(&queued(&engine, request)?.launch).await?;
    let step = |step: &std::sync::Arc<arrowsmith_execution::Step>| PlanStep {
        key: step.key.clone(),
        reason: step.reason.to_string(),
    };
    Ok(Json(PlanInfo {
        count: plan.steps.len(),
        fresh: plan.fresh,
        steps: plan.steps.iter().take(STEPS_SHOWN).map(step).collect(),
        partitions: plan.partitions,
    }))
}

/// Queues a run; a daemon begins it. What is wrong with it is told now.
#[utoipa::path(post, path = "/runs", request_body = LaunchRequest,
    responses((status = 200, body = RunStarted), (status = 422, body = ApiError)))]
pub(crate) async fn launch(
    State(web): State<Web>,
    Json(request): Json<LaunchRequest>,
) -> Answer<RunStarted> {
    let engine = web.engine()?;
    let run = queued(&engine, request)?;
    engine.plan_launch(&run.launch).await?;
    enqueue(&web, run).await
}

async fn enqueue(web: &Web, run: QueuedRun) -> Answer<RunStarted> {
    let run_id = run.run_id.to_string();
    web.daemon().instance().enqueue(vec![run]).await?;
    web.daemon().hurry();
    Ok(Json(RunStarted { run_id }))
}

fn queued(engine: &Engine, request: LaunchRequest) -> Result<QueuedRun, ApiError> {
    let LaunchRequest { job, selection, partitions, force, config, tags } = request;
    let text = config.filter(|text| job.is_some() && !text.trim().is_empty());
    let config = match (&job, text) {
        (Some(name), Some(text)) => jobs::checked(engine, engine.job(name)?, &text)
            .map_err(|problems| ApiError::problems("the run config does not fit", &problems))?,
        _ => Value::Null,
    };
    let config = if config.as_object().is_some_and(serde_json::Map::is_empty) {
        Value::Null
    } else {
        config
    };
    let only_needed = !force && job.is_none();
    let target = match job {
        Some(job) => RunTarget::Job(job),
        None => RunTarget::Assets(selection.unwrap_or_default()),
    };
    let partitions = expression(partitions.as_deref())?.map(|_| partitions.unwrap_or_default());
    let request = RunRequest { config, tags, partitions, only_needed, ..RunRequest::new() };
    let run_id = RunId(Uuid::now_v7());
    queued_run(engine, run_id, &target, request, ORIGIN, engine.now()).map_err(ApiError::invalid)
}

fn expression(text: Option<&str>) -> Result<Option<PartitionExpr>, ApiError> {
    let text = text.map(str::trim).filter(|text| !text.is_empty());
    let parsed = text.map(str::parse::<PartitionExpr>).transpose();
    parsed.map_err(|error| ApiError::invalid(error.to_string()))
}

/// What is to be made of a selection and a set of partitions.
pub(super) fn plan_request(
    selection: &str,
    partitions: Option<&str>,
    force: bool,
) -> Result<PlanRequest, ApiError> {
    Ok(PlanRequest {
        partitions: expression(partitions)?,
        only_needed: !force,
        ..PlanRequest::new(selection)
    })
}

/// Asks a run to stop, wherever it goes on; one that waits is over at once.
#[utoipa::path(post, path = "/runs/{id}/terminate", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = ApiError), (status = 409, body = ApiError)))]
pub(crate) async fn terminate(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<StatusCode, ApiError> {
    let instance = web.daemon().instance();
    let run = instance.run(&id).await?;
    if run.status.is_final() {
        let message = format!("run {} has already ended as {}", run.run_id.short(), run.status);
        return Err(ApiError::new(StatusCode::CONFLICT, message));
    }
    instance.cancel_run(run.run_id, web.daemon().now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Which steps of a run are run again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AgainRequest {
    /// All of them.
    All,
    /// Those that failed, and those that never ran.
    FromFailure,
    /// Those of a selection in the form of ops, such as `x*`.
    Select(String),
}

/// Queues a run that goes on with another.
#[utoipa::path(post, path = "/runs/{id}/reexecute", params(("id" = String, Path)),
    request_body = AgainRequest,
    responses((status = 200, body = RunStarted), (status = 404, body = ApiError),
        (status = 422, body = ApiError)))]
pub(crate) async fn reexecute(
    State(web): State<Web>,
    Path(id): Path<String>,
    Json(which): Json<AgainRequest>,
) -> Answer<RunStarted> {
    let engine = web.engine()?;
    let parent = engine.instance.run(&id).await?;
    let (again, which) = match which {
        AgainRequest::All => (Again::All, Reexecute::All),
        AgainRequest::FromFailure => (Again::FromFailure, Reexecute::FromFailure),
        AgainRequest::Select(steps) => (Again::Select(steps.clone()), Reexecute::Select(steps)),
    };
    let plan = engine.plan_reexecution(&parent.run_id.to_string(), &which).await?;
    if plan.is_empty() {
        return Err(ApiError::invalid("nothing of the run is left to do"));
    }
    let run_id = RunId(Uuid::now_v7());
    let launch = Launch {
        job: parent.job,
        selection: parent.selection,
        partitions_of: parent.partitions,
        config: parent.config,
        reexecute: Some((parent.run_id, again)),
        ..Launch::default()
    };
    let run = QueuedRun {
        run_id,
        environment: engine.environment.clone(),
        launch,
        tags: parent.tags,
        priority: 0,
        origin: ORIGIN.to_owned(),
        run_key: None,
        parent: Some(parent.run_id),
        root: parent.root,
        at: engine.now(),
    };
    enqueue(&web, run).await
}
