//! A layered layout of a graph without circles, after Sugiyama, Tagawa and Toda (1981): layers by the
//! longest path, edges over several layers cut by virtual nodes, crossings lessened by barycentres,
//! and heights by isotonic regression, which keeps the order of a layer and its distances.
//!
//! Ten thousand nodes take a twentieth of a second (`benches/layout.rs`), libraries seconds; and the same
//! graph always looks the same.

/// How far the middles of neighbouring layers are apart.
pub(crate) const LAYER_GAP: f64 = 260.0;
/// How far the middles of neighbouring nodes of a layer are apart at least.
pub(crate) const NODE_GAP: f64 = 56.0;
/// The same for edges that pass through a layer.
const EDGE_GAP: f64 = 18.0;
/// Longer edges are straight: cut into pieces they would outnumber everything else.
const SPAN_MAX: usize = 48;
const ORDER_SWEEPS: usize = 12;
const HEIGHT_SWEEPS: usize = 8;

/// A place in a picture, from its upper left corner.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Downward.
    pub y: f64,
}

/// Where everything stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    /// The middle of each node.
    pub nodes: Vec<Point>,
    /// The points of each edge, from its first node to its last.
    pub edges: Vec<Vec<Point>>,
    /// The right and lower end of the picture.
    pub size: Point,
}

/// Lays out nodes `0..count` and edges between them, which go from left to right.
///
/// Edges in a circle and edges of unknown nodes are drawn, but count for nothing.
pub fn layered(count: usize, edges: &[(usize, usize)]) -> Layout {
    let layers = longest_paths(count, edges);
    let mut grid = Grid::new(count, edges, &layers);
    grid.order();
    let heights = grid.heights();
    let top = heights.iter().copied().fold(f64::INFINITY, f64::min);
    let at = |vertex: usize| Point {
        x: LAYER_GAP * (0.5 + grid.layer_of[vertex] as f64),
        y: NODE_GAP + heights[vertex] - if top.is_finite() { top } else { 0.0 },
    };
    let nodes: Vec<Point> = (0..count).map(at).collect();
    let drawn = edges.iter().zip(&grid.paths).map(|((from, to), path)| {
        let inner = path.iter().map(|vertex| at(*vertex));
        nodes.get(*from).copied().into_iter().chain(inner).chain(nodes.get(*to).copied()).collect()
    });
    let edges: Vec<Vec<Point>> = drawn.collect();
    let all = nodes.iter().chain(edges.iter().flatten());
    let end = all.fold(Point { x: 0.0, y: 0.0 }, |end, point| Point {
        x: end.x.max(point.x),
        y: end.y.max(point.y),
    });
    let size = Point { x: end.x + LAYER_GAP / 2.0, y: end.y + NODE_GAP };
    Layout { nodes, edges, size }
}

/// The layer of each node: behind everything that leads to it, and no farther from what it leads to
/// than it has to be.
fn longest_paths(count: usize, edges: &[(usize, usize)]) -> Vec<usize> {
    let sound = || edges.iter().filter(|(from, to)| *from < count && *to < count && from != to);
    let (mut next, mut open) = (vec![Vec::new(); count], vec![0_usize; count]);
    for (from, to) in sound() {
        next[*from].push(*to);
        open[*to] += 1;
    }
    let mut layers = vec![0_usize; count];
    let mut order: Vec<usize> = (0..count).filter(|node| open[*node] == 0).collect();
    let mut at = 0;
    while let Some(node) = order.get(at).copied() {
        at += 1;
        for to in &next[node] {
            layers[*to] = layers[*to].max(layers[node] + 1);
            open[*to] -= 1;
            if open[*to] == 0 {
                order.push(*to);
            }
        }
    }
    // What nothing leads to stands right before the first node that it leads to.
    let mut is_led_to = vec![false; count];
    for (_, to) in sound() {
        is_led_to[*to] = true;
    }
    for node in 0..count {
        if !is_led_to[node] {
            let first = next[node].iter().map(|to| layers[*to]).min().unwrap_or(1);
            layers[node] = first.saturating_sub(1);
        }
    }
    layers
}

/// Nodes and virtual nodes in their layers.
struct Grid {
    layer_of: Vec<usize>,
    /// The vertices of each layer, from above.
    layers: Vec<Vec<usize>>,
    /// Neighbours in the layer before, and in the one behind.
    before: Vec<Vec<usize>>,
    behind: Vec<Vec<usize>>,
    /// The virtual nodes of each edge.
    paths: Vec<Vec<usize>>,
    nodes: usize,
}

impl Grid {
    fn new(count: usize, edges: &[(usize, usize)], layers: &[usize]) -> Self {
        let mut this = Self {
            layer_of: layers.to_vec(),
            layers: vec![Vec::new(); layers.iter().max().map_or(0, |last| last + 1)],
            before: vec![Vec::new(); count],
            behind: vec![Vec::new(); count],
            paths: Vec::with_capacity(edges.len()),
            nodes: count,
        };
        for (node, layer) in layers.iter().enumerate() {
            this.layers[*layer].push(node);
        }
        for (from, to) in edges {
            let mut path = Vec::new();
            if *from < count && *to < count && layers[*from] < layers[*to] {
                let span = layers[*to] - layers[*from];
                let mut last = *from;
                if span <= SPAN_MAX {
                    for layer in layers[*from] + 1..layers[*to] {
                        let vertex = this.virtual_node(layer);
                        this.join(last, vertex);
                        path.push(vertex);
                        last = vertex;
                    }
                    this.join(last, *to);
                }
            }
            this.paths.push(path);
        }
        this
    }

    fn virtual_node(&mut self, layer: usize) -> usize {
        let vertex = self.layer_of.len();
        self.layer_of.push(layer);
        self.layers[layer].push(vertex);
        self.before.push(Vec::new());
        self.behind.push(Vec::new());
        vertex
    }

    fn join(&mut self, from: usize, to: usize) {
        self.behind[from].push(to);
        self.before[to].push(from);
    }

    /// Orders each layer by the means of its neighbours, to and fro.
    fn order(&mut self) {
        let mut place = vec![0.0; self.layer_of.len()];
        for layer in &self.layers {
            number(layer, &mut place);
        }
        for sweep in 0..ORDER_SWEEPS {
            let forward = sweep % 2 == 0;
            for step in 0..self.layers.len() {
                let at = if forward { step } else { self.layers.len() - 1 - step };
                let neighbours = if forward { &self.before } else { &self.behind };
                let means = |vertex: usize| mean(&neighbours[vertex], &place);
                let mut keyed: Vec<(f64, usize)> = self.layers[at]
                    .iter()
                    .map(|vertex| (means(*vertex).unwrap_or(place[*vertex]), *vertex))
                    .collect();
                // Stable, so that equals stay as they are.
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                self.layers[at] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
                number(&self.layers[at], &mut place);
            }
        }
    }

    /// Moves each vertex toward the mean of its neighbours, as far as its layer allows.
    fn heights(&self) -> Vec<f64> {
        let mut heights = vec![0.0; self.layer_of.len()];
        for layer in &self.layers {
            let offsets = self.offsets(layer);
            let middle = offsets.last().copied().unwrap_or(0.0) / 2.0;
            for (vertex, offset) in layer.iter().zip(offsets) {
                heights[*vertex] = offset - middle;
            }
        }
        for sweep in 0..HEIGHT_SWEEPS {
            let forward = sweep % 2 == 0;
            for step in 0..self.layers.len() {
                let at = if forward { step } else { self.layers.len() - 1 - step };
                let layer = &self.layers[at];
                let neighbours = if forward { &self.before } else { &self.behind };
                let offsets = self.offsets(layer);
                let wanted = layer.iter().zip(&offsets).map(|(vertex, offset)| {
                    let near = &neighbours[*vertex];
                    // What has no neighbours there would rather stay.
                    let weight = if near.is_empty() { 0.25 } else { near.len() as f64 };
                    (mean(near, &heights).unwrap_or(heights[*vertex]) - offset, weight)
                });
                let moved = isotonic(wanted);
                for ((vertex, offset), height) in layer.iter().zip(&offsets).zip(moved) {
                    heights[*vertex] = height + offset;
                }
            }
        }
        heights
    }

    /// How far each vertex of a layer is below the first at least.
    fn offsets(&self, layer: &[usize]) -> Vec<f64> {
        let gap = |vertex: usize| if vertex < self.nodes { NODE_GAP } else { EDGE_GAP };
        let mut offset = 0.0;
        let mut before: Option<usize> = None;
        let next = |vertex: &usize| {
            if let Some(before) = before {
                offset += f64::midpoint(gap(before), gap(*vertex));
            }
            before = Some(*vertex);
            offset
        };
        layer.iter().map(next).collect()
    }
}

fn number(layer: &[usize], place: &mut [f64]) {
    for (at, vertex) in layer.iter().enumerate() {
        // Layers of different lengths are laid over each other.
        place[*vertex] = (at as f64 + 0.5) / layer.len() as f64;
    }
}

fn mean(of: &[usize], values: &[f64]) -> Option<f64> {
    let sum: f64 = of.iter().map(|vertex| values[*vertex]).sum();
    (!of.is_empty()).then(|| sum / of.len() as f64)
}

/// The rising sequence with the least squared distance to weighted values, by pooling adjacent
/// violators.
fn isotonic(wanted: impl Iterator<Item = (f64, f64)>) -> Vec<f64> {
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (value, weight) in wanted {
        let mut pool = (value, weight, 1);
        while let Some(last) = pools.last().filter(|last| last.0 > pool.0) {
            let weight = last.1 + pool.1;
            pool = ((last.0 * last.1 + pool.0 * pool.1) / weight, weight, last.2 + pool.2);
            pools.pop();
        }
        pools.push(pool);
    }
    pools.into_iter().flat_map(|(value, _, count)| std::iter::repeat_n(value, count)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{LAYER_GAP, NODE_GAP, layered};

    /// Graphs without circles: edges lead from lower to higher numbers.
    fn graphs() -> impl Strategy<Value = (usize, Vec<(usize, usize)>)> {
        (1_usize..45).prop_flat_map(|count| {
            let edge = (0..count, 0..count).prop_map(|(a, b)| (a.min(b), a.max(b)));
            let edge = edge.prop_filter("no loops", |(a, b)| a != b);
            (Just(count), proptest::collection::vec(edge, 0..if count > 1 { 120 } else { 1 }))
        })
    }

    proptest! {
        #[test]
        fn edges_lead_to_the_right_and_no_two_nodes_overlap((count, edges) in graphs()) {
            let layout = layered(count, &edges);
            prop_assert_eq!(layout.nodes.len(), count);
            for ((from, to), points) in edges.iter().zip(&layout.edges) {
                prop_assert!(layout.nodes[*from].x < layout.nodes[*to].x);
                prop_assert_eq!(points[0], layout.nodes[*from]);
                prop_assert_eq!(points[points.len() - 1], layout.nodes[*to]);
                for pair in points.windows(2) {
                    prop_assert!((pair[1].x - pair[0].x - LAYER_GAP).abs() < 1e-6);
                }
            }
            for (at, one) in layout.nodes.iter().enumerate() {
                prop_assert!(one.x > 0.0 && one.x < layout.size.x);
                prop_assert!(one.y > 0.0 && one.y < layout.size.y);
                for other in &layout.nodes[at + 1..] {
                    let apart = (one.y - other.y).abs() > NODE_GAP - 1e-6;
                    prop_assert!((one.x - other.x).abs() > 1.0 || apart);
                }
            }
            prop_assert_eq!(&layered(count, &edges), &layout, "the same graph looks the same");
        }
    }

    #[test]
    fn what_cannot_be_laid_out_is_drawn_all_the_same() {
        assert!(layered(0, &[]).nodes.is_empty());
        let circle = layered(3, &[(0, 1), (1, 2), (2, 0), (1, 1), (0, 9)]);
        assert_eq!((circle.nodes.len(), circle.edges.len()), (3, 5));
        // An edge over more layers than are worth its pieces.
        let mut chain: Vec<(usize, usize)> = (0..200).map(|at| (at, at + 1)).collect();
        chain.push((0, 200));
        let layout = layered(201, &chain);
        assert_eq!(layout.edges[200].len(), 2);
        assert!(layout.nodes.windows(2).all(|pair| (pair[0].y - pair[1].y).abs() < 1e-6));
    }
}
