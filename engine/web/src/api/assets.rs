//! The catalog, and what is said of one asset.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use arrowsmith_definitions::{AssetKey, Body, FreshnessPolicy, Resolved, ResolvedAsset, Selection};
use arrowsmith_execution::{AssetState, Engine};
use arrowsmith_io_manager::Version;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::states::{AssetStanding, summary};
use super::{Answer, ApiError, page};
use crate::Web;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CatalogQuery {
    /// A selection.
    selection: Option<String>,
    /// A part of a key or description.
    search: Option<String>,
    /// States of which one has to hold, separated by commas.
    state: Option<String>,
    /// `key`, `group`, `rows`, `bytes` or `materialized`; with `-` before it from the end.
    sort: Option<String>,
    /// How many were on the pages before.
    offset: Option<usize>,
    /// How many.
    limit: Option<u32>,
}

/// Some assets of the catalog.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogPage {
    /// How many there are on all pages.
    total: usize,
    /// Those of this page.
    assets: Vec<CatalogEntry>,
}

/// An asset in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CatalogEntry {
    key: String,
    group: Option<String>,
    /// The first line of its description.
    description: Option<String>,
    kinds: BTreeSet<String>,
    owners: BTreeSet<String>,
    tags: BTreeMap<String, String>,
    /// Its state in one word.
    state: String,
    standing: AssetStanding,
}

/// The asset of a name; a wrong name is told with the nearest.
pub(super) fn find<'a>(engine: &'a Engine, name: &str) -> Result<&'a ResolvedAsset, ApiError> {
    engine.resolved.find(name).map_err(|diagnostic| {
        let helps = diagnostic.helps.iter().map(|help| format!("; {help}"));
        let message = format!("{}{}", diagnostic.message, helps.collect::<String>());
        ApiError::new(StatusCode::NOT_FOUND, message)
    })
}

/// The assets of a selection, where nothing means all.
pub(crate) fn select(
    resolved: &Resolved,
    selection: Option<&str>,
) -> Result<BTreeSet<AssetKey>, ApiError> {
    let text = selection.unwrap_or_default().trim();
    if text.is_empty() {
        return Ok(resolved.assets.keys().cloned().collect());
    }
    let parsed = text.parse::<Selection>();
    parsed.and_then(|parsed| parsed.evaluate(resolved)).map_err(|source| {
        arrowsmith_execution::Error::Selection { text: text.to_owned(), source }.into()
    })
}

/// A page of the catalog.
#[utoipa::path(get, path = "/assets", params(CatalogQuery),
    responses((status = 200, body = CatalogPage), (status = 422, body = ApiError)))]
pub(crate) async fn assets(
    State(web): State<Web>,
    Query(query): Query<CatalogQuery>,
) -> Answer<CatalogPage> {
    let engine = web.engine()?;
    let states = web.states(&engine).await?;
    let selected = select(&engine.resolved, query.selection.as_deref())?;
    let search = query.search.as_deref().unwrap_or_default().to_lowercase();
    let wanted: Vec<&str> = query.state.iter().flat_map(|s| s.split(',')).collect();
    let mut found: Vec<(&ResolvedAsset, &AssetState)> = selected
        .iter()
        .filter_map(|key| Some((engine.resolved.asset(key)?, states.get(key)?)))
        .filter(|(asset, _)| is_like(asset, &search))
        .filter(|(_, state)| wanted.is_empty() || wanted.contains(&summary(state)))
        .collect();
    let sort = query.sort.as_deref().unwrap_or("key");
    let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
    let order = order_of(name)?;
    found.sort_by(|a, b| {
        let by = order(a, b);
        let by = if descending { by.reverse() } else { by };
        by.then_with(|| a.0.asset.key.cmp(&b.0.asset.key))
    });
    let total = found.len();
    let shown = found.into_iter().skip(query.offset.unwrap_or(0)).take(page(query.limit) as usize);
    let assets = shown.map(|(asset, state)| entry(asset, state)).collect();
    Ok(Json(CatalogPage { total, assets }))
}

type Row<'a> = (&'a ResolvedAsset, &'a AssetState);

fn order_of(name: &str) -> Result<fn(&Row<'_>, &Row<'_>) -> Ordering, ApiError> {
    Ok(match name {
        "key" => |a, b| a.0.asset.key.cmp(&b.0.asset.key),
        "group" => |a, b| a.0.asset.attributes.group.cmp(&b.0.asset.attributes.group),
        "rows" => |a, b| a.1.row_count.cmp(&b.1.row_count),
        "bytes" => |a, b| a.1.size_bytes.cmp(&b.1.size_bytes),
        "materialized" => |a, b| a.1.materialized_at.cmp(&b.1.materialized_at),
        other => {
            return Err(ApiError::invalid(format!(
                "assets are not sorted by `{other}`, but by key, group, rows, bytes or materialized"
            )));
        }
    })
}

fn is_like(asset: &ResolvedAsset, search: &str) -> bool {
    let description = asset.asset.attributes.description.as_deref().unwrap_or_default();
    search.is_empty()
        || asset.asset.key.as_str().to_lowercase().contains(search)
        || description.to_lowercase().contains(search)
}

fn entry(asset: &ResolvedAsset, state: &AssetState) -> CatalogEntry {
    let said = &asset.asset.attributes;
    let description = said.description.as_deref().and_then(|text| text.lines().next());
    CatalogEntry {
        key: asset.asset.key.to_string(),
        group: said.group.clone(),
        description: description.map(str::to_owned),
        kinds: said.kinds.clone(),
        owners: said.owners.clone(),
        tags: said.tags.clone(),
        state: summary(state).to_owned(),
        standing: state.into(),
    }
}

/// Everything that is said of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AssetInfo {
    key: String,
    /// Markdown.
    description: Option<String>,
    group: Option<String>,
    kinds: BTreeSet<String>,
    owners: BTreeSet<String>,
    tags: BTreeMap<String, String>,
    /// Anything else that its author has said.
    metadata: BTreeMap<String, Value>,
    /// Whether it is only read.
    is_source: bool,
    /// Whether it can be materialized.
    is_materializable: bool,
    /// `table`, `view`, `append`, `merge` and so on.
    materialized: String,
    io_manager: String,
    /// How it is cut, such as `daily from 2013-01-01`.
    partitions: Option<String>,
    /// When it is materialized by itself.
    automation: Option<String>,
    /// How old what is current may be.
    freshness_policy: Option<String>,
    /// Assets that it reads.
    reads: Vec<String>,
    /// Assets that read it.
    read_by: Vec<String>,
    /// Its columns, if they are known before it runs.
    columns: Option<Vec<Column>>,
    /// Names of its checks.
    checks: Vec<String>,
    state: String,
    standing: AssetStanding,
}

/// A column of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// Arrow's type.
    #[serde(rename = "type")]
    pub(crate) data_type: String,
    pub(crate) nullable: bool,
    pub(crate) description: Option<String>,
}

/// Everything that is said of an asset.
#[utoipa::path(get, path = "/assets/{key}", params(("key" = String, Path)),
    responses((status = 200, body = AssetInfo), (status = 404, body = ApiError)))]
pub(crate) async fn asset(State(web): State<Web>, Path(key): Path<String>) -> Answer<AssetInfo> {
    let engine = web.engine()?;
    let resolved = find(&engine, &key)?;
    let states = web.states(&engine).await?;
    let asset = &resolved.asset;
    let said = &asset.attributes;
    let missing = || ApiError::unknown("asset", &key, []);
    let state = states.get(&asset.key).ok_or_else(missing)?;
    let names = |keys: Vec<AssetKey>| keys.iter().map(ToString::to_string).collect();
    let columns = resolved.schema.as_ref().map(|schema| {
        let column = |field: &std::sync::Arc<arrow::datatypes::Field>| Column {
            name: field.name().clone(),
            data_type: field.data_type().to_string(),
            nullable: field.is_nullable(),
            description: said.columns.get(field.name()).cloned(),
        };
        schema.fields().iter().map(column).collect()
    });
    Ok(Json(AssetInfo {
        key: asset.key.to_string(),
        description: said.description.clone(),
        group: said.group.clone(),
        kinds: said.kinds.clone(),
        owners: said.owners.clone(),
        tags: said.tags.clone(),
        metadata: said.metadata.clone(),
        is_source: matches!(asset.body, Body::External(_)),
        is_materializable: asset.is_materializable(),
        materialized: asset.materialized.name().to_owned(),
        io_manager: resolved.io_manager.clone(),
        partitions: asset.partitions.as_ref().map(ToString::to_string),
        automation: asset.automation.as_ref().map(ToString::to_string),
        freshness_policy: asset.freshness.as_ref().map(policy),
        reads: names(engine.resolved.graph.upstream(&asset.key)),
        read_by: names(engine.resolved.graph.downstream(&asset.key)),
        columns,
        checks: asset.checks.iter().map(|check| check.name.clone()).collect(),
        state: summary(state).to_owned(),
        standing: state.into(),
    }))
}

fn policy(policy: &FreshnessPolicy) -> String {
    match policy {
        FreshnessPolicy::TimeWindow { fail, warn } => {
            let warn = warn.map_or(String::new(), |warn| format!("; warned of after {warn:?}"));
            format!("materialized within {fail:?}{warn}")
        }
        FreshnessPolicy::Cron { deadline, lower_bound } => {
            format!("materialized within {lower_bound:?} before {}", deadline.cadence)
        }
    }
}

/// Which version becomes current again.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Rollback {
    /// The version.
    version: String,
}

/// The run that has begun, or waits.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunStarted {
    /// Its id.
    pub(crate) run_id: String,
}

/// Makes a stored version current again. Nothing is computed or copied.
#[utoipa::path(post, path = "/assets/{key}/rollback", params(("key" = String, Path)),
    request_body = Rollback,
    responses((status = 200, body = RunStarted), (status = 404, body = ApiError),
        (status = 422, body = ApiError)))]
pub(crate) async fn rollback(
    State(web): State<Web>,
    Path(key): Path<String>,
    Json(to): Json<Rollback>,
) -> Answer<RunStarted> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let version = version_of(&to.version)?;
    let run_id = engine.roll_back(&key, version).await?.to_string();
    Ok(Json(RunStarted { run_id }))
}

pub(super) fn version_of(text: &str) -> Result<Version, ApiError> {
    text.parse().map_err(|_| ApiError::invalid(format!("`{text}` is no version")))
}
