//! Which partitions of which assets a plan makes, and in how many steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, BackfillPolicy, Code, Diagnostic, Materialized, PartitionExpr, PartitionKeys,
    PartitionMapping, PartitionSet, Partitions, Required, ResolvedAsset, ResolvedInput,
    StepPartitions,
};
use arrowsmith_instance::VersionSummary;
use arrowsmith_io_manager::Version;
use jiff::Timestamp;

use super::PlanRequest;
use crate::node::Mapped;
use crate::partitions::AssetPartitions;
use crate::{Engine, Result};

/// The partitions of the assets that a plan is about.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    /// Of every partitioned asset that is selected or read.
    pub(super) of: HashMap<AssetKey, Arc<AssetPartitions>>,
    /// What is known of the versions of every selected one.
    pub(super) made: HashMap<AssetKey, HashMap<Version, VersionSummary>>,
    /// The current versions of every asset that appends and is read.
    pub(super) appended: HashMap<AssetKey, Vec<Version>>,
    /// What is to be made of the selected ones.
    pub(super) sets: BTreeMap<AssetKey, PartitionSet>,
}

impl Cuts {
    /// Looks up the partitions of the selected assets and of what they read, and chooses from them.
    pub(super) async fn new(
        engine: &Engine,
        selected: &BTreeSet<AssetKey>,
        request: &PlanRequest,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<Self> {
        let mut this = Self::default();
        let mut about: BTreeSet<AssetKey> = BTreeSet::new();
        let mut pending: Vec<AssetKey> = selected.iter().cloned().collect();
        while let Some(key) = pending.pop() {
            let resolved = &engine.resolved.assets[&key];
            // A view reads for whatever reads it.
            if selected.contains(&key) || resolved.asset.materialized == Materialized::View {
                let read = resolved.inputs.iter().map(|input| &input.key);
                pending.extend(read.filter(|read| !about.contains(read)).cloned());
            }
            about.insert(key);
        }
        for key in about {
            let resolved = &engine.resolved.assets[&key];
            if matches!(resolved.asset.materialized, Materialized::Append { .. }) {
                let versions = engine.appended_versions(&key).await?;
                this.appended.insert(key, versions);
                continue;
            }
            if let Some(partitions) = engine.partitions(&key).await? {
                if selected.contains(&key) {
                    let versions = partitions.versions(&partitions.materialized);
                    let versions: Vec<Version> = versions.into_keys().collect();
                    let made = engine.instance.version_summaries(&versions).await?;
                    let made = made.into_iter().map(|made| (made.version, made)).collect();
                    this.made.insert(key.clone(), made);
                }
                this.of.insert(key, Arc::new(partitions));
            }
        }
        this.choose(engine, selected, request, problems);
        Ok(this)
    }

    /// For each selected asset the set that is asked for. Where its own keys do not have it, the
    /// set is what the selected readers need.
    fn choose(
        &mut self,
        engine: &Engine,
        selected: &BTreeSet<AssetKey>,
        request: &PlanRequest,
        problems: &mut Vec<Diagnostic>,
    ) {
        if let (Some(expr), false) =
            (&request.partitions, selected.iter().any(|key| self.of.contains_key(key)))
        {
            let message = format!("no selected asset has partitions, so there is no `{expr}`");
            problems.push(Diagnostic::error(Code::Partitions, message));
        }
        for key in engine.resolved.graph.topological().iter().rev() {
            let Some(partitions) = self.of.get(key).filter(|_| selected.contains(key)) else {
                continue;
            };
            let given = request.partitions_of.get(key).or(request.partitions.as_ref());
            let Some(expr) = given else {
                self.sets.insert(key.clone(), partitions.keys.all());
                continue;
            };
            match evaluate(expr, partitions) {
                Ok(set) => {
                    // What selected readers need besides is made too, unless it is there already.
                    let needed = self.needed_by_readers(engine, key).unwrap_or_default();
                    let missing = needed.difference(&partitions.materialized);
                    self.sets.insert(key.clone(), set.union(&missing));
                }
                Err(problem) => match self.needed_by_readers(engine, key) {
                    Some(set) => {
                        self.sets.insert(key.clone(), set);
                    }
                    None => problems.push(problem(key)),
                },
            }
        }
    }

    /// What the chosen partitions of selected readers need of an asset; `None` if there are none.
    fn needed_by_readers(&self, engine: &Engine, key: &AssetKey) -> Option<PartitionSet> {
        let mut needed: Option<PartitionSet> = None;
        for reader in engine.resolved.graph.downstream(key) {
            let Some(set) = self.sets.get(&reader) else { continue };
            for input in engine.resolved.assets[&reader].inputs.iter().filter(|i| i.key == *key) {
                let required = self.required(engine, &reader, input, Some(set)).set;
                needed = Some(needed.unwrap_or_default().union(&required));
            }
        }
        needed
    }

    /// What a reader needs of a partitioned upstream asset; `set` are partitions of the reader.
    pub(super) fn required(
        &self,
        engine: &Engine,
        reader: &AssetKey,
        input: &ResolvedInput,
        set: Option<&PartitionSet>,
    ) -> Required {
        let Some(upstream) = self.of.get(&input.key) else { return Required::default() };
        let mine = self.of.get(reader).filter(|_| set.is_some());
        let definition = engine.resolved.assets[reader].asset.partitions.as_deref();
        let inferred = || PartitionMapping::inferred(definition, Some(&upstream.definition));
        let mapping = input.mapping.clone().unwrap_or_else(inferred);
        match (mine, set) {
            (Some(mine), Some(set)) => mapping.required(set, &mine.keys, &upstream.keys),
            // A reader without partitions is as one that has a single one.
            _ => {
                let single = Partitions::listed(["-"]);
                let keys = PartitionKeys::at(&single, Timestamp::UNIX_EPOCH, &HashMap::new());
                mapping.required(&keys.all(), &keys, &upstream.keys)
            }
        }
    }

    /// What each partition of a reader needs of an upstream asset, if both have some.
    pub(super) fn mapped(&self, reader: &AssetKey, input: &ResolvedInput) -> Option<Mapped> {
        let (mine, theirs) = (self.of.get(reader)?, self.of.get(&input.key)?);
        let inferred =
            || PartitionMapping::inferred(Some(&mine.definition), Some(&theirs.definition));
        Some(Mapped {
            mapping: input.mapping.clone().unwrap_or_else(inferred),
            mine: Arc::clone(&mine.keys),
            theirs: Arc::clone(&theirs.keys),
        })
    }

    /// The steps that make the chosen set of an asset: one, or as many as its policy says.
    ///
    /// One that reads its own earlier windows makes them one after the other.
    pub(super) fn pieces(&self, resolved: &ResolvedAsset) -> Option<Vec<Arc<StepPartitions>>> {
        let key = &resolved.asset.key;
        let (partitions, set) = (self.of.get(key)?, self.sets.get(key)?);
        let step = |set: PartitionSet| StepPartitions {
            definition: Arc::clone(&partitions.definition),
            keys: Arc::clone(&partitions.keys),
            set,
        };
        let whole = step(set.clone());
        let pieces = match partitions.definition.policy {
            _ if reads_itself(resolved) => {
                let mut pieces = set.pieces(1);
                let starts = |piece: &PartitionSet| {
                    let window =
                        piece.iter().next().and_then(|index| partitions.keys.window(index));
                    window.map(|window| window.start)
                };
                pieces.sort_by_key(starts);
                pieces
            }
            _ if !whole.is_by_columns() => set.pieces(1),
            BackfillPolicy::SingleRun if set.is_empty() => Vec::new(),
            BackfillPolicy::SingleRun => vec![set.clone()],
            BackfillPolicy::MultiRun(most) => set.pieces(most),
        };
        Some(pieces.into_iter().map(|set| Arc::new(step(set))).collect())
    }

    /// The chosen sets in the language of the command line.
    pub(super) fn told(&self) -> BTreeMap<String, String> {
        let told =
            self.sets.iter().map(|(key, set)| (key.to_string(), self.of[key].keys.expression(set)));
        told.collect()
    }
}

/// Whether an asset reads earlier windows of itself.
pub(super) fn reads_itself(resolved: &ResolvedAsset) -> bool {
    resolved.inputs.iter().any(|input| input.key == resolved.asset.key)
}

type Told = Box<dyn Fn(&AssetKey) -> Diagnostic>;

fn evaluate(expr: &PartitionExpr, of: &AssetPartitions) -> Result<PartitionSet, Told> {
    let error = match expr.evaluate(&of.keys, &of.materialized) {
        Ok(set) => return Ok(set),
        Err(error) => error,
    };
    // A key of one dimension means all partitions that have it.
    let dimensions = &of.definition.dimensions;
    if dimensions.len() > 1 {
        let named = dimensions.iter().filter_map(|dimension| {
            let expr: PartitionExpr = format!("{}={expr}", dimension.name).parse().ok()?;
            expr.evaluate(&of.keys, &of.materialized).ok()
        });
        if let [only] = &*named.collect::<Vec<_>>() {
            return Ok(only.clone());
        }
    }
    let (message, near) = (error.message, error.nearest);
    Err(Box::new(move |key| {
        Diagnostic::error(Code::Partitions, format!("`{key}`: {message}"))
            .did_you_mean(near.clone())
    }))
}

/// What a step of these partitions is called, behind its asset: its key, or the first and the last.
pub(super) fn suffix(of: &StepPartitions) -> String {
    let mut indexes = of.set.iter();
    let first = indexes.next().map(|index| of.keys.key(index)).unwrap_or_default();
    match indexes.last() {
        None => format!("[{first}]"),
        Some(last) => format!("[{first}...{}]", of.keys.key(last)),
    }
}
