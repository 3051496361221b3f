//! What is asked of the database without changing it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrowsmith_io_manager::Version;
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqlitePool};
use uuid::Uuid;

use super::write::word;
use crate::storage::Reader;
use crate::{
    BackfillId, BackfillRecord, DigestRecord, Error, EventRecord, Materialization, OutputRecord,
    PartitionPointer, PartitionTotals, Pointer, ProcessIdentity, Provenance, Result, RunId,
    RunRecord, RunStatus, StepRecord, StoredVersion, TimeMicros, VersionSummary,
};

/// Connections that read what is committed.
#[derive(Debug, Clone)]
pub(crate) struct SqliteReader {
    pool: SqlitePool,
}

pub(super) fn decode<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::Stored { what: what.to_owned(), reason: e.to_string() })
}

fn uuid(text: &str, what: &str) -> Result<Uuid> {
    Uuid::parse_str(text)
        .map_err(|e| Error::Stored { what: what.to_owned(), reason: e.to_string() })
}

/// Counts are written from unsigned numbers, so a negative one was never stored.
fn count(row: &SqliteRow, column: &str) -> u64 {
    row.get::<i64, _>(column).try_into().unwrap_or_default()
}

fn maybe_count(row: &SqliteRow, column: &str) -> Option<u64> {
    row.get::<Option<i64>, _>(column).and_then(|n| n.try_into().ok())
}

pub(super) fn maybe_run(text: Option<&str>) -> Result<Option<RunId>> {
    text.map(|text| uuid(text, "runs.run_id").map(RunId)).transpose()
}

impl SqliteReader {
    pub(crate) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// The one text that a query aggregates its rows to, since each row crosses threads by itself.
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        sql: &'static str,
        of: &[&str],
    ) -> Result<T> {
        let query = of.iter().fold(sqlx::query(sql), |query, argument| query.bind(*argument));
        decode(query.fetch_one(&self.pool).await?.get(0), "an aggregate")
    }

    /// The same of a query that is put together.
    pub(super) async fn document_of<T: DeserializeOwned>(&self, sql: String) -> Result<T> {
        let query = sqlx::query(sqlx::AssertSqlSafe(sql));
        decode(query.fetch_one(&self.pool).await?.get(0), "an aggregate")
    }

    async fn run_records(&self, rows: Vec<SqliteRow>) -> Result<Vec<RunRecord>> {
        let mut runs = Vec::with_capacity(rows.len());
        for row in rows {
            runs.push(self.run_record(&row).await?);
        }
        Ok(runs)
    }

    async fn run_record(&self, row: &SqliteRow) -> Result<RunRecord> {
        let run_id: String = row.get("run_id");
        let states =
            sqlx::query("select state, count(*) as n from steps where run_id = $1 group by state")
                .bind(&run_id)
                .fetch_all(&self.pool)
                .await?;
        Ok(RunRecord {
            run_id: RunId(uuid(&run_id, "runs.run_id")?),
            environment: row.get("environment"),
            selection: row.get("selection"),
            status: match word(row.get("status"), "runs")? {
                RunStatus::Started if row.get::<Option<i64>, _>("cancel_at").is_some() => {
                    RunStatus::Canceling
                }
                status => status,
            },
            tags: decode(row.get("tags"), "runs.tags")?,
            job: row.get("job"),
            parent: maybe_run(row.get("parent_run_id"))?,
            root: maybe_run(row.get("root_run_id"))?
                .map_or_else(|| uuid(&run_id, "runs.run_id").map(RunId), Ok)?,
            config: decode(row.get("config"), "runs.config")?,
            partitions: decode(row.get("partitions"), "runs.partitions")?,
            backfill: row
                .get::<Option<&str>, _>("backfill_id")
                .map(|text| uuid(text, "runs.backfill_id").map(BackfillId))
                .transpose()?,
            created_at: row.get("created_at"),
            started_at: row.get("started_at"),
            ended_at: row.get("ended_at"),
            error: row.get("error"),
            origin: row.get("origin"),
            launch: row
                .get::<Option<&str>, _>("launch")
                .map(|text| decode(text, "runs.launch"))
                .transpose()?,
            steps: states.iter().map(|row| (row.get("state"), count(row, "n"))).collect(),
        })
    }
}

/// Versions that must stay.
pub(super) const IN_USE: &str = "select version_id from pointers where version_id is not null
     union select version_id from pins
     union select version_id from attempts where status = 'running'
     union select o.version_id from outputs o
       join runs r on r.run_id = o.run_id where r.status = 'started'
     union select v.version_id from versions v
       join runs r on r.run_id = v.run_id where r.status = 'started'";

/// The columns of a [`VersionSummary`].
type FoundSummary = (Version, RunId, Option<String>, BTreeMap<String, Version>, Option<Provenance>);

#[async_trait]
impl Reader for SqliteReader {
    async fn dead_runs(&self, now: TimeMicros) -> Result<Vec<RunId>> {
        let found =
            sqlx::query("select run_id, process, lease_until from runs where status = 'started'")
                .fetch_all(&self.pool)
                .await?;
        let mut dead = Vec::new();
        for row in found {
            let process: ProcessIdentity = decode(row.get("process"), "runs.process")?;
            if row.get::<i64, _>("lease_until") < now || process.is_gone() {
                dead.push(RunId(uuid(row.get("run_id"), "runs.run_id")?));
            }
        }
        Ok(dead)
    }

    async fn live_runs(&self) -> Result<Vec<RunId>> {
        let found = sqlx::query("select run_id from runs where status = 'started'")
            .fetch_all(&self.pool)
            .await?;
        found.iter().map(|row| Ok(RunId(uuid(row.get("run_id"), "runs.run_id")?))).collect()
    }

    async fn pointers(&self, environment: &str) -> Result<BTreeMap<String, Pointer>> {
        let found = sqlx::query(
            "select p.asset, p.version_id, p.published_at, v.run_id,
               v.row_count, v.size_bytes, v.code_version, v.io_manager
             from pointers p join versions v on v.version_id = p.version_id
             where p.environment = $1 and p.partition_key = ''",
        )
        .bind(environment)
        .fetch_all(&self.pool)
        .await?;
        let pointer = |row: SqliteRow| {
            let asset: String = row.get("asset");
            let pointer = Pointer {
                asset: asset.clone(),
                version: Version(uuid(row.get("version_id"), "pointers.version_id")?),
                run_id: RunId(uuid(row.get("run_id"), "versions.run_id").unwrap_or_default()),
                published_at: row.get("published_at"),
                row_count: count(&row, "row_count"),
                size_bytes: count(&row, "size_bytes"),
                code_version: row.get("code_version"),
                io_manager: row.get("io_manager"),
            };
            Ok((asset, pointer))
        };
        found.into_iter().map(pointer).collect()
    }

    async fn partitions(&self, environment: &str, asset: &str) -> Result<Vec<PartitionPointer>> {
        let found: Vec<(String, Version, TimeMicros, u64, u64)> = self
            .document(
                "select json_group_array(
                   json_array(partition_key, version_id, published_at, row_count, size_bytes))
                 from pointers
                 where environment = $1 and asset = $2 and partition_key <> ''
                   and version_id is not null",
                &[environment, asset],
            )
            .await?;
        let pointer = |(partition_key, version, published_at, row_count, size_bytes)| {
            PartitionPointer { partition_key, version, published_at, row_count, size_bytes }
        };
        Ok(found.into_iter().map(pointer).collect())
    }

    async fn partition_totals(
        &self,
        environment: &str,
    ) -> Result<BTreeMap<String, PartitionTotals>> {
        let found = sqlx::query(
            "select asset, count(*) as partitions, sum(row_count) as row_count,
               sum(size_bytes) as size_bytes, max(published_at) as published_at
             from pointers
             where environment = $1 and partition_key <> '' and version_id is not null
             group by asset",
        )
        .bind(environment)
        .fetch_all(&self.pool)
        .await?;
        let totals = |row: SqliteRow| {
            let totals = PartitionTotals {
                partitions: count(&row, "partitions"),
                row_count: count(&row, "row_count"),
                size_bytes: count(&row, "size_bytes"),
                published_at: row.get("published_at"),
            };
            (row.get("asset"), totals)
        };
        Ok(found.into_iter().map(totals).collect())
    }

    async fn version_summaries(&self, versions: &[Version]) -> Result<Vec<VersionSummary>> {
        let versions = serde_json::to_string(versions).unwrap_or_default();
        let found: Vec<FoundSummary> = self
            .document(
                "select json_group_array(
                   json_array(version_id, run_id, code_version, json(inputs), json(provenance)))
                 from versions where version_id in (select value from json_each($1))",
                &[&versions],
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
                   order by version_id desc limit cast($3 as integer))",
                &[asset, code, &limit.to_string()],
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
        let versions = serde_json::to_string(versions).unwrap_or_default();
        self.document(
            "select json_group_array(json_object('version', version_id,
               'partition_key', partition_key, 'scan', scan, 'row_count', row_count,
               'digest', digest))
             from digests where version_id in (select value from json_each($1))",
            &[&versions],
        )
        .await
    }

    async fn code(&self, code: &str) -> Result<Option<String>> {
        let found = sqlx::query("select text from codes where code = $1")
            .bind(code)
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.map(|row| row.get("text")))
    }

    async fn dynamic_partitions(&self, name: &str) -> Result<Vec<String>> {
        self.document(
            "select json_group_array(partition_key) from (
               select partition_key from dynamic_partitions where name = $1 order by position)",
            &[name],
        )
        .await
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<BackfillRecord>> {
        let found = sqlx::query("select * from backfills order by backfill_id desc limit $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        found.iter().map(backfill).collect()
    }

    async fn backfills_like(&self, digits: &str) -> Result<Vec<BackfillRecord>> {
        let found = sqlx::query(
            "select * from backfills where replace(backfill_id, '-', '') like $1 || '%'
               or replace(backfill_id, '-', '') like '%' || $1 limit 50",
        )
        .bind(digits)
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(backfill).collect()
    }

    async fn runs_of_backfill(&self, backfill: BackfillId) -> Result<Vec<RunRecord>> {
        let found = sqlx::query("select * from runs where backfill_id = $1 order by run_id")
            .bind(backfill.to_string())
            .fetch_all(&self.pool)
            .await?;
        self.run_records(found).await
    }

    async fn materialization(&self, version: Version) -> Result<Option<Materialization>> {
        let found = sqlx::query("select * from versions where version_id = $1")
            .bind(version.to_string())
            .fetch_optional(&self.pool)
            .await?;
        found.map(|row| materialization(&row)).transpose()
    }

    async fn materializations(&self, asset: &str, limit: u32) -> Result<Vec<Materialization>> {
        let found = sqlx::query(
            "select * from versions where asset = $1 order by created_at desc limit $2",
        )
        .bind(asset)
        .bind(limit)
        .fetch_all(&self.pool)
        .await?;
        found.iter().map(materialization).collect()
    }

    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>> {
        let found = sqlx::query("select * from runs order by run_id desc limit $1")
            .bind(limit)
            .fetch_all(&self.pool)
            .await?;
        self.run_records(found).await
    }

    async fn runs_like(&self, digits: &str) -> Result<Vec<RunRecord>> {
        let found = sqlx::query(
            "select * from runs where replace(run_id, '-', '') like $1 || '%'
               or replace(run_id, '-', '') like '%' || $1 limit 50",
        )
        .bind(digits)
        .fetch_all(&self.pool)
        .await?;
        self.run_records(found).await
    }

    async fn steps(&self, run_id: RunId) -> Result<Vec<StepRecord>> {
        let found = sqlx::query("select * from steps where run_id = $1 order by position")
            .bind(run_id.to_string())
            .fetch_all(&self.pool)
            .await?;
        let step = |row: &SqliteRow| {
            Ok(StepRecord {
                step_key: row.get("step_key"),
                state: word(row.get("state"), "steps")?,
                attempt: row.get("attempt"),
                started_at: row.get("started_at"),
                ended_at: row.get("ended_at"),
                row_count: maybe_count(row, "row_count"),
                size_bytes: maybe_count(row, "size_bytes"),
                reason: row.get("reason"),
            })
        };
        found.iter().map(step).collect()
    }

    async fn outputs(&self, run_id: RunId) -> Result<Vec<OutputRecord>> {
        let found = sqlx::query("select * from outputs where run_id = $1 order by rowid")
            .bind(run_id.to_string())
            .fetch_all(&self.pool)
            .await?;
        let output = |row: &SqliteRow| {
            let mapping_key: String = row.get("mapping_key");
            let manifest: Option<&str> = row.get("manifest");
            Ok(OutputRecord {
                step_key: row.get("step_key"),
                output: row.get("output"),
                mapping_key: Some(mapping_key).filter(|key| !key.is_empty()),
                asset: row.get("asset"),
                io_manager: row.get("io_manager"),
                version: Version(uuid(row.get("version_id"), "outputs.version_id")?),
                metadata: decode(row.get("metadata"), "outputs.metadata")?,
                stored: manifest
                    .map(|text| decode(text, "outputs.manifest").map(Arc::new))
                    .transpose()?,
            })
        };
        found.iter().map(output).collect()
    }

    async fn events(&self, run_id: RunId, after: i64) -> Result<Vec<EventRecord>> {
        let found = sqlx::query(
            "select * from events where run_id = $1 and event_id > $2 order by event_id",
        )
        .bind(run_id.to_string())
        .bind(after)
        .fetch_all(&self.pool)
        .await?;
        let event = |row: &SqliteRow| {
            Ok(EventRecord {
                event_id: row.get("event_id"),
                at: row.get("at"),
                step_key: row.get("step_key"),
                asset: row.get("asset"),
                event: decode(row.get("payload"), "events.payload")?,
            })
        };
        found.iter().map(event).collect()
    }

    async fn versions_in_use(&self) -> Result<HashSet<Version>> {
        let found = sqlx::query(IN_USE).fetch_all(&self.pool).await?;
        found
            .iter()
            .map(|row| Ok(Version(uuid(row.get("version_id"), "pointers.version_id")?)))
            .collect()
    }
}

fn materialization(row: &SqliteRow) -> Result<Materialization> {
    Ok(Materialization {
        asset: row.get("asset"),
        run_id: RunId(uuid(row.get("run_id"), "versions.run_id").unwrap_or_default()),
        created_at: row.get("created_at"),
        duration_us: count(row, "duration_us"),
        io_manager: row.get("io_manager"),
        code_version: row.get("code_version"),
        inputs: decode(row.get("inputs"), "versions.inputs")?,
        metadata: decode(row.get("metadata"), "versions.metadata")?,
        stored: Arc::new(decode(row.get("manifest"), "versions.manifest")?),
    })
}

fn backfill(row: &SqliteRow) -> Result<BackfillRecord> {
    Ok(BackfillRecord {
        backfill_id: BackfillId(uuid(row.get("backfill_id"), "backfills.backfill_id")?),
        environment: row.get("environment"),
        status: word(row.get("status"), "backfills")?,
        selection: row.get("selection"),
        target: decode(row.get("target"), "backfills.target")?,
        tags: decode(row.get("tags"), "backfills.tags")?,
        process: decode(row.get("process"), "backfills.process")?,
        lease_until: row.get("lease_until"),
        created_at: row.get("created_at"),
        ended_at: row.get("ended_at"),
        error: row.get("error"),
    })
}
