//! Filters that the database can apply before rows are sent.

use arrow::datatypes::{DataType, Schema};
use arrowsmith_io_manager::to_texts;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use crate::database::{identifier, literal};
use crate::types::{has_nanoseconds, kind};

/// A condition that is true for each row for which the filter is true; `None` if there is none, or
/// the two might understand it differently: texts have an order of their own in each database, and so
/// have the zeros of floats.
pub(crate) fn condition(filter: &Expr, schema: &Schema) -> Option<String> {
    match filter {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            match (condition(left, schema), condition(right, schema)) {
                (Some(left), Some(right)) => Some(format!("({left} and {right})")),
                (one, other) => one.or(other),
            }
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Some(format!("({} or {})", condition(left, schema)?, condition(right, schema)?))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(column), Expr::Literal(value, _)) => {
                comparison(&column.name, *op, value, schema)
            }
            (Expr::Literal(value, _), Expr::Column(column)) => {
                comparison(&column.name, op.swap()?, value, schema)
            }
            _ => None,
        },
        Expr::IsNull(inner) => match &**inner {
            Expr::Column(column) => Some(format!("{} is null", identifier(&column.name))),
            _ => None,
        },
        Expr::IsNotNull(inner) => match &**inner {
            Expr::Column(column) => Some(format!("{} is not null", identifier(&column.name))),
            _ => None,
        },
        Expr::InList(list) if !list.negated => {
            let Expr::Column(column) = &*list.expr else { return None };
            let one = |value: &Expr| match value {
                Expr::Literal(value, _) => comparison(&column.name, Operator::Eq, value, schema),
                _ => None,
            };
            let each = list.list.iter().map(one).collect::<Option<Vec<_>>>()?;
            (!each.is_empty()).then(|| format!("({})", each.join(" or ")))
        }
        _ => None,
    }
}

fn comparison(name: &str, op: Operator, value: &ScalarValue, schema: &Schema) -> Option<String> {
    let data_type = schema.field_with_name(name).ok()?.data_type();
    if *data_type != value.data_type() || value.is_null() || has_nanoseconds(data_type) {
        return None;
    }
    let is_ordered = data_type.is_integer()
        || data_type.is_decimal()
        || matches!(
            data_type,
            DataType::Date32 | DataType::Timestamp(..) | DataType::Time32(_) | DataType::Time64(_)
        );
    let is_text = matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let op = match op {
        Operator::Eq if is_ordered || is_text => "=",
        Operator::Lt if is_ordered => "<",
        Operator::LtEq if is_ordered => "<=",
        Operator::Gt if is_ordered => ">",
        Operator::GtEq if is_ordered => ">=",
        _ => return None,
    };
    let texts = to_texts(&value.to_array().ok()?).ok()?;
    let text = texts.iter().next().flatten()?;
    // No text of the database has one, and it cannot be asked for it either.
    if text.contains('\0') {
        return None;
    }
    Some(format!("{} {op} {}::{}", identifier(name), literal(text), kind(data_type)?))
}
