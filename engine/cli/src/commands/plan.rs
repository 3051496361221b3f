//! `plan`: what would run, and why.

use arrowsmith_execution::PlanRequest;
use serde_json::json;

use super::materialize::nothing;
use crate::Exit;
use crate::args::Format;
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, say};
use crate::unchanged::Unchanged;

pub(crate) async fn plan(
    context: &Context,
    request: &PlanRequest,
    exit_code: bool,
    format: Format,
) -> CommandResult {
    let unchanged = Unchanged::look(context, request).await;
    let known = unchanged.as_ref().and_then(Unchanged::nothing_to_do);
    if let (Some(fresh), Format::Table) = (known, format) {
        say(nothing(fresh));
        return Ok(Exit::Ok);
    }
    let engine = context.engine().await?;
    let plan = engine.plan_request(request).await.map_err(|e| fail(&e))?;
    if let Some(unchanged) = unchanged {
        unchanged.remember(&engine, &plan, unchanged.changes).await;
    }
    let mut rows = Rows::new("arrowsmith.plan.v1", &["step", "why", "after", "reads"]);
    for step in &plan.steps {
        let after: Vec<&str> = step.after.iter().map(|at| plan.steps[*at].key.as_str()).collect();
        rows.push(vec![
            json!(step.key),
            json!(step.reason.to_string()),
            json!(after),
            json!(step.reads),
        ]);
    }
    if plan.is_empty() && format == Format::Table {
        say(nothing(plan.fresh));
        return Ok(Exit::Ok);
    }
    rows.print(format)?;
    Ok(if exit_code && !plan.is_empty() { Exit::Pending } else { Exit::Ok })
}
