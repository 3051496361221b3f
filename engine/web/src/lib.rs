//! The repository in a browser: an HTTP API, live events, the embedded UI, and pictures of graphs.
//!
//! ```text
//! browser ──▶ guard (token, host, origin) ──▶ /api/v1/… ──▶ daemon's engine, instance
//!                                        └──▶ files of the UI, compiled into the program
//! ```
//!
//! [`Web`] answers for whatever version of the repository its [`Daemon`](arrowsmith_daemon::Daemon) has
//! loaded; it runs nothing itself: what is to run is queued. One layer stands around all routes and lets
//! nobody through without the token (`security.rs`).

#![expect(unused_qualifications, reason = "the macros of utoipa name parameters by their paths")]

mod api;
mod error;
mod graph;
mod layout;
mod query;
mod security;
mod server;
mod svg;
mod ui;

pub use api::{OPENAPI_FILE, openapi};
pub use error::{Error, Result};
pub use graph::{AssetGraph, GraphNode};
pub use layout::{Layout, Point, layered};
pub use query::{QueryError, stream as query_stream};
pub use security::{Access, Token};
pub use server::{Web, WebOptions};
pub use svg::svg;
