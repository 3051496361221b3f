//! Questions, each answered under the lock.

use std::collections::{BTreeMap, HashSet};

use arrowsmith_io_manager::Version;
use async_trait::async_trait;

use super::{Attempt, Memory, Run, State};
use crate::storage::Reader;
use crate::{
    BackfillId, BackfillRecord, DigestRecord, EventRecord, Materialization, OutputRecord,
    PartitionPointer, PartitionTotals, Pointer, Result, RunId, RunRecord, RunStatus, StepRecord,
    StoredVersion, TimeMicros, VersionSummary,
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
            let current = current.published.as_ref().filter(|_| target.partition_key.is_empty())?;
            let made = state.versions.get(&current.version)?;
            let pointer = Pointer {
                asset: target.asset.clone(),
                version: current.version,
                run_id: made.run_id,
                published_at: current.published_at,
                row_count: current.row_count,
                size_bytes: current.size_bytes,
                code_version: made.code_version.clone(),
                io_manager: made.io_manager.clone(),
            };
            Some((target.asset.clone(), pointer))
        });
        Ok(pointer.collect())
    }

    async fn partitions(&self, environment: &str, asset: &str) -> Result<Vec<PartitionPointer>> {
        let state = self.lock();
        let tables = state.catalog.get(environment).into_iter().flatten();
        let partitions =
            tables.filter(|(target, _)| target.asset == asset && !target.partition_key.is_empty());
        Ok(partitions.filter_map(|(_, current)| current.published.clone()).collect())
    }

    async fn partition_totals(
        &self,
        environment: &str,
    ) -> Result<BTreeMap<String, PartitionTotals>> {
        let state = self.lock();
        let mut totals: BTreeMap<String, PartitionTotals> = BTreeMap::new();
        for (target, current) in state.catalog.get(environment).into_iter().flatten() {
            let Some(current) = &current.published else { continue };
            if target.partition_key.is_empty() {
                continue;
            }
            let total = totals.entry(target.asset.clone()).or_default();
            total.partitions += 1;
            total.row_count += current.row_count;
            total.size_bytes += current.size_bytes;
            total.published_at = total.published_at.max(current.published_at);
        }
        Ok(totals)
    }

    async fn version_summaries(&self, versions: &[Version]) -> Result<Vec<VersionSummary>> {
        let state = self.lock();
        let summary = |version: &Version| {
            let made = state.versions.get(version)?;
            Some(VersionSummary {
                version: *version,
                run_id: made.run_id,
                code_version: made.code_version.clone(),
                inputs: made.inputs.clone(),
                provenance: state.provenance.get(version).cloned(),
            })
        };
        Ok(versions.iter().filter_map(summary).collect())
    }

    async fn stored_versions(
        &self,
        asset: &str,
        code: &str,
        limit: u32,
    ) -> Result<Vec<StoredVersion>> {
        let state = self.lock();
        let made = state.versions.iter().filter(|(_, made)| made.asset == asset);
        let stored = made.filter_map(|(version, made)| {
            let provenance = state.provenance.get(version)?.clone();
            let partitions = made.stored.partitions.clone();
            let is_it = provenance.code == code;
            is_it.then_some(StoredVersion { version: *version, partitions, provenance })
        });
        let mut stored: Vec<StoredVersion> = stored.collect();
        stored.sort_by_key(|stored| std::cmp::Reverse(stored.version));
        stored.truncate(limit as usize);
        Ok(stored)
    }

    async fn digests(&self, versions: &[Version]) -> Result<Vec<DigestRecord>> {
        let state = self.lock();
        let of_version = |version: &Version| {
            let from = (*version, String::new(), String::new());
            let known = state.digests.range(from..).take_while(move |(key, _)| key.0 == *version);
            known.map(|(_, of)| of.clone()).collect::<Vec<_>>()
        };
        Ok(versions.iter().flat_map(of_version).collect())
    }

    async fn code(&self, code: &str) -> Result<Option<String>> {
        Ok(self.lock().codes.get(code).cloned())
    }

    async fn dynamic_partitions(&self, name: &str) -> Result<Vec<String>> {
        Ok(self.lock().dynamic_partitions.get(name).cloned().unwrap_or_default())
    }

    async fn backfills(&self, limit: u32) -> Result<Vec<BackfillRecord>> {
        Ok(self.lock().backfills.values().rev().take(limit as usize).cloned().collect())
    }

    async fn backfills_like(&self, digits: &str) -> Result<Vec<BackfillRecord>> {
        let like = |backfill: &&BackfillRecord| is_like(backfill.backfill_id.0, digits);
        Ok(self.lock().backfills.values().filter(like).cloned().collect())
    }

    async fn runs_of_backfill(&self, backfill: BackfillId) -> Result<Vec<RunRecord>> {
        let is_part = |run: &&Run| run.new.backfill == Some(backfill);
        Ok(self.lock().runs.values().filter(is_part).map(record).collect())
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
        let like = |run: &&Run| is_like(run.new.run_id.0, digits);
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
        Ok(self.lock().in_use())
    }
}

impl State {
    /// Versions that must stay.
    pub(super) fn in_use(&self) -> HashSet<Version> {
        let live = |run_id: &RunId| {
            self.runs.get(run_id).is_some_and(|run| run.status == RunStatus::Started)
        };
        let current = self.catalog.values().flat_map(|catalog| catalog.values());
        let mut used: HashSet<Version> =
            current.filter_map(|current| Some(current.published.as_ref()?.version)).collect();
        used.extend(self.runs.values().flat_map(|run| run.new.pins.iter().copied()));
        used.extend(self.attempts.values().filter_map(|attempt| match attempt {
            Attempt::Running { new, .. } => Some(new.version),
            Attempt::Ended(_) => None,
        }));
        let live_outputs = self.runs.values().filter(|run| live(&run.new.run_id));
        used.extend(live_outputs.flat_map(|run| run.outputs.iter().map(|output| output.version)));
        let of_live = self.versions.iter().filter(|(_, made)| live(&made.run_id));
        used.extend(of_live.map(|(version, _)| *version));
        used
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
        partitions: run.new.partitions.clone(),
        backfill: run.new.backfill,
        created_at: run.new.at,
        started_at: Some(run.new.at),
        ended_at: run.ended_at,
        error: run.error.clone(),
        origin: None,
        launch: None,
        steps,
    }
}

/// Whether an id begins or ends with these digits.
fn is_like(id: uuid::Uuid, digits: &str) -> bool {
    let id = id.simple().to_string();
    id.starts_with(digits) || id.ends_with(digits)
}
