//! Record batches in any format.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::FormatOptions;
use arrow::util::pretty::pretty_format_batches_with_options;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use futures::StreamExt;
use parquet::arrow::ArrowWriter;

use super::{complain, written};
use crate::Exit;
use crate::args::QueryFormat;

/// Rows of a batch that a listing would show as text.
fn table(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<String, ArrowError> {
    let options = FormatOptions::default().with_null("");
    let shown = match batches {
        [] => pretty_format_batches_with_options(
            &[RecordBatch::new_empty(SchemaRef::clone(schema))],
            &options,
        )?,
        _ => pretty_format_batches_with_options(batches, &options)?,
    };
    Ok(shown.to_string())
}

/// Where rows go, one format each.
enum Sink<W: Write + Send> {
    Table { out: W, batches: Vec<RecordBatch> },
    Json(arrow::json::ArrayWriter<W>),
    Ndjson(arrow::json::LineDelimitedWriter<W>),
    Csv { out: W, header: bool },
    Parquet(Box<ArrowWriter<W>>),
    Arrow(Box<arrow::ipc::writer::FileWriter<W>>),
}

impl<W: Write + Send> Sink<W> {
    fn new(out: W, schema: &SchemaRef, format: QueryFormat) -> Result<Self, ArrowError> {
        Ok(match format {
            QueryFormat::Table => Self::Table { out, batches: Vec::new() },
            QueryFormat::Json => Self::Json(arrow::json::ArrayWriter::new(out)),
            QueryFormat::Ndjson => Self::Ndjson(arrow::json::LineDelimitedWriter::new(out)),
            QueryFormat::Csv => Self::Csv { out, header: true },
            QueryFormat::Parquet => {
                Self::Parquet(Box::new(ArrowWriter::try_new(out, SchemaRef::clone(schema), None)?))
            }
            QueryFormat::Arrow => {
                Self::Arrow(Box::new(arrow::ipc::writer::FileWriter::try_new(out, schema)?))
            }
        })
    }

    fn write(&mut self, batch: RecordBatch) -> Result<(), ArrowError> {
        match self {
            Self::Table { batches, .. } => batches.push(batch),
            Self::Json(writer) => writer.write(&batch)?,
            Self::Ndjson(writer) => writer.write(&batch)?,
            Self::Csv { out, header } => {
                arrow::csv::WriterBuilder::new()
                    .with_header(std::mem::take(header))
                    .build(out)
                    .write(&batch)?;
            }
            Self::Parquet(writer) => writer.write(&batch)?,
            Self::Arrow(writer) => writer.write(&batch)?,
        }
        Ok(())
    }

    fn finish(self, schema: &SchemaRef) -> Result<(), ArrowError> {
        match self {
            Self::Table { mut out, batches } => writeln!(out, "{}", table(schema, &batches)?)?,
            Self::Json(mut writer) => {
                writer.finish()?;
                writeln!(writer.into_inner())?;
            }
            Self::Ndjson(mut writer) => {
                writer.finish()?;
                writer.into_inner().flush()?;
            }
            Self::Csv { out, header } => {
                // A result without rows still has a header.
                if header {
                    let empty = RecordBatch::new_empty(SchemaRef::clone(schema));
                    Self::Csv { out, header }.write(empty)?;
                }
            }
            Self::Parquet(mut writer) => {
                writer.finish()?;
            }
            Self::Arrow(mut writer) => writer.finish()?,
        }
        Ok(())
    }
}

enum StreamError {
    Query(DataFusionError),
    Output(ArrowError),
}

async fn copy<W: Write + Send>(
    mut stream: SendableRecordBatchStream,
    out: W,
    format: QueryFormat,
) -> Result<u64, StreamError> {
    let schema = stream.schema();
    let mut sink = Sink::new(out, &schema, format).map_err(StreamError::Output)?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(StreamError::Query)?;
        rows += batch.num_rows() as u64;
        sink.write(batch).map_err(StreamError::Output)?;
    }
    sink.finish(&schema).map_err(StreamError::Output)?;
    Ok(rows)
}

fn told(error: StreamError) -> Exit {
    match error {
        StreamError::Query(error) => {
            complain(&format!("the query failed: {}", error.find_root()));
            Exit::Failed
        }
        StreamError::Output(ArrowError::IoError(_, error)) => {
            written(Err(error)).err().unwrap_or(Exit::Environment)
        }
        StreamError::Output(error) => {
            complain(&format!("the output cannot be written: {error}"));
            Exit::Failed
        }
    }
}

/// Prints a result as it streams; a table is aligned and so collected first.
pub(crate) async fn print_batches(
    stream: SendableRecordBatchStream,
    format: QueryFormat,
) -> Result<(), Exit> {
    if matches!(format, QueryFormat::Parquet | QueryFormat::Arrow) {
        complain("this format is not for a terminal; name a file by `--output FILE`");
        return Err(Exit::Usage);
    }
    let out = BufWriter::new(std::io::stdout());
    copy(stream, out, format).await.map(|_| ()).map_err(told)
}

/// Writes a result into a file, which appears only when it is complete.
pub(crate) async fn write_file(
    stream: SendableRecordBatchStream,
    format: QueryFormat,
    path: &Path,
) -> Result<u64, Exit> {
    let refuse = |error: std::io::Error| {
        complain(&format!("`{}` cannot be written: {error}", path.display()));
        Exit::Environment
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
    let file = File::create(&temporary).map_err(refuse)?;
    let copied = copy(stream, BufWriter::new(file), format).await;
    match copied {
        Ok(rows) => {
            std::fs::rename(&temporary, path).map_err(refuse)?;
            Ok(rows)
        }
        Err(error) => {
            drop(std::fs::remove_file(&temporary));
            Err(told(error))
        }
    }
}
