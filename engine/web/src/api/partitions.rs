//! The partitions of an asset as a heat map: as many cells as can be seen, however many there are.

use std::ops::Range;

use arrowsmith_definitions::{PartitionKeys, PartitionSet};
use arrowsmith_execution::PartitionsNow;
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::assets::find;
use super::{Answer, ApiError};
use crate::Web;

/// Cells of a row, unless asked otherwise, and at most.
const CELLS: u32 = 366;
const CELLS_MAX: u32 = 2_000;
/// Rows of a map of several dimensions at most; more keys share a row.
const ROWS_MAX: u32 = 48;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HeatMapQuery {
    /// Where the shown keys of the last dimension begin.
    from: Option<u32>,
    /// How many of them are shown; all if it is open.
    count: Option<u32>,
    /// How many cells a row may have.
    cells: Option<u32>,
}

/// The partitions of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeatMap {
    /// What they are.
    definition: String,
    /// The names of the dimensions, in the order of the parts of a key.
    dimensions: Vec<String>,
    /// How many keys each has.
    lengths: Vec<u32>,
    total: u32,
    materialized: u64,
    running: u64,
    failed: u64,
    /// A row for each key of all dimensions but the last; a single one if there is only one dimension.
    rows: Vec<HeatRow>,
}

/// A row of a heat map.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeatRow {
    /// The keys of the other dimensions; empty if there are none.
    label: String,
    cells: Vec<HeatCell>,
}

/// One partition, or several neighbours.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HeatCell {
    /// The place of its first key in the last dimension.
    from: u32,
    /// How many keys of the last dimension it holds.
    count: u32,
    /// The first key of the last dimension.
    first: String,
    /// The last key of the last dimension.
    last: String,
    /// How many partitions it stands for.
    total: u64,
    materialized: u64,
    running: u64,
    failed: u64,
    row_count: u64,
    size_bytes: u64,
    /// Its partitions in the language of sets.
    expression: String,
}

/// The partitions of an asset, in as many cells as are asked for.
#[utoipa::path(get, path = "/assets/{key}/partitions",
    params(("key" = String, Path), HeatMapQuery),
    responses((status = 200, body = HeatMap), (status = 404, body = ApiError)))]
pub(crate) async fn partitions(
    State(web): State<Web>,
    Path(key): Path<String>,
    Query(query): Query<HeatMapQuery>,
) -> Answer<HeatMap> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let now = engine.partitions_now(&key).await?;
    let now = now.ok_or_else(|| {
        ApiError::new(axum::http::StatusCode::NOT_FOUND, format!("`{key}` has no partitions"))
    })?;
    let (keys, definition) = (&now.partitions.keys, &now.partitions.definition);
    let lengths = keys.dimension_lengths();
    let last = lengths.last().copied().unwrap_or(0);
    let others: u32 = lengths.iter().rev().skip(1).product();
    let from = query.from.unwrap_or(0).min(last);
    let shown = from..from.saturating_add(query.count.unwrap_or(last)).min(last);
    let columns = pieces(shown, query.cells.unwrap_or(CELLS).clamp(1, CELLS_MAX));
    let rows = pieces(0..others, ROWS_MAX);
    let row = |of: &Range<u32>| HeatRow {
        label: label(keys, &lengths, of),
        cells: columns.iter().map(|column| cell(&now, last, of, column)).collect(),
    };
    Ok(Json(HeatMap {
        definition: definition.to_string(),
        dimensions: definition.dimensions.iter().map(|of| of.name.clone()).collect(),
        total: keys.len(),
        materialized: now.partitions.materialized.len(),
        running: now.running.len(),
        failed: now.failed.len(),
        rows: rows.iter().map(row).collect(),
        lengths,
    }))
}

/// A range in at most `count` pieces of the same length, but for the last.
fn pieces(of: Range<u32>, count: u32) -> Vec<Range<u32>> {
    let length = of.len().div_ceil(count as usize).max(1);
    let end = of.end;
    of.step_by(length)
        .map(|from| from..from.saturating_add(u32::try_from(length).unwrap_or(u32::MAX)).min(end))
        .collect()
}

/// The keys of all dimensions but the last, which rows stand for.
fn label(keys: &PartitionKeys, lengths: &[u32], rows: &Range<u32>) -> String {
    let others = lengths.len().saturating_sub(1);
    let key = |row: u32| {
        let (mut rest, mut parts) = (row, Vec::new());
        for at in (0..others).rev() {
            parts.push(keys.dimension_key(at, rest % lengths[at]).unwrap_or_default());
            rest /= lengths[at].max(1);
        }
        parts.reverse();
        parts.join("|")
    };
    match rows.len() {
        _ if others == 0 => String::new(),
        1 => key(rows.start),
        _ => format!("{}…{}", key(rows.start), key(rows.end - 1)),
    }
}

fn cell(now: &PartitionsNow, last: u32, rows: &Range<u32>, column: &Range<u32>) -> HeatCell {
    let keys = &now.partitions.keys;
    let mut set = PartitionSet::empty();
    for row in rows.clone() {
        let start = row * last;
        set.extend(&PartitionSet::range(start + column.start..=start + column.end - 1));
    }
    let made = set.intersection(&now.partitions.materialized);
    let current = made.iter().filter_map(|index| now.partitions.current(index));
    let (row_count, size_bytes) = current.fold((0, 0), |(rows, bytes), pointer| {
        (rows + pointer.row_count, bytes + pointer.size_bytes)
    });
    let dimension = keys.dimension_lengths().len() - 1;
    let key = |at| keys.dimension_key(dimension, at).unwrap_or_default();
    HeatCell {
        from: column.start,
        count: column.end - column.start,
        first: key(column.start),
        last: key(column.end - 1),
        total: set.len(),
        materialized: made.len(),
        running: set.intersection(&now.running).len(),
        failed: set.intersection(&now.failed).len(),
        row_count,
        size_bytes,
        expression: keys.exact_expression(&set),
    }
}
