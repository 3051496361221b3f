//! Watches rows as they stream by: counts them, and evaluates the checks of single rows.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::{BoxError, CheckResult, SAMPLED_ROWS};
use datafusion::common::cast::as_boolean_array;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::StreamExt;

use crate::Counters;

/// A check of single rows, and what it has found so far.
#[derive(Debug)]
pub(crate) struct RowCheck {
    /// Which of the asset's checks it is.
    pub(crate) at: usize,
    failing: Arc<dyn PhysicalExpr>,
    found: Mutex<Found>,
}

#[derive(Debug, Default)]
struct Found {
    rows: u64,
    sample: Vec<RecordBatch>,
    sampled_rows: usize,
}

impl RowCheck {
    pub(crate) fn new(at: usize, failing: Arc<dyn PhysicalExpr>) -> Self {
        Self { at, failing, found: Mutex::default() }
    }

    fn look(&self, batch: &RecordBatch) -> Result<()> {
        let fails = self.failing.evaluate(batch)?.into_array(batch.num_rows())?;
        let fails = as_boolean_array(&fails)?;
        let rows = fails.true_count();
        if rows == 0 {
            return Ok(());
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.rows += rows as u64;
        let wanted = SAMPLED_ROWS.saturating_sub(found.sampled_rows).min(rows);
        if wanted > 0 {
            found.sample.push(filter_record_batch(batch, fails)?.slice(0, wanted));
            found.sampled_rows += wanted;
        }
        Ok(())
    }

    /// What came of it, once all rows have streamed by.
    pub(crate) fn result(&self) -> Result<CheckResult, BoxError> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        CheckResult::of_rows(found.rows, &found.sample)
    }
}

/// The plan of a step, watched.
#[derive(Debug)]
pub(crate) struct WatchExec {
    input: Arc<dyn ExecutionPlan>,
    counters: Arc<Counters>,
    checks: Arc<[RowCheck]>,
}

impl WatchExec {
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        counters: Arc<Counters>,
        checks: Arc<[RowCheck]>,
    ) -> Self {
        Self { input, counters, checks }
    }
}

impl DisplayAs for WatchExec {
    fn fmt_as(&self, _kind: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatchExec: checks={}", self.checks.len())
    }
}

impl ExecutionPlan for WatchExec {
    fn name(&self) -> &'static str {
        "WatchExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
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
        let (counters, checks) = (Arc::clone(&self.counters), Arc::clone(&self.checks));
        Ok(Arc::new(Self::new(input, counters, checks)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let stream = self.input.execute(partition, context)?;
        let (counters, checks) = (Arc::clone(&self.counters), Arc::clone(&self.checks));
        let schema = stream.schema();
        let watched = stream.map(move |batch| {
            let batch = batch?;
            counters.add_rows(batch.num_rows());
            checks.iter().try_for_each(|check| check.look(&batch))?;
            Ok(batch)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, watched)))
    }
}
