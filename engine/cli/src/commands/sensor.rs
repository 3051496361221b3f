//! `sensor list|start|stop|preview|cursor|logs`.

use std::sync::Arc;

use arrowsmith_daemon::Daemon;
use arrowsmith_definitions::Sensor;
use arrowsmith_execution::Engine;
use arrowsmith_instance::SetInstigator;
use serde_json::{Value, json};

use super::instigators::{known, logs, set, state, target, unknown};
use super::schedule::rows_of;
use crate::Exit;
use crate::args::{Format, SensorCommand};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, complain, moment, print, say};

/// The name under which the conditions of assets are started and stopped.
const AUTOMATION: &str = "automation";

pub(crate) async fn sensor(context: &Context, command: SensorCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        SensorCommand::List { format } => list(&engine, format.format).await,
        SensorCommand::Start { name } => {
            set(&engine, &named(&engine, &name)?, SetInstigator::Start).await
        }
        SensorCommand::Stop { name } => {
            set(&engine, &named(&engine, &name)?, SetInstigator::Stop).await
        }
        SensorCommand::Preview { name, cursor, format } => {
            let own = known(&engine).await?.remove(&named(&engine, &name)?);
            let cursor = cursor.or_else(|| own.and_then(|record| record.cursor));
            preview(&engine, &name, cursor, format.format).await
        }
        SensorCommand::Cursor { name, set: None, delete: false } => {
            let own = known(&engine).await?.remove(&named(&engine, &name)?);
            match own.and_then(|record| record.cursor) {
                Some(cursor) => print(&cursor)?,
                None => say(&format!("sensor `{name}` has no cursor yet")),
            }
            Ok(Exit::Ok)
        }
        SensorCommand::Cursor { name, set: cursor, .. } => {
            set(&engine, &named(&engine, &name)?, SetInstigator::Cursor(cursor)).await
        }
        SensorCommand::Logs(args) => {
            let name = named(&engine, &args.name)?;
            logs(&engine.instance, &name, &args).await
        }
    }
}

fn find<'a>(engine: &'a Engine, name: &str) -> CommandResult<&'a Arc<Sensor>> {
    let sensors = &engine.resolved.sensors;
    sensors.get(name).ok_or_else(|| unknown("sensor", name, sensors.keys()))
}

/// What a sensor is called in the instance. `automation` looks at the conditions of all assets.
fn named(engine: &Engine, name: &str) -> CommandResult<String> {
    if name == AUTOMATION && engine.resolved.has_conditions() {
        return Ok(format!("sensor:{name}"));
    }
    find(engine, name).map(|_| format!("sensor:{name}"))
}

async fn list(engine: &Engine, format: Format) -> CommandResult {
    let known = known(engine).await?;
    let columns = &["sensor", "state", "looks_at", "every_s", "runs", "last_tick"];
    let mut rows = Rows::new("arrowsmith.sensors.v1", columns);
    for (name, sensor) in &engine.resolved.sensors {
        let instigator = format!("sensor:{name}");
        let state = state(known.get(&instigator), sensor.runs_by_default);
        let last = engine.instance.ticks(&instigator, 1).await.map_err(|e| fail(&e.into()))?.pop();
        rows.push(vec![
            json!(name),
            json!(state),
            json!(sensor.kind_name()),
            json!(sensor.min_interval.as_secs()),
            target(sensor.target.as_ref()),
            json!(last.map(|tick| format!("{} {}", moment(tick.ended_at), tick.status))),
        ]);
    }
    if engine.resolved.has_conditions() {
        let instigator = format!("sensor:{AUTOMATION}");
        let state = state(known.get(&instigator), true);
        let last = engine.instance.ticks(&instigator, 1).await.map_err(|e| fail(&e.into()))?.pop();
        let last = last.map(|tick| format!("{} {}", moment(tick.ended_at), tick.status));
        let runs = json!("what conditions hold for");
        rows.push(vec![
            json!(AUTOMATION),
            json!(state),
            json!("conditions"),
            json!(5),
            runs,
            json!(last),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

async fn preview(
    engine: &Arc<Engine>,
    name: &str,
    cursor: Option<String>,
    format: Format,
) -> CommandResult {
    let seen = Daemon::preview_sensor(engine, name, cursor).await.map_err(|error| {
        complain(&error.to_string());
        Exit::Usage
    })?;
    let seen = seen.map_err(|error| {
        complain(&format!("sensor `{name}` failed: {error}"));
        Exit::Failed
    })?;
    let columns = &["run_key", "runs", "partitions", "tags", "config", "reason"];
    let mut rows = Rows::new("arrowsmith.preview.v1", columns);
    let own = find(engine, name)?.target.clone();
    rows_of(&mut rows, &seen.run_requests, |request| {
        vec![json!(request.run_key), target(request.target.as_ref().or(own.as_ref()))]
    });
    if seen.run_requests.is_empty() {
        let mut row = vec![Value::Null; 5];
        row.push(json!(seen.skip_reason));
        rows.push(row);
    }
    rows.print(format)?;
    if let Some(cursor) = seen.cursor {
        let shown: String = cursor.chars().take(200).collect();
        say(&format!("the next cursor would be {shown}"));
    }
    Ok(Exit::Ok)
}
