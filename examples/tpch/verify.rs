//! Compares materialized tables with profiles of known results.
//!
//! A profile has the rows of a table and, for each column, how many values are not null, the
//! smallest and the largest, and the sum of numbers (to 1e-6 relative) or the count of distinct
//! other values.

use std::collections::BTreeMap;
use std::path::Path;

use arrowsmith::arrow::array::AsArray;
use arrowsmith::arrow::compute::cast;
use arrowsmith::arrow::datatypes::{DataType, Float64Type};
use arrowsmith::arrow::record_batch::RecordBatch;
use arrowsmith::datafusion::prelude::SessionContext;
use arrowsmith::execution::Engine;
use serde_json::Value;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Every difference between the current tables and the profiles in a file, as sentences.
///
/// # Errors
/// If the profiles or a table cannot be read.
pub(crate) async fn differences(engine: &Engine, profiles: &Path) -> Result<Vec<String>, Failure> {
    let profiles: BTreeMap<String, Value> = serde_json::from_slice(&std::fs::read(profiles)?)?;
    let session = SessionContext::new();
    let mut found = Vec::new();
    for (table, profile) in &profiles {
        session.register_table(table, engine.table(&table.parse()?).await?)?;
        let query = format!("select count(*) from {table}");
        let rows = single_row(&session, &query).await?;
        compare(&mut found, table, "rows", &rows, 0, &profile["rows"])?;
        for (column, expected) in profile["columns"].as_object().into_iter().flatten() {
            let what = format!("{table}.{column}");
            let is_number = expected.get("sum").is_some();
            let (third, as_type) =
                if is_number { ("sum", "double") } else { ("distinct", "varchar") };
            let aggregate = if is_number {
                format!("sum(cast({column} as double))")
            } else {
                format!("count(distinct {column})")
            };
            let query = format!(
                "select count({column}), {aggregate}, min(cast({column} as {as_type})), \
                 max(cast({column} as {as_type})) from {table}"
            );
            let row = single_row(&session, &query).await?;
            for (at, name) in ["non_null", third, "min", "max"].into_iter().enumerate() {
                compare(&mut found, &what, name, &row, at, &expected[name])?;
            }
        }
    }
    Ok(found)
}

async fn single_row(session: &SessionContext, query: &str) -> Result<RecordBatch, Failure> {
    let batches = session.sql(query).await?.collect().await?;
    Ok(batches.into_iter().find(|batch| batch.num_rows() == 1).ok_or("an aggregate has a row")?)
}

fn compare(
    found: &mut Vec<String>,
    what: &str,
    name: &str,
    row: &RecordBatch,
    at: usize,
    expected: &Value,
) -> Result<(), Failure> {
    let column = row.column(at);
    let told = match expected {
        Value::Number(number) => {
            let value = cast(column, &DataType::Float64)?.as_primitive::<Float64Type>().value(0);
            let expected = number.as_f64().unwrap_or(f64::NAN);
            let near = (value - expected).abs() <= 1e-6 * expected.abs().max(1.0);
            (!near).then(|| value.to_string())
        }
        expected => {
            let text = cast(column, &DataType::Utf8)?;
            let value = text.as_string::<i32>().value(0).to_owned();
            (expected.as_str() != Some(&value)).then_some(value)
        }
    };
    found.extend(told.map(|value| format!("{name} of {what} is {value}, not {expected}")));
    Ok(())
}
