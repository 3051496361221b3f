//! The session in which steps plan and execute: its memory, its options and its optimizer.

mod distinct_counts;
mod join_filters;
mod semi_join;

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{SessionState, SessionStateBuilder, TaskContext};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::SessionConfig;

use distinct_counts::SpillDistinctCounts;
use join_filters::SelectiveJoinFilters;
use semi_join::PushDownSemiJoin;

/// How many consumers of memory are named when it is exhausted.
const TOP_CONSUMERS: NonZeroUsize = NonZeroUsize::new(5).expect("five is not zero");
/// The rule of DataFusion before which semi joins go down, so that filters follow them.
const FILTERS_GO_DOWN: &str = "push_down_filter";

/// Where sorts of a frugal session spill: what they keep for merging, in bytes.
const FRUGAL_SORT_BYTES: usize = 1024 * 1024;
/// With one partition DataFusion joins by hash whatever it is asked for.
const FRUGAL_PARTITIONS: usize = 2;
const FRUGAL_ROWS: usize = 1024;

/// A join builds one table for all partitions if the side of which it is built has no more rows than
/// this, divided among the other processors, who have to wait for it. Otherwise both sides are cut by
/// their keys, which moves every row of them. With 32 processors these are about as many rows as
/// `DataFusion` has for any number of them.
const BUILT_ROWS: usize = 4 * 1024 * 1024;
/// Bytes of such a row, for sides of which only bytes are known.
const BUILT_ROW_BYTES: usize = 64;

/// In what a step plans and executes.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) state: Arc<SessionState>,
    pub(crate) task: Arc<TaskContext>,
}

impl Session {
    fn new(state: SessionState) -> Self {
        Self { task: state.task_ctx(), state: Arc::new(state) }
    }

    /// A session whose queries together have so many bytes.
    pub(crate) fn with_memory(memory_bytes: usize) -> Result<Self> {
        state(SessionConfig::new(), memory_bytes).map(Self::new)
    }

    /// The same memory for queries that need little of it and take longer: everything that holds
    /// many rows can spill, since joins sort, and sorts and batches are small.
    pub(crate) fn frugal(&self) -> Self {
        let mut config = self.state.config().clone().with_target_partitions(FRUGAL_PARTITIONS);
        config = config.with_batch_size(FRUGAL_ROWS);
        let options = config.options_mut();
        options.execution.sort_spill_reservation_bytes = FRUGAL_SORT_BYTES;
        options.optimizer.prefer_hash_join = false;
        let plain = ConfigOptions::default().optimizer;
        options.optimizer.hash_join_single_partition_threshold =
            plain.hash_join_single_partition_threshold;
        options.optimizer.hash_join_single_partition_threshold_rows =
            plain.hash_join_single_partition_threshold_rows;
        let builder = SessionStateBuilder::new_from_existing((*self.state).clone());
        let builder = builder.with_optimizer_rule(Arc::new(SpillDistinctCounts));
        Self::new(builder.with_config(config).build())
    }
}

fn state(config: SessionConfig, memory_bytes: usize) -> Result<SessionState> {
    let pool = TrackConsumersPool::new(FairSpillPool::new(memory_bytes), TOP_CONSUMERS);
    let runtime: RuntimeEnv = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build()?;
    let mut config = config.with_information_schema(false);
    let options = config.options_mut();
    options.execution.parquet.pushdown_filters = true;
    let built_rows = BUILT_ROWS / options.execution.target_partitions.saturating_sub(1).max(1);
    options.optimizer.hash_join_single_partition_threshold_rows = built_rows;
    options.optimizer.hash_join_single_partition_threshold = built_rows * BUILT_ROW_BYTES;
    options.sql_parser.collect_spans = true;
    Ok(SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(Arc::new(runtime))
        .with_default_features()
        .with_optimizer_rules(rules())
        .with_physical_optimizer_rules(physical_rules())
        .build())
}

fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let at = rules.iter().position(|rule| rule.name() == FILTERS_GO_DOWN);
    rules.insert(at.unwrap_or(rules.len()), Arc::new(PushDownSemiJoin));
    rules
}

fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let selective = SelectiveJoinFilters::new();
    let mut rules = PhysicalOptimizer::new().rules;
    if let Some(at) = rules.iter().rposition(|rule| rule.name() == selective.name()) {
        rules[at] = Arc::new(selective);
    }
    rules
}

#[cfg(test)]
mod tests {
    use datafusion::physical_plan::displayable;
    use datafusion::prelude::SessionContext;

    use super::{Session, SessionConfig, state};

    #[tokio::test]
    async fn few_processors_share_one_table_of_a_join_and_many_have_one_each() {
        let table = "create table numbers as select value as n from generate_series(1, 2000000)";
        let join = "select l.n from numbers l join numbers r on l.n = r.n";
        let with = |partitions| {
            let config = SessionConfig::new().with_target_partitions(partitions);
            Session::new(state(config, 1 << 30).expect("a session"))
        };
        let sessions = [
            (with(2), "mode=CollectLeft"),
            (with(32), "mode=Partitioned"),
            (with(2).frugal(), "SortMergeJoin"),
        ];
        for (session, expected) in sessions {
            let context = SessionContext::new_with_state((*session.state).clone());
            context.sql(table).await.expect("a table").collect().await.expect("made");
            let plan = context.sql(join).await.expect("a query").create_physical_plan().await;
            let shown = displayable(plan.expect("a plan").as_ref()).indent(false).to_string();
            assert!(shown.contains(expected), "{expected}:\n{shown}");
        }
    }
}
