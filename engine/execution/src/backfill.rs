//! Backfills: sets of partitions of several assets that are made, however many runs it takes.
//!
//! A backfill is remembered with the keys that it is about, so that it can go on after a crash, a
//! stop or a failure with just what is not made yet. Each attempt is one run, in which a step makes
//! as many partitions as the policy of its asset says; steps go in the order of their dependencies,
//! and one that fails takes only those along that read it.

mod queued;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::{AssetKey, PartitionExpr, PartitionSet};
use arrowsmith_instance::{
    BackfillId, BackfillRecord, BackfillStatus, ProcessIdentity, RunId, RunRecord, RunStatus,
    StepState,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::executor::micros;
use crate::partitions::AssetPartitions;
use crate::{Engine, Error, Observer, Plan, PlanRequest, Result, RunOptions, RunReport};

/// How long a backfill is believed to live without another word.
const LEASE: Duration = Duration::from_secs(30);
/// How often it gives one, and looks whether it was asked to stop.
const HEARTBEAT: Duration = Duration::from_secs(1);

/// How far a backfill is.
#[derive(Debug)]
pub struct BackfillProgress {
    /// What is remembered of it.
    pub record: BackfillRecord,
    /// Its runs, oldest first.
    pub runs: Vec<RunRecord>,
    /// By asset, in the order of their names.
    pub assets: Vec<AssetProgress>,
}

/// How far a backfill is with one asset.
#[derive(Debug)]
pub struct AssetProgress {
    /// The asset.
    pub asset: AssetKey,
    /// Its partitions; `None` if it has none.
    pub partitions: Option<Arc<AssetPartitions>>,
    /// What the backfill is to make: of an asset without partitions a single thing.
    pub target: PartitionSet,
    /// What it has made.
    pub made: PartitionSet,
    /// What is being made now.
    pub running: PartitionSet,
    /// What failed, or was not begun because something before it failed.
    pub failed: PartitionSet,
}

impl AssetProgress {
    /// What is still to be made.
    pub fn left(&self) -> PartitionSet {
        self.target.difference(&self.made)
    }
}

impl BackfillProgress {
    /// Whether everything is made.
    pub fn is_done(&self) -> bool {
        self.assets.iter().all(|asset| asset.left().is_empty())
    }
}

impl Engine {
    /// Plans a backfill and remembers it. [`run_backfill`](Self::run_backfill) carries it out.
    ///
    /// # Errors
    /// As [`plan_request`](Self::plan_request).
    pub async fn start_backfill(
        &self,
        request: &PlanRequest,
        tags: BTreeMap<String, String>,
    ) -> Result<(BackfillRecord, Plan)> {
        let (record, plan) = self.new_backfill(request, tags).await?;
        self.instance.save_backfill(record.clone()).await?;
        Ok((record, plan))
    }

    async fn new_backfill(
        &self,
        request: &PlanRequest,
        tags: BTreeMap<String, String>,
    ) -> Result<(BackfillRecord, Plan)> {
        let plan = self.plan_request(request).await?;
        let mut target = plan.partitions.clone();
        for asset in plan.steps.iter().flat_map(|step| step.node.assets()) {
            target.entry(asset.to_string()).or_default();
        }
        // A set such as `all` or `missing` would be another one tomorrow.
        for (asset, set) in &mut target {
            if let Some(partitions) = self.partitions_named(asset).await? {
                *set = partitions.keys.exact_expression(&evaluate(&partitions, set));
            }
        }
        let now = self.clock.now();
        let record = BackfillRecord {
            backfill_id: BackfillId(Uuid::now_v7()),
            environment: self.environment.clone(),
            status: BackfillStatus::Requested,
            selection: plan.selection.clone(),
            target,
            tags,
            process: ProcessIdentity::current(),
            lease_until: now + micros(LEASE),
            created_at: now,
            ended_at: None,
            error: None,
        };
        Ok((record, plan))
    }

    /// Plans what a backfill has not made yet. An empty plan means that nothing is left.
    ///
    /// # Errors
    /// `BackfillRuns` while another process carries it out; as `plan_request`.
    pub async fn resume_backfill(&self, id: &str) -> Result<(BackfillRecord, Plan)> {
        let (record, plan) = self.left_of_backfill(id).await?;
        if !plan.is_empty() {
            self.instance.save_backfill(record.clone()).await?;
        }
        Ok((record, plan))
    }

    async fn left_of_backfill(&self, id: &str) -> Result<(BackfillRecord, Plan)> {
        let progress = self.backfill_progress(id).await?;
        let mut record = progress.record.clone();
        if !record.status.is_final() {
            return Err(Error::BackfillRuns { backfill: record.backfill_id.short() });
        }
        let mut left = BTreeMap::new();
        let mut selected = Vec::new();
        for asset in &progress.assets {
            let set = asset.left();
            if set.is_empty() {
                continue;
            }
            selected.push(asset.asset.to_string());
            if let Some(partitions) = &asset.partitions {
                left.insert(asset.asset.to_string(), partitions.keys.expression(&set));
            }
        }
        let selection = selected.join(" or ");
        if selected.is_empty() {
            return Ok((record, Plan::nothing(&self.environment)));
        }
        let plan = self.plan_request(&PlanRequest::new(selection).with_told(&left)).await?;
        let now = self.clock.now();
        record.status = BackfillStatus::Requested;
        record.process = ProcessIdentity::current();
        record.lease_until = now + micros(LEASE);
        (record.ended_at, record.error) = (None, None);
        Ok((record, plan))
    }

    /// Carries out the plan of a backfill and remembers how it ended. Another process can stop it by
    /// [`cancel_backfill`](Self::cancel_backfill).
    ///
    /// # Errors
    /// Only of the instance; failures of steps are in the report.
    pub async fn run_backfill(
        self: &Arc<Self>,
        record: BackfillRecord,
        plan: Plan,
        options: RunOptions,
        cancel: CancellationToken,
        observer: Arc<dyn Observer>,
    ) -> Result<RunReport> {
        let id = record.backfill_id;
        let options = RunOptions { backfill: Some(id), tags: record.tags.clone(), ..options };
        let mut work = Box::pin(self.run(plan, options, cancel.clone(), observer));
        let report = loop {
            tokio::select! {
                report = &mut work => break report,
                () = self.clock.sleep(HEARTBEAT) => {
                    let lease_until = self.clock.now() + micros(LEASE);
                    let alive = BackfillRecord { lease_until, ..record.clone() };
                    self.instance.save_backfill(alive).await?;
                    let known = self.instance.backfill(&id.to_string()).await?;
                    if known.status == BackfillStatus::Canceling {
                        cancel.cancel();
                    }
                }
            }
        };
        let (status, error) = match &report {
            Err(error) => (BackfillStatus::Failed, Some(crate::error::chain(error))),
            Ok(report) => match report.status {
                RunStatus::Success => (BackfillStatus::CompletedSuccess, None),
                RunStatus::Canceled => (BackfillStatus::Canceled, None),
                _ => (BackfillStatus::CompletedFailed, report.error.clone()),
            },
        };
        let ended_at = Some(self.clock.now());
        self.instance.save_backfill(BackfillRecord { status, ended_at, error, ..record }).await?;
        report
    }

    /// Asks a backfill to stop, wherever it runs. What it has made stays.
    ///
    /// # Errors
    /// `BackfillEnded`.
    pub async fn cancel_backfill(&self, id: &str) -> Result<BackfillRecord> {
        let mut record = self.instance.backfill(id).await?;
        if record.status.is_final() {
            let (backfill, status) = (record.backfill_id.short(), record.status);
            return Err(Error::BackfillEnded { backfill, status });
        }
        if record.waits() {
            let runs = self.instance.runs_of_backfill(record.backfill_id).await?;
            for run in runs.iter().filter(|run| run.status == RunStatus::Queued) {
                self.instance.cancel_run(run.run_id, self.clock.now()).await?;
            }
            self.instance.recover(self.clock.now()).await?;
            let now = self.instance.backfill(id).await?;
            if now.status.is_final() {
                return Ok(now);
            }
            record = now;
        }
        record.status = BackfillStatus::Canceling;
        self.instance.save_backfill(record.clone()).await?;
        Ok(record)
    }

    /// How far a backfill is.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn backfill_progress(&self, id: &str) -> Result<BackfillProgress> {
        let record = self.instance.backfill(id).await?;
        let runs = self.instance.runs_of_backfill(record.backfill_id).await?;
        let mut assets = Vec::new();
        let mut steps = Vec::new();
        if let Some(last) = runs.last() {
            steps = self.instance.steps(last.run_id).await?;
        }
        let run_ids: HashSet<RunId> = runs.iter().map(|run| run.run_id).collect();
        let pointers = self.instance.pointers(&self.environment).await?;
        for (name, told) in &record.target {
            let Ok(asset) = name.parse::<AssetKey>() else { continue };
            let partitions = self.partitions_named(name).await?.map(Arc::new);
            let mut progress = AssetProgress {
                target: PartitionSet::first(1),
                made: PartitionSet::empty(),
                running: PartitionSet::empty(),
                failed: PartitionSet::empty(),
                partitions,
                asset,
            };
            if let Some(partitions) = progress.partitions.clone() {
                progress.target = evaluate(&partitions, told);
                progress.made = self.made_by(&partitions, &progress.target, &run_ids).await?;
            } else if pointers.get(name).is_some_and(|made| run_ids.contains(&made.run_id)) {
                progress.made = PartitionSet::first(1);
            }
            for step in &steps {
                let Some(set) = of_step(&progress, &step.step_key) else { continue };
                match step.state {
                    StepState::Running | StepState::UpForRetry => progress.running.extend(&set),
                    StepState::Failure | StepState::Skipped => progress.failed.extend(&set),
                    _ => {}
                }
            }
            progress.failed = progress.failed.difference(&progress.made);
            assets.push(progress);
        }
        Ok(BackfillProgress { record, runs, assets })
    }

    async fn partitions_named(&self, asset: &str) -> Result<Option<AssetPartitions>> {
        match asset.parse::<AssetKey>() {
            Ok(key) => self.partitions(&key).await,
            Err(_) => Ok(None),
        }
    }

    /// Those of a set that are current by one of these runs.
    async fn made_by(
        &self,
        partitions: &AssetPartitions,
        set: &PartitionSet,
        runs: &HashSet<RunId>,
    ) -> Result<PartitionSet> {
        let versions: Vec<_> = partitions.versions(set).into_keys().collect();
        let made = self.instance.version_summaries(&versions).await?;
        let ours: HashSet<_> =
            made.iter().filter(|m| runs.contains(&m.run_id)).map(|made| made.version).collect();
        let is_ours = |index: &u32| {
            partitions.current(*index).is_some_and(|pointer| ours.contains(&pointer.version))
        };
        Ok(set.iter().filter(is_ours).collect())
    }
}

fn evaluate(partitions: &AssetPartitions, told: &str) -> PartitionSet {
    let expr = told.parse::<PartitionExpr>().ok();
    let set = expr.and_then(|expr| expr.evaluate(&partitions.keys, &partitions.materialized).ok());
    set.unwrap_or_default()
}

/// The partitions that a step of an asset makes, by its key.
fn of_step(progress: &AssetProgress, step: &str) -> Option<PartitionSet> {
    let rest = step.strip_prefix(progress.asset.as_str())?;
    let Some(partitions) = &progress.partitions else {
        return (rest.is_empty() || rest.starts_with('.')).then(|| PartitionSet::first(1));
    };
    Some(partitions.of_step(rest)?.intersection(&progress.target))
}
