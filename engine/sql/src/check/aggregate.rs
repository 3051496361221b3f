//! Expressions over aggregates of all rows, such as `avg(delay) < 60`, as something that is
//! evaluated while the rows stream by.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrowsmith_definitions::{Aggregate, AggregateWatch, BoxError};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_expr::aggregate::LoweredAggregateBuilder;
use datafusion::physical_expr::create_physical_expr;

use super::TABLE;
use crate::parse::Query;
use crate::{InputTable, plan_query, planning_session};

/// The aggregates of an expression; `None` if it has none, and so is one over single rows.
pub(super) fn watch(query: &Query, schema: &SchemaRef) -> Result<Option<AggregateWatch>, BoxError> {
    let state = planning_session();
    let rows = InputTable::Columns(Arc::clone(schema));
    let (plan, _) = plan_query(query, state, &HashMap::from([(TABLE.to_owned(), rows)]))?;
    let LogicalPlan::Projection(projection) = &plan else { return Ok(None) };
    let LogicalPlan::Aggregate(written) = &*projection.input else { return Ok(None) };
    // Analysis adds casts, which are not what the author has written.
    let text = |expr: &Expr| expr.to_string().replace(&format!("{TABLE}."), "");
    let texts: Vec<String> = written.aggr_expr.iter().map(text).collect();
    let plan = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let LogicalPlan::Projection(projection) = &plan else { return Err(unknown()) };
    let LogicalPlan::Aggregate(aggregate) = &*projection.input else { return Err(unknown()) };
    let is = plan.schema().field(0).data_type();
    if !matches!(is, DataType::Boolean | DataType::Null) {
        return Err(format!("the expression is {is}, not true or false").into());
    }
    let (props, context) = (state.execution_props(), PhysicalPlanningContext::default());
    let lowered = |(expr, text): (&Expr, String)| {
        let input = aggregate.input.schema();
        let lowered = LoweredAggregateBuilder::new(expr, input, schema, props, &context).build()?;
        if !lowered.order_bys.is_empty() {
            return Err(BoxError::from("an aggregate of a check has no `order by`"));
        }
        Ok(Aggregate { text, function: lowered.aggregate, filter: lowered.filter })
    };
    let aggregates = aggregate.aggr_expr.iter().zip(texts).map(lowered);
    let verdict = projection.expr.first().cloned().ok_or_else(unknown)?.unalias();
    Ok(Some(AggregateWatch {
        aggregates: aggregates.collect::<Result<_, _>>()?,
        results: Arc::new(aggregate.schema.as_arrow().clone()),
        holds: create_physical_expr(&verdict, &aggregate.schema, props, &context)?,
    }))
}

fn unknown() -> BoxError {
    "only aggregates of the rows can be checked in an expression; write it as a `query`".into()
}
