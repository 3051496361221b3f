//! The versions of an asset, and what is known of their columns without reading rows.

use std::collections::{BTreeMap, HashSet};

use arrow::array::{ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::compute::kernels::cmp::lt;
use arrow::datatypes::DataType;
use arrowsmith_instance::{Materialization, VersionRow};
use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::assets::{find, version_of};
use super::{Answer, ApiError, page};
use crate::Web;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct HistoryQuery {
    /// Only those that were published before this moment.
    before: Option<i64>,
    /// How many.
    pub(super) limit: Option<u32>,
}

/// A version of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VersionInfo {
    version: String,
    run_id: String,
    created_at: i64,
    /// How long it was computed and written, in microseconds.
    duration_us: u64,
    row_count: u64,
    size_bytes: u64,
    /// How many partitions it holds; none if it is a whole table.
    partitions: u64,
    /// Whether its files are there no more.
    removed: bool,
    /// Whether readers read it, or some partitions of it.
    current: bool,
}

/// The versions of an asset, newest first.
#[utoipa::path(get, path = "/assets/{key}/versions",
    params(("key" = String, Path), HistoryQuery),
    responses((status = 200, body = Vec<VersionInfo>), (status = 404, body = ApiError)))]
pub(crate) async fn versions(
    State(web): State<Web>,
    Path(key): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Vec<VersionInfo>> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let mut current = HashSet::new();
    let pointers = engine.instance.pointers(&engine.environment).await?;
    current.extend(pointers.get(key.as_str()).map(|pointer| pointer.version.to_string()));
    let cut = engine.instance.partitions(&engine.environment, key.as_str()).await?;
    current.extend(cut.iter().map(|pointer| pointer.version.to_string()));
    let found = engine.instance.versions(key.as_str(), query.before, page(query.limit)).await?;
    let info = |row: VersionRow| VersionInfo {
        current: current.contains(&row.version),
        version: row.version,
        run_id: row.run_id.to_string(),
        created_at: row.created_at,
        duration_us: row.duration_us,
        row_count: row.row_count,
        size_bytes: row.size_bytes,
        partitions: row.partitions,
        removed: row.removed,
    };
    Ok(Json(found.into_iter().map(info).collect()))
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct VersionQuery {
    /// The version; what is current if it is open.
    version: Option<String>,
}

/// What is known of a version of an asset.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Statistics {
    /// Files of it.
    files: usize,
    /// Rows of it.
    row_count: u64,
    /// Bytes of it.
    size_bytes: u64,
    /// The versions that it was computed from, by asset.
    inputs: BTreeMap<String, String>,
    /// What the computation said about it.
    metadata: BTreeMap<String, Value>,
    /// Where it is stored, without credentials.
    store: Option<String>,
    /// What is known of each column, from the statistics of its files.
    columns: BTreeMap<String, ColumnFacts>,
}

/// What is known of a column.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub(crate) struct ColumnFacts {
    /// How many values are null; none if some file does not say so.
    null_count: Option<u64>,
    /// The smallest value; none if some file does not say so.
    min: Option<String>,
    /// The largest value; none if some file does not say so.
    max: Option<String>,
}

/// What is known of a version from its manifest, without reading rows.
#[utoipa::path(get, path = "/assets/{key}/statistics",
    params(("key" = String, Path), VersionQuery),
    responses((status = 200, body = Statistics), (status = 404, body = ApiError)))]
pub(crate) async fn statistics(
    State(web): State<Web>,
    Path(key): Path<String>,
    Query(query): Query<VersionQuery>,
) -> Answer<Statistics> {
    let engine = web.engine()?;
    let key = find(&engine, &key)?.asset.key.clone();
    let made = match &query.version {
        Some(version) => {
            let made = engine.version(version_of(version)?).await?;
            let made = made.filter(|made| made.asset == key.as_str());
            vec![made.ok_or_else(|| ApiError::unknown("version", version, []))?]
        }
        None => engine.current(&key).await?,
    };
    Ok(Json(facts(&made)))
}

fn facts(made: &[Materialization]) -> Statistics {
    let mut facts = Statistics::default();
    let mut seen: BTreeMap<&str, (ColumnFacts, bool)> = BTreeMap::new();
    for version in made {
        let stored = &version.stored;
        facts.files += stored.files.len();
        facts.row_count += stored.row_count;
        facts.size_bytes += stored.size_bytes;
        facts.store = Some(stored.store.clone());
        let inputs = version.inputs.iter().map(|(name, of)| (name.clone(), of.to_string()));
        facts.inputs.extend(inputs);
        facts.metadata.extend(version.metadata.clone());
        let schema = &stored.schema;
        for field in schema.arrow().fields() {
            for file in stored.files.iter().filter(|file| file.row_count > 0) {
                let entry = seen.entry(field.name()).or_default();
                let of = file.columns.get(field.name());
                merge(entry, of, field.data_type());
            }
        }
    }
    facts.columns = seen.into_iter().map(|(name, (facts, _))| (name.to_owned(), facts)).collect();
    facts
}

/// What holds of a column in one more file; what one file does not say is not known of all.
fn merge(
    (sum, begun): &mut (ColumnFacts, bool),
    of: Option<&arrowsmith_io_manager::ColumnStatistics>,
    data_type: &DataType,
) {
    let of = of.cloned().unwrap_or_default();
    if !*begun {
        *begun = true;
        *sum = ColumnFacts { null_count: of.null_count, min: of.min, max: of.max };
        return;
    }
    sum.null_count = sum.null_count.zip(of.null_count).map(|(a, b)| a + b);
    sum.min = sum.min.take().zip(of.min).and_then(|(a, b)| first(a, b, data_type, false));
    sum.max = sum.max.take().zip(of.max).and_then(|(a, b)| first(a, b, data_type, true));
}

/// The smaller of two values in text form, or the larger, in the order of their type.
fn first(a: String, b: String, data_type: &DataType, larger: bool) -> Option<String> {
    let typed = |text: &str| {
        let array: ArrayRef = std::sync::Arc::new(StringArray::from(vec![text]));
        cast(&array, data_type).ok().filter(|array| array.null_count() == 0)
    };
    let (left, right) = (typed(&a)?, typed(&b)?);
    let is_less = lt(&left, &right).ok()?.value(0);
    Some(if is_less == larger { b } else { a })
}
