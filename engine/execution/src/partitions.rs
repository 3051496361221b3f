//! The partitions of an asset as they exist and are materialized now.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, DimensionKind, DynamicKeys, PartitionKeys, PartitionSet, Partitions,
};
use arrowsmith_instance::PartitionPointer;
use arrowsmith_io_manager::Version;
use jiff::Timestamp;

use crate::{Engine, Result};

/// What is known of the partitions of one asset.
#[derive(Debug)]
pub struct AssetPartitions {
    /// What they are.
    pub definition: Arc<Partitions>,
    /// Those that exist now.
    pub keys: Arc<PartitionKeys>,
    /// Those that are materialized.
    pub materialized: PartitionSet,
    current: HashMap<u32, PartitionPointer>,
}

impl AssetPartitions {
    /// What is current of a partition.
    pub fn current(&self, index: u32) -> Option<&PartitionPointer> {
        self.current.get(&index)
    }

    /// Those that exist and are not materialized.
    pub fn missing(&self) -> PartitionSet {
        self.keys.all().difference(&self.materialized)
    }

    /// The versions that hold the materialized ones of a set, each with their keys in it.
    pub fn versions(&self, set: &PartitionSet) -> BTreeMap<Version, Vec<String>> {
        let mut versions: BTreeMap<Version, Vec<String>> = BTreeMap::new();
        for pointer in set.iter().filter_map(|index| self.current.get(&index)) {
            versions.entry(pointer.version).or_default().push(pointer.partition_key.clone());
        }
        versions
    }
}

impl AssetPartitions {
    /// The partitions that a step makes, by what its key has behind that of the asset, such as
    /// `[2024-01...2024-03]`.
    pub(crate) fn of_step(&self, rest: &str) -> Option<PartitionSet> {
        let open = rest.find('[').filter(|at| *at == 0 || rest.starts_with('.'))?;
        let keys = rest[open + 1..].strip_suffix(']')?;
        let (first, last) = keys.split_once("...").unwrap_or((keys, keys));
        Some(PartitionSet::range(self.keys.find(first)?..=self.keys.find(last)?))
    }
}

/// The partitions of an asset, and what becomes of them now.
#[derive(Debug)]
pub struct PartitionsNow {
    /// What is known of them.
    pub partitions: AssetPartitions,
    /// Those that a run computes.
    pub running: PartitionSet,
    /// Those whose last attempt failed, and that were not published since.
    pub failed: PartitionSet,
}

impl Engine {
    /// The partitions of an asset with what becomes of them now; `None` if it has none.
    ///
    /// # Errors
    /// Of the instance, which has to be a database.
    pub async fn partitions_now(&self, asset: &AssetKey) -> Result<Option<PartitionsNow>> {
        let Some(partitions) = self.partitions(asset).await? else { return Ok(None) };
        let of = |step: &str| partitions.of_step(step.strip_prefix(asset.as_str())?);
        let (mut running, mut failed) = (PartitionSet::empty(), PartitionSet::empty());
        for (_, step) in self.instance.running_steps().await? {
            running.extend(&of(&step).unwrap_or_default());
        }
        for end in self.instance.last_ends().await?.iter().filter(|end| end.failed) {
            let since = |index: &u32| {
                partitions.current(*index).is_none_or(|current| current.published_at < end.at)
            };
            let set = of(&end.step_key).unwrap_or_default();
            failed.extend(&set.iter().filter(since).collect());
        }
        failed = failed.difference(&running);
        Ok(Some(PartitionsNow { partitions, running, failed }))
    }

    /// The partitions of an asset; `None` if it has none.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn partitions(&self, asset: &AssetKey) -> Result<Option<AssetPartitions>> {
        let Some(resolved) = self.resolved.asset(asset) else { return Ok(None) };
        let Some(definition) = resolved.asset.partitions.clone() else { return Ok(None) };
        let mut dynamic = DynamicKeys::new();
        for dimension in &definition.dimensions {
            if let DimensionKind::Dynamic(name) = &dimension.kind {
                dynamic.insert(name.clone(), self.instance.dynamic_partitions(name).await?);
            }
        }
        let now = Timestamp::from_microsecond(self.clock.now()).unwrap_or_default();
        let keys = Arc::new(PartitionKeys::at(&definition, now, &dynamic));
        let pointers = self.instance.partitions(&self.environment, asset.as_str()).await?;
        let found = keys.indexes(pointers.iter().map(|pointer| pointer.partition_key.as_str()));
        let pairs = found.into_iter().zip(pointers);
        let current: HashMap<u32, PartitionPointer> =
            pairs.filter_map(|(index, pointer)| Some((index?, pointer))).collect();
        let materialized = current.keys().copied().collect();
        Ok(Some(AssetPartitions { definition, keys, materialized, current }))
    }
}
