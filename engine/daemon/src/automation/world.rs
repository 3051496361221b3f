//! What conditions look at: how the assets stand, and what has happened since they were evaluated.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, Body, DepFilter, FreshnessState, JobTarget, Materialized, PartitionExpr,
    PartitionKeys, PartitionSet, Selection,
};
use arrowsmith_execution::Engine;
use arrowsmith_instance::{Event, Happening, LiveRun, TimeMicros};
use serde_json::Value;

use super::evaluate::State;
use super::whole;
use crate::Result;

/// Events that are read at once.
const PAGE: u32 = 10_000;

/// How everything stands at one moment.
#[derive(Debug)]
pub(super) struct World<'a> {
    pub(super) engine: &'a Engine,
    pub(super) now: TimeMicros,
    /// The newest event that is known of.
    pub(super) event: i64,
    parts: HashMap<AssetKey, Parts>,
    in_progress: HashMap<AssetKey, PartitionSet>,
    /// Materializations, oldest first.
    updates: Vec<Happening>,
    /// Failures of steps, by their keys, oldest first.
    failures: Vec<(i64, String)>,
    /// What checks have found, oldest first.
    checks: Vec<(i64, AssetKey, String, bool)>,
    freshness: HashMap<AssetKey, FreshnessState>,
    /// A hash of what sources hold.
    sources: HashMap<AssetKey, String>,
    /// The steps of runs that have materialized something.
    steps: HashMap<String, BTreeSet<String>>,
    /// What was asked for in this evaluation already.
    pub(super) requested: HashMap<AssetKey, PartitionSet>,
}

/// The partitions of an asset.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// `None` of an asset that has none.
    pub(super) keys: Option<Arc<PartitionKeys>>,
    pub(super) materialized: PartitionSet,
}

impl Parts {
    pub(super) fn all(&self) -> PartitionSet {
        self.keys.as_ref().map_or_else(whole, |keys| keys.all())
    }

    /// A set by its keys in the language of the command line; empty if the set is.
    pub(super) fn expression(&self, set: &PartitionSet) -> String {
        match &self.keys {
            _ if set.is_empty() => String::new(),
            Some(keys) => keys.exact_expression(set),
            None => "all".to_owned(),
        }
    }

    /// The set of an expression, as far as its keys still exist.
    pub(super) fn set(&self, text: &str) -> PartitionSet {
        if text.is_empty() {
            return PartitionSet::empty();
        }
        let Some(keys) = &self.keys else { return whole() };
        let parsed = text.parse::<PartitionExpr>().ok();
        parsed.and_then(|of| of.evaluate(keys, &self.materialized).ok()).unwrap_or_default()
    }

    pub(super) fn shown(&self, set: &PartitionSet) -> String {
        self.keys.as_ref().map_or(String::new(), |keys| keys.shown(set))
    }

    fn of_key(&self, key: Option<&str>) -> PartitionSet {
        match (&self.keys, key) {
            (Some(keys), Some(key)) => keys.find(key).into_iter().collect(),
            (Some(keys), None) => keys.all(),
            (None, _) => whole(),
        }
    }
}

impl<'a> World<'a> {
    /// Looks at the assets with conditions and at what they read.
    pub(super) async fn look(
        engine: &'a Engine,
        automated: &[AssetKey],
        states: &HashMap<String, Value>,
        now: TimeMicros,
    ) -> Result<Self> {
        let mut this = Self {
            engine,
            now,
            event: engine.instance.last_event().await?,
            parts: HashMap::new(),
            in_progress: HashMap::new(),
            updates: Vec::new(),
            failures: Vec::new(),
            checks: Vec::new(),
            freshness: HashMap::new(),
            sources: HashMap::new(),
            steps: HashMap::new(),
            requested: HashMap::new(),
        };
        let mut about: BTreeSet<AssetKey> = automated.iter().cloned().collect();
        about.extend(automated.iter().flat_map(|key| this.deps(key)));
        for key in automated {
            let condition = engine.resolved.assets[key].asset.automation.iter();
            let others: Vec<&AssetKey> = condition.flat_map(|of| of.assets()).collect();
            // What holds of another asset may be about what that one reads.
            about.extend(others.iter().flat_map(|other| this.deps(other)));
            about.extend(others.into_iter().cloned());
        }
        let pointers = engine.instance.pointers(&engine.environment).await?;
        for key in about {
            let parts = match engine.partitions(&key).await? {
                Some(of) => {
                    Parts { keys: Some(Arc::clone(&of.keys)), materialized: of.materialized }
                }
                None if pointers.contains_key(key.as_str()) => {
                    Parts { keys: None, materialized: whole() }
                }
                None => Parts::default(),
            };
            if let Body::External(source) = &engine.resolved.assets[&key].asset.body {
                let keys = parts.keys.as_ref().map(|keys| keys.texts(&keys.all()));
                let keys = keys.unwrap_or_else(|| vec![String::new()]);
                // A source that cannot be asked now has not changed.
                if let Ok(Some(states)) = source.states(&keys).await {
                    let text = serde_json::to_string(&states).unwrap_or_default();
                    this.sources.insert(
                        key.clone(),
                        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned(),
                    );
                }
            }
            this.parts.insert(key, parts);
        }
        let cursors =
            automated.iter().filter_map(|key| states.get(key.as_str())?.get("event")?.as_i64());
        let after = cursors.min().unwrap_or(this.event);
        this.look_at_events(after).await?;
        for run in engine.instance.queue().await? {
            this.add_live(&run).await?;
        }
        for change in engine.instance.freshness().await? {
            let found = change.asset.parse().ok().zip(FreshnessState::of_word(&change.state));
            this.freshness.extend(found);
        }
        Ok(this)
    }

    async fn look_at_events(&mut self, after: i64) -> Result<()> {
        let instance = &self.engine.instance;
        self.updates = instance.materializations_after(after, PAGE).await?;
        let kinds = ["STEP_FAILURE", "ASSET_CHECK_EVALUATION"];
        for (_, record) in instance.events_after(&kinds, after, PAGE).await? {
            let event_id = record.event_id;
            match record.event {
                Event::StepFailure { .. } => {
                    self.failures.extend(record.step_key.map(|step| (event_id, step)));
                }
                Event::AssetCheckEvaluation { check, passed, .. } => {
                    let asset = record.asset.and_then(|asset| asset.parse().ok());
                    self.checks.extend(asset.map(|asset| (event_id, asset, check, passed)));
                }
                _ => {}
            }
        }
        let runs: BTreeMap<String, _> =
            self.updates.iter().map(|of| (of.run_id.to_string(), of.run_id)).collect();
        for (name, run_id) in runs {
            let steps = instance.steps(run_id).await?;
            self.steps.insert(name, steps.into_iter().map(|step| step.step_key).collect());
        }
        Ok(())
    }

    /// What a run that waits or goes on is to make.
    async fn add_live(&mut self, run: &LiveRun) -> Result<()> {
        let Some(launch) = &run.launch else {
            for step in self.engine.instance.steps(run.run_id).await? {
                let made: Vec<AssetKey> = self.parts.keys().cloned().collect();
                for key in made {
                    if let Some(set) = self.of_step(&key, &step.step_key) {
                        self.in_progress.entry(key).or_default().extend(&set);
                    }
                }
            }
            return Ok(());
        };
        let resolved = &self.engine.resolved;
        let job = launch.job.as_ref().and_then(|job| resolved.jobs.get(job));
        if job.is_some_and(|job| matches!(job.target, JobTarget::Graph(_))) {
            return Ok(());
        }
        let selected = launch.selection.parse::<Selection>();
        let selected = selected.and_then(|of| of.evaluate(resolved)).unwrap_or_default();
        for key in selected {
            let Some(parts) = self.parts.get(&key) else { continue };
            let told = launch.partitions_of.get(key.as_str()).or(launch.partitions.as_ref());
            let set = told.map_or_else(|| parts.all(), |told| parts.set(told));
            self.in_progress.entry(key).or_default().extend(&set);
        }
        Ok(())
    }

    /// The assets that an asset reads, those of views that it reads in their place.
    pub(super) fn deps(&self, key: &AssetKey) -> Vec<AssetKey> {
        let mut deps = Vec::new();
        for input in &self.engine.resolved.assets[key].inputs {
            let upstream = &self.engine.resolved.assets[&input.key].asset;
            if input.key == *key {
                continue;
            }
            if upstream.materialized == Materialized::View && !upstream.is_external() {
                deps.extend(self.deps(&input.key));
            } else if !deps.contains(&input.key) {
                deps.push(input.key.clone());
            }
        }
        deps
    }

    /// Those of them that a condition looks at.
    pub(super) fn deps_of(&self, key: &AssetKey, filter: &DepFilter) -> Vec<AssetKey> {
        let mut deps = self.deps(key);
        let selected = |text: &Option<String>| {
            let selection = text.as_ref()?.parse::<Selection>().ok()?;
            selection.evaluate(&self.engine.resolved).ok()
        };
        if let Some(allowed) = selected(&filter.allow) {
            deps.retain(|dep| allowed.contains(dep));
        }
        if let Some(ignored) = selected(&filter.ignore) {
            deps.retain(|dep| !ignored.contains(dep));
        }
        deps
    }

    pub(super) fn parts(&self, key: &AssetKey) -> Parts {
        self.parts.get(key).cloned().unwrap_or_default()
    }

    pub(super) fn in_progress(&self, key: &AssetKey) -> PartitionSet {
        self.in_progress.get(key).cloned().unwrap_or_default()
    }

    /// How an asset stands to its freshness policy, if it has one.
    pub(super) fn freshness(&self, key: &AssetKey) -> Option<FreshnessState> {
        self.freshness.get(key).copied()
    }

    pub(super) fn source(&self, key: &AssetKey) -> Option<&String> {
        self.sources.get(key)
    }

    /// What was materialized after an event, but for runs that make `reader` as well: those give it the
    /// new rows themselves.
    pub(super) fn updated(&self, key: &AssetKey, after: i64, reader: &AssetKey) -> PartitionSet {
        self.updated_by(key, after, reader, &|_| true)
    }

    /// The same of some runs.
    pub(super) fn updated_by(
        &self,
        key: &AssetKey,
        after: i64,
        reader: &AssetKey,
        counts: &dyn Fn(&Happening) -> bool,
    ) -> PartitionSet {
        let parts = self.parts(key);
        let mut updated = PartitionSet::empty();
        for of in &self.updates {
            let is_of_reader = || {
                let steps = self.steps.get(&of.run_id.to_string());
                let mut steps = steps.into_iter().flatten();
                key != reader && steps.any(|step| self.of_step(reader, step).is_some())
            };
            let is_new = of.event_id > after && of.asset.as_deref() == Some(key.as_str());
            if is_new && counts(of) && !is_of_reader() {
                updated.extend(&parts.of_key(of.partition_key.as_deref()));
            }
        }
        updated
    }

    /// What was last materialized by some runs, given what had been before.
    pub(super) fn last_updated_by(
        &self,
        key: &AssetKey,
        after: i64,
        before: PartitionSet,
        counts: &dyn Fn(&Happening) -> bool,
    ) -> PartitionSet {
        let parts = self.parts(key);
        let new = self.updates.iter().filter(|of| of.event_id > after);
        let own = new.filter(|of| of.asset.as_deref() == Some(key.as_str()));
        own.fold(before, |held, of| {
            let made = parts.of_key(of.partition_key.as_deref());
            if counts(of) { held.union(&made) } else { held.difference(&made) }
        })
    }

    /// The partitions of an asset that have the keys of some of another; all or none, if the two have
    /// other partitions.
    pub(super) fn same_partitions(
        &self,
        of: &AssetKey,
        to: &AssetKey,
        set: &PartitionSet,
    ) -> PartitionSet {
        let assets = &self.engine.resolved.assets;
        let are_alike = assets[of].asset.partitions == assets[to].asset.partitions;
        match (self.parts(of).keys, self.parts(to)) {
            (Some(from), Parts { keys: Some(keys), .. }) if are_alike => {
                from.texts(set).iter().filter_map(|key| keys.find(key)).collect()
            }
            (_, parts) if !set.is_empty() => parts.all(),
            _ => PartitionSet::empty(),
        }
    }

    /// When some of an asset was last materialized, and by which event, as far as that is looked at.
    pub(super) fn last_update(
        &self,
        key: &AssetKey,
        of: &PartitionSet,
    ) -> Option<(TimeMicros, i64)> {
        let parts = self.parts(key);
        let mut updates = self.updates.iter().rev();
        let last = updates.find(|update| {
            update.asset.as_deref() == Some(key.as_str())
                && parts.of_key(update.partition_key.as_deref()).overlaps(of)
        });
        last.map(|update| (update.at, update.event_id))
    }

    /// The last materialization up to a moment.
    pub(super) fn last_event_at(&self, at: TimeMicros) -> i64 {
        let until = self.updates.iter().rev().find(|update| update.at <= at);
        until.map_or(0, |update| update.event_id)
    }

    /// What has failed, given what had before: a materialization mends it.
    pub(super) fn failed(&self, key: &AssetKey, before: PartitionSet, after: i64) -> PartitionSet {
        let failures = self.failures.iter().filter(|(event, _)| *event > after);
        let mut changes: Vec<(i64, PartitionSet, bool)> = failures
            .filter_map(|(event, step)| Some((*event, self.of_step(key, step)?, true)))
            .collect();
        let parts = self.parts(key);
        let updates = self.updates.iter().filter(|of| of.event_id > after);
        let own = updates.filter(|of| of.asset.as_deref() == Some(key.as_str()));
        changes
            .extend(own.map(|of| (of.event_id, parts.of_key(of.partition_key.as_deref()), false)));
        changes.sort_by_key(|(event, ..)| *event);
        changes.into_iter().fold(before, |failed, (_, set, fails)| {
            if fails { failed.union(&set) } else { failed.difference(&set) }
        })
    }

    /// The checks that do not hold and those that do, given which did before.
    pub(super) fn checks(
        &self,
        key: &AssetKey,
        [mut failed, mut passed]: [BTreeSet<String>; 2],
        after: i64,
    ) -> [BTreeSet<String>; 2] {
        for (event, asset, check, holds) in &self.checks {
            if *event > after && asset == key {
                let (from, to) =
                    if *holds { (&mut failed, &mut passed) } else { (&mut passed, &mut failed) };
                from.remove(check);
                to.insert(check.clone());
            }
        }
        [failed, passed]
    }

    /// The partitions of an asset that a step makes, by the step's key.
    fn of_step(&self, key: &AssetKey, step: &str) -> Option<PartitionSet> {
        let rest = step.strip_prefix(key.as_str())?;
        let parts = self.parts(key);
        let Some(keys) = &parts.keys else {
            return (rest.is_empty() || rest.starts_with('[')).then(whole);
        };
        let told = rest.strip_prefix('[')?.strip_suffix(']')?;
        let (first, last) = told.split_once("...").unwrap_or((told, told));
        match (keys.find(first), keys.find(last)) {
            (Some(first), Some(last)) => Some(PartitionSet::range(first..=last)),
            _ => Some(keys.all()),
        }
    }
}

/// What a state knows of sources.
pub(super) fn source_of<'a>(state: Option<&'a State>, key: &AssetKey) -> Option<&'a String> {
    state?.sources.get(key.as_str())
}
