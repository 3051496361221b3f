//! What of a plan is fresh, and so left out of it.

use std::collections::BTreeMap;

use arrowsmith_definitions::{AssetKey, StepPartitions};
use arrowsmith_io_manager::Version;

use super::assets::Planner;
use crate::Result;
use crate::fresh::{Candidate, Freshness, provenance};
use crate::node::Node;

impl Planner<'_> {
    /// The versions that are current of what a node would make.
    pub(super) fn current(
        &self,
        key: &AssetKey,
        piece: Option<&StepPartitions>,
    ) -> BTreeMap<u32, Version> {
        if let (Some(piece), Some(of)) = (piece, self.cuts.of.get(key)) {
            let version = |index| Some((index, of.current(index)?.version));
            return piece.set.iter().filter_map(version).collect();
        }
        let newest = match self.cuts.appended.get(key) {
            Some(versions) => versions.last().copied(),
            None => self.pointers.get(key.as_str()).map(|pointer| pointer.version),
        };
        newest.into_iter().map(|version| (0, version)).collect()
    }

    /// The partitions of a node that are known to be fresh before anything runs.
    pub(super) async fn fresh(&self, node: &Node) -> Result<Freshness> {
        let none = Freshness::default();
        let Some(consumes) = &node.consumes else { return Ok(none) };
        // What other steps are going to make is not known yet, and so is what needs it.
        let emitted = |at: usize, output: &str, _: Option<&str>| {
            let made = self.steps[at].node.output(output)?.asset.as_ref()?;
            Some((made.asset.key.clone(), Vec::new()))
        };
        let found = provenance(self.engine, consumes, node, &self.pinned, &emitted).await;
        // A source that cannot be asked is told by the step that reads it.
        let Ok(Some((now, needed))) = found else { return Ok(none) };
        let Some(current) = &node.current else { return Ok(none) };
        let candidate = Candidate::of(node, consumes, (&now, &needed), current);
        self.engine.fresh(&candidate, &self.made_of, false).await
    }
}
