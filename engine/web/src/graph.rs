//! Assets and what they read, as nodes and edges.

pub(crate) mod api;

use std::collections::{BTreeMap, BTreeSet};

use arrowsmith_definitions::{AssetKey, Body, Resolved};

/// Some assets of a repository and the edges between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetGraph {
    /// By key.
    pub nodes: Vec<GraphNode>,
    /// Which node is read by which.
    pub edges: Vec<(usize, usize)>,
}

/// An asset in a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphNode {
    /// The asset.
    pub key: AssetKey,
    /// Whether it is a source, which is read and not made.
    pub is_source: bool,
}

impl AssetGraph {
    /// The graph of these assets.
    pub fn of(resolved: &Resolved, keys: &BTreeSet<AssetKey>) -> Self {
        let at: BTreeMap<&AssetKey, usize> = keys.iter().zip(0..).collect();
        let node = |key: &AssetKey| GraphNode {
            key: key.clone(),
            is_source: resolved
                .asset(key)
                .is_some_and(|of| matches!(of.asset.body, Body::External(_))),
        };
        let edges = keys.iter().flat_map(|key| {
            let read = resolved.graph.upstream(key);
            let read: Vec<usize> = read.iter().filter_map(|read| at.get(read).copied()).collect();
            let to = at[key];
            read.into_iter().map(move |from| (from, to))
        });
        Self { nodes: keys.iter().map(node).collect(), edges: edges.collect() }
    }
}
