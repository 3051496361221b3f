//! SQL over the current tables: what the query page and the `query` command ask.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{AssetReference, Code, Diagnostic};
use arrowsmith_execution::{Engine, Error, system_tables};
use arrowsmith_sql::{InputTable, Query, diagnose, plan_query};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::execute_stream;

/// Why a query could not be answered.
#[derive(Debug)]
pub enum QueryError {
    /// The text is wrong; places are in it.
    Text(Vec<Diagnostic>),
    /// A table could not be read.
    Table(Error),
    /// It failed while it ran.
    Execution(DataFusionError),
}

impl From<Error> for QueryError {
    fn from(error: Error) -> Self {
        Self::Table(error)
    }
}

/// The rows of one `SELECT` over assets and `system` tables, as they are current; nothing else can be
/// named, and nothing can be changed.
///
/// # Errors
/// `Text` with all that is wrong; `Table` if one was never materialized or its store cannot be reached.
pub async fn stream(engine: &Engine, text: &str) -> Result<SendableRecordBatchStream, QueryError> {
    let file: Arc<Path> = Path::new("<query>").into();
    let query = Query::parse(&file, &text.into()).map_err(|d| QueryError::Text(vec![d]))?;
    let mut tables = HashMap::new();
    let mut unknown = Vec::new();
    for table in &query.tables {
        let reference = AssetReference { segments: table.segments.clone() };
        // An asset of the same name goes first.
        let found = engine.resolved.find_reference(&reference);
        if let ([schema, name], Err(_)) = (table.segments.as_slice(), &found)
            && schema == "system"
        {
            match engine.system_table(name).await? {
                Some(rows) => {
                    tables.insert(table.name.clone(), InputTable::Rows(rows));
                }
                None => unknown.push(no_system_table(name).at(table.place.clone())),
            }
            continue;
        }
        match found {
            Ok(resolved) => {
                let rows = engine.table(&resolved.asset.key).await?;
                tables.insert(table.name.clone(), InputTable::Rows(rows));
            }
            Err(diagnostic) => unknown.push(diagnostic.at(table.place.clone())),
        }
    }
    if !unknown.is_empty() {
        return Err(QueryError::Text(unknown));
    }
    let state = engine.session();
    let wrong = |error: &DataFusionError| QueryError::Text(diagnose(&query, error));
    let (plan, _) = plan_query(&query, state, &tables).map_err(|e| wrong(&e))?;
    let plan = state.create_physical_plan(&plan).await.map_err(|e| wrong(&e))?;
    execute_stream(plan, state.task_ctx()).map_err(QueryError::Execution)
}

fn no_system_table(name: &str) -> Diagnostic {
    let names = system_tables();
    let full = format!("system.{name}");
    let near = arrowsmith_definitions::nearest(&full, names.iter().map(String::as_str));
    Diagnostic::error(Code::UnknownTable, format!("there is no table `{full}`"))
        .did_you_mean(near.map(str::to_owned))
        .help(format!("the instance has {}", names.join(", ")))
}
