//! Merges and snapshots: what is stored and what a query gives, as one plan.
//!
//! Each is a query over two tables, `__new` and `__previous`, in which each stands in one full join,
//! so that neither is computed twice.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrowsmith_definitions::{Code, Diagnostic, HardDeletes, Materialized, Snapshot};
use datafusion::catalog::TableProvider;
use datafusion::datasource::ViewTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use jiff::Timestamp;

use crate::parse::Query;
use crate::{InputTable, plan_query};

/// The columns that a snapshot has behind those of its query.
const VALID_FROM: &str = "valid_from";
const VALID_TO: &str = "valid_to";
const MOMENT: &str = "Timestamp(Microsecond, Some(\"UTC\"))";

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The columns that an incremental asset stores, given those of its query: all may be null, since
/// older rows need not have them.
pub(crate) fn stored_schema(how: &Materialized, query: &SchemaRef) -> SchemaRef {
    if !how.is_incremental() {
        return Arc::clone(query);
    }
    let mut fields: Vec<Field> =
        query.fields().iter().map(|f| f.as_ref().clone().with_nullable(true)).collect();
    if matches!(how, Materialized::Snapshot(_)) {
        let moment = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        fields.extend([VALID_FROM, VALID_TO].map(|name| Field::new(name, moment.clone(), true)));
    }
    Arc::new(Schema::new(fields))
}

/// Columns of the query that a snapshot has itself.
pub(crate) fn column_problems(how: &Materialized, query: &Schema) -> Vec<Diagnostic> {
    if !matches!(how, Materialized::Snapshot(_)) {
        return Vec::new();
    }
    let taken = [VALID_FROM, VALID_TO].into_iter().filter(|name| query.index_of(name).is_ok());
    let told = taken.map(|name| {
        let message = format!("a snapshot adds `{name}` itself, so its query has no such column");
        Diagnostic::error(Code::DuplicateColumn, message)
    });
    told.collect()
}

/// What a step stores: the rows of `new` put together with those that are stored already, if there
/// are any. `now` is in microseconds since 1970-01-01 UTC.
///
/// # Errors
/// The planner's, of which none is the user's after a check.
pub(crate) fn put_together(
    how: &Materialized,
    new: LogicalPlan,
    previous: Option<&Arc<dyn TableProvider>>,
    now: i64,
    state: &SessionState,
) -> Result<LogicalPlan> {
    let columns: Vec<String> =
        new.schema().fields().iter().map(|field| field.name().clone()).collect();
    let now = Timestamp::from_microsecond(now).unwrap_or_default();
    let sql = match (how, previous) {
        (Materialized::Merge { unique_key }, Some(_)) => merge(&columns, unique_key),
        (Materialized::Snapshot(snapshot), Some(_)) => changed(&columns, snapshot, now),
        (Materialized::Snapshot(snapshot), None) => first(snapshot, now),
        _ => return Ok(new),
    };
    let mut tables = HashMap::new();
    let view: Arc<dyn TableProvider> = Arc::new(ViewTable::new(new, None));
    tables.insert("__new".to_owned(), InputTable::Rows(view));
    if let Some(previous) = previous {
        tables.insert("__previous".to_owned(), InputTable::Rows(Arc::clone(previous)));
    }
    let file: Arc<Path> = Path::new("<incremental>").into();
    let query = Query::parse(&file, &sql.into())
        .map_err(|problem| DataFusionError::Internal(problem.message))?;
    Ok(plan_query(&query, state, &tables)?.0)
}

/// `n` and `p` are the same row.
fn same(unique_key: &[String]) -> String {
    let equal = unique_key.iter().map(|column| {
        let column = quoted(column);
        format!("(n.{column} is not distinct from p.{column})")
    });
    equal.collect::<Vec<_>>().join(" and ")
}

fn merge(columns: &[String], unique_key: &[String]) -> String {
    let chosen = columns.iter().map(|column| {
        let column = quoted(column);
        format!("case when n.\"__is\" then n.{column} else p.{column} end as {column}")
    });
    format!(
        "select {} from (select *, true as \"__is\" from \"__new\") n \
         full join \"__previous\" p on {}",
        chosen.collect::<Vec<_>>().join(", "),
        same(unique_key)
    )
}

/// When a new state began to hold.
fn began(snapshot: &Snapshot, table: &str, now: Timestamp) -> String {
    let now = format!("arrow_cast('{now}', '{MOMENT}')");
    match &snapshot.updated_at {
        Some(column) => {
            format!("coalesce(arrow_cast({table}{}, '{MOMENT}'), {now})", quoted(column))
        }
        None => now,
    }
}

fn first(snapshot: &Snapshot, now: Timestamp) -> String {
    format!(
        "select *, {} as {VALID_FROM}, arrow_cast(null, '{MOMENT}') as {VALID_TO} from \"__new\"",
        began(snapshot, "", now)
    )
}

/// An open row of a key that changed becomes two: the old one, closed, and the new one.
fn changed(columns: &[String], snapshot: &Snapshot, now: Timestamp) -> String {
    let key = &snapshot.unique_key;
    let differs = match &snapshot.updated_at {
        Some(column) => {
            let column = quoted(column);
            format!("n.{column} > p.{column}")
        }
        None => {
            let all = columns.iter().filter(|column| !key.contains(column));
            let compared: Vec<&String> = match snapshot.check_columns.as_slice() {
                [] => all.collect(),
                some => some.iter().collect(),
            };
            let distinct = compared.into_iter().map(|column| {
                let column = quoted(column);
                format!("(n.{column} is distinct from p.{column})")
            });
            let distinct = distinct.collect::<Vec<_>>();
            if distinct.is_empty() { "false".to_owned() } else { distinct.join(" or ") }
        }
    };
    let closed_when_gone = match snapshot.hard_deletes {
        HardDeletes::Ignore => "false",
        HardDeletes::Invalidate => "not is_new",
    };
    let (names, joined): (Vec<String>, Vec<String>) = columns
        .iter()
        .map(|column| {
            let (new, old, name) =
                (quoted(&format!("n:{column}")), quoted(&format!("p:{column}")), quoted(column));
            let chosen = format!("case when which = 1 then {new} else {old} end as {name}");
            (chosen, format!("n.{name} as {new}, p.{name} as {old}"))
        })
        .unzip();
    let plain = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let (names, joined, same) = (names.join(", "), joined.join(", "), same(key));
    let (began, now_text) =
        (began(snapshot, "n.", now), format!("arrow_cast('{now}', '{MOMENT}')"));
    format!(
        "with j as (
           select {joined}, p.{VALID_FROM} as was_from, {began} as began,
             coalesce(n.\"__is\", false) as is_new, coalesce(p.\"__is\", false) as is_old,
             coalesce(n.\"__is\" and p.\"__is\" and ({differs}), false) as is_changed
           from (select *, true as \"__is\" from \"__new\") n
           full join (
             select *, true as \"__is\" from \"__previous\" where {VALID_TO} is null
           ) p on {same}
         )
         select {plain}, {VALID_FROM}, {VALID_TO} from \"__previous\" where {VALID_TO} is not null
         union all
         select {names},
           case when which = 1 then began else was_from end as {VALID_FROM},
           case when which = 1 then arrow_cast(null, '{MOMENT}')
             when is_changed then began
             when {closed_when_gone} then {now_text}
             else arrow_cast(null, '{MOMENT}') end as {VALID_TO}
         from j cross join (values (0), (1)) w(which)
         where (which = 0 and is_old) or (which = 1 and is_new and (not is_old or is_changed))"
    )
}
