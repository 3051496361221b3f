//! What is done between runs: remove what nobody needs, and look for damage.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrowsmith_instance::NewVersion;
use arrowsmith_io_manager::{Damage, Depth, IoManager, Version, VersionEntry};
use serde::Serialize;

use crate::attempt::APPENDED;
use crate::record::{appended_partition, published_partitions};
use crate::{Engine, Result};

/// How long files stay that no attempt has published.
const LEFT_BEHIND: Duration = Duration::from_hours(24);

/// What a vacuum did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Vacuum {
    /// Versions that were removed, as `table/version`.
    pub removed: Vec<String>,
    /// Bytes that were freed.
    pub bytes: u64,
    /// Versions that stay because they are needed or too young.
    pub kept: usize,
}

/// What a look at every current version found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Fsck {
    /// Versions that were looked at.
    pub checked: usize,
    /// What is wrong.
    pub findings: Vec<FsckFinding>,
}

/// One damaged file of a current version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FsckFinding {
    /// The asset.
    pub asset: String,
    /// The version.
    pub version: Version,
    /// The file, relative to the version.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Engine {
    /// Removes versions that nothing needs and that are older than `retention`; what failed attempts
    /// left behind goes after a day at the latest.
    ///
    /// Needed are current versions, those that a live run reads or has made, and those that an
    /// attempt is writing. Superseded versions can become current again until they are removed.
    pub async fn vacuum(&self, retention: Duration, dry_run: bool) -> Result<Vacuum> {
        // What a mirror still shows would be missed.
        if !dry_run {
            self.mirror_all().await?;
        }
        // The listing comes first: what begins after it is not in it.
        let mut found = Vec::new();
        for manager in self.resolved.io_managers.values() {
            for entry in manager.versions().await? {
                found.push((manager, entry));
            }
        }
        let needed = self.instance.versions_in_use().await?;
        let oldest_live = self.instance.live_runs().await?.into_iter().map(|run| run.0).min();
        let versions: Vec<Version> = found.iter().map(|(_, entry)| entry.version).collect();
        let published = self.instance.version_summaries(&versions).await?;
        let published: HashSet<Version> = published.into_iter().map(|made| made.version).collect();
        let now = UNIX_EPOCH + Duration::from_micros(self.clock.now().try_into().unwrap_or(0));
        let mut vacuum = Vacuum::default();
        let mut old = Vec::new();
        for (manager, entry) in found {
            // An attempt of a live run may not be known to the database yet; its version is
            // younger than its run.
            let may_be_live = oldest_live.is_some_and(|run| entry.version.0 >= run);
            // What no attempt has published can never be of use.
            let is_published = published.contains(&entry.version);
            let retention = if is_published { retention } else { retention.min(LEFT_BEHIND) };
            if needed.contains(&entry.version) || may_be_live || age(&entry, now) < retention {
                vacuum.kept += 1;
            } else {
                old.push((manager, entry));
            }
        }
        // From now on no run points to them again, and what one has pointed to meanwhile stays.
        let condemned = old.iter().map(|(_, entry)| entry.version).collect();
        let condemned: HashSet<Version> = if dry_run {
            condemned
        } else {
            let condemned = condemned.into_iter().collect();
            self.instance.condemn(condemned, self.clock.now()).await?.into_iter().collect()
        };
        for (manager, entry) in old {
            if !condemned.contains(&entry.version) {
                vacuum.kept += 1;
                continue;
            }
            vacuum.bytes += if dry_run { entry.size_bytes } else { manager.remove(&entry).await? };
            vacuum.removed.push(format!("{}/{}", entry.table, entry.version));
        }
        Ok(vacuum)
    }

    /// Compares what is stored of every current version with what the catalog has of it.
    pub async fn fsck(&self, depth: Depth) -> Result<Fsck> {
        let mut fsck = Fsck::default();
        for version in self.current_versions().await? {
            let Some(made) = self.instance.materialization(version).await? else { continue };
            fsck.checked += 1;
            let damages = match self.resolved.io_managers.get(&made.io_manager) {
                Some(manager) => manager.verify(&made.stored, depth).await?,
                None => vec![Damage {
                    path: made.stored.directory(),
                    reason: format!("its IO manager `{}` is not configured", made.io_manager),
                }],
            };
            fsck.findings.extend(damages.into_iter().map(|damage| FsckFinding {
                asset: made.asset.clone(),
                version: made.stored.version,
                path: damage.path,
                reason: damage.reason,
            }));
        }
        Ok(fsck)
    }

    /// Every version that is current, or holds a current partition.
    async fn current_versions(&self) -> Result<BTreeSet<Version>> {
        let environment = &self.environment;
        let pointers = self.instance.pointers(environment).await?;
        let mut versions: BTreeSet<Version> =
            pointers.into_values().map(|pointer| pointer.version).collect();
        for asset in self.instance.partition_totals(environment).await?.into_keys() {
            let partitions = self.instance.partitions(environment, &asset).await?;
            versions.extend(partitions.into_iter().map(|pointer| pointer.version));
        }
        Ok(versions)
    }

    /// Makes the newest finished version of each table and partition current again, from the
    /// manifests beside the data, where the database knows of none. Returns how many were restored.
    pub async fn rebuild(&self) -> Result<usize> {
        let mut found: BTreeMap<String, Vec<NewVersion>> = BTreeMap::new();
        for (name, manager) in &self.resolved.io_managers {
            for entry in manager.versions().await? {
                if let Some(version) = restorable(name, &**manager, &entry).await? {
                    found.entry(version.asset.clone()).or_default().push(version);
                }
            }
        }
        let versions = found.into_values().flat_map(newest_of).collect();
        Ok(self.instance.restore(&self.environment, versions, self.clock.now()).await?)
    }
}

/// The newest version, with what was appended to it, or those that hold the newest of each partition
/// if it is cut into some.
fn newest_of(mut versions: Vec<NewVersion>) -> Vec<NewVersion> {
    versions.sort_by_key(|new| Reverse(new.stored.version));
    if let Some(whole) = versions.iter().position(|new| !new.keeps_others)
        && whole > 0
    {
        versions.truncate(whole + 1);
        return versions;
    }
    let is_cut = versions.first().is_some_and(|newest| !newest.partitions.is_empty());
    if !is_cut {
        versions.truncate(1);
        return versions;
    }
    let mut seen = HashSet::new();
    for new in &mut versions {
        new.partitions.retain(|partition| seen.insert(partition.key.clone()));
    }
    versions.retain(|new| !new.partitions.is_empty());
    versions
}

fn age(entry: &VersionEntry, now: SystemTime) -> Duration {
    now.duration_since(entry.last_modified).unwrap_or_default()
}

async fn restorable(
    name: &str,
    manager: &dyn IoManager,
    entry: &VersionEntry,
) -> Result<Option<NewVersion>> {
    let Some(stored) = manager.manifest(entry).await? else { return Ok(None) };
    let label = |label: &str| stored.labels.get(label).cloned();
    let (Some(asset), Some(io_manager)) = (label("asset"), label("io_manager")) else {
        return Ok(None);
    };
    if io_manager != name {
        return Ok(None);
    }
    let keeps_others = stored.labels.contains_key(APPENDED);
    let inputs = label("inputs").and_then(|text| serde_json::from_str(&text).ok());
    let recovered = ("recovered".to_owned(), serde_json::Value::Bool(true));
    let version = NewVersion {
        provenance: None,
        asset,
        partitions: if keeps_others {
            vec![appended_partition(&stored)]
        } else {
            published_partitions(&stored)
        },
        keeps_others,
        code_version: label("code_version"),
        io_manager,
        inputs: inputs.unwrap_or_default(),
        metadata: BTreeMap::from([recovered]),
        stored: stored.into(),
    };
    Ok(Some(version))
}
