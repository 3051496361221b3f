//! Whether two tables have the same rows, in whatever order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Schema};
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::BoxError;
use datafusion::catalog::TableProvider;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

/// The digest of all rows of a table, of the columns of a schema.
pub(crate) async fn digest_of(
    session: &SessionState,
    table: Arc<dyn TableProvider>,
    schema: &Schema,
) -> Result<Digest, BoxError> {
    let mut digest = Digest::default();
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    let frame = SessionContext::new_with_state(session.clone()).read_table(table)?;
    let mut stream = frame.select_columns(&names)?.execute_stream().await?;
    while let Some(batch) = stream.try_next().await? {
        digest.add(&batch)?;
    }
    Ok(digest)
}

/// A sum of hashes of rows, which does not depend on their order.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Digest {
    rows: usize,
    sum: u64,
}

impl Digest {
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), BoxError> {
        // What a type is called may change on the way through a file, and its values must not.
        let plain = |column: &ArrayRef| -> Result<ArrayRef, BoxError> {
            Ok(match column.data_type() {
                DataType::Utf8View | DataType::LargeUtf8 | DataType::Dictionary(..) => {
                    arrow::compute::cast(column, &DataType::Utf8)?
                }
                _ => Arc::clone(column),
            })
        };
        let columns = batch.columns().iter().map(plain).collect::<Result<Vec<_>, _>>()?;
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&columns, &RandomState::with_seed(0), &mut hashes)?;
        self.rows += batch.num_rows();
        self.sum = hashes.iter().fold(self.sum, |sum, hash| sum.wrapping_add(*hash));
        Ok(())
    }
}
