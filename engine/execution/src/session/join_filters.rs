//! Filters that a join gives to what it probes, where they can leave anything out.
//!
//! A hash join can tell the scan of its probe side which keys its build side has, and the scan asks
//! that of every row before it decodes the rest. Where nothing has selected rows of the build side,
//! as in a join of all lines to all orders, every row passes and the asking is in vain: it was a
//! twentieth of the processor time of the pipeline in `examples/tpch`.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result};
use datafusion::datasource::physical_plan::ParquetSource;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::HashJoinExec;

/// DataFusion's rule for filters that become known while a query runs, without those of joins if
/// none of them selects.
#[derive(Debug)]
pub(super) struct SelectiveJoinFilters(FilterPushdown);

impl SelectiveJoinFilters {
    pub(super) fn new() -> Self {
        Self(FilterPushdown::new_post_optimization())
    }
}

impl PhysicalOptimizerRule for SelectiveJoinFilters {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if has_selective_join(&plan) {
            return self.0.optimize(plan, config);
        }
        let mut config = config.clone();
        config.optimizer.enable_join_dynamic_filter_pushdown = false;
        self.0.optimize(plan, &config)
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }
}

/// Whether the build side of any join has fewer rows than its tables, or may have.
fn has_selective_join(plan: &Arc<dyn ExecutionPlan>) -> bool {
    any(plan, |node| {
        node.downcast_ref::<HashJoinExec>().is_some_and(|join| any(join.left(), is_selective))
    })
}

/// Whether any node of a plan is one.
fn any(plan: &Arc<dyn ExecutionPlan>, is: impl Fn(&Arc<dyn ExecutionPlan>) -> bool) -> bool {
    let mut found = false;
    let walked = plan.apply(|node| {
        found = is(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    walked.is_ok() && found
}

/// Whether a node gives fewer rows than it is given, or may.
fn is_selective(node: &Arc<dyn ExecutionPlan>) -> bool {
    if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
        let source = scan.downcast_to_file_source::<ParquetSource>();
        return scan.fetch().is_some()
            || source.is_some_and(|(config, _)| config.file_source().filter().is_some());
    }
    let keeps =
        |join: &HashJoinExec| join.join_type().is_outer() || *join.join_type() == JoinType::Inner;
    node.is::<FilterExec>()
        || node.fetch().is_some()
        || node.downcast_ref::<HashJoinExec>().is_some_and(|join| !keeps(join))
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::{SessionConfig, SessionContext};

    use super::super::state;

    #[tokio::test]
    async fn only_a_join_that_selects_tells_what_it_probes() {
        let context = SessionContext::new_with_state(
            state(SessionConfig::new(), 1 << 30).expect("a session"),
        );
        for table in ["a", "b"] {
            let sql = format!(
                "create table {table} as select v.value as id, v.value % 7 as other
                 from generate_series(1, 60) as v(value)"
            );
            context.sql(&sql).await.expect("a table").collect().await.expect("made");
        }
        for (filter, told) in [("true", false), ("a.other + 1 = 3", true)] {
            let sql = format!("select a.id, b.other from b join a on a.id = b.id where {filter}");
            let plan = context.sql(&sql).await.expect("a query").create_physical_plan().await;
            let plan = plan.expect("a plan");
            let shown = displayable(&*plan).indent(false).to_string();
            assert!(shown.contains("HashJoinExec"), "{shown}");
            assert_eq!(super::has_selective_join(&plan), told, "{filter}:\n{shown}");
        }
    }
}
