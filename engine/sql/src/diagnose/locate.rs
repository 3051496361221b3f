//! Finds the expression that an error speaks of.

use std::ops::ControlFlow;

use arrowsmith_definitions::Place;
use datafusion::sql::sqlparser::ast::{
    Expr, Query as SqlQuery, Select, SelectItem, SetExpr, Spanned, Statement, Value, Visit,
    Visitor, visit_expressions,
};

use crate::parse::Query;

/// The first expression for which `wanted` holds.
fn first(query: &Query, wanted: impl Fn(&Expr) -> bool) -> Option<Place> {
    let mut found = None;
    let _: ControlFlow<()> = visit_expressions(&query.statement, |expr| {
        if wanted(expr) {
            found = Some(expr.span());
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    });
    found.filter(|span| span.start.line > 0).map(|span| query.place(span))
}

/// A call of a function of this name.
pub(super) fn call(query: &Query, name: &str) -> Option<Place> {
    first(query, |expr| {
        matches!(expr, Expr::Function(function)
            if function.name.to_string().eq_ignore_ascii_case(name))
    })
}

/// A binary expression with this operator, as the planner writes it.
pub(super) fn operation(query: &Query, operator: &str) -> Option<Place> {
    first(query, |expr| match expr {
        Expr::BinaryOp { op, .. } => op.to_string().eq_ignore_ascii_case(operator),
        Expr::Between { .. } => matches!(operator, ">=" | "<=" | "BETWEEN"),
        Expr::InList { .. } | Expr::InSubquery { .. } => operator == "IN",
        Expr::Like { .. } | Expr::ILike { .. } => operator.contains("LIKE"),
        _ => false,
    })
}

/// The arithmetic expression that a message speaks of by its operator, if it can be told.
pub(super) fn arithmetic(query: &Query, text: &str) -> Option<Place> {
    [" + ", " - ", " * ", " / ", " % "]
        .into_iter()
        .find(|operator| text.contains(operator))
        .and_then(|operator| operation(query, operator.trim()))
}

/// A text literal.
pub(super) fn literal(query: &Query, text: &str) -> Option<Place> {
    first(query, |expr| {
        matches!(expr, Expr::Value(value)
            if matches!(&value.value, Value::SingleQuotedString(found) if found == text))
    })
}

/// A `case` expression.
pub(super) fn case(query: &Query) -> Option<Place> {
    first(query, |expr| matches!(expr, Expr::Case { .. }))
}

/// The selected column at a position of the outermost query, if it has the name.
pub(super) fn select_item(query: &Query, at: usize, name: &str) -> Option<Place> {
    let Statement::Query(outer) = &query.statement else { return None };
    let select = first_select(&outer.body)?;
    let plain = select
        .projection
        .iter()
        .all(|item| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. }));
    if plain {
        return select.projection.get(at).map(|item| query.place(item.span()));
    }
    // Behind a `*` positions shift, so the name decides.
    let named = select.projection.iter().rev().find(|item| item_name(item) == Some(name));
    let item = named.or(select.projection.last())?;
    Some(query.place(item.span()))
}

/// The second selected column of a name in any select.
pub(super) fn repeated_alias(query: &Query, name: &str) -> Option<Place> {
    struct Repeated<'a> {
        name: &'a str,
        found: Option<datafusion::sql::sqlparser::tokenizer::Span>,
    }
    impl Visitor for Repeated<'_> {
        type Break = ();
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            let named = select.projection.iter().filter(|i| item_name(i) == Some(self.name));
            match named.clone().nth(1) {
                Some(item) => {
                    self.found = Some(item.span());
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        }
    }
    let mut visitor = Repeated { name, found: None };
    let _: ControlFlow<()> = query.statement.visit(&mut visitor);
    visitor.found.map(|span| query.place(span))
}

fn item_name(item: &SelectItem) -> Option<&str> {
    match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(&alias.value),
        SelectItem::UnnamedExpr(Expr::Identifier(ident)) => Some(&ident.value),
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => {
            parts.last().map(|ident| ident.value.as_str())
        }
        _ => None,
    }
}

fn first_select(body: &SetExpr) -> Option<&Select> {
    match body {
        SetExpr::Select(select) => Some(select),
        SetExpr::Query(query) => first_select(&query.body),
        SetExpr::SetOperation { left, .. } => first_select(left),
        _ => None,
    }
}

/// The first call in a `where` of one of these functions, or the `where` itself.
pub(super) fn in_where(query: &Query, is_aggregate: impl Fn(&str) -> bool) -> Option<Place> {
    struct Wheres<'a, F> {
        is_aggregate: F,
        query: &'a Query,
        found: Option<Place>,
    }
    impl<F: Fn(&str) -> bool> Visitor for Wheres<'_, F> {
        type Break = ();
        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            let Some(condition) = &select.selection else { return ControlFlow::Continue(()) };
            let mut span = None;
            let _: ControlFlow<()> = visit_expressions(condition, |expr| match expr {
                Expr::Function(function)
                    if (self.is_aggregate)(&function.name.to_string().to_lowercase()) =>
                {
                    span = Some(expr.span());
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            });
            match span {
                Some(span) => {
                    self.found = Some(self.query.place(span));
                    ControlFlow::Break(())
                }
                None => ControlFlow::Continue(()),
            }
        }
        fn pre_visit_query(&mut self, _query: &SqlQuery) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }
    }
    let mut visitor = Wheres { is_aggregate, query, found: None };
    let _: ControlFlow<()> = query.statement.visit(&mut visitor);
    visitor.found
}
