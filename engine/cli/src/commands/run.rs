//! `run list|show|logs|reexecute`.

use std::time::Duration;

use arrowsmith_execution::{LogLine, Reexecute, RunLogs};
use arrowsmith_instance::{EventRecord, Instance, RunRecord};
use serde_json::{Value, json};

use super::launch::{execute, launch, terminate};
use super::materialize::carry_out;
use crate::Exit;
use crate::args::{Format, RunCommand};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, complain, elapsed, moment, print, print_document};

pub(crate) async fn run(context: &Context, command: RunCommand) -> CommandResult {
    match command {
        RunCommand::List { limit, format } => {
            list(&context.instance().await?, limit, format.format).await
        }
        RunCommand::Show { run, format } => {
            show(&context.instance().await?, &run, format.format).await
        }
        RunCommand::Logs { run, step, format } => {
            logs(&context.instance().await?, &run, step.as_deref(), format.format).await
        }
        RunCommand::Terminate { run, no_wait } => {
            terminate(&context.instance().await?, &run, no_wait).await
        }
        RunCommand::Launch(args) => launch(&*context.engine().await?, args).await,
        RunCommand::Execute { run } => execute(context, &run).await,
        RunCommand::Reexecute { run, from_failure, select, options } => {
            let which = match select {
                Some(select) => Reexecute::Select(select),
                None if from_failure => Reexecute::FromFailure,
                None => Reexecute::All,
            };
            let engine = context.engine().await?;
            let plan = engine.plan_reexecution(&run, &which).await.map_err(|e| fail(&e))?;
            carry_out(context, &engine, plan, options).await
        }
    }
}

fn took(from: i64, to: Option<i64>) -> Value {
    let micros = to.and_then(|to| u64::try_from(to - from).ok());
    json!(micros.map(|micros| elapsed(Duration::from_micros(micros))))
}

async fn list(instance: &Instance, limit: u32, format: Format) -> CommandResult {
    let runs = instance.runs(limit).await.map_err(|e| fail(&e.into()))?;
    if format == Format::Json {
        print_document("arrowsmith.runs.v1", "runs", &runs)?;
        return Ok(Exit::Ok);
    }
    let columns = &["run", "status", "began", "took", "steps", "selection"];
    let mut rows = Rows::new("arrowsmith.runs.v1", columns);
    for run in &runs {
        let id = if format == Format::Table { run.run_id.short() } else { run.run_id.to_string() };
        rows.push(vec![
            json!(id),
            json!(run.status),
            json!(moment(run.created_at)),
            took(run.created_at, run.ended_at),
            json!(states(run)),
            json!(run.selection),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

fn states(run: &RunRecord) -> String {
    let states = run.steps.iter().map(|(state, count)| format!("{count} {state}"));
    states.collect::<Vec<_>>().join(", ")
}

async fn record(instance: &Instance, id: &str) -> CommandResult<RunRecord> {
    instance.run(id).await.map_err(|e| fail(&e.into()))
}

async fn show(instance: &Instance, id: &str, format: Format) -> CommandResult {
    let run = record(instance, id).await?;
    let steps = instance.steps(run.run_id).await.map_err(|e| fail(&e.into()))?;
    if format == Format::Json {
        print_document("arrowsmith.run.v1", "run", &json!({ "run": run, "steps": steps }))?;
        return Ok(Exit::Ok);
    }
    if format == Format::Table {
        print(&format!("run {} of `{}`: {}", run.run_id, run.selection, run.status))?;
        if let Some(error) = &run.error {
            print(&format!("because {error}"))?;
        }
        if let Some(job) = &run.job {
            print(&format!("job {job}"))?;
        }
        if let Some(origin) = &run.origin {
            print(&format!("asked for by {}", origin.replace(':', " ")))?;
        }
        if let Some(parent) = &run.parent {
            print(&format!("goes on with run {parent}"))?;
        }
    }
    let columns = &["step", "state", "attempt", "began", "took", "rows", "bytes", "reason"];
    let mut rows = Rows::new("arrowsmith.run.v1", columns);
    for step in steps {
        rows.push(vec![
            json!(step.step_key),
            json!(step.state),
            json!(step.attempt),
            json!(step.started_at.map(moment)),
            step.started_at.map_or(Value::Null, |from| took(from, step.ended_at)),
            json!(step.row_count),
            json!(step.size_bytes),
            json!(step.reason),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

/// Something that happened, or a line that was logged.
enum Entry {
    Event(EventRecord),
    Line(LogLine),
}

impl Entry {
    fn at(&self) -> i64 {
        match self {
            Self::Event(event) => event.at,
            Self::Line(line) => line.at,
        }
    }

    fn step(&self) -> Option<&str> {
        match self {
            Self::Event(event) => event.step_key.as_deref(),
            Self::Line(line) => line.step.as_deref(),
        }
    }

    fn kind(&self) -> &str {
        match self {
            Self::Event(event) => event.event.kind(),
            Self::Line(line) => &line.level,
        }
    }

    /// Everything but time, step and kind.
    fn details(&self) -> String {
        match self {
            Self::Event(event) => {
                let mut value = serde_json::to_value(&event.event).unwrap_or_default();
                if let Some(object) = value.as_object_mut() {
                    object.remove("kind");
                    let pairs = object.iter().map(|(k, v)| match v {
                        Value::String(text) => format!("{k}={text}"),
                        other => format!("{k}={other}"),
                    });
                    return pairs.collect::<Vec<_>>().join(" ");
                }
                String::new()
            }
            Self::Line(line) => {
                let mut text = line.message.clone();
                for (name, value) in &line.fields {
                    match value {
                        Value::String(value) => text.push_str(&format!(" {name}={value}")),
                        value => text.push_str(&format!(" {name}={value}")),
                    }
                }
                text
            }
        }
    }

    fn json(&self) -> Value {
        let mut value = match self {
            Self::Event(event) => serde_json::to_value(event).unwrap_or_default(),
            Self::Line(line) => serde_json::to_value(line).unwrap_or_default(),
        };
        if let (Self::Line(_), Some(object)) = (self, value.as_object_mut()) {
            object.insert("kind".to_owned(), json!("LOG"));
        }
        value
    }
}

async fn logs(instance: &Instance, id: &str, step: Option<&str>, format: Format) -> CommandResult {
    let run = record(instance, id).await?;
    let events = instance.events(run.run_id, 0).await.map_err(|e| fail(&e.into()))?;
    let path = instance.log_path(run.run_id);
    let lines = match path.map(|path| RunLogs::read(&path)).transpose() {
        Ok(lines) => lines.unwrap_or_default(),
        Err(error) => {
            complain(&format!("the log of the run cannot be read: {error}"));
            return Err(Exit::Environment);
        }
    };
    let mut entries: Vec<Entry> = events.into_iter().map(Entry::Event).collect();
    entries.extend(lines.into_iter().map(Entry::Line));
    entries.retain(|entry| step.is_none() || entry.step() == step);
    entries.sort_by_key(Entry::at);
    match format {
        Format::Json => {
            let all: Vec<Value> = entries.iter().map(Entry::json).collect();
            print_document("arrowsmith.events.v1", "events", &all)?;
        }
        Format::Ndjson => entries.iter().try_for_each(|entry| print(&entry.json().to_string()))?,
        Format::Table | Format::Csv => {
            let mut rows = Rows::new("arrowsmith.events.v1", &["at", "step", "kind", "details"]);
            for entry in &entries {
                rows.push(vec![
                    json!(moment(entry.at())),
                    json!(entry.step()),
                    json!(entry.kind()),
                    json!(entry.details()),
                ]);
            }
            rows.print(format)?;
        }
    }
    Ok(Exit::Ok)
}
