//! How columns are best encoded, seen from some of their rows.
//!
//! A dictionary looks every value up, which is most of what encoding costs. It is worth that for
//! texts and fractions that come again and again. Values that are all different gain nothing by one,
//! and the differences of whole numbers, dates and times are as small as the places in a dictionary,
//! at a fraction of the time. Statistics of pages leave out pages only where a column is clustered.
//! Packed differences and fractions with all of their digits are hardly smaller when they are
//! compressed, which is found out by doing it to the rows that are looked at.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type};
use arrow::record_batch::RecordBatch;
use arrow::row::{RowConverter, SortField};
use datafusion::common::hash_utils::{RandomState, create_hashes};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

/// Rows that are looked at; with fewer than the second nothing is said.
const SAMPLE: usize = 4096;
const SAMPLE_MIN: usize = 256;
/// Rows with which it is tried what compression saves.
const COMPRESSED_SAMPLE_MIN: usize = 1024;
/// Rows of a sample whose least and greatest values are compared with those of the next.
const CLUSTER: usize = 256;
/// Parts that compression leaves of a column at most, of as many.
const COMPRESSED_PARTS: (i64, i64) = (7, 8);
/// Rows whose differences have one width, as the delta encoding of Parquet has them.
const DELTA_BLOCK: usize = 128;
/// Bits more than in a dictionary that a difference may take.
const DELTA_BITS_MORE: u32 = 4;
/// Files of fewer rows have a page a column, of which an index would say again what the footer says.
const INDEXED_ROWS_MIN: usize = 20_000;
/// To set a codec up costs more than it saves of so few rows.
const COMPRESSED_ROWS_MIN: usize = 128;

/// What was seen of the columns of a table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look(Vec<Column>);

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// Whether a dictionary costs more than it gives.
    is_plain: bool,
    is_text: bool,
    /// Whether rows that are near each other have values that are near each other.
    is_clustered: bool,
    /// What it is compressed with, if not with what was asked for.
    compression: Option<Compression>,
}

impl Look {
    /// Looks at the first rows of a table, which will be written with these properties; `None` if they
    /// are too few to tell.
    pub(crate) fn at(rows: &RecordBatch, properties: &WriterProperties) -> Option<Self> {
        let sample = rows.slice(0, rows.num_rows().min(SAMPLE));
        if sample.num_rows() < SAMPLE_MIN {
            return None;
        }
        let mut columns = Vec::new();
        for (field, column) in sample.schema().fields().iter().zip(sample.columns()) {
            let data_type = field.data_type();
            if data_type.is_nested() || matches!(data_type, DataType::Dictionary(..)) {
                continue;
            }
            let text =
                matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            columns.push(Column {
                name: field.name().clone(),
                is_plain: is_plain(column),
                is_text: text,
                is_clustered: is_clustered(column),
                compression: None,
            });
        }
        let mut look = Self(columns);
        if sample.num_rows() >= COMPRESSED_SAMPLE_MIN
            && let Ok(dense) = dense_columns(&sample, look.suited(properties, None))
        {
            for column in look.0.iter_mut().filter(|column| dense.contains(&column.name)) {
                column.compression = Some(Compression::UNCOMPRESSED);
            }
        }
        Some(look)
    }

    /// The properties of a file of these columns; without what a small file does not need, if it is
    /// known to be one.
    pub(crate) fn suited(
        &self,
        properties: &WriterProperties,
        row_count: Option<usize>,
    ) -> WriterProperties {
        let mut builder = properties.clone().into_builder();
        for column in &self.0 {
            let path = ColumnPath::from(vec![column.name.clone()]);
            if column.is_plain {
                builder = builder.set_column_dictionary_enabled(path.clone(), false);
                if column.is_text {
                    let encoding = Encoding::DELTA_LENGTH_BYTE_ARRAY;
                    builder = builder.set_column_encoding(path.clone(), encoding);
                }
            }
            if let Some(compression) = column.compression {
                builder = builder.set_column_compression(path.clone(), compression);
            }
            if let Some(statistics) = column.statistics() {
                builder = builder.set_column_statistics_enabled(path, statistics);
            }
        }
        if row_count.is_some_and(|count| count < INDEXED_ROWS_MIN) {
            builder = builder
                .set_statistics_enabled(EnabledStatistics::Chunk)
                .set_offset_index_disabled(true);
        }
        if row_count.is_some_and(|count| count < COMPRESSED_ROWS_MIN) {
            builder = builder.set_compression(Compression::UNCOMPRESSED);
        }
        builder.build()
    }
}

impl Column {
    /// The statistics that the encoder takes of it, if not those of every page.
    fn statistics(&self) -> Option<EnabledStatistics> {
        match self {
            Self { is_clustered: true, .. } => None,
            // The encoder compares texts one by one, which costs as much as to write them; what is
            // told of a file is found out a batch at a time (see `texts.rs`).
            Self { is_text: true, .. } => Some(EnabledStatistics::None),
            _ => Some(EnabledStatistics::Chunk),
        }
    }
}

/// The columns that compression makes hardly smaller, found out by writing the rows to nowhere.
fn dense_columns(
    rows: &RecordBatch,
    properties: WriterProperties,
) -> Result<HashSet<String>, ParquetError> {
    let mut writer = ArrowWriter::try_new(std::io::sink(), rows.schema(), Some(properties))?;
    writer.write(rows)?;
    let written = writer.close()?;
    let (most, of) = COMPRESSED_PARTS;
    let columns = written.row_groups().iter().flat_map(RowGroupMetaData::columns);
    let dense = columns.filter(|column| {
        column.compression() != Compression::UNCOMPRESSED
            && column.compressed_size() * of > column.uncompressed_size() * most
    });
    Ok(dense.map(|column| column.column_path().string()).collect())
}

/// Whether most values are different, or are numbers whose differences take hardly more bits than
/// their places in a dictionary would.
fn is_plain(column: &ArrayRef) -> bool {
    let mut hashes = vec![0; column.len()];
    if create_hashes([column], &RandomState::with_seed(0), &mut hashes).is_err() {
        return false;
    }
    let values = column.len() - column.null_count();
    let different = hashes.into_iter().collect::<HashSet<u64>>().len();
    if values > 0 && different * 2 > values {
        return true;
    }
    let place_bits = usize::BITS - different.saturating_sub(1).leading_zeros();
    whole_numbers(column)
        .is_some_and(|numbers| delta_bits(&numbers) <= place_bits + DELTA_BITS_MORE)
}

/// The values of a column that Parquet stores as whole numbers.
fn whole_numbers(column: &ArrayRef) -> Option<Vec<i64>> {
    let numbers = match column.data_type() {
        DataType::Decimal128(precision, _) if *precision <= 18 => {
            let values = column.as_primitive::<Decimal128Type>().iter().flatten();
            return values.map(|value| i64::try_from(value).ok()).collect();
        }
        of if of.is_integer() => cast(column, &DataType::Int64),
        DataType::Date32 | DataType::Time32(_) => {
            cast(column, &DataType::Int32).and_then(|days| cast(&days, &DataType::Int64))
        }
        DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) => {
            cast(column, &DataType::Int64)
        }
        _ => return None,
    };
    Some(numbers.ok()?.as_primitive::<Int64Type>().iter().flatten().collect())
}

/// Bits of a difference between neighbours, as an average of blocks.
fn delta_bits(numbers: &[i64]) -> u32 {
    let differences: Vec<i64> = numbers.windows(2).map(|of| of[1].wrapping_sub(of[0])).collect();
    let bits = differences.chunks(DELTA_BLOCK).map(|block| {
        let (least, most) = block
            .iter()
            .fold((i64::MAX, i64::MIN), |(least, most), next| (least.min(*next), most.max(*next)));
        u64::BITS - most.wrapping_sub(least).cast_unsigned().leading_zeros()
    });
    let (sum, count) = bits.fold((0, 0), |(sum, count), bits| (sum + bits, count + 1));
    sum.checked_div(count).unwrap_or_default()
}

/// Whether at least half of the neighbouring parts of a column have no values in common, so that
/// statistics of its pages can leave some out.
fn is_clustered(column: &ArrayRef) -> bool {
    let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())]);
    let rows =
        converter.and_then(|converter| converter.convert_columns(std::slice::from_ref(column)));
    // What cannot be ordered is left as it was asked for.
    let Ok(rows) = rows else { return true };
    let starts = (0..rows.num_rows()).step_by(CLUSTER);
    let parts: Vec<_> = starts
        .filter_map(|start| {
            let part = start..(start + CLUSTER).min(rows.num_rows());
            Some((part.clone().map(|row| rows.row(row)).min()?, part.map(|r| rows.row(r)).max()?))
        })
        .collect();
    let apart = parts.windows(2).filter(|of| of[0].1 <= of[1].0 || of[1].1 <= of[0].0).count();
    apart * 2 >= parts.len().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Float64Array, Int64Array, StringArray};

    use parquet::basic::ZstdLevel;

    use super::*;

    fn looks() -> Look {
        let mut random = fastrand::Rng::with_seed(1);
        let rows = 0..4096_i32;
        let flags = rows.clone().map(|_| Some(["A", "N", "R"][random.usize(..3)]));
        let flags: ArrayRef = Arc::new(flags.collect::<StringArray>());
        let texts = rows.clone().map(|row| Some(format!("text {}", row * 4001 % 9973)));
        let texts: ArrayRef = Arc::new(texts.collect::<StringArray>());
        let keys: ArrayRef =
            Arc::new(rows.clone().map(|row| i64::from(row / 4)).collect::<Int64Array>());
        let wide = rows.clone().map(|_| [i64::MIN, 0, i64::MAX / 2, i64::MAX][random.usize(..4)]);
        let wide: ArrayRef = Arc::new(wide.collect::<Int64Array>());
        let dates: ArrayRef =
            Arc::new(Date32Array::from_iter_values(rows.clone().map(|_| random.i32(0..500))));
        let few: ArrayRef =
            Arc::new(rows.clone().map(|_| f64::from(random.i32(0..9))).collect::<Float64Array>());
        let many: ArrayRef = Arc::new(rows.map(|_| random.f64()).collect::<Float64Array>());
        let columns = [
            ("flags", flags),
            ("texts", texts),
            ("keys", keys),
            ("wide", wide),
            ("dates", dates),
            ("few", few),
            ("many", many),
        ];
        let zstd = Compression::ZSTD(ZstdLevel::default());
        let properties = WriterProperties::builder().set_compression(zstd).build();
        let rows = RecordBatch::try_from_iter(columns).expect("a batch");
        Look::at(&rows, &properties).expect("a look")
    }

    #[test]
    fn columns_are_encoded_as_their_rows_suggest() {
        let found = looks().0.into_iter();
        let found = found.map(|c| (c.name, c.is_plain, c.is_clustered, c.compression.is_some()));
        let expected = [
            ("flags", false, false, false),
            ("texts", true, false, false),
            ("keys", true, true, false),
            ("wide", false, false, true),
            ("dates", true, false, false),
            ("few", false, false, false),
            ("many", true, false, true),
        ];
        let expected =
            expected.map(|(name, plain, apart, dense)| (name.to_owned(), plain, apart, dense));
        assert_eq!(found.collect::<Vec<_>>(), expected);
    }
}
