//! The rows of a bench, and what is asked of them.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::BoxError;
use datafusion::catalog::TableProvider;
use datafusion::common::ScalarValue;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;

use crate::digest::{Digest, digest_of};

/// Rows of a generated batch.
const BATCH: usize = 8192;
/// 2024-01-01, from which generated events go on for a year.
const FIRST: i64 = 1_704_067_200_000_000;
const YEAR: i64 = 366 * 86_400_000_000;

/// A table in memory, in as many partitions as are written at the same time.
#[derive(Debug, Clone)]
pub struct BenchRows {
    /// Its columns.
    pub schema: SchemaRef,
    /// How many rows it has.
    pub row_count: usize,
    /// Its bytes in memory.
    pub size_bytes: usize,
    pub(super) partitions: Vec<Vec<RecordBatch>>,
}

/// What is asked of a table, chosen by the types of its columns.
#[derive(Debug)]
pub(super) struct Questions {
    pub(super) projected: Vec<String>,
    pub(super) number: Option<String>,
    pub(super) text: Option<String>,
    pub(super) point: (String, ScalarValue),
    pub(super) partition: Option<(String, ScalarValue)>,
}

impl BenchRows {
    /// Events in the order of their time: `ts`, `month`, `user_id`, `category`, `amount`, `note`.
    pub fn generated(row_count: usize) -> Result<Self, BoxError> {
        let schema = Arc::new(Schema::new(vec![
            Field::new("ts", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
            Field::new("month", DataType::Utf8, false),
            Field::new("user_id", DataType::Int64, false),
            Field::new("category", DataType::Utf8, false),
            Field::new("amount", DataType::Float64, true),
            Field::new("note", DataType::Utf8, true),
        ]));
        let batches = (0..row_count.div_ceil(BATCH)).map(|i| {
            let rows = i * BATCH..row_count.min((i + 1) * BATCH);
            generated_batch(&schema, rows, row_count)
        });
        Self::new(Arc::clone(&schema), batches.collect::<Result<_, _>>()?)
    }

    /// All rows of a table.
    ///
    /// # Errors
    /// If it cannot be read, or has no rows.
    pub async fn of_table(
        session: &SessionState,
        table: Arc<dyn TableProvider>,
    ) -> Result<Self, BoxError> {
        let schema = table.schema();
        let frame = SessionContext::new_with_state(session.clone()).read_table(table)?;
        Self::new(schema, frame.collect().await?)
    }

    fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self, BoxError> {
        let row_count = batches.iter().map(RecordBatch::num_rows).sum();
        if row_count == 0 {
            return Err("there are no rows to measure with".into());
        }
        let size_bytes = batches.iter().map(RecordBatch::get_array_memory_size).sum();
        let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let each = batches.len().div_ceil(count).max(1);
        let partitions = batches.chunks(each).map(<[RecordBatch]>::to_vec).collect();
        Ok(Self { schema, row_count, size_bytes, partitions })
    }

    /// Whether a table has exactly these rows, in any order.
    pub(super) async fn is_equal(
        &self,
        session: &SessionState,
        table: Arc<dyn TableProvider>,
    ) -> Result<bool, BoxError> {
        let mut mine = Digest::default();
        self.partitions.iter().flatten().try_for_each(|batch| mine.add(batch))?;
        Ok(mine == digest_of(session, table, &self.schema).await?)
    }
}

fn generated_batch(
    schema: &SchemaRef,
    rows: std::ops::Range<usize>,
    of: usize,
) -> Result<RecordBatch, BoxError> {
    // A fixed sequence, so that two runs measure the same rows.
    let noise = |row: usize, salt: u64| {
        let mut x = (row as u64).wrapping_add(salt).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        x ^= x >> 31;
        x.wrapping_mul(0xBF58_476D_1CE4_E5B9)
    };
    let whole = |row: usize| i64::try_from(row).unwrap_or(i64::MAX);
    let at = |row: usize| FIRST + YEAR / whole(of) * whole(row);
    let months = rows.clone().map(|row| {
        let moment = jiff::Timestamp::from_microsecond(at(row)).unwrap_or_default();
        moment.strftime("%Y-%m").to_string()
    });
    let amount = |row: usize| {
        let cents = noise(row, 3) % 100_000;
        (cents % 50 > 0).then(|| cents as f64 / 100.0)
    };
    let note =
        |row: usize| (!row.is_multiple_of(3)).then(|| format!("{:08x}", noise(row, 4) >> 32));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            TimestampMicrosecondArray::from_iter_values(rows.clone().map(at)).with_timezone("UTC"),
        ),
        Arc::new(StringArray::from_iter_values(months)),
        Arc::new(Int64Array::from_iter_values(
            rows.clone().map(|row| (noise(row, 1) % 200_000).cast_signed()),
        )),
        Arc::new(StringArray::from_iter_values(
            rows.clone().map(|row| format!("category_{:03}", noise(row, 2) % 200)),
        )),
        Arc::new(rows.clone().map(amount).collect::<Float64Array>()),
        Arc::new(rows.map(note).collect::<StringArray>()),
    ];
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

impl Questions {
    pub(super) fn of(rows: &BenchRows, partition_by: &[String]) -> Self {
        let fields = rows.schema.fields();
        let first = |fits: fn(&DataType) -> bool| {
            let found = fields.iter().find(|field| fits(field.data_type()));
            found.map(|field| field.name().clone())
        };
        let value = |column: &str| {
            let all: Vec<&RecordBatch> = rows.partitions.iter().flatten().collect();
            let middle = all[all.len() / 2];
            let row = middle.num_rows() / 2;
            let array = middle.column_by_name(column);
            let value = array.and_then(|array| ScalarValue::try_from_array(array, row).ok());
            value.unwrap_or(ScalarValue::Null)
        };
        let point = fields[0].name().clone();
        Self {
            projected: fields.iter().take(2).map(|field| field.name().clone()).collect(),
            number: first(DataType::is_numeric),
            text: first(|data_type| {
                matches!(data_type, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8)
            }),
            point: (point.clone(), value(&point)),
            partition: partition_by.first().map(|column| (column.clone(), value(column))),
        }
    }
}
