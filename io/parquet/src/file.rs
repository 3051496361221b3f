//! One Parquet file: rows are encoded, hashed and uploaded as they come.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{ColumnStatistics, Error, HivePath, Result, Store, StoredFile};
use bytes::Bytes;
use datafusion::common::ScalarValue;
use futures::future::BoxFuture;
use object_store::buffered::BufWriter;
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::async_writer::AsyncFileWriter;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::properties::WriterProperties;
use tokio::io::AsyncWriteExt;

use crate::texts::Texts;

/// Bytes of a part of an upload, which wait in memory until there are as many: the least that S3 takes.
const PART_BYTES: usize = 5 * 1024 * 1024;

/// Where a file goes and how it is written.
#[derive(Debug, Clone)]
pub(crate) struct FileTarget {
    pub(crate) store: Store,
    /// The directory of the version, below the store's root.
    pub(crate) directory: String,
    pub(crate) schema: SchemaRef,
    pub(crate) properties: WriterProperties,
}

/// A file that is being written.
pub(crate) struct FileWriter {
    writer: AsyncArrowWriter<HashingWriter>,
    /// Relative to the directory of the version.
    path: String,
    partition: HivePath,
    row_count: u64,
    schema: SchemaRef,
    texts: Texts,
}

impl FileWriter {
    pub(crate) fn new(target: &FileTarget, partition: HivePath, name: &str) -> Result<Self> {
        let path = if partition == HivePath::default() {
            name.to_owned()
        } else {
            format!("{partition}/{name}")
        };
        let full = target.store.path(&format!("{}/{path}", target.directory))?;
        let upload = BufWriter::with_capacity(Arc::clone(target.store.objects()), full, PART_BYTES);
        let sink = HashingWriter { upload, hasher: blake3::Hasher::new(), size_bytes: 0 };
        let properties = Some(target.properties.clone());
        let schema = Arc::clone(&target.schema);
        let texts = Texts::new(&schema, &target.properties);
        let writer = AsyncArrowWriter::try_new(sink, Arc::clone(&schema), properties)
            .map_err(|e| write_error(&path, e))?;
        Ok(Self { writer, path, partition, row_count: 0, schema, texts })
    }

    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.row_count += batch.num_rows() as u64;
        self.texts.look(batch);
        self.writer.write(batch).await.map_err(|e| write_error(&self.path, e))
    }

    /// Bytes that are written or waiting to be.
    pub(crate) fn size_bytes(&self) -> u64 {
        (self.writer.bytes_written() + self.writer.in_progress_size()) as u64
    }

    /// Bytes that are encoded and wait to be part of an upload.
    pub(crate) fn held_bytes(&self) -> usize {
        self.writer.bytes_written() % PART_BYTES
    }

    /// Rows that are written later come into another row group.
    pub(crate) async fn end_group(&mut self) -> Result<()> {
        self.writer.flush().await.map_err(|e| write_error(&self.path, e))
    }

    /// Finishes the file; durable if the store is.
    pub(crate) async fn finish(mut self) -> Result<StoredFile> {
        let metadata = self.writer.finish().await.map_err(|e| write_error(&self.path, e))?;
        let sink = self.writer.into_inner();
        let mut columns = column_statistics(&self.schema, &metadata);
        columns.extend(self.texts.statistics(&self.schema));
        Ok(StoredFile {
            path: self.path,
            partition_key: self.partition.key,
            partition: self.partition.values.into_iter().collect(),
            row_count: self.row_count,
            size_bytes: sink.size_bytes,
            blake3: sink.hasher.finalize().to_hex().to_string(),
            columns,
        })
    }
}

/// Errors of the store come through the Parquet crate; they are told apart again here.
fn write_error(path: &str, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<object_store::Error>() {
            Ok(source) => Error::storage(path, *source),
            Err(source) => Error::query(ParquetError::External(source)),
        },
        other => Error::query(other),
    }
}

struct HashingWriter {
    upload: BufWriter,
    hasher: blake3::Hasher,
    size_bytes: u64,
}

impl AsyncFileWriter for HashingWriter {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, parquet::errors::Result<()>> {
        Box::pin(async move {
            self.hasher.update(&bytes);
            self.size_bytes += bytes.len() as u64;
            self.upload.put(bytes).await.map_err(|e| ParquetError::External(Box::new(e)))
        })
    }

    fn complete(&mut self) -> BoxFuture<'_, parquet::errors::Result<()>> {
        Box::pin(async move {
            let done = self.upload.shutdown().await;
            done.map_err(|e| match e.downcast::<object_store::Error>() {
                Ok(source) => ParquetError::External(Box::new(source)),
                Err(e) => ParquetError::External(Box::new(e)),
            })
        })
    }
}

/// Nulls, minimum and maximum of each column that has exact ones.
fn column_statistics(
    schema: &SchemaRef,
    metadata: &ParquetMetaData,
) -> BTreeMap<String, ColumnStatistics> {
    let parquet_schema = metadata.file_metadata().schema_descr();
    let groups = metadata.row_groups();
    let mut columns = BTreeMap::new();
    for field in schema.fields() {
        if field.data_type().is_nested() {
            continue;
        }
        let Ok(converter) = StatisticsConverter::try_new(field.name(), schema, parquet_schema)
        else {
            continue;
        };
        let nulls = converter.row_group_null_counts(groups).ok();
        let null_count = nulls
            .filter(|counts| counts.null_count() == 0)
            .map(|counts| counts.values().iter().sum());
        let exact = |flags: parquet::errors::Result<arrow::array::BooleanArray>| {
            flags.is_ok_and(|f| f.iter().all(|exact| exact == Some(true)))
        };
        let min = exact(converter.row_group_is_min_value_exact(groups))
            .then(|| converter.row_group_mins(groups).ok().and_then(|a| extreme(&a, false)));
        let max = exact(converter.row_group_is_max_value_exact(groups))
            .then(|| converter.row_group_maxes(groups).ok().and_then(|a| extreme(&a, true)));
        let statistics = ColumnStatistics { null_count, min: min.flatten(), max: max.flatten() };
        if statistics != ColumnStatistics::default() {
            columns.insert(field.name().clone(), statistics);
        }
    }
    columns
}

/// The smallest or largest value of an array in text form that parses back.
fn extreme(values: &ArrayRef, largest: bool) -> Option<String> {
    let mut best: Option<ScalarValue> = None;
    for row in 0..values.len() {
        let value = ScalarValue::try_from_array(values, row).ok()?;
        let better = match &best {
            Some(best) if largest => value.partial_cmp(best)?.is_gt(),
            Some(best) => value.partial_cmp(best)?.is_lt(),
            None => true,
        };
        if better && !value.is_null() {
            best = Some(value);
        }
    }
    let best = best?;
    let text = best.cast_to(&arrow::datatypes::DataType::Utf8).ok()?;
    match text {
        ScalarValue::Utf8(text) => text,
        _ => None,
    }
}
