//! The asset graph: who reads whom.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};

use petgraph::Direction;
use petgraph::algo::tarjan_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::AssetKey;

/// Assets and the edges from what is read to what reads it. Acyclic.
#[derive(Debug, Clone, Default)]
pub struct AssetGraph {
    graph: DiGraph<AssetKey, ()>,
    nodes: HashMap<AssetKey, NodeIndex>,
    order: Vec<AssetKey>,
}

impl AssetGraph {
    /// Builds the graph of `(reader, what it reads)`.
    ///
    /// # Errors
    /// Every circle, each as the keys along it, beginning with its smallest.
    pub fn try_new<'a>(
        assets: impl IntoIterator<Item = (&'a AssetKey, Vec<&'a AssetKey>)>,
    ) -> Result<Self, Vec<Vec<AssetKey>>> {
        let mut found = Self::default();
        let assets: Vec<_> = assets.into_iter().collect();
        for (key, _) in &assets {
            let node = found.graph.add_node((*key).clone());
            found.nodes.insert((*key).clone(), node);
        }
        for (key, inputs) in &assets {
            // An asset may read another twice, and be read by many thousands.
            let mut read = HashSet::with_capacity(inputs.len());
            for input in inputs {
                if let (Some(from), Some(to)) = (found.nodes.get(input), found.nodes.get(key))
                    && read.insert(*from)
                {
                    found.graph.add_edge(*from, *to, ());
                }
            }
        }
        found.order = found.sorted().into_iter().map(|n| found.graph[n].clone()).collect();
        if found.order.len() < assets.len() { Err(found.cycles()) } else { Ok(found) }
    }

    /// All nodes that are not behind a circle, by Kahn, "Topological sorting of large networks" (1962):
    /// of those that could come next, the one that was given first.
    fn sorted(&self) -> Vec<NodeIndex> {
        let neighbours = |node, direction| self.graph.neighbors_directed(node, direction);
        let nodes = self.graph.node_indices();
        let mut reads: Vec<usize> =
            nodes.map(|node| neighbours(node, Direction::Incoming).count()).collect();
        let free = self.graph.node_indices().filter(|node| reads[node.index()] == 0);
        let mut next: BinaryHeap<Reverse<NodeIndex>> = free.map(Reverse).collect();
        let mut sorted = Vec::with_capacity(reads.len());
        while let Some(Reverse(node)) = next.pop() {
            sorted.push(node);
            for reader in neighbours(node, Direction::Outgoing) {
                reads[reader.index()] -= 1;
                if reads[reader.index()] == 0 {
                    next.push(Reverse(reader));
                }
            }
        }
        sorted
    }

    /// All keys, each after everything that it reads, else in the order in which they were given.
    pub fn topological(&self) -> &[AssetKey] {
        &self.order
    }

    /// Whether the asset is there.
    pub fn contains(&self, key: &AssetKey) -> bool {
        self.nodes.contains_key(key)
    }

    /// What the asset reads, sorted.
    pub fn upstream(&self, key: &AssetKey) -> Vec<AssetKey> {
        self.neighbours(key, Direction::Incoming)
    }

    /// What reads the asset, sorted.
    pub fn downstream(&self, key: &AssetKey) -> Vec<AssetKey> {
        self.neighbours(key, Direction::Outgoing)
    }

    fn neighbours(&self, key: &AssetKey, direction: Direction) -> Vec<AssetKey> {
        let Some(node) = self.nodes.get(key) else { return Vec::new() };
        let mut keys: Vec<AssetKey> = self
            .graph
            .neighbors_directed(*node, direction)
            .map(|n| self.graph[n].clone())
            .collect();
        keys.sort();
        keys
    }

    /// The assets and everything that they read, at most `depth` steps away.
    pub fn ancestors(&self, of: &BTreeSet<AssetKey>, depth: usize) -> BTreeSet<AssetKey> {
        self.reach(of, depth, Direction::Incoming)
    }

    /// The assets and everything that reads them, at most `depth` steps away.
    pub fn descendants(&self, of: &BTreeSet<AssetKey>, depth: usize) -> BTreeSet<AssetKey> {
        self.reach(of, depth, Direction::Outgoing)
    }

    fn reach(
        &self,
        of: &BTreeSet<AssetKey>,
        depth: usize,
        direction: Direction,
    ) -> BTreeSet<AssetKey> {
        let mut seen: HashMap<NodeIndex, usize> = HashMap::new();
        let mut pending: VecDeque<(NodeIndex, usize)> =
            of.iter().filter_map(|key| self.nodes.get(key)).map(|node| (*node, 0)).collect();
        while let Some((node, distance)) = pending.pop_front() {
            if seen.contains_key(&node) {
                continue;
            }
            seen.insert(node, distance);
            if distance < depth {
                let next = self.graph.neighbors_directed(node, direction);
                pending.extend(next.map(|n| (n, distance + 1)));
            }
        }
        seen.into_keys().map(|node| self.graph[node].clone()).collect()
    }

    /// One circle of each strongly connected component.
    fn cycles(&self) -> Vec<Vec<AssetKey>> {
        let mut cycles = Vec::new();
        for component in tarjan_scc(&self.graph) {
            let members: BTreeSet<NodeIndex> = component.iter().copied().collect();
            let Some(start) = component.iter().min_by_key(|n| &self.graph[**n]).copied() else {
                continue;
            };
            if component.len() == 1 && !self.graph.contains_edge(start, start) {
                continue;
            }
            cycles.push(self.cycle_through(start, &members));
        }
        cycles.sort();
        cycles
    }

    /// The shortest circle from `start` back to it, along the direction of reading.
    fn cycle_through(&self, start: NodeIndex, members: &BTreeSet<NodeIndex>) -> Vec<AssetKey> {
        let mut came_from: HashMap<NodeIndex, NodeIndex> = HashMap::new();
        let mut pending = VecDeque::from([start]);
        while let Some(node) = pending.pop_front() {
            for next in self.graph.neighbors_directed(node, Direction::Incoming) {
                if next == start {
                    let mut path = vec![node];
                    while let Some(previous) = path.last().and_then(|n| came_from.get(n)) {
                        path.push(*previous);
                    }
                    path.reverse();
                    return path.into_iter().map(|n| self.graph[n].clone()).collect();
                }
                if members.contains(&next) && !came_from.contains_key(&next) {
                    came_from.insert(next, node);
                    pending.push_back(next);
                }
            }
        }
        Vec::new()
    }
}
