//! Steps of which all or a part is fresh or was stored before, so that nothing has to be computed for
//! it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{BoxError, PartitionSet, StepPartitions};
use arrowsmith_instance::{AttemptStatus, Event, ReusedVersion, StepState};
use arrowsmith_io_manager::Version;

use super::run::{Emission, Known, Run};
use super::step::{StepEnd, Work};
use crate::Step;
use crate::catalog::Part;
use crate::record::published_partitions;

/// A step with the partitions that are not known; `None` if nothing is left of it.
pub(super) fn without(step: &Step, known: &Known) -> Option<Step> {
    let piece = step.node.partitions.as_deref()?;
    let mut stored = PartitionSet::default();
    for index in known.fresh.keys().chain(known.reusable.keys()) {
        stored.insert(*index);
    }
    let set = piece.set.difference(&stored);
    if set.is_empty() {
        return None;
    }
    let mut node = (*step.node).clone();
    node.partitions = Some(Arc::new(StepPartitions { set, ..piece.clone() }));
    Some(Step { node: Arc::new(node), ..step.clone() })
}

/// The versions that hold partitions of a step.
pub(super) async fn parts_of(
    run: &Run,
    step: &Step,
    held: &BTreeMap<u32, Version>,
) -> Result<Vec<Part>, BoxError> {
    let piece = step.node.partitions.as_deref();
    let mut keys: BTreeMap<Version, Vec<String>> = BTreeMap::new();
    for (index, version) in held {
        let of_version = keys.entry(*version).or_default();
        of_version.extend(piece.map(|piece| piece.keys.key(*index)));
    }
    let mut parts = Vec::new();
    for (version, keys) in keys {
        let made = run.engine.version(version).await?.ok_or("a stored version is known")?;
        parts.push(match piece {
            Some(_) => Part::new(&made.io_manager, &made.stored, &keys),
            None => Part { io_manager: made.io_manager, stored: made.stored },
        });
    }
    Ok(parts)
}

impl Work {
    /// Ends the step without a new version: what is current is what its readers read.
    pub(super) async fn confirmed(&self) -> StepEnd {
        let duration_us = self.elapsed().as_micros().try_into().unwrap_or(u64::MAX);
        let event = Event::StepConfirmed { duration_us };
        let reason = "what it reads and its code are the same";
        self.end(AttemptStatus::Success, StepState::Confirmed, reason, event).await;
        self.remember_stored();
        self.notice_end(StepState::Confirmed, 0, 0, None);
        StepEnd::new(self.at, StepState::Confirmed)
    }

    /// Lets other steps read what was stored before, where nothing was computed.
    pub(super) fn remember_stored(&self) {
        for declared in &self.step.node.outputs {
            let mut kept = [&*self.kept, &*self.reused].concat();
            // A whole table is one version.
            let own = if self.step.node.partitions.is_none() { kept.pop() } else { None };
            let emission = Emission {
                io_manager: declared.io_manager.clone(),
                stored: own.map(|part| part.stored),
                kept,
                asset: declared.asset.as_ref().map(|resolved| resolved.asset.key.clone()),
            };
            self.run.remember((self.at, declared.name.clone(), None), emission);
        }
    }

    /// What becomes current again.
    pub(super) fn reused_versions(&self) -> Vec<ReusedVersion> {
        let asset = self.step.node.outputs.first().and_then(|output| output.asset.as_ref());
        let Some(resolved) = asset else { return Vec::new() };
        let reused = |Part { stored, .. }: &Part| ReusedVersion {
            asset: resolved.asset.key.to_string(),
            version: stored.version,
            partitions: published_partitions(stored),
            row_count: stored.row_count,
            size_bytes: stored.size_bytes,
        };
        self.reused.iter().map(reused).collect()
    }
}
