//! Jobs, their graphs of ops, and their run config while it is written.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use arrowsmith_definitions::{
    Code, Entry, Field, Graph, GraphSource, Job, JobTarget, NodeBody, Shape, check_config as check,
    run_shape,
};
use arrowsmith_execution::Engine;
use axum::Json;
use axum::extract::{Path, State};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::repository::{Problem, problems_in};
use super::{Answer, ApiError};
use crate::Web;
use crate::layout::layered;

/// A job in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobEntry {
    name: String,
    description: Option<String>,
    tags: BTreeMap<String, String>,
    /// The selection, if it is one of assets.
    selection: Option<String>,
    /// How many ops it has, if it is a graph.
    ops: Option<usize>,
    /// Its newest run.
    last_run: Option<super::runs::RunInfo>,
}

/// All jobs, by name.
#[utoipa::path(get, path = "/jobs", responses((status = 200, body = Vec<JobEntry>)))]
pub(crate) async fn jobs(State(web): State<Web>) -> Answer<Vec<JobEntry>> {
    let engine = web.engine()?;
    let mut entries = Vec::new();
    for job in engine.resolved.jobs.values() {
        entries.push(entry(&engine, job).await?);
    }
    Ok(Json(entries))
}

async fn entry(engine: &Engine, job: &Job) -> Result<JobEntry, ApiError> {
    let filter =
        arrowsmith_instance::RunFilter { job: Some(job.name.clone()), ..Default::default() };
    let last = engine.instance.find_runs(&filter, 1).await?.pop();
    let (selection, ops) = match &job.target {
        JobTarget::Assets(selection) => (Some(selection.clone()), None),
        JobTarget::Graph(graph) => (None, Some(graph.ops().len())),
    };
    Ok(JobEntry {
        name: job.name.clone(),
        description: job.description.clone(),
        tags: job.tags.clone(),
        selection,
        ops,
        last_run: last.map(Into::into),
    })
}

/// A job with its graph and what its run config may say.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobInfo {
    #[serde(flatten)]
    entry: JobEntry,
    /// Where it is defined.
    place: Option<String>,
    /// Its ops, if it is a graph of ops.
    graph: Option<OpGraph>,
    /// A run config in TOML that says everything that may be said.
    template: String,
    /// What a run config may say, entry by entry.
    shape: Value,
}

/// A graph of ops, laid out from left to right.
#[derive(Debug, Serialize, ToSchema)]
#[schema(no_recursion)]
pub(crate) struct OpGraph {
    nodes: Vec<OpNode>,
    /// Which node gives to which.
    edges: Vec<OpEdge>,
    width: f64,
    height: f64,
}

/// An op, or a graph of its own.
#[derive(Debug, Serialize, ToSchema)]
#[schema(no_recursion)]
pub(crate) struct OpNode {
    name: String,
    /// What is called under this name.
    of: String,
    description: Option<String>,
    inputs: Vec<String>,
    outputs: Vec<String>,
    x: f64,
    y: f64,
    /// What is inside, if it is a graph.
    inner: Option<Box<OpGraph>>,
}

/// What one node gives to another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OpEdge {
    from: usize,
    to: usize,
    output: String,
    input: String,
}

fn find<'a>(engine: &'a Engine, name: &str) -> Result<&'a Arc<Job>, ApiError> {
    Ok(engine.job(name)?)
}

/// A job with its graph and what its run config may say.
#[utoipa::path(get, path = "/jobs/{name}", params(("name" = String, Path)),
    responses((status = 200, body = JobInfo), (status = 404, body = ApiError)))]
pub(crate) async fn job(State(web): State<Web>, Path(name): Path<String>) -> Answer<JobInfo> {
    let engine = web.engine()?;
    let job = find(&engine, &name)?;
    let shape = run_shape(job, &engine.resolved);
    let graph = match &job.target {
        JobTarget::Graph(graph) => Some(op_graph(graph)),
        JobTarget::Assets(_) => None,
    };
    Ok(Json(JobInfo {
        entry: entry(&engine, job).await?,
        place: job.place.as_ref().map(ToString::to_string),
        graph,
        template: shape.template(),
        shape: shape_document(&shape),
    }))
}

fn op_graph(graph: &Graph) -> OpGraph {
    let mut edges = Vec::new();
    for (to, node) in graph.nodes.iter().enumerate() {
        for (input, wiring) in &node.wirings {
            for source in &wiring.sources {
                if let GraphSource::Output { node: from, output, .. } = source {
                    let (output, input) = (output.clone(), input.clone());
                    edges.push(OpEdge { from: *from, to, output, input });
                }
            }
        }
    }
    let pairs: Vec<(usize, usize)> = edges.iter().map(|edge| (edge.from, edge.to)).collect();
    let layout = layered(graph.nodes.len(), &pairs);
    let nodes = graph.nodes.iter().zip(&layout.nodes).map(|(node, at)| {
        let (description, inputs, outputs, inner) = match &node.body {
            NodeBody::Op(op) => (
                op.description.clone(),
                op.inputs.iter().map(|input| input.name.clone()).collect(),
                op.outputs.iter().map(|output| output.name.clone()).collect(),
                None,
            ),
            NodeBody::Graph(inner) => (
                inner.description.clone(),
                inner.inputs.iter().map(|input| input.name.clone()).collect(),
                inner.outputs.iter().map(|output| output.name.clone()).collect(),
                Some(Box::new(op_graph(inner))),
            ),
        };
        OpNode {
            name: node.name.clone(),
            of: node.body.name().to_owned(),
            description,
            inputs,
            outputs,
            x: at.x,
            y: at.y,
            inner,
        }
    });
    let (width, height) = (layout.size.x, layout.size.y);
    OpGraph { nodes: nodes.collect(), edges, width, height }
}

/// `{"table": {NAME: {shape, required, description}}}`, `{"schema": JSON Schema}` or `{}`.
fn shape_document(shape: &Shape) -> Value {
    match shape {
        Shape::Table(fields) => {
            let field = |(name, field): &(String, Field)| {
                let of = json!({
                    "shape": shape_document(&field.shape),
                    "required": field.required,
                    "description": field.description,
                });
                (name.clone(), of)
            };
            json!({ "table": fields.iter().map(field).collect::<serde_json::Map<_, _>>() })
        }
        Shape::Schema(schema) => json!({ "schema": schema }),
        Shape::Any => json!({}),
    }
}

/// A run config in TOML.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct ConfigText {
    text: String,
}

/// What is wrong with a run config.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConfigCheck {
    problems: Vec<Problem>,
}

/// Looks at a run config while it is written.
#[utoipa::path(post, path = "/jobs/{name}/config", params(("name" = String, Path)),
    request_body = ConfigText,
    responses((status = 200, body = ConfigCheck), (status = 404, body = ApiError)))]
pub(crate) async fn check_config(
    State(web): State<Web>,
    Path(name): Path<String>,
    Json(config): Json<ConfigText>,
) -> Answer<ConfigCheck> {
    let engine = web.engine()?;
    let job = find(&engine, &name)?;
    let problems = match checked(&engine, job, &config.text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems_in(&problems, &config.text),
    };
    Ok(Json(ConfigCheck { problems }))
}

/// The run config that a text says, as it is given: values of the environment stay where they are.
pub(super) fn checked(
    engine: &Engine,
    job: &Job,
    text: &str,
) -> Result<Value, Vec<arrowsmith_definitions::Diagnostic>> {
    let file: Arc<FilePath> = FilePath::new("config.toml").into();
    let entry = Entry::parse(&file, text).map_err(|problem| vec![problem])?;
    let shape = run_shape(job, &engine.resolved);
    let over = entry.clone().over(Entry::of_value(&job.config));
    let of = format!("job `{}`", job.name);
    let environment = |name: &str| std::env::var(name).ok();
    let checked = check(&of, &over, &shape, &environment);
    checked.map(|_| entry.value()).map_err(|mut problems| {
        for problem in &mut problems {
            debug_assert_eq!(problem.code, Code::Config);
            problem.message = problem.message.replacen(&format!("config of {of}: "), "", 1);
        }
        problems
    })
}
