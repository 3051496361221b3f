//! The write path: the partitions of a plan run concurrently, each into one file.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::ipc::writer::FileWriter;
use arrowsmith_io_manager::{Error, Result, Store, StoredFile};
use bytes::Bytes;
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::{ExecutionPlan, execute_stream_partitioned};
use futures::StreamExt;
use object_store::buffered::BufWriter;
use tokio::io::AsyncWriteExt;

/// Writes all partitions of `plan`; the files are sorted by path. There is at least one, so that
/// other programs see the columns of a table without rows.
pub(crate) async fn write_files(
    store: &Store,
    directory: &str,
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
) -> Result<Vec<StoredFile>> {
    let streams = execute_stream_partitioned(plan, context).map_err(Error::query)?;
    let mut tasks = JoinSet::new();
    for (partition, stream) in streams.into_iter().enumerate() {
        let (store, directory) = (store.clone(), directory.to_owned());
        tasks.spawn(async move { write_file(&store, &directory, partition, stream).await });
    }
    let mut files = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(written) => files.push(written?),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => return Err(Error::query(DataFusionError::ExecutionJoin(Box::new(e)))),
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

async fn write_file(
    store: &Store,
    directory: &str,
    partition: usize,
    mut stream: SendableRecordBatchStream,
) -> Result<StoredFile> {
    let path = format!("{partition:04}.arrow");
    let full = store.path(&format!("{directory}/{path}"))?;
    let mut upload = BufWriter::new(Arc::clone(store.objects()), full);
    let mut writer = FileWriter::try_new(Vec::new(), &stream.schema()).map_err(Error::query)?;
    let mut hasher = blake3::Hasher::new();
    let (mut row_count, mut size_bytes) = (0, 0);
    loop {
        let batch = stream.next().await.transpose().map_err(Error::query)?;
        match &batch {
            Some(batch) => {
                row_count += batch.num_rows() as u64;
                writer.write(batch).map_err(Error::query)?;
            }
            None => writer.finish().map_err(Error::query)?,
        }
        // What is encoded goes on its way, so that no more than a batch stands in memory.
        let encoded = Bytes::from(std::mem::take(writer.get_mut()));
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
        partition: BTreeMap::new(),
        row_count,
        size_bytes,
        blake3: hasher.finalize().to_hex().to_string(),
        columns: BTreeMap::new(),
    })
}
