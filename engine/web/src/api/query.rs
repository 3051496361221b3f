//! SQL over the catalog, where that is allowed: limited in rows, bytes, time and memory.

use arrow::csv::WriterBuilder;
use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::Diagnostic;
use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt;
use parquet::arrow::ArrowWriter;
use serde::Deserialize;
use utoipa::ToSchema;

use super::error::chain;
use super::repository::problems_in;
use super::rows::{Rows, collect, failed, within};
use super::{Answer, ApiError};
use crate::Web;
use crate::query::{QueryError, stream};

/// Rows that are shown.
const ROWS_MAX: usize = 1_000;
/// Rows of a file that is taken away.
const FILE_ROWS_MAX: usize = 1_000_000;
/// Bytes of a file that is taken away, in memory before it is encoded.
const FILE_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One `SELECT`.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Sql {
    sql: String,
}

/// One `SELECT` whose rows are taken away as a file.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Download {
    sql: String,
    format: FileFormat,
}

/// What a file is.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FileFormat {
    Csv,
    Parquet,
}

async fn rows(web: &Web, sql: &str) -> Result<SendableRecordBatchStream, ApiError> {
    if !web.may_query() {
        let message = "the server was started without `--query`, so SQL is not answered";
        return Err(ApiError::new(StatusCode::FORBIDDEN, message));
    }
    let engine = web.engine()?;
    within(stream(&engine, sql)).await?.map_err(|error| match error {
        QueryError::Text(problems) => in_text(&problems, sql),
        QueryError::Table(error) => error.into(),
        QueryError::Execution(error) => ApiError::invalid(chain(error.find_root())),
    })
}

fn in_text(problems: &[Diagnostic], sql: &str) -> ApiError {
    ApiError::problems("the query is wrong", &[]).with(problems_in(problems, sql))
}

/// The first rows of a query.
#[utoipa::path(post, path = "/query", request_body = Sql,
    responses((status = 200, body = Rows), (status = 403, body = ApiError),
        (status = 422, body = ApiError)))]
pub(crate) async fn query(State(web): State<Web>, Json(asked): Json<Sql>) -> Answer<Rows> {
    Ok(Json(collect(rows(&web, &asked.sql).await?, ROWS_MAX).await?))
}

/// The rows of a query as a file.
#[utoipa::path(post, path = "/query/download", request_body = Download,
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>),
        (status = 403, body = ApiError), (status = 422, body = ApiError)))]
pub(crate) async fn download(
    State(web): State<Web>,
    Json(asked): Json<Download>,
) -> Result<Response, ApiError> {
    let mut stream = rows(&web, &asked.sql).await?;
    let schema = stream.schema();
    let read = async {
        let (mut batches, mut count, mut bytes) = (Vec::new(), 0, 0);
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            count += batch.num_rows();
            bytes += batch.get_array_memory_size();
            if count > FILE_ROWS_MAX || bytes > FILE_BYTES_MAX {
                return Err(ApiError::invalid(
                    "the result is larger than a million rows or 256 MiB; \
                     `arrowsmith query --output FILE` has no such limit",
                ));
            }
            batches.push(batch);
        }
        Ok(batches)
    };
    let batches = within(read).await??;
    let (kind, name) = match asked.format {
        FileFormat::Csv => ("text/csv; charset=utf-8", "query.csv"),
        FileFormat::Parquet => ("application/vnd.apache.parquet", "query.parquet"),
    };
    let encode = move || match asked.format {
        FileFormat::Csv => csv(&batches),
        FileFormat::Parquet => parquet(&schema, &batches),
    };
    let broken = |error: String| ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error);
    let encoded = tokio::task::spawn_blocking(encode).await.map_err(|e| broken(e.to_string()))?;
    let body = encoded.map_err(broken)?;
    let disposition = format!("attachment; filename=\"{name}\"");
    let headers =
        [(header::CONTENT_TYPE, kind.to_owned()), (header::CONTENT_DISPOSITION, disposition)];
    Ok((headers, body).into_response())
}

fn csv(batches: &[RecordBatch]) -> Result<Vec<u8>, String> {
    let mut writer = WriterBuilder::new().with_header(true).build(Vec::new());
    batches.iter().try_for_each(|batch| writer.write(batch)).map_err(|e| e.to_string())?;
    Ok(writer.into_inner())
}

fn parquet(
    schema: &arrow::datatypes::SchemaRef,
    batches: &[RecordBatch],
) -> Result<Vec<u8>, String> {
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema.clone(), None).map_err(|e| e.to_string())?;
    batches.iter().try_for_each(|batch| writer.write(batch)).map_err(|e| e.to_string())?;
    writer.into_inner().map_err(|e| e.to_string())
}
