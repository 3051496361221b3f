//! Graphs of ops: nodes, and what is wired to their inputs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::op::{Op, OpInput, OpOutput};
use super::value::ValueType;
use crate::{Code, ConfigMapping, Diagnostic, Place, nearest};

/// Ops and other graphs, wired together; itself a node of larger graphs, the work of a job, or
/// what computes an asset.
#[derive(Debug, Clone)]
pub struct Graph {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// What it needs from outside.
    pub inputs: Vec<GraphInput>,
    /// In the order in which they were called.
    pub nodes: Vec<GraphNode>,
    /// What it gives.
    pub outputs: Vec<GraphOutput>,
    /// How its own configuration becomes that of its nodes, which it then hides.
    pub config_mapping: Option<ConfigMapping>,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// A value that a graph needs from outside.
#[derive(Debug, Clone)]
pub struct GraphInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
}

/// A value that a graph gives.
#[derive(Debug, Clone)]
pub struct GraphOutput {
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub from: Source,
}

/// One call in a graph.
#[derive(Debug, Clone)]
pub struct GraphNode {
    /// Unique in the graph.
    pub name: String,
    /// What is called.
    pub body: NodeBody,
    /// By input; what is missing has a default, or is given by the run config.
    pub wirings: BTreeMap<String, Wiring>,
}

/// What a node calls.
#[derive(Debug, Clone)]
pub enum NodeBody {
    /// An op.
    Op(Arc<Op>),
    /// A graph, whose nodes become steps of their own.
    Graph(Arc<Graph>),
}

/// What is wired to one input.
#[derive(Debug, Clone, Default)]
pub struct Wiring {
    /// The outputs; several only if they are gathered into a list.
    pub sources: Vec<Source>,
    /// Whether each source is one item of the input.
    pub gathered: bool,
    /// The type of the whole, where a handle says it.
    pub value_type: Option<ValueType>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// An output of a node.
    Output {
        /// The index of the node.
        node: usize,
        /// The name of the output.
        output: String,
        /// Whether all values of a dynamic output are collected into a list.
        collect: bool,
    },
    /// An input of the graph.
    Input(String),
    /// A value that stands in the graph.
    Literal(Value),
}

impl From<Op> for NodeBody {
    fn from(op: Op) -> Self {
        Self::Op(Arc::new(op))
    }
}

impl From<Graph> for NodeBody {
    fn from(graph: Graph) -> Self {
        Self::Graph(Arc::new(graph))
    }
}

impl NodeBody {
    /// The name of the op or graph.
    pub fn name(&self) -> &str {
        match self {
            Self::Op(op) => &op.name,
            Self::Graph(graph) => &graph.name,
        }
    }

    pub(super) fn input_type(&self, name: &str) -> Option<&ValueType> {
        match self {
            Self::Op(op) => op.inputs.iter().find(|i| i.name == name).map(|i| &i.value_type),
            Self::Graph(graph) => {
                graph.inputs.iter().find(|i| i.name == name).map(|i| &i.value_type)
            }
        }
    }

    fn input_names(&self) -> Vec<&str> {
        match self {
            Self::Op(op) => op.inputs.iter().map(|i| i.name.as_str()).collect(),
            Self::Graph(graph) => graph.inputs.iter().map(|i| i.name.as_str()).collect(),
        }
    }

    fn output_names(&self) -> Vec<&str> {
        match self {
            Self::Op(op) => op.outputs.iter().map(|o| o.name.as_str()).collect(),
            Self::Graph(graph) => graph.outputs.iter().map(|o| o.name.as_str()).collect(),
        }
    }

    /// The type of an output, and whether it is dynamic.
    pub(super) fn output_type(&self, name: &str) -> Option<(&ValueType, bool)> {
        match self {
            Self::Op(op) => {
                let found = op.outputs.iter().find(|o| o.name == name);
                found.map(|o: &OpOutput| (&o.value_type, o.dynamic))
            }
            Self::Graph(graph) => graph.output_type(name),
        }
    }
}

impl Graph {
    /// An empty graph, defined at the place of the call; [`compose`](super::compose) makes one of
    /// a function.
    #[track_caller]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
            inputs: Vec::new(),
            nodes: Vec::new(),
            outputs: Vec::new(),
            config_mapping: None,
            place: Some(Place::caller()),
        }
    }

    /// A graph of one op, whose inputs and outputs are its own.
    pub fn of_op(op: Op) -> Self {
        let mut graph = Self::new(op.name.clone());
        graph.description.clone_from(&op.description);
        graph.place.clone_from(&op.place);
        let input = |input: &OpInput| GraphInput {
            name: input.name.clone(),
            value_type: input.value_type.clone(),
        };
        let wiring = |input: &OpInput| {
            let sources = vec![Source::Input(input.name.clone())];
            (input.name.clone(), Wiring { sources, ..Wiring::default() })
        };
        let output = |output: &OpOutput| GraphOutput {
            name: output.name.clone(),
            from: Source::Output { node: 0, output: output.name.clone(), collect: false },
        };
        graph.inputs = op.inputs.iter().map(input).collect();
        graph.outputs = op.outputs.iter().map(output).collect();
        let wirings = op.inputs.iter().map(wiring).collect();
        graph.nodes = vec![GraphNode { name: op.name.clone(), body: op.into(), wirings }];
        graph
    }

    /// The graph with one more node.
    #[must_use]
    pub fn with_node(mut self, name: impl Into<String>, body: impl Into<NodeBody>) -> Self {
        let (name, body) = (name.into(), body.into());
        self.nodes.push(GraphNode { name, body, wirings: BTreeMap::new() });
        self
    }

    /// The graph with the output `from` wired to the input `to`, each as `node.name`; several
    /// outputs wired to one input are gathered.
    #[must_use]
    pub fn with_edge(mut self, from: &str, to: &str) -> Self {
        let (from_node, output) = from.split_once('.').unwrap_or((from, "result"));
        let (to_node, input) = to.split_once('.').unwrap_or((to, ""));
        let position = |name: &str| self.nodes.iter().position(|node| node.name == name);
        // A node that is not there is told when the graph is checked.
        let source = Source::Output {
            node: position(from_node).unwrap_or(usize::MAX),
            output: output.to_owned(),
            collect: false,
        };
        if let Some(node) = position(to_node) {
            let wiring = self.nodes[node].wirings.entry(input.to_owned()).or_default();
            wiring.sources.push(source);
            wiring.gathered = wiring.sources.len() > 1;
        } else {
            let name = to_node.to_owned();
            let body = NodeBody::Graph(Arc::new(Self::new("")));
            let wirings = BTreeMap::from([(
                input.to_owned(),
                Wiring { sources: vec![source], ..Wiring::default() },
            )]);
            self.nodes.push(GraphNode { name, body, wirings });
        }
        self
    }

    /// The graph with its own configuration, which becomes that of its nodes.
    #[must_use]
    pub fn with_config_mapping(mut self, mapping: ConfigMapping) -> Self {
        self.config_mapping = Some(mapping);
        self
    }

    /// The graph with a description in Markdown.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The type of an output, and whether it is dynamic.
    pub(crate) fn output_type(&self, name: &str) -> Option<(&ValueType, bool)> {
        let found = self.outputs.iter().find(|output| output.name == name)?;
        match &found.from {
            Source::Output { node, output, collect } => {
                let (value_type, dynamic) = self.nodes.get(*node)?.body.output_type(output)?;
                Some((value_type, dynamic && !collect))
            }
            Source::Input(input) => {
                let input = self.inputs.iter().find(|i| i.name == *input)?;
                Some((&input.value_type, false))
            }
            Source::Literal(_) => None,
        }
    }

    /// What is wrong with the graph and those inside of it.
    pub fn problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for node in &self.nodes {
            if !is_name(&node.name) {
                problems.push(self.problem(format!(
                    "node `{}` of graph `{}` is not named by letters, digits and `_`",
                    node.name, self.name
                )));
            }
            if !seen.insert(&node.name) {
                problems.push(
                    self.problem(format!("graph `{}` has two nodes `{}`", self.name, node.name)),
                );
            }
            for (input, wiring) in &node.wirings {
                self.check_wiring(node, input, wiring, &mut problems);
            }
            if let NodeBody::Graph(inner) = &node.body {
                problems.extend(inner.problems());
            }
        }
        if let Some(name) = self.circle() {
            problems.push(self.problem(format!(
                "nodes of graph `{}` wait for each other in a circle through `{name}`",
                self.name
            )));
        }
        problems
    }

    fn problem(&self, message: String) -> Diagnostic {
        Diagnostic::error(Code::Graph, message).at(self.place.clone())
    }

    fn check_wiring(
        &self,
        node: &GraphNode,
        input: &str,
        wiring: &Wiring,
        problems: &mut Vec<Diagnostic>,
    ) {
        let at = format!("`{}.{input}` of graph `{}`", node.name, self.name);
        let Some(wanted) = node.body.input_type(input) else {
            let near = nearest(input, node.body.input_names());
            problems.push(
                self.problem(format!(
                    "{at} is wired, but `{}` has no such input",
                    node.body.name()
                ))
                .did_you_mean(near),
            );
            return;
        };
        if let Some(given) = &wiring.value_type {
            if !wanted.takes(given) {
                problems.push(self.mismatch(&at, wanted, "", given));
            }
            return;
        }
        for source in &wiring.sources {
            let found = match source {
                Source::Literal(_) => continue,
                Source::Input(name) => {
                    let given = self.inputs.iter().find(|i| i.name == *name);
                    given.map(|given| (&given.value_type, false))
                }
                Source::Output { node: from, output, collect } => {
                    let Some(from) = self.nodes.get(*from) else {
                        problems.push(
                            self.problem(format!("{at} is wired to a node that is not there")),
                        );
                        continue;
                    };
                    let found = from.body.output_type(output);
                    if found.is_none() {
                        let near = nearest(output, from.body.output_names());
                        let message = format!(
                            "{at} is wired to `{}.{output}`, which is no output",
                            from.name
                        );
                        problems.push(self.problem(message).did_you_mean(near));
                        continue;
                    }
                    found.map(|(value_type, dynamic)| (value_type, dynamic && *collect))
                }
            };
            let Some((given, collected)) = found else { continue };
            let fits = if collected || wiring.gathered {
                wanted.gathers(given) || wanted.is_nothing()
            } else {
                wanted.takes(given)
            };
            if !fits {
                let several = if collected || wiring.gathered { "several " } else { "" };
                problems.push(self.mismatch(&at, wanted, several, given));
            }
        }
    }

    fn mismatch(
        &self,
        at: &str,
        wanted: &ValueType,
        several: &str,
        given: &ValueType,
    ) -> Diagnostic {
        let (wanted, given) = (&wanted.name, &given.name);
        self.problem(format!("{at} takes `{wanted}`, but is wired to {several}`{given}`"))
    }

    /// A node that waits for itself, if there is one.
    fn circle(&self) -> Option<&str> {
        let mut waiting: HashMap<usize, BTreeSet<usize>> = HashMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            let sources = node.wirings.values().flat_map(|wiring| &wiring.sources);
            let before = sources.filter_map(|source| match source {
                Source::Output { node, .. } if *node < self.nodes.len() => Some(*node),
                _ => None,
            });
            waiting.insert(at, before.collect());
        }
        while let Some(free) =
            waiting.iter().find(|(_, before)| before.iter().all(|b| !waiting.contains_key(b)))
        {
            let free = *free.0;
            waiting.remove(&free);
        }
        waiting.keys().min().map(|at| self.nodes[*at].name.as_str())
    }

    /// Every op in the graph and in those inside of it, with the path of its node.
    pub fn ops(&self) -> Vec<(String, &Arc<Op>)> {
        let mut found = Vec::new();
        let mut pending: Vec<(String, &Self)> = vec![(String::new(), self)];
        while let Some((path, graph)) = pending.pop() {
            for node in &graph.nodes {
                let path = format!("{path}{}", node.name);
                match &node.body {
                    NodeBody::Op(op) => found.push((path, op)),
                    NodeBody::Graph(inner) => pending.push((format!("{path}."), inner)),
                }
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0));
        found
    }
}

impl Op {
    /// The input of this name.
    pub fn find_input(&self, name: &str) -> Option<&OpInput> {
        self.inputs.iter().find(|input| input.name == name)
    }

    /// The output of this name.
    pub fn find_output(&self, name: &str) -> Option<&OpOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }
}

/// Whether a text can be the name of an op, node, job or resource.
pub(crate) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
