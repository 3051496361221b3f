//! Which columns of its inputs the columns of a query come from.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrowsmith_definitions::{ColumnLineage, Influence};
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::SessionState;
use datafusion::logical_expr::{CreateView, DdlStatement, Distinct, LogicalPlan};
use datafusion_openlineage::column::{DirectKind, IndirectKind, ResolvedColumns};
use datafusion_openlineage::{OpenLineageConfig, extract};

/// The sources of a bound plan, which has all that the author wrote; of the optimized one where a
/// subquery hides them. `None` if neither tells.
pub(crate) fn lineage(state: &SessionState, plan: &LogicalPlan) -> Option<ColumnLineage> {
    let found = columns_of(plan).or_else(|| columns_of(&state.optimize(plan).ok()?))?;
    let direct = found.fields.iter().map(|(column, sources)| {
        let sources = sources.direct.iter().map(|(source, kind)| {
            let influence = match kind {
                DirectKind::Identity => Influence::Identity,
                DirectKind::Transformation => Influence::Transformation,
                DirectKind::Aggregation => Influence::Aggregation,
            };
            (source.dataset.name.clone(), source.column.clone(), influence)
        });
        (column.clone(), sources.collect::<BTreeSet<_>>())
    });
    let mut lineage = ColumnLineage { direct: direct.collect(), ..ColumnLineage::default() };
    for (source, kinds) in &found.indirect {
        lineage.indirect.extend(kinds.iter().map(|kind| {
            let influence = match kind {
                IndirectKind::Filter => Influence::Filter,
                IndirectKind::Join => Influence::Join,
                IndirectKind::GroupBy => Influence::GroupBy,
                IndirectKind::Sort => Influence::Sort,
                IndirectKind::Window => Influence::Window,
            };
            (source.dataset.name.clone(), source.column.clone(), influence)
        }));
    }
    // Which rows are the same is decided by all columns, and how many come of a list by the list.
    let influence = if has(plan, |node| matches!(node, LogicalPlan::Unnest(_))) {
        Some(Influence::Unknown)
    } else {
        has(plan, |node| matches!(node, LogicalPlan::Distinct(Distinct::All(_))))
            .then_some(Influence::GroupBy)
    };
    if let Some(influence) = influence {
        let sources = lineage.direct.values().flatten();
        let all = sources.map(|(input, column, _)| (input.clone(), column.clone(), influence));
        lineage.indirect.extend(all.collect::<Vec<_>>());
    }
    Some(lineage)
}

fn columns_of(plan: &LogicalPlan) -> Option<ResolvedColumns> {
    // Only what is written has lineage.
    let view = LogicalPlan::Ddl(DdlStatement::CreateView(CreateView {
        name: TableReference::bare("it"),
        input: Arc::new(plan.clone()),
        or_replace: false,
        definition: None,
        temporary: false,
    }));
    let config = OpenLineageConfig { job_namespace: String::new(), ..OpenLineageConfig::default() };
    extract(&view, &config).outputs.into_iter().find_map(|output| output.column_lineage)
}

fn has(plan: &LogicalPlan, is_it: impl Fn(&LogicalPlan) -> bool) -> bool {
    let mut found = false;
    // The visitor has no errors.
    let _visited = plan.apply_with_subqueries(|node| {
        found |= is_it(node);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    found
}
