//! The macros of Arrowsmith: `#[asset]` and `#[derive(Columns)]`.
//!
//! They are thin: everything that they emit can be written by hand with the builder API. What a
//! parameter or result means is decided by traits; the macros only pass on what a trait cannot see,
//! which is names, comments and places. They depend on nothing of ours and name everything by
//! `::arrowsmith`.

mod asset;
mod columns;

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

/// Gives a struct with named fields its Arrow schema and typed views of its columns.
///
/// For `struct Order` a type `OrderColumns<'a>` is made, with one method a field that returns the
/// field's array without copying. `#[column(name = "…")]` reads a column of another name,
/// `#[column(timezone = "…")]` gives a timestamp its zone.
#[proc_macro_derive(Columns, attributes(column))]
pub fn columns(item: TokenStream) -> TokenStream {
    columns::expand(item.into()).into()
}
