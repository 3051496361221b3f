//! A graph as a picture that stands alone: no script, no font, light and dark.

use std::fmt::Write;

use crate::layout::layered;
use crate::{AssetGraph, Point};

const WIDTH: f64 = 200.0;
const HEIGHT: f64 = 36.0;
/// Longer names are cut in the picture; the whole name is the title of the node.
const SHOWN_CHARACTERS: usize = 27;

const STYLE: &str = "\
text{font:12px ui-sans-serif,system-ui,sans-serif;fill:#1f2937}\
rect{fill:#fff;stroke:#94a3b8}\
.source rect{fill:#f1f5f9;stroke-dasharray:4 3}\
path{fill:none;stroke:#94a3b8;stroke-width:1.2}\
@media(prefers-color-scheme:dark){text{fill:#e5e7eb}rect{fill:#1e293b;stroke:#64748b}\
.source rect{fill:#0f172a}path{stroke:#64748b}}";

/// The graph, laid out from left to right.
///
/// ```
/// use arrowsmith_web::{AssetGraph, svg};
/// let empty = AssetGraph { nodes: Vec::new(), edges: Vec::new() };
/// assert!(svg(&empty).starts_with("<svg "));
/// ```
pub fn svg(graph: &AssetGraph) -> String {
    let layout = layered(graph.nodes.len(), &graph.edges);
    let (width, height) = (layout.size.x, layout.size.y);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" \
         width=\"{width:.0}\" height=\"{height:.0}\" role=\"img\" aria-label=\"graph of assets\">\n\
         <style>{STYLE}</style>\n"
    );
    for points in &layout.edges {
        // Writing to a string does not fail.
        let _ = writeln!(text, "<path d=\"{}\"/>", curve(points));
    }
    for (node, at) in graph.nodes.iter().zip(&layout.nodes) {
        let name = node.key.to_string();
        let class = if node.is_source { " class=\"source\"" } else { "" };
        let _ = writeln!(
            text,
            "<g{class}><title>{}</title><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{WIDTH}\" \
             height=\"{HEIGHT}\" rx=\"6\"/><text x=\"{:.1}\" y=\"{:.1}\" \
             text-anchor=\"middle\" dy=\".35em\">{}</text></g>",
            escaped(&name),
            at.x - WIDTH / 2.0,
            at.y - HEIGHT / 2.0,
            at.x,
            at.y,
            escaped(&shortened(&name)),
        );
    }
    text.push_str("</svg>\n");
    text
}

/// From the right side of the first node to the left side of the last.
fn curve(points: &[Point]) -> String {
    let mut path = String::new();
    for (at, point) in points.iter().enumerate() {
        let shift = match at {
            0 => WIDTH / 2.0,
            _ if at + 1 == points.len() => -WIDTH / 2.0,
            _ => 0.0,
        };
        let (x, y) = (point.x + shift, point.y);
        let _ = if at == 0 {
            write!(path, "M{x:.1} {y:.1}")
        } else {
            let before = points[at - 1];
            let from = before.x + if at == 1 { WIDTH / 2.0 } else { 0.0 };
            let middle = f64::midpoint(from, x);
            write!(path, "C{middle:.1} {:.1} {middle:.1} {y:.1} {x:.1} {y:.1}", before.y)
        };
    }
    path
}

/// The end of a name tells more than its beginning.
fn shortened(name: &str) -> String {
    let count = name.chars().count();
    if count <= SHOWN_CHARACTERS {
        return name.to_owned();
    }
    let rest: String = name.chars().skip(count + 1 - SHOWN_CHARACTERS).collect();
    format!("…{rest}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
