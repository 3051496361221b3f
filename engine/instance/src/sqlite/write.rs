//! Requests as one transaction.

mod begin;
mod end;
mod publish;

use async_trait::async_trait;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::request::{Reply, Request};
use crate::storage::Storage;
use crate::{Error, Event, NewAttempt, Publish, Result, RunId, TimeMicros};
use begin::{begin_all, start_run};
use end::{end_attempt, end_run, end_steps};
use publish::{publish_all, restore};

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct SqliteWriter {
    connection: SqliteConnection,
}

/// Events of a transaction; they are inserted by one statement at its end.
#[derive(Default)]
struct Events(Vec<Value>);

impl Events {
    fn add(
        &mut self,
        run_id: RunId,
        step_key: Option<&str>,
        asset: Option<&str>,
        at: TimeMicros,
        event: &Event,
    ) -> Result<()> {
        let payload = encode(event)?;
        let run = run_id.to_string();
        self.0.push(json!([run, step_key, asset, at, event.kind(), payload]));
        Ok(())
    }
}

fn encode(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::Stored { what: "a request".to_owned(), reason: e.to_string() })
}

fn rows(values: Vec<Value>) -> String {
    Value::Array(values).to_string()
}

impl SqliteWriter {
    pub(crate) fn new(connection: SqliteConnection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl Storage for SqliteWriter {
    async fn apply(&mut self, requests: &[Request]) -> Result<Vec<Reply>> {
        let mut transaction = self.connection.begin_with("begin immediate").await?;
        let connection = &mut *transaction;
        let mut events = Events::default();
        let mut replies = Vec::with_capacity(requests.len());
        let mut at = 0;
        while let Some(request) = requests.get(at) {
            let same = |next: &&Request| match request {
                Request::Publish(_) => matches!(next, Request::Publish(_)),
                Request::Begin(_) => matches!(next, Request::Begin(_)),
                _ => false,
            };
            let alike = 1 + requests[at + 1..].iter().take_while(same).count();
            let group = &requests[at..at + alike];
            match request {
                Request::Publish(_) => {
                    let publishes: Vec<&Publish> = group.iter().filter_map(as_publish).collect();
                    let published = publish_all(connection, &publishes, &mut events).await?;
                    replies.extend(published.into_iter().map(Reply::Published));
                }
                Request::Begin(_) => {
                    let begins: Vec<&[NewAttempt]> = group.iter().filter_map(as_begin).collect();
                    let begun = begin_all(connection, &begins, &mut events).await?;
                    replies.extend(begun.into_iter().map(Reply::Begun));
                }
                other => replies.push(apply_one(connection, other, &mut events).await?),
            }
            at += alike;
        }
        insert_events(connection, events).await?;
        transaction.commit().await?;
        Ok(replies)
    }
}

fn as_publish(request: &Request) -> Option<&Publish> {
    match request {
        Request::Publish(publish) => Some(publish),
        _ => None,
    }
}

fn as_begin(request: &Request) -> Option<&[NewAttempt]> {
    match request {
        Request::Begin(attempts) => Some(attempts),
        _ => None,
    }
}

async fn apply_one(
    connection: &mut SqliteConnection,
    request: &Request,
    events: &mut Events,
) -> Result<Reply> {
    match request {
        Request::StartRun(run) => start_run(connection, run, events).await?,
        Request::Renew { run_id, lease_until } => {
            sqlx::query(
                "update runs set lease_until = $1 where run_id = $2 and status = 'started'",
            )
            .bind(lease_until)
            .bind(run_id.to_string())
            .execute(connection)
            .await?;
        }
        Request::EndAttempt(end) => end_attempt(connection, end, events).await?,
        Request::EndSteps(ends) => end_steps(connection, ends, events).await?,
        Request::EndRun(end) => end_run(connection, end, events).await?,
        Request::MarkRemoved { versions, at } => {
            let ids = versions.iter().map(|v| json!(v.to_string())).collect();
            sqlx::query(
                "update versions set removed_at = $1
                 where version_id in (select value from json_each($2))",
            )
            .bind(at)
            .bind(rows(ids))
            .execute(connection)
            .await?;
        }
        Request::Restore { environment, versions, at } => {
            return restore(connection, environment, versions, *at).await;
        }
        Request::Begin(_) | Request::Publish(_) => {}
    }
    Ok(Reply::Done)
}

pub(super) fn word<T: std::str::FromStr<Err = String>>(text: &str, table: &str) -> Result<T> {
    text.parse().map_err(|reason| Error::Stored { what: format!("a row of {table}"), reason })
}

async fn insert_events(connection: &mut SqliteConnection, events: Events) -> Result<()> {
    if events.0.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into events (run_id, step_key, asset, at, kind, payload)
         select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5
         from json_each($1)",
    )
    .bind(rows(events.0))
    .execute(connection)
    .await?;
    Ok(())
}
