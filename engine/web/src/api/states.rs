//! How assets stand, remembered until something happens.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrowsmith_execution::{AssetState, Engine, StaleStatus, States};
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::assets::find;
use super::{Answer, ApiError};
use crate::Web;
use crate::graph::api::GraphCache;

/// What is remembered between requests.
#[derive(Debug, Default)]
pub(crate) struct Caches {
    states: tokio::sync::Mutex<Option<Remembered>>,
    pub(crate) graphs: Mutex<GraphCache>,
}

#[derive(Debug)]
struct Remembered {
    engine: Arc<Engine>,
    last_event: i64,
    at: i64,
    /// How long it took to find out, in microseconds.
    cost: i64,
    states: Arc<States>,
}

/// States that depend on the time, as partitions that come to exist do, are looked at again after this.
const REMEMBERED_US: i64 = 30_000_000;
/// While much happens, finding out waits so many times as long as it takes, so that pages which follow a run
/// of thousands of assets leave the processor to it.
const PAUSES: i64 = 2;

impl Web {
    /// How all assets stand; computed once for whoever asks until something happens.
    pub(crate) async fn states(&self, engine: &Arc<Engine>) -> Result<Arc<States>, ApiError> {
        let mut remembered = self.caches().states.lock().await;
        if let Some(known) = &*remembered
            && Arc::ptr_eq(&known.engine, engine)
        {
            let is_same = known.last_event == engine.instance.last_event().await?;
            if is_same && engine.now() - known.at < REMEMBERED_US {
                return Ok(Arc::clone(&known.states));
            }
            let rest = known.at + known.cost * PAUSES - engine.now();
            engine.clock().sleep(Duration::from_micros(u64::try_from(rest).unwrap_or(0))).await;
        }
        let (began, last_event) = (engine.now(), engine.instance.last_event().await?);
        let states = Arc::new(engine.states().await?);
        let at = engine.now();
        let (engine, cost, kept) = (Arc::clone(engine), at - began, Arc::clone(&states));
        *remembered = Some(Remembered { engine, last_event, at, cost, states: kept });
        Ok(states)
    }
}

/// How an asset stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct AssetStanding {
    /// `fresh`, `stale` or `missing`; none of a source or view.
    status: Option<String>,
    /// Why it is stale.
    reason: Option<String>,
    /// Whether a run computes it now.
    running: bool,
    /// Whether the last attempt to compute it failed.
    failed: bool,
    /// Checks of severity `error` that do not hold.
    check_errors: u64,
    /// Checks of severity `warn` that do not hold.
    check_warnings: u64,
    /// Rows of what is current.
    row_count: Option<u64>,
    /// Bytes of what is current.
    size_bytes: Option<u64>,
    /// When the newest of it was published.
    materialized_at: Option<i64>,
    /// How many partitions are current, and how many there are.
    partitions: Option<[u64; 2]>,
    /// How it stands to its freshness policy: `pass`, `warn`, `fail` or `unknown`.
    freshness: Option<String>,
}

impl From<&AssetState> for AssetStanding {
    fn from(state: &AssetState) -> Self {
        Self {
            status: state.status.map(|status| word(status).to_owned()),
            reason: state.reason.clone(),
            running: state.running,
            failed: state.failed,
            check_errors: state.checks_failed[0],
            check_warnings: state.checks_failed[1],
            row_count: state.row_count,
            size_bytes: state.size_bytes,
            materialized_at: state.materialized_at,
            partitions: state.partitions,
            freshness: state.freshness.clone(),
        }
    }
}

fn word(status: StaleStatus) -> &'static str {
    match status {
        StaleStatus::Fresh => "fresh",
        StaleStatus::Stale => "stale",
        StaleStatus::Missing => "missing",
    }
}

/// One word for a card: what is most worth knowing first.
pub(crate) fn summary(state: &AssetState) -> &'static str {
    match state.status {
        _ if state.running => "running",
        _ if state.failed => "failed",
        _ if state.checks_failed[0] > 0 => "check_failed",
        Some(status) => word(status),
        None => "source",
    }
}

/// How all assets stand in one word each, by key: `running`, `failed`, `check_failed`, `stale`, `missing`,
/// `fresh`, or `source` for what is read as it is.
#[utoipa::path(get, path = "/states",
    responses((status = 200, body = std::collections::BTreeMap<String, String>)))]
pub(crate) async fn states(
    State(web): State<Web>,
) -> Answer<std::collections::BTreeMap<String, String>> {
    let engine = web.engine()?;
    let states = web.states(&engine).await?;
    let words = states.iter().map(|(key, state)| (key.to_string(), summary(state).to_owned()));
    Ok(Json(words.collect()))
}

/// Why an asset is stale, down to the roots. Rows are read where only they can tell.
#[utoipa::path(get, path = "/assets/{key}/why", params(("key" = String, Path)),
    responses((status = 200, body = Value), (status = 404, body = ApiError)))]
pub(crate) async fn why(State(web): State<Web>, Path(key): Path<String>) -> Answer<Value> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let why = engine.why(&key, None).await?;
    Ok(Json(serde_json::to_value(why).unwrap_or_default()))
}
