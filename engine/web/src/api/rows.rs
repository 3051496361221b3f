//! Rows as text: exact whatever their type, since numbers of JSON are not.

use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::ApiError;
use super::assets::Column;
use super::error::chain;

/// How long rows are computed for a page.
pub(super) const TIME_LIMIT: Duration = Duration::from_secs(30);
/// A longer text is cut, with `…` at its end.
const CELL_CHARACTERS_MAX: usize = 2_000;

/// Some rows.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rows {
    /// The columns.
    pub(crate) columns: Vec<Column>,
    /// The values of each row as text; null is null.
    pub(crate) rows: Vec<Vec<Option<String>>>,
    /// Whether there are more rows than these.
    pub(crate) more: bool,
    /// How many rows there are, if that is known without reading them.
    pub(crate) total: Option<u64>,
}

/// At most `limit` rows of a stream, within the time limit.
pub(super) async fn collect(
    mut stream: SendableRecordBatchStream,
    limit: usize,
) -> Result<Rows, ApiError> {
    let columns = columns(&stream.schema());
    let read = async {
        let (mut rows, mut more) = (Vec::new(), false);
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            let left = limit - rows.len();
            more |= batch.num_rows() > left;
            rows.extend(texts(&batch.slice(0, batch.num_rows().min(left)))?);
            if more {
                break;
            }
        }
        Ok::<_, ApiError>((rows, more))
    };
    let (rows, more) = within(read).await??;
    Ok(Rows { columns, rows, more, total: None })
}

/// What does not end in time is told so, and is dropped, which stops it.
pub(super) async fn within<T>(work: impl Future<Output = T>) -> Result<T, ApiError> {
    let done = tokio::time::timeout(TIME_LIMIT, work).await;
    done.map_err(|_elapsed| {
        let seconds = TIME_LIMIT.as_secs();
        ApiError::invalid(format!("it took longer than {seconds} s and was stopped"))
    })
}

pub(super) fn failed(error: datafusion::error::DataFusionError) -> ApiError {
    ApiError::invalid(chain(error.find_root()))
}

fn columns(schema: &SchemaRef) -> Vec<Column> {
    let column = |field: &std::sync::Arc<arrow::datatypes::Field>| Column {
        name: field.name().clone(),
        data_type: field.data_type().to_string(),
        nullable: field.is_nullable(),
        description: None,
    };
    schema.fields().iter().map(column).collect()
}

fn texts(batch: &RecordBatch) -> Result<Vec<Vec<Option<String>>>, ApiError> {
    let options = FormatOptions::default().with_null("");
    let formatters = batch.columns().iter().map(|array| {
        ArrayFormatter::try_new(array.as_ref(), &options).map(|formatter| (array, formatter))
    });
    let formatters = formatters.collect::<Result<Vec<_>, _>>();
    let formatters = formatters.map_err(|error| ApiError::invalid(error.to_string()))?;
    let cell = |(array, formatter): &(&arrow::array::ArrayRef, ArrayFormatter<'_>), row| {
        (!array.is_null(row)).then(|| shortened(formatter.value(row).to_string()))
    };
    let rows = (0..batch.num_rows())
        .map(|row| formatters.iter().map(|column| cell(column, row)).collect());
    Ok(rows.collect())
}

fn shortened(text: String) -> String {
    match text.char_indices().nth(CELL_CHARACTERS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
