//! What a query depends on: its canonical plan, and what that scans.

use std::collections::HashSet;

use arrow::datatypes::SchemaRef;
use arrowsmith_definitions::{Reads, Scan};
use datafusion::DATAFUSION_VERSION;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Dependency, FunctionalDependence};
use datafusion::error::Result;
use datafusion::logical_expr::expr::WindowFunctionDefinition;
use datafusion::logical_expr::{
    Distinct, Expr, LogicalPlan, TableScan, Volatility, WindowFrameUnits,
};

use crate::canonical::{canonical, columns_of};
use crate::parse::Query;
use crate::plan::PlannedTable;

/// Window functions whose result is the same for rows of the same place in the order.
const RANKS: [&str; 4] = ["rank", "dense_rank", "percent_rank", "cume_dist"];
/// Aggregates that depend on the order of rows unless they say one. Where a query says an order, rows of
/// the same place in it may still change theirs: what is stored then is one of the right answers. So it
/// is with approximations.
const ORDERED: [&str; 6] =
    ["array_agg", "string_agg", "first_value", "last_value", "nth_value", "any_value"];

/// What the result of a query depends on.
///
/// `filters` says whether filters of scans are known; they are not while parameters stand in them.
pub(crate) fn reads(
    query: &Query,
    planned: &LogicalPlan,
    optimized: &LogicalPlan,
    filters: bool,
) -> Result<Reads> {
    let mut scans = Vec::new();
    optimized.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && is_input(scan)
        {
            scans.push(read_of(scan, filters)?);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    let code = canonical(optimized).unwrap_or_else(|_| query.statement.to_string());
    let columns = columns_of(optimized.schema());
    // The release whose functions and operators compute the rows takes part.
    let code = format!("{code}\ncolumns {columns}\nDataFusion {DATAFUSION_VERSION}");
    Ok(Reads { code, scans, unknowable: unknowable(planned)? })
}

pub(crate) fn is_input(scan: &TableScan) -> bool {
    scan.source.downcast_ref::<PlannedTable>().is_some()
}

fn read_of(scan: &TableScan, filters: bool) -> Result<Scan> {
    let schema: SchemaRef = scan.source.schema();
    let mut read = vec![false; schema.fields().len()];
    match &scan.projection {
        Some(columns) => columns.iter().for_each(|column| read[*column] = true),
        None => read.fill(true),
    }
    for filter in &scan.filters {
        for column in filter.column_refs() {
            read[schema.index_of(&column.name)?] = true;
        }
    }
    let names = schema.fields().iter().zip(read).filter(|(_, read)| *read);
    let plain = |filter: &Expr| {
        let plain = filter.clone().transform(|expr| {
            Ok(match expr {
                Expr::Column(column) => {
                    Transformed::yes(Expr::Column(Column::new_unqualified(column.name)))
                }
                other => Transformed::no(other),
            })
        });
        plain.map(|found| found.data)
    };
    let kept = if filters { scan.filters.as_slice() } else { &[] };
    Ok(Scan {
        input: scan.table_name.to_string(),
        columns: names.map(|(field, _)| field.name().clone()).collect(),
        filters: kept.iter().map(plain).collect::<Result<_>>()?,
    })
}

/// Why a plan may give other rows for the same inputs, if it may.
fn unknowable(plan: &LogicalPlan) -> Result<Option<String>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Limit(limit) = node
            && !says_order(&limit.input)
        {
            found = Some("which rows are within its `limit` depends on their order".to_owned());
        }
        if let LogicalPlan::Window(window) = node {
            let schema = window.input.schema();
            found = found
                .take()
                .or_else(|| window.window_expr.iter().find_map(|expr| unordered(expr, schema)));
        }
        if matches!(node, LogicalPlan::Distinct(Distinct::On(_))) {
            found = Some("which rows `distinct on` keeps depends on their order".to_owned());
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if found.is_none() {
                    found = unknowable_expr(expr);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if found.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Whether the rows of a plan come in an order that the query says.
fn says_order(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(node) => says_order(&node.input),
        LogicalPlan::SubqueryAlias(node) => says_order(&node.input),
        _ => false,
    }
}

/// A window function for which rows of the same place in the order matter, if there may be such rows.
fn unordered(expr: &Expr, schema: &DFSchema) -> Option<String> {
    let Expr::WindowFunction(function) = expr.clone().unalias() else { return None };
    let (name, params) = (function.fun.name().to_owned(), &function.params);
    let frame = &params.window_frame;
    let is_all = frame.start_bound.is_unbounded() && frame.end_bound.is_unbounded();
    let looks_at_rows = match &function.fun {
        WindowFunctionDefinition::WindowUDF(_) => !RANKS.contains(&name.as_str()),
        WindowFunctionDefinition::AggregateUDF(_) => {
            ORDERED.contains(&name.as_str()) || !is_all && frame.units == WindowFrameUnits::Rows
        }
    };
    if !looks_at_rows {
        return None;
    }
    let by = params.partition_by.iter().chain(params.order_by.iter().map(|sort| &sort.expr));
    let by: HashSet<usize> = by
        .filter_map(|expr| match expr {
            Expr::Column(column) => schema.maybe_index_of_column(column),
            _ => None,
        })
        .collect();
    // Rows are told apart by the groups that they were made of, or by all that they have.
    let is_key = |known: &FunctionalDependence| {
        known.mode == Dependency::Single && known.source_indices.iter().all(|at| by.contains(at))
    };
    let is_total =
        by.len() == schema.fields().len() || schema.functional_dependencies().iter().any(is_key);
    (!is_total)
        .then(|| format!("`{name}` depends on the order of rows that its `order by` leaves open"))
}

fn unknowable_expr(expr: &Expr) -> Option<String> {
    let changes = |name: &str| format!("`{name}()` is something else each time");
    let ordered = |name: &str| format!("`{name}` depends on the order of rows");
    match expr {
        Expr::ScalarFunction(function)
            if function.func.signature().volatility != Volatility::Immutable =>
        {
            Some(changes(function.name()))
        }
        Expr::ScalarVariable(..) | Expr::Placeholder(_) => Some(changes("a variable")),
        Expr::AggregateFunction(function) => {
            let name = function.func.name();
            let says_none = function.params.order_by.is_empty();
            (says_none && ORDERED.contains(&name)).then(|| ordered(name))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::path::Path;
    use std::sync::Arc;

    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::{InputTable, plan_query, planning_session};

    fn of(sql: &str) -> Reads {
        let file: Arc<Path> = Path::new("test.sql").into();
        let query = Query::parse(&file, &sql.into()).expect("a query");
        let int = |name| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![int("a"), int("b"), int("c")]));
        let tables: HashMap<String, InputTable> = ["t", "u"]
            .map(|name| (name.to_owned(), InputTable::Columns(Arc::clone(&schema))))
            .into();
        let state = planning_session();
        let (plan, _) = plan_query(&query, state, &tables).expect("a plan");
        let optimized = state.optimize(&plan).expect("an optimized plan");
        reads(&query, &plan, &optimized, true).expect("what it reads")
    }

    /// Each group is one query in several clothes; no two groups are the same.
    #[test]
    fn what_changes_nothing_is_not_code_and_what_does_is() {
        let groups: [&[&str]; 12] = [
            &["select a from t", "SELECT\n  a -- the first\nFROM t", "select x.a from t as x"],
            &["select a as b from t"],
            &["select b from t"],
            &[
                "select a from t where b > 1",
                "with q as (select * from t) select a from q where 1 < b",
            ],
            &["select a from t where b > 2"],
            &["select a from t where b >= 1"],
            &["select sum(a) as s from t group by b", "select sum(x.a) s from t x group by x.b"],
            &["select max(a) as s from t group by b"],
            &["select t.a from t join u on t.a = u.a", "select y.a from t y join u z on y.a = z.a"],
            &["select t.a from t left join u on t.a = u.a"],
            &["select t.a from t join u on t.a = u.b"],
            &[
                "select a from t where a in (select b from u)",
                "select a from t k where k.a in (select m.b from u m)",
            ],
        ];
        let mut seen: Vec<String> = Vec::new();
        for group in groups {
            let codes: Vec<String> = group.iter().map(|sql| of(sql).code).collect();
            for (sql, code) in group.iter().zip(&codes) {
                assert_eq!(*code, codes[0], "{sql}");
            }
            assert!(!seen.contains(&codes[0]), "{}", group[0]);
            seen.push(codes[0].clone());
        }
    }

    #[test]
    fn scans_are_columns_and_filters() {
        let read = of("select sum(a) from t where b > 1 and a < c");
        let [scan] = &*read.scans else { panic!("one scan") };
        assert_eq!(scan.columns, ["a", "b", "c"]);
        let filters: Vec<String> = scan.filters.iter().map(ToString::to_string).collect();
        assert_eq!(filters, ["b > Int64(1)", "c > a"]);
        assert_eq!(of("select count(*) from t").scans[0].columns, [""; 0]);
        let both: Vec<Vec<String>> = of("select x.a from t x join t y on x.a = y.b")
            .scans
            .into_iter()
            .map(|s| s.columns)
            .collect();
        assert_eq!(both, [["a"], ["b"]]);
    }

    #[test]
    fn what_depends_on_more_than_rows_is_unknowable() {
        for (sql, known) in [
            ("select now() as x from t", false),
            ("select random() as x from t", false),
            ("select a from t limit 1", false),
            ("select a from (select a from t order by a) group by a limit 1", false),
            ("select row_number() over () as n from t", false),
            ("select array_agg(a) as x from t", false),
            ("select a from t where a = (select first_value(b) from u)", false),
            ("select sum(a) over (rows 1 preceding) as s from t", false),
            ("select distinct on (a) a, b from t", false),
            ("select a, b from t order by a limit 1", true),
            ("select row_number() over (order by a) as n from t", false),
            ("select row_number() over (order by a, b, c) as n from t", true),
            (
                "select a, row_number() over (order by a) as n from (select a, max(b) as b from t group by a)",
                true,
            ),
            ("select rank() over (order by a) as n from t", true),
            ("select sum(a) over (order by b) as s from t", true),
            ("select array_agg(a order by b) as x from t", true),
            ("select sum(a) over (order by b rows 1 preceding) as s from t", false),
            (
                "with q as (select a, b, sum(c) as c from t group by a, b) select lag(x.c) over (partition by x.a order by x.b) as s from q x",
                true,
            ),
            ("select sum(a) over (partition by b) as s from t", true),
            ("select approx_median(a) as x from t", true),
            ("select abs(a) as x from t", true),
        ] {
            assert_eq!(of(sql).unknowable.is_none(), known, "{sql}: {:?}", of(sql).unknowable);
        }
    }
}
