//! From the run config to that of each op.

use std::collections::HashMap;

use arrowsmith_definitions::{Graph, NodeBody};
use serde_json::Value;

/// The entry of each op by its path: `{ config, inputs }`. `ops` is a table of entries by node; that
/// of a graph has `ops` of its own, or the `config` that its mapping makes them of.
pub(super) fn op_configs(graph: &Graph, ops: &Value) -> Result<HashMap<String, Value>, String> {
    let mut configs = HashMap::new();
    let mut pending = vec![(String::new(), graph, ops.clone())];
    while let Some((prefix, graph, ops)) = pending.pop() {
        for node in &graph.nodes {
            let path = format!("{prefix}{}", node.name);
            let entry = ops.get(&node.name).cloned().unwrap_or_default();
            match &node.body {
                NodeBody::Op(_) => {
                    configs.insert(path, entry);
                }
                NodeBody::Graph(inner) => {
                    let inner_ops = match &inner.config_mapping {
                        None => entry.get("ops").cloned().unwrap_or_default(),
                        Some(mapping) => {
                            let outer = entry.get("config").cloned();
                            let outer = outer.unwrap_or_else(|| Value::Object(Default::default()));
                            let mapped = mapping.apply(outer);
                            mapped.map_err(|e| format!("the config of `{path}`: {e}"))?
                        }
                    };
                    pending.push((format!("{path}."), inner, inner_ops));
                }
            }
        }
    }
    Ok(configs)
}
