//! What an asset function can return.

use std::fmt;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};

use crate::{BoxError, Columns, ComputeContext, RecordBatches, Table};

type PlanResult = Result<Arc<dyn ExecutionPlan>, BoxError>;

/// A type that an asset function can return, also in a `Result`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of an asset",
    label = "not a table",
    note = "return a `DataFrame`, `RecordBatch`, `Vec<RecordBatch>`, `RecordBatches`, \
            `SendableRecordBatchStream`, `Table<Row>` or `Vec<Row>`, or one of them in a `Result`"
)]
pub trait IntoOutput: Send + Sized {
    /// The columns, if the type says them.
    fn schema() -> Option<SchemaRef> {
        None
    }

    /// A plan with the rows.
    fn into_plan(self, context: &ComputeContext) -> impl Future<Output = PlanResult> + Send;
}

fn in_memory(schema: SchemaRef, batches: Vec<RecordBatch>) -> PlanResult {
    let exec: Arc<dyn ExecutionPlan> = MemorySourceConfig::try_new_exec(&[batches], schema, None)?;
    Ok(exec)
}

/// The plan is executed by the IO manager, so the rows never stand in memory as a whole.
impl IntoOutput for DataFrame {
    async fn into_plan(self, _context: &ComputeContext) -> PlanResult {
        Ok(self.create_physical_plan().await?)
    }
}

impl IntoOutput for RecordBatch {
    fn into_plan(self, _context: &ComputeContext) -> impl Future<Output = PlanResult> + Send {
        ready(in_memory(self.schema(), vec![self]))
    }
}

/// At least one batch is needed, since the columns are taken from the first.
impl IntoOutput for Vec<RecordBatch> {
    fn into_plan(self, context: &ComputeContext) -> impl Future<Output = PlanResult> + Send {
        ready(match self.first() {
            Some(first) => in_memory(first.schema(), self),
            None => Err(format!(
                "`{}` returned no batch, so its columns are not known; return `RecordBatches`",
                context.info.step_key
            )
            .into()),
        })
    }
}

impl IntoOutput for RecordBatches {
    fn into_plan(self, _context: &ComputeContext) -> impl Future<Output = PlanResult> + Send {
        ready(in_memory(self.schema, self.batches))
    }
}

impl<R: Columns> IntoOutput for Table<R> {
    fn schema() -> Option<SchemaRef> {
        Some(R::schema())
    }

    fn into_plan(self, _context: &ComputeContext) -> impl Future<Output = PlanResult> + Send {
        ready(in_memory(R::schema(), self.into_batches()))
    }
}

impl<R: Columns> IntoOutput for Vec<R> {
    fn schema() -> Option<SchemaRef> {
        Some(R::schema())
    }

    async fn into_plan(self, _context: &ComputeContext) -> PlanResult {
        in_memory(R::schema(), vec![R::batch(self)?])
    }
}

impl IntoOutput for SendableRecordBatchStream {
    async fn into_plan(self, _context: &ComputeContext) -> PlanResult {
        let schema = self.schema();
        let once = Arc::new(Once { schema: Arc::clone(&schema), stream: Mutex::new(Some(self)) });
        let exec = StreamingTableExec::try_new(schema, vec![once], None, [], false, None)?;
        Ok(Arc::new(exec))
    }
}

impl<T: IntoOutput, E: Into<BoxError> + Send> IntoOutput for Result<T, E> {
    fn schema() -> Option<SchemaRef> {
        T::schema()
    }

    async fn into_plan(self, context: &ComputeContext) -> PlanResult {
        match self {
            Ok(output) => output.into_plan(context).await,
            Err(e) => Err(e.into()),
        }
    }
}

/// A stream as a partition that can be executed once.
struct Once {
    schema: SchemaRef,
    stream: Mutex<Option<SendableRecordBatchStream>>,
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Once").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl PartitionStream for Once {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let taken = self.stream.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(|| {
            let used = DataFusionError::Execution("the stream has been read already".to_owned());
            let failed = futures::stream::iter([Err(used)]);
            Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), failed))
        })
    }
}
