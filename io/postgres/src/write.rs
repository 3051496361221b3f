//! The write path: one transaction makes the table, fills it by `COPY`, and seals it.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{
    Error, PartitionRows, PartitionedWrite, Result, StoredFile, StoredTable, encode_key,
};
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use futures::StreamExt;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::mpsc;

use crate::copy::encode;
use crate::database::{Database, identifier, refused, relation, totals};
use crate::types::PARTITION;

/// Encoded batches that wait for the database.
const WAITING_MAX: usize = 4;

/// Writes all partitions of a plan as one table.
pub(crate) async fn write(
    database: &Database,
    (plan, context): (Arc<dyn ExecutionPlan>, Arc<TaskContext>),
    cut: Option<PartitionedWrite>,
    mut columns: Vec<String>,
    stored: StoredTable,
) -> Result<StoredTable> {
    let table = stored.table.clone();
    let failed = |error| refused("write", &table, error);
    let mut connection = database.connect("write", &table).await?;
    // Dropping it takes everything back.
    let mut writing = connection.begin().await.map_err(failed)?;
    let relation = relation(stored.version);
    if cut.is_some() {
        columns.push(format!("{PARTITION} text not null"));
    }
    let create = format!("create table {relation} ({})", columns.join(", "));
    writing.execute(sqlx::raw_sql(AssertSqlSafe(create))).await.map_err(failed)?;

    let streams = execute_stream_partitioned(plan, context).map_err(Error::query)?;
    let (send, receive) = mpsc::channel(WAITING_MAX);
    let mut encoders = JoinSet::new();
    for stream in streams {
        let (cut, send) = (cut.clone(), send.clone());
        encoders.spawn(encode_stream(stream, cut, send));
    }
    drop(send);
    let copied = copy(&mut writing, &relation, receive).await.map_err(failed);
    // Why the rows ended early is told by the query, not by the database that missed them.
    while let Some(encoded) = encoders.join_next().await {
        match encoded {
            Ok(encoded) => encoded?,
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => return Err(Error::query(DataFusionError::ExecutionJoin(Box::new(e)))),
        }
    }
    copied?;
    let stored = seal(&mut writing, stored, &relation).await.map_err(failed)?;
    writing.commit().await.map_err(failed)?;
    Ok(stored)
}

/// Sends what the encoders make; ends early, and without rows, if one of them does.
async fn copy(
    connection: &mut PgConnection,
    relation: &str,
    mut lines: mpsc::Receiver<Option<Vec<u8>>>,
) -> sqlx::Result<()> {
    let statement = format!("copy {relation} from stdin");
    let mut copy = connection.copy_in_raw(&statement).await?;
    while let Some(lines) = lines.recv().await {
        let Some(lines) = lines else {
            return copy.abort("the query failed").await;
        };
        copy.send(lines).await?;
    }
    copy.finish().await.map(|_rows| ())
}

/// Encodes the rows of one stream; `None` is sent if that cannot be done.
async fn encode_stream(
    stream: SendableRecordBatchStream,
    cut: Option<PartitionedWrite>,
    send: mpsc::Sender<Option<Vec<u8>>>,
) -> Result<()> {
    let encoded = encode_batches(stream, cut, &send).await;
    if encoded.is_err() {
        // Nobody who listens is nobody who waits.
        send.send(None).await.ok();
    }
    encoded
}

async fn encode_batches(
    mut stream: SendableRecordBatchStream,
    cut: Option<PartitionedWrite>,
    send: &mpsc::Sender<Option<Vec<u8>>>,
) -> Result<()> {
    let mut rows = cut.map(PartitionRows::new);
    while let Some(batch) = stream.next().await.transpose().map_err(Error::query)? {
        let parts: Vec<(Option<String>, RecordBatch)> = match &mut rows {
            None => vec![(None, batch)],
            Some(rows) => {
                rows.add(batch)?;
                let of_key = |(key, batches): (String, Vec<RecordBatch>)| {
                    batches.into_iter().map(move |batch| (Some(key.clone()), batch))
                };
                rows.drain().into_iter().flat_map(of_key).collect()
            }
        };
        for (key, batch) in parts {
            let lines = encode(&batch, key.as_deref()).map_err(Error::query)?;
            if send.send(Some(lines)).await.is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Counts what has arrived, and records the manifest.
async fn seal(
    connection: &mut PgConnection,
    mut stored: StoredTable,
    relation: &str,
) -> sqlx::Result<StoredTable> {
    let (rows, checksum) = totals(connection, relation).await?;
    let size = sqlx::query_scalar("select pg_total_relation_size($1::regclass)").bind(relation);
    let size: i64 = size.fetch_one(&mut *connection).await?;
    let size = u64::try_from(size).unwrap_or(0);
    let file = |path, row_count, size_bytes| StoredFile {
        path,
        row_count,
        size_bytes,
        ..StoredFile::default()
    };
    if stored.partitions.is_empty() {
        stored = stored.with_files(vec![file(relation.to_owned(), rows, size)]);
    } else {
        let column = identifier(PARTITION);
        let query = format!("select {column}, count(*) from {relation} group by 1 order by 1");
        let found: Vec<(String, i64)> =
            sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await?;
        let of_key = |(key, count): (String, i64)| {
            let count = u64::try_from(count).unwrap_or(0);
            // The rows of all partitions stand in one table; each has its share of the bytes.
            let share = u128::from(size) * u128::from(count) / u128::from(rows.max(1));
            let share = u64::try_from(share).unwrap_or(size);
            StoredFile { partition_key: Some(key.clone()), ..file(encode_key(&key), count, share) }
        };
        stored = stored.with_files(found.into_iter().map(of_key).collect());
        let index = format!("create index on {relation} ({column})");
        connection.execute(sqlx::raw_sql(AssertSqlSafe(index))).await?;
    }
    let manifest = serde_json::to_string(&stored).map_err(|e| sqlx::Error::Encode(e.into()))?;
    sqlx::query(
        "insert into arrowsmith.versions (version, table_path, manifest, checksum)
         values ($1::uuid, $2, $3, $4::numeric)",
    )
    .bind(stored.version.to_string())
    .bind(&stored.table)
    .bind(manifest)
    .bind(checksum)
    .execute(connection)
    .await?;
    Ok(stored)
}
