//! Cuts rows by the directory that they go into.
//!
//! Rows are cut a block at a time, not a batch: of a batch, thousands of keys would leave pieces of a
//! row or two, and what a piece costs would be all the cost there is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::{DataType, Schema, UInt32Type};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrowsmith_io_manager::{Error, HivePath, Result};
use datafusion::common::HashMap;

use crate::hive::HiveColumns;

/// The directories that were met, each with a number in the order of their coming.
pub(crate) struct Directories {
    columns: HiveColumns,
    /// `None` where the only key is an index, which is its own number.
    converter: Option<RowConverter>,
    numbers: HashMap<OwnedRow, u32>,
    pub(crate) paths: HashMap<u32, HivePath>,
}

/// Rows of one directory.
pub(crate) type Piece = (u32, RecordBatch);

impl Directories {
    pub(crate) fn try_new(columns: HiveColumns, schema: &Schema) -> Result<Self> {
        let types = columns.key_types(schema);
        let converter = if types == [DataType::UInt32] {
            None
        } else {
            let fields = types.into_iter().map(SortField::new).collect();
            Some(RowConverter::new(fields).map_err(Error::query)?)
        };
        Ok(Self { columns, converter, numbers: HashMap::new(), paths: HashMap::new() })
    }

    /// The number of each row's directory.
    fn numbers_of(&mut self, batch: &RecordBatch) -> Result<Vec<u32>> {
        let keys = self.columns.keys_of(batch);
        let Some(converter) = &self.converter else {
            let numbers = keys[0].as_primitive::<UInt32Type>().values().to_vec();
            let mut last = None;
            for (row, number) in numbers.iter().enumerate() {
                if last != Some(number) && !self.paths.contains_key(number) {
                    self.paths.insert(*number, self.columns.path(&keys, row)?);
                }
                last = Some(number);
            }
            return Ok(numbers);
        };
        let rows = converter.convert_columns(&keys).map_err(Error::query)?;
        let mut numbers: Vec<u32> = Vec::with_capacity(rows.num_rows());
        // Within a batch keys are looked up by their bytes, which need not be owned for that.
        let mut known: HashMap<&[u8], u32> = HashMap::new();
        for row in 0..rows.num_rows() {
            if row > 0 && rows.row(row) == rows.row(row - 1) {
                numbers.push(numbers[row - 1]);
                continue;
            }
            let bytes = rows.row(row).data();
            let number = match known.get(bytes) {
                Some(number) => *number,
                None => {
                    let number = self.number(rows.row(row).owned(), &keys, row)?;
                    known.insert(bytes, number);
                    number
                }
            };
            numbers.push(number);
        }
        Ok(numbers)
    }

    fn number(&mut self, key: OwnedRow, keys: &[ArrayRef], row: usize) -> Result<u32> {
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        let number = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.paths.insert(number, self.columns.path(keys, row)?);
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// The directory of each row of a block, and the columns that are stored of it.
    pub(crate) fn read(&mut self, block: &[RecordBatch]) -> Result<Block> {
        let numbers = block.iter().map(|batch| self.numbers_of(batch)).collect::<Result<_>>()?;
        let rows = block.iter().map(|batch| self.columns.stored(batch)).collect::<Result<_>>()?;
        Ok(Block { numbers, rows })
    }
}

/// Rows and the numbers of their directories, batch by batch.
pub(crate) struct Block {
    numbers: Vec<Vec<u32>>,
    rows: Vec<RecordBatch>,
}

impl Block {
    /// Cuts the block: rows of one directory stay in their order. What is clustered already is only
    /// sliced; anything else is moved once, by a counting sort.
    pub(crate) fn cut(self) -> Result<Vec<Piece>> {
        match self.clustered() {
            Some(pieces) => pieces,
            None => self.sorted(),
        }
    }

    /// The block as slices, if there are few of them.
    fn clustered(&self) -> Option<Result<Vec<Piece>>> {
        /// Slices of fewer rows than this on average are not worth it.
        const ROWS_MIN: usize = 1024;
        let rows: usize = self.numbers.iter().map(Vec::len).sum();
        let most = rows / ROWS_MIN + self.rows.len();
        let mut cuts = Vec::new();
        for (batch, numbers) in self.numbers.iter().enumerate() {
            let mut start = 0;
            for run in numbers.chunk_by(|a, b| a == b) {
                cuts.push((run[0], batch, start, run.len()));
                start += run.len();
                if cuts.len() > most {
                    return None;
                }
            }
        }
        let piece = |(number, batch, start, length): (u32, usize, usize, usize)| {
            Ok((number, compact(&self.rows[batch].slice(start, length))?))
        };
        Some(cuts.into_iter().map(piece).collect())
    }

    fn sorted(self) -> Result<Vec<Piece>> {
        let mut counts: HashMap<u32, usize> = HashMap::new();
        for number in self.numbers.iter().flatten() {
            *counts.entry(*number).or_default() += 1;
        }
        let mut order: Vec<(u32, usize)> = counts.into_iter().collect();
        order.sort_unstable();
        let mut next: HashMap<u32, usize> = HashMap::with_capacity(order.len());
        let mut total = 0;
        for (number, count) in &order {
            next.insert(*number, total);
            total += count;
        }
        let mut places = vec![(0, 0); total];
        for (batch, numbers) in self.numbers.iter().enumerate() {
            for (row, number) in numbers.iter().enumerate() {
                if let Some(at) = next.get_mut(number) {
                    places[*at] = (batch, row);
                    *at += 1;
                }
            }
        }
        let batches: Vec<&RecordBatch> = self.rows.iter().collect();
        let moved = interleave_record_batch(&batches, &places).map_err(Error::query)?;
        drop(self.rows);
        let moved = compact(&moved)?;
        let mut start = 0;
        let piece = |(number, count): (u32, usize)| {
            start += count;
            (number, moved.slice(start - count, count))
        };
        Ok(order.into_iter().map(piece).collect())
    }
}

/// The batch without the texts of other rows that its views hold on to.
pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let column = |column: &ArrayRef| -> ArrayRef {
        if let Some(texts) = column.as_string_view_opt() {
            Arc::new(texts.gc())
        } else if let Some(bytes) = column.as_binary_view_opt() {
            Arc::new(bytes.gc())
        } else {
            Arc::clone(column)
        }
    };
    let columns = batch.columns().iter().map(column).collect();
    RecordBatch::try_new(batch.schema(), columns).map_err(Error::query)
}

/// Bytes of the rows themselves, not of what they share with others.
pub(crate) fn size_bytes(batch: &RecordBatch) -> usize {
    let column = |column: &ArrayRef| -> usize {
        if let Some(texts) = column.as_string_view_opt() {
            return texts.len() * size_of::<u128>() + texts.total_buffer_bytes_used();
        }
        let data = column.to_data();
        data.get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
    };
    batch.columns().iter().map(column).sum()
}
