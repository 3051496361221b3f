//! `count(distinct …)` whose memory can be given back.
//!
//! DataFusion counts the distinct integers of all groups in one set. When memory is short the values
//! are given out, but the set keeps its capacity, so that nothing is gained and the query fails. Any
//! other type has a set for each group, which goes when its group is given out: slower, and it
//! spills. So integers are counted as another type that holds each of them exactly.

use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, cast};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

#[derive(Debug)]
pub(super) struct SpillDistinctCounts;

impl OptimizerRule for SpillDistinctCounts {
    fn name(&self) -> &'static str {
        "spill_distinct_counts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let names = NamePreserver::new(&plan);
        let LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, schema, .. }) = plan
        else {
            return Ok(Transformed::no(plan));
        };
        let mut changed = false;
        let counted = aggr_expr.into_iter().map(|expr| {
            let name = names.save(&expr);
            let counted = expr.transform_up(|expr| spilling(expr, input.schema()))?;
            changed |= counted.transformed;
            Ok(if counted.transformed { name.restore(counted.data) } else { counted.data })
        });
        let counted = counted.collect::<Result<_>>()?;
        let plan = Aggregate::try_new_with_schema(input, group_expr, counted, schema)?;
        Ok(Transformed::new_transformed(LogicalPlan::Aggregate(plan), changed))
    }
}

/// The count of distinct integers as one of another type; anything else as it is.
fn spilling(expr: Expr, input: &DFSchema) -> Result<Transformed<Expr>> {
    let Expr::AggregateFunction(mut function) = expr else { return Ok(Transformed::no(expr)) };
    let is_count = function.func.name() == "count" && function.params.distinct;
    let as_type = match function.params.args.as_slice() {
        [of] if is_count => exact_type(&of.get_type(input)?),
        _ => None,
    };
    let is_changed = as_type.is_some();
    if let (Some(as_type), [of]) = (as_type, function.params.args.as_mut_slice()) {
        *of = cast(std::mem::take(of), as_type);
    }
    Ok(Transformed::new_transformed(Expr::AggregateFunction(function), is_changed))
}

/// A type with a set for each group that holds every value of an integer type; smaller ones have
/// sets whose size is bounded.
fn exact_type(integer: &DataType) -> Option<DataType> {
    match integer {
        DataType::Int32 | DataType::Int64 | DataType::UInt32 => {
            Some(DataType::Timestamp(TimeUnit::Nanosecond, None))
        }
        DataType::UInt64 => Some(DataType::Decimal128(20, 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::AsArray;
    use datafusion::arrow::datatypes::Int64Type;
    use datafusion::prelude::SessionContext;

    use super::super::Session;

    /// Integer types with their least and greatest values, and as what they are counted.
    const TYPES: [(&str, &str, &str, &str); 5] = [
        ("Int16", "-32768", "32767", "count(DISTINCT v.x)"),
        ("Int32", "-2147483648", "2147483647", "Timestamp(ns)"),
        ("Int64", "-9223372036854775808", "9223372036854775807", "Timestamp(ns)"),
        ("UInt32", "0", "4294967295", "Timestamp(ns)"),
        ("UInt64", "0", "18446744073709551615", "Decimal128(20, 0)"),
    ];

    #[tokio::test]
    async fn every_integer_is_counted_once_as_another_type() {
        let frugal = Session::with_memory(1 << 30).expect("a session").frugal();
        let context = SessionContext::new_with_state((*frugal.state).clone());
        for (integer, least, greatest, counted_as) in TYPES {
            let sql = format!(
                "select count(*), count(distinct x), count(distinct x) filter (where x > 1) as few
                 from (select arrow_cast(t, '{integer}') as x from (values
                     ('{least}'), ('{greatest}'), ('{least}'), ('1'), ('1'), ('2'), (null)) as w(t)
                 ) as v"
            );
            let plan = context.sql(&sql).await.expect("a query").into_optimized_plan();
            let shown = plan.expect("a plan").display_indent_schema().to_string();
            assert!(shown.contains(counted_as), "{integer}:\n{shown}");
            let rows = context.sql(&sql).await.expect("a query").collect().await.expect("rows");
            let counts = rows[0].columns().iter().map(|c| c.as_primitive::<Int64Type>().value(0));
            assert_eq!(counts.collect::<Vec<_>>(), [7, 4, 2], "{integer}");
        }
    }
}
