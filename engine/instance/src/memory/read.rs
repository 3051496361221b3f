//! Questions, each answered under the lock.

use std::collections::{BTreeMap, HashSet};

use arrowsmith_io_manager::Version;
use async_trait::async_trait;

use super::{Memory, Run};
use crate::storage::Reader;
use crate::{
    AttemptStatus, EventRecord, Materialization, OutputRecord, Pointer, Result, RunId, RunRecord,
    RunStatus, StepRecord, TimeMicros,
};

#[async_trait]
impl Reader for Memory {
    async fn dead_runs(&self, now: TimeMicros) -> Result<Vec<RunId>> {
        let dead = |run: &&Run| {
            let new = &run.new;
            run.status == RunStatus::Started && (new.lease_until < now || new.process.is_gone())
        };
        Ok(self.lock().runs.values().filter(dead).map(|run| run.new.run_id).collect())
    }

    async fn live_runs(&self) -> Result<Vec<RunId>> {
        let live = |run: &&Run| run.status == RunStatus::Started;
        Ok(self.lock().runs.values().filter(live).map(|run| run.new.run_id).collect())
    }

    async fn pointers(&self, environment: &str) -> Result<BTreeMap<String, Pointer>> {
        let state = self.lock();
        let current = state.catalog.get(environment).into_iter().flatten();
        let pointer = current.filter_map(|(target, current)| {
            let (version, published_at) = current.published?;
            let made = state.versions.get(&version)?;
            let pointer = Pointer {
                asset: target.asset.clone(),
                partition_key: target.partition_key.clone(),
                version,
                run_id: made.run_id,
                published_at,
                row_count: made.stored.row_count,
                size_bytes: made.stored.size_bytes,
                code_version: made.code_version.clone(),
                io_manager: made.io_manager.clone(),
            };
            Some((target.asset.clone(), pointer))
        });
        Ok(pointer.collect())
    }

    async fn materialization(&self, version: Version) -> Result<Option<Materialization>> {
        Ok(self.lock().versions.get(&version).cloned())
    }

    async fn materializations(&self, asset: &str, limit: u32) -> Result<Vec<Materialization>> {
        let state = self.lock();
        let mut made: Vec<_> = state.versions.values().filter(|made| made.asset == asset).collect();
        made.sort_by_key(|made| std::cmp::Reverse(made.created_at));
        Ok(made.into_iter().take(limit as usize).cloned().collect())
    }

    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>> {
        Ok(self.lock().runs.values().rev().take(limit as usize).map(record).collect())
    }

    async fn runs_like(&self, digits: &str) -> Result<Vec<RunRecord>> {
        let like = |run: &&Run| {
            let id = run.new.run_id.0.simple().to_string();
            id.starts_with(digits) || id.ends_with(digits)
        };
        Ok(self.lock().runs.values().filter(like).map(record).collect())
    }

    async fn steps(&self, run_id: RunId) -> Result<Vec<StepRecord>> {
        Ok(self.lock().runs.get(&run_id).map(|run| run.steps.clone()).unwrap_or_default())
    }

    async fn outputs(&self, run_id: RunId) -> Result<Vec<OutputRecord>> {
        Ok(self.lock().runs.get(&run_id).map(|run| run.outputs.clone()).unwrap_or_default())
    }

    async fn events(&self, run_id: RunId, after: i64) -> Result<Vec<EventRecord>> {
        let state = self.lock();
        let events = state.runs.get(&run_id).into_iter().flat_map(|run| &run.events);
        Ok(events.filter(|event| event.event_id > after).cloned().collect())
    }

    async fn versions_in_use(&self) -> Result<HashSet<Version>> {
        let state = self.lock();
        let live = |run_id: &RunId| {
            state.runs.get(run_id).is_some_and(|run| run.status == RunStatus::Started)
        };
        let current = state.catalog.values().flat_map(|catalog| catalog.values());
        let mut used: HashSet<Version> =
            current.filter_map(|current| current.published.map(|(version, _)| version)).collect();
        used.extend(state.runs.values().flat_map(|run| run.new.pins.iter().copied()));
        let running = state.attempts.values().filter(|a| a.status == AttemptStatus::Running);
        used.extend(running.map(|attempt| attempt.new.version));
        let live_outputs = state.runs.values().filter(|run| live(&run.new.run_id));
        used.extend(live_outputs.flat_map(|run| run.outputs.iter().map(|output| output.version)));
        let of_live = state.versions.iter().filter(|(_, made)| live(&made.run_id));
        used.extend(of_live.map(|(version, _)| *version));
        Ok(used)
    }
}

fn record(run: &Run) -> RunRecord {
    let mut steps = BTreeMap::new();
    for step in &run.steps {
        *steps.entry(step.state.to_string()).or_insert(0) += 1;
    }
    RunRecord {
        run_id: run.new.run_id,
        environment: run.new.environment.clone(),
        selection: run.new.selection.clone(),
        status: run.status,
        tags: run.new.tags.clone(),
        job: run.new.job.clone(),
        parent: run.new.parent,
        root: run.new.root,
        config: run.new.config.clone(),
        created_at: run.new.at,
        ended_at: run.ended_at,
        error: run.error.clone(),
        steps,
    }
}
