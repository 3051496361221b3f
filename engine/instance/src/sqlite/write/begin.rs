//! Runs and attempts that begin.

use std::collections::{HashMap, VecDeque};

use serde_json::json;
use sqlx::{Row, SqliteConnection};

use super::{Events, encode, rows};
use crate::{Attempt, Event, NewAttempt, NewRun, Result};

pub(super) async fn start_run(
    connection: &mut SqliteConnection,
    run: &NewRun,
    events: &mut Events,
) -> Result<()> {
    let run_id = run.run_id.to_string();
    sqlx::query(
        "insert into runs
           (run_id, environment, selection, status, tags, process, lease_until, created_at)
         values ($1, $2, $3, 'started', $4, $5, $6, $7)",
    )
    .bind(&run_id)
    .bind(&run.environment)
    .bind(&run.selection)
    .bind(encode(&run.tags)?)
    .bind(encode(&run.process)?)
    .bind(run.lease_until)
    .bind(run.at)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into steps (run_id, step_key, position, state)
         select $1, value, key, 'planned' from json_each($2)",
    )
    .bind(&run_id)
    .bind(encode(&run.steps)?)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into pins (run_id, version_id) select $1, value from json_each($2) where true
         on conflict do nothing",
    )
    .bind(&run_id)
    .bind(encode(&run.pins)?)
    .execute(&mut *connection)
    .await?;
    events.add(run.run_id, None, None, run.at, &Event::RunStart { steps: run.steps.len() })
}

/// Begins the attempts of several requests; the answers stand in the order of the requests.
pub(super) async fn begin_all(
    connection: &mut SqliteConnection,
    requests: &[&[NewAttempt]],
    events: &mut Events,
) -> Result<Vec<Vec<Attempt>>> {
    let attempts: Vec<&NewAttempt> = requests.iter().copied().flatten().collect();
    if attempts.is_empty() {
        return Ok(requests.iter().map(|_| Vec::new()).collect());
    }
    let mut epochs = claim_epochs(connection, &attempts).await?;
    let (mut new, mut targets, mut steps) = (Vec::new(), Vec::new(), Vec::new());
    let mut begun: HashMap<uuid::Uuid, Attempt> = HashMap::new();
    for attempt in &attempts {
        let id = attempt.attempt_id.to_string();
        let (run, version) = (attempt.run_id.to_string(), attempt.version.to_string());
        new.push(json!([id, run, attempt.step_key, attempt.number, version, attempt.at]));
        steps.push(json!([run, attempt.step_key, attempt.number, attempt.at]));
        let mut claimed = Vec::new();
        for target in &attempt.targets {
            let key =
                (attempt.environment.clone(), target.asset.clone(), target.partition_key.clone());
            let epoch = epochs.get_mut(&key).and_then(VecDeque::pop_front).unwrap_or_default();
            targets.push(json!([id, key.0, key.1, key.2, epoch]));
            claimed.push(epoch);
        }
        let event = Event::StepStart { attempt: attempt.number, version };
        events.add(attempt.run_id, Some(&attempt.step_key), None, attempt.at, &event)?;
        let done = Attempt { attempt_id: attempt.attempt_id, epochs: claimed };
        begun.insert(attempt.attempt_id, done);
    }
    sqlx::query(
        "insert into attempts
           (attempt_id, run_id, step_key, number, version_id, status, started_at)
         select value->>0, value->>1, value->>2, value->>3, value->>4, 'running', value->>5
         from json_each($1)",
    )
    .bind(rows(new))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into targets (attempt_id, environment, asset, partition_key, epoch)
         select value->>0, value->>1, value->>2, value->>3, value->>4 from json_each($1)",
    )
    .bind(rows(targets))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update steps set state = 'running', attempt = e.value->>2, started_at = e.value->>3
         from json_each($1) e
         where steps.run_id = e.value->>0 and steps.step_key = e.value->>1",
    )
    .bind(rows(steps))
    .execute(&mut *connection)
    .await?;
    let answer = |attempts: &&[NewAttempt]| {
        attempts.iter().filter_map(|a| begun.get(&a.attempt_id).cloned()).collect()
    };
    Ok(requests.iter().map(answer).collect())
}

type TargetKey = (String, String, String);

/// Raises the epoch of every target by one for each attempt that names it.
async fn claim_epochs(
    connection: &mut SqliteConnection,
    attempts: &[&NewAttempt],
) -> Result<HashMap<TargetKey, VecDeque<i64>>> {
    let mut wanted = Vec::new();
    for attempt in attempts {
        for target in &attempt.targets {
            wanted.push(json!([attempt.environment, target.asset, target.partition_key]));
        }
    }
    let claimed = sqlx::query(
        "insert into pointers (environment, asset, partition_key, epoch)
         select value->>0, value->>1, value->>2, 1 from json_each($1) where true
         on conflict (environment, asset, partition_key) do update set epoch = epoch + 1
         returning environment, asset, partition_key, epoch",
    )
    .bind(rows(wanted))
    .fetch_all(&mut *connection)
    .await?;
    let mut epochs: HashMap<TargetKey, VecDeque<i64>> = HashMap::new();
    for row in claimed {
        let key = (row.get(0), row.get(1), row.get(2));
        epochs.entry(key).or_default().push_back(row.get(3));
    }
    Ok(epochs)
}
