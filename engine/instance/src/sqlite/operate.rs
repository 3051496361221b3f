//! What the daemon asks: what waits, what goes on, what has happened.

use async_trait::async_trait;

use super::SqliteReader;
use crate::operations::OperationsReader;
use crate::{
    FailedRun, Happening, Heartbeat, InstigatorRecord, LiveRun, Result, RunId, TickRecord,
};

#[async_trait]
impl OperationsReader for SqliteReader {
    async fn live(&self) -> Result<Vec<LiveRun>> {
        self.document(
            "select json_group_array(json_object('run_id', run_id, 'status', status,
               'tags', json(tags), 'priority', priority, 'created_at', created_at,
               'started_at', started_at, 'cancel_at', cancel_at, 'process', json(process),
               'lease_until', lease_until, 'launches', launches,
               'launch', json(launch)))
             from (select * from runs where status in ('queued', 'starting', 'started')
                   order by priority desc, created_at, run_id)",
            &[],
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
            "select json_group_array(json_object('tick_id', tick_id, 'instigator', instigator,
               'scheduled_at', scheduled_at, 'began_at', began_at, 'ended_at', ended_at,
               'status', status, 'run_ids', json(run_ids), 'suppressed', json(suppressed),
               'reason', reason, 'cursor', cursor))
             from (select * from ticks where instigator = $1
                   order by tick_id desc limit cast($2 as integer))",
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
               'job', r.job, 'selection', r.selection, 'origin', r.origin,
               'status', r.status, 'error', r.error))
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
}
