//! Says of each row that a step computes which partition it belongs to.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::{OutsideRows, RowPartitioner, StepPartitions};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

/// The column of places in the step's set; it is not stored.
pub(crate) const POSITION: &str = "__partition";

/// Rows with the place of their partition behind their columns.
///
/// A row that belongs to none of the step's partitions fails the step, or is left out: always if the
/// definition says so, and a row of another partition also if the computation is not asked to know
/// which partitions are made.
#[derive(Debug)]
pub(crate) struct KeyedExec {
    input: Arc<dyn ExecutionPlan>,
    partitions: Arc<StepPartitions>,
    partitioner: Arc<RowPartitioner>,
    leaves_out_others: bool,
    schema: SchemaRef,
    properties: Arc<PlanProperties>,
}

impl KeyedExec {
    /// # Errors
    /// One sentence, if the rows do not say their partition.
    pub(crate) fn try_new(
        input: Arc<dyn ExecutionPlan>,
        partitions: Arc<StepPartitions>,
        leaves_out_others: bool,
    ) -> Result<Self, String> {
        let rows = input.schema();
        let partitioner = RowPartitioner::try_new(Arc::clone(&partitions), &rows)?;
        let mut fields: Vec<Arc<Field>> = rows.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(POSITION, DataType::UInt32, false)));
        let schema = Arc::new(Schema::new_with_metadata(fields, rows.metadata().clone()));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            datafusion::physical_plan::Partitioning::UnknownPartitioning(
                input.properties().output_partitioning().partition_count(),
            ),
            input.properties().emission_type,
            input.properties().boundedness,
        );
        Ok(Self {
            input,
            partitions,
            partitioner: Arc::new(partitioner),
            leaves_out_others,
            schema,
            properties: Arc::new(properties),
        })
    }

    fn refuse(&self, batch: &RecordBatch, row: usize, why: &str) -> DataFusionError {
        let (made, told) = (&self.partitions, self.partitioner.told(batch, row));
        let shown = made.keys.shown(&made.set);
        DataFusionError::Execution(format!(
            "a row with {told} {why}; the step makes {shown}. Filter it out, or set \
             `outside = \"drop\"` in `partitions` to leave such rows out"
        ))
    }
}

impl DisplayAs for KeyedExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedExec: partitions={}", self.partitions.set.len())
    }
}

impl ExecutionPlan for KeyedExec {
    fn name(&self) -> &'static str {
        "KeyedExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.pop().unwrap_or_else(|| Arc::clone(&self.input));
        let made = Self::try_new(input, Arc::clone(&self.partitions), self.leaves_out_others);
        Ok(Arc::new(made.map_err(DataFusionError::Execution)?))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let this = Self {
            input: Arc::clone(&self.input),
            partitions: Arc::clone(&self.partitions),
            partitioner: Arc::clone(&self.partitioner),
            leaves_out_others: self.leaves_out_others,
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
        };
        let keyed = input.map(move |batch| this.keyed(&batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), keyed)))
    }
}

impl KeyedExec {
    fn keyed(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let found = self.partitioner.of_rows(batch)?;
        let drops = self.partitions.definition.outside == OutsideRows::Drop;
        if let Some(row) = found.first_nowhere.filter(|_| !drops) {
            return Err(self.refuse(batch, row, "belongs to no partition"));
        }
        if let Some(row) = found.first_other.filter(|_| !drops && !self.leaves_out_others) {
            return Err(self.refuse(batch, row, "belongs to another partition"));
        }
        let positions: ArrayRef = Arc::new(found.positions);
        let mut columns = batch.columns().to_vec();
        if positions.null_count() == 0 {
            columns.push(positions);
            return Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?);
        }
        let kept: BooleanArray = is_not_null(&positions)?;
        let mut kept_columns = filter_record_batch(batch, &kept)?.columns().to_vec();
        kept_columns.push(arrow::compute::filter(&positions, &kept)?);
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), kept_columns)?)
    }
}
