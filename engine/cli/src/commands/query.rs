//! `query`: SQL over the current tables.

use std::io::Read;
use std::path::Path;

use arrowsmith_definitions::Diagnostic;
use arrowsmith_execution::Engine;
use arrowsmith_web::{QueryError, query_stream};
use datafusion::execution::SendableRecordBatchStream;

use crate::Exit;
use crate::args::QueryFormat;
use crate::context::{CommandResult, Context, fail};
use crate::diagnostics::report;
use crate::output::{complain, count, print_batches, say, write_file};

pub(crate) async fn query(
    context: &Context,
    sql: &str,
    format: QueryFormat,
    output: Option<&Path>,
) -> CommandResult {
    let mut text = sql.to_owned();
    if sql == "-" {
        text.clear();
        if let Err(error) = std::io::stdin().read_to_string(&mut text) {
            complain(&format!("standard input cannot be read: {error}"));
            return Err(Exit::Usage);
        }
    }
    let format = format_of(format, output);
    let engine = context.engine().await?;
    let stream = stream(&engine, &text).await?;
    match output {
        None => print_batches(stream, format).await?,
        Some(path) => {
            let rows = write_file(stream, format, path).await?;
            say(&format!("{} rows in `{}`", count(rows), path.display()));
        }
    }
    Ok(Exit::Ok)
}

/// The ending of the file says the format where the user did not.
fn format_of(format: QueryFormat, output: Option<&Path>) -> QueryFormat {
    let ending = output.and_then(Path::extension).and_then(|e| e.to_str());
    match (format, ending) {
        (QueryFormat::Table, Some("parquet")) => QueryFormat::Parquet,
        (QueryFormat::Table, Some("arrow" | "ipc" | "feather")) => QueryFormat::Arrow,
        (QueryFormat::Table, Some("csv")) => QueryFormat::Csv,
        (QueryFormat::Table, Some("json")) => QueryFormat::Json,
        (QueryFormat::Table, Some("ndjson" | "jsonl")) => QueryFormat::Ndjson,
        _ => format,
    }
}

async fn stream(engine: &Engine, text: &str) -> CommandResult<SendableRecordBatchStream> {
    query_stream(engine, text).await.map_err(|error| match error {
        QueryError::Text(diagnostics) => {
            // There is no file to show, so the query itself is shown above the mark.
            report_in_text(text, &diagnostics);
            Exit::Usage
        }
        QueryError::Table(error) => fail(&error),
        QueryError::Execution(error) => {
            complain(&format!("the query failed: {}", error.find_root()));
            Exit::Failed
        }
    })
}

fn report_in_text(text: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        let mut bare = diagnostic.clone();
        let place = bare.place.take();
        report(&[bare]);
        if let Some(place) = place {
            let line = text.lines().nth(place.start.line - 1).unwrap_or_default();
            say(&format!("  {line}\n  {}^", " ".repeat(place.start.column.saturating_sub(1))));
        }
    }
}
