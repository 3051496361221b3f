//! Which partitions of a step are current already.

use std::collections::{BTreeMap, HashMap, HashSet};

use arrowsmith_definitions::{AssetKey, PartitionSet};
use arrowsmith_instance::{Provenance, VersionSummary};
use arrowsmith_io_manager::Version;

use super::digests::Digests;
use super::provenance::{Held, held, moved};
use super::{Consumes, Needed};
use crate::node::Node;
use crate::{Engine, Result};

/// A step that may not have to be computed.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) consumes: &'a Consumes,
    /// What it would be made of.
    pub(crate) now: &'a Provenance,
    pub(crate) needed: &'a [Needed<'a>],
    /// The current version of each partition that it would make; of one without partitions there is
    /// a single one, whose index is zero.
    pub(crate) current: &'a BTreeMap<u32, Version>,
    pub(crate) is_cut: bool,
    /// Whether all that it reads is there, so that nothing is missing from `now`.
    pub(crate) is_settled: bool,
}

/// What versions were made of, as far as that is known.
pub(crate) type Made = HashMap<Version, Provenance>;

/// What of a step is current already, and why the rest of it is not.
#[derive(Debug, Default)]
pub(crate) struct Freshness {
    pub(crate) fresh: PartitionSet,
    /// One of the causes, where it is known without reading rows.
    pub(crate) cause: Option<String>,
}

/// An asset and a key of it; an empty key is all of it.
pub(super) type Changed = (AssetKey, String);

impl Engine {
    /// What versions were made of.
    ///
    /// # Errors
    /// Of the instance.
    pub(crate) async fn made(&self, versions: impl IntoIterator<Item = Version>) -> Result<Made> {
        let mut versions: Vec<Version> = versions.into_iter().collect();
        versions.sort_unstable();
        versions.dedup();
        let summaries = self.instance.version_summaries(&versions).await?;
        let made = |made: VersionSummary| Some((made.version, made.provenance?));
        Ok(summaries.into_iter().filter_map(made).collect())
    }

    /// The partitions whose current versions are what would be computed; it is remembered that they
    /// are, so that the next answer needs no digests. Rows are read only if they `may_read`.
    ///
    /// # Errors
    /// Of the instance.
    pub(crate) async fn fresh(
        &self,
        candidate: &Candidate<'_>,
        known: &Made,
        may_read: bool,
    ) -> Result<Freshness> {
        let cause = candidate.consumes.unknowable.clone();
        if cause.is_some() || candidate.current.is_empty() {
            return Ok(Freshness { cause, ..Freshness::default() });
        }
        let now = held(candidate.now);
        let compared = candidate.compared(known, &now);
        let Compared { mut fresh, cause, .. } = compared.clone();
        if !compared.changed.is_empty() {
            let settled = self.settle(candidate, known, (compared, now), may_read).await?;
            fresh.extend(&settled);
        }
        Ok(Freshness { fresh, cause })
    }

    /// Which of the partitions whose inputs have other versions read the same rows of them.
    async fn settle(
        &self,
        candidate: &Candidate<'_>,
        known: &Made,
        (compared, now): (Compared<'_>, Held<'_>),
        may_read: bool,
    ) -> Result<PartitionSet> {
        let mut about: Vec<Version> = now.values().flatten().copied().collect();
        about.extend(compared.before.values().flat_map(|held| held.values().flatten()));
        about.sort_unstable();
        about.dedup();
        let mut digests = Digests::of(self, &about, may_read).await?;
        let mut same: HashMap<(Version, Changed), bool> = HashMap::new();
        let mut moves: BTreeMap<Version, BTreeMap<(String, String), Vec<Version>>> =
            BTreeMap::new();
        let mut fresh = PartitionSet::default();
        for (index, version, inputs) in compared.changed {
            let before = &compared.before[&version];
            let mut is_fresh = true;
            for input in &inputs {
                let id = (input.0.as_str(), input.1.as_str());
                let found = (version, input.clone());
                let is_same = if let Some(known) = same.get(&found) {
                    *known
                } else {
                    let both = [&*before[&id], &*now[&id]];
                    let is_same = self.same(&mut digests, candidate, input, both).await?;
                    same.insert(found, is_same);
                    is_same
                };
                is_fresh &= is_same;
            }
            if !is_fresh {
                continue;
            }
            fresh.insert(index);
            let moved = moves.entry(version).or_default();
            for (asset, key) in inputs {
                let versions = now[&(asset.as_str(), key.as_str())].clone();
                moved.insert((asset.to_string(), key), versions);
            }
        }
        if !moves.is_empty() {
            let of = moves.iter().map(|(version, to)| (*version, moved(&known[version], to)));
            self.instance.set_provenance(of.collect()).await?;
        }
        Ok(fresh)
    }

    /// Whether all scans of an input read the same rows of a key as before.
    pub(super) async fn same(
        &self,
        digests: &mut Digests,
        candidate: &Candidate<'_>,
        (asset, key): &Changed,
        versions: [&[Version]; 2],
    ) -> Result<bool> {
        for scan in candidate.consumes.scans.get(asset).into_iter().flatten() {
            if !digests.are_same(self, scan, key, versions).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What is known without looking at rows.
#[derive(Debug, Clone, Default)]
struct Compared<'a> {
    fresh: PartitionSet,
    cause: Option<String>,
    /// Partitions and their versions, of which only inputs have other versions.
    changed: Vec<(u32, Version, Vec<Changed>)>,
    before: HashMap<Version, Held<'a>>,
}

/// A way in which what a partition was made of is other than what it would be made of now.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Difference {
    /// The code.
    Code,
    /// The state of a source, of one of its partitions or of all of it.
    Source(Changed),
    /// The versions that hold a key; whether their rows are others is another question.
    Versions(Changed),
    /// A key that was not read before, or is not there any more.
    Key(Changed),
}

impl Difference {
    /// What it is, if it means that something has to be computed whatever the rows are.
    fn told(&self) -> Option<String> {
        match self {
            Self::Code => Some("code changed".to_owned()),
            Self::Source((asset, _)) => Some(format!("the files of `{asset}` changed")),
            Self::Key((asset, _)) => Some(format!("it reads other partitions of `{asset}`")),
            Self::Versions(_) => None,
        }
    }
}

impl<'a> Candidate<'a> {
    /// A node as it stands before anything runs.
    pub(crate) fn of(
        node: &Node,
        consumes: &'a Consumes,
        (now, needed): (&'a Provenance, &'a [Needed<'a>]),
        current: &'a BTreeMap<u32, Version>,
    ) -> Self {
        let (is_cut, is_settled) = (node.partitions.is_some(), node.waits_for().is_empty());
        Self { consumes, now, needed, current, is_cut, is_settled }
    }
}

impl Candidate<'_> {
    fn compared<'a>(&self, known: &'a Made, now: &Held<'_>) -> Compared<'a> {
        let mut compared = Compared::default();
        // Most often nothing at all has changed since a version was made, whatever its partitions need.
        let mut unchanged: HashMap<Version, bool> = HashMap::new();
        for (index, version) in self.current {
            let Some(provenance) = known.get(version) else { continue };
            if *unchanged
                .entry(*version)
                .or_insert_with(|| self.is_settled && provenance == self.now)
            {
                compared.fresh.insert(*index);
                continue;
            }
            let before = compared.before.entry(*version).or_insert_with(|| held(provenance));
            let differences = self.differences(*index, provenance, before, now);
            let told = || differences.iter().find_map(Difference::told);
            compared.cause = compared.cause.take().or_else(told);
            let inputs = differences.into_iter().map(|difference| match difference {
                Difference::Versions(input) => Some(input),
                _ => None,
            });
            match inputs.collect::<Option<Vec<_>>>() {
                // It has to be computed whatever the rows are.
                None => {}
                Some(inputs) if inputs.is_empty() => {
                    compared.fresh.insert(*index);
                }
                Some(inputs) => compared.changed.push((*index, *version, inputs)),
            }
        }
        compared
    }

    /// Everything that is other now for a partition.
    pub(super) fn differences(
        &self,
        index: u32,
        made: &Provenance,
        before: &Held<'_>,
        now: &Held<'_>,
    ) -> Vec<Difference> {
        let mut differences = Vec::new();
        if made.code != self.consumes.code {
            differences.push(Difference::Code);
        }
        let partition = self.is_cut.then_some(index);
        let scanned = |of: &&Needed<'_>| self.consumes.scans.contains_key(of.asset());
        // An asset may be read in several ways, which were written down as one.
        let mut all: HashMap<&AssetKey, HashSet<String>> = HashMap::new();
        for needed in self.needed.iter().filter(scanned) {
            all.entry(needed.asset()).or_default().extend(needed.keys(partition));
        }
        for needed in self.needed.iter().filter(scanned) {
            let asset = needed.asset();
            let read = made.inputs.get(asset.as_str()).into_iter().flatten();
            let read = read.flat_map(|(_, keys)| keys);
            let states = made.sources.get(asset.as_str()).into_iter().flatten();
            let read = read.chain(states.map(|(key, _)| key));
            let gone = read.filter(|key| needed.is_gone(partition, key, &all[asset]));
            differences.extend(gone.map(|key| Difference::Key((asset.clone(), key.clone()))));
            for key in needed.keys(partition) {
                if let Some(states) = self.now.sources.get(asset.as_str()) {
                    let was = made.sources.get(asset.as_str()).and_then(|was| was.get(&key));
                    if states.get(&key).is_none() || states.get(&key) != was {
                        differences.push(Difference::Source((asset.clone(), key)));
                    }
                    continue;
                }
                let id = (asset.as_str(), key.as_str());
                match (before.get(&id), now.get(&id)) {
                    (Some(before), Some(now)) if before == now => {}
                    (Some(_), Some(_)) => {
                        differences.push(Difference::Versions((asset.clone(), key)));
                    }
                    // An input may be allowed to be missing, then and now.
                    (None, None) if needed.may_be_missing(&key) => {}
                    _ => differences.push(Difference::Key((asset.clone(), key))),
                }
            }
        }
        differences
    }
}
