//! What the steps of one run share.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrowsmith_definitions::{AssetKey, BoundInput, BoxError, ResolvedAsset};
use arrowsmith_instance::RunId;
use arrowsmith_io_manager::{StoredTable, Version};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::RunOptions;
use crate::{Engine, Observer, Plan};

/// One run, shared by its steps.
pub(super) struct Run {
    pub(super) engine: Arc<Engine>,
    pub(super) run_id: RunId,
    pub(super) plan: Plan,
    pub(super) cancel: CancellationToken,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) slots: Arc<Semaphore>,
    pub(super) slot_count: usize,
    /// For each step those that read its output.
    pub(super) readers: Vec<Vec<usize>>,
    /// For each step how many of its inputs are not published yet.
    missing_inputs: Vec<AtomicUsize>,
    /// What this run has published.
    published: Mutex<HashMap<AssetKey, Arc<StoredTable>>>,
}

impl Run {
    pub(super) fn new(
        engine: Arc<Engine>,
        run_id: RunId,
        plan: Plan,
        options: &RunOptions,
        cancel: CancellationToken,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let mut readers = vec![Vec::new(); plan.steps.len()];
        for (at, step) in plan.steps.iter().enumerate() {
            for before in &step.after {
                readers[*before].push(at);
            }
        }
        let missing_inputs =
            plan.steps.iter().map(|step| AtomicUsize::new(step.after.len())).collect();
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limit = options.max_concurrent.or(engine.limits.max_concurrent);
        let slot_count = limit.unwrap_or(processors).max(1);
        Self {
            engine,
            run_id,
            plan,
            cancel,
            observer,
            slots: Arc::new(Semaphore::new(slot_count)),
            slot_count,
            readers,
            missing_inputs,
            published: Mutex::default(),
        }
    }

    pub(super) fn resolved(&self, at: usize) -> &ResolvedAsset {
        &self.engine.resolved.assets[&self.plan.steps[at].asset]
    }

    /// One more input of a step is published.
    pub(super) fn published_input(&self, at: usize) {
        self.missing_inputs[at].fetch_sub(1, Ordering::AcqRel);
    }

    /// Readers that wait for nothing but this step, the longest path first, no more than slots.
    pub(super) fn next_after(&self, at: usize) -> Vec<usize> {
        let waits_only =
            |reader: &&usize| self.missing_inputs[**reader].load(Ordering::Acquire) == 1;
        let mut next: Vec<usize> = self.readers[at].iter().filter(waits_only).copied().collect();
        next.sort_by_key(|reader| std::cmp::Reverse(self.plan.steps[*reader].longest_path));
        next.truncate(self.slot_count);
        next
    }

    pub(super) fn remember(&self, key: &AssetKey, stored: Arc<StoredTable>) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.insert(key.clone(), stored);
    }

    /// The inputs of a step: what this run published, what is pinned, and external tables.
    pub(super) async fn inputs(
        &self,
        at: usize,
    ) -> Result<(Vec<BoundInput>, BTreeMap<String, Version>), BoxError> {
        let mut bound = Vec::new();
        let mut versions = BTreeMap::new();
        for input in &self.resolved(at).inputs {
            let key = &input.key;
            let own =
                self.published.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
            let table = if let Some(stored) = own {
                versions.insert(key.to_string(), stored.version);
                let manager = &self.engine.resolved.assets[key].io_manager;
                let manager = self.engine.resolved.io_managers.get(manager);
                let manager =
                    manager.ok_or_else(|| format!("the IO manager of `{key}` is gone"))?;
                manager.provider(&stored)?
            } else if let Some(pointer) = self.plan.pinned.get(key) {
                versions.insert(key.to_string(), pointer.version);
                let made = self.engine.version(pointer.version).await?;
                let made = made.ok_or_else(|| format!("the pinned version of `{key}` is gone"))?;
                self.engine.stored_table(&made)?
            } else {
                let external = self.engine.external(key).await?;
                external.ok_or_else(|| format!("`{key}` has not been materialized"))?
            };
            bound.push(BoundInput { name: input.name.clone(), key: key.clone(), table });
        }
        Ok((bound, versions))
    }
}
