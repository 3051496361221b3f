//! Runs that go on with the outputs of an earlier run.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::Entry;
use arrowsmith_instance::{OutputRecord, RunId, RunRecord, StepState};

use super::job::select_steps;
use super::{JobRequest, Plan, PlanRequest, Step, with_longest_paths};
use crate::expansion::Expansion;
use crate::node::{NodeInput, NodeSource, PartitionSource};
use crate::{Engine, Error, Result};

/// Which steps of an earlier run are run again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reexecute {
    /// All of them.
    All,
    /// Those that failed, and those that never ran.
    FromFailure,
    /// Those of a selection in the form of ops, such as `x*`.
    Select(String),
}

/// What earlier runs have emitted, by step, output and mapping key.
pub(super) type Stored = HashMap<(String, String, Option<String>), Arc<OutputRecord>>;

impl Engine {
    /// Plans to run steps of an earlier run again. What they read from steps that are not run is
    /// loaded as that run, or one that it continued, has stored it.
    ///
    /// # Errors
    /// As for a plan of its job or selection.
    pub async fn plan_reexecution(&self, run: &str, which: &Reexecute) -> Result<Plan> {
        let parent = self.instance.run(run).await?;
        let mut plan = match &parent.job {
            Some(job) => {
                let config = Some(Entry::of_value(&parent.config));
                let plan = PlanRequest::default().with_told(&parent.partitions);
                let request = JobRequest { config, select: None, plan };
                self.plan_job(job, &request).await?
            }
            None => {
                let request = PlanRequest::new(&parent.selection).with_told(&parent.partitions);
                self.plan_request(&request).await?
            }
        };
        plan.parent = Some(parent.run_id);
        plan.root = Some(parent.root);
        plan.selection.clone_from(&parent.selection);
        if *which == Reexecute::All {
            return Ok(plan);
        }
        let (stored, succeeded, order) = self.stored_outputs(&parent).await?;
        let replaced = expand_known(&mut plan, &order, &succeeded);
        let selected = match which {
            Reexecute::Select(text) => select_steps(&plan.steps, text)?,
            _ => (0..plan.steps.len())
                .filter(|at| !succeeded.contains(&plan.steps[*at].key))
                .collect(),
        };
        keep(&mut plan, &(&selected - &replaced), Some(&stored))?;
        Ok(plan)
    }

    /// Outputs of a run and of those that it continued, the newest of each; the steps that
    /// succeeded in them; and the mapping keys in the order of their emission.
    async fn stored_outputs(
        &self,
        run: &RunRecord,
    ) -> Result<(Stored, BTreeSet<String>, Vec<(String, String)>)> {
        let mut chain: Vec<RunId> = vec![run.run_id];
        let mut parent = run.parent;
        while let Some(run_id) = parent {
            chain.push(run_id);
            parent = self.instance.run(&run_id.to_string()).await?.parent;
        }
        let (mut stored, mut succeeded, mut order) = (Stored::new(), BTreeSet::new(), Vec::new());
        for run_id in chain.into_iter().rev() {
            for step in self.instance.steps(run_id).await? {
                if step.state == StepState::Success {
                    stored.retain(|(key, _, _), _| *key != step.step_key);
                    order.retain(|(key, _)| *key != step.step_key);
                    succeeded.insert(step.step_key);
                } else {
                    succeeded.remove(&step.step_key);
                }
            }
            for output in self.instance.outputs(run_id).await? {
                let step = output.step_key.clone();
                order.extend(output.mapping_key.clone().map(|key| (step.clone(), key)));
                let key = (step, output.output.clone(), output.mapping_key.clone());
                stored.insert(key, Arc::new(output));
            }
        }
        Ok((stored, succeeded, order))
    }
}

/// Adds the steps of dynamic outputs that are known; returns those that stood for them.
fn expand_known(
    plan: &mut Plan,
    order: &[(String, String)],
    succeeded: &BTreeSet<String>,
) -> BTreeSet<usize> {
    let mut replaced = BTreeSet::new();
    for over in 0..plan.steps.len() {
        let step = &plan.steps[over];
        let is_dynamic = step.node.outputs.iter().any(|output| output.dynamic);
        if !is_dynamic || !succeeded.contains(&step.key) {
            continue;
        }
        let of_step = order.iter().filter(|(key, _)| *key == step.key);
        let keys: Vec<String> = of_step.map(|(_, key)| key.clone()).collect();
        let expansion = Expansion::of(&plan.steps, over, &keys, |at| !replaced.contains(&at));
        plan.steps.extend(expansion.instances.into_iter().map(Arc::new));
        for (at, node) in expansion.collecting {
            let after = node.waits_for();
            let step = Step { after, node: Arc::new(node), ..(*plan.steps[at]).clone() };
            plan.steps[at] = Arc::new(step);
        }
        replaced.extend(expansion.replaced);
    }
    replaced
}

/// Keeps only the selected steps, each after those that it waits for. What they read from others
/// is what was stored; without anything stored that is an error.
pub(super) fn keep(
    plan: &mut Plan,
    selected: &BTreeSet<usize>,
    stored: Option<&Stored>,
) -> Result<()> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    while places.len() < selected.len() {
        let is_free = |at: &&usize| {
            let waits = |before: &usize| selected.contains(before) && !places.contains_key(before);
            !places.contains_key(at) && !plan.steps[**at].after.iter().any(waits)
        };
        let Some(next) = selected.iter().find(is_free).copied() else { break };
        places.insert(next, places.len());
    }
    let mut order: Vec<(usize, usize)> = places.iter().map(|(old, new)| (*new, *old)).collect();
    order.sort_unstable();
    let mut steps = Vec::new();
    for (_, at) in order {
        let step = &plan.steps[at];
        let mut node = (*step.node).clone();
        node.mapped_over = node.mapped_over.and_then(|over| places.get(&over).copied());
        for input in &mut node.inputs {
            replace_sources(input, plan, &places, stored)?;
        }
        let after = node.waits_for();
        steps.push(Step { after, node: Arc::new(node), longest_path: 1, ..(**step).clone() });
    }
    plan.steps = with_longest_paths(steps);
    Ok(())
}

fn replace_sources(
    input: &mut NodeInput,
    plan: &Plan,
    places: &HashMap<usize, usize>,
    stored: Option<&Stored>,
) -> Result<()> {
    for source in &mut input.sources {
        if let NodeSource::View { inputs, .. } = source {
            for input in inputs {
                replace_sources(input, plan, places, stored)?;
            }
            continue;
        }
        if let NodeSource::Partitions(of) = source {
            replace_partitions(Arc::make_mut(of), plan, places, stored)?;
            continue;
        }
        let NodeSource::Step { at, output, mapping_key, .. } = source else { continue };
        if let Some(place) = places.get(at) {
            *at = *place;
            continue;
        }
        let (step, output) = (plan.steps[*at].key.clone(), output.clone());
        let Some(stored) = stored else {
            if input.is_nothing {
                continue;
            }
            return Err(Error::NotStored { step, output });
        };
        let found = stored.get(&(step.clone(), output.clone(), mapping_key.clone()));
        *source = match found {
            Some(record) => NodeSource::Stored(Arc::clone(record)),
            None => NodeSource::Absent { step, output },
        };
    }
    if input.is_nothing && stored.is_none() {
        let is_kept = |source: &NodeSource| match source {
            NodeSource::Step { at, .. } => places.values().any(|place| place == at),
            _ => true,
        };
        input.sources.retain(is_kept);
    }
    Ok(())
}

/// The same for an input of partitions: what a step of an earlier run has made is read from its
/// version.
fn replace_partitions(
    of: &mut PartitionSource,
    plan: &Plan,
    places: &HashMap<usize, usize>,
    stored: Option<&Stored>,
) -> Result<()> {
    let mut made = Vec::new();
    for (at, output, keys) in std::mem::take(&mut of.made) {
        if let Some(place) = places.get(&at) {
            made.push((*place, output, keys));
            continue;
        }
        let step = plan.steps[at].key.clone();
        let found = stored.and_then(|stored| stored.get(&(step.clone(), output.clone(), None)));
        let record = found.ok_or(Error::NotStored { step, output })?;
        of.pinned.push((record.version, keys));
    }
    of.made = made;
    Ok(())
}
