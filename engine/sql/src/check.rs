//! Checks of SQL assets: `[checks]` in the front matter.
//!
//! | key | holds if |
//! |---|---|
//! | `not_null = ["a"]` | no value of the column is null |
//! | `unique = ["a", ["a", "b"]]` | no two rows have the same values |
//! | `accepted_values = { a = ["x", "y"] }` | every value that is not null is one of them |
//! | `range = { a = { min = 0, max = 9 } }` | every value that is not null is between them |
//! | `expression = { name = "a <= b" }` | the expression is not false for any row |
//! | `expression = { name = "avg(a) < 60" }` | an expression over aggregates is not false |
//! | `relationships = { a = "staging.b.id" }` | every value that is not null is in that column |
//! | `row_count = { min = 1 }` | there are so many rows |
//! | `query = { name = "select … from this.asset where …" }` | the query returns no row |

mod aggregate;
mod read;

pub(crate) use read::{add_key_check, read_checks};

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrowsmith_definitions::{
    AssetKey, AssetReference, BoxError, CheckBody, CheckContext, CheckResult, Code, Diagnostic,
    InputSchema, Place, SAMPLED_ROWS, Watch, nearest,
};
use async_trait::async_trait;
use datafusion::common::DFSchema;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{Expr, ident, lit};
use datafusion::prelude::{DataFrame, SessionContext};
use serde_json::Value;

use crate::parse::Query;
use crate::{InputTable, diagnose, plan_query, planning_session};

/// The name of the rows while an expression is planned.
const TABLE: &str = "checked";

/// What must hold.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    NotNull(String),
    Accepted(String, Vec<Value>),
    Range { column: String, min: Option<Value>, max: Option<Value> },
    Expression(Box<Query>),
    Unique(Vec<String>),
    Relationship { column: String, table: AssetReference, other: String },
    RowCount { min: Option<u64>, max: Option<u64> },
    Query(Box<Query>),
}

/// A condition and where it is written.
#[derive(Debug, Clone)]
pub(crate) struct SqlCheck {
    pub(crate) condition: Condition,
    pub(crate) place: Place,
}

/// An expression as a query over the rows.
fn expression(file: &Arc<Path>, text: &str) -> Result<Query, Diagnostic> {
    Query::parse(file, &format!("select ({text}) from {TABLE}").into())
}

fn literal(value: &Value) -> Expr {
    match value {
        Value::Bool(truth) => lit(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => lit(whole),
            None => lit(number.as_f64().unwrap_or(f64::NAN)),
        },
        other => lit(other.as_str().unwrap_or_default()),
    }
}

impl SqlCheck {
    /// Columns of the asset that the condition names.
    fn columns(&self) -> Vec<&str> {
        match &self.condition {
            Condition::NotNull(column)
            | Condition::Accepted(column, _)
            | Condition::Range { column, .. }
            | Condition::Relationship { column, .. } => vec![column],
            Condition::Unique(columns) => columns.iter().map(String::as_str).collect(),
            Condition::Expression(_) | Condition::RowCount { .. } | Condition::Query(_) => vec![],
        }
    }

    /// Tables besides the asset's own that the condition reads.
    pub(crate) fn reads(&self, key: &AssetKey) -> Vec<AssetReference> {
        match &self.condition {
            Condition::Relationship { table, .. } => vec![table.clone()],
            Condition::Query(query) => query
                .tables
                .iter()
                .filter(|table| !is_self(&table.segments, key))
                .map(|table| AssetReference { segments: table.segments.clone() })
                .collect(),
            _ => vec![],
        }
    }

    /// What holds for failing rows, if the condition is about single rows.
    fn failing(&self, schema: &SchemaRef) -> Result<Option<Expr>, BoxError> {
        Ok(Some(match &self.condition {
            Condition::NotNull(column) => ident(column).is_null(),
            Condition::Accepted(column, values) => {
                let listed = values.iter().map(literal).collect();
                ident(column).in_list(listed, true)
            }
            Condition::Range { column, min, max } => {
                let below = min.as_ref().map(|min| ident(column).lt(literal(min)));
                let above = max.as_ref().map(|max| ident(column).gt(literal(max)));
                match (below, above) {
                    (Some(below), Some(above)) => below.or(above),
                    (Some(one), None) | (None, Some(one)) => one,
                    (None, None) => return Ok(None),
                }
            }
            Condition::Expression(query) => {
                let rows = InputTable::Columns(Arc::clone(schema));
                let tables = HashMap::from([(TABLE.to_owned(), rows)]);
                let (plan, _) = plan_query(query, planning_session(), &tables)?;
                let expr = plan.expressions().into_iter().next().ok_or("an expression")?;
                let is = plan.schema().field(0).data_type();
                if !matches!(is, DataType::Boolean | DataType::Null) {
                    return Err(format!("the expression is {is}, not true or false").into());
                }
                // What is null is unknown, and no failure.
                unqualified(expr)?.is_false()
            }
            _ => return Ok(None),
        }))
    }
}

/// The columns of an expression without the table that it was planned over.
fn unqualified(expr: Expr) -> Result<Expr, BoxError> {
    use datafusion::common::tree_node::{Transformed, TreeNode};
    let plain = |expr: Expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(ident(column.name)),
            other => Transformed::no(other),
        })
    };
    Ok(expr.transform(plain)?.data.unalias())
}

fn is_self(segments: &[String], key: &AssetKey) -> bool {
    segments == key.segments() || segments == [key.name()]
}

/// The problem of a column that is not in a schema.
fn unknown(schema: &SchemaRef, column: &str, of: &str) -> Option<Diagnostic> {
    let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    (!names.contains(&column)).then(|| {
        let near = nearest(column, names.iter().copied());
        let message = format!("there is no column `{column}` in {of}");
        Diagnostic::error(Code::UnknownColumn, message).did_you_mean(near)
    })
}

#[async_trait]
impl CheckBody for SqlCheck {
    fn resolve(
        &self,
        key: &AssetKey,
        schema: Option<&SchemaRef>,
        inputs: &[InputSchema<'_>],
    ) -> Vec<Diagnostic> {
        let Some(schema) = schema else { return Vec::new() };
        let mut problems: Vec<Diagnostic> = self
            .columns()
            .into_iter()
            .filter_map(|column| unknown(schema, column, &format!("`{key}`")))
            .collect();
        if let Condition::Relationship { table, other, .. } = &self.condition {
            let name = table.to_string();
            let related = inputs.iter().find(|input| input.name == name).and_then(|i| i.schema);
            problems.extend(related.and_then(|s| unknown(s, other, &format!("`{name}`"))));
        }
        if problems.is_empty() {
            problems = self.type_problems(key, schema, inputs);
        }
        let of = |problem: Diagnostic| Diagnostic {
            message: format!("a check of `{key}`: {}", problem.message),
            labels: Vec::new(),
            ..problem.at(self.place.clone())
        };
        problems.into_iter().map(of).collect()
    }

    fn code(&self) -> Option<String> {
        Some(match &self.condition {
            Condition::Expression(query) | Condition::Query(query) => query.statement.to_string(),
            plain => format!("{plain:?}"),
        })
    }

    fn watch(&self, schema: &SchemaRef) -> Result<Option<Watch>, BoxError> {
        if let Condition::Expression(query) = &self.condition
            && let Some(aggregates) = aggregate::watch(query, schema)?
        {
            return Ok(Some(Watch::Aggregates(aggregates)));
        }
        let Some(expr) = self.failing(schema)? else { return Ok(None) };
        let columns = DFSchema::try_from(Arc::clone(schema))?;
        let failing = planning_session().create_physical_expr(expr, &columns)?;
        Ok(Some(Watch::FailingRows(failing)))
    }

    async fn evaluate(&self, context: CheckContext) -> Result<CheckResult, BoxError> {
        let session = SessionContext::new_with_state((*context.step.session).clone());
        let staged = session.read_table(Arc::clone(&context.table))?;
        let failing = match &self.condition {
            Condition::RowCount { min, max } => {
                let rows = context.row_count;
                let fits = min.is_none_or(|min| rows >= min) && max.is_none_or(|max| rows <= max);
                let found = format!("there are {rows} rows");
                return Ok(if fits { CheckResult::pass() } else { CheckResult::fail(found) });
            }
            Condition::Unique(columns) => {
                let keys: Vec<Expr> = columns.iter().map(ident).collect();
                let counted = staged.aggregate(keys, vec![count(lit(1)).alias("occurrences")])?;
                counted.filter(ident("occurrences").gt(lit(1)))?
            }
            Condition::Relationship { column, table, other } => {
                let input = context.step.input(&table.to_string())?;
                let others = session.read_table(Arc::clone(input.table()?))?;
                let others = others.select(vec![ident(other).alias("other")])?;
                let mine = staged.filter(ident(column).is_not_null())?;
                let anti = datafusion::common::JoinType::LeftAnti;
                mine.join(others, anti, &[column], &["other"], None)?
            }
            Condition::Query(query) => returned(query, &context, &session)?,
            _ => return Err("a check of single rows is evaluated while they are written".into()),
        };
        let rows = failing.clone().count().await? as u64;
        let sample = failing.limit(0, Some(SAMPLED_ROWS))?.collect().await?;
        CheckResult::of_rows(rows, &sample)
    }
}

impl SqlCheck {
    /// What the planner says of an expression or a query over these columns.
    fn type_problems(
        &self,
        key: &AssetKey,
        schema: &SchemaRef,
        inputs: &[InputSchema<'_>],
    ) -> Vec<Diagnostic> {
        let Condition::Query(query) = &self.condition else {
            let Err(error) = self.watch(schema) else { return Vec::new() };
            return match (error.downcast_ref(), &self.condition) {
                (Some(error), Condition::Expression(query)) => diagnose(query, error),
                _ => vec![Diagnostic::error(Code::Type, error.to_string())],
            };
        };
        let mut tables = HashMap::new();
        for table in &query.tables {
            let known = if is_self(&table.segments, key) {
                Some(schema)
            } else {
                inputs.iter().find(|input| input.name == table.name).and_then(|i| i.schema)
            };
            let Some(known) = known else { return Vec::new() };
            tables.insert(table.name.clone(), InputTable::Columns(Arc::clone(known)));
        }
        match plan_query(query, planning_session(), &tables) {
            Ok(_) => Vec::new(),
            Err(error) => diagnose(query, &error),
        }
    }
}

/// The rows that a query returns over the version that was written.
fn returned(
    query: &Query,
    context: &CheckContext,
    session: &SessionContext,
) -> Result<DataFrame, BoxError> {
    let mut tables = HashMap::new();
    for table in &query.tables {
        let rows = if is_self(&table.segments, &context.key) {
            Arc::clone(&context.table)
        } else {
            Arc::clone(context.step.input(&table.name)?.table()?)
        };
        tables.insert(table.name.clone(), InputTable::Rows(rows));
    }
    let (plan, _) = plan_query(query, &session.state(), &tables)?;
    Ok(DataFrame::new(session.state(), plan))
}
