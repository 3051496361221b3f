//! Checks of assets, and what they have found.

use std::collections::HashMap;

use arrowsmith_definitions::{AssetCheck, AssetKey, CheckSeverity};
use arrowsmith_instance::{CheckRow, Event};
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::assets::find;
use super::history::HistoryQuery;
use super::{Answer, ApiError, page};
use crate::Web;

/// A check of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CheckInfo {
    asset: String,
    name: String,
    description: Option<String>,
    /// `warn` or `error`.
    severity: String,
    /// Whether its failure keeps a version from being published.
    blocks: bool,
    /// Where it is defined.
    place: Option<String>,
    /// What it has said last.
    last: Option<CheckResultInfo>,
}

/// What a check has said of a version.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct CheckResultInfo {
    at: i64,
    run_id: String,
    version: String,
    passed: bool,
    /// How many rows it does not hold for.
    failing_rows: Option<u64>,
    /// A few of them, as objects by column.
    #[schema(value_type = Vec<Object>)]
    sample: Vec<Value>,
    /// What was found.
    found: Option<String>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ChecksQuery {
    /// Only those of this asset.
    asset: Option<String>,
    /// Only those that do not hold.
    failed: Option<bool>,
    /// How many were on the pages before.
    offset: Option<usize>,
    limit: Option<u32>,
}

fn result(row: CheckRow) -> Option<(String, CheckResultInfo)> {
    let Event::AssetCheckEvaluation { check, version, passed, failing_rows, sample, found, .. } =
        row.event
    else {
        return None;
    };
    let (at, run_id) = (row.at, row.run_id.to_string());
    Some((check, CheckResultInfo { at, run_id, version, passed, failing_rows, sample, found }))
}

/// Checks with what they have said last.
#[utoipa::path(get, path = "/checks", params(ChecksQuery),
    responses((status = 200, body = Vec<CheckInfo>), (status = 404, body = ApiError)))]
pub(crate) async fn checks(
    State(web): State<Web>,
    Query(query): Query<ChecksQuery>,
) -> Answer<Vec<CheckInfo>> {
    let engine = web.engine()?;
    let of = match &query.asset {
        Some(name) => Some(find(&engine, name)?.asset.key.clone()),
        None => None,
    };
    let rows = engine.instance.last_checks(of.as_ref().map(AssetKey::as_str)).await?;
    let rows = rows.into_iter().filter_map(|row| {
        let asset = row.asset.clone();
        result(row).map(|(check, result)| ((asset, check), result))
    });
    let last: HashMap<(String, String), CheckResultInfo> = rows.collect();
    let mut keys: Vec<_> = engine.resolved.assets.keys().collect();
    keys.sort();
    let keys = keys.into_iter().filter(|key| of.as_ref().is_none_or(|of| of == *key));
    let all = keys.flat_map(|key| {
        let asset = &engine.resolved.assets[key].asset;
        asset.checks.iter().map(|check| {
            let last = last.get(&(key.to_string(), check.name.clone())).cloned();
            info(key.to_string(), check, last)
        })
    });
    let failed = query.failed.unwrap_or(false);
    let all = all.filter(|check| !failed || check.last.as_ref().is_some_and(|last| !last.passed));
    let shown = all.skip(query.offset.unwrap_or(0)).take(page(query.limit) as usize);
    Ok(Json(shown.collect()))
}

fn info(asset: String, check: &AssetCheck, last: Option<CheckResultInfo>) -> CheckInfo {
    let severity = if check.severity == CheckSeverity::Warn { "warn" } else { "error" };
    CheckInfo {
        asset,
        name: check.name.clone(),
        description: check.description.clone(),
        severity: severity.to_owned(),
        blocks: check.blocks(),
        place: check.place.as_ref().map(ToString::to_string),
        last,
    }
}

/// What a check has said, newest first.
#[utoipa::path(get, path = "/assets/{key}/checks/{check}",
    params(("key" = String, Path), ("check" = String, Path), HistoryQuery),
    responses((status = 200, body = Vec<CheckResultInfo>), (status = 404, body = ApiError)))]
pub(crate) async fn history(
    State(web): State<Web>,
    Path((key, check)): Path<(String, String)>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Vec<CheckResultInfo>> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let found = engine.instance.check_history(key.as_str(), &check, page(query.limit)).await?;
    Ok(Json(found.into_iter().filter_map(result).map(|(_, result)| result).collect()))
}
