//! Whether two tables have the same rows, in whatever order.
//!
//! A row is hashed as a whole, over exactly the columns that are looked at: digests of single columns
//! could not tell {(1, x), (2, y)} from {(1, y), (2, x)}. The hashes are summed modulo 2^128, so that
//! the order of rows does not matter and digests of parts can be added.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use arrowsmith_definitions::BoxError;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use xxhash_rust::xxh3::xxh3_128;

/// The digest of all rows of a table, of the columns of a schema.
pub(crate) async fn digest_of(
    session: &SessionState,
    table: Arc<dyn TableProvider>,
    schema: &Schema,
) -> Result<Digest, BoxError> {
    let names: Vec<String> = schema.fields().iter().map(|f| f.name().clone()).collect();
    digest_where(session, table, &names, &[]).await
}

/// The digest of those rows for which filters are true, of some columns in this order.
///
/// # Errors
/// If there is no such column, or the rows cannot be read or hashed.
pub(crate) async fn digest_where(
    session: &SessionState,
    table: Arc<dyn TableProvider>,
    columns: &[String],
    filters: &[Expr],
) -> Result<Digest, BoxError> {
    let mut digest = Digest::default();
    let mut frame = SessionContext::new_with_state(session.clone()).read_table(table)?;
    for filter in filters {
        frame = frame.filter(filter.clone())?;
    }
    if columns.is_empty() {
        digest.rows = frame.count().await? as u64;
        return Ok(digest);
    }
    let columns: Vec<Expr> = columns.iter().map(datafusion::prelude::ident).collect();
    let mut stream = frame.select(columns)?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        digest.add(&batch)?;
    }
    Ok(digest)
}

/// A sum of hashes of rows, and how many there are.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest {
    pub(crate) rows: u64,
    pub(crate) sum: u128,
}

impl Digest {
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), BoxError> {
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        let fields = columns.iter().map(|column| SortField::new(column.data_type().clone()));
        let rows = RowConverter::new(fields.collect())?.convert_columns(&columns)?;
        self.rows += batch.num_rows() as u64;
        let hashes = rows.iter().map(|row| xxh3_128(row.as_ref()));
        self.sum = hashes.fold(self.sum, u128::wrapping_add);
        Ok(())
    }

    /// That of these rows and those together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// A column without what only says how its values are kept.
fn plain(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let kept = plain_type(column.data_type());
    if kept == *column.data_type() {
        Ok(Arc::clone(column))
    } else {
        arrow::compute::cast(column, &kept)
    }
}

/// A type without what only says how its values are kept: views, long offsets, dictionaries.
pub(crate) fn plain_type(data_type: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())))
    };
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::List(field) | DataType::LargeList(field) => DataType::List(inner(field)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray, StringViewArray};

    use super::*;

    fn of(numbers: &[i64], texts: ArrayRef) -> Digest {
        let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
        let batch = RecordBatch::try_from_iter([("n", numbers), ("t", texts)]).unwrap();
        let mut digest = Digest::default();
        digest.add(&batch).unwrap();
        digest
    }

    #[test]
    fn rows_are_told_apart_and_their_order_is_not() {
        let texts = |texts: &[&str]| Arc::new(StringArray::from(texts.to_vec())) as ArrayRef;
        let digest = of(&[1, 2], texts(&["x", "y"]));
        assert_eq!(of(&[2, 1], texts(&["y", "x"])), digest);
        assert_ne!(of(&[1, 2], texts(&["y", "x"])), digest, "each column alone is the same");
        assert_eq!(of(&[1], texts(&["x"])).and(of(&[2], texts(&["y"]))), digest);
        assert_eq!(of(&[1, 2], Arc::new(StringViewArray::from(vec!["x", "y"]))), digest);
        assert_ne!(of(&[1, 1], texts(&["x", "x"])), of(&[1], texts(&["x"])));
        let nulls = Arc::new(StringArray::from(vec![None, Some("y")]));
        assert_ne!(of(&[1, 2], nulls), of(&[1, 2], texts(&["", "y"])));
    }
}
