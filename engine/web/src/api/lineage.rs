//! Where the values of a column come from, and where they go.

use arrowsmith_definitions::{ColumnOf, LineageEdge};
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::assets::find;
use super::{Answer, ApiError};
use crate::Web;

/// A column that goes into another, or decides about rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ColumnEdge {
    from_asset: String,
    from_column: String,
    to_asset: String,
    /// None if it decides about the rows of the asset.
    to_column: Option<String>,
    /// `identity`, `transformation`, `aggregation`, `filter`, `join`, `group by`, `sort`, `window`.
    influence: String,
}

/// The lineage of a column.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ColumnGraph {
    /// What goes into it, all the way up.
    upstream: Vec<ColumnEdge>,
    /// What it goes into, all the way down.
    downstream: Vec<ColumnEdge>,
}

/// Where the values of a column come from, and where they go.
#[utoipa::path(get, path = "/assets/{key}/columns/{column}/lineage",
    params(("key" = String, Path), ("column" = String, Path)),
    responses((status = 200, body = ColumnGraph), (status = 404, body = ApiError)))]
pub(crate) async fn column_lineage(
    State(web): State<Web>,
    Path((key, column)): Path<(String, String)>,
) -> Answer<ColumnGraph> {
    let engine = web.engine()?;
    let resolved = find(&engine, &key)?;
    if let Some(schema) = &resolved.schema {
        let names = schema.fields().iter().map(|field| field.name().as_str());
        if schema.field_with_name(&column).is_err() {
            return Err(ApiError::unknown("column", &column, names.collect::<Vec<_>>()));
        }
    }
    let of = ColumnOf { asset: resolved.asset.key.clone(), column };
    let edges = |edges: Vec<LineageEdge>| edges.into_iter().map(edge).collect();
    Ok(Json(ColumnGraph {
        upstream: edges(engine.resolved.column_upstream(&of)),
        downstream: edges(engine.resolved.column_downstream(&of)),
    }))
}

fn edge(edge: LineageEdge) -> ColumnEdge {
    ColumnEdge {
        from_asset: edge.from.asset.to_string(),
        from_column: edge.from.column,
        to_asset: edge.to.to_string(),
        to_column: edge.to_column,
        influence: edge.influence.to_string(),
    }
}
