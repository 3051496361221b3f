//! Versions that become current.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use sqlx::{Row, SqliteConnection};

use super::begin::begin_all;
use super::{Events, encode, rows, word};
use crate::request::Reply;
use crate::{
    AttemptStatus, Event, NewAttempt, NewVersion, Publish, Published, Refusal, Result, RunStatus,
    TimeMicros,
};

/// Publishes what may be published; refusals change nothing.
pub(super) async fn publish_all(
    connection: &mut SqliteConnection,
    publishes: &[&Publish],
    events: &mut Events,
) -> Result<Vec<Published>> {
    let refusals = refusals(connection, publishes).await?;
    let allowed = |publish: &&&Publish| !refusals.contains_key(&publish.attempt_id);
    let accepted: Vec<&Publish> = publishes.iter().filter(allowed).copied().collect();
    let (mut versions, mut pointers) = (Vec::new(), Vec::new());
    let (mut attempts, mut steps) = (Vec::new(), Vec::new());
    for publish in &accepted {
        let run = publish.run_id.to_string();
        let (mut row_count, mut size_bytes) = (0, 0);
        for new in &publish.versions {
            let version = new.stored.version.to_string();
            versions.push(version_row(new, publish)?);
            let target = &new.target;
            pointers.push(json!([
                publish.environment,
                target.asset,
                target.partition_key,
                version,
                publish.at
            ]));
            let event = Event::AssetMaterialization {
                version,
                row_count: new.stored.row_count,
                size_bytes: new.stored.size_bytes,
            };
            let (step, asset) = (Some(publish.step_key.as_str()), Some(target.asset.as_str()));
            events.add(publish.run_id, step, asset, publish.at, &event)?;
            row_count += new.stored.row_count;
            size_bytes += new.stored.size_bytes;
        }
        attempts.push(json!([publish.attempt_id.to_string(), publish.at]));
        let started = publish.started_at;
        steps.push(json!([run, publish.step_key, publish.at, row_count, size_bytes, started]));
        let event = Event::StepSuccess { duration_us: publish.duration_us };
        events.add(publish.run_id, Some(&publish.step_key), None, publish.at, &event)?;
    }
    if !accepted.is_empty() {
        insert_versions(connection, versions).await?;
        move_pointers(connection, pointers).await?;
        succeed(connection, attempts, steps).await?;
    }
    let next: Vec<&[NewAttempt]> = accepted.iter().map(|p| p.then_begin.as_slice()).collect();
    let mut begun = VecDeque::from(begin_all(connection, &next, events).await?);
    let answer = |publish: &&Publish| match refusals.get(&publish.attempt_id) {
        Some(refusal) => Published::No(*refusal),
        None => Published::Yes(begun.pop_front().unwrap_or_default()),
    };
    Ok(publishes.iter().map(answer).collect())
}

/// Which of the publishes may not happen, and why.
async fn refusals(
    connection: &mut SqliteConnection,
    publishes: &[&Publish],
) -> Result<HashMap<uuid::Uuid, Refusal>> {
    let ids = publishes.iter().map(|p| json!(p.attempt_id.to_string())).collect();
    let found = sqlx::query(
        "select a.attempt_id, a.status, r.status, min(t.epoch = p.epoch)
         from attempts a
         join runs r on r.run_id = a.run_id
         join targets t on t.attempt_id = a.attempt_id
         join pointers p on p.environment = t.environment and p.asset = t.asset
           and p.partition_key = t.partition_key
         where a.attempt_id in (select value from json_each($1))
         group by a.attempt_id",
    )
    .bind(rows(ids))
    .fetch_all(&mut *connection)
    .await?;
    let mut known = HashMap::new();
    for row in found {
        let id: String = row.get(0);
        let attempt: AttemptStatus = word(row.get(1), "attempts")?;
        let run: RunStatus = word(row.get(2), "runs")?;
        let newest: bool = row.get(3);
        let refusal = if attempt != AttemptStatus::Running {
            Some(Refusal::NotRunning(attempt))
        } else if run != RunStatus::Started {
            Some(Refusal::RunEnded(run))
        } else {
            (!newest).then_some(Refusal::Superseded)
        };
        known.insert(id, refusal);
    }
    let refusal = |publish: &&Publish| {
        let found = known.get(&publish.attempt_id.to_string()).copied();
        found.unwrap_or(Some(Refusal::Unknown)).map(|why| (publish.attempt_id, why))
    };
    Ok(publishes.iter().filter_map(refusal).collect())
}

async fn insert_versions(connection: &mut SqliteConnection, versions: Vec<Value>) -> Result<()> {
    sqlx::query(
        "insert into versions
           (version_id, asset, run_id, attempt_id, io_manager, created_at, duration_us,
            row_count, size_bytes, code_version, inputs, metadata, manifest)
         select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6,
            value->>7, value->>8, value->>9, value->>10, value->>11, value->>12
         from json_each($1) where true on conflict (version_id) do nothing",
    )
    .bind(rows(versions))
    .execute(connection)
    .await?;
    Ok(())
}

async fn move_pointers(connection: &mut SqliteConnection, pointers: Vec<Value>) -> Result<()> {
    sqlx::query(
        "update pointers set version_id = e.value->>3, published_at = e.value->>4
             from json_each($1) e
             where pointers.environment = e.value->>0 and pointers.asset = e.value->>1
               and pointers.partition_key = e.value->>2",
    )
    .bind(rows(pointers))
    .execute(connection)
    .await?;
    Ok(())
}

async fn succeed(
    connection: &mut SqliteConnection,
    attempts: Vec<Value>,
    steps: Vec<Value>,
) -> Result<()> {
    sqlx::query(
        "update attempts set status = 'success', ended_at = e.value->>1
             from json_each($1) e where attempts.attempt_id = e.value->>0",
    )
    .bind(rows(attempts))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "update steps set state = 'success', ended_at = e.value->>2,
               row_count = e.value->>3, size_bytes = e.value->>4, started_at = e.value->>5,
               reason = null
             from json_each($1) e
             where steps.run_id = e.value->>0 and steps.step_key = e.value->>1",
    )
    .bind(rows(steps))
    .execute(connection)
    .await?;
    Ok(())
}

fn version_row(new: &NewVersion, publish: &Publish) -> Result<Value> {
    Ok(json!([
        new.stored.version.to_string(),
        new.target.asset,
        publish.run_id.to_string(),
        publish.attempt_id.to_string(),
        new.io_manager,
        publish.at,
        publish.duration_us,
        new.stored.row_count,
        new.stored.size_bytes,
        new.code_version,
        encode(&new.inputs)?,
        encode(&new.metadata)?,
        encode(&*new.stored)?,
    ]))
}

/// Versions without a run, from manifests; only tables that have nothing current are moved.
pub(super) async fn restore(
    connection: &mut SqliteConnection,
    environment: &str,
    versions: &[NewVersion],
    at: TimeMicros,
) -> Result<Reply> {
    let mut restored = 0;
    for new in versions {
        let label = |name: &str| new.stored.labels.get(name).cloned().unwrap_or_default();
        let row = json!([
            new.stored.version.to_string(),
            new.target.asset,
            label("run"),
            label("attempt"),
            new.io_manager,
            at,
            0,
            new.stored.row_count,
            new.stored.size_bytes,
            new.code_version,
            encode(&new.inputs)?,
            encode(&new.metadata)?,
            encode(&*new.stored)?,
        ]);
        insert_versions(connection, vec![row]).await?;
        let moved = sqlx::query(
            "insert into pointers
               (environment, asset, partition_key, epoch, version_id, published_at)
             values ($1, $2, $3, 1, $4, $5)
             on conflict (environment, asset, partition_key)
             do update set version_id = excluded.version_id, published_at = excluded.published_at
             where pointers.version_id is null",
        )
        .bind(environment)
        .bind(&new.target.asset)
        .bind(&new.target.partition_key)
        .bind(new.stored.version.to_string())
        .bind(at)
        .execute(&mut *connection)
        .await?;
        restored += usize::try_from(moved.rows_affected()).unwrap_or_default();
    }
    Ok(Reply::Restored(restored))
}
