//! Rows of an asset, a page at a time, from what is stored.

use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, PartitionExpr};
use arrowsmith_execution::Engine;
use arrowsmith_instance::Materialization;
use axum::Json;
use axum::extract::{Path, Query, State};
use datafusion::common::Column;
use datafusion::prelude::{Expr, SessionContext};
use serde::Deserialize;
use utoipa::IntoParams;

use super::assets::{find, version_of};
use super::rows::{Rows, collect, failed, within};
use super::{Answer, ApiError, page};
use crate::Web;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PreviewQuery {
    /// The version; what is current if it is open.
    version: Option<String>,
    /// Only rows of these partitions.
    partitions: Option<String>,
    /// A column; with `-` before it from the largest value.
    sort: Option<String>,
    /// How many rows were on the pages before.
    offset: Option<usize>,
    /// How many rows.
    limit: Option<u32>,
}

/// Rows of an asset. Only the rows of the page leave the scan; what is sorted is sorted by as many rows as
/// are shown up to its end.
#[utoipa::path(get, path = "/assets/{key}/rows", params(("key" = String, Path), PreviewQuery),
    responses((status = 200, body = Rows), (status = 404, body = ApiError),
        (status = 422, body = ApiError)))]
pub(crate) async fn rows(
    State(web): State<Web>,
    Path(key): Path<String>,
    Query(query): Query<PreviewQuery>,
) -> Answer<Rows> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let expr = query.partitions.as_deref().filter(|text| !text.trim().is_empty());
    let expr = expr.map(str::parse::<PartitionExpr>).transpose();
    let expr = expr.map_err(|error| ApiError::invalid(error.to_string()))?;
    let (table, total) = match (&query.version, &expr) {
        (Some(version), _) => {
            let made = engine.version(version_of(version)?).await?;
            let made = made.filter(|made| made.asset == key.as_str());
            let made = made.ok_or_else(|| ApiError::unknown("version", version, []))?;
            let made = of_partitions(&engine, &key, made, expr.as_ref()).await?;
            let total = made.stored.row_count;
            (engine.table_of_versions(&key, &[made])?, Some(total))
        }
        (None, Some(expr)) => {
            let made = engine.current_of(&key, Some(expr)).await?;
            let total = made.iter().map(|made| made.stored.row_count).sum();
            (engine.table_of_versions(&key, &made)?, Some(total))
        }
        (None, None) => {
            let states = web.states(&engine).await?;
            let total = states.get(&key).and_then(|state| state.row_count);
            (engine.table(&key).await?, total)
        }
    };
    let context = SessionContext::new_with_state(engine.session().as_ref().clone());
    let mut frame = context.read_table(table).map_err(failed)?;
    if let Some(sort) = query.sort.as_deref().filter(|sort| !sort.is_empty()) {
        let (name, ascending) = sort.strip_prefix('-').map_or((sort, true), |name| (name, false));
        let names: Vec<&str> =
            frame.schema().fields().iter().map(|field| field.name().as_str()).collect();
        if !names.contains(&name) {
            return Err(ApiError::unknown("column", name, names));
        }
        let column = Expr::Column(Column::new_unqualified(name));
        frame = frame.sort(vec![column.sort(ascending, false)]).map_err(failed)?;
    }
    let limit = page(query.limit) as usize;
    let frame = frame.limit(query.offset.unwrap_or(0), Some(limit + 1)).map_err(failed)?;
    let stream = within(frame.execute_stream()).await?.map_err(failed)?;
    let mut found = collect(stream, limit).await?;
    found.total = total;
    Ok(Json(found))
}

/// Some partitions of a version; all if nothing is said.
async fn of_partitions(
    engine: &Engine,
    key: &AssetKey,
    made: Materialization,
    expr: Option<&PartitionExpr>,
) -> Result<Materialization, ApiError> {
    let Some(expr) = expr else { return Ok(made) };
    let known = engine.partitions(key).await?;
    let known = known.ok_or_else(|| ApiError::invalid(format!("`{key}` has no partitions")))?;
    let set = expr.evaluate(&known.keys, &known.materialized);
    let keys = known.keys.texts(&set.map_err(|error| ApiError::invalid(error.message))?);
    let stored = made.stored.only(&keys.iter().map(String::as_str).collect());
    Ok(Materialization { stored: Arc::new(stored), ..made })
}
