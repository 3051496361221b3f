//! Checks of jobs, of graphs behind assets, and of the resources that they need.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::asset::Backing;
use crate::ops::is_name;
use crate::{
    Body, Code, Diagnostic, Graph, Job, JobTarget, Place, Repository, ResourceNeed, Selection,
    nearest,
};

/// The columns of an output, if its type says them.
pub(super) fn output_schema(backing: &Backing, output: &str) -> Option<SchemaRef> {
    backing.graph.output_type(output).and_then(|(value_type, _)| value_type.schema.clone())
}

pub(super) fn job_problems(repository: &Repository) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<&str, &Job> = BTreeMap::new();
    for job in &repository.jobs {
        let refuse = |message: String| Diagnostic::error(Code::Job, message).at(job.place.clone());
        if !is_name(&job.name) {
            let name = &job.name;
            problems.push(refuse(format!("job `{name}` is not named by letters, digits and `_`")));
        }
        if let Some(first) = seen.insert(&job.name, job) {
            problems.push(
                refuse(format!("job `{}` is defined twice", job.name))
                    .label(first.place.clone(), "it is first defined here"),
            );
        }
        match &job.target {
            JobTarget::Graph(graph) => problems.extend(graph_problems(graph, repository)),
            JobTarget::Assets(selection) => {
                if let Err(error) = selection.parse::<Selection>() {
                    let message = format!("the selection of job `{}`: {error}", job.name);
                    problems.push(
                        Diagnostic::error(Code::Selection, message)
                            .at(job.place.clone())
                            .help(error.marked(selection)),
                    );
                }
            }
        }
    }
    for (name, resource) in &repository.resources {
        let user = format!("resource `{name}`");
        problems.extend(need_problems(&resource.needs, &user, None, repository));
    }
    problems
}

/// Graphs behind assets, each once, and what the functions of assets need.
pub(super) fn backing_problems(repository: &Repository) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen = BTreeSet::new();
    for asset in &repository.assets {
        match &asset.body {
            Body::Graph { backing, .. } if seen.insert(Arc::as_ptr(backing)) => {
                problems.extend(graph_problems(&backing.graph, repository));
                for (output, key) in &backing.assets {
                    if backing.graph.output_type(output).is_none() {
                        let graph = &backing.graph.name;
                        let message =
                            format!("`{key}` is output `{output}` of `{graph}`, which has no such");
                        let names = backing.graph.outputs.iter().map(|o| o.name.as_str());
                        problems.push(
                            Diagnostic::error(Code::Graph, message)
                                .at(asset.place.clone())
                                .did_you_mean(nearest(output, names)),
                        );
                    }
                }
            }
            Body::Computed(compute) => {
                let (user, place) = (format!("`{}`", asset.key), asset.place.clone());
                problems.extend(need_problems(compute.resources(), &user, place, repository));
            }
            _ => {}
        }
    }
    problems
}

fn graph_problems(graph: &Graph, repository: &Repository) -> Vec<Diagnostic> {
    let mut problems = graph.problems();
    if problems.is_empty()
        && let Err(message) = graph.flatten()
    {
        problems.push(Diagnostic::error(Code::Graph, message).at(graph.place.clone()));
    }
    let mut seen = BTreeSet::new();
    for (_, op) in graph.ops() {
        if !seen.insert(Arc::as_ptr(op)) {
            continue;
        }
        let refuse = |message: String| Diagnostic::error(Code::Job, message).at(op.place.clone());
        if !is_name(&op.name) {
            problems
                .push(refuse(format!("op `{}` is not named by letters, digits and `_`", op.name)));
        }
        for (i, output) in op.outputs.iter().enumerate() {
            if op.outputs[..i].iter().any(|before| before.name == output.name) {
                let (op, output) = (&op.name, &output.name);
                problems.push(refuse(format!("op `{op}` has two outputs `{output}`")));
            }
        }
        let stored = op.outputs.iter().map(|o| ("output", "stored", &o.name, &o.io_manager));
        let loaded = op.inputs.iter().map(|i| ("input", "loaded", &i.name, &i.io_manager));
        for (what, done, value, io_manager) in stored.chain(loaded) {
            let Some(name) = io_manager else { continue };
            if !repository.io_managers.contains_key(name) {
                let op_name = &op.name;
                let message = format!(
                    "{what} `{value}` of op `{op_name}` is to be {done} by `{name}`, which is no \
                     IO manager"
                );
                let known = repository.io_managers.keys().map(String::as_str);
                problems.push(
                    Diagnostic::error(Code::IoManager, message)
                        .at(op.place.clone())
                        .did_you_mean(nearest(name, known)),
                );
            }
        }
        let user = format!("op `{}`", op.name);
        problems.extend(need_problems(&op.resources, &user, op.place.clone(), repository));
    }
    problems
}

fn need_problems(
    needs: &[ResourceNeed],
    user: &str,
    place: Option<Place>,
    repository: &Repository,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for need in needs {
        let name = &need.name;
        match repository.resources.get(name) {
            None => {
                let message = format!("{user} needs resource `{name}`, which is not defined");
                let known = repository.resources.keys().map(String::as_str);
                problems.push(
                    Diagnostic::error(Code::Job, message)
                        .at(place.clone())
                        .did_you_mean(nearest(name, known)),
                );
            }
            Some(found) if found.type_id != need.type_id => {
                let message = format!(
                    "{user} needs resource `{name}` as `{}`, but it is `{}`",
                    need.type_name, found.type_name
                );
                problems.push(Diagnostic::error(Code::Job, message).at(place.clone()));
            }
            Some(_) => {}
        }
    }
    problems
}
