//! `job list|show|run|scaffold-config`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrowsmith_definitions::{Diagnostic, Entry, Job, JobTarget, run_shape};
use arrowsmith_execution::{Engine, JobRequest};
use serde_json::{Value, json};

use super::materialize::carry_out;
use crate::Exit;
use crate::args::{Format, JobCommand};
use crate::context::{CommandResult, Context, fail};
use crate::diagnostics::{report, summary};
use crate::output::{Rows, complain, print};

pub(crate) async fn job(context: &Context, command: JobCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        JobCommand::List { format } => list(&engine, format.format),
        JobCommand::Show { job, config: true, .. } | JobCommand::ScaffoldConfig { job } => {
            let job = find(&engine, &job)?;
            print(&format!("# The run config of job `{}`.", job.name))?;
            print(run_shape(&job, &engine.resolved).template().trim_end())?;
            Ok(Exit::Ok)
        }
        JobCommand::Show { job, format, .. } => show(&engine, &job, format.format).await,
        JobCommand::Run { job, config, set, select, partitions, run } => {
            let config = read_config(&config, set)?;
            let plan = super::partitions::request(&[], &partitions)?;
            let request = JobRequest { config: Some(config), select, plan };
            let mut args = run;
            let tags = find(&engine, &job)?.tags.clone();
            args.tags.splice(0..0, tags);
            let plan = engine.plan_job(&job, &request).await.map_err(|e| fail(&e))?;
            carry_out(context, &engine, plan, args).await
        }
    }
}

fn find(engine: &Engine, name: &str) -> CommandResult<Arc<Job>> {
    engine.job(name).cloned().map_err(|e| fail(&e))
}

fn list(engine: &Engine, format: Format) -> CommandResult {
    let mut rows = Rows::new("arrowsmith.jobs.v1", &["job", "runs", "description"]);
    for job in engine.resolved.jobs.values() {
        let runs = match &job.target {
            JobTarget::Graph(graph) => format!("{} ops", graph.ops().len()),
            JobTarget::Assets(selection) if selection.trim().is_empty() => "assets *".to_owned(),
            JobTarget::Assets(selection) => format!("assets {selection}"),
        };
        rows.push(vec![json!(job.name), json!(runs), json!(job.description)]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

async fn show(engine: &Engine, name: &str, format: Format) -> CommandResult {
    let job = find(engine, name)?;
    let columns = &["step", "after", "config"];
    let mut rows = Rows::new("arrowsmith.job.v1", columns);
    match &job.target {
        JobTarget::Graph(graph) => {
            // A job without its config can be shown, though it cannot be planned.
            let flat = graph.flatten().map_err(|message| {
                complain(&message);
                Exit::Invalid
            })?;
            for node in &flat.nodes {
                let sources = node.inputs.values().flat_map(|input| &input.sources);
                let mut after: Vec<&str> = sources
                    .filter_map(|source| match source {
                        arrowsmith_definitions::FlatSource::Output { node, .. } => {
                            Some(flat.nodes[*node].path.as_str())
                        }
                        _ => None,
                    })
                    .collect();
                after.dedup();
                rows.push(vec![json!(node.path), json!(after), json!(node.op.config.is_some())]);
            }
        }
        JobTarget::Assets(selection) => {
            let plan = engine.plan(selection).await.map_err(|e| fail(&e))?;
            for step in &plan.steps {
                let after = step.after.iter().map(|at| plan.steps[*at].key.as_str());
                rows.push(vec![json!(step.key), json!(after.collect::<Vec<_>>()), Value::Null]);
            }
        }
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

/// The files, of which the first wins, under the entries of `--set`.
pub(super) fn read_config(files: &[PathBuf], set: Vec<(String, String)>) -> CommandResult<Entry> {
    let (mut config, mut problems) = (Entry::empty(), Vec::new());
    for path in files {
        match read_file(path) {
            Ok(entry) => config = config.over(entry),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        report(&problems);
        complain(&summary(&problems));
        return Err(Exit::Usage);
    }
    for (path, text) in set {
        // `3`, `true` and `[1, 2]` are what they look like; anything else is a text.
        let value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        config = config.with(&path, &value);
    }
    Ok(config)
}

fn read_file(path: &Path) -> Result<Entry, Diagnostic> {
    let unreadable = |error: std::io::Error| {
        let message = format!("`{}` cannot be read: {error}", path.display());
        Diagnostic::error(arrowsmith_definitions::Code::Config, message)
    };
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Entry::parse(&path.into(), &text)
}
