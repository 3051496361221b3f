//! The write path: the partitions of a plan run concurrently, each into its own files.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{Error, HivePath, Result, StoredFile};
use datafusion::common::runtime::JoinSet;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr, PhysicalSortExpr};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{
    ExecutionPlan, ExecutionPlanProperties, Partitioning, execute_stream_partitioned,
};
use futures::StreamExt;

use crate::ParquetOptions;
use crate::file::{FileTarget, FileWriter};
use crate::hive::{Gathered, HiveColumns};

/// Rows gathered by key are written out when all streams together hold this much.
const GATHERED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// What every stream of one version shares.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) file: FileTarget,
    pub(crate) hive: Option<HiveColumns>,
    pub(crate) table_schema: SchemaRef,
    pub(crate) target_file_bytes: u64,
}

/// Writes all partitions of `plan`; the files are sorted by path.
pub(crate) async fn write_files(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    layout: Layout,
) -> Result<Vec<StoredFile>> {
    let streams = execute_stream_partitioned(plan, context).map_err(Error::query)?;
    let gathered_bytes_max = GATHERED_BYTES_MAX / streams.len().max(1);
    let mut tasks = JoinSet::new();
    for (partition, stream) in streams.into_iter().enumerate() {
        let layout = layout.clone();
        tasks.spawn(async move {
            match layout.hive.clone() {
                None => write_stream(stream, partition, &layout).await,
                Some(hive) => {
                    write_by_key(stream, partition, &layout, hive, gathered_bytes_max).await
                }
            }
        });
    }
    let mut files = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(written) => files.extend(written?),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => {
                return Err(Error::query(datafusion::error::DataFusionError::ExecutionJoin(
                    Box::new(e),
                )));
            }
        }
    }
    if files.is_empty() {
        // A table without rows still has columns, which other programs read from a file.
        let writer = FileWriter::new(&layout.file, HivePath::default(), "0000-0000.parquet")?;
        files.push(writer.finish().await?);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Brings rows of one key into one stream and sorts them, if the options say so.
pub(crate) fn arrange(
    plan: Arc<dyn ExecutionPlan>,
    options: &ParquetOptions,
    hive: &[&str],
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut plan = plan;
    let schema = plan.schema();
    if !hive.is_empty() && plan.output_partitioning().partition_count() > 1 {
        let keys: Result<Vec<Arc<dyn PhysicalExpr>>, _> =
            hive.iter().map(|name| col(name, &schema)).collect();
        let count = plan.output_partitioning().partition_count();
        let partitioning = Partitioning::Hash(keys.map_err(Error::query)?, count);
        plan = Arc::new(RepartitionExec::try_new(plan, partitioning).map_err(Error::query)?);
    }
    let mut order = Vec::new();
    for (name, descending) in &options.sort_by {
        let expr = col(name, &schema).map_err(Error::query)?;
        let options = SortOptions { descending: *descending, nulls_first: false };
        order.push(PhysicalSortExpr { expr, options });
    }
    if let Some(order) = LexOrdering::new(order) {
        plan = Arc::new(SortExec::new(order, plan).with_preserve_partitioning(true));
    }
    Ok(plan)
}

async fn write_stream(
    mut stream: SendableRecordBatchStream,
    partition: usize,
    layout: &Layout,
) -> Result<Vec<StoredFile>> {
    let mut files = Vec::new();
    let mut current: Option<FileWriter> = None;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(Error::query)?;
        if batch.num_rows() == 0 {
            continue;
        }
        let mut writer = if let Some(writer) = current.take() {
            writer
        } else {
            let name = format!("{partition:04}-{:04}.parquet", files.len());
            FileWriter::new(&layout.file, HivePath::default(), &name)?
        };
        writer.write(&batch).await?;
        if writer.size_bytes() >= layout.target_file_bytes {
            files.push(writer.finish().await?);
        } else {
            current = Some(writer);
        }
    }
    if let Some(writer) = current {
        files.push(writer.finish().await?);
    }
    Ok(files)
}

async fn write_by_key(
    mut stream: SendableRecordBatchStream,
    partition: usize,
    layout: &Layout,
    hive: HiveColumns,
    gathered_bytes_max: usize,
) -> Result<Vec<StoredFile>> {
    let mut gathered = Gathered::try_new(hive, &layout.table_schema)?;
    let mut files = Vec::new();
    let mut round = 0;
    loop {
        let batch = stream.next().await.transpose().map_err(Error::query)?;
        let ended = batch.is_none();
        if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
            gathered.add(&batch)?;
        }
        if ended || gathered.size_bytes > gathered_bytes_max {
            for (key, slices) in gathered.drain() {
                let name = format!("{partition:04}-{round:04}.parquet");
                files.push(write_key(&layout.file, key, &name, &slices).await?);
            }
            round += 1;
        }
        if ended {
            return Ok(files);
        }
    }
}

async fn write_key(
    target: &FileTarget,
    key: HivePath,
    name: &str,
    slices: &[RecordBatch],
) -> Result<StoredFile> {
    let mut writer = FileWriter::new(target, key, name)?;
    for slice in slices {
        writer.write(slice).await?;
    }
    writer.finish().await
}
