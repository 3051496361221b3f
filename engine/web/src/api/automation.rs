//! What asks for runs: schedules, sensors and conditions, and their ticks.

use std::collections::{BTreeMap, HashMap};

use arrowsmith_daemon::Daemon;
use arrowsmith_definitions::RunRequest;
use arrowsmith_execution::Engine;
use arrowsmith_instance::{
    EvaluationNode, EvaluationRecord, InstigatorRecord, SetInstigator, TickRecord,
};
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::assets::find;
use super::history::HistoryQuery;
use super::{Answer, ApiError, page};
use crate::Web;

/// The name under which the conditions of assets are started and stopped.
const AUTOMATION: &str = "automation";

/// A schedule or sensor.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstigatorInfo {
    /// Its name.
    name: String,
    /// What it is called elsewhere, such as `schedule:nightly`.
    id: String,
    description: Option<String>,
    /// Whether it ticks.
    running: bool,
    /// When it ticks, or what it looks at.
    when: String,
    /// What it runs.
    target: Option<String>,
    tags: BTreeMap<String, String>,
    /// Where it is defined.
    place: Option<String>,
    /// What it has seen.
    cursor: Option<String>,
    last_tick: Option<TickInfo>,
    /// When a schedule ticks next, if it does.
    next_tick: Option<i64>,
}

/// A tick.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TickInfo {
    id: i64,
    /// For which moment.
    scheduled_at: i64,
    began_at: i64,
    ended_at: i64,
    /// `success`, `skipped` or `failure`.
    status: String,
    /// The runs that it queued.
    runs: Vec<String>,
    /// The runs that were asked for earlier with the same keys.
    suppressed: Vec<String>,
    /// Why nothing was asked for, or what went wrong.
    reason: Option<String>,
    cursor: Option<String>,
}

impl From<TickRecord> for TickInfo {
    fn from(tick: TickRecord) -> Self {
        let ids =
            |ids: Vec<arrowsmith_instance::RunId>| ids.iter().map(ToString::to_string).collect();
        Self {
            id: tick.tick_id,
            scheduled_at: tick.scheduled_at,
            began_at: tick.began_at,
            ended_at: tick.ended_at,
            status: tick.status.to_string(),
            runs: ids(tick.run_ids),
            suppressed: ids(tick.suppressed),
            reason: tick.reason,
            cursor: tick.cursor,
        }
    }
}

type Known = HashMap<String, InstigatorRecord>;

async fn known(engine: &Engine) -> Result<Known, ApiError> {
    let known = engine.instance.instigators().await?;
    Ok(known.into_iter().map(|record| (record.name.clone(), record)).collect())
}

fn is_running(known: &Known, id: &str, by_default: bool) -> bool {
    known.get(id).and_then(|record| record.is_running).unwrap_or(by_default)
}

async fn last_tick(engine: &Engine, id: &str) -> Result<Option<TickInfo>, ApiError> {
    Ok(engine.instance.ticks(id, 1).await?.pop().map(Into::into))
}

/// All schedules, by name.
#[utoipa::path(get, path = "/schedules", responses((status = 200, body = Vec<InstigatorInfo>)))]
pub(crate) async fn schedules(State(web): State<Web>) -> Answer<Vec<InstigatorInfo>> {
    let engine = web.engine()?;
    let known = known(&engine).await?;
    let now = Timestamp::from_microsecond(engine.now()).unwrap_or_default();
    let mut found = Vec::new();
    for (name, resolved) in &engine.resolved.schedules {
        let schedule = &resolved.schedule;
        let id = format!("schedule:{name}");
        let running = is_running(&known, &id, schedule.runs_by_default);
        let next = resolved.ticks.next(now).filter(|_| running);
        found.push(InstigatorInfo {
            name: name.clone(),
            description: schedule.description.clone(),
            running,
            when: resolved.cadence(),
            target: Some(schedule.target.to_string()),
            tags: schedule.tags.clone(),
            place: schedule.place.as_ref().map(ToString::to_string),
            cursor: None,
            last_tick: last_tick(&engine, &id).await?,
            next_tick: next.map(Timestamp::as_microsecond),
            id,
        });
    }
    Ok(Json(found))
}

/// All sensors, by name; the conditions of assets are one of them, `automation`.
#[utoipa::path(get, path = "/sensors", responses((status = 200, body = Vec<InstigatorInfo>)))]
pub(crate) async fn sensors(State(web): State<Web>) -> Answer<Vec<InstigatorInfo>> {
    let engine = web.engine()?;
    let known = known(&engine).await?;
    let mut found = Vec::new();
    for (name, sensor) in &engine.resolved.sensors {
        let id = format!("sensor:{name}");
        found.push(InstigatorInfo {
            name: name.clone(),
            description: sensor.description.clone(),
            running: is_running(&known, &id, sensor.runs_by_default),
            when: format!("{}, every {} s", sensor.kind_name(), sensor.min_interval.as_secs()),
            target: sensor.target.as_ref().map(ToString::to_string),
            tags: sensor.tags.clone(),
            place: sensor.place.as_ref().map(ToString::to_string),
            cursor: known.get(&id).and_then(|record| record.cursor.clone()),
            last_tick: last_tick(&engine, &id).await?,
            next_tick: None,
            id,
        });
    }
    if engine.resolved.has_conditions() {
        let id = format!("sensor:{AUTOMATION}");
        found.push(InstigatorInfo {
            name: AUTOMATION.to_owned(),
            description: Some("The conditions of all assets.".to_owned()),
            running: is_running(&known, &id, true),
            when: "conditions, every 5 s".to_owned(),
            target: None,
            tags: BTreeMap::new(),
            place: None,
            cursor: None,
            last_tick: last_tick(&engine, &id).await?,
            next_tick: None,
            id,
        });
    }
    Ok(Json(found))
}

/// A schedule or sensor that exists, as `schedule:NAME` or `sensor:NAME`.
fn existing(engine: &Engine, id: &str) -> Result<(), ApiError> {
    let of = &engine.resolved;
    match id.split_once(':') {
        Some(("schedule", name)) if of.schedules.contains_key(name) => Ok(()),
        Some(("schedule", name)) => {
            Err(ApiError::unknown("schedule", name, of.schedules.keys().map(String::as_str)))
        }
        Some(("sensor", name)) if of.sensors.contains_key(name) => Ok(()),
        Some(("sensor", AUTOMATION)) if of.has_conditions() => Ok(()),
        Some(("sensor", name)) => {
            Err(ApiError::unknown("sensor", name, of.sensors.keys().map(String::as_str)))
        }
        _ => Err(ApiError::new(StatusCode::NOT_FOUND, format!("`{id}` is no schedule or sensor"))),
    }
}

/// What is changed of a schedule or sensor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum InstigatorChange {
    /// It ticks from now on.
    Start,
    /// It ticks no more.
    Stop,
    /// What a sensor has seen; null lets it have seen nothing.
    Cursor(Option<String>),
}

/// Starts, stops or moves a schedule or sensor.
#[utoipa::path(post, path = "/instigators/{id}", params(("id" = String, Path)),
    request_body = InstigatorChange,
    responses((status = 204), (status = 404, body = ApiError)))]
pub(crate) async fn set(
    State(web): State<Web>,
    Path(id): Path<String>,
    Json(change): Json<InstigatorChange>,
) -> Result<StatusCode, ApiError> {
    let engine = web.engine()?;
    existing(&engine, &id)?;
    let set = match change {
        InstigatorChange::Start => SetInstigator::Start,
        InstigatorChange::Stop => SetInstigator::Stop,
        InstigatorChange::Cursor(cursor) => SetInstigator::Cursor(cursor),
    };
    engine.instance.set_instigator(&id, set, engine.now()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The newest ticks of a schedule or sensor, newest first.
#[utoipa::path(get, path = "/instigators/{id}/ticks",
    params(("id" = String, Path), HistoryQuery),
    responses((status = 200, body = Vec<TickInfo>), (status = 404, body = ApiError)))]
pub(crate) async fn ticks(
    State(web): State<Web>,
    Path(id): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Vec<TickInfo>> {
    let engine = web.engine()?;
    existing(&engine, &id)?;
    let ticks = engine.instance.ticks(&id, page(query.limit)).await?;
    Ok(Json(ticks.into_iter().map(Into::into).collect()))
}

/// What a schedule or sensor would ask for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DryRun {
    /// The tick of a schedule for which it was asked.
    at: Option<i64>,
    requests: Vec<RequestInfo>,
    /// Why there is none.
    skip_reason: Option<String>,
    /// What went wrong.
    error: Option<String>,
    /// What the next tick would know.
    cursor: Option<String>,
}

/// A run that would be asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequestInfo {
    run_key: Option<String>,
    target: Option<String>,
    partitions: Option<String>,
    tags: BTreeMap<String, String>,
    config: Value,
}

/// What a schedule would ask for at its next tick, or a sensor now; nothing is run or remembered.
#[utoipa::path(post, path = "/instigators/{id}/preview", params(("id" = String, Path)),
    responses((status = 200, body = DryRun), (status = 404, body = ApiError)))]
pub(crate) async fn preview(State(web): State<Web>, Path(id): Path<String>) -> Answer<DryRun> {
    let engine = web.engine()?;
    existing(&engine, &id)?;
    if let Some(name) = id.strip_prefix("schedule:") {
        let schedule = &engine.resolved.schedules[name];
        let now = Timestamp::from_microsecond(engine.now()).unwrap_or_default();
        let none = || ApiError::invalid(format!("schedule `{name}` never ticks again"));
        let at = schedule.ticks.next(now).ok_or_else(none)?;
        let own = Some(schedule.schedule.target.to_string());
        let asked = Daemon::preview_schedule(&engine, name, at).await?;
        let told = asked.map(|asked| (asked.run_requests, asked.skip_reason, None));
        return Ok(Json(dry_run(told, own, Some(at.as_microsecond()))));
    }
    let name = id.strip_prefix("sensor:").unwrap_or_default();
    if !engine.resolved.sensors.contains_key(name) {
        let message = "conditions are told by the evaluations of each asset";
        return Err(ApiError::invalid(message));
    }
    let cursor = known(&engine).await?.remove(&id).and_then(|record| record.cursor);
    let own = engine.resolved.sensors[name].target.as_ref().map(ToString::to_string);
    let asked = Daemon::preview_sensor(&engine, name, cursor).await?;
    let told = asked.map(|asked| (asked.run_requests, asked.skip_reason, asked.cursor));
    Ok(Json(dry_run(told, own, None)))
}

type Asked = (Vec<RunRequest>, Option<String>, Option<String>);

fn dry_run(told: Result<Asked, String>, own: Option<String>, at: Option<i64>) -> DryRun {
    match told {
        Ok((requests, skip_reason, cursor)) => {
            let request = |of: RunRequest| RequestInfo {
                run_key: of.run_key,
                target: of.target.as_ref().map(ToString::to_string).or_else(|| own.clone()),
                partitions: of.partitions,
                tags: of.tags,
                config: of.config,
            };
            let requests = requests.into_iter().map(request).collect();
            DryRun { at, requests, skip_reason, error: None, cursor }
        }
        Err(error) => {
            let (requests, error) = (Vec::new(), Some(error));
            DryRun { at, requests, skip_reason: None, error, cursor: None }
        }
    }
}

/// What the condition of an asset came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EvaluationInfo {
    id: i64,
    at: i64,
    /// The partitions that were asked for, or `all` of an asset without any; empty if none was.
    requested: String,
    tree: ConditionNode,
}

/// A part of a condition, and what it came to.
#[derive(Debug, Serialize, ToSchema)]
#[schema(no_recursion)]
pub(crate) struct ConditionNode {
    name: String,
    /// For how many partitions it held.
    count: u64,
    /// A few of them.
    held: String,
    children: Vec<Self>,
}

impl From<EvaluationNode> for ConditionNode {
    fn from(node: EvaluationNode) -> Self {
        let children = node.children.into_iter().map(Into::into).collect();
        Self { name: node.name, count: node.count, held: node.held, children }
    }
}

/// What the condition of an asset came to, newest first.
#[utoipa::path(get, path = "/assets/{key}/evaluations",
    params(("key" = String, Path), HistoryQuery),
    responses((status = 200, body = Vec<EvaluationInfo>), (status = 404, body = ApiError)))]
pub(crate) async fn evaluations(
    State(web): State<Web>,
    Path(key): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Vec<EvaluationInfo>> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let found = engine.instance.evaluations(key.as_str(), page(query.limit)).await?;
    let info = |record: EvaluationRecord| EvaluationInfo {
        id: record.evaluation_id,
        at: record.at,
        requested: record.came_to.requested,
        tree: record.came_to.tree.into(),
    };
    Ok(Json(found.into_iter().map(info).collect()))
}
