//! The run config of a job: `ops`, `resources`, `execution`.

use std::collections::BTreeMap;

use serde_json::json;

use super::shape::{Field, Shape};
use crate::{
    Body, Graph, GraphNode, Job, JobTarget, NodeBody, Op, OpInput, Resolved, ResourceDefinition,
    ResourceNeed, Selection,
};

/// What the run config of a job looks like.
///
/// A selection of assets that cannot be evaluated has no `ops`; its own error is told elsewhere.
pub fn run_shape(job: &Job, resolved: &Resolved) -> Shape {
    let (ops, needs) = match &job.target {
        JobTarget::Graph(graph) => {
            let ops = graph.ops();
            let needs = ops.iter().flat_map(|(_, op)| op.resources.clone()).collect();
            (graph_shape(graph), needs)
        }
        JobTarget::Assets(selection) => assets_shape(selection, resolved),
    };
    let execution = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "max_concurrent": {
                "type": "integer",
                "minimum": 1,
                "description": "Steps that run at the same time."
            }
        }
    });
    table([
        ("ops", Field::of(ops)),
        ("resources", Field::of(resources_shape(&needs, &resolved.resources))),
        ("execution", Field::of(Shape::Schema(execution))),
    ])
}

fn table<const N: usize>(fields: [(&str, Field); N]) -> Shape {
    Shape::Table(fields.into_iter().map(|(name, field)| (name.to_owned(), field)).collect())
}

fn graph_shape(graph: &Graph) -> Shape {
    let fields = graph.nodes.iter().map(|node| {
        let (shape, description) = match &node.body {
            NodeBody::Op(op) => (op_shape(op, node), op.description.clone()),
            NodeBody::Graph(inner) => {
                let field = match &inner.config_mapping {
                    Some(mapping) => ("config", Field::of((&mapping.schema).into())),
                    None => ("ops", Field::of(graph_shape(inner))),
                };
                (table([field]), inner.description.clone())
            }
        };
        (node.name.clone(), Field { description, ..Field::of(shape) })
    });
    Shape::Table(fields.collect())
}

fn op_shape(op: &Op, node: &GraphNode) -> Shape {
    let mut fields = Vec::new();
    if let Some(config) = &op.config {
        fields.push(("config".to_owned(), Field::of(config.into())));
    }
    let unwired = |input: &&OpInput| {
        !node.wirings.contains_key(&input.name) && !input.value_type.is_nothing()
    };
    let inputs = op.inputs.iter().filter(unwired).map(|input| {
        let field = Field { required: input.default.is_none(), ..Field::of(Shape::Any) };
        (input.name.clone(), field)
    });
    let inputs = Shape::Table(inputs.collect());
    if inputs != Shape::Table(Vec::new()) {
        fields.push(("inputs".to_owned(), Field::of(inputs)));
    }
    Shape::Table(fields)
}

fn assets_shape(selection: &str, resolved: &Resolved) -> (Shape, Vec<ResourceNeed>) {
    let parsed = if selection.trim().is_empty() { Ok(Selection::all()) } else { selection.parse() };
    let selected = parsed.and_then(|parsed: Selection| parsed.evaluate(resolved));
    let (mut fields, mut needs) = (Vec::new(), Vec::new());
    for key in selected.unwrap_or_default() {
        let Some(found) = resolved.asset(&key) else { continue };
        match &found.asset.body {
            Body::External(_) => {}
            Body::Computed(compute) => {
                needs.extend(compute.resources().iter().cloned());
                if let Some(config) = compute.config() {
                    let shape = table([("config", Field::of(config.into()))]);
                    fields.push((key.to_string(), Field::of(shape)));
                }
            }
            Body::Graph { backing, .. } => {
                needs.extend(backing.graph.ops().iter().flat_map(|(_, op)| op.resources.clone()));
                let of_one = backing.assets.len() == 1;
                let name = if of_one { key.to_string() } else { backing.graph.name.clone() };
                if !fields.iter().any(|(known, _)| *known == name) {
                    let shape = table([("ops", Field::of(graph_shape(&backing.graph)))]);
                    fields.push((name, Field::of(shape)));
                }
            }
        }
    }
    (Shape::Table(fields), needs)
}

/// The resources that are needed, and those that they need. What the repository has configured
/// need not be given again.
fn resources_shape(
    needs: &[ResourceNeed],
    resources: &BTreeMap<String, ResourceDefinition>,
) -> Shape {
    let mut fields: Vec<(String, Field)> = Vec::new();
    let mut pending: Vec<String> = needs.iter().map(|need| need.name.clone()).collect();
    while let Some(name) = pending.pop() {
        if fields.iter().any(|(known, _)| *known == name) {
            continue;
        }
        let Some(definition) = resources.get(&name) else { continue };
        pending.extend(definition.needs.iter().map(|need| need.name.clone()));
        let fields_of = match &definition.config {
            Some(config) => {
                let mut field = Field::of(config.into());
                field.required &= definition.default_config.is_null();
                table([("config", field)])
            }
            None => table([]),
        };
        fields.push((name, Field::of(fields_of)));
    }
    fields.sort_by(|a, b| a.0.cmp(&b.0));
    Shape::Table(fields)
}
