//! The macros of Arrowsmith: `#[asset]`, `#[op]`, `#[graph]` and `#[derive(Columns)]`.
//!
//! They are thin: everything that they emit can be written by hand with the builder API. What a
//! parameter or result means is decided by traits; the macros only pass on what a trait cannot see,
//! which is names, comments and places. They depend on nothing of ours and name everything by
//! `::arrowsmith`.

mod asset;
mod columns;
mod function;
mod graph;
mod op;
mod options;

use proc_macro::TokenStream;

/// Makes a function an asset.
///
/// The function stays as it is, and beside it stands a type of the same name with an associated
/// function `asset() -> Asset`; `assets![name, …]` collects them. Parameters are extractors whose
/// names say which upstream asset they read; the doc comment is the description.
///
/// | option | meaning |
/// |---|---|
/// | `name = "…"` | the whole key, such as `"marts.totals"`; the function's name if it is open |
/// | `group`, `description`, `code_version`, `io_manager` `= "…"` | the attribute |
/// | `tags`, `owners`, `kinds`, `partition_by` `= ["…"]` | the attribute |
/// | `schema = Row` | the columns, for results whose type does not say them |
/// | `timeout_secs`, `max_retries`, `retry_delay_secs` `= N` | limits of an attempt |
///
/// `#[input(key = "…")]` before a parameter reads another asset than the one of its name.
#[proc_macro_attribute]
pub fn asset(options: TokenStream, item: TokenStream) -> TokenStream {
    asset::expand(options.into(), &item.into()).into()
}

/// Makes a function an op.
///
/// The function becomes what a call in the body of a graph does: it makes a node and returns typed
/// handles of the outputs. Beside it stands a type of the same name with `op() -> Op`, and `invoke`,
/// which runs the function directly.
///
/// Parameters are inputs, but for `OpContext`, `Config<T>` and `Resource<T>`; `Nothing` only orders.
/// The result is the output: in an `Option` it may be left out, in `DynamicOutputs` there are as
/// many as are emitted, and a `Result` may fail.
///
/// | option | meaning |
/// |---|---|
/// | `outputs = ["…"]` | names of several outputs, which are returned as a tuple |
/// | `name`, `description`, `code_version`, `io_manager`, `pool` `= "…"` | the attribute |
/// | `tags = ["…"]` | the attribute |
/// | `timeout_secs`, `max_retries`, `retry_delay_secs` `= N` | limits of an attempt |
///
/// `#[input(default = …)]` before a parameter is its value when nothing is wired to it.
#[proc_macro_attribute]
pub fn op(options: TokenStream, item: TokenStream) -> TokenStream {
    op::expand(options.into(), &item.into()).into()
}

/// Makes a function a graph: its body calls ops and other graphs, and wires what they return.
///
/// Parameters are `Handle<T>`, the result is a handle, a tuple of handles named by
/// `outputs = ["…"]`, or nothing. Beside the function, which calls the graph in the body of another,
/// stands a type of the same name with `graph() -> Graph`.
#[proc_macro_attribute]
pub fn graph(options: TokenStream, item: TokenStream) -> TokenStream {
    graph::expand(options.into(), &item.into()).into()
}

/// Gives a struct with named fields its Arrow schema and typed views of its columns.
///
/// For `struct Order` a type `OrderColumns<'a>` is made, with one method a field that returns the
/// field's array without copying. `#[column(name = "…")]` reads a column of another name,
/// `#[column(timezone = "…")]` gives a timestamp its zone.
#[proc_macro_derive(Columns, attributes(column))]
pub fn columns(item: TokenStream) -> TokenStream {
    columns::expand(item.into()).into()
}
