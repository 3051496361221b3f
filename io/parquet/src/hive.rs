//! The columns that say into which directory a row goes.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
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
    /// The columns that say where the rows of a batch go.
    pub(crate) fn keys_of(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        self.positions.iter().map(|at| Arc::clone(batch.column(*at))).collect()
    }

    /// The types of those columns.
    pub(crate) fn key_types(&self, schema: &Schema) -> Vec<DataType> {
        self.positions.iter().map(|at| schema.field(*at).data_type().clone()).collect()
    }

    /// The columns of a batch that stand in the files.
    pub(crate) fn stored(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        batch.project(&self.rest).map_err(Error::query)
    }

    /// Where a row belongs that has these keys.
    pub(crate) fn path(&self, keys: &[ArrayRef], row: usize) -> Result<HivePath> {
        let texts: Vec<Option<String>> =
            keys.iter().map(|key| text(&key.slice(row, 1))).collect::<Result<_>>()?;
        let (key, texts) = match (&self.keys, texts.as_slice()) {
            (Some(keys), [index, texts @ ..]) => {
                let index = index.as_ref().and_then(|index| index.parse::<usize>().ok());
                (index.and_then(|index| keys.get(index).cloned()), texts)
            }
            (_, texts) => (None, texts),
        };
        let pairs = self.names.iter().cloned().zip(texts.iter().cloned());
        Ok(HivePath { key, values: pairs.collect() })
    }
}

fn text(value: &ArrayRef) -> Result<Option<String>> {
    let array = cast(value, &DataType::Utf8).map_err(Error::query)?;
    let array = array.as_any().downcast_ref::<StringArray>();
    Ok(array.filter(|array| !array.is_null(0)).map(|array| array.value(0).to_owned()))
}
