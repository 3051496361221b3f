//! Watches rows as they stream by: counts them, evaluates checks, and takes the digests that readers
//! will ask for.

mod aggregate;

use std::sync::{Arc, Mutex, PoisonError};

use aggregate::Aggregates;
use arrow::array::BooleanArray;
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::{BoxError, CheckResult, SAMPLED_ROWS, Watch};
use arrowsmith_io_manager::MapExec;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;

use crate::Counters;
use crate::fresh::WrittenDigests;
use crate::keyed::POSITION;

/// A check that is evaluated while rows stream by, and what it has found so far.
#[derive(Debug)]
pub(crate) struct WatchedCheck {
    /// Which of the asset's checks it is.
    pub(crate) at: usize,
    state: State,
}

#[derive(Debug)]
enum State {
    Rows { failing: Arc<dyn PhysicalExpr>, found: Mutex<Found> },
    Aggregates(Aggregates),
}

#[derive(Debug, Default)]
struct Found {
    rows: u64,
    sample: Vec<RecordBatch>,
    sampled_rows: usize,
}

impl Found {
    fn look(&mut self, batch: &RecordBatch, fails: &BooleanArray) -> Result<()> {
        let rows = fails.true_count();
        self.rows += rows as u64;
        let wanted = SAMPLED_ROWS.saturating_sub(self.sampled_rows).min(rows);
        if wanted > 0 {
            let mut sample = filter_record_batch(batch, fails)?.slice(0, wanted);
            // The partition of a row is the engine's own business.
            if let Ok(position) = sample.schema().index_of(POSITION) {
                sample.remove_column(position);
            }
            self.sample.push(sample);
            self.sampled_rows += wanted;
        }
        Ok(())
    }
}

impl WatchedCheck {
    pub(crate) fn new(at: usize, watch: Watch) -> Result<Self> {
        let state = match watch {
            Watch::FailingRows(failing) => State::Rows { failing, found: Mutex::default() },
            Watch::Aggregates(watch) => State::Aggregates(Aggregates::new(watch)?),
        };
        Ok(Self { at, state })
    }

    fn look(&self, batch: &RecordBatch) -> Result<()> {
        match &self.state {
            State::Aggregates(aggregates) => aggregates.look(batch),
            State::Rows { failing, found } => {
                let fails = failing.evaluate(batch)?.into_array(batch.num_rows())?;
                let fails = as_boolean_array(&fails)?;
                if fails.true_count() == 0 {
                    return Ok(());
                }
                found.lock().unwrap_or_else(PoisonError::into_inner).look(batch, fails)
            }
        }
    }

    /// What came of it, once all rows have streamed by.
    pub(crate) fn result(&self) -> Result<CheckResult, BoxError> {
        match &self.state {
            State::Aggregates(aggregates) => aggregates.result(),
            State::Rows { found, .. } => {
                let found = found.lock().unwrap_or_else(PoisonError::into_inner);
                CheckResult::of_rows(found.rows, &found.sample)
            }
        }
    }
}

/// The plan of a step, watched.
pub(crate) fn watch(
    input: Arc<dyn ExecutionPlan>,
    counters: Arc<Counters>,
    checks: Arc<[WatchedCheck]>,
    digests: Option<Arc<WrittenDigests>>,
) -> MapExec {
    let schema = input.schema();
    MapExec::new("WatchExec", input, &schema, move |batch| {
        counters.add_rows(batch.num_rows());
        checks.iter().try_for_each(|check| check.look(&batch))?;
        digests.iter().try_for_each(|digests| digests.look(&batch))?;
        Ok(batch)
    })
}
