//! The write path: the partitions of a plan run concurrently, each into its own files.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::SchemaRef;
use arrowsmith_io_manager::{Error, HivePath, Result, StoredFile};
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
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
use crate::encoding::Look;
use crate::file::{FileTarget, FileWriter};
use crate::gather::Gather;
use crate::hive::HiveColumns;

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
    let streams = execute_stream_partitioned(plan, Arc::clone(&context)).map_err(Error::query)?;
    if layout.hive.is_some() {
        return write_directories(streams, context, layout).await;
    }
    let mut tasks = JoinSet::new();
    for (partition, stream) in streams.into_iter().enumerate() {
        let layout = layout.clone();
        tasks.spawn(async move { write_stream(stream, partition, &layout).await });
    }
    let mut files: Vec<StoredFile> = joined(tasks).await?.into_iter().flatten().collect();
    if files.is_empty() {
        // A table without rows still has columns, which other programs read from a file.
        let writer = FileWriter::new(&layout.file, HivePath::default(), "0000-0000.parquet")?;
        files.push(writer.finish().await?);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// Writes rows into the directories that they say.
async fn write_directories(
    streams: Vec<SendableRecordBatchStream>,
    context: Arc<TaskContext>,
    layout: Layout,
) -> Result<Vec<StoredFile>> {
    let gather = Arc::new(Gather::try_new(layout.clone(), context)?);
    let mut tasks = JoinSet::new();
    for stream in streams {
        let gather = Arc::clone(&gather);
        tasks.spawn(async move { gather.feed(stream).await });
    }
    joined(tasks).await?;
    let unshared = Arc::into_inner(gather).ok_or_else(|| {
        Error::query(DataFusionError::Internal("a stream has not ended".to_owned()))
    })?;
    let mut files = unshared.finish().await?;
    if files.is_empty() {
        let writer = FileWriter::new(&layout.file, HivePath::default(), "0000-0000.parquet")?;
        files.push(writer.finish().await?);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// What all tasks have made; a panic of one goes on.
pub(crate) async fn joined<T: 'static>(mut tasks: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut made = Vec::new();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(result) => made.push(result?),
            Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
            Err(e) => return Err(Error::query(DataFusionError::ExecutionJoin(Box::new(e)))),
        }
    }
    Ok(made)
}

/// Sorts the rows of each stream if the options say so, with the rows of one key in one stream.
pub(crate) fn arrange(
    plan: Arc<dyn ExecutionPlan>,
    options: &ParquetOptions,
    hive: &[&str],
) -> Result<Arc<dyn ExecutionPlan>> {
    let mut plan = plan;
    let schema = plan.schema();
    if !hive.is_empty()
        && !options.sort_by.is_empty()
        && plan.output_partitioning().partition_count() > 1
    {
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
    let mut target = layout.file.clone();
    let mut has_looked = false;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(Error::query)?;
        if batch.num_rows() == 0 {
            continue;
        }
        if !has_looked && let Some(look) = Look::at(&batch, &target.properties) {
            target.properties = look.suited(&target.properties, None);
        }
        has_looked = true;
        let mut writer = if let Some(writer) = current.take() {
            writer
        } else {
            let name = format!("{partition:04}-{:04}.parquet", files.len());
            FileWriter::new(&target, HivePath::default(), &name)?
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
