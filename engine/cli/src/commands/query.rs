//! `query`: SQL over the current tables.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{AssetReference, Code, Diagnostic};
use arrowsmith_execution::{Engine, system_tables};
use arrowsmith_sql::{InputTable, Query, diagnose, plan_query};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;

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
    let told = |diagnostics: Vec<Diagnostic>| {
        // There is no file to show, so the query itself is shown above the mark.
        report_in_text(text, &diagnostics);
        Exit::Usage
    };
    let file: Arc<Path> = Path::new("<query>").into();
    let query = Query::parse(&file, &text.into()).map_err(|d| told(vec![d]))?;
    let mut tables = HashMap::new();
    let mut unknown = Vec::new();
    for table in &query.tables {
        let reference = AssetReference { segments: table.segments.clone() };
        // An asset of the same name goes first.
        let found = engine.resolved.find_reference(&reference);
        if let ([schema, name], Err(_)) = (table.segments.as_slice(), &found)
            && schema == "system"
        {
            if let Some(rows) = engine.system_table(name).await.map_err(|e| fail(&e))? {
                tables.insert(table.name.clone(), InputTable::Rows(rows));
                continue;
            }
            let names = system_tables();
            let full = format!("system.{name}");
            let near = arrowsmith_definitions::nearest(&full, names.iter().map(String::as_str));
            let problem =
                Diagnostic::error(Code::UnknownTable, format!("there is no table `{full}`"))
                    .at(table.place.clone())
                    .did_you_mean(near.map(str::to_owned))
                    .help(format!("the instance has {}", names.join(", ")));
            unknown.push(problem);
            continue;
        }
        match found {
            Ok(resolved) => {
                let rows = engine.table(&resolved.asset.key).await.map_err(|e| fail(&e))?;
                tables.insert(table.name.clone(), InputTable::Rows(rows));
            }
            Err(diagnostic) => unknown.push(diagnostic.at(table.place.clone())),
        }
    }
    if !unknown.is_empty() {
        return Err(told(unknown));
    }
    let state = engine.session();
    let planned = plan_query(&query, state, &tables);
    let (plan, _) = planned.map_err(|e| told(diagnose(&query, &e)))?;
    let plan = state.create_physical_plan(&plan).await.map_err(|e| told(diagnose(&query, &e)))?;
    execute_stream(plan, state.task_ctx()).map_err(|error| {
        complain(&format!("the query failed: {}", error.find_root()));
        Exit::Failed
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
