//! What people see of a repository in pictures: where the nodes of a graph of assets stand, and the
//! graph as SVG.

mod graph;
mod layout;
mod svg;

pub use graph::{AssetGraph, GraphNode};
pub use layout::{Layout, Point, layered};
pub use svg::svg;
