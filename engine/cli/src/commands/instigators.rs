//! What commands about schedules and about sensors share.

use std::collections::HashMap;

use arrowsmith_definitions::RunTarget;
use arrowsmith_execution::Engine;
use arrowsmith_instance::{Instance, InstigatorRecord, SetInstigator};
use serde_json::{Value, json};

use crate::Exit;
use crate::args::TicksArgs;
use crate::context::{CommandResult, fail};
use crate::output::{Rows, complain, moment, say};

/// What the instance knows of schedules and sensors, by name.
pub(super) async fn known(engine: &Engine) -> CommandResult<HashMap<String, InstigatorRecord>> {
    let known = engine.instance.instigators().await.map_err(|e| fail(&e.into()))?;
    Ok(known.into_iter().map(|record| (record.name.clone(), record)).collect())
}

pub(super) fn state(record: Option<&InstigatorRecord>, runs_by_default: bool) -> &'static str {
    let is_running = record.and_then(|record| record.is_running).unwrap_or(runs_by_default);
    if is_running { "running" } else { "stopped" }
}

pub(super) fn target(target: Option<&RunTarget>) -> Value {
    json!(target.map(ToString::to_string))
}

/// Changes a schedule or sensor that exists; `name` is that of the instance, such as `sensor:files`.
pub(super) async fn set(engine: &Engine, name: &str, set: SetInstigator) -> CommandResult {
    let done = engine.instance.set_instigator(name, set.clone(), engine.now()).await;
    done.map_err(|e| fail(&e.into()))?;
    let told = name.replacen(':', " `", 1);
    match set {
        SetInstigator::Start => {
            say(&format!("{told}` runs from now on"));
            // Nobody is served by a schedule that no daemon looks at.
            if engine.instance.heartbeats().await.is_ok_and(|beats| beats.is_empty()) {
                say("note: no daemon has been here yet; `arrowsmith daemon run` starts one");
            }
        }
        SetInstigator::Stop => say(&format!("{told}` runs no more")),
        SetInstigator::Cursor(Some(_)) => say(&format!("the cursor of {told}` is set")),
        SetInstigator::Cursor(None) => say(&format!("the cursor of {told}` is deleted")),
        SetInstigator::Meet => {}
    }
    Ok(Exit::Ok)
}

/// Refuses a name that nothing has.
pub(super) fn unknown<'a>(
    what: &str,
    name: &str,
    of: impl IntoIterator<Item = &'a String>,
) -> Exit {
    let near = arrowsmith_definitions::nearest(name, of.into_iter().map(String::as_str));
    let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
    complain(&format!("there is no {what} `{name}`{near}"));
    Exit::Usage
}

/// `logs`: the newest ticks.
pub(super) async fn logs(instance: &Instance, name: &str, args: &TicksArgs) -> CommandResult {
    let ticks = instance.ticks(name, args.limit).await.map_err(|e| fail(&e.into()))?;
    let columns = &["tick", "for", "status", "runs", "suppressed", "reason"];
    let mut rows = Rows::new("arrowsmith.ticks.v1", columns);
    for tick in ticks {
        let short = |ids: &[arrowsmith_instance::RunId]| {
            ids.iter().map(arrowsmith_instance::RunId::short).collect::<Vec<_>>().join(" ")
        };
        rows.push(vec![
            json!(moment(tick.began_at)),
            json!(moment(tick.scheduled_at)),
            json!(tick.status),
            json!(short(&tick.run_ids)),
            json!(short(&tick.suppressed)),
            json!(tick.reason),
        ]);
    }
    rows.print(args.format.format)?;
    Ok(Exit::Ok)
}
