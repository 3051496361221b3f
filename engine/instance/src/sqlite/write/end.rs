//! Attempts, steps and runs that end.

use sqlx::SqliteConnection;

use super::Events;
use crate::{EndAttempt, EndRun, EndStep, Result, RunId, StepState, TimeMicros};

pub(super) async fn end_attempt(
    connection: &mut SqliteConnection,
    end: &EndAttempt,
    events: &mut Events,
) -> Result<()> {
    let ended = sqlx::query(
        "update attempts set status = $1, ended_at = $2, error = $3
         where attempt_id = $4 and status = 'running'",
    )
    .bind(end.status.as_str())
    .bind(end.at)
    .bind(&end.reason)
    .bind(end.attempt_id.to_string())
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        // Somebody has ended it already, and with it its step.
        return Ok(());
    }
    set_step(connection, end.run_id, &end.step_key, end.state, &end.reason, end.at).await?;
    events.add(end.run_id, Some(&end.step_key), None, end.at, &end.event)
}

pub(super) async fn end_steps(
    connection: &mut SqliteConnection,
    ends: &[EndStep],
    events: &mut Events,
) -> Result<()> {
    for end in ends {
        let ended = set_step(connection, end.run_id, &end.step_key, end.state, &end.reason, end.at);
        if !ended.await? {
            continue;
        }
        events.add(end.run_id, Some(&end.step_key), None, end.at, &end.event())?;
    }
    Ok(())
}

/// Ends the run, its running attempts and its open steps; a run that has ended stays as it is.
pub(super) async fn end_run(
    connection: &mut SqliteConnection,
    end: &EndRun,
    events: &mut Events,
) -> Result<()> {
    let run_id = end.run_id.to_string();
    let ended = sqlx::query(
        "update runs set status = $1, ended_at = $2, error = $3
         where run_id = $4 and status = 'started'",
    )
    .bind(end.status.as_str())
    .bind(end.at)
    .bind(&end.error)
    .bind(&run_id)
    .execute(&mut *connection)
    .await?;
    if ended.rows_affected() == 0 {
        return Ok(());
    }
    let reason = end.error.clone().unwrap_or_default();
    let (attempt, state) = end.states();
    sqlx::query(
        "update attempts set status = $1, ended_at = $2, error = $3
         where run_id = $4 and status = 'running'",
    )
    .bind(attempt.as_str())
    .bind(end.at)
    .bind(&reason)
    .bind(&run_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update steps set reason = $1, ended_at = $2,
           state = case state when 'planned' then 'canceled' else $3 end
         where run_id = $4 and state in ('planned', 'running', 'up_for_retry')",
    )
    .bind(&reason)
    .bind(end.at)
    .bind(state.as_str())
    .bind(&run_id)
    .execute(&mut *connection)
    .await?;
    sqlx::query("delete from pins where run_id = $1").bind(&run_id).execute(connection).await?;
    events.add(end.run_id, None, None, end.at, &end.event())
}

/// Sets the state of a step that has not ended yet; a publish that was on its way when its step
/// was given up has ended it truthfully.
async fn set_step(
    connection: &mut SqliteConnection,
    run_id: RunId,
    step_key: &str,
    state: StepState,
    reason: &str,
    at: TimeMicros,
) -> Result<bool> {
    let ended = sqlx::query(
        "update steps set state = $1, reason = $2, ended_at = $3
         where run_id = $4 and step_key = $5
           and state in ('planned', 'running', 'up_for_retry')",
    )
    .bind(state.as_str())
    .bind(reason)
    .bind(at)
    .bind(run_id.to_string())
    .bind(step_key)
    .execute(connection)
    .await?;
    Ok(ended.rows_affected() > 0)
}
