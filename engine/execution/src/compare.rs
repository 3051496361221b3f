//! Whether stored and computed rows are the same, where their digests are not.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Float64Type};
use arrow::json::LineDelimitedWriter;
use arrowsmith_definitions::BoxError;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{DataFrame, SessionContext, ident};

use crate::digest::plain_type;

/// Rows of each side that are shown.
const SAMPLED: usize = 3;
/// Columns of them that are shown besides those that changed.
const OTHER_COLUMNS: usize = 4;
/// How far apart two floating-point numbers may be, as a share of the larger one.
const TOLERANCE: f64 = 1e-9;

/// A few rows that are only in one of two tables, as JSON objects behind a `-` or a `+`; of their columns
/// those that `changed`, and a few others.
///
/// # Errors
/// If they cannot be read, or have other columns.
pub(crate) async fn sampled_differences(
    before: DataFrame,
    now: DataFrame,
    changed: &BTreeSet<String>,
) -> Result<Vec<String>, BoxError> {
    let names: Vec<String> =
        before.schema().fields().iter().map(|field| field.name().clone()).collect();
    let others = names.iter().filter(|name| !changed.contains(*name)).take(OTHER_COLUMNS);
    let others: BTreeSet<&String> = others.collect();
    let shown = names.iter().filter(|name| changed.contains(*name) || others.contains(name));
    let shown: Vec<Expr> = shown.map(ident).collect();
    let order: Vec<_> = names.iter().map(|name| ident(name).sort(true, true)).collect();
    let sample =
        |rows: DataFrame| rows.sort(order.clone())?.limit(0, Some(SAMPLED))?.select(shown.clone());
    let gone = sample(before.clone().except(now.clone())?)?;
    let come = sample(now.except(before)?)?;
    let mut rows = Vec::new();
    for (sign, frame) in [('-', gone), ('+', come)] {
        let mut text = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut text);
        for batch in frame.collect().await? {
            writer.write(&batch)?;
        }
        writer.finish()?;
        let text = String::from_utf8(text)?;
        rows.extend(text.lines().map(|row| format!("{sign} {row}")));
    }
    Ok(rows)
}

/// The same of a table and of batches.
pub(crate) async fn differing_rows(
    session: &SessionState,
    table: Arc<dyn TableProvider>,
    batches: &[RecordBatch],
) -> Result<Vec<String>, BoxError> {
    let (stored, computed) = frames(session, table, batches)?;
    sampled_differences(stored, computed, &BTreeSet::new()).await
}

/// Whether a table and batches have the same rows, but for the last digits of floating-point numbers:
/// what they add up to depends on the order in which they are added.
pub(crate) async fn nearly_same(
    session: &SessionState,
    table: Arc<dyn TableProvider>,
    batches: &[RecordBatch],
) -> Result<bool, BoxError> {
    let schema = table.schema();
    let (exact, floating): (Vec<_>, Vec<_>) =
        schema.fields().iter().partition(|field| !field.data_type().is_floating());
    if floating.is_empty() {
        return Ok(false);
    }
    // Floating-point numbers come last, since they are no keys.
    let keys = exact.iter().chain(&floating);
    let keys: Vec<_> = keys.map(|field| ident(field.name()).sort(true, true)).collect();
    let (stored, computed) = frames(session, table, batches)?;
    let mut sorted = Vec::new();
    for frame in [stored, computed] {
        let batches = frame.sort(keys.clone())?.collect().await?;
        let Some(first) = batches.first() else { return Ok(false) };
        sorted.push(concat_batches(&first.schema(), &batches)?);
    }
    let (stored, computed) = (&sorted[0], &sorted[1]);
    if stored.num_rows() != computed.num_rows() {
        return Ok(false);
    }
    let pairs = stored.columns().iter().zip(computed.columns());
    for (stored, computed) in pairs {
        if !are_near(stored, computed)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn frames(
    session: &SessionState,
    table: Arc<dyn TableProvider>,
    batches: &[RecordBatch],
) -> Result<(DataFrame, DataFrame), BoxError> {
    let context = SessionContext::new_with_state(session.clone());
    let columns: Vec<_> = table.schema().fields().iter().map(|f| ident(f.name())).collect();
    let schema = batches.first().map_or_else(|| table.schema(), RecordBatch::schema);
    let computed = Arc::new(MemTable::try_new(schema, vec![batches.to_vec()])?);
    let stored = context.read_table(table)?.select(columns.clone())?;
    Ok((stored, context.read_table(computed)?.select(columns)?))
}

fn are_near(a: &ArrayRef, b: &ArrayRef) -> Result<bool, BoxError> {
    if !a.data_type().is_floating() {
        let plain = plain_type(a.data_type());
        return Ok(cast(a, &plain)?.to_data() == cast(b, &plain)?.to_data());
    }
    let (a, b) = (cast(a, &DataType::Float64)?, cast(b, &DataType::Float64)?);
    let (a, b) = (a.as_primitive::<Float64Type>(), b.as_primitive::<Float64Type>());
    let near = |(a, b): (Option<f64>, Option<f64>)| match (a, b) {
        (Some(a), Some(b)) => {
            a.to_bits() == b.to_bits()
                || a.is_nan() && b.is_nan()
                || (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
        }
        (a, b) => a.is_none() && b.is_none(),
    };
    Ok(a.iter().zip(b.iter()).all(near))
}
