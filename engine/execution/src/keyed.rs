//! Says of each row that a step computes which partition it belongs to.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::{filter_record_batch, is_not_null};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::{OutsideRows, RowPartitioner, StepPartitions};
use arrowsmith_io_manager::MapExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::ExecutionPlan;

/// The column of places in the step's set; it is not stored.
pub(crate) const POSITION: &str = "__partition";

/// Rows with the place of their partition behind their columns.
///
/// A row that belongs to none of the step's partitions fails the step, or is left out: always if the
/// definition says so, and a row of another partition also if the computation is not asked to know
/// which partitions are made.
///
/// # Errors
/// One sentence, if the rows do not say their partition.
pub(crate) fn keyed(
    input: Arc<dyn ExecutionPlan>,
    partitions: Arc<StepPartitions>,
    leaves_out_others: bool,
) -> Result<MapExec, String> {
    let rows = input.schema();
    let partitioner = RowPartitioner::try_new(Arc::clone(&partitions), &rows)?;
    let mut fields: Vec<Arc<Field>> = rows.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(POSITION, DataType::UInt32, false)));
    let schema = Arc::new(Schema::new_with_metadata(fields, rows.metadata().clone()));
    let keys = Keys { partitions, partitioner, leaves_out_others, schema: Arc::clone(&schema) };
    Ok(MapExec::new("KeyedExec", input, &schema, move |batch| keys.of_rows(&batch)))
}

struct Keys {
    partitions: Arc<StepPartitions>,
    partitioner: RowPartitioner,
    leaves_out_others: bool,
    schema: SchemaRef,
}

impl Keys {
    fn of_rows(&self, batch: &RecordBatch) -> Result<RecordBatch> {
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
    fn refuse(&self, batch: &RecordBatch, row: usize, why: &str) -> DataFusionError {
        let (made, told) = (&self.partitions, self.partitioner.told(batch, row));
        let shown = made.keys.shown(&made.set);
        DataFusionError::Execution(format!(
            "a row with {told} {why}; the step makes {shown}. Filter it out, or set \
             `outside = \"drop\"` in `partitions` to leave such rows out"
        ))
    }
}
