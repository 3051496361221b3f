//! `schedule list|start|stop|preview|logs`.

use std::sync::Arc;

use arrowsmith_daemon::Daemon;
use arrowsmith_definitions::{ResolvedSchedule, RunRequest};
use arrowsmith_execution::Engine;
use arrowsmith_instance::SetInstigator;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::instigators::{known, logs, set, state, target, unknown};
use crate::Exit;
use crate::args::{Format, ScheduleCommand};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, complain, moment};

pub(crate) async fn schedule(context: &Context, command: ScheduleCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        ScheduleCommand::List { format } => list(&engine, format.format).await,
        ScheduleCommand::Start { name } => {
            set(&engine, &named(&engine, &name)?, SetInstigator::Start).await
        }
        ScheduleCommand::Stop { name } => {
            set(&engine, &named(&engine, &name)?, SetInstigator::Stop).await
        }
        ScheduleCommand::Preview { name, ticks, format } => {
            preview(&engine, &name, ticks.into(), format.format).await
        }
        ScheduleCommand::Logs(args) => {
            let name = named(&engine, &args.name)?;
            logs(&engine.instance, &name, &args).await
        }
    }
}

fn find<'a>(engine: &'a Engine, name: &str) -> CommandResult<&'a Arc<ResolvedSchedule>> {
    let schedules = &engine.resolved.schedules;
    schedules.get(name).ok_or_else(|| unknown("schedule", name, schedules.keys()))
}

fn named(engine: &Engine, name: &str) -> CommandResult<String> {
    find(engine, name).map(|_| format!("schedule:{name}"))
}

async fn list(engine: &Engine, format: Format) -> CommandResult {
    let known = known(engine).await?;
    let columns = &["schedule", "state", "when", "runs", "last_tick", "next_tick"];
    let mut rows = Rows::new("arrowsmith.schedules.v1", columns);
    let now = Timestamp::from_microsecond(engine.now()).unwrap_or_default();
    for (name, resolved) in &engine.resolved.schedules {
        let schedule = &resolved.schedule;
        let instigator = format!("schedule:{name}");
        let state = state(known.get(&instigator), schedule.runs_by_default);
        let last = engine.instance.ticks(&instigator, 1).await.map_err(|e| fail(&e.into()))?.pop();
        let next = resolved.ticks.next(now).filter(|_| state == "running");
        rows.push(vec![
            json!(name),
            json!(state),
            json!(resolved.cadence()),
            target(Some(&schedule.target)),
            json!(last.map(|tick| format!("{} {}", moment(tick.scheduled_at), tick.status))),
            json!(next.map(|tick| moment(tick.as_microsecond()))),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

async fn preview(engine: &Arc<Engine>, name: &str, count: usize, format: Format) -> CommandResult {
    let resolved = find(engine, name)?;
    let mut after = Timestamp::from_microsecond(engine.now()).unwrap_or_default();
    let columns = &["tick", "runs", "partitions", "tags", "config", "reason"];
    let mut rows = Rows::new("arrowsmith.preview.v1", columns);
    let mut failed = false;
    for _ in 0..count {
        let Some(tick) = resolved.ticks.next(after) else { break };
        let asked = Daemon::preview_schedule(engine, name, tick).await;
        let asked = asked.map_err(|error| {
            complain(&error.to_string());
            Exit::Usage
        })?;
        let at = json!(moment(tick.as_microsecond()));
        failed |= asked.is_err();
        let (requests, reason) = match asked {
            Ok(result) => (result.run_requests, result.skip_reason),
            Err(error) => (Vec::new(), Some(error)),
        };
        if requests.is_empty() {
            rows.push(vec![at, Value::Null, Value::Null, Value::Null, Value::Null, json!(reason)]);
        } else {
            let target = Some(&resolved.schedule.target);
            rows_of(&mut rows, &requests, |request| {
                vec![at.clone(), super::instigators::target(request.target.as_ref().or(target))]
            });
        }
        after = tick;
    }
    rows.print(format)?;
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

/// A row a request, after what it begins with.
pub(super) fn rows_of(
    rows: &mut Rows,
    requests: &[RunRequest],
    first: impl Fn(&RunRequest) -> Vec<Value>,
) {
    for request in requests {
        let mut row = first(request);
        let config = if request.config.is_null() { None } else { Some(&request.config) };
        row.push(json!(request.partitions));
        row.push(if request.tags.is_empty() { Value::Null } else { json!(request.tags) });
        row.push(json!(config));
        row.push(Value::Null);
        rows.push(row);
    }
}
