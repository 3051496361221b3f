//! The write path: the partitions of a plan run concurrently, each into one file.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use bytes::Bytes;
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use futures::{Stream, StreamExt};
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;

use super::FileFormat;
use crate::{
    Error, PartitionRows, PartitionedWrite, Result, Store, StoredFile, WriteTarget, encode_key,
};

/// Rows gathered by partition are written out when a stream holds this much.
const GATHERED_BYTES_MAX: usize = 128 * 1024 * 1024;

/// Writes all partitions of `plan`; the files are sorted by path. There is at least one of a table
/// that is not partitioned, so that other programs see its columns when it has no rows.
pub(super) async fn write_files<F: FileFormat>(
    format: &F,
    store: &Store,
    directory: &str,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    target: &WriteTarget,
) -> Result<Vec<StoredFile>> {
    let streams = execute_stream_partitioned(plan, context).map_err(Error::query)?;
    let mut tasks = JoinSet::new();
    for (partition, stream) in streams.into_iter().enumerate() {
        let (format, store, directory) = (format.clone(), store.clone(), directory.to_owned());
        let (cut, schema) = (target.partitions.clone(), target.stored_schema(&stream.schema()));
        tasks.spawn(async move {
            match cut {
                Some(cut) => {
                    write_keys(&format, (&store, &directory), partition, stream, &schema, cut).await
                }
                None => {
                    let path = format!("{partition:04}.{}", F::ENDING);
                    let file = write_file(&format, (&store, &directory), path, &schema, stream);
                    Ok(vec![file.await?])
                }
            }
        });
    }
    let mut files = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(written) => files.extend(written?),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => return Err(Error::query(DataFusionError::ExecutionJoin(Box::new(e)))),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Writes a file for each partition that a stream has rows of, and more where it does not fit.
async fn write_keys<F: FileFormat>(
    format: &F,
    into: (&Store, &str),
    partition: usize,
    mut stream: SendableRecordBatchStream,
    schema: &SchemaRef,
    cut: PartitionedWrite,
) -> Result<Vec<StoredFile>> {
    let (mut rows, mut files) = (PartitionRows::new(cut), Vec::new());
    let mut round = 0;
    loop {
        let batch = stream.next().await.transpose().map_err(Error::query)?;
        let ended = batch.is_none();
        if let Some(batch) = batch {
            rows.add(batch)?;
        }
        if ended || rows.size_bytes() > GATHERED_BYTES_MAX {
            for (key, batches) in rows.drain() {
                let folder = encode_key(&key);
                let path = format!("{folder}/{partition:04}-{round:04}.{}", F::ENDING);
                let batches = futures::stream::iter(batches.into_iter().map(Ok));
                let file = write_file(format, into, path, schema, batches).await?;
                files.push(StoredFile { partition_key: Some(key), ..file });
            }
            round += 1;
        }
        if ended {
            return Ok(files);
        }
    }
}

async fn write_file<F: FileFormat>(
    format: &F,
    (store, directory): (&Store, &str),
    path: String,
    schema: &SchemaRef,
    mut stream: impl Stream<Item = datafusion::error::Result<RecordBatch>> + Unpin,
) -> Result<StoredFile> {
    let full = store.path(&format!("{directory}/{path}"))?;
    let mut upload = BufWriter::new(Arc::clone(store.objects()), full);
    let mut encoder = format.encoder(schema)?;
    let mut hasher = blake3::Hasher::new();
    let (mut row_count, mut size_bytes) = (0, 0);
    loop {
        let batch = stream.next().await.transpose().map_err(Error::query)?;
        let encoded = match &batch {
            Some(batch) => {
                row_count += batch.num_rows() as u64;
                encoder.batch(batch)?
            }
            None => encoder.finish()?,
        };
        // What is encoded goes on its way, so that no more than a batch stands in memory.
        let encoded = Bytes::from(encoded);
        hasher.update(&encoded);
        size_bytes += encoded.len() as u64;
        upload.put(encoded).await.map_err(|e| Error::storage(&path, e))?;
        if batch.is_none() {
            break;
        }
    }
    upload.shutdown().await.map_err(|source| Error::File {
        action: "write",
        path: path.clone(),
        source,
    })?;
    Ok(StoredFile {
        path,
        row_count,
        size_bytes,
        blake3: hasher.finalize().to_hex().to_string(),
        ..StoredFile::default()
    })
}
