//! How columns are best encoded, seen from some of their rows.
//!
//! A dictionary of values that are all different costs their bytes and an index for each on top. In
//! files of a few thousand rows, of which a partitioned table has many, it never gets so large that
//! the writer gives it up.

use std::collections::HashSet;

use arrow::array::Array;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows that are looked at; with fewer than the second nothing is said.
const SAMPLE: usize = 4096;
const SAMPLE_MIN: usize = 256;
/// Files of fewer rows have a page a column, of which an index would say again what the footer says.
const INDEXED_ROWS_MIN: usize = 20_000;

/// To set a codec up costs more than it saves of so few rows.
const COMPRESSED_ROWS_MIN: usize = 128;

/// The columns in which most values of a sample are different.
pub(crate) fn distinct_columns(rows: &RecordBatch) -> Option<Vec<(String, DataType)>> {
    let sample = rows.slice(0, rows.num_rows().min(SAMPLE));
    if sample.num_rows() < SAMPLE_MIN {
        return None;
    }
    let mut distinct = Vec::new();
    for (field, column) in sample.schema().fields().iter().zip(sample.columns()) {
        let data_type = field.data_type();
        if data_type.is_nested() || matches!(data_type, DataType::Dictionary(..)) {
            continue;
        }
        let mut hashes = vec![0; column.len()];
        if create_hashes([column], &RandomState::with_seed(0), &mut hashes).is_err() {
            continue;
        }
        let values = column.len() - column.null_count();
        let different = hashes.into_iter().collect::<HashSet<u64>>().len();
        if values > 0 && different * 2 > values {
            distinct.push((field.name().clone(), data_type.clone()));
        }
    }
    Some(distinct)
}

/// The properties of a file of so many rows: without dictionaries for these columns, and without
/// what a small file does not need.
pub(crate) fn suited(
    properties: &WriterProperties,
    distinct: &[(String, DataType)],
    row_count: usize,
) -> WriterProperties {
    let mut builder = properties.clone().into_builder();
    for (column, data_type) in distinct {
        let path = ColumnPath::from(column.as_str());
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
        if matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) {
            builder = builder.set_column_encoding(path, Encoding::DELTA_LENGTH_BYTE_ARRAY);
        }
    }
    if row_count < INDEXED_ROWS_MIN {
        builder = builder
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true);
    }
    if row_count < COMPRESSED_ROWS_MIN {
        builder = builder.set_compression(Compression::UNCOMPRESSED);
    }
    builder.build()
}
