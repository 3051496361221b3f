//! Typed wiring: a call in a graph's body makes a node and returns handles of its outputs.
//!
//! The graph that is being composed is known to the thread, so that `add_one(add_one(x))` needs no
//! builder in its hands; the compiler checks that what is wired has the type that is wanted.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;

use serde::Serialize;

use super::graph::{Graph, GraphInput, GraphNode, GraphOutput, NodeBody, Source, Wiring};
use super::value::{Nothing, OpValue, ValueType};

thread_local! {
    /// The graphs that are being composed, innermost last.
    static COMPOSING: RefCell<Vec<Composing>> = const { RefCell::new(Vec::new()) };
}

#[derive(Default)]
struct Composing {
    nodes: Vec<GraphNode>,
    /// Whether a node was given a name of its own.
    named: Vec<bool>,
}

fn composing<T>(work: impl FnOnce(&mut Composing) -> T) -> Option<T> {
    COMPOSING.with_borrow_mut(|stack| stack.last_mut().map(work))
}

/// An output of a node, or an input of the graph, that holds a `T` when the graph runs.
#[derive(Debug)]
pub struct Handle<T> {
    source: Source,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Handle<T> {
    fn clone(&self) -> Self {
        Self::of(self.source.clone())
    }
}

impl<T> Handle<T> {
    fn of(source: Source) -> Self {
        Self { source, value: PhantomData }
    }

    /// Gives the node that it comes from a name of its own in the graph.
    #[must_use]
    pub fn alias(self, name: &str) -> Self {
        if let Source::Output { node, .. } = self.source {
            composing(|graph| {
                name.clone_into(&mut graph.nodes[node].name);
                graph.named[node] = true;
            });
        }
        self
    }
}

/// As many values as an op emits.
#[derive(Debug)]
pub struct DynamicHandle<T> {
    source: Source,
    value: PhantomData<fn() -> T>,
}

impl<T: OpValue> DynamicHandle<T> {
    /// Calls nodes for each value: they become one step a mapping key.
    #[must_use]
    pub fn map<U>(self, call: impl FnOnce(Handle<T>) -> Handle<U>) -> DynamicHandle<U> {
        let mapped = call(Handle::of(self.source));
        DynamicHandle { source: mapped.source, value: PhantomData }
    }

    /// All values as one list, in the order of emission, when every one is there.
    #[must_use]
    pub fn collect(self) -> Handle<Vec<T>> {
        Handle::of(collected(self.source))
    }
}

fn collected(source: Source) -> Source {
    match source {
        Source::Output { node, output, .. } => Source::Output { node, output, collect: true },
        other => other,
    }
}

/// A value that stands in the graph itself: `add_one(Literal(3))`.
#[derive(Debug, Clone, Copy)]
pub struct Literal<T>(pub T);

/// Nothing is wired: the input has its default, or the run config gives it.
#[derive(Debug, Clone, Copy)]
pub struct Unset;

/// What can be wired to an input of type `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be wired to an input of type `{T}`",
    label = "this has another type than the input",
    note = "wire a `Handle<{T}>`, a `Vec` of handles to an input that is a `Vec`, `Literal(value)` \
            or `Unset`"
)]
pub trait IntoInput<T> {
    /// What is wired.
    fn into_wiring(self) -> Wiring;
}

fn wired(sources: Vec<Source>, gathered: bool, value_type: ValueType) -> Wiring {
    Wiring { sources, gathered, value_type: Some(value_type) }
}

fn sources<T>(handles: impl IntoIterator<Item = Handle<T>>) -> Vec<Source> {
    handles.into_iter().map(|handle| handle.source).collect()
}

impl<T: OpValue> IntoInput<T> for Handle<T> {
    fn into_wiring(self) -> Wiring {
        wired(vec![self.source], false, ValueType::of::<T>())
    }
}

impl<T: OpValue> IntoInput<T> for &Handle<T> {
    fn into_wiring(self) -> Wiring {
        wired(vec![self.source.clone()], false, ValueType::of::<T>())
    }
}

impl<T: OpValue> IntoInput<Nothing> for Handle<T> {
    fn into_wiring(self) -> Wiring {
        wired(vec![self.source], false, ValueType::nothing())
    }
}

impl<T: OpValue> IntoInput<Nothing> for &Handle<T> {
    fn into_wiring(self) -> Wiring {
        wired(vec![self.source.clone()], false, ValueType::nothing())
    }
}

impl<T: OpValue> IntoInput<Nothing> for DynamicHandle<T> {
    fn into_wiring(self) -> Wiring {
        wired(vec![collected(self.source)], false, ValueType::nothing())
    }
}

impl<T: OpValue> IntoInput<Vec<T>> for Vec<Handle<T>>
where
    Vec<T>: OpValue,
{
    fn into_wiring(self) -> Wiring {
        wired(sources(self), true, ValueType::of::<Vec<T>>())
    }
}

impl<T: OpValue, const N: usize> IntoInput<Vec<T>> for [Handle<T>; N]
where
    Vec<T>: OpValue,
{
    fn into_wiring(self) -> Wiring {
        wired(sources(self), true, ValueType::of::<Vec<T>>())
    }
}

impl<T: OpValue> IntoInput<Nothing> for Vec<Handle<T>> {
    fn into_wiring(self) -> Wiring {
        wired(sources(self), true, ValueType::nothing())
    }
}

impl<T> IntoInput<T> for Unset {
    fn into_wiring(self) -> Wiring {
        Wiring::default()
    }
}

impl<T: OpValue + Serialize> IntoInput<T> for Literal<T> {
    fn into_wiring(self) -> Wiring {
        let value = serde_json::to_value(self.0).unwrap_or_default();
        wired(vec![Source::Literal(value)], false, ValueType::of::<T>())
    }
}

/// A node that is being wired; what a call of an op or graph does in a graph's body.
#[derive(Debug)]
pub struct NodeBuilder {
    node: usize,
}

/// Adds a node to the graph that is being composed.
///
/// # Panics
/// Outside of the body of a graph: a graph is what a call of an op belongs to.
pub fn node(body: impl Into<NodeBody>) -> NodeBuilder {
    let body = body.into();
    let name = body.name().to_owned();
    let added = composing(|graph| {
        graph.nodes.push(GraphNode { name: name.clone(), body, wirings: BTreeMap::new() });
        graph.named.push(false);
        NodeBuilder { node: graph.nodes.len() - 1 }
    });
    #[expect(clippy::panic, reason = "the call stands in a wrong place of the program")]
    added.unwrap_or_else(|| {
        panic!(
            "`{name}` was called outside of a graph: call it in a function with `#[graph]`, or run \
             it directly by `{name}::invoke`"
        )
    })
}

impl NodeBuilder {
    /// Wires an input.
    #[must_use]
    pub fn connect<T>(self, input: &str, from: impl IntoInput<T>) -> Self {
        let wiring = from.into_wiring();
        if !wiring.sources.is_empty() || wiring.gathered {
            composing(|graph| graph.nodes[self.node].wirings.insert(input.to_owned(), wiring));
        }
        self
    }

    fn source(&self, output: &str) -> Source {
        Source::Output { node: self.node, output: output.to_owned(), collect: false }
    }

    /// The handle of an output.
    pub fn handle<T>(&self, output: &str) -> Handle<T> {
        Handle::of(self.source(output))
    }

    /// The handle of a dynamic output.
    pub fn dynamic<T>(&self, output: &str) -> DynamicHandle<T> {
        DynamicHandle { source: self.source(output), value: PhantomData }
    }
}

/// What a graph's function may return: one handle, a tuple of them, or nothing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of a graph",
    label = "not a handle",
    note = "a graph returns `Handle<T>`, a tuple of handles, or `()`"
)]
pub trait Handles: Sized {
    /// Types and sources of the outputs.
    fn sources(self) -> Vec<Source>;
    /// The handles of a node that calls the graph.
    fn of_node(node: &NodeBuilder, names: &[&str]) -> Self;
}

impl Handles for () {
    fn sources(self) -> Vec<Source> {
        Vec::new()
    }
    fn of_node(_node: &NodeBuilder, _names: &[&str]) -> Self {}
}

impl<T: OpValue> Handles for Handle<T> {
    fn sources(self) -> Vec<Source> {
        vec![self.source]
    }
    fn of_node(node: &NodeBuilder, names: &[&str]) -> Self {
        node.handle(names.first().copied().unwrap_or(crate::context::RESULT))
    }
}

macro_rules! tuples {
    ($($($name:ident $at:tt)+;)+) => {$(
        impl<$($name: OpValue),+> Handles for ($(Handle<$name>,)+) {
            fn sources(self) -> Vec<Source> {
                vec![$(self.$at.source),+]
            }
            fn of_node(node: &NodeBuilder, names: &[&str]) -> Self {
                ($(node.handle::<$name>(names.get($at).copied().unwrap_or_default()),)+)
            }
        }
    )+};
}

tuples! {
    A 0 B 1;
    A 0 B 1 C 2;
    A 0 B 1 C 2 D 3;
    A 0 B 1 C 2 D 3 E 4;
    A 0 B 1 C 2 D 3 E 4 F 5;
}

/// The inputs of a graph that is being composed.
#[derive(Debug, Default)]
pub struct GraphInputs(Vec<GraphInput>);

impl GraphInputs {
    /// One more input.
    pub fn input<T: OpValue>(&mut self, name: &str) -> Handle<T> {
        self.0.push(GraphInput { name: name.to_owned(), value_type: ValueType::of::<T>() });
        Handle::of(Source::Input(name.to_owned()))
    }
}

/// Makes a graph of what `body` calls; its outputs have these names in order.
///
/// ```
/// use arrowsmith_definitions::{Handle, Op, Outputs, compose, node};
/// let one = || {
///     Op::new("one", |_| Box::pin(async { Outputs::default().with("result", 1_i64) }))
///         .with_output::<i64>("result")
/// };
/// let graph = compose("both", &["a", "b"], |_| {
///     let call = || -> Handle<i64> { node(one()).handle("result") };
///     (call(), call())
/// });
/// assert_eq!(graph.nodes[1].name, "one_2");
/// ```
#[track_caller]
pub fn compose<H: Handles>(
    name: &str,
    outputs: &[&str],
    body: impl FnOnce(&mut GraphInputs) -> H,
) -> Graph {
    COMPOSING.with_borrow_mut(|stack| stack.push(Composing::default()));
    // A panic of the body must not leave its unfinished graph to the next one.
    let _unfinished = Unfinished;
    let mut inputs = GraphInputs::default();
    let sources = body(&mut inputs).sources();
    let composed = composing(std::mem::take).unwrap_or_default();
    let names = outputs.iter().copied().chain(std::iter::repeat(crate::context::RESULT));
    let mut graph = Graph::new(name);
    graph.inputs = inputs.0;
    graph.nodes = numbered(composed);
    graph.outputs = names
        .zip(sources)
        .map(|(name, from)| GraphOutput { name: name.to_owned(), from })
        .collect();
    graph
}

struct Unfinished;

impl Drop for Unfinished {
    fn drop(&mut self) {
        COMPOSING.with_borrow_mut(Vec::pop);
    }
}

/// The second call of `add_one` is `add_one_2`, unless it was given a name.
fn numbered(composed: Composing) -> Vec<GraphNode> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut nodes = composed.nodes;
    for (node, named) in nodes.iter_mut().zip(composed.named) {
        if named {
            continue;
        }
        let count = counts.entry(node.name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            node.name = format!("{}_{count}", node.name);
        }
    }
    nodes
}
