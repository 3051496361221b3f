//! What the daemon asks: what waits, what goes on, what has happened.

use std::collections::HashMap;

use async_trait::async_trait;
use serde_json::Value;

use super::DatabaseReader;
use super::read::{FoundEvent, event, events, list};
use super::system::page;
use super::write::text;
use crate::operations::OperationsReader;
use crate::{
    Counts, EvaluationRecord, EventRecord, FailedRun, FreshnessChange, Happening, Heartbeat,
    InstigatorRecord, LiveRun, Result, RunId, RunStatus, SystemTable, TickRecord,
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
impl OperationsReader for DatabaseReader {
    async fn live(&self, statuses: &[RunStatus]) -> Result<Vec<LiveRun>> {
        self.document(
            "select json_group_array(json_object('run_id', run_id, 'status', status,
               'tags', json(tags), 'priority', priority, 'created_at', created_at,
               'started_at', started_at, 'cancel_at', cancel_at, 'process', json(process),
               'lease_until', lease_until, 'launches', launches,
               'launch', json(launch)))
             from (select * from runs where status in (select atom from json_each($1))
                   order by priority desc, created_at, run_id) as r",
            [list(statuses)],
        )
        .await
    }

    async fn cancel_requested(&self, run_id: RunId) -> Result<bool> {
        self.document(
            "select json(case when exists (select 1 from runs where run_id = $1
               and (cancel_at is not null or status <> 'started')) then 'true' else 'false' end)",
            [text(&run_id)],
        )
        .await
    }

    async fn failed(&self, limit: u32) -> Result<Vec<FailedRun>> {
        self.document(
            "select json_group_array(json_object('run_id', run_id, 'root', root_run_id,
               'environment', environment, 'launch', json(launch), 'tags', json(tags),
               'priority', priority, 'crashed', json(case when crashed = 1 then 'true' else 'false' end),
               'began', json(case when exists (select 1 from steps s where s.run_id = runs.run_id) then 'true' else 'false' end)))
             from runs where run_id in (
               select run_id from runs
               where status = 'failure' and launch is not null and retry is null
               order by run_id limit cast($1 as bigint))",
            [text(&limit)],
        )
        .await
    }

    async fn instigators(&self) -> Result<Vec<InstigatorRecord>> {
        self.document(
            "select json_group_array(json_object('name', name,
               'is_running', json(case is_running when 1 then 'true' when 0 then 'false' end),
               'ticked_until', ticked_until, 'cursor', cursor))
             from instigators",
            [],
        )
        .await
    }

    async fn ticks(&self, instigator: &str, limit: u32) -> Result<Vec<TickRecord>> {
        self.document(
            concat!(
                "select ",
                ticks!(),
                " from (select * from ticks where instigator = $1
                   order by tick_id desc limit cast($2 as bigint)) as t"
            ),
            [text(&instigator), text(&limit)],
        )
        .await
    }

    async fn heartbeats(&self) -> Result<Vec<Heartbeat>> {
        self.document(
            "select json_group_array(json_object('duty', duty, 'owner', owner, 'at', at,
               'error', error)) from heartbeats",
            [],
        )
        .await
    }

    async fn happenings(&self, kinds: &[&str], after: i64, limit: u32) -> Result<Vec<Happening>> {
        self.document(
            "select json_group_array(json_object('event_id', e.event_id, 'run_id', e.run_id,
               'at', e.at, 'asset', e.asset, 'partition_key', e.payload->>'$.partition_key',
               'job', r.job, 'selection', r.selection, 'tags', json(r.tags), 'origin', r.origin, 'retry', r.retry,
               'is_queued', json(case when r.launch is null then 'false' else 'true' end), 'status', r.status, 'error', r.error))
             from (select * from events
                   where event_id > cast($2 as bigint)
                     and kind in (select atom from json_each($1))
                   order by event_id limit cast($3 as bigint)) e
             join runs r on r.run_id = e.run_id",
            [list(kinds), text(&after), text(&limit)],
        )
        .await
    }

    async fn last_event(&self) -> Result<i64> {
        self.document("select coalesce(max(event_id), 0) from events", []).await
    }

    async fn conditions(&self) -> Result<HashMap<String, Value>> {
        self.document("select json_group_object(asset, json(state)) from conditions", []).await
    }

    async fn evaluations(&self, asset: &str, limit: u32) -> Result<Vec<EvaluationRecord>> {
        self.document(
            "select json_group_array(json_object('evaluation_id', evaluation_id, 'asset', asset,
               'at', at, 'requested', requested, 'tree', json(tree)))
             from (select * from evaluations where asset = $1
                   order by evaluation_id desc limit cast($2 as bigint)) as e",
            [text(&asset), text(&limit)],
        )
        .await
    }

    async fn freshness(&self) -> Result<Vec<FreshnessChange>> {
        self.document(
            "select json_group_array(json_object('change_id', change_id, 'asset', asset,
               'state', state, 'at', at))
             from freshness
             where change_id in (select max(change_id) from freshness group by asset)",
            [],
        )
        .await
    }

    async fn freshness_after(&self, after: i64) -> Result<Vec<FreshnessChange>> {
        self.document(
            "select json_group_array(json_object('change_id', change_id, 'asset', asset,
               'state', state, 'at', at))
             from (select * from freshness where change_id > cast($1 as bigint)
                   order by change_id limit 1000) as f",
            [text(&after)],
        )
        .await
    }

    async fn events_after(
        &self,
        kinds: &[&str],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(RunId, EventRecord)>> {
        let found: Vec<FoundEvent> = self
            .document(
                events!(
                    "select * from events
                     where event_id > cast($2 as bigint)
                       and kind in (select atom from json_each($1))
                     order by event_id limit cast($3 as bigint)"
                ),
                [list(kinds), text(&after), text(&limit)],
            )
            .await?;
        Ok(found.into_iter().map(event).collect())
    }

    async fn system_rows(
        &self,
        table: &SystemTable,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Value>> {
        self.document(&page(table, offset, limit), []).await
    }

    async fn migration(&self) -> Result<i64> {
        self.document("select max(version) from _sqlx_migrations where success", []).await
    }

    async fn last_tick(&self) -> Result<i64> {
        self.document("select coalesce(max(tick_id), 0) from ticks", []).await
    }

    async fn failed_ticks_after(&self, after: i64) -> Result<Vec<TickRecord>> {
        self.document(
            concat!(
                "select ",
                ticks!(),
                " from (select * from ticks where tick_id > cast($1 as bigint) and status = 'failure'
                   order by tick_id limit 200) as t"
            ),
            [text(&after)],
        )
        .await
    }

    async fn counts(&self) -> Result<Counts> {
        self.document(
            "select json_object(
               'runs', (select json(coalesce(json_group_object(status, n), '{}')) from
                 (select status, count(*) as n from runs group by status) as r),
               'steps', (select json(coalesce(json_group_object(state, n), '{}')) from
                 (select state, count(*) as n from steps group by state) as s),
               'ticks', (select json(coalesce(json_group_object(status, n), '{}')) from
                 (select status, count(*) as n from ticks group by status) as t),
               'slots', (select json(coalesce(json_group_object(pool, n), '{}')) from
                 (select pool, count(*) as n from slots group by pool) as s),
               'materializations', (select count(*) from versions),
               'events', (select count(*) from events),
               'oldest_queued', (select min(created_at) from runs where status = 'queued'))",
            [],
        )
        .await
    }
}
