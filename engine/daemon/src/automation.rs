//! Automation: conditions of assets are evaluated, and what they hold for is asked for.
//!
//! All assets of an evaluation are asked for by one run, so that what is downstream in it waits for what
//! is upstream. What a condition has to know at its next evaluation moves in the same transaction.

mod evaluate;
mod world;

use std::collections::BTreeMap;

use arrowsmith_definitions::{AssetKey, PartitionSet};
use arrowsmith_execution::Engine;
use arrowsmith_instance::{
    Evaluation, Launch, NewEvaluation, NewTick, QueuedRun, TickStatus, Ticked,
};
use serde_json::Value;

use crate::request::derived_run_id;
use crate::{Daemon, Result};
use evaluate::{Evaluator, State};
use world::World;

/// What automation is called in the instance.
pub(crate) const INSTIGATOR: &str = "sensor:automation";

impl Daemon {
    /// Evaluates the conditions of all assets that have one, and asks for what they hold for; how many
    /// assets are asked for.
    ///
    /// # Errors
    /// Of the instance; what is wrong with an asset is told by the tick.
    pub async fn tick_automation(&self) -> Result<usize> {
        let (Some(engine), Some(leader)) = (self.engine(), self.leader()) else { return Ok(0) };
        let known = self.instigators().await?;
        let record = known.get(INSTIGATOR);
        let automated = automated(&engine);
        if automated.is_empty() || record.and_then(|of| of.is_running) == Some(false) {
            return Ok(0);
        }
        let began_at = self.now();
        let states = self.shared.instance.conditions().await?;
        let mut evaluated = Evaluated::default();
        let world = match World::look(&engine, &automated, &states, began_at).await {
            Ok(world) => world,
            Err(error) => return Err(error),
        };
        evaluated.all(&engine, world, &automated, &states);
        if evaluated.conditions.is_empty() && evaluated.requested.is_empty() {
            return Ok(0);
        }
        let count = evaluated.requested.len();
        let scheduled_at = began_at.max(record.map_or(began_at, |of| of.ticked_until + 1));
        let runs = evaluated.run(&engine, scheduled_at, began_at);
        let status = if runs.is_empty() { TickStatus::Skipped } else { TickStatus::Success };
        let tick = NewTick {
            instigator: INSTIGATOR.to_owned(),
            scheduled_at,
            began_at,
            ended_at: self.now(),
            status,
            reason: None,
            cursor: None,
            runs,
            add_partitions: Vec::new(),
            remove_partitions: Vec::new(),
            conditions: evaluated.conditions,
        };
        let ticked = self.shared.instance.tick(tick, Some(leader)).await?;
        Ok(if matches!(ticked, Ticked::Yes { .. }) { count } else { 0 })
    }
}

/// Assets with a condition, each after those that it reads.
fn automated(engine: &Engine) -> Vec<AssetKey> {
    let has_one = |key: &&AssetKey| {
        let asset = &engine.resolved.assets[*key].asset;
        asset.automation.is_some() && asset.is_materializable()
    };
    engine.resolved.graph.topological().iter().filter(has_one).cloned().collect()
}

/// What an evaluation of all conditions comes to.
#[derive(Debug, Default)]
struct Evaluated {
    conditions: Vec<NewEvaluation>,
    /// The partitions that are asked for, in the language of the command line.
    requested: BTreeMap<AssetKey, String>,
}

impl Evaluated {
    fn all(
        &mut self,
        engine: &Engine,
        mut world: World<'_>,
        automated: &[AssetKey],
        states: &std::collections::HashMap<String, Value>,
    ) {
        for key in automated {
            let Some(condition) = &engine.resolved.assets[key].asset.automation else { continue };
            let stored = states.get(key.as_str());
            let before =
                stored.and_then(|state| serde_json::from_value::<State>(state.clone()).ok());
            // Another condition begins anew.
            let before = before.filter(|before| before.condition == condition.to_string());
            let mut evaluator = Evaluator::new(&world, key, before.as_ref());
            let (held, tree) = evaluator.evaluate(condition);
            let state = evaluator.into_state(condition, &held);
            let requested = world.parts(key).expression(&held);
            let is_same = before.as_ref().is_some_and(|before| before.is_same(&state));
            let came_to = Evaluation { requested: requested.clone(), tree };
            let is_new = before.is_none_or(|before| before.tree != came_to.tree.digest());
            let state = state.with_tree(came_to.tree.digest());
            if !is_same || is_new || !held.is_empty() {
                self.conditions.push(NewEvaluation {
                    asset: key.to_string(),
                    state: serde_json::to_value(&state).unwrap_or_default(),
                    came_to: (is_new || !held.is_empty()).then_some(came_to),
                });
            }
            if !held.is_empty() {
                self.requested.insert(key.clone(), requested);
                world.requested.insert(key.clone(), held);
            }
        }
    }

    /// One run for all that is asked for.
    fn run(&self, engine: &Engine, scheduled_at: i64, at: i64) -> Vec<QueuedRun> {
        if self.requested.is_empty() {
            return Vec::new();
        }
        let selected = self.requested.keys().map(|key| format!("key:\"{key}\""));
        let selection = selected.collect::<Vec<_>>().join(" or ");
        let is_cut = |key: &&AssetKey| engine.resolved.assets[*key].asset.partitions.is_some();
        let cut = self.requested.iter().filter(|(key, _)| is_cut(key));
        let launch = Launch {
            selection,
            partitions_of: cut.map(|(key, set)| (key.to_string(), set.clone())).collect(),
            only_needed: true,
            ..Launch::default()
        };
        let run_id = derived_run_id(INSTIGATOR, scheduled_at, 0);
        let tag = ("arrowsmith/automation".to_owned(), "true".to_owned());
        vec![QueuedRun {
            run_id,
            environment: engine.environment.clone(),
            launch,
            tags: BTreeMap::from([tag]),
            priority: 0,
            origin: INSTIGATOR.to_owned(),
            run_key: None,
            parent: None,
            root: run_id,
            at,
        }]
    }
}

/// The single thing that an asset without partitions is.
pub(crate) fn whole() -> PartitionSet {
    PartitionSet::first(1)
}
