//! What people look through.

use async_trait::async_trait;
use serde_json::Value;

use super::DatabaseReader;
use super::read::{list, runs};
use super::write::text;
use crate::browse::{BrowseReader, CheckRow, RunFilter, StepEnd, StoredBytes, VersionRow};
use crate::{Result, RunId, RunRecord, TimeMicros};

/// Rows of `events` as a [`CheckRow`] has them.
macro_rules! checks {
    ($from:literal) => {
        concat!(
            "select json_group_array(json_object('event_id', event_id, 'run_id', run_id, 'at', at,
               'asset', asset, 'event', json(payload)))
             from (",
            $from,
            ") as e"
        )
    };
}

#[async_trait]
impl BrowseReader for DatabaseReader {
    async fn find_runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>> {
        // Documents are stored without spaces, so that a label is a text in them.
        let tag = filter.tag.as_ref().map(|(name, value)| match value {
            Some(value) => {
                format!("{}:{}", Value::from(name.as_str()), Value::from(value.as_str()))
            }
            None => format!("{}:", Value::from(name.as_str())),
        });
        self.document(
            runs!(
                "select * from runs
                 where ($1 is null or run_id < $1)
                   and ($2 is null or case when status = 'started' and cancel_at is not null
                     then 'canceling' else status end in (select atom from json_each($2)))
                   and ($3 is null or job = $3)
                   and ($4 is null or origin = $4)
                   and ($5 is null or replace(tags, $5, '') <> tags)
                   and ($6 is null or exists (select 1 from steps s where s.run_id = runs.run_id
                     and (s.step_key = $6 or s.step_key > $6
                       and substr(s.step_key, 1, length($6) + 1) = $6 || '[')))
                   and ($7 is null or created_at >= cast($7 as bigint)
                     or coalesce(ended_at, cast($7 as bigint)) >= cast($7 as bigint))
                 order by run_id desc limit cast($8 as bigint)"
            ),
            [
                filter.before.map(|before| before.to_string()),
                (!filter.statuses.is_empty()).then(|| list(&filter.statuses)).flatten(),
                filter.job.clone(),
                filter.origin.clone(),
                tag,
                filter.step.clone(),
                filter.since.map(|since| since.to_string()),
                text(&limit),
            ],
        )
        .await
    }

    async fn versions(
        &self,
        asset: &str,
        before: Option<TimeMicros>,
        limit: u32,
    ) -> Result<Vec<VersionRow>> {
        self.document(
            "select json_group_array(json_object('version', version_id, 'run_id', run_id,
               'created_at', created_at, 'duration_us', duration_us, 'row_count', row_count,
               'size_bytes', size_bytes,
               'partitions', coalesce(json_array_length(manifest->'$.partitions'), 0),
               'removed', json(case when removed_at is null then 'false' else 'true' end)))
             from (select * from versions
                   where asset = $1 and created_at < cast(coalesce($2, '9223372036854775807') as bigint)
                   order by created_at desc limit cast($3 as bigint)) as v",
            [text(&asset), before.map(|before| before.to_string()), text(&limit)],
        )
        .await
    }

    async fn last_checks(&self, asset: Option<&str>) -> Result<Vec<CheckRow>> {
        self.document(
            checks!(
                "select * from events where event_id in (
                   select max(event_id) from events
                   where kind = 'ASSET_CHECK_EVALUATION' and ($1 is null or asset = $1)
                   group by asset, payload->>'$.check')
                 order by event_id"
            ),
            [asset.map(str::to_owned)],
        )
        .await
    }

    async fn check_history(&self, asset: &str, check: &str, limit: u32) -> Result<Vec<CheckRow>> {
        self.document(
            checks!(
                "select * from events
                 where kind = 'ASSET_CHECK_EVALUATION' and asset = $1 and payload->>'$.check' = $2
                 order by event_id desc limit cast($3 as bigint)"
            ),
            [text(&asset), text(&check), text(&limit)],
        )
        .await
    }

    async fn last_ends(&self) -> Result<Vec<StepEnd>> {
        self.document(
            "select json_group_array(json_object('step_key', step_key, 'run_id', run_id, 'at', at,
               'failed', json(case when kind = 'STEP_FAILURE' then 'true' else 'false' end)))
             from events where event_id in (
               select max(event_id) from events
               where kind in ('STEP_FAILURE', 'STEP_CONFIRMED', 'STEP_REUSED')
               group by step_key)",
            [],
        )
        .await
    }

    async fn running_steps(&self) -> Result<Vec<(RunId, String)>> {
        self.document(
            "select json_group_array(json_array(s.run_id, s.step_key))
             from runs r join steps s on s.run_id = r.run_id
             where r.status = 'started' and s.state in ('running', 'up_for_retry')",
            [],
        )
        .await
    }

    async fn continued_by(&self, run_id: RunId) -> Result<Vec<RunId>> {
        self.document(
            "select json_group_array(run_id)
             from (select run_id from runs where parent_run_id = $1 order by run_id) as r",
            [text(&run_id)],
        )
        .await
    }

    async fn stored_bytes(&self) -> Result<Vec<StoredBytes>> {
        self.document(
            "select json_group_array(json_object('asset', asset, 'versions', n,
               'size_bytes', size_bytes))
             from (select asset, count(*) as n, cast(sum(size_bytes) as bigint) as size_bytes
                   from versions where removed_at is null
                   group by asset order by size_bytes desc) as v",
            [],
        )
        .await
    }
}
