//! Semi joins below the inner joins whose rows they select.
//!
//! `… from a join b … where a.x in (select …)` is planned as a semi join above the whole inner join,
//! although it looks at `a` alone: every row of the join is made before most are thrown away. Moved
//! to the side that has its columns, it filters that side first, as any other filter would. This is
//! the rule that Calcite calls `SemiJoinJoinTransposeRule`.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::{Join, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

#[derive(Debug)]
pub(super) struct PushDownSemiJoin;

impl OptimizerRule for PushDownSemiJoin {
    fn name(&self) -> &'static str {
        "push_down_semi_join"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Join(semi) = plan else { return Ok(Transformed::no(plan)) };
        Ok(match pushed_down(&semi)? {
            Some(join) => Transformed::yes(LogicalPlan::Join(join)),
            None => Transformed::no(LogicalPlan::Join(semi)),
        })
    }
}

/// The inner join of what the semi join leaves of one side; `None` if it looks at both.
fn pushed_down(semi: &Join) -> Result<Option<Join>> {
    // `not in` needs to know of nulls on both sides, and stays where it is.
    if !matches!(semi.join_type, JoinType::LeftSemi | JoinType::LeftAnti) || semi.null_aware {
        return Ok(None);
    }
    let LogicalPlan::Join(inner) = semi.left.as_ref() else { return Ok(None) };
    if inner.join_type != JoinType::Inner {
        return Ok(None);
    }
    let mut columns: Vec<&Column> =
        semi.on.iter().flat_map(|(of_left, _)| of_left.column_refs()).collect();
    let filtered = semi.filter.iter().flat_map(|filter| filter.column_refs());
    columns.extend(filtered.filter(|column| !semi.right.schema().has_column(column)));
    if columns.is_empty() {
        return Ok(None);
    }
    let are_of = |side: &LogicalPlan| columns.iter().all(|column| side.schema().has_column(column));
    let selected = |side: &Arc<LogicalPlan>| {
        let mut selected = semi.clone();
        selected.left = Arc::clone(side);
        selected.schema = Arc::clone(side.schema());
        Arc::new(LogicalPlan::Join(selected))
    };
    let mut joined = inner.clone();
    if are_of(&inner.left) {
        joined.left = selected(&inner.left);
    } else if are_of(&inner.right) {
        joined.right = selected(&inner.right);
    } else {
        return Ok(None);
    }
    Ok(Some(joined))
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::super::state;

    const TABLES: [&str; 3] = [
        "create table orders as select v.value as id, v.value % 7 as customer
         from generate_series(1, 60) as v(value)",
        "create table lines as select v.value % 60 as order_id, v.value as amount
         from generate_series(1, 300) as v(value)",
        "create table chosen as select v.value * 3 as id from generate_series(1, 9) as v(value)
         union all select null",
    ];

    /// Each query, and what the semi join stands on in its plan.
    const QUERIES: [(&str, &str); 6] = [
        ("o.id in (select id from chosen)", "TableScan: orders"),
        ("l.amount in (select id from chosen)", "TableScan: lines"),
        (
            "exists (select 1 from chosen c where c.id = o.id and c.id < o.customer * 4)",
            "TableScan: orders",
        ),
        ("not exists (select 1 from chosen c where c.id = o.id)", "TableScan: orders"),
        ("o.id + l.amount in (select id from chosen)", "Join"),
        ("o.id not in (select id from chosen where id is not null)", "Join"),
    ];

    async fn told(context: &SessionContext, sql: &str) -> String {
        let frame = context.sql(sql).await.expect("a query");
        pretty_format_batches(&frame.collect().await.expect("rows")).expect("a table").to_string()
    }

    #[tokio::test]
    async fn a_semi_join_goes_to_the_side_that_it_looks_at_and_changes_no_answer() {
        let ours = SessionContext::new_with_state(
            state(SessionConfig::new(), 1 << 30).expect("a session"),
        );
        let plain = SessionContext::new();
        for (condition, below) in QUERIES {
            for table in TABLES {
                for context in [&ours, &plain] {
                    let table = table.replacen("create table", "create or replace table", 1);
                    context.sql(&table).await.expect("a table").collect().await.expect("made");
                }
            }
            let sql = format!(
                "select o.id, o.customer, l.amount from orders o join lines l on o.id = l.order_id
                 where {condition} order by 1, 2, 3"
            );
            assert_eq!(told(&ours, &sql).await, told(&plain, &sql).await, "{condition}");
            let plan =
                ours.sql(&sql).await.expect("a query").into_optimized_plan().expect("a plan");
            let shown = plan.display_indent().to_string();
            let mut lines = shown.lines().skip_while(|line| {
                !line.contains("LeftSemi Join") && !line.contains("LeftAnti Join")
            });
            lines.next().expect("a semi join");
            let next =
                lines.find(|line| !line.contains("SubqueryAlias") && !line.contains("Projection"));
            let next = next.unwrap_or_default();
            assert!(next.contains(below), "{condition}:\n{shown}");
        }
    }
}
