//! Unit tests of assets: the real computation on a few rows, and nothing stored.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::json::WriterBuilder;
use arrow::json::writer::JsonArray;
use arrowsmith_definitions::{
    Body, BoundInput, BoxError, ComputeContext, ResolvedUnitTest, StepInfo,
};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::physical_plan::collect;
use serde_json::{Map, Value};

use crate::Engine;
use crate::error::chain;
use crate::panics::caught;

/// How long one test may take.
const LIMIT: Duration = Duration::from_mins(1);
/// Floating-point numbers that agree in so many digits are the same.
const SIGNIFICANT_DIGITS: usize = 12;

/// How a test went.
#[derive(Debug, Clone, PartialEq)]
pub enum TestOutcome {
    /// The rows are the expected ones.
    Passed,
    /// They are not.
    Different {
        /// The columns that were compared.
        columns: Vec<String>,
        /// Expected rows that are not there.
        missing: Vec<Map<String, Value>>,
        /// Rows that were not expected.
        unexpected: Vec<Map<String, Value>>,
        /// How many rows are as expected.
        same: usize,
    },
    /// The asset could not be computed.
    Failed(String),
}

impl Engine {
    /// Computes the asset of a test from what is given, and compares the rows, in any order; also
    /// how long it took.
    pub async fn unit_test(&self, test: &ResolvedUnitTest) -> (TestOutcome, Duration) {
        let began = self.clock.now();
        let outcome = tokio::select! {
            rows = caught(self.tested_rows(test)) => match rows {
                Ok(Ok(rows)) => compare(&test.expect, &rows)
                    .unwrap_or_else(|error| TestOutcome::Failed(chain(&*error))),
                Ok(Err(error)) => TestOutcome::Failed(chain(&*error)),
                Err(panic) => TestOutcome::Failed(panic.to_string()),
            },
            () = self.clock.sleep(LIMIT) => {
                let seconds = LIMIT.as_secs();
                TestOutcome::Failed(format!("it took longer than its limit of {seconds} s"))
            }
        };
        let took = (self.clock.now() - began).try_into().unwrap_or_default();
        (outcome, Duration::from_micros(took))
    }

    async fn tested_rows(&self, test: &ResolvedUnitTest) -> Result<Vec<RecordBatch>, BoxError> {
        let resolved = &self.resolved.assets[&test.asset];
        let Body::Computed(compute) = &resolved.asset.body else {
            return Err("only what a query or function computes is tested".into());
        };
        let mut inputs = Vec::new();
        for (input, rows) in resolved.inputs.iter().zip(&test.given) {
            let table = MemTable::try_new(rows.schema(), vec![vec![rows.clone()]])?;
            let table: Arc<dyn TableProvider> = Arc::new(table);
            inputs.push(BoundInput::new(&input.name, &input.key, table));
        }
        let info = StepInfo {
            run_id: "test".to_owned(),
            step_key: test.asset.to_string(),
            attempt: 1,
            assets: vec![test.asset.clone()],
            ..StepInfo::default()
        };
        let context =
            ComputeContext::new(info, Arc::clone(&self.session.state)).with_inputs(inputs);
        let plan = compute.compute(context).await?;
        Ok(collect(plan, Arc::clone(&self.session.task)).await?)
    }
}

fn compare(expect: &RecordBatch, rows: &[RecordBatch]) -> Result<TestOutcome, BoxError> {
    let schema = expect.schema();
    let columns: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    let mut found = Vec::new();
    for batch in rows {
        let at = columns.iter().map(|name| batch.schema().index_of(name));
        found.extend(json(&batch.project(&at.collect::<Result<Vec<_>, _>>()?)?)?);
    }
    let mut missing = json(expect)?;
    let expected = missing.len();
    // Without a column to compare, only the number of rows is expected.
    found.sort_by(order);
    missing.sort_by(order);
    let mut unexpected = Vec::new();
    for row in found {
        match missing.iter().position(|wanted| order(wanted, &row) == Ordering::Equal) {
            Some(at) => {
                missing.remove(at);
            }
            None => unexpected.push(row),
        }
    }
    if missing.is_empty() && unexpected.is_empty() {
        return Ok(TestOutcome::Passed);
    }
    let same = expected - missing.len();
    Ok(TestOutcome::Different { columns, missing, unexpected, same })
}

/// Rows as objects in which every column is, and numbers are rounded.
fn json(batch: &RecordBatch) -> Result<Vec<Map<String, Value>>, BoxError> {
    if batch.num_columns() == 0 {
        return Ok(vec![Map::new(); batch.num_rows()]);
    }
    let mut writer =
        WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    let mut rows: Vec<Map<String, Value>> = serde_json::from_slice(&writer.into_inner())?;
    rows.iter_mut().flat_map(Map::values_mut).for_each(round);
    Ok(rows)
}

fn round(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let number = number.as_f64().unwrap_or_default();
            let digits = format!("{number:.*e}", SIGNIFICANT_DIGITS - 1);
            *value = Value::from(digits.parse::<f64>().unwrap_or(number));
        }
        Value::Array(items) => items.iter_mut().for_each(round),
        Value::Object(fields) => fields.values_mut().for_each(round),
        _ => {}
    }
}

/// Some total order, by which equal rows are equal.
fn order(a: &Map<String, Value>, b: &Map<String, Value>) -> Ordering {
    let text = |row: &Map<String, Value>| serde_json::to_string(row).unwrap_or_default();
    text(a).cmp(&text(b))
}
