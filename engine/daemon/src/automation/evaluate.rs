//! The evaluation of one condition: from a tree of operands to a set of partitions.

use std::collections::{BTreeMap, BTreeSet};

use arrowsmith_definitions::{
    AssetKey, AutomationCondition as When, FreshnessState, Operand, PartitionMapping, PartitionSet,
};
use arrowsmith_instance::{EvaluationNode, Happening, TimeMicros};
use serde::{Deserialize, Serialize};

use super::whole;
use super::world::{World, source_of};
use crate::lead::micros;

/// What a condition knows of its last evaluation. Sets are in the language of the command line.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    /// The condition; another one begins anew.
    pub(super) condition: String,
    /// The newest event that it has seen.
    pub(super) event: i64,
    at: TimeMicros,
    requested: String,
    failed: String,
    failed_checks: BTreeSet<String>,
    #[serde(default)]
    passed_checks: BTreeSet<String>,
    code: Option<String>,
    /// What sources held.
    #[serde(default)]
    pub(super) sources: BTreeMap<String, String>,
    /// What parts with a memory remember, by their place in the tree.
    nodes: BTreeMap<String, String>,
    /// A hash of the tree that was remembered last.
    #[serde(default)]
    pub(super) tree: String,
}

impl State {
    pub(super) fn with_tree(self, tree: String) -> Self {
        Self { tree, ..self }
    }

    /// Whether nothing is to be remembered anew.
    pub(super) fn is_same(&self, next: &Self) -> bool {
        let bare = |of: &Self| Self { at: 0, tree: String::new(), ..of.clone() };
        bare(self) == bare(next)
    }
}

/// One evaluation of the condition of one asset.
#[derive(Debug)]
pub(super) struct Evaluator<'a> {
    world: &'a World<'a>,
    root: &'a AssetKey,
    before: Option<&'a State>,
    nodes: BTreeMap<String, String>,
}

/// Which part of a tree is evaluated, of which asset, and what of the past counts as new.
#[derive(Clone, Copy)]
struct Place<'a> {
    asset: &'a AssetKey,
    path: &'a str,
    after: Moment,
}

/// A point of what has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment {
    at: TimeMicros,
    event: i64,
}

impl<'a> Evaluator<'a> {
    pub(super) fn new(world: &'a World<'a>, root: &'a AssetKey, before: Option<&'a State>) -> Self {
        Self { world, root, before, nodes: BTreeMap::new() }
    }

    /// The partitions for which the condition holds, and how that came about.
    pub(super) fn evaluate(&mut self, condition: &When) -> (PartitionSet, EvaluationNode) {
        let all = self.world.parts(self.root).all();
        let (world, root) = (self.world, self.root);
        let after = match self.before {
            Some(before) => Moment { at: before.at, event: before.event },
            None => Moment { at: world.now, event: world.event },
        };
        self.part(condition, Place { asset: root, path: "", after }, &all)
    }

    /// What the next evaluation has to know.
    pub(super) fn into_state(self, condition: &When, requested: &PartitionSet) -> State {
        let (world, key) = (self.world, self.root);
        let parts = world.parts(key);
        let failed = self.failed(key);
        let [failed_checks, passed_checks] = self.checks(key);
        let deps = world.deps(key);
        let sources =
            deps.iter().filter_map(|dep| Some((dep.to_string(), world.source(dep)?.clone())));
        State {
            condition: condition.to_string(),
            event: world.event,
            at: world.now,
            requested: parts.expression(requested),
            failed: parts.expression(&failed),
            failed_checks,
            passed_checks,
            code: world.engine.code_of(key),
            sources: sources.collect(),
            nodes: self.nodes,
            tree: String::new(),
        }
    }

    fn part(
        &mut self,
        condition: &When,
        place: Place<'_>,
        candidate: &PartitionSet,
    ) -> (PartitionSet, EvaluationNode) {
        let full = self.world.parts(place.asset).all();
        let mut children = Vec::new();
        let held = match condition {
            When::Operand(Operand::ExecutedWithTags(tags)) => {
                let before = self.remembered(place);
                let counts = |of: &Happening| has_tags(of, tags);
                let held =
                    self.world.last_updated_by(place.asset, place.after.event, before, &counts);
                self.remember(place, &held);
                held.intersection(candidate)
            }
            When::Operand(operand) => self.operand(operand, place).intersection(candidate),
            When::And(of) => {
                let mut held = candidate.clone();
                for (at, child) in of.iter().enumerate() {
                    held = self.child(child, place, at, &held, &mut children);
                }
                held
            }
            When::Or(of) => {
                let mut held = PartitionSet::empty();
                for (at, child) in of.iter().enumerate() {
                    held.extend(&self.child(child, place, at, candidate, &mut children));
                }
                held
            }
            When::Not(of) => {
                candidate.difference(&self.child(of, place, 0, candidate, &mut children))
            }
            When::Labeled(_, of) => self.child(of, place, 0, candidate, &mut children),
            When::AssetMatches(other, of) => {
                let (matching, node) = self.dep(of, place, other);
                children.push(node);
                self.world.same_partitions(other, place.asset, &matching).intersection(candidate)
            }
            When::Since { trigger, reset } => {
                let triggered = self.child(trigger, place, 0, &full, &mut children);
                let taken = self.child(reset, place, 1, &full, &mut children);
                let later =
                    self.triggered_later(trigger, reset, place, &triggered.intersection(&taken));
                let since =
                    self.remembered(place).union(&triggered).difference(&taken).union(&later);
                self.remember(place, &since);
                since.intersection(candidate)
            }
            When::NewlyTrue(of) => {
                let now = self.child(of, place, 0, &full, &mut children);
                let newly = now.difference(&self.remembered(place));
                self.remember(place, &now);
                newly.intersection(candidate)
            }
            When::AnyDepsMatch(of, filter) => {
                let mut held = PartitionSet::empty();
                for dep in self.world.deps_of(place.asset, filter) {
                    let (matching, node) = self.dep(of, place, &dep);
                    children.push(node);
                    held.extend(&self.readers(place.asset, &dep, candidate, &matching, false));
                }
                held
            }
            When::AllDepsMatch(of, filter) => {
                let mut held = candidate.clone();
                for dep in self.world.deps_of(place.asset, filter) {
                    // Nobody says when a source is updated, so nothing waits for it.
                    if self.world.engine.resolved.assets[&dep].asset.is_external() {
                        continue;
                    }
                    let (matching, node) = self.dep(of, place, &dep);
                    children.push(node);
                    held = self.readers(place.asset, &dep, &held, &matching, true);
                }
                held
            }
        };
        let node = self.node(condition, place.asset, &held, children);
        (held, node)
    }

    fn node(
        &self,
        condition: &When,
        asset: &AssetKey,
        held: &PartitionSet,
        children: Vec<EvaluationNode>,
    ) -> EvaluationNode {
        let name = match condition {
            When::Operand(operand) => operand.to_string(),
            When::And(_) => "all of".to_owned(),
            When::Or(_) => "any of".to_owned(),
            When::Not(_) => "not".to_owned(),
            When::Since { .. } => "since".to_owned(),
            When::NewlyTrue(_) => "newly true".to_owned(),
            When::AnyDepsMatch(..) => "any deps match".to_owned(),
            When::AllDepsMatch(..) => "all deps match".to_owned(),
            When::AssetMatches(other, _) => format!("{other} matches"),
            When::Labeled(label, _) => label.clone(),
        };
        let shown = self.world.parts(asset).shown(held);
        // A name says what it names; its part would only repeat it.
        let children = match (condition, children) {
            (When::Labeled(..), mut children) if children.len() == 1 => children.remove(0).children,
            (_, children) => children,
        };
        EvaluationNode { name, count: held.len(), held: shown, children }
    }

    fn child(
        &mut self,
        condition: &When,
        place: Place<'_>,
        at: usize,
        candidate: &PartitionSet,
        children: &mut Vec<EvaluationNode>,
    ) -> PartitionSet {
        let path = format!("{}.{at}", place.path);
        let (held, node) = self.part(condition, Place { path: &path, ..place }, candidate);
        children.push(node);
        held
    }

    /// Of those that were triggered and reset between two evaluations, those that were triggered after
    /// their reset.
    fn triggered_later(
        &mut self,
        trigger: &When,
        reset: &When,
        place: Place<'_>,
        both: &PartitionSet,
    ) -> PartitionSet {
        let mut by_moment: BTreeMap<Moment, PartitionSet> = BTreeMap::new();
        for index in both.iter() {
            let one = PartitionSet::range(index..=index);
            let moment = self.last_held(reset, place, &one);
            if let Some(moment) = moment.filter(|moment| moment.at < self.world.now) {
                by_moment.entry(moment).or_default().extend(&one);
            }
        }
        // What is evaluated once more has nothing to remember.
        let nodes = self.nodes.clone();
        let mut later = PartitionSet::empty();
        for (after, of) in by_moment {
            let path = format!("{}.0", place.path);
            let (held, _) = self.part(trigger, Place { path: &path, after, ..place }, &of);
            later.extend(&held);
        }
        self.nodes = nodes;
        later
    }

    /// When a condition last held for a partition, which it did since the last evaluation; now, if
    /// that is not known.
    fn last_held(&self, condition: &When, place: Place<'_>, one: &PartitionSet) -> Option<Moment> {
        let world = self.world;
        let now = Moment { at: world.now, event: world.event };
        match condition {
            When::Labeled(_, of) => self.last_held(of, place, one),
            When::Or(of) => of.iter().filter_map(|of| self.last_held(of, place, one)).max(),
            When::Operand(operand) if !self.operand(operand, place).overlaps(one) => None,
            When::Operand(Operand::NewlyRequested) => Some(place.after),
            When::Operand(Operand::NewlyUpdated) => {
                let last = world.last_update(place.asset, one);
                Some(last.map_or(now, |(at, event)| Moment { at, event }))
            }
            When::Operand(Operand::CronTickPassed(cron)) => {
                let at = cron.last_between(place.after.at, world.now)?;
                Some(Moment { at, event: world.last_event_at(at).max(place.after.event) })
            }
            _ => Some(now),
        }
    }

    /// What holds of an asset that is read.
    fn dep(
        &mut self,
        condition: &When,
        place: Place<'_>,
        dep: &AssetKey,
    ) -> (PartitionSet, EvaluationNode) {
        let path = format!("{}@{dep}", place.path);
        let all = self.world.parts(dep).all();
        let (held, mut node) =
            self.part(condition, Place { asset: dep, path: &path, ..place }, &all);
        node.name = format!("{dep}: {}", node.name);
        (held, node)
    }

    /// Those of the candidates that read some, or nothing but, of a set of an asset.
    fn readers(
        &self,
        reader: &AssetKey,
        dep: &AssetKey,
        candidate: &PartitionSet,
        of: &PartitionSet,
        all: bool,
    ) -> PartitionSet {
        let (mine, theirs) = (self.world.parts(reader), self.world.parts(dep));
        let resolved = &self.world.engine.resolved.assets;
        let Some(theirs) = theirs.keys else {
            // Each of them reads the whole of it.
            return if of.is_empty() { PartitionSet::empty() } else { candidate.clone() };
        };
        if of.is_empty() && !all {
            return PartitionSet::empty();
        }
        let (my, their) = (&resolved[reader].asset.partitions, &resolved[dep].asset.partitions);
        let input = resolved[reader].inputs.iter().find(|input| input.key == *dep);
        let mapping = input.and_then(|input| input.mapping.clone());
        let mapping =
            mapping.unwrap_or_else(|| PartitionMapping::inferred(my.as_deref(), their.as_deref()));
        let fits = |needed: &PartitionSet| {
            if all { needed.difference(of).is_empty() } else { needed.overlaps(of) }
        };
        let Some(mine) = mine.keys else {
            let needed = match mapping {
                PartitionMapping::Last => theirs.all().last(1),
                PartitionMapping::Specific(keys) => theirs.set_of(keys.iter().map(String::as_str)),
                _ => theirs.all(),
            };
            return if fits(&needed) { candidate.clone() } else { PartitionSet::empty() };
        };
        let of_one = |index: &u32| {
            let one = PartitionSet::range(*index..=*index);
            fits(&mapping.required(&one, &mine, &theirs).set)
        };
        candidate.iter().filter(of_one).collect()
    }

    fn operand(&self, operand: &Operand, place: Place<'_>) -> PartitionSet {
        let Place { asset, after: Moment { at, event }, .. } = place;
        let (world, parts) = (self.world, self.world.parts(asset));
        let when = |holds: bool| if holds { parts.all() } else { PartitionSet::empty() };
        let is_external = world.engine.resolved.assets[asset].asset.is_external();
        match operand {
            Operand::Missing if is_external => PartitionSet::empty(),
            Operand::Missing => parts.all().difference(&parts.materialized),
            Operand::InProgress => world.in_progress(asset),
            Operand::ExecutionFailed => self.failed(asset),
            Operand::NewlyUpdated if is_external => {
                let (before, now) = (source_of(self.before, asset), world.source(asset));
                when(before.is_some() && now.is_some() && before != now)
            }
            Operand::NewlyUpdated => world.updated(asset, event, self.root),
            Operand::NewlyRequested if asset == self.root => {
                parts.set(self.before.map_or("", |before| before.requested.as_str()))
            }
            Operand::NewlyRequested => PartitionSet::empty(),
            Operand::WillBeRequested => world.requested.get(asset).cloned().unwrap_or_default(),
            Operand::CodeVersionChanged => {
                let code = self.before.and_then(|before| before.code.as_ref());
                when(
                    asset == self.root
                        && code.is_some()
                        && world.engine.code_of(asset).as_ref() != code,
                )
            }
            Operand::InLatestTimeWindow(lookback) => self.latest(asset, *lookback),
            Operand::CronTickPassed(cron) => when(cron.last_between(at, world.now).is_some()),
            Operand::InitialEvaluation => when(self.before.is_none()),
            Operand::CheckFailed => when(!self.checks(asset)[0].is_empty()),
            Operand::CheckPassed => {
                let [failed, passed] = self.checks(asset);
                when(failed.is_empty() && !passed.is_empty())
            }
            Operand::FreshnessPassed => when(world.freshness(asset) == Some(FreshnessState::Pass)),
            Operand::FreshnessWarned => when(world.freshness(asset) == Some(FreshnessState::Warn)),
            Operand::FreshnessFailed => when(world.freshness(asset) == Some(FreshnessState::Fail)),
            // It has a memory of its own.
            Operand::ExecutedWithTags(_) => PartitionSet::empty(),
            Operand::AnyNewUpdateHasRunTags(tags) => {
                world.updated_by(asset, event, self.root, &|of| has_tags(of, tags))
            }
            Operand::AllNewUpdatesHaveRunTags(tags) => {
                let others = world.updated_by(asset, event, self.root, &|of| !has_tags(of, tags));
                world.updated(asset, event, self.root).difference(&others)
            }
        }
    }

    /// The newest window, or those that began no longer before its end than a time.
    fn latest(&self, asset: &AssetKey, lookback: Option<std::time::Duration>) -> PartitionSet {
        let Some(keys) = self.world.parts(asset).keys else { return whole() };
        let all = keys.all();
        let newest = all.iter().filter_map(|at| keys.window(at)).map(|window| window.end).max();
        let Some(newest) = newest else { return all };
        let from = lookback.map(|back| newest.as_microsecond() - micros(back));
        let is_latest = |at: &u32| {
            keys.window(*at).is_some_and(|window| match from {
                Some(from) => window.start.as_microsecond() >= from || window.end == newest,
                None => window.end == newest,
            })
        };
        all.iter().filter(is_latest).collect()
    }

    fn failed(&self, asset: &AssetKey) -> PartitionSet {
        let own = self.before.filter(|_| asset == self.root);
        let event = self.before.map_or(self.world.event, |before| before.event);
        let before = own
            .map_or_else(PartitionSet::empty, |before| self.world.parts(asset).set(&before.failed));
        self.world.failed(asset, before, event)
    }

    /// The checks that did not hold when they were last made, and those that did.
    fn checks(&self, asset: &AssetKey) -> [BTreeSet<String>; 2] {
        let own = self.before.filter(|_| asset == self.root);
        let event = self.before.map_or(self.world.event, |before| before.event);
        let before = own.map(|before| [before.failed_checks.clone(), before.passed_checks.clone()]);
        self.world.checks(asset, before.unwrap_or_default(), event)
    }

    fn remembered(&self, place: Place<'_>) -> PartitionSet {
        let told = self.before.and_then(|before| before.nodes.get(place.path));
        told.map_or_else(PartitionSet::empty, |told| self.world.parts(place.asset).set(told))
    }

    fn remember(&mut self, place: Place<'_>, set: &PartitionSet) {
        if !set.is_empty() {
            let told = self.world.parts(place.asset).expression(set);
            self.nodes.insert(place.path.to_owned(), told);
        }
    }
}

/// Whether a run has all tags, each told as `name` or `name=value`.
fn has_tags(of: &Happening, tags: &[String]) -> bool {
    tags.iter().all(|told| match told.split_once('=') {
        Some((name, value)) => of.tags.get(name).is_some_and(|is| is == value),
        None => of.tags.contains_key(told),
    })
}
