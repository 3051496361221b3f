//! What is asked of the database without changing it: each question is answered by one document,
//! since each row would cross threads by itself.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrowsmith_io_manager::Version;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Pool;
use super::write::text;
use crate::storage::Reader;
use crate::{
    BackfillId, BackfillRecord, DigestRecord, Error, Event, EventRecord, Materialization,
    OutputRecord, PartitionPointer, PartitionTotals, Pointer, ProcessIdentity, Provenance, Result,
    RunId, RunRecord, StepRecord, StoredVersion, TimeMicros, VersionSummary,
};

/// Connections that read what is committed.
#[derive(Debug, Clone)]
pub(crate) struct DatabaseReader {
    pool: Pool,
}

pub(super) fn decode<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::Stored { what: what.to_owned(), reason: e.to_string() })
}

impl DatabaseReader {
    pub(super) fn new(pool: Pool) -> Self {
        Self { pool }
    }

    /// The document that a query aggregates its rows to. PostgreSQL makes none of no rows.
    pub(super) async fn document<T: DeserializeOwned + Default, const N: usize>(
        &self,
        sql: &str,
        of: [Option<String>; N],
    ) -> Result<T> {
        let found = self.pool.ask(sql, of).await?;
        found.map_or_else(|| Ok(T::default()), |found| decode(&found, "an aggregate"))
    }
}

/// Rows of `runs` as a [`RunRecord`] has them.
macro_rules! runs {
    ($from:literal) => {
        concat!(
            "select json_group_array(json_object('run_id', run_id, 'environment', environment,
               'selection', selection,
               'status', case when status = 'started' and cancel_at is not null then 'canceling'
                 else status end,
               'tags', json(tags), 'job', job, 'parent', parent_run_id,
               'root', coalesce(root_run_id, run_id), 'config', json(config),
               'partitions', json(partitions), 'backfill', backfill_id,
               'created_at', created_at, 'started_at', started_at, 'ended_at', ended_at,
               'error', error, 'origin', origin, 'launch', json(launch),
               'steps', (select json(coalesce(json_group_object(state, n), '{}')) from
                 (select state, count(*) as n from steps s where s.run_id = r.run_id
                  group by state) as states)))
             from (",
            $from,
            ") as r"
        )
    };
}

pub(super) use runs;

/// Rows of `backfills` as a [`BackfillRecord`] has them.
macro_rules! backfills {
    ($from:literal) => {
        concat!(
            "select json_group_array(json_object('backfill_id', backfill_id,
               'environment', environment, 'status', status, 'selection', selection,
               'target', json(target), 'tags', json(tags), 'process', json(process),
               'lease_until', lease_until, 'created_at', created_at, 'ended_at', ended_at,
               'error', error))
             from (",
            $from,
            ") as b"
        )
    };
}

/// Rows of `versions` as a [`FoundVersion`] has them.
macro_rules! versions {
    ($from:literal) => {
        concat!(
            "select json_group_array(json_array(asset, run_id, created_at, duration_us, io_manager,
               code_version, json(inputs), json(metadata), json(manifest)))
             from (",
            $from,
            ") as v"
        )
    };
}

/// Rows of `events` as a [`FoundEvent`] has them.
macro_rules! events {
    ($from:literal) => {
        concat!(
            "select json_group_array(json_array(run_id, event_id, at, step_key, asset,
               json(payload), json(folded)))
             from (",
            $from,
            ") as e"
        )
    };
}
pub(super) use events;

/// Versions that must stay.
macro_rules! in_use {
    () => {
        "select version_id from pointers where version_id is not null
         union select version_id from pins
         union select version_id from attempts where status = 'running'
         union select o.version_id from outputs o
           join runs r on r.run_id = o.run_id where r.status = 'started'
         union select v.version_id from versions v
           join runs r on r.run_id = v.run_id where r.status = 'started'"
    };
}
pub(super) use in_use;

/// The columns of a [`VersionSummary`].
type FoundSummary = (Version, RunId, Option<String>, BTreeMap<String, Version>, Option<Provenance>);

/// The run and the columns of an [`EventRecord`].
pub(super) type FoundEvent =
    (RunId, i64, TimeMicros, Option<String>, Option<String>, Event, Option<Vec<Event>>);

/// The columns of a [`Pointer`].
type FoundPointer = (String, Version, TimeMicros, String, u64, u64, Option<String>, String);

/// The columns of a [`Materialization`]. A version that was restored from its manifest may have no
/// run that is known.
type FoundVersion = (
    String,
    String,
    TimeMicros,
    u64,
    String,
    Option<String>,
    BTreeMap<String, Version>,
    BTreeMap<String, Value>,
    Arc<arrowsmith_io_manager::StoredTable>,
);

#[async_trait]
impl Reader for DatabaseReader {
    async fn dead_runs(&self, now: TimeMicros) -> Result<Vec<RunId>> {
        let found: Vec<(RunId, ProcessIdentity, TimeMicros)> = self
            .document(
                "select json_group_array(json_array(run_id, json(process), lease_until))
                 from runs where status = 'started'",
                [],
            )
            .await?;
        let dead = |(run_id, process, lease_until): (_, ProcessIdentity, _)| {
            (lease_until < now || process.is_gone()).then_some(run_id)
        };
        Ok(found.into_iter().filter_map(dead).collect())
    }

    async fn live_runs(&self) -> Result<Vec<RunId>> {
        self.document("select json_group_array(run_id) from runs where status = 'started'", [])
            .await
    }

    async fn pointers(&self, environment: &str) -> Result<BTreeMap<String, Pointer>> {
        let found: Vec<FoundPointer> = self
            .document(
                "select json_group_array(json_array(p.asset, p.version_id, p.published_at, v.run_id,
                   v.row_count, v.size_bytes, v.code_version, v.io_manager))
                 from pointers p join versions v on v.version_id = p.version_id
                 where p.environment = $1 and p.partition_key = ''",
                [text(&environment)],
            )
            .await?;
        Ok(found.into_iter().map(pointer).map(|p| (p.asset.clone(), p)).collect())
    }

    async fn partitions(&self, environment: &str, asset: &str) -> Result<Vec<PartitionPointer>> {
        self.document(
            "select json_group_array(json_object('partition_key', partition_key,
               'version', version_id, 'published_at', published_at, 'row_count', row_count,
               'size_bytes', size_bytes))
             from pointers
             where environment = $1 and asset = $2 and partition_key <> ''
               and version_id is not null",
            [text(&environment), text(&asset)],
        )
        .await
    }

    async fn partition_totals(
        &self,
        environment: &str,
    ) -> Result<BTreeMap<String, PartitionTotals>> {
        self.document(
            "select json_group_object(asset, json_object('partitions', partitions,
               'row_count', row_count, 'size_bytes', size_bytes, 'published_at', published_at))
             from (select asset, count(*) as partitions, sum(row_count) as row_count,
                     sum(size_bytes) as size_bytes, max(published_at) as published_at
                   from pointers
                   where environment = $1 and partition_key <> '' and version_id is not null
                   group by asset) as totals",
            [text(&environment)],
        )
        .await
    }

    async fn version_summaries(&self, versions: &[Version]) -> Result<Vec<VersionSummary>> {
        let found: Vec<FoundSummary> = self
            .document(
                "select json_group_array(
                   json_array(version_id, run_id, code_version, json(inputs), json(provenance)))
                 from versions where version_id in (select atom from json_each($1))",
                [list(versions)],
            )
            .await?;
        let summary = |(version, run_id, code_version, inputs, provenance)| VersionSummary {
            version,
            run_id,
            code_version,
            inputs,
            provenance,
        };
        Ok(found.into_iter().map(summary).collect())
    }

    async fn stored_versions(
        &self,
        asset: &str,
        code: &str,
        limit: u32,
    ) -> Result<Vec<StoredVersion>> {
        let found: Vec<(Version, Option<Vec<String>>, Provenance)> = self
            .document(
                "select json_group_array(json_array(
                   version_id, json(manifest->'$.partitions'), json(provenance)))
                 from (
                   select version_id, manifest, provenance from versions
                   where asset = $1 and provenance->>'$.code' = $2 and removed_at is null
                   order by version_id desc limit cast($3 as bigint)) as v",
                [text(&asset), text(&code), text(&limit)],
            )
            .await?;
        let stored = |(version, partitions, provenance): (_, Option<_>, _)| StoredVersion {
            version,
            partitions: partitions.unwrap_or_default(),
            provenance,
        };
        Ok(found.into_iter().map(stored).collect())
    }

    async fn digests(&self, versions: &[Version]) -> Result<Vec<DigestRecord>> {
        self.document(
            "select json_group_array(json_object('version', version_id,
               'partition_key', partition_key, 'scan', scan, 'row_count', row_count,
               'digest', digest))
             from digests where version_id in (select atom from json_each($1))",
            [list(versions)],
        )
        .await
    }

    async fn code(&self, code: &str) -> Result<Option<String>> {
        let found: Vec<String> = self
            .document("select json_group_array(text) from codes where code = $1", [text(&code)])
            .await?;
        Ok(found.into_iter().next())
    }

    async fn dynamic_partitions(&self, name: &str) -> Result<Vec<String>> {
        self.document(
            "select json_group_array(partition_key) from (
               select partition_key from dynamic_partitions where name = $1 order by position
             ) as d",
            [text(&name)],
        )
        .await
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<BackfillRecord>> {
        self.document(
            backfills!(
                "select * from backfills order by backfill_id desc limit cast($1 as bigint)"
            ),
            [text(&limit)],
        )
        .await
    }

    async fn backfills_like(&self, digits: &str) -> Result<Vec<BackfillRecord>> {
        self.document(
            backfills!(
                "select * from backfills where replace(backfill_id, '-', '') like $1 || '%'
                   or replace(backfill_id, '-', '') like '%' || $1 limit 50"
            ),
            [text(&digits)],
        )
        .await
    }

    async fn runs_of_backfill(&self, backfill: BackfillId) -> Result<Vec<RunRecord>> {
        self.document(
            runs!("select * from runs where backfill_id = $1 order by run_id"),
            [text(&backfill)],
        )
        .await
    }

    async fn materialization(&self, version: Version) -> Result<Option<Materialization>> {
        let found: Vec<FoundVersion> = self
            .document(versions!("select * from versions where version_id = $1"), [text(&version)])
            .await?;
        Ok(found.into_iter().next().map(materialization))
    }

    async fn materializations(&self, asset: &str, limit: u32) -> Result<Vec<Materialization>> {
        let found: Vec<FoundVersion> = self
            .document(
                versions!(
                    "select * from versions where asset = $1
                     order by created_at desc limit cast($2 as bigint)"
                ),
                [text(&asset), text(&limit)],
            )
            .await?;
        Ok(found.into_iter().map(materialization).collect())
    }

    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>> {
        self.document(
            runs!("select * from runs order by run_id desc limit cast($1 as bigint)"),
            [text(&limit)],
        )
        .await
    }

    async fn runs_like(&self, digits: &str) -> Result<Vec<RunRecord>> {
        if let Ok(whole) = uuid::Uuid::try_parse(digits) {
            let of = [text(&whole)];
            return self.document(runs!("select * from runs where run_id = $1"), of).await;
        }
        self.document(
            runs!(
                "select * from runs where replace(run_id, '-', '') like $1 || '%'
                   or replace(run_id, '-', '') like '%' || $1 limit 50"
            ),
            [text(&digits)],
        )
        .await
    }

    async fn steps(&self, run_id: RunId) -> Result<Vec<StepRecord>> {
        self.document(
            "select json_group_array(json_object('step_key', step_key, 'state', state,
               'attempt', attempt, 'started_at', started_at, 'ended_at', ended_at,
               'row_count', row_count, 'size_bytes', size_bytes, 'reason', reason))
             from (select * from steps where run_id = $1 order by position) as s",
            [text(&run_id)],
        )
        .await
    }

    async fn outputs(&self, run_id: RunId) -> Result<Vec<OutputRecord>> {
        self.document(
            "select json_group_array(json_object('step_key', step_key, 'output', output,
               'mapping_key', case when mapping_key <> '' then mapping_key end, 'asset', asset,
               'io_manager', io_manager, 'version', version_id, 'metadata', json(metadata),
               'stored', json(manifest)))
             from (select * from outputs where run_id = $1 order by rowid) as o",
            [text(&run_id)],
        )
        .await
    }

    async fn events(&self, run_id: RunId, after: i64) -> Result<Vec<EventRecord>> {
        let found: Vec<FoundEvent> = self
            .document(
                events!(
                    "select * from events where run_id = $1 and event_id > cast($2 as bigint)
                     order by event_id"
                ),
                [text(&run_id), text(&after)],
            )
            .await?;
        Ok(found.into_iter().flat_map(with_folded).collect())
    }

    async fn versions_in_use(&self) -> Result<HashSet<Version>> {
        let sql = concat!("select json_group_array(version_id) from (", in_use!(), ") as u");
        self.document(sql, []).await
    }
}

/// Many values as one argument.
pub(super) fn list<T: serde::Serialize>(values: &[T]) -> Option<String> {
    // Ids and words are always text.
    Some(serde_json::to_string(values).unwrap_or_default())
}

fn run_of(text: &str) -> RunId {
    RunId(text.parse().unwrap_or_default())
}

pub(super) fn event(found: FoundEvent) -> (RunId, EventRecord) {
    let (run_id, event_id, at, step_key, asset, event, _) = found;
    (run_id, EventRecord { event_id, at, step_key, asset, event })
}

/// What a step told in front of an event, and then the event.
fn with_folded(mut found: FoundEvent) -> impl Iterator<Item = EventRecord> {
    let folded = found.6.take().unwrap_or_default();
    let (_, own) = event(found);
    let (event_id, at, step) = (own.event_id, own.at, own.step_key.clone());
    let of = move |event| EventRecord { event_id, at, step_key: step.clone(), asset: None, event };
    folded.into_iter().map(of).chain(std::iter::once(own))
}

fn pointer(found: FoundPointer) -> Pointer {
    let (asset, version, published_at, run, row_count, size_bytes, code_version, io_manager) =
        found;
    let run_id = run_of(&run);
    Pointer {
        asset,
        version,
        run_id,
        published_at,
        row_count,
        size_bytes,
        code_version,
        io_manager,
    }
}

fn materialization(found: FoundVersion) -> Materialization {
    let (asset, run, created_at, duration_us, io_manager, code_version, inputs, metadata, stored) =
        found;
    let run_id = run_of(&run);
    Materialization {
        asset,
        run_id,
        created_at,
        duration_us,
        io_manager,
        code_version,
        inputs,
        metadata,
        stored,
    }
}
