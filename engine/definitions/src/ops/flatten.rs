//! A graph of graphs as one list of ops, each with the path of its node.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::graph::{Graph, NodeBody, Source, Wiring};
use super::op::Op;

/// The ops of a graph and of those inside of it, each after what it waits for.
#[derive(Debug, Clone, Default)]
pub struct FlatGraph {
    /// The ops.
    pub nodes: Vec<FlatNode>,
    /// Where each output of the graph comes from.
    pub outputs: Vec<(String, FlatSource)>,
}

/// An op at its place in the whole graph.
#[derive(Debug, Clone)]
pub struct FlatNode {
    /// The names of the nodes that lead to it, joined by dots.
    pub path: String,
    /// The op.
    pub op: Arc<Op>,
    /// What is wired to its inputs; what is missing has a default or is given by the run config.
    pub inputs: BTreeMap<String, FlatInput>,
    /// The node over whose dynamic output it is mapped, if it is.
    pub mapped_over: Option<usize>,
}

/// What is wired to one input.
#[derive(Debug, Clone, Default)]
pub struct FlatInput {
    /// Several only if they are gathered.
    pub sources: Vec<FlatSource>,
    /// Whether each source is one item.
    pub gathered: bool,
}

/// Where a value comes from, in the whole graph.
#[derive(Debug, Clone, PartialEq)]
pub enum FlatSource {
    /// An output of an op.
    Output {
        /// The index of its node.
        node: usize,
        /// The name of the output.
        output: String,
        /// Whether all values of a dynamic output, or of what is mapped over one, are collected.
        collect: bool,
    },
    /// An input of the outermost graph.
    Input(String),
    /// A value that stands in the graph.
    Literal(Value),
}

impl Graph {
    /// The whole graph as a list of ops. The graph is one without [`problems`](Self::problems).
    ///
    /// # Errors
    /// Names an op that is mapped over two dynamic outputs, or a dynamic output inside of another.
    pub fn flatten(&self) -> Result<FlatGraph, String> {
        let mut flat = FlatGraph::default();
        let outside = self.inputs.iter().map(|input| {
            let source = FlatSource::Input(input.name.clone());
            (input.name.clone(), FlatInput { sources: vec![source], gathered: false })
        });
        let outputs = flatten_into(&mut flat, self, "", &outside.collect());
        flat.outputs = outputs
            .into_iter()
            .filter_map(|(name, input)| Some((name, input.sources.into_iter().next()?)))
            .collect();
        map_over(&mut flat)?;
        Ok(flat)
    }
}

type Inputs = BTreeMap<String, FlatInput>;

/// Adds the ops of `graph`; returns where its outputs come from.
fn flatten_into(flat: &mut FlatGraph, graph: &Graph, prefix: &str, outside: &Inputs) -> Inputs {
    // Outputs of each node by name; nodes are visited when everything that they wait for was.
    let mut done: BTreeMap<usize, Inputs> = BTreeMap::new();
    while done.len() < graph.nodes.len() {
        let before = done.len();
        for (at, node) in graph.nodes.iter().enumerate() {
            let waits = |source: &Source| matches!(source, Source::Output { node, .. } if !done.contains_key(node));
            let mut sources = node.wirings.values().flat_map(|wiring| &wiring.sources);
            if done.contains_key(&at) || sources.any(waits) {
                continue;
            }
            let inputs: Inputs = node
                .wirings
                .iter()
                .map(|(name, wiring)| (name.clone(), resolve(wiring, &done, outside)))
                .collect();
            let path = format!("{prefix}{}", node.name);
            let outputs = match &node.body {
                NodeBody::Op(op) => {
                    let index = flat.nodes.len();
                    let outputs = op.outputs.iter().map(|output| {
                        let source = FlatSource::Output {
                            node: index,
                            output: output.name.clone(),
                            collect: false,
                        };
                        let sources = vec![source];
                        (output.name.clone(), FlatInput { sources, gathered: false })
                    });
                    let outputs = outputs.collect();
                    let op = Arc::clone(op);
                    flat.nodes.push(FlatNode { path, op, inputs, mapped_over: None });
                    outputs
                }
                NodeBody::Graph(inner) => flatten_into(flat, inner, &format!("{path}."), &inputs),
            };
            done.insert(at, outputs);
        }
        if done.len() == before {
            // A circle; it is one of the graph's problems.
            break;
        }
    }
    let output = |output: &super::graph::GraphOutput| {
        let wiring = Wiring { sources: vec![output.from.clone()], ..Wiring::default() };
        (output.name.clone(), resolve(&wiring, &done, outside))
    };
    graph.outputs.iter().map(output).collect()
}

fn resolve(wiring: &Wiring, done: &BTreeMap<usize, Inputs>, outside: &Inputs) -> FlatInput {
    let mut resolved = FlatInput { sources: Vec::new(), gathered: wiring.gathered };
    for source in &wiring.sources {
        match source {
            Source::Literal(value) => resolved.sources.push(FlatSource::Literal(value.clone())),
            Source::Input(name) => {
                if let Some(given) = outside.get(name) {
                    resolved.sources.extend(given.sources.iter().cloned());
                    resolved.gathered |= given.gathered;
                }
            }
            Source::Output { node, output, collect } => {
                let given = done.get(node).and_then(|outputs| outputs.get(output));
                for source in given.into_iter().flat_map(|given| &given.sources) {
                    let mut source = source.clone();
                    if let FlatSource::Output { collect: all, .. } = &mut source {
                        *all |= collect;
                    }
                    resolved.sources.push(source);
                }
            }
        }
    }
    resolved
}

/// Finds for each op the dynamic output that it is mapped over: its own source's, or that of an op
/// before it.
fn map_over(flat: &mut FlatGraph) -> Result<(), String> {
    for at in 0..flat.nodes.len() {
        let mut over: Option<usize> = None;
        for input in flat.nodes[at].inputs.values() {
            for source in &input.sources {
                let FlatSource::Output { node, output, collect: false } = source else { continue };
                let from = &flat.nodes[*node];
                let dynamic = from.op.find_output(output).is_some_and(|output| output.dynamic);
                let found = if dynamic { Some(*node) } else { from.mapped_over };
                if let (Some(a), Some(b)) = (over, found)
                    && a != b
                {
                    let (a, b) = (&flat.nodes[a].path, &flat.nodes[b].path);
                    let path = &flat.nodes[at].path;
                    return Err(format!("`{path}` is mapped over both `{a}` and `{b}`"));
                }
                over = over.or(found);
            }
        }
        let node = &mut flat.nodes[at];
        if over.is_some() && node.op.outputs.iter().any(|output| output.dynamic) {
            let path = &node.path;
            return Err(format!(
                "`{path}` has a dynamic output and is itself mapped over one: collect the first"
            ));
        }
        node.mapped_over = over;
    }
    Ok(())
}
