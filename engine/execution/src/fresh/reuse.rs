//! What was computed before and is stored still, so that it need not be computed again.

use std::collections::BTreeMap;

use arrowsmith_definitions::{AssetKey, PartitionSet, StepPartitions};
use arrowsmith_io_manager::Version;

use super::{Candidate, Made};
use crate::{Engine, Result};

/// Stored versions of a partition that are compared, newest first.
const COMPARED: u8 = 8;
/// Stored versions of a partitioned asset that are looked at, newest first.
const LOOKED_AT: u32 = 256;

impl Engine {
    /// Stored versions that hold what would be computed for some partitions, by partition.
    ///
    /// They are told by their code and by what they were made of. No rows are read for it, so digests
    /// decide only where they are known.
    ///
    /// # Errors
    /// Of the instance.
    pub(crate) async fn reusable(
        &self,
        asset: &AssetKey,
        candidate: &Candidate<'_>,
        piece: Option<&StepPartitions>,
        mut left: PartitionSet,
    ) -> Result<BTreeMap<u32, Version>> {
        let mut found = BTreeMap::new();
        let code = &candidate.consumes.code;
        let limit = if piece.is_some() { LOOKED_AT } else { COMPARED.into() };
        let stored = self.instance.stored_versions(asset.as_str(), code, limit).await?;
        let mut holders: BTreeMap<u32, Vec<Version>> = BTreeMap::new();
        let mut made = Made::new();
        for stored in stored {
            let held: Vec<u32> = match piece {
                Some(piece) => {
                    stored.partitions.iter().filter_map(|key| piece.keys.find(key)).collect()
                }
                None if stored.partitions.is_empty() => vec![0],
                None => Vec::new(),
            };
            for index in held {
                let is_current = candidate.current.get(&index) == Some(&stored.version);
                if left.contains(index) && !is_current {
                    holders.entry(index).or_default().push(stored.version);
                }
            }
            made.insert(stored.version, stored.provenance);
        }
        for place in 0..COMPARED {
            let held = holders.iter().filter(|(index, _)| left.contains(**index));
            let held =
                held.filter_map(|(index, held)| Some((*index, *held.get(usize::from(place))?)));
            let current: BTreeMap<u32, Version> = held.collect();
            if current.is_empty() {
                break;
            }
            let candidate = Candidate { current: &current, ..*candidate };
            let fresh = self.fresh(&candidate, &made, false).await?.fresh;
            left = left.difference(&fresh);
            found.extend(fresh.iter().filter_map(|index| Some((index, *current.get(&index)?))));
        }
        self.only_reachable(found).await
    }

    async fn only_reachable(
        &self,
        mut found: BTreeMap<u32, Version>,
    ) -> Result<BTreeMap<u32, Version>> {
        let mut versions: Vec<Version> = found.values().copied().collect();
        versions.sort_unstable();
        versions.dedup();
        for version in versions {
            let made = self.version(version).await?;
            if made.is_none_or(|made| self.reachable(&made).is_err()) {
                found.retain(|_, of| *of != version);
            }
        }
        Ok(found)
    }
}
