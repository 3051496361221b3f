//! A graph of ops as nodes of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{
    Code, Diagnostic, FlatInput, FlatNode, FlatSource, Graph, OpInput, OpOutput,
};
use serde_json::Value;

use super::config::op_configs;
use crate::io_managers::OUTPUTS;
use crate::node::{Node, NodeInput, NodeOutput, NodeSource, Work};

/// Nodes with their paths, and where the outputs of the graph come from.
type Nodes = (Vec<(String, Node)>, Vec<(String, NodeSource)>);

/// The nodes of a graph, whose indexes begin at `first`. `outside` is what is wired to the inputs
/// of the graph, `ops` the `ops` of its run config.
pub(super) fn nodes(
    graph: &Graph,
    outside: &BTreeMap<String, NodeInput>,
    ops: &Value,
    first: usize,
) -> Result<Nodes, Vec<Diagnostic>> {
    let refuse = |message: String| Diagnostic::error(Code::Graph, message).at(graph.place.clone());
    let flat = graph.flatten().map_err(|message| vec![refuse(message)])?;
    let configs = op_configs(graph, ops).map_err(|message| vec![refuse(message)])?;
    let (mut problems, mut nodes) = (Vec::new(), Vec::new());
    for flat_node in &flat.nodes {
        let config = configs.get(&flat_node.path).cloned().unwrap_or_default();
        let mut inputs = Vec::new();
        for input in &flat_node.op.inputs {
            match node_input(flat_node, input, outside, &config, first) {
                Some(bound) => inputs.push(bound),
                None => problems.push(unset(flat_node, input)),
            }
        }
        nodes.push((flat_node.path.clone(), node(flat_node, inputs, &config, first)));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let outputs = flat.outputs.iter().map(|(name, from)| (name.clone(), source(from, first)));
    Ok((nodes, outputs.collect()))
}

fn unset(node: &FlatNode, input: &OpInput) -> Diagnostic {
    let (path, input) = (&node.path, &input.name);
    let message =
        format!("input `{input}` of `{path}` is neither wired nor given, and has no default");
    Diagnostic::error(Code::Config, message)
        .at(node.op.place.clone())
        .help(format!("give it in the run config: `ops.{path}.inputs.{input} = …`"))
}

fn node(flat: &FlatNode, inputs: Vec<NodeInput>, config: &Value, first: usize) -> Node {
    let op = &flat.op;
    let output = |output: &OpOutput| NodeOutput {
        name: output.name.clone(),
        io_manager: output.io_manager.clone().unwrap_or_else(|| OUTPUTS.to_owned()),
        required: output.required,
        dynamic: output.dynamic,
        asset: None,
    };
    Node {
        work: Work::Op(Arc::clone(op)),
        inputs,
        outputs: op.outputs.iter().map(output).collect(),
        policy: op.policy.clone(),
        config: Arc::new(config.get("config").cloned().unwrap_or_default()),
        resources: op.resources.clone(),
        hooks: op.hooks.clone(),
        pool: op.pool.clone(),
        code_version: op.code_version.clone(),
        mapped_over: flat.mapped_over.map(|over| first + over),
        mapping_key: None,
        partitions: None,
        full_refresh: false,
        consumes: None,
        current: None,
    }
}

/// What is wired, else what the run config gives, else the default.
fn node_input(
    flat: &FlatNode,
    input: &OpInput,
    outside: &BTreeMap<String, NodeInput>,
    config: &Value,
    first: usize,
) -> Option<NodeInput> {
    let is_nothing = input.value_type.is_nothing();
    let (name, io_manager) = (input.name.clone(), input.io_manager.clone());
    let bound = |gathered, sources| NodeInput { name, gathered, is_nothing, io_manager, sources };
    if let Some(FlatInput { sources, gathered }) = flat.inputs.get(&input.name) {
        let (mut bound_sources, mut gathers) = (Vec::new(), *gathered);
        for from in sources {
            match from {
                FlatSource::Input(name) => {
                    let given = outside.get(name)?;
                    gathers |= given.gathered;
                    bound_sources.extend(given.sources.iter().cloned());
                }
                FlatSource::Output { collect, .. } => {
                    gathers |= collect;
                    bound_sources.push(source(from, first));
                }
                FlatSource::Literal(_) => bound_sources.push(source(from, first)),
            }
        }
        return Some(bound(gathers, bound_sources));
    }
    let given = config.get("inputs").and_then(|inputs| inputs.get(&input.name));
    match given.or(input.default.as_ref()) {
        Some(value) => Some(bound(false, vec![NodeSource::Literal(value.clone())])),
        None if is_nothing => Some(bound(false, vec![])),
        None => None,
    }
}

fn source(from: &FlatSource, first: usize) -> NodeSource {
    match from {
        FlatSource::Output { node, output, collect } => NodeSource::Step {
            at: first + node,
            output: output.clone(),
            mapping_key: None,
            collect: *collect,
        },
        FlatSource::Literal(value) => NodeSource::Literal(value.clone()),
        // Only a graph that passes an input through has such an output.
        FlatSource::Input(name) => NodeSource::Literal(Value::from(name.clone())),
    }
}
