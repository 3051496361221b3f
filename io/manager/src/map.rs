//! A plan that does something with each batch of another.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning,
    PlanProperties,
};
use futures::StreamExt;

type Map = dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync;

/// Batch by batch the same rows, in the same order, with other columns or fewer rows.
pub struct MapExec {
    name: &'static str,
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    map: Arc<Map>,
}

impl MapExec {
    /// `schema` is that of the batches that `map` gives. An error of it ends the plan.
    pub fn new(
        name: &'static str,
        input: Arc<dyn ExecutionPlan>,
        schema: &SchemaRef,
        map: impl Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync + 'static,
    ) -> Self {
        let properties = properties(&input, schema);
        Self { name, input, properties, map: Arc::new(map) }
    }
}

/// Those of the input, as far as they are about columns that are still there.
fn properties(input: &Arc<dyn ExecutionPlan>, schema: &SchemaRef) -> Arc<PlanProperties> {
    if *schema == input.schema() {
        return Arc::clone(input.properties());
    }
    let count = input.output_partitioning().partition_count();
    Arc::new(PlanProperties::new(
        EquivalenceProperties::new(Arc::clone(schema)),
        Partitioning::UnknownPartitioning(count),
        input.properties().emission_type,
        input.properties().boundedness,
    ))
}

impl fmt::Debug for MapExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for MapExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl ExecutionPlan for MapExec {
    fn name(&self) -> &'static str {
        self.name
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
        let properties = properties(&input, &self.schema());
        Ok(Arc::new(Self { name: self.name, input, properties, map: Arc::clone(&self.map) }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let stream = self.input.execute(partition, context)?;
        let (schema, map) = (self.schema(), Arc::clone(&self.map));
        let mapped = stream.map(move |batch| map(batch?));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, mapped)))
    }
}
