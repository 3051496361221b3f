//! What the daemon asks: what waits, what goes on, what has happened.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;

use super::SqliteReader;
use super::system::page;
use crate::operations::OperationsReader;
use crate::{
    Counts, EvaluationRecord, Event, EventRecord, FailedRun, FreshnessChange, Happening, Heartbeat,
    InstigatorRecord, LiveRun, Result, RunId, RunStatus, SystemTable, TickRecord, TimeMicros,
};

/// Rows of `ticks` as a [`TickRecord`] has them.
macro_rules! ticks {
    () => {
        "json_group_array(json_object('tick_id', tick_id, 'instigator', instigator,
           'scheduled_at', scheduled_at, 'began_at', began_at, 'ended_at', ended_at,
           'status', status, 'run_ids', json(run_ids), 'suppressed', json(suppressed),
           'reason', reason, 'cursor', cursor))"
    };
}

#[async_trait]
impl OperationsReader for SqliteReader {
    async fn live(&self, statuses: &[RunStatus]) -> Result<Vec<LiveRun>> {
        let statuses = serde_json::to_string(statuses).unwrap_or_default();
        self.document(
            "select json_group_array(json_object('run_id', run_id, 'status', status,
               'tags', json(tags), 'priority', priority, 'created_at', created_at,
               'started_at', started_at, 'cancel_at', cancel_at, 'process', json(process),
               'lease_until', lease_until, 'launches', launches,
               'launch', json(launch)))
             from (select * from runs where status in (select value from json_each($1))
                   order by priority desc, created_at, run_id)",
            &[&statuses],
        )
        .await
    }

    async fn cancel_requested(&self, run_id: RunId) -> Result<bool> {
        self.document(
            "select json(case when exists (select 1 from runs where run_id = $1
               and (cancel_at is not null or status <> 'started')) then 'true' else 'false' end)",
            &[&run_id.to_string()],
        )
        .await
    }

    async fn failed(&self, limit: u32) -> Result<Vec<FailedRun>> {
        self.document(
            "select json_group_array(json_object('run_id', run_id, 'root', root_run_id,
               'environment', environment, 'launch', json(launch), 'tags', json(tags),
               'priority', priority, 'crashed', json(iif(crashed = 1, 'true', 'false')),
               'began', json(iif(exists (select 1 from steps s where s.run_id = runs.run_id),
                 'true', 'false'))))
             from runs where run_id in (
               select run_id from runs
               where status = 'failure' and launch is not null and retry is null
               order by run_id limit cast($1 as integer))",
            &[&limit.to_string()],
        )
        .await
    }

    async fn instigators(&self) -> Result<Vec<InstigatorRecord>> {
        self.document(
            "select json_group_array(json_object('name', name,
               'is_running', json(case is_running when 1 then 'true' when 0 then 'false' end),
               'ticked_until', ticked_until, 'cursor', cursor))
             from instigators",
            &[],
        )
        .await
    }

    async fn ticks(&self, instigator: &str, limit: u32) -> Result<Vec<TickRecord>> {
        self.document(
            concat!(
                "select ",
                ticks!(),
                " from (select * from ticks where instigator = $1
                   order by tick_id desc limit cast($2 as integer))"
            ),
            &[instigator, &limit.to_string()],
        )
        .await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>> {
        self.document(
            "select json_group_array(json_object('duty', duty, 'owner', owner, 'at', at,
               'error', error)) from heartbeats",
            &[],
        )
        .await
    }

    async fn happenings(&self, kinds: &[&str], after: i64, limit: u32) -> Result<Vec<Happening>> {
        let kinds = serde_json::to_string(kinds).unwrap_or_default();
        self.document(
            "select json_group_array(json_object('event_id', e.event_id, 'run_id', e.run_id,
               'at', e.at, 'asset', e.asset, 'partition_key', e.payload->>'$.partition_key',
               'job', r.job, 'selection', r.selection, 'origin', r.origin, 'retry', r.retry,
               'is_queued', json(iif(r.launch is null, 'false', 'true')), 'status', r.status, 'error', r.error))
             from (select * from events
                   where event_id > cast($2 as integer)
                     and kind in (select value from json_each($1))
                   order by event_id limit cast($3 as integer)) e
             join runs r on r.run_id = e.run_id",
            &[&kinds, &after.to_string(), &limit.to_string()],
        )
        .await
    }

    async fn last_event(&self) -> Result<i64> {
        self.document("select json(coalesce(max(event_id), 0)) from events", &[]).await
    }

    async fn conditions(&self) -> Result<HashMap<String, Value>> {
        self.document("select json_group_object(asset, json(state)) from conditions", &[]).await
    }

    async fn evaluations(&self, asset: &str, limit: u32) -> Result<Vec<EvaluationRecord>> {
        self.document(
            "select json_group_array(json_object('evaluation_id', evaluation_id, 'asset', asset,
               'at', at, 'requested', requested, 'tree', json(tree)))
             from (select * from evaluations where asset = $1
                   order by evaluation_id desc limit cast($2 as integer))",
            &[asset, &limit.to_string()],
        )
        .await
    }

    async fn freshness(&self) -> Result<Vec<FreshnessChange>> {
        self.document(
            "select json_group_array(json_object('change_id', change_id, 'asset', asset,
               'state', state, 'at', at))
             from freshness
             where change_id in (select max(change_id) from freshness group by asset)",
            &[],
        )
        .await
    }

    async fn freshness_after(&self, after: i64) -> Result<Vec<FreshnessChange>> {
        self.document(
            "select json_group_array(json_object('change_id', change_id, 'asset', asset,
               'state', state, 'at', at))
             from (select * from freshness where change_id > cast($1 as integer)
                   order by change_id limit 1000)",
            &[&after.to_string()],
        )
        .await
    }

    async fn events_after(
        &self,
        kinds: &[&str],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(RunId, EventRecord)>> {
        let kinds = serde_json::to_string(kinds).unwrap_or_default();
        let found: Vec<(RunId, i64, TimeMicros, Option<String>, Option<String>, Event)> = self
            .document(
                "select json_group_array(json_array(
                   run_id, event_id, at, step_key, asset, json(payload)))
                 from (select * from events
                       where event_id > cast($2 as integer)
                         and kind in (select value from json_each($1))
                       order by event_id limit cast($3 as integer))",
                &[&kinds, &after.to_string(), &limit.to_string()],
            )
            .await?;
        let record = |(run_id, event_id, at, step_key, asset, event)| {
            (run_id, EventRecord { event_id, at, step_key, asset, event })
        };
        Ok(found.into_iter().map(record).collect())
    }

    async fn system_rows(
        &self,
        table: &SystemTable,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Value>> {
        self.document_of(page(table, offset, limit)).await
    }

    async fn migration(&self) -> Result<i64> {
        self.document("select json(max(version)) from _sqlx_migrations where success", &[]).await
    }

    async fn last_tick(&self) -> Result<i64> {
        self.document("select json(coalesce(max(tick_id), 0)) from ticks", &[]).await
    }

    async fn failed_ticks_after(&self, after: i64) -> Result<Vec<TickRecord>> {
        self.document(
            concat!(
                "select ",
                ticks!(),
                " from (select * from ticks where tick_id > cast($1 as integer) and status = 'failure'
                   order by tick_id limit 200)"
            ),
            &[&after.to_string()],
        )
        .await
    }

    async fn counts(&self) -> Result<Counts> {
        self.document(
            "select json_object(
               'runs', (select json(json_group_object(status, n)) from
                 (select status, count(*) as n from runs group by status)),
               'steps', (select json(json_group_object(state, n)) from
                 (select state, count(*) as n from steps group by state)),
               'ticks', (select json(json_group_object(status, n)) from
                 (select status, count(*) as n from ticks group by status)),
               'slots', (select json(json_group_object(pool, n)) from
                 (select pool, count(*) as n from slots group by pool)),
               'materializations', (select count(*) from versions),
               'events', (select count(*) from events),
               'oldest_queued', (select min(created_at) from runs where status = 'queued'))",
            &[],
        )
        .await
    }
}
