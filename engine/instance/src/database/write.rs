//! Requests as one transaction.

mod backfill;
mod begin;
mod end;
mod operate;
mod publish;

use async_trait::async_trait;

use super::Connection;
use super::order::{disjoint, ordered};
use super::rows::{PublishRows, Rows, encode, push_new_pointers, push_version};
use super::script::Script;
use crate::request::{Operate, Reply, Request, ToPublish};
use crate::storage::Storage;
use crate::{DigestRecord, Error, Event, NewAttempt, Result, RunId, TimeMicros};

/// The one connection that writes.
#[derive(Debug)]
pub(crate) struct DatabaseWriter {
    connection: Connection,
}

/// A transaction that is being put together.
struct Transaction<'a> {
    connection: &'a mut Connection,
    script: Script,
    /// Inserted by one statement at the end.
    events: Rows,
}

impl DatabaseWriter {
    pub(super) fn new(connection: Connection) -> Self {
        Self { connection }
    }
}

#[async_trait]
impl Storage for DatabaseWriter {
    async fn apply(&mut self, requests: &[Request]) -> Result<Vec<Reply>> {
        self.connection.ready().await?;
        let dialect = self.connection.dialect();
        let script = Script::new(dialect);
        let mut transaction =
            Transaction { connection: &mut self.connection, script, events: Rows::default() };
        let applied = transaction.apply(requests).await;
        if applied.is_err() {
            // Fails when the transaction did not begin, which is as well.
            let mut script = Script::new(dialect);
            script.add("rollback", []);
            drop(script.run(&mut self.connection).await);
        }
        applied
    }
}

impl Transaction<'_> {
    async fn apply(&mut self, requests: &[Request]) -> Result<Vec<Reply>> {
        self.script.begin();
        let mut replies: Vec<(usize, Reply)> = Vec::with_capacity(requests.len());
        let order = ordered(requests);
        let mut places = order.as_slice();
        while let Some(first) = places.first() {
            let alike = |place: &&usize| are_alike(&requests[*first], &requests[**place]);
            let alike: Vec<&Request> =
                places.iter().take_while(alike).map(|place| &requests[*place]).collect();
            let (group, rest) = places.split_at(disjoint(&alike).max(1));
            places = rest;
            let of_group = group.iter().map(|place| &requests[*place]);
            let answers = match &requests[*first] {
                Request::Publish(_) => {
                    let publishes: Vec<&ToPublish> = of_group.filter_map(as_publish).collect();
                    let published = self.publish_all(&publishes).await?;
                    published.into_iter().map(Reply::Published).collect()
                }
                Request::Begin(_) => {
                    self.begin_all(of_group.filter_map(as_begin).flatten())?;
                    vec![Reply::Done; group.len()]
                }
                Request::RememberDigests(_) => {
                    self.remember_digests(of_group.filter_map(as_digests).flatten())?;
                    vec![Reply::Done; group.len()]
                }
                other => vec![self.apply_one(other).await?],
            };
            replies.extend(group.iter().copied().zip(answers));
        }
        replies.sort_unstable_by_key(|(place, _)| *place);
        if !self.events.is_empty() {
            self.script.add(
                "insert into events (run_id, step_key, asset, at, kind, payload, folded)
                 select value->>0, value->>1, value->>2, cast(value->>3 as bigint), value->>4,
                   value->>5, value->>6
                 from json_each($1)",
                [std::mem::take(&mut self.events).text()?],
            );
        }
        if requests.iter().any(Request::is_of_catalog) {
            self.script.add("update changes set count = count + 1", []);
        }
        self.script.add("commit", []);
        self.script.run(self.connection).await?;
        Ok(replies.into_iter().map(|(_, reply)| reply).collect())
    }

    fn remember_digests<'a>(
        &mut self,
        digests: impl Iterator<Item = &'a DigestRecord>,
    ) -> Result<()> {
        let mut rows = Rows::default();
        for of in digests {
            rows.push(&(of.version, &of.partition_key, &of.scan, of.row_count, &of.digest))?;
        }
        self.script.add(
            "insert into digests (version_id, partition_key, scan, row_count, digest)
             select value->>0, value->>1, value->>2, cast(value->>3 as bigint), value->>4
             from json_each($1) where true on conflict do nothing",
            [rows.text()?],
        );
        Ok(())
    }

    async fn apply_one(&mut self, request: &Request) -> Result<Reply> {
        match request {
            Request::StartRun(run) => return Ok(Reply::Was(self.start_run(run).await?)),
            Request::Operate(operate) => return self.operate(operate).await,
            Request::Renew { run_id, lease_until } => self.script.add(
                "update runs set lease_until = $1 where run_id = $2 and status = 'started'",
                [text(lease_until), text(run_id)],
            ),
            Request::EndAttempt(end) => self.end_attempt(end).await?,
            Request::EndSteps(ends) => self.end_steps(ends).await?,
            Request::EndRun(end) => self.end_run(end).await?,
            Request::ReplaceSteps(replace) => self.replace_steps(replace)?,
            Request::Tell(told) => {
                for tell in told {
                    let (step, asset) = (tell.step_key.as_deref(), tell.asset.as_deref());
                    self.tell(tell.run_id, step, asset, tell.at, &tell.event)?;
                }
            }
            Request::Condemn { versions, at } => return self.condemn(versions, *at).await,
            Request::Restore { environment, versions, at } => {
                return self.restore(environment, versions, *at).await;
            }
            Request::SetDynamicPartitions { name, add, remove, at } => {
                self.set_dynamic_partitions(name, [add, remove], *at)?;
            }
            Request::SaveBackfill(backfill) => self.save_backfill(backfill)?,
            Request::SetProvenance(of) => {
                let mut rows = Rows::default();
                for (version, provenance) in of {
                    rows.push(&(version, provenance))?;
                }
                self.script.add(
                    "update versions set provenance = e.value->>1
                     from json_each($1) e where versions.version_id = e.value->>0",
                    [rows.text()?],
                );
            }
            Request::RememberCode { code, text: says } => self.script.add(
                "insert into codes (code, text) values ($1, $2) on conflict do nothing",
                [text(code), text(says)],
            ),
            Request::Begin(_) | Request::Publish(_) | Request::RememberDigests(_) => {}
        }
        Ok(Reply::Done)
    }

    async fn operate(&mut self, request: &Operate) -> Result<Reply> {
        match request {
            Operate::EnqueueBackfill { backfill, run } => {
                self.save_backfill(backfill)?;
                self.enqueue_all(std::slice::from_ref(run)).await?;
            }
            Operate::Enqueue(runs) => return Ok(Reply::Ticked(self.enqueue_all(runs).await?)),
            Operate::Tick { tick, leader } => {
                return Ok(Reply::Ticked(self.tick(tick, *leader).await?));
            }
            Operate::SetInstigator { name, set, at } => self.set_instigator(name, set, *at),
            Operate::Lead { name, owner, now, until } => {
                return Ok(Reply::Lead(self.lead(name, owner, *now, *until).await?));
            }
            Operate::Resign { owner } => self.resign(owner),
            Operate::Claim { run_id, leader, process, times } => {
                return Ok(Reply::Was(self.claim(*run_id, *leader, process, *times).await?));
            }
            Operate::GiveBack { run_id, at } => {
                return Ok(Reply::Was(self.give_back(*run_id, *at).await?));
            }
            Operate::Cancel { run_id, at } => self.cancel(*run_id, *at).await?,
            Operate::DecideRetry { failed, retry } => {
                self.decide_retry(*failed, retry.as_deref()).await?;
            }
            Operate::TakeSlot { pool, limit, run_id, step_key, at } => {
                let taken = self.take_slot(pool, *limit, *run_id, step_key, *at).await?;
                return Ok(Reply::Was(taken));
            }
            Operate::FreeSlot { run_id, step_key } => self.free_slot(*run_id, step_key),
            Operate::Beat(beats) => self.beat(beats)?,
            Operate::Freshness { states, at } => self.script.add(
                "insert into freshness (asset, state, at)
                 select value->>0, value->>1, $2 from json_each($1)",
                [Some(encode(states)?), text(at)],
            ),
            Operate::Forget(forget) => return self.forget(forget).await,
        }
        Ok(Reply::Done)
    }

    fn tell(
        &mut self,
        run_id: RunId,
        step_key: Option<&str>,
        asset: Option<&str>,
        at: TimeMicros,
        event: &Event,
    ) -> Result<()> {
        self.events.push_event((run_id, step_key, asset), at, event)
    }
}

/// Whether requests share their statements.
fn are_alike(one: &Request, other: &Request) -> bool {
    use Request::{Begin, Publish, RememberDigests};
    matches!(
        (one, other),
        (Publish(_), Publish(_)) | (Begin(_), Begin(_)) | (RememberDigests(_), RememberDigests(_))
    )
}

fn as_digests(request: &Request) -> Option<&[DigestRecord]> {
    match request {
        Request::RememberDigests(digests) => Some(digests),
        _ => None,
    }
}

fn as_publish(request: &Request) -> Option<&ToPublish> {
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

pub(super) fn text(value: &impl ToString) -> Option<String> {
    Some(value.to_string())
}

pub(super) fn word<T: std::str::FromStr<Err = String>>(text: &str, table: &str) -> Result<T> {
    text.parse().map_err(|reason| Error::Stored { what: format!("a row of {table}"), reason })
}
