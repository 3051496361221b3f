//! Whether two tables have the same rows, in whatever order.
//!
//! A row is hashed as a whole, over exactly the columns that are looked at: digests of single columns
//! could not tell {(1, x), (2, y)} from {(1, y), (2, x)}. The hash of a row is made of one hash for each
//! of its values, so that a value is hashed once for all who look at it. The hashes of rows are summed
//! modulo 2^64, so that the order of rows does not matter and digests of parts can be added. Two tables that
//! differ are taken for the same once in 2^64 times. None of it withstands somebody who looks for
//! collisions, who would gain nothing by them.

mod values;

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::BoxError;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::logical_expr::Expr;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

/// Odd, so that it can be undone, with bits everywhere: the multiplier of Knuth, "MMIX" (1999).
const FACTOR: u64 = 0x5851_f42d_4c95_7f2d;

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
    pub(crate) sum: u64,
}

impl Digest {
    /// Adds all rows of a batch, with all of its columns in their order.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let hashes = hashes_of(batch.columns().iter().map(Some))?;
        let columns: Vec<&[u64]> = hashes.iter().filter_map(Option::as_deref).collect();
        for hash in rows(&columns, batch.num_rows()) {
            self.add_row(hash);
        }
        Ok(())
    }

    /// Adds a row by its hash.
    pub(crate) fn add_row(&mut self, hash: u64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }

    /// That of these rows and those together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { rows: self.rows + other.rows, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// The hashes of the values of some columns of a batch; `None` in the place of others.
pub(crate) fn hashes_of<'a>(
    columns: impl Iterator<Item = Option<&'a ArrayRef>>,
) -> Result<Vec<Option<Vec<u64>>>, ArrowError> {
    columns.map(|column| column.map(values::hashes).transpose()).collect()
}

/// The hashes of rows by those of their values, whose order matters; zero for rows without any.
pub(crate) fn rows(columns: &[&[u64]], count: usize) -> Vec<u64> {
    let Some((first, others)) = columns.split_first() else { return vec![0; count] };
    let mut rows = first.to_vec();
    for column in others {
        for (row, value) in rows.iter_mut().zip(*column) {
            *row = row.wrapping_mul(FACTOR).wrapping_add(*value);
        }
    }
    // A sum of sums would be the same for values that change places between rows.
    for row in &mut rows {
        *row = values::mixed(*row);
    }
    rows
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
    use arrow::array::{DictionaryArray, Float64Array, Int64Array, StringArray, StringViewArray};
    use arrow::datatypes::Int8Type;

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
        let dictionary: DictionaryArray<Int8Type> = ["x", "y"].into_iter().collect();
        assert_eq!(of(&[1, 2], Arc::new(dictionary)), digest);
        let dictionary: DictionaryArray<Int8Type> = [None, Some("y")].into_iter().collect();
        assert_eq!(
            of(&[1, 2], Arc::new(dictionary)),
            of(&[1, 2], Arc::new(StringArray::from(vec![None, Some("y")])))
        );
        let sliced = Arc::new(StringArray::from(vec!["w", "x", "y"]).slice(1, 2));
        assert_eq!(of(&[1, 2], sliced), digest);
    }

    /// `1 / x` tells the zeros apart, nothing tells apart what is not a number.
    #[test]
    fn numbers_are_what_a_query_sees_of_them() {
        let of = |numbers: &[f64]| {
            let numbers: ArrayRef = Arc::new(Float64Array::from(numbers.to_vec()));
            let mut digest = Digest::default();
            digest.add(&RecordBatch::try_from_iter([("n", numbers)]).unwrap()).unwrap();
            digest
        };
        assert_ne!(of(&[0.0]), of(&[-0.0]));
        assert_eq!(of(&[f64::NAN]), of(&[f64::from_bits(f64::NAN.to_bits() | 1)]));
    }
}
