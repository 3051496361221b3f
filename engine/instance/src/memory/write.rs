//! Requests, applied one after the other under one lock.

use std::sync::Arc;

use arrowsmith_io_manager::Version;
use uuid::Uuid;

use super::{Attempt, Memory, Run, State};
use crate::request::{self, Reply, Request};
use crate::{
    AttemptStatus, BackfillRecord, BackfillStatus, EndAttempt, EndRun, EndStep, Event, EventRecord,
    Materialization, NewAttempt, NewOutput, NewRun, NewVersion, OutputRecord, PartitionPointer,
    Publish, Published, Refusal, ReplaceSteps, ReusedVersion, RunId, RunStatus, StepRecord,
    StepState, Target, TimeMicros,
};

impl Memory {
    pub(crate) fn apply_one(&self, request: &Request) -> Reply {
        self.lock().apply(request)
    }
}

impl State {
    fn apply(&mut self, request: &Request) -> Reply {
        match request {
            Request::StartRun(run) => {
                self.start_run(run);
                return Reply::Was(true);
            }
            Request::Operate(_) => return Reply::NoDatabase,
            Request::Renew { run_id, lease_until } => {
                if let Some(run) = self.runs.get_mut(run_id) {
                    run.new.lease_until = *lease_until;
                }
            }
            Request::Begin(attempts) => {
                for new in attempts {
                    self.begin(new);
                }
            }
            Request::Publish(publish) => return Reply::Published(self.publish(publish)),
            Request::EndAttempt(end) => self.end_attempt(end),
            Request::EndSteps(ends) => {
                for end in ends {
                    self.end_step(end);
                }
            }
            Request::ReplaceSteps(replace) => self.replace_steps(replace),
            Request::Tell(told) => {
                for tell in told {
                    let (step, asset) = (tell.step_key.as_deref(), tell.asset.as_deref());
                    self.tell(tell.run_id, step, asset, tell.at, tell.event.clone());
                }
            }
            Request::EndRun(end) => self.end_run(end),
            Request::Condemn { versions, .. } => {
                let used = self.in_use();
                let free: Vec<Version> =
                    versions.iter().filter(|version| !used.contains(version)).copied().collect();
                for version in &free {
                    self.versions.remove(version);
                }
                return Reply::Condemned(free);
            }
            Request::Restore { environment, versions, at } => {
                let restored = versions.iter().map(|new| self.restore(environment, new, *at));
                return Reply::Restored(restored.sum());
            }
            Request::SetProvenance(of) => self.provenance.extend(of.iter().cloned()),
            Request::RememberDigests(digests) => {
                for of in digests {
                    let key = (of.version, of.partition_key.clone(), of.scan.clone());
                    self.digests.entry(key).or_insert_with(|| of.clone());
                }
            }
            Request::RememberCode { code, text } => {
                self.codes.entry(code.clone()).or_insert_with(|| text.clone());
            }
            Request::SetDynamicPartitions { name, add, remove, .. } => {
                let keys = self.dynamic_partitions.entry(name.clone()).or_default();
                keys.retain(|key| !remove.contains(key));
                for key in add {
                    if !keys.contains(key) {
                        keys.push(key.clone());
                    }
                }
            }
            Request::SaveBackfill(backfill) => self.save_backfill(backfill),
        }
        Reply::Done
    }

    fn start_run(&mut self, new: &NewRun) {
        let positions = new.steps.iter().enumerate().map(|(at, key)| (key.clone(), at)).collect();
        let run = Run {
            steps: new.steps.iter().map(|key| planned(key)).collect(),
            positions,
            new: new.clone(),
            status: RunStatus::Started,
            ended_at: None,
            error: None,
            running: Vec::new(),
            events: Vec::new(),
            outputs: Vec::new(),
        };
        self.runs.insert(new.run_id, run);
        self.tell(new.run_id, None, None, new.at, Event::RunStart { steps: new.steps.len() });
    }

    fn tell(
        &mut self,
        run_id: RunId,
        step: Option<&str>,
        asset: Option<&str>,
        at: TimeMicros,
        event: Event,
    ) {
        self.event_count += 1;
        let record = EventRecord {
            event_id: self.event_count,
            at,
            step_key: step.map(str::to_owned),
            asset: asset.map(str::to_owned),
            event,
        };
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.events.push(record);
        }
    }

    fn step(&mut self, run_id: RunId, key: &str) -> Option<&mut StepRecord> {
        let run = self.runs.get_mut(&run_id)?;
        let at = *run.positions.get(key)?;
        run.steps.get_mut(at)
    }

    fn begin(&mut self, new: &NewAttempt) {
        let catalog = self.catalog.entry(new.environment.clone()).or_default();
        let mut epochs = Vec::with_capacity(new.targets.len());
        for target in &new.targets {
            let current = catalog.entry(target.clone()).or_default();
            current.epoch += 1;
            epochs.push(current.epoch);
        }
        if let Some(step) = self.step(new.run_id, &new.step_key) {
            step.state = StepState::Running;
            step.attempt = new.number;
            step.started_at = Some(new.at);
        }
        self.tell(new.run_id, Some(&new.step_key), None, new.at, new.event());
        if let Some(run) = self.runs.get_mut(&new.run_id) {
            run.running.push(new.attempt_id);
        }
        self.attempts.insert(new.attempt_id, Attempt::Running { new: new.clone(), epochs });
    }

    fn refusal(&self, publish: &Publish) -> Option<Refusal> {
        let fences = match self.attempts.get(&publish.attempt.attempt_id) {
            Some(Attempt::Running { new, epochs }) => Some((new, epochs)),
            Some(Attempt::Ended(status)) => return Some(Refusal::NotRunning(*status)),
            None if publish.begins => None,
            None => return Some(Refusal::Unknown),
        };
        match self.runs.get(&publish.attempt.run_id).map(|run| run.status) {
            None => return Some(Refusal::Unknown),
            Some(RunStatus::Started) => {}
            Some(status) => return Some(Refusal::RunEnded(status)),
        }
        let is_newest = |(new, epochs): (&NewAttempt, &Vec<i64>)| {
            let catalog = self.catalog.get(&new.environment);
            new.targets.iter().zip(epochs).all(|(target, epoch)| {
                catalog.and_then(|c| c.get(target)).is_some_and(|current| current.epoch == *epoch)
            })
        };
        if !fences.is_none_or(is_newest) {
            return Some(Refusal::Superseded);
        }
        let is_stored = |old: &ReusedVersion| self.versions.contains_key(&old.version);
        (!publish.reused.iter().all(is_stored)).then_some(Refusal::Removed)
    }

    fn publish(&mut self, publish: &Publish) -> Published {
        if let Some(refusal) = self.refusal(publish) {
            return Published::No(refusal);
        }
        let NewAttempt { attempt_id, run_id, step_key, environment, .. } = &*publish.attempt;
        let (attempt_id, run_id, raises) = (*attempt_id, *run_id, i64::from(publish.begins));
        for new in &publish.versions {
            let made = materialization(new, run_id, publish.at, publish.duration_us);
            self.make_current(environment, new, made, raises);
        }
        for old in &publish.reused {
            self.point_to(environment, old, publish.at, raises);
        }
        self.end_running(run_id, attempt_id, AttemptStatus::Success);
        if let Some(step) = self.step(run_id, step_key) {
            let (rows, bytes) = publish.totals();
            step.state = publish.state();
            step.attempt = publish.attempt.number;
            step.started_at = Some(publish.attempt.at);
            step.ended_at = Some(publish.at);
            (step.row_count, step.size_bytes) = (Some(rows), Some(bytes));
            step.reason = None;
        }
        if let Some(run) = self.runs.get_mut(&run_id) {
            let emitted = publish.outputs.iter().map(|o| output(step_key, o));
            run.outputs.extend(emitted);
            run.new.pins.extend(publish.reused.iter().map(|old| old.version));
        }
        if publish.begins {
            self.tell(run_id, Some(step_key), None, publish.attempt.at, publish.attempt.event());
        }
        for (asset, event) in publish.events() {
            self.tell(run_id, Some(step_key), asset, publish.at, event.into_owned());
        }
        Published::Yes
    }

    fn save_backfill(&mut self, backfill: &BackfillRecord) {
        let mut backfill = backfill.clone();
        if let Some(known) = self.backfills.get(&backfill.backfill_id)
            && known.status == BackfillStatus::Canceling
            && backfill.status == BackfillStatus::Requested
            && known.process == backfill.process
        {
            backfill.status = known.status;
        }
        self.backfills.insert(backfill.backfill_id, backfill);
    }

    /// With it the epochs rise by `raises`.
    fn make_current(
        &mut self,
        environment: &str,
        new: &NewVersion,
        made: Materialization,
        raises: i64,
    ) {
        let (version, published_at) = (new.stored.version, made.created_at);
        self.provenance.extend(new.provenance.clone().map(|of| (version, of)));
        self.versions.insert(version, made);
        if new.keeps_others {
            self.partitioned.insert((environment.to_owned(), new.asset.clone()));
        } else {
            self.cut(environment, &new.asset, new.partitions.is_empty());
        }
        let of = (environment, new.asset.as_str(), version);
        self.set_current(of, new.tables(), published_at, raises);
    }

    fn point_to(&mut self, environment: &str, old: &ReusedVersion, at: TimeMicros, raises: i64) {
        self.cut(environment, &old.asset, old.partitions.is_empty());
        self.set_current((environment, &old.asset, old.version), old.tables(), at, raises);
    }

    /// A table that is cut otherwise than before has only the new pieces.
    fn cut(&mut self, environment: &str, asset: &str, is_whole: bool) {
        let catalog = self.catalog.entry(environment.to_owned()).or_default();
        let table = (environment.to_owned(), asset.to_owned());
        if !is_whole {
            let whole = Target { asset: asset.to_owned(), partition_key: String::new() };
            if let Some(current) = catalog.get_mut(&whole) {
                current.published = None;
            }
            self.partitioned.insert(table);
        } else if self.partitioned.remove(&table) {
            let pieces = catalog.iter_mut().filter(|(target, _)| target.asset == asset);
            pieces.for_each(|(_, current)| current.published = None);
        }
    }

    fn set_current<'a>(
        &mut self,
        (environment, asset, version): (&str, &str, Version),
        tables: impl Iterator<Item = request::Current<'a>>,
        published_at: TimeMicros,
        raises: i64,
    ) {
        let catalog = self.catalog.entry(environment.to_owned()).or_default();
        for (key, row_count, size_bytes) in tables {
            let partition_key = key.unwrap_or_default().to_owned();
            let target = Target { asset: asset.to_owned(), partition_key: partition_key.clone() };
            let pointer =
                PartitionPointer { partition_key, version, published_at, row_count, size_bytes };
            let current = catalog.entry(target).or_default();
            current.epoch += raises;
            current.published = Some(pointer);
        }
    }

    fn end_running(&mut self, run_id: RunId, attempt_id: Uuid, status: AttemptStatus) -> bool {
        if let Some(run) = self.runs.get_mut(&run_id) {
            run.running.retain(|running| *running != attempt_id);
        }
        match self.attempts.insert(attempt_id, Attempt::Ended(status)) {
            Some(Attempt::Ended(ended)) => {
                self.attempts.insert(attempt_id, Attempt::Ended(ended));
                false
            }
            before => before.is_some(),
        }
    }

    fn end_attempt(&mut self, end: &EndAttempt) {
        if !self.end_running(end.run_id, end.attempt_id, end.status) {
            return;
        }
        self.set_step(end.run_id, &end.step_key, end.state, &end.reason, end.at);
        self.tell(end.run_id, Some(&end.step_key), None, end.at, end.event.clone());
    }

    /// Whether the step was open until now.
    fn set_step(
        &mut self,
        run_id: RunId,
        key: &str,
        state: StepState,
        reason: &str,
        at: TimeMicros,
    ) -> bool {
        match self.step(run_id, key) {
            Some(step) if !step.state.is_final() => {
                step.state = state;
                step.reason = Some(reason.to_owned());
                step.ended_at = Some(at);
                true
            }
            _ => false,
        }
    }

    fn end_step(&mut self, end: &EndStep) {
        if self.set_step(end.run_id, &end.step_key, end.state, &end.reason, end.at) {
            self.tell(end.run_id, Some(&end.step_key), None, end.at, end.event());
        }
    }

    fn replace_steps(&mut self, replace: &ReplaceSteps) {
        let Some(run) = self.runs.get_mut(&replace.run_id) else { return };
        run.steps.retain(|step| !replace.old.contains(&step.step_key));
        run.steps.extend(replace.new.iter().map(|key| planned(key)));
        let keys = run.steps.iter().enumerate();
        run.positions = keys.map(|(at, step)| (step.step_key.clone(), at)).collect();
    }

    fn end_run(&mut self, end: &EndRun) {
        let Some(run) = self.runs.get_mut(&end.run_id) else { return };
        if run.status != RunStatus::Started {
            return;
        }
        run.status = end.status;
        run.ended_at = Some(end.at);
        run.error.clone_from(&end.error);
        run.new.pins.clear();
        let (attempt, state) = end.states();
        let reason = end.error.clone().unwrap_or_default();
        for step in run.steps.iter_mut().filter(|step| !step.state.is_final()) {
            let planned = step.state == StepState::Planned;
            step.state = if planned { StepState::Canceled } else { state };
            step.reason = Some(reason.clone());
            step.ended_at = Some(end.at);
        }
        for running in std::mem::take(&mut run.running) {
            self.end_running(end.run_id, running, attempt);
        }
        self.tell(end.run_id, None, None, end.at, end.event());
    }

    /// Makes those tables current that had nothing until now; returns how many.
    fn restore(&mut self, environment: &str, new: &NewVersion, at: TimeMicros) -> usize {
        let run = new.stored.labels.get("run").and_then(|run| Uuid::parse_str(run).ok());
        let made = materialization(new, RunId(run.unwrap_or_default()), at, 0);
        let catalog = self.catalog.get(environment);
        let has_current = |key: &str| {
            let target = Target { asset: new.asset.clone(), partition_key: key.to_owned() };
            let current = catalog.and_then(|catalog| catalog.get(&target));
            current.is_some_and(|current| current.published.is_some())
        };
        let mut new = new.clone();
        let is_whole = new.partitions.is_empty();
        new.partitions.retain(|partition| !has_current(&partition.key));
        if (is_whole && has_current("")) || (!is_whole && new.partitions.is_empty()) {
            self.versions.entry(new.stored.version).or_insert(made);
            return 0;
        }
        let restored = new.tables().count();
        self.make_current(environment, &new, made, 1);
        restored
    }
}

fn planned(key: &str) -> StepRecord {
    StepRecord {
        step_key: key.to_owned(),
        state: StepState::Planned,
        attempt: 0,
        started_at: None,
        ended_at: None,
        row_count: None,
        size_bytes: None,
        reason: None,
    }
}

fn output(step_key: &str, new: &NewOutput) -> OutputRecord {
    OutputRecord {
        step_key: step_key.to_owned(),
        output: new.output.clone(),
        mapping_key: new.mapping_key.clone(),
        asset: new.asset.clone(),
        io_manager: new.io_manager.clone(),
        version: new.version,
        metadata: new.metadata.clone(),
        stored: new.stored.clone(),
    }
}

fn materialization(
    new: &NewVersion,
    run_id: RunId,
    at: TimeMicros,
    duration_us: u64,
) -> Materialization {
    Materialization {
        asset: new.asset.clone(),
        run_id,
        created_at: at,
        duration_us,
        io_manager: new.io_manager.clone(),
        code_version: new.code_version.clone(),
        inputs: new.inputs.clone(),
        metadata: new.metadata.clone(),
        stored: Arc::clone(&new.stored),
    }
}
