//! Typed variables: `$var_NAME` in a query.
//!
//! A variable takes the place of its placeholder as a literal *in the syntax tree*, before the
//! query is planned. No text is put together, so nothing can be injected and every place in the
//! file stays true; and the planner sees the type at once, so that a wrong one is found by a check.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use arrowsmith_definitions::nearest;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Statement, TimezoneInfo, UnaryOperator, Value, ValueWithSpan,
    visit_expressions_mut,
};
use datafusion::sql::sqlparser::tokenizer::Span;
use serde_json::Value as Json;

use crate::parameters;

/// The prefix of the placeholder of a variable.
const PREFIX: &str = "$var_";

/// Variables of a project by name.
///
/// The value of `[vars]` in the project file says the type; the environment (`ARROWSMITH_VAR_NAME`)
/// and `--var NAME=VALUE` may replace the value by one of the same type.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
#[serde(transparent)]
pub struct Variables(BTreeMap<String, Json>);

impl Variables {
    /// The declared variables, as in `[vars]`.
    pub fn new(declared: impl IntoIterator<Item = (String, Json)>) -> Self {
        Self(declared.into_iter().collect())
    }

    /// Replaces the value of a declared variable by a text of the same type.
    ///
    /// # Errors
    /// One sentence, and the nearest name, if there is no such variable or the text has another
    /// type.
    pub fn set(&mut self, name: &str, text: &str) -> Result<(), (String, Option<String>)> {
        let names: Vec<String> = self.0.keys().cloned().collect();
        let Some(value) = self.0.get_mut(name) else {
            let near = nearest(name, names.iter().map(String::as_str)).map(str::to_owned);
            return Err((format!("there is no variable `{name}` in `[vars]`"), near));
        };
        let wrong = |what: &str| (format!("variable `{name}` is {what}, not `{text}`"), None);
        *value = match value {
            Json::Bool(_) => Json::from(text.parse::<bool>().map_err(|_| wrong("true or false"))?),
            Json::Number(n) if n.is_i64() => {
                Json::from(text.parse::<i64>().map_err(|_| wrong("a whole number"))?)
            }
            Json::Number(_) => Json::from(text.parse::<f64>().map_err(|_| wrong("a number"))?),
            _ => Json::from(text),
        };
        Ok(())
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Puts values in the place of placeholders; returns those that have none. Parameters of
    /// partitions have none yet.
    pub(crate) fn bind(&self, statement: &mut Statement) -> Vec<(String, Span)> {
        let mut unknown = Vec::new();
        let _: ControlFlow<()> = visit_expressions_mut(statement, |expr| {
            if let Expr::Value(ValueWithSpan { value: Value::Placeholder(name), span }) = expr
                && !name.starts_with(parameters::PREFIX)
                && name != parameters::WATERMARK
            {
                let variable = name.strip_prefix(PREFIX).and_then(|name| self.0.get(name));
                match variable.and_then(|value| literal(value, *span)) {
                    Some(bound) => *expr = bound,
                    None => unknown.push((name.clone(), *span)),
                }
            }
            ControlFlow::Continue(())
        });
        unknown
    }

    /// The placeholder that is most like an unknown one.
    pub(crate) fn nearest_placeholder(&self, name: &str) -> Option<String> {
        let placeholders: Vec<String> = self.0.keys().map(|k| format!("{PREFIX}{k}")).collect();
        nearest(name, placeholders.iter().map(String::as_str)).map(str::to_owned)
    }
}

/// A value as an expression of its type.
fn literal(value: &Json, span: Span) -> Option<Expr> {
    let plain = |value| Expr::Value(ValueWithSpan { value, span });
    Some(match value {
        Json::Bool(truth) => plain(Value::Boolean(*truth)),
        Json::Number(number) => {
            let digits = number.to_string();
            let positive = digits.trim_start_matches('-').to_owned();
            let magnitude = plain(Value::Number(positive, false));
            if digits.starts_with('-') {
                Expr::UnaryOp { op: UnaryOperator::Minus, expr: Box::new(magnitude) }
            } else {
                magnitude
            }
        }
        Json::String(text) => {
            let text_value = plain(Value::SingleQuotedString(text.clone()));
            match moment_type(text) {
                Some(data_type) => Expr::Cast {
                    kind: CastKind::Cast,
                    expr: Box::new(text_value),
                    data_type,
                    array: false,
                    format: None,
                },
                None => text_value,
            }
        }
        _ => return None,
    })
}

/// TOML dates and date-times are typed; texts that look like them are rare enough to be the same.
fn moment_type(text: &str) -> Option<DataType> {
    let digits = |range: std::ops::Range<usize>| {
        text.get(range).is_some_and(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let is_date = digits(0..4)
        && digits(5..7)
        && digits(8..10)
        && text.as_bytes().get(4) == Some(&b'-')
        && text.as_bytes().get(7) == Some(&b'-');
    match text.len() {
        10 if is_date => Some(DataType::Date),
        19.. if is_date && matches!(text.as_bytes()[10], b'T' | b' ') && digits(11..13) => {
            Some(DataType::Timestamp(None, TimezoneInfo::None))
        }
        _ => None,
    }
}
