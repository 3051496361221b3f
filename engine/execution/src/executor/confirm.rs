//! Steps of which all or a part is fresh, so that nothing has to be computed for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{BoxError, PartitionSet, StepPartitions};
use arrowsmith_instance::{AttemptStatus, Event, StepState};
use arrowsmith_io_manager::Version;

use super::run::{Emission, Run};
use super::step::{StepEnd, Work};
use crate::Step;
use crate::catalog::Part;

/// A step with the partitions that are not fresh; `None` if nothing is left of it.
pub(super) fn without(step: &Step, fresh: &PartitionSet) -> Option<Step> {
    let piece = step.node.partitions.as_deref()?;
    let set = piece.set.difference(fresh);
    if set.is_empty() {
        return None;
    }
    let mut node = (*step.node).clone();
    node.partitions = Some(Arc::new(StepPartitions { set, ..piece.clone() }));
    Some(Step { node: Arc::new(node), ..step.clone() })
}

/// The versions that hold what is fresh of a step.
pub(super) async fn fresh_parts(
    run: &Run,
    step: &Step,
    fresh: &PartitionSet,
) -> Result<Vec<Part>, BoxError> {
    let (Some(current), piece) = (&step.node.current, step.node.partitions.as_deref()) else {
        return Ok(Vec::new());
    };
    let mut keys: BTreeMap<Version, Vec<String>> = BTreeMap::new();
    for index in fresh.iter() {
        let Some(version) = current.get(&index) else { continue };
        let of_version = keys.entry(*version).or_default();
        of_version.extend(piece.map(|piece| piece.keys.key(index)));
    }
    let mut parts = Vec::new();
    for (version, keys) in keys {
        let made = run.engine.version(version).await?.ok_or("a current version is known")?;
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
        for declared in &self.step.node.outputs {
            let mut kept = self.kept.clone();
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
        self.notice_end(StepState::Confirmed, 0, 0, None);
        StepEnd::new(self.at, StepState::Confirmed)
    }
}
