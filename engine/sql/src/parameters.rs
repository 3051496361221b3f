//! The parameters of a partitioned asset: `$partition_start`, `$partition_end`, `$partition_key`,
//! and `$partition_NAME` for the key of a dimension.
//!
//! The bounds of a window of time have the type of the partition column, so that comparing them with
//! it casts nothing. Without one they are dates if windows are whole days in UTC, else timestamps in
//! the zone of the definition. Like variables they take the place of their placeholders in the
//! syntax tree.

use std::ops::ControlFlow;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use arrowsmith_definitions::{
    BackfillPolicy, Code, Diagnostic, DimensionKind, Materialized, Partitions, StepPartitions,
    TimeWindow, nearest,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::sql::sqlparser::ast::{
    Expr, Statement, Value, ValueWithSpan, visit_expressions, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::parse::Query;

/// How the placeholder of a parameter begins.
pub(crate) const PREFIX: &str = "$partition_";

/// What stands for the parameters of a query.
#[derive(Debug)]
pub(crate) struct Parameters<'a> {
    definition: &'a Partitions,
    /// What a step makes; `None` while a query is only checked.
    step: Option<&'a StepPartitions>,
    /// The type of the bounds.
    moment: DataType,
}

impl<'a> Parameters<'a> {
    pub(crate) fn new(definition: &'a Partitions, step: Option<&'a StepPartitions>) -> Self {
        let moment = match definition.windows() {
            Some(windows) if windows.timezone != TimeZone::UTC || !windows.is_of_days() => {
                let zone = windows.timezone.iana_name().unwrap_or("UTC");
                DataType::Timestamp(TimeUnit::Microsecond, Some(zone.into()))
            }
            _ => DataType::Date32,
        };
        Self { definition, step, moment }
    }

    /// The same with bounds of the type that the partition column turns out to have; `None` if
    /// they have it already.
    pub(crate) fn of_column(&self, schema: &Schema) -> Option<Self> {
        let dimensions = self.definition.dimensions.iter();
        let mut of_time = dimensions.filter(|d| matches!(d.kind, DimensionKind::Time(_)));
        let column = of_time.next()?.column.as_ref()?;
        let data_type = schema.field_with_name(column).ok()?.data_type();
        let is_moment =
            matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..));
        (is_moment && *data_type != self.moment).then(|| Self {
            definition: self.definition,
            step: self.step,
            moment: data_type.clone(),
        })
    }

    fn names(&self) -> Vec<String> {
        let mut names = vec!["key".to_owned()];
        if self.definition.windows().is_some() {
            names.extend(["start".to_owned(), "end".to_owned()]);
        }
        if self.definition.dimensions.len() > 1 {
            names.extend(self.definition.dimensions.iter().map(|d| d.name.clone()));
        }
        names
    }

    /// The value of a parameter as an expression; while a query is checked, one of its type.
    fn value(&self, name: &str) -> Option<String> {
        if !self.names().iter().any(|known| known == name) {
            return None;
        }
        let text =
            |key: Option<String>| format!("'{}'", key.unwrap_or_default().replace('\'', "''"));
        Some(match name {
            "start" | "end" => {
                let epoch = TimeWindow { start: Timestamp::UNIX_EPOCH, end: Timestamp::UNIX_EPOCH };
                let window = self.step.and_then(StepPartitions::window).unwrap_or(epoch);
                let moment = if name == "start" { window.start } else { window.end };
                self.literal(moment)
            }
            "key" => text(self.step.and_then(StepPartitions::single)),
            dimension => text(self.step.and_then(|step| step.single_of(dimension))),
        })
    }

    fn literal(&self, moment: Timestamp) -> String {
        let zone = self.definition.windows().map(|windows| windows.timezone.clone());
        let local = zone.unwrap_or(TimeZone::UTC).to_datetime(moment);
        match &self.moment {
            DataType::Date32 | DataType::Date64 => format!("date '{}'", local.date()),
            DataType::Timestamp(_, None) => {
                format!("arrow_cast('{local}', '{}')", self.moment)
            }
            other => format!("arrow_cast('{moment}', '{other}')"),
        }
    }

    /// Puts values in the place of the placeholders of a query.
    pub(crate) fn bind(&self, query: &Query) -> Query {
        let mut query = query.clone();
        let dialect = GenericDialect {};
        let _: ControlFlow<()> = visit_expressions_mut(&mut query.statement, |expr| {
            let value = placeholder(expr).and_then(|(name, _)| self.value(&name));
            let parsed = value.and_then(|text| {
                Parser::new(&dialect).try_with_sql(&text).and_then(|mut p| p.parse_expr()).ok()
            });
            if let Some(parsed) = parsed {
                *expr = parsed;
            }
            ControlFlow::Continue(())
        });
        query
    }
}

/// The name of a parameter of partitions and where it is, if an expression is one.
fn placeholder(expr: &Expr) -> Option<(String, datafusion::sql::sqlparser::tokenizer::Span)> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) => {
            Some((name.strip_prefix(PREFIX)?.to_owned(), *span))
        }
        _ => None,
    }
}

/// Whether a query has any of the parameters.
pub(crate) fn has_parameters(statement: &Statement) -> bool {
    visit_expressions(statement, |expr| match placeholder(expr) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    })
    .is_break()
}

/// Parameters that an asset with these partitions does not have.
pub(crate) fn parameter_problems(
    query: &Query,
    partitions: Option<&Partitions>,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let _: ControlFlow<()> =
        visit_expressions(&query.statement, |expr| {
            if let Some((name, span)) = placeholder(expr) {
                let problem = |message: String| {
                    Diagnostic::error(Code::Partitions, message).at(query.place(span))
                };
                let Some(definition) = partitions else {
                    let message = format!("`{PREFIX}{name}` is a parameter of partitioned assets");
                    let help = "add `partitions = { daily = \"2024-01-01\" }` to the front matter";
                    problems.push(problem(message).help(help));
                    return ControlFlow::Continue(());
                };
                let parameters = Parameters::new(definition, None);
                let names: Vec<String> =
                    parameters.names().iter().map(|name| format!("{PREFIX}{name}")).collect();
                let full = format!("{PREFIX}{name}");
                if !names.contains(&full) {
                    let near = nearest(&full, names.iter().map(String::as_str)).map(str::to_owned);
                    let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>();
                    let message = format!("`{full}` is no parameter of these partitions");
                    let told = problem(message).did_you_mean(near);
                    problems.push(told.help(format!("the parameters are {}", known.join(", "))));
                } else if !matches!(name.as_str(), "start" | "end") && makes_several(definition) {
                    let message =
                        format!("`{full}` is the key of one partition, but a step makes several");
                    problems.push(problem(message).help(
                        "set `backfill = \"per_partition\"` in `partitions`, or use the column",
                    ));
                }
            }
            ControlFlow::Continue(())
        });
    problems
}

/// Whether a step may make several partitions at once.
fn makes_several(definition: &Partitions) -> bool {
    definition.policy != BackfillPolicy::MultiRun(1)
        && definition.dimensions.iter().all(|dimension| dimension.column.is_some())
}

/// The largest value of a column that an appending asset has stored so far; null if there is none.
pub(crate) const WATERMARK: &str = "$watermark";

fn watermark_at(expr: &Expr) -> Option<datafusion::sql::sqlparser::tokenizer::Span> {
    match expr {
        Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span })
            if name == WATERMARK =>
        {
            Some(*span)
        }
        _ => None,
    }
}

pub(crate) fn has_watermark(query: &Query) -> bool {
    visit_expressions(&query.statement, |expr| match watermark_at(expr) {
        Some(_) => ControlFlow::Break(()),
        None => ControlFlow::Continue(()),
    })
    .is_break()
}

/// A watermark in a query whose asset has none.
pub(crate) fn watermark_problems(query: &Query, how: &Materialized) -> Vec<Diagnostic> {
    if matches!(how, Materialized::Append { watermark: Some(_) }) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let _: ControlFlow<()> = visit_expressions(&query.statement, |expr| {
        if let Some(span) = watermark_at(expr) {
            let message = format!("`{WATERMARK}` is a parameter of assets that append");
            let help = "write `materialized = \"append\"` and `watermark = \"COLUMN\"`";
            let problem = Diagnostic::error(Code::FrontMatter, message).at(query.place(span));
            problems.push(problem.help(help));
        }
        ControlFlow::Continue(())
    });
    problems
}

/// The query with a value in the place of its watermark.
pub(crate) fn bind_watermark(query: &Query, value: &ScalarValue) -> Result<Query> {
    let text = match value.cast_to(&DataType::Utf8)? {
        ScalarValue::Utf8(Some(text)) => format!("'{}'", text.replace('\'', "''")),
        _ => "null".to_owned(),
    };
    let sql = match value {
        ScalarValue::Null => text,
        typed => format!("arrow_cast({text}, '{}')", typed.data_type()),
    };
    let mut parser = Parser::new(&GenericDialect {}).try_with_sql(&sql)?;
    let literal = parser.parse_expr()?;
    let mut query = query.clone();
    let _: ControlFlow<()> = visit_expressions_mut(&mut query.statement, |expr| {
        if watermark_at(expr).is_some() {
            *expr = literal.clone();
        }
        ControlFlow::Continue(())
    });
    Ok(query)
}
