//! Splits a stream of batches by the values of hive columns.
//!
//! Two phases, since one open encoder a key costs memory and time in proportion to the keys: rows
//! are first gathered by key as slices, and each key is then encoded at once by a single writer.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray, UInt32Array};
use arrow::compute::{cast, take_record_batch};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use arrowsmith_io_manager::{Error, HivePath, PartitionedWrite, Result, nearest};

/// The hive columns of a table and where they stand.
#[derive(Debug, Clone)]
pub(crate) struct HiveColumns {
    names: Vec<String>,
    /// The keys of partitions, if the first position is that of their indexes.
    keys: Option<Arc<[String]>>,
    positions: Vec<usize>,
    rest: Vec<usize>,
    /// The columns that stand in the files.
    pub(crate) file_schema: SchemaRef,
}

impl HiveColumns {
    /// The hive columns of these names, after the column of a partitioned write.
    pub(crate) fn try_new(
        table: &str,
        schema: &Schema,
        names: &[String],
        cut: Option<&PartitionedWrite>,
    ) -> Result<Self> {
        let refuse = |reason: String| Err(Error::Unwritable { table: table.to_owned(), reason });
        let mut positions = Vec::new();
        if let Some(cut) = cut {
            positions.push(schema.index_of(&cut.column).map_err(Error::query)?);
        }
        for name in names {
            let Ok(position) = schema.index_of(name) else {
                let known: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
                let near = nearest(name, known)
                    .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return refuse(format!("`partition_by` names no column `{name}`{near}"));
            };
            let data_type = schema.field(position).data_type();
            if data_type.is_nested() || data_type.is_floating() {
                return refuse(format!("`{name}` is {data_type}, which cannot be a directory"));
            }
            positions.push(position);
        }
        let rest: Vec<usize> =
            (0..schema.fields().len()).filter(|i| !positions.contains(i)).collect();
        if rest.is_empty() {
            return refuse("`partition_by` leaves no column to be stored".to_owned());
        }
        let file_schema = Arc::new(schema.project(&rest).map_err(Error::query)?);
        let keys = cut.map(|cut| Arc::clone(&cut.keys));
        Ok(Self { names: names.to_vec(), keys, positions, rest, file_schema })
    }
}

impl HiveColumns {
    /// Where a row belongs.
    fn path(&self, texts: &[StringArray], row: usize) -> HivePath {
        let value =
            |array: &StringArray| (!array.is_null(row)).then(|| array.value(row).to_owned());
        let (key, texts) = match (&self.keys, texts) {
            (Some(keys), [indexes, texts @ ..]) => {
                let index = value(indexes).and_then(|index| index.parse::<usize>().ok());
                (index.and_then(|index| keys.get(index).cloned()), texts)
            }
            _ => (None, texts),
        };
        let pairs = self.names.iter().zip(texts);
        let values = pairs.map(|(name, array)| (name.clone(), value(array))).collect();
        HivePath { key, values }
    }
}

/// Rows waiting to be written, by key.
pub(crate) struct Gathered {
    columns: HiveColumns,
    converter: RowConverter,
    keys: HashMap<OwnedRow, (HivePath, Vec<RecordBatch>)>,
    pub(crate) size_bytes: usize,
}

impl Gathered {
    pub(crate) fn try_new(columns: HiveColumns, schema: &Schema) -> Result<Self> {
        let fields = columns
            .positions
            .iter()
            .map(|i| SortField::new(schema.field(*i).data_type().clone()))
            .collect();
        let converter = RowConverter::new(fields).map_err(Error::query)?;
        Ok(Self { columns, converter, keys: HashMap::new(), size_bytes: 0 })
    }

    /// Adds the rows of a batch to their keys: ids, a counting sort, one `take`, and slices.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let keys: Vec<ArrayRef> =
            self.columns.positions.iter().map(|i| Arc::clone(batch.column(*i))).collect();
        let rows = self.converter.convert_columns(&keys).map_err(Error::query)?;
        let mut ids: HashMap<&[u8], usize> = HashMap::new();
        let mut members: Vec<Vec<u32>> = Vec::new();
        for row in 0..batch.num_rows() {
            let next = members.len();
            let id = *ids.entry(rows.row(row).data()).or_insert(next);
            if id == next {
                members.push(Vec::new());
            }
            members[id].push(u32::try_from(row).unwrap_or(u32::MAX));
        }
        let order = UInt32Array::from_iter_values(members.iter().flatten().copied());
        let stored = batch.project(&self.columns.rest).map_err(Error::query)?;
        let sorted = take_record_batch(&stored, &order).map_err(Error::query)?;
        self.size_bytes += sorted.get_array_memory_size();
        let texts = key_texts(&keys)?;
        let mut offset = 0;
        for rows_of_key in members {
            let first = rows_of_key[0] as usize;
            let slice = sorted.slice(offset, rows_of_key.len());
            offset += rows_of_key.len();
            let columns = &self.columns;
            self.keys
                .entry(rows.row(first).owned())
                .or_insert_with(|| (columns.path(&texts, first), Vec::new()))
                .1
                .push(slice);
        }
        Ok(())
    }

    /// Takes everything out, sorted by key so that files are named the same way each time.
    pub(crate) fn drain(&mut self) -> Vec<(HivePath, Vec<RecordBatch>)> {
        self.size_bytes = 0;
        let mut drained: Vec<_> = self.keys.drain().map(|(_, value)| value).collect();
        drained.sort_by(|a, b| a.0.cmp(&b.0));
        drained
    }
}

fn key_texts(keys: &[ArrayRef]) -> Result<Vec<StringArray>> {
    let text = |key: &ArrayRef| {
        let array = cast(key, &DataType::Utf8).map_err(Error::query)?;
        Ok(array
            .as_any()
            .downcast_ref::<StringArray>()
            .cloned()
            .unwrap_or_else(|| StringArray::new_null(key.len())))
    };
    keys.iter().map(text).collect()
}
