//! The graph of assets as pages draw it: laid out here, so that ten thousand assets take a moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Resolved};
use arrowsmith_execution::Engine;
use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::AssetGraph;
use crate::Web;
use crate::api::{Answer, ApiError, select};
use crate::layout::layered;

/// Graphs that are kept; when there are more, all are forgotten.
const GRAPHS_KEPT: usize = 64;

/// Graphs of the version of the repository that is served.
#[derive(Debug, Default)]
pub(crate) struct GraphCache {
    engine: Option<Arc<Engine>>,
    graphs: HashMap<GraphQuery, Arc<GraphDocument>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct GraphQuery {
    /// Which assets; all if it is open.
    selection: Option<String>,
    /// Whether groups are one node each.
    collapse: Option<bool>,
    /// Groups that are not, separated by commas.
    open: Option<String>,
}

/// A graph, laid out from left to right.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GraphDocument {
    nodes: Vec<NodeInfo>,
    edges: Vec<EdgeInfo>,
    width: f64,
    height: f64,
}

/// An asset, or a group of them.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NodeInfo {
    /// The key of the asset, or the name of the group.
    id: String,
    /// `asset`, `source` or `group`.
    kind: &'static str,
    group: Option<String>,
    kinds: BTreeSet<String>,
    description: Option<String>,
    /// The assets of a group.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assets: Vec<String>,
    x: f64,
    y: f64,
}

/// Who reads whom.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EdgeInfo {
    /// The index of what is read.
    from: usize,
    /// The index of who reads it.
    to: usize,
    /// Where it passes between them, as `x` and `y` in turn.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    via: Vec<f64>,
}

/// The graph of some assets, laid out.
#[utoipa::path(get, path = "/graph", params(GraphQuery),
    responses((status = 200, body = GraphDocument), (status = 422, body = ApiError)))]
pub(crate) async fn graph(
    State(web): State<Web>,
    Query(query): Query<GraphQuery>,
) -> Answer<Arc<GraphDocument>> {
    let engine = web.engine()?;
    if let Some(known) = remembered(&web, &engine, &query) {
        return Ok(Json(known));
    }
    let keys = select(&engine.resolved, query.selection.as_deref())?;
    let (of, asked) = (Arc::clone(&engine), query.clone());
    let drawn = tokio::task::spawn_blocking(move || draw(&of.resolved, &keys, &asked)).await;
    let drawn = drawn.map_err(|error| ApiError::invalid(error.to_string()))?;
    let drawn = Arc::new(drawn);
    let mut cache = lock(&web);
    if cache.graphs.len() >= GRAPHS_KEPT {
        cache.graphs.clear();
    }
    cache.graphs.insert(query, Arc::clone(&drawn));
    Ok(Json(drawn))
}

fn lock(web: &Web) -> std::sync::MutexGuard<'_, GraphCache> {
    web.caches().graphs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn remembered(web: &Web, engine: &Arc<Engine>, query: &GraphQuery) -> Option<Arc<GraphDocument>> {
    let mut cache = lock(web);
    if !cache.engine.as_ref().is_some_and(|known| Arc::ptr_eq(known, engine)) {
        *cache = GraphCache { engine: Some(Arc::clone(engine)), graphs: HashMap::new() };
    }
    cache.graphs.get(query).cloned()
}

fn draw(resolved: &Resolved, keys: &BTreeSet<AssetKey>, query: &GraphQuery) -> GraphDocument {
    let graph = AssetGraph::of(resolved, keys);
    let open: BTreeSet<&str> = query.open.iter().flat_map(|open| open.split(',')).collect();
    let collapses = query.collapse.unwrap_or(false);
    let group_of = |key: &AssetKey| {
        let group = resolved.asset(key)?.asset.attributes.group.as_deref()?;
        (collapses && !open.contains(group)).then_some(group)
    };
    let (mut nodes, mut groups) = (Vec::new(), BTreeMap::new());
    let mut node_of = Vec::with_capacity(graph.nodes.len());
    for node in &graph.nodes {
        let Some(group) = group_of(&node.key) else {
            node_of.push(nodes.len());
            nodes.push(asset_node(resolved, &node.key, node.is_source));
            continue;
        };
        let at = *groups.entry(group).or_insert_with(|| {
            nodes.push(group_node(group));
            nodes.len() - 1
        });
        node_of.push(at);
        nodes[at].assets.push(node.key.to_string());
    }
    let pairs = graph.edges.iter().map(|(from, to)| (node_of[*from], node_of[*to]));
    let pairs: BTreeSet<(usize, usize)> = pairs.filter(|(from, to)| from != to).collect();
    let pairs: Vec<(usize, usize)> = pairs.into_iter().collect();
    let layout = layered(nodes.len(), &pairs);
    for (node, at) in nodes.iter_mut().zip(&layout.nodes) {
        (node.x, node.y) = (at.x.round(), at.y.round());
    }
    let edges = pairs.iter().zip(&layout.edges).map(|((from, to), points)| {
        let inner = points.get(1..points.len().saturating_sub(1)).unwrap_or_default();
        let via = inner.iter().flat_map(|point| [point.x.round(), point.y.round()]);
        EdgeInfo { from: *from, to: *to, via: via.collect() }
    });
    GraphDocument {
        edges: edges.collect(),
        nodes,
        width: layout.size.x.round(),
        height: layout.size.y.round(),
    }
}

fn asset_node(resolved: &Resolved, key: &AssetKey, is_source: bool) -> NodeInfo {
    let said = resolved.asset(key).map(|of| of.asset.attributes.clone()).unwrap_or_default();
    let description = said.description.as_deref().and_then(|text| text.lines().next());
    NodeInfo {
        id: key.to_string(),
        kind: if is_source { "source" } else { "asset" },
        group: said.group,
        kinds: said.kinds,
        description: description.map(str::to_owned),
        assets: Vec::new(),
        x: 0.0,
        y: 0.0,
    }
}

fn group_node(name: &str) -> NodeInfo {
    NodeInfo {
        id: name.to_owned(),
        kind: "group",
        group: Some(name.to_owned()),
        kinds: BTreeSet::new(),
        description: None,
        assets: Vec::new(),
        x: 0.0,
        y: 0.0,
    }
}
