//! What the steps of one run share.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrowsmith_definitions::{
    AssetKey, BoxError, ComputeContext, History, PartitionSet, Resources, StepInfo,
};
use arrowsmith_instance::{Provenance, RunId};
use arrowsmith_io_manager::{StoredTable, Version};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::RunOptions;
use super::announce::Unannounced;
use super::ready::Ready;
use crate::catalog::Part;
use crate::fresh::{Candidate, Consumes, provenance};
use crate::history::InstanceHistory;
use crate::node::{Node, NodeSource};
use crate::{Engine, Observer, Plan, Step};

/// One run, shared by its steps.
pub(super) struct Run {
    pub(super) engine: Arc<Engine>,
    pub(super) run_id: RunId,
    pub(super) plan: Plan,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) cancel: CancellationToken,
    /// Set with `cancel`, for functions that look at it now and then.
    pub(super) canceled: Arc<AtomicBool>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) ready: Ready,
    pub(super) unannounced: Unannounced,
    pub(super) resources: Arc<Resources>,
    pub(super) history: Arc<dyn History>,
    shape: Mutex<Shape>,
    /// Codes that the instance was told what they say.
    told: Mutex<HashSet<String>>,
    /// What this run has emitted.
    emitted: Mutex<HashMap<OutputKey, Emission>>,
}

/// The steps and who waits for whom; it grows when a dynamic output is known.
pub(super) struct Shape {
    pub(super) steps: Vec<Arc<Step>>,
    /// For each step those that wait for it.
    pub(super) readers: Vec<Vec<usize>>,
    /// For each step how many of those that it waits for have not ended.
    pub(super) waiting_for: Vec<usize>,
}

/// Step, output, mapping key.
type OutputKey = (usize, String, Option<String>);

/// What was emitted; a unit has no table.
#[derive(Debug, Clone)]
pub(super) struct Emission {
    pub(super) io_manager: String,
    pub(super) stored: Option<Arc<StoredTable>>,
    /// Partitions that were fresh, and so were not computed.
    pub(super) kept: Vec<Part>,
    /// The asset that it is, if it is one.
    pub(super) asset: Option<AssetKey>,
}

impl Emission {
    /// All versions in which it is.
    pub(super) fn parts(&self) -> impl Iterator<Item = Part> {
        let io_manager = self.io_manager.clone();
        let own = self.stored.clone().map(|stored| Part { io_manager, stored });
        own.into_iter().chain(self.kept.iter().cloned())
    }
}

/// What is known of a step before it computes anything.
#[derive(Debug)]
pub(super) struct Known {
    /// What it is made of.
    pub(super) now: Provenance,
    /// The current versions of partitions that are fresh.
    pub(super) fresh: BTreeMap<u32, Version>,
    /// Versions of other partitions that were stored before and are what would be computed.
    pub(super) reusable: BTreeMap<u32, Version>,
}

impl Known {
    fn new(now: Provenance) -> Self {
        Self { now, fresh: BTreeMap::new(), reusable: BTreeMap::new() }
    }
}

impl Shape {
    fn new(steps: &[Arc<Step>]) -> Self {
        let mut readers = vec![Vec::new(); steps.len()];
        for (at, step) in steps.iter().enumerate() {
            for before in &step.after {
                readers[*before].push(at);
            }
        }
        let waiting_for = steps.iter().map(|step| step.after.len()).collect();
        Self { steps: steps.to_vec(), readers, waiting_for }
    }

    /// One more step, which waits for those of its upstream steps that are open.
    pub(super) fn add(&mut self, step: Step, is_open: impl Fn(usize) -> bool) {
        let at = self.steps.len();
        self.readers.push(Vec::new());
        let open: Vec<usize> = step.after.iter().copied().filter(|b| is_open(*b)).collect();
        for before in &open {
            self.readers[*before].push(at);
        }
        self.waiting_for.push(open.len());
        self.steps.push(Arc::new(step));
    }

    /// Gives a step another node, and with it other steps to wait for.
    pub(super) fn rewire(&mut self, at: usize, node: Node, is_open: impl Fn(usize) -> bool) {
        for readers in &mut self.readers {
            readers.retain(|reader| *reader != at);
        }
        let after = node.waits_for();
        let open: Vec<usize> = after.iter().copied().filter(|before| is_open(*before)).collect();
        for before in &open {
            self.readers[*before].push(at);
        }
        self.waiting_for[at] = open.len();
        let step = Step { after, node: Arc::new(node), ..(*self.steps[at]).clone() };
        self.steps[at] = Arc::new(step);
    }
}

/// Frees what a run of many steps has gathered, for which nobody need wait.
pub(super) fn free(run: Arc<Run>) {
    if let Some(Run { plan, shape, emitted, .. }) = Arc::into_inner(run) {
        drop(tokio::task::spawn_blocking(move || drop((plan, shape, emitted))));
    }
}

impl Run {
    pub(super) fn new(
        engine: Arc<Engine>,
        run_id: RunId,
        plan: Plan,
        options: &RunOptions,
        resources: Resources,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limit = options.max_concurrent.or(plan.max_concurrent);
        let limit = limit.or(engine.limits.max_concurrent);
        Self {
            history: Arc::new(InstanceHistory::new(&engine, &plan.environment)),
            engine,
            run_id,
            tags: options.tags.clone(),
            cancel: CancellationToken::new(),
            canceled: Arc::default(),
            observer,
            slots: Arc::new(Semaphore::new(limit.unwrap_or(processors).max(1))),
            ready: Ready::default(),
            unannounced: Unannounced::default(),
            resources: Arc::new(resources),
            shape: Mutex::new(Shape::new(&plan.steps)),
            told: Mutex::default(),
            emitted: Mutex::default(),
            plan,
        }
    }

    pub(super) fn shape(&self) -> MutexGuard<'_, Shape> {
        self.shape.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn step(&self, at: usize) -> Arc<Step> {
        Arc::clone(&self.shape().steps[at])
    }

    pub(super) fn remember(&self, key: OutputKey, emission: Emission) {
        let mut emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner);
        emitted.insert(key, emission);
    }

    /// Lets the instance remember what a code says, once.
    pub(super) async fn tell_code(&self, consumes: &Consumes) -> crate::Result<()> {
        let code = consumes.code.clone();
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(code.clone()) {
            self.engine.instance.remember_code_soon(code, consumes.text.clone()).await?;
        }
        Ok(())
    }

    pub(super) fn emission(&self, key: &OutputKey) -> Option<Emission> {
        self.emitted.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    /// Why a step whose upstream steps have all ended cannot run: an output that was not emitted.
    ///
    /// An input that gathers does with what is there, unless nothing is.
    pub(super) fn missing_output(&self, step: &Step) -> Option<String> {
        let emitted = self.emitted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = |source: &NodeSource| match source {
            NodeSource::Step { at, output, mapping_key, collect: false } => {
                !emitted.contains_key(&(*at, output.clone(), mapping_key.clone()))
            }
            NodeSource::Partitions(of) => of
                .made
                .iter()
                .any(|(at, output, _)| !emitted.contains_key(&(*at, output.clone(), None))),
            NodeSource::Absent { .. } => true,
            _ => false,
        };
        for input in &step.node.inputs {
            let sources = input.leaves();
            let missing = sources.iter().filter(|source| is_missing(source)).count();
            let skips =
                if input.gathered { missing > 0 && missing == sources.len() } else { missing > 0 };
            if skips && let Some(source) = sources.into_iter().find(|source| is_missing(source)) {
                return Some(self.told_source(source));
            }
        }
        None
    }

    fn told_source(&self, source: &NodeSource) -> String {
        match source {
            NodeSource::Step { at, output, .. } => {
                let key = self.plan.steps.get(*at).map_or("", |step| step.key.as_str());
                format!("upstream `{key}` did not emit `{output}`")
            }
            NodeSource::Absent { step, output } => format!("`{step}` had not emitted `{output}`"),
            NodeSource::Partitions(of) => format!("partitions of `{}` were not made", of.asset),
            NodeSource::Asset(_)
            | NodeSource::View { .. }
            | NodeSource::Stored(_)
            | NodeSource::Literal(_) => String::new(),
        }
    }

    /// What a step is made of and what of it is stored already; `None` if that is not known.
    pub(super) async fn known(&self, step: &Step) -> Result<Option<Known>, BoxError> {
        let node = &step.node;
        let Some(consumes) = &node.consumes else { return Ok(None) };
        let emitted = |at: usize, output: &str, mapping_key: Option<&str>| {
            let emission =
                self.emission(&(at, output.to_owned(), mapping_key.map(str::to_owned)))?;
            let stored = emission.parts().map(|part| part.stored).collect();
            Some((emission.asset?, stored))
        };
        let engine = &self.engine;
        let found = provenance(engine, consumes, node, &self.plan.pinned, &emitted).await?;
        let Some((now, needed)) = found else { return Ok(None) };
        let Some(current) = &node.current else {
            return Ok(Some(Known::new(now)));
        };
        // What it waits for has ended.
        let candidate = Candidate {
            is_settled: true,
            ..Candidate::of(node, consumes, (&now, &needed), current)
        };
        let made = engine.made(current.values().copied()).await?;
        let fresh = engine.fresh(&candidate, &made, true).await?.fresh;
        let piece = node.partitions.as_deref();
        let all = piece.map_or_else(|| PartitionSet::range(0..=0), |piece| piece.set.clone());
        let left = all.difference(&fresh);
        let asset = node.outputs.first().and_then(|output| output.asset.as_ref());
        // What is added to rows that are stored is not what is stored.
        let asset = asset.filter(|of| !of.asset.materialized.is_incremental());
        let reusable = match asset {
            Some(of) if !left.is_empty() && !current.is_empty() => {
                engine.reusable(&of.asset.key, &candidate, piece, left).await?
            }
            _ => BTreeMap::new(),
        };
        let fresh = fresh.iter().filter_map(|index| Some((index, *current.get(&index)?)));
        Ok(Some(Known { fresh: fresh.collect(), reusable, ..Known::new(now) }))
    }

    /// What a step works with, before its inputs are there.
    pub(super) fn context(
        &self,
        step: &Step,
        attempt: u32,
        started_at: i64,
        frugal: bool,
    ) -> ComputeContext {
        let node = &step.node;
        let info = StepInfo {
            run_id: self.run_id.to_string(),
            run_tags: self.tags.clone(),
            job: self.plan.job.clone(),
            step_key: step.key.clone(),
            attempt,
            mapping_key: node.mapping_key.clone(),
            assets: node.assets(),
            started_at,
        };
        ComputeContext {
            config: Arc::clone(&node.config),
            resources: Arc::clone(&self.resources),
            canceled: Arc::clone(&self.canceled),
            history: Arc::clone(&self.history),
            partitions: node.partitions.clone(),
            ..ComputeContext::new(info, Arc::clone(&self.engine.session_of(frugal).state))
        }
    }
}
