//! Computes stored versions once more from what they were made of, and compares.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use arrowsmith_definitions::{
    AssetKey, Body, BoxError, PartitionExpr, PartitionSet, Resources, StepPartitions,
};
use arrowsmith_instance::{Provenance, RunId};
use arrowsmith_io_manager::{Depth, Version};
use datafusion::physical_plan::{ExecutionPlan, collect, execute_stream};
use futures::TryStreamExt;
use serde::Serialize;
use uuid::Uuid;

use super::run::Run;
use crate::catalog::Part;
use crate::compare::{differing_rows, nearly_same};
use crate::digest::{Digest, digest_of};
use crate::fresh::Needed;
use crate::keyed::{POSITION, keyed};
use crate::node::{Node, NodeInput, NodeSource, PartitionSource};
use crate::plan::PlanRequest;
use crate::{Engine, Plan, Result, RunOptions, Silent, Step};

/// A version that was computed once more, or some partitions of one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verified {
    /// The asset.
    pub asset: String,
    /// The partitions, if it has any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partitions: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A few rows that are stored only (`-`), and that were computed only (`+`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<String>,
}

/// What comes of a version that is computed once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The rows are the same.
    Same,
    /// They are not.
    Different,
    /// It could not be computed as it was.
    Unverifiable,
}

/// Tables and partitions that are verified together: a step, and the version that holds them.
type Group = (usize, usize, Version);

impl Engine {
    /// Computes current versions of assets once more from the inputs that they were made of; of all
    /// tables and partitions a random `share`, but no less than one. Nothing is stored.
    ///
    /// Sums of floating-point numbers may differ in their last digits, which is no difference.
    ///
    /// # Errors
    /// As a plan of the assets; what keeps a version from being computed is told with it.
    pub async fn verify(
        self: &Arc<Self>,
        keys: &[AssetKey],
        partitions: Option<&PartitionExpr>,
        share: f64,
    ) -> Result<Vec<Verified>> {
        let mut plans = Vec::new();
        for key in keys {
            let request = PlanRequest {
                partitions: partitions
                    .filter(|_| self.resolved.assets[key].asset.partitions.is_some())
                    .cloned(),
                is_question: true,
                ..PlanRequest::new(format!("key:\"{key}\""))
            };
            plans.push(self.plan_request(&request).await?);
        }
        let mut units: Vec<(Group, u32)> = Vec::new();
        for (of, plan) in plans.iter().enumerate() {
            for (at, step) in plan.steps.iter().enumerate() {
                let current = step.node.current.iter().flat_map(|current| current.iter());
                units.extend(current.map(|(index, version)| ((of, at, *version), *index)));
            }
        }
        fastrand::shuffle(&mut units);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share of a count is a count"
        )]
        let chosen = (units.len() as f64 * share.clamp(0.0, 1.0)).ceil() as usize;
        let mut groups: BTreeMap<Group, PartitionSet> = BTreeMap::new();
        for (group, index) in units.into_iter().take(chosen.max(1)) {
            groups.entry(group).or_default().insert(index);
        }
        let mut verified = Vec::new();
        for ((of, at, version), set) in groups {
            let plan = &plans[of];
            verified.push(self.verify_version(plan, &plan.steps[at], version, &set).await?);
        }
        Ok(verified)
    }

    async fn verify_version(
        self: &Arc<Self>,
        plan: &Plan,
        step: &Step,
        version: Version,
        set: &PartitionSet,
    ) -> Result<Verified> {
        let piece = step.node.partitions.as_deref();
        let asset = step.node.assets().first().map(ToString::to_string).unwrap_or_default();
        let partitions = piece.map(|piece| piece.keys.expression(set));
        let verified =
            |verdict, reason, rows| Verified { asset, partitions, verdict, reason, rows };
        let again = match self.as_it_was(&step.node, version, set).await? {
            Ok(node) => Arc::new(node),
            Err(reason) => return Ok(verified(Verdict::Unverifiable, Some(reason), Vec::new())),
        };
        let step = Step { node: again, ..step.clone() };
        let run = self.run_of(plan);
        Ok(match compare(&run, &step, version).await {
            Ok(None) => verified(Verdict::Same, None, Vec::new()),
            Ok(Some(rows)) => {
                let reason = "the same code gives other rows for the same inputs".to_owned();
                verified(Verdict::Different, Some(reason), rows)
            }
            Err(error) => {
                let reason = format!("it failed: {}", crate::error::chain(&*error));
                verified(Verdict::Different, Some(reason), Vec::new())
            }
        })
    }

    /// A run that is never told to the instance.
    fn run_of(self: &Arc<Self>, plan: &Plan) -> Run {
        let (id, options) = (RunId(Uuid::now_v7()), RunOptions::default());
        let resources = Resources::default();
        Run::new(Arc::clone(self), id, plan.clone(), &options, resources, Arc::new(Silent))
    }

    /// A node that reads what a version was made of, for some of its partitions; or why there is none.
    async fn as_it_was(
        &self,
        node: &Node,
        version: Version,
        set: &PartitionSet,
    ) -> Result<std::result::Result<Node, String>> {
        let told = |reason: &str| Ok(Err(reason.to_owned()));
        let resolved = node.outputs.first().and_then(|output| output.asset.as_ref());
        let Some(consumes) = node.consumes.as_deref() else {
            return told("what it reads is not known");
        };
        if let Some(why) = &consumes.unknowable {
            return told(why);
        }
        if resolved.is_some_and(|of| of.asset.materialized.is_incremental()) {
            return told("it adds to rows that are stored");
        }
        let made = self.made([version]).await?;
        let Some(made) = made.get(&version) else {
            return told("it was stored without what it was made of");
        };
        if made.code != consumes.code {
            return told("its code is another than the one that made it");
        }
        if let Some(asset) = self.gone(made).await? {
            return Ok(Err(format!("what it read of `{asset}` is not there any more")));
        }
        let mut node = node.clone();
        if let Some(piece) = &node.partitions {
            let piece = StepPartitions { set: set.clone(), ..(**piece).clone() };
            node.partitions = Some(Arc::new(piece));
        }
        let partitions = node.partitions.clone();
        for input in &mut node.inputs {
            pin(input, made, partitions.as_deref());
        }
        Ok(Ok(node))
    }

    /// An asset that was read, and is other or not stored by now.
    async fn gone(&self, made: &Provenance) -> Result<Option<String>> {
        for (asset, was) in &made.sources {
            let key = asset.parse::<AssetKey>().ok();
            let resolved = key.and_then(|key| self.resolved.assets.get(&key));
            let Some(Body::External(source)) = resolved.map(|of| &of.asset.body) else {
                return Ok(Some(asset.clone()));
            };
            let keys: Vec<String> = was.keys().filter(|key| !key.is_empty()).cloned().collect();
            let now = source.states(&keys).await;
            if !now.is_ok_and(|now| now.as_ref() == Some(was)) {
                return Ok(Some(asset.clone()));
            }
        }
        for (asset, versions) in &made.inputs {
            for version in versions.keys() {
                let Some(made) = self.version(*version).await? else {
                    return Ok(Some(asset.clone()));
                };
                let manager = self.reachable(&made).and_then(|()| self.manager(&made.io_manager));
                let Ok(manager) = manager else { return Ok(Some(asset.clone())) };
                let damages = manager.verify(&made.stored, Depth::Size).await;
                if !damages.is_ok_and(|damages| damages.is_empty()) {
                    return Ok(Some(asset.clone()));
                }
            }
        }
        Ok(None)
    }
}

/// Lets an input read the versions that are written down, as far as the partitions need them.
fn pin(input: &mut NodeInput, made: &Provenance, partitions: Option<&StepPartitions>) {
    for source in &mut input.sources {
        match source {
            NodeSource::View { inputs, .. } => {
                for input in inputs {
                    pin(input, made, partitions);
                }
            }
            NodeSource::Asset(key) => {
                if let Some(versions) = made.inputs.get(key.as_str()) {
                    let mut pinned = PartitionSource::new(key.clone());
                    pinned.pinned = versions.keys().map(|of| (*of, Vec::new())).collect();
                    *source = NodeSource::Partitions(Arc::new(pinned));
                }
            }
            NodeSource::Partitions(of) => {
                let needed = Needed::Partitions(of);
                let keys: Vec<String> = match partitions {
                    Some(piece) => {
                        piece.set.iter().flat_map(|index| needed.keys(Some(index))).collect()
                    }
                    None => needed.keys(None),
                };
                let mut was = PartitionSource { made: Vec::new(), is_all: false, ..(**of).clone() };
                if let Some(versions) = made.inputs.get(of.asset.as_str()) {
                    let held = |held: &Vec<String>| {
                        let held = held.iter().filter(|key| !key.is_empty() && keys.contains(key));
                        held.cloned().collect::<Vec<_>>()
                    };
                    let pinned = versions.iter().map(|(version, keys)| (*version, held(keys)));
                    was.pinned =
                        pinned.filter(|(_, keys)| of.is_appended || !keys.is_empty()).collect();
                } else {
                    was.external.retain(|key| keys.contains(key));
                }
                *source = NodeSource::Partitions(Arc::new(was));
            }
            _ => {}
        }
    }
}

/// Rows in which a version and what a step computes differ; `None` if they are the same.
async fn compare(
    run: &Run,
    step: &Step,
    version: Version,
) -> std::result::Result<Option<Vec<String>>, BoxError> {
    let engine = &run.engine;
    let made = engine.version(version).await?.ok_or("its version is gone")?;
    let keys = step.node.partitions.as_deref().map(StepPartitions::texts).unwrap_or_default();
    let stored = Part::new(&made.io_manager, &made.stored, &keys).stored;
    let table = engine.manager(&made.io_manager)?.provider(&stored)?;
    let schema = Arc::clone(stored.schema.arrow());
    let before = digest_of(&engine.session.state, Arc::clone(&table), &schema).await?;
    let mut now = Digest::default();
    let mut stream = execute_stream(plan_of(run, step).await?, Arc::clone(&engine.session.task))?;
    while let Some(batch) = stream.try_next().await? {
        now.add(&without_position(&batch)?)?;
    }
    if before == now {
        return Ok(None);
    }
    let batches = collect(plan_of(run, step).await?, Arc::clone(&engine.session.task)).await?;
    let batches = batches.iter().map(without_position);
    let batches = batches.collect::<std::result::Result<Vec<_>, _>>()?;
    if nearly_same(&engine.session.state, Arc::clone(&table), &batches).await? {
        return Ok(None);
    }
    Ok(Some(differing_rows(&engine.session.state, table, &batches).await?))
}

/// The rows that a step computes, with the place of their partition if there are any.
async fn plan_of(run: &Run, step: &Step) -> std::result::Result<Arc<dyn ExecutionPlan>, BoxError> {
    let inputs = run.inputs(step).await?;
    let context = run.context(step, 1, run.engine.clock.now(), false).with_inputs(inputs.bound);
    let emitted = step.node.work.run(context).await?.into_emitted();
    let plan = emitted.into_iter().find_map(|emitted| emitted.plan);
    let plan = plan.ok_or("it emitted nothing")?;
    Ok(match &step.node.partitions {
        Some(partitions) => Arc::new(keyed(plan, Arc::clone(partitions), true)?),
        None => plan,
    })
}

fn without_position(batch: &RecordBatch) -> std::result::Result<RecordBatch, BoxError> {
    let mut batch = batch.clone();
    if let Ok(at) = batch.schema().index_of(POSITION) {
        batch.remove_column(at);
    }
    Ok(batch)
}
