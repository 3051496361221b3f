//! Ops, and graphs of them: units of work whose outputs are values rather than named tables.
//!
//! An [`Op`] says what it needs and gives; a [`Graph`] wires ops, and other graphs, by typed
//! [`Handle`]s. `#[op]` and `#[graph]` write both, and everything they do can be done by hand.
//!
//! ```text
//! fn add_one(n: i64) -> i64          a call in a graph's body ──▶ node + Handle<i64>
//! Graph ──flatten──▶ [FlatNode { key: "outer.inner", op, inputs }] ──▶ steps of a run
//! ```

mod flatten;
mod graph;
mod handle;
mod op;
mod value;

pub use flatten::{FlatGraph, FlatInput, FlatNode, FlatSource};
pub(crate) use graph::is_name;
pub use graph::{Graph, GraphInput, GraphNode, GraphOutput, NodeBody, Source, Wiring};
pub use handle::{
    DynamicHandle, GraphInputs, Handle, Handles, IntoInput, Literal, NodeBuilder, Unset, compose,
    node,
};
pub use op::{Emitted, Op, OpBody, OpInput, OpOutput, Outputs};
pub use value::{DynamicOutputs, Nothing, OpValue, ValueType, default_value, json_table};
