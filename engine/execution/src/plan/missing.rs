//! Inputs that are not there, told before anything runs.

use arrowsmith_definitions::{AssetKey, Code, Diagnostic, PartitionSet, ResolvedInput};

use super::assets::Planner;
use crate::partitions::AssetPartitions;

impl Planner<'_> {
    /// Tells all earlier partitions of an asset that it needs, and those that they need in turn.
    pub(super) fn earlier_are_missing(&mut self, input: &ResolvedInput, mut missing: PartitionSet) {
        let key = &input.key;
        let (of, asked) = (&self.cuts.of[key], &self.cuts.sets[key]);
        loop {
            let needed = self.cuts.required(self.engine, key, input, Some(&missing)).set;
            let more = needed.difference(&of.materialized).difference(asked).difference(&missing);
            if more.is_empty() {
                break;
            }
            missing = missing.union(&more);
        }
        let mut problem = partitions_not_materialized(key, key, of, &missing);
        let all = of.keys.expression(&missing.union(asked));
        problem.helps = vec![format!(
            "materialize them in one go: `arrowsmith materialize {key} --partition '{all}'`"
        )];
        if !self.problems.iter().any(|known| known.message == problem.message) {
            self.problems.push(problem);
        }
    }
}

pub(super) fn partitions_not_materialized(
    reader: &AssetKey,
    key: &AssetKey,
    of: &AssetPartitions,
    missing: &PartitionSet,
) -> Diagnostic {
    let (shown, exact) = (of.keys.shown(missing), of.keys.expression(missing));
    let message = match missing.len() {
        1 => format!("`{reader}` needs partition {shown} of `{key}`, which is not materialized"),
        count => format!(
            "`{reader}` needs {count} partitions of `{key}` that are not materialized: {shown}"
        ),
    };
    let exact = if exact.len() > 80 { "missing".to_owned() } else { exact };
    Diagnostic::error(Code::NotMaterialized, message)
        .help(format!("materialize them: `arrowsmith materialize {key} --partition '{exact}'`"))
}

pub(super) fn not_materialized(key: &AssetKey, input: &AssetKey) -> Diagnostic {
    let message = format!("`{key}` reads `{input}`, which has not been materialized");
    Diagnostic::error(Code::NotMaterialized, message)
        .help(format!("materialize both: `arrowsmith materialize '+{key}'`"))
}
