//! Rows by partition, gathered until they are written.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::UInt32Type;
use arrow::record_batch::RecordBatch;
use datafusion::error::DataFusionError;

use crate::{Error, PartitionedWrite, Result};

/// The rows of each partition as slices of batches, in the order in which they came.
///
/// A batch whose rows belong to one partition is kept as it is; any other is sorted once by
/// counting and taken once, so that the cost does not grow with the number of keys.
#[derive(Debug)]
pub struct PartitionRows {
    cut: PartitionedWrite,
    rows: BTreeMap<u32, Vec<RecordBatch>>,
    size_bytes: usize,
}

impl PartitionRows {
    /// No rows yet.
    pub fn new(cut: PartitionedWrite) -> Self {
        Self { cut, rows: BTreeMap::new(), size_bytes: 0 }
    }

    /// Bytes of memory that are held.
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }

    /// Adds the rows of a batch, without the column of indexes.
    ///
    /// # Errors
    /// `Query` if the column is missing, of another type, or holds what is no index of a key.
    pub fn add(&mut self, mut batch: RecordBatch) -> Result<()> {
        let name = &self.cut.column;
        let at = batch.schema().index_of(name).map_err(Error::query)?;
        let wrong =
            || DataFusionError::Internal(format!("`{name}` holds no indexes of partitions"));
        let column = batch.remove_column(at);
        let indexes =
            column.as_primitive_opt::<UInt32Type>().ok_or_else(|| Error::query(wrong()))?;
        let known = |index: Option<u32>| index.is_some_and(|i| (i as usize) < self.cut.keys.len());
        if !indexes.iter().all(known) {
            return Err(Error::query(wrong()));
        }
        let Some(first) = indexes.iter().flatten().next() else { return Ok(()) };
        self.size_bytes += batch.get_array_memory_size();
        if indexes.values().iter().all(|index| *index == first) {
            self.rows.entry(first).or_default().push(batch);
            return Ok(());
        }
        let mut members: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (row, index) in (0..).zip(indexes.values()) {
            members.entry(*index).or_default().push(row);
        }
        let order = UInt32Array::from_iter_values(members.values().flatten().copied());
        let sorted = take_record_batch(&batch, &order).map_err(Error::query)?;
        let mut offset = 0;
        for (index, rows) in members {
            self.rows.entry(index).or_default().push(sorted.slice(offset, rows.len()));
            offset += rows.len();
        }
        Ok(())
    }

    /// Takes everything out: each key with its rows, in the order of the keys.
    pub fn drain(&mut self) -> Vec<(String, Vec<RecordBatch>)> {
        self.size_bytes = 0;
        let keys = Arc::clone(&self.cut.keys);
        let rows = std::mem::take(&mut self.rows).into_iter();
        rows.map(|(index, batches)| (keys[index as usize].clone(), batches)).collect()
    }
}
