//! Runs, their steps, events and logs.

use std::collections::BTreeMap;

use arrowsmith_execution::LogLine;
use arrowsmith_instance::{Instance, RunFilter, RunId, RunRecord, RunStatus, StepRecord};
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::events::EventInfo;
use super::{Answer, ApiError, page};
use crate::Web;

/// Bytes of a log that are read at once.
const LOG_BYTES: u64 = 256 * 1024;
/// Events of a page at most.
const EVENTS_MAX: usize = 2_000;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// States, separated by commas.
    status: Option<String>,
    job: Option<String>,
    /// A label, as `NAME` or `NAME=VALUE`.
    tag: Option<String>,
    /// Who asked for them, such as `schedule:nightly`.
    origin: Option<String>,
    /// An asset or op that is a step of them.
    step: Option<String>,
    /// Only those that still went on at this moment, or were made later.
    since: Option<i64>,
    /// The last run of the page before.
    before: Option<String>,
    limit: Option<u32>,
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunInfo {
    run_id: String,
    environment: String,
    /// What was selected, of the assets or of the job.
    selection: String,
    /// `queued`, `starting`, `started`, `canceling`, `success`, `failure` or `canceled`.
    status: String,
    job: Option<String>,
    tags: BTreeMap<String, String>,
    /// Who asked for it, if it was queued.
    origin: Option<String>,
    /// The run that it goes on with.
    parent: Option<String>,
    /// The first run of which it is a continuation.
    root: String,
    backfill: Option<String>,
    created_at: i64,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    error: Option<String>,
    /// The run config.
    config: Value,
    /// Sets of the partitions that it makes, by asset.
    partitions: BTreeMap<String, String>,
    /// How many steps are in each state.
    steps: BTreeMap<String, u64>,
}

impl From<RunRecord> for RunInfo {
    fn from(run: RunRecord) -> Self {
        Self {
            run_id: run.run_id.to_string(),
            environment: run.environment,
            selection: run.selection,
            status: run.status.to_string(),
            job: run.job,
            tags: run.tags,
            origin: run.origin,
            parent: run.parent.map(|id| id.to_string()),
            root: run.root.to_string(),
            backfill: run.backfill.map(|id| id.to_string()),
            created_at: run.created_at,
            started_at: run.started_at,
            ended_at: run.ended_at,
            error: run.error,
            config: run.config,
            partitions: run.partitions,
            steps: run.steps,
        }
    }
}

/// A step of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepInfo {
    key: String,
    /// `planned`, `running`, `up_for_retry`, `success`, `confirmed`, `reused`, `failure`, `skipped` or
    /// `canceled`.
    state: String,
    attempt: u32,
    started_at: Option<i64>,
    ended_at: Option<i64>,
    row_count: Option<u64>,
    size_bytes: Option<u64>,
    reason: Option<String>,
}

impl From<StepRecord> for StepInfo {
    fn from(step: StepRecord) -> Self {
        Self {
            key: step.step_key,
            state: step.state.to_string(),
            attempt: step.attempt,
            started_at: step.started_at,
            ended_at: step.ended_at,
            row_count: step.row_count,
            size_bytes: step.size_bytes,
            reason: step.reason,
        }
    }
}

/// What a step has emitted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutputInfo {
    step: String,
    output: String,
    mapping_key: Option<String>,
    asset: Option<String>,
    io_manager: String,
    version: String,
    row_count: Option<u64>,
    size_bytes: Option<u64>,
    metadata: BTreeMap<String, Value>,
}

/// A run with its steps and what they have emitted.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunDetail {
    run: RunInfo,
    steps: Vec<StepInfo>,
    outputs: Vec<OutputInfo>,
    /// Runs that go on with it.
    continued_by: Vec<String>,
}

/// The newest runs, newest first.
#[utoipa::path(get, path = "/runs", params(RunsQuery),
    responses((status = 200, body = Vec<RunInfo>), (status = 422, body = ApiError)))]
pub(crate) async fn runs(
    State(web): State<Web>,
    Query(query): Query<RunsQuery>,
) -> Answer<Vec<RunInfo>> {
    let statuses = query.status.iter().flat_map(|text| text.split(',')).filter(|s| !s.is_empty());
    let statuses = statuses.map(|word| word.parse::<RunStatus>().map_err(ApiError::invalid));
    let tag = query.tag.filter(|tag| !tag.is_empty()).map(|tag| match tag.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (tag, None),
    });
    let filter = RunFilter {
        statuses: statuses.collect::<Result<_, _>>()?,
        job: query.job.filter(|job| !job.is_empty()),
        tag,
        origin: query.origin.filter(|origin| !origin.is_empty()),
        step: query.step.filter(|step| !step.is_empty()),
        before: query.before.as_deref().map(run_id).transpose()?,
        since: query.since,
    };
    let found = web.daemon().instance().find_runs(&filter, page(query.limit)).await?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// A run with its steps and what they have emitted; by its id, the end of one, or `latest`.
#[utoipa::path(get, path = "/runs/{id}", params(("id" = String, Path)),
    responses((status = 200, body = RunDetail), (status = 404, body = ApiError)))]
pub(crate) async fn run(State(web): State<Web>, Path(id): Path<String>) -> Answer<RunDetail> {
    let instance = web.daemon().instance();
    let run = instance.run(&id).await?;
    let steps = instance.steps(run.run_id).await?;
    let outputs = instance.outputs(run.run_id).await?;
    let output = |of: arrowsmith_instance::OutputRecord| OutputInfo {
        step: of.step_key,
        output: of.output,
        mapping_key: of.mapping_key,
        asset: of.asset,
        io_manager: of.io_manager,
        version: of.version.to_string(),
        row_count: of.stored.as_ref().map(|stored| stored.row_count),
        size_bytes: of.stored.as_ref().map(|stored| stored.size_bytes),
        metadata: of.metadata,
    };
    let continued_by = instance.continued_by(run.run_id).await?;
    Ok(Json(RunDetail {
        continued_by: continued_by.iter().map(ToString::to_string).collect(),
        run: run.into(),
        steps: steps.into_iter().map(Into::into).collect(),
        outputs: outputs.into_iter().map(output).collect(),
    }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct AfterQuery {
    /// The cursor of the page before.
    after: Option<i64>,
}

/// Events of a run, oldest first.
#[utoipa::path(get, path = "/runs/{id}/events", params(("id" = String, Path), AfterQuery),
    responses((status = 200, body = Vec<EventInfo>), (status = 404, body = ApiError)))]
pub(crate) async fn events(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(query): Query<AfterQuery>,
) -> Answer<Vec<EventInfo>> {
    let instance = web.daemon().instance();
    let run_id = known(instance, &id).await?;
    let found = instance.events(run_id, query.after.unwrap_or(0)).await?;
    let found = found.into_iter().take(EVENTS_MAX).map(|event| EventInfo::of(run_id, event));
    Ok(Json(found.collect()))
}

/// Lines of the log of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogPage {
    pub(crate) lines: Vec<LogEntry>,
    /// The cursor of the next page.
    pub(crate) after: i64,
    /// Whether there is more already.
    pub(crate) more: bool,
}

/// A line of a log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LogEntry {
    at: i64,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    level: String,
    step: Option<String>,
    target: String,
    message: String,
    #[schema(value_type = Object)]
    fields: Value,
}

/// Lines of the log of a run, oldest first.
#[utoipa::path(get, path = "/runs/{id}/logs", params(("id" = String, Path), AfterQuery),
    responses((status = 200, body = LogPage), (status = 404, body = ApiError)))]
pub(crate) async fn logs(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(query): Query<AfterQuery>,
) -> Answer<LogPage> {
    let instance = web.daemon().instance();
    let run_id = known(instance, &id).await?;
    Ok(Json(log_lines(instance, run_id, query.after.unwrap_or(0)).await))
}

/// Lines of a log from a byte on, as many as are read at once. A log that is not there has none.
pub(super) async fn log_lines(instance: &Instance, run_id: RunId, after: i64) -> LogPage {
    let path = instance.log_path(run_id);
    let read =
        move || path.and_then(|path| read_from(&path, u64::try_from(after).unwrap_or(0)).ok());
    let read = tokio::task::spawn_blocking(read).await.ok().flatten();
    let Some((text, more)) = read else { return LogPage { lines: Vec::new(), after, more: false } };
    // A line that is being written is read when it is complete.
    let complete = text.rfind('\n').map_or(0, |at| at + 1);
    let lines = text[..complete].lines().filter_map(|line| serde_json::from_str(line).ok());
    let lines = lines.map(|line: LogLine| LogEntry {
        at: line.at,
        level: line.level,
        step: line.step,
        target: line.target,
        message: line.message,
        fields: Value::Object(line.fields),
    });
    let read = i64::try_from(complete).unwrap_or(0);
    LogPage { lines: lines.collect(), after: after + read, more: more && read > 0 }
}

fn read_from(path: &std::path::Path, from: u64) -> std::io::Result<(String, bool)> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_BYTES).read_to_end(&mut bytes)?;
    let more = from + u64::try_from(bytes.len()).unwrap_or(0) < length;
    // What is cut in the middle of a character is read as a whole the next time.
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), more))
}

/// The run of an id, the end of one, or `latest`.
pub(super) async fn known(instance: &Instance, id: &str) -> Result<RunId, ApiError> {
    Ok(instance.run(id).await?.run_id)
}

pub(super) fn run_id(text: &str) -> Result<RunId, ApiError> {
    let id = Uuid::parse_str(text);
    id.map(RunId).map_err(|_| ApiError::invalid(format!("`{text}` is no id of a run")))
}
