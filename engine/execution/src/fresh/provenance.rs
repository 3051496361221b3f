//! What a step reads, version by version, and what each of its partitions needs of it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Body, BoxError, PartitionSet};
use arrowsmith_instance::{Pointer, Provenance};
use arrowsmith_io_manager::{StoredTable, Version};

use super::Consumes;
use crate::Engine;
use crate::node::{Node, NodeInput, NodeSource, PartitionSource};

/// What the partitions of a step need of an input: its keys; an empty key is all of it.
#[derive(Debug)]
pub(crate) enum Needed<'a> {
    Whole(AssetKey),
    Partitions(&'a PartitionSource),
}

impl Needed<'_> {
    pub(crate) fn asset(&self) -> &AssetKey {
        match self {
            Self::Whole(key) => key,
            Self::Partitions(of) => &of.asset,
        }
    }

    /// The keys that a partition of the reader needs; those of all if the reader has none.
    pub(crate) fn keys(&self, partition: Option<u32>) -> Vec<String> {
        match self {
            Self::Whole(_) => vec![String::new()],
            Self::Partitions(of) if of.is_appended => vec![String::new()],
            Self::Partitions(of) => match (&of.mapped, partition) {
                (Some(mapped), Some(partition)) => {
                    let set = PartitionSet::range(partition..=partition);
                    let needed = mapped.mapping.required(&set, &mapped.mine, &mapped.theirs).set;
                    mapped.theirs.texts(&needed)
                }
                _ => {
                    let made = of.made.iter().flat_map(|(.., keys)| keys);
                    let pinned = of.pinned.iter().flat_map(|(_, keys)| keys);
                    made.chain(pinned).chain(&of.external).cloned().collect()
                }
            },
        }
    }
}

impl Needed<'_> {
    /// Whether a key that no version holds is one that nobody makes.
    pub(crate) fn may_be_missing(&self, key: &str) -> bool {
        match self {
            Self::Whole(_) => false,
            Self::Partitions(of) => {
                let mut made = of.made.iter().flat_map(|(.., keys)| keys);
                !of.is_appended && !made.any(|made| made == key)
            }
        }
    }

    /// Whether a key that was read is none that could be read now, so that its rows are gone.
    pub(crate) fn is_gone(&self, partition: Option<u32>, key: &str, now: &HashSet<String>) -> bool {
        match self {
            Self::Partitions(of) if !of.is_appended => match (&of.mapped, partition) {
                // Another partition of the same step may have needed it.
                (Some(mapped), Some(_)) => mapped.theirs.find(key).is_none(),
                _ => !now.contains(key),
            },
            _ => !key.is_empty(),
        }
    }
}

/// For each asset and key the versions that hold it.
pub(crate) type Held<'a> = HashMap<(&'a str, &'a str), Vec<Version>>;

/// A provenance by asset and key.
pub(crate) fn held(of: &Provenance) -> Held<'_> {
    let mut held = Held::new();
    for (asset, versions) in &of.inputs {
        for (version, keys) in versions {
            for key in keys {
                held.entry((asset, key)).or_default().push(*version);
            }
        }
    }
    for versions in held.values_mut() {
        versions.sort_unstable();
    }
    held
}

/// A provenance in which some keys are held by other versions.
pub(crate) fn moved(of: &Provenance, to: &BTreeMap<(String, String), Vec<Version>>) -> Provenance {
    let mut moved = of.clone();
    let assets: HashSet<&str> = to.keys().map(|(asset, _)| asset.as_str()).collect();
    for (asset, versions) in &mut moved.inputs {
        if !assets.contains(asset.as_str()) {
            continue;
        }
        let is_moved = |key: &String| to.contains_key(&(asset.clone(), key.clone()));
        for keys in versions.values_mut() {
            keys.retain(|key| !is_moved(key));
        }
        versions.retain(|_, keys| !keys.is_empty());
        for ((_, key), now) in to.iter().filter(|((of, _), _)| of == asset) {
            for version in now {
                let keys = versions.entry(*version).or_default();
                if let Err(place) = keys.binary_search(key) {
                    keys.insert(place, key.clone());
                }
            }
        }
    }
    moved
}

/// What a step of the same run has emitted: the asset that it is, and its versions.
pub(crate) type Emitted<'a> =
    &'a (dyn Fn(usize, &str, Option<&str>) -> Option<(AssetKey, Vec<Arc<StoredTable>>)> + Sync);

/// What a node is made of as things stand, and what its partitions need of it. `None` if it reads
/// something whose state is not known, or that is not made yet.
///
/// # Errors
/// Whatever keeps a source or the catalog from being asked.
pub(crate) async fn provenance<'a>(
    engine: &Engine,
    consumes: &Consumes,
    node: &'a Node,
    pinned: &HashMap<AssetKey, Pointer>,
    emitted: Emitted<'_>,
) -> Result<Option<(Provenance, Vec<Needed<'a>>)>, BoxError> {
    let mut now = Provenance { code: consumes.code.clone(), ..Provenance::default() };
    let mut needed = Vec::new();
    for leaf in node.inputs.iter().flat_map(NodeInput::leaves) {
        match leaf {
            NodeSource::Step { at, output, mapping_key, .. } => {
                let Some((asset, stored)) = emitted(*at, output, mapping_key.as_deref()) else {
                    return Ok(None);
                };
                let versions = now.inputs.entry(asset.to_string()).or_default();
                versions.extend(stored.iter().map(|part| (part.version, vec![String::new()])));
                needed.push(Needed::Whole(asset));
            }
            NodeSource::Asset(key) => {
                if let Some(pointer) = pinned.get(key) {
                    let versions = now.inputs.entry(key.to_string()).or_default();
                    versions.insert(pointer.version, vec![String::new()]);
                } else {
                    let Some(states) = states(engine, key, &[]).await? else { return Ok(None) };
                    now.sources.entry(key.to_string()).or_default().extend(states);
                }
                needed.push(Needed::Whole(key.clone()));
            }
            NodeSource::Partitions(of) => {
                if engine.resolved.assets[&of.asset].asset.is_external() {
                    let keys = of.external.as_slice();
                    if !keys.is_empty() {
                        let states = states(engine, &of.asset, keys).await?;
                        let Some(states) = states else { return Ok(None) };
                        now.sources.entry(of.asset.to_string()).or_default().extend(states);
                    }
                } else if !add_partitions(engine, of, emitted, &mut now).await? {
                    return Ok(None);
                }
                needed.push(Needed::Partitions(of));
            }
            NodeSource::View { .. } => {}
            NodeSource::Stored(_) | NodeSource::Absent { .. } | NodeSource::Literal(_) => {
                return Ok(None);
            }
        }
    }
    now.inputs.values_mut().flat_map(BTreeMap::values_mut).for_each(|keys| {
        keys.sort_unstable();
        keys.dedup();
    });
    Ok(Some((now, needed)))
}

/// Adds the versions of partitions; false if some of them are not made yet.
async fn add_partitions(
    engine: &Engine,
    of: &PartitionSource,
    emitted: Emitted<'_>,
    now: &mut Provenance,
) -> Result<bool, BoxError> {
    let versions = now.inputs.entry(of.asset.to_string()).or_default();
    if of.is_appended {
        let is_open = |(_, stored): (AssetKey, Vec<_>)| stored.is_empty();
        if of.made.iter().any(|(at, output, _)| emitted(*at, output, None).is_none_or(is_open)) {
            return Ok(false);
        }
        let pinned = of.pinned.iter().map(|(version, _)| *version);
        let all: Vec<Version> =
            if of.is_all { engine.appended_versions(&of.asset).await? } else { pinned.collect() };
        versions.extend(all.into_iter().map(|version| (version, vec![String::new()])));
        return Ok(true);
    }
    for (at, output, keys) in &of.made {
        let Some((_, stored)) = emitted(*at, output, None) else { return Ok(false) };
        for part in stored {
            let held: HashSet<&String> = part.partitions.iter().collect();
            let keys = keys.iter().filter(|key| held.contains(key)).cloned();
            versions.entry(part.version).or_default().extend(keys);
        }
    }
    for (version, keys) in &of.pinned {
        versions.entry(*version).or_default().extend(keys.iter().cloned());
    }
    Ok(true)
}

async fn states(
    engine: &Engine,
    key: &AssetKey,
    keys: &[String],
) -> Result<Option<BTreeMap<String, String>>, BoxError> {
    match &engine.resolved.assets[key].asset.body {
        Body::External(source) => source.states(keys).await,
        Body::Computed(_) | Body::Graph { .. } => Ok(None),
    }
}
