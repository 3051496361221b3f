//! A check over aggregates of all rows, which are accumulated as the rows stream by.

use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::compute::filter_record_batch;
use arrowsmith_definitions::{AggregateWatch, BoxError, CheckResult};
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::logical_expr::Accumulator;

/// The aggregates of one check, and what they have seen.
#[derive(Debug)]
pub(super) struct Aggregates {
    watch: AggregateWatch,
    accumulators: Mutex<Vec<Box<dyn Accumulator>>>,
}

impl Aggregates {
    pub(super) fn new(watch: AggregateWatch) -> Result<Self> {
        let made = watch.aggregates.iter().map(|aggregate| aggregate.function.create_accumulator());
        let accumulators = Mutex::new(made.collect::<Result<Vec<_>>>()?);
        Ok(Self { watch, accumulators })
    }

    pub(super) fn look(&self, batch: &RecordBatch) -> Result<()> {
        // The arguments are evaluated before the lock is taken, so that partitions share only sums.
        let mut arguments = Vec::with_capacity(self.watch.aggregates.len());
        for aggregate in &self.watch.aggregates {
            let kept = match &aggregate.filter {
                Some(filter) => {
                    let mask = filter.evaluate(batch)?.into_array(batch.num_rows())?;
                    filter_record_batch(batch, as_boolean_array(&mask)?)?
                }
                None => batch.clone(),
            };
            let expressions = aggregate.function.expressions();
            let values = expressions
                .iter()
                .map(|expression| expression.evaluate(&kept)?.into_array(kept.num_rows()));
            arguments.push(values.collect::<Result<Vec<_>>>()?);
        }
        let mut accumulators = self.accumulators.lock().unwrap_or_else(PoisonError::into_inner);
        accumulators
            .iter_mut()
            .zip(arguments)
            .try_for_each(|(accumulator, values)| accumulator.update_batch(&values))
    }

    /// Whether the expression holds; one that is null is unknown, and no failure.
    pub(super) fn result(&self) -> Result<CheckResult, BoxError> {
        let mut accumulators = self.accumulators.lock().unwrap_or_else(PoisonError::into_inner);
        let values: Vec<ScalarValue> =
            accumulators.iter_mut().map(|a| a.evaluate()).collect::<Result<_>>()?;
        let columns = values.iter().map(ScalarValue::to_array).collect::<Result<Vec<_>>>()?;
        let row = RecordBatch::try_new(self.watch.results.clone(), columns)?;
        let held = self.watch.holds.evaluate(&row)?.into_array(1)?;
        let held = as_boolean_array(&held)?;
        if held.is_empty() || !held.iter().any(|held| held == Some(false)) {
            return Ok(CheckResult::pass());
        }
        let found = self.watch.aggregates.iter().zip(&values);
        let found: Vec<String> =
            found.map(|(aggregate, value)| format!("`{}` is {value}", aggregate.text)).collect();
        Ok(CheckResult::fail(found.join(", ")))
    }
}
