//! The run queue, ticks, leaders and slots of an [`Instance`].

use std::collections::HashMap;
use std::fmt;

use async_trait::async_trait;
use serde_json::Value;

use crate::browse::BrowseReader;
use crate::request::{Operate, Reply, Request};
use crate::{
    BackfillRecord, Counts, Error, EvaluationRecord, EventRecord, FailedRun, Forget,
    FreshnessChange, Happening, Heartbeat, Instance, InstigatorRecord, Lead, Leader, LiveRun,
    NewTick, ProcessIdentity, QueuedRun, Result, RunId, RunStatus, SetInstigator, SystemTable,
    TickRecord, Ticked, TimeMicros,
};

/// What the daemon asks of whatever keeps an instance; see [`Instance`] for what each means.
#[async_trait]
pub(crate) trait OperationsReader: BrowseReader + fmt::Debug {
    async fn live(&self, statuses: &[RunStatus]) -> Result<Vec<LiveRun>>;
    async fn cancel_requested(&self, run_id: RunId) -> Result<bool>;
    async fn failed(&self, limit: u32) -> Result<Vec<FailedRun>>;
    async fn instigators(&self) -> Result<Vec<InstigatorRecord>>;
    async fn ticks(&self, instigator: &str, limit: u32) -> Result<Vec<TickRecord>>;
    async fn heartbeats(&self) -> Result<Vec<Heartbeat>>;
    async fn happenings(&self, kinds: &[&str], after: i64, limit: u32) -> Result<Vec<Happening>>;
    async fn last_event(&self) -> Result<i64>;
    async fn last_tick(&self) -> Result<i64>;
    async fn migration(&self) -> Result<i64>;
    async fn system_rows(&self, table: &SystemTable, offset: u64, limit: u32)
    -> Result<Vec<Value>>;
    async fn failed_ticks_after(&self, after: i64) -> Result<Vec<TickRecord>>;
    async fn counts(&self) -> Result<Counts>;
    async fn conditions(&self) -> Result<HashMap<String, Value>>;
    async fn evaluations(&self, asset: &str, limit: u32) -> Result<Vec<EvaluationRecord>>;
    async fn freshness(&self) -> Result<Vec<FreshnessChange>>;
    async fn freshness_after(&self, after: i64) -> Result<Vec<FreshnessChange>>;
    async fn events_after(
        &self,
        kinds: &[&str],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(RunId, EventRecord)>>;
}

impl Instance {
    pub(crate) fn operations(&self) -> Result<&dyn OperationsReader> {
        self.operations.as_deref().ok_or(Error::NoDatabase)
    }

    async fn operate(&self, operate: Operate) -> Result<Reply> {
        match self.writer.send(Request::Operate(Box::new(operate))).await? {
            Reply::NoDatabase => Err(Error::NoDatabase),
            reply => Ok(reply),
        }
    }

    /// Puts runs into the queue, but for those that were queued for their key before.
    ///
    /// # Errors
    /// As all of these: `NoDatabase` if the instance is in memory.
    pub async fn enqueue(&self, runs: Vec<QueuedRun>) -> Result<Ticked> {
        ticked(self.operate(Operate::Enqueue(runs)).await?)
    }

    /// Remembers a backfill and puts the run that carries it out into the queue, in one transaction.
    pub async fn enqueue_backfill(&self, backfill: BackfillRecord, run: QueuedRun) -> Result<()> {
        let (backfill, run) = (Box::new(backfill), Box::new(run));
        self.operate(Operate::EnqueueBackfill { backfill, run }).await.map(|_| ())
    }

    /// Remembers a tick with all that it asks for, in one transaction, unless it was remembered
    /// before or another daemon leads by now.
    pub async fn tick(&self, tick: NewTick, leader: Option<Leader>) -> Result<Ticked> {
        ticked(self.operate(Operate::Tick { tick: Box::new(tick), leader }).await?)
    }

    /// Starts, stops or moves a schedule or sensor.
    pub async fn set_instigator(
        &self,
        name: &str,
        set: SetInstigator,
        at: TimeMicros,
    ) -> Result<()> {
        let name = name.to_owned();
        self.operate(Operate::SetInstigator { name, set, at }).await.map(|_| ())
    }

    /// Takes the lead, or keeps it, unless somebody else has it.
    pub async fn lead(
        &self,
        name: &str,
        owner: &str,
        now: TimeMicros,
        until: TimeMicros,
    ) -> Result<Lead> {
        let (name, owner) = (name.to_owned(), owner.to_owned());
        match self.operate(Operate::Lead { name, owner, now, until }).await? {
            Reply::Lead(lead) => Ok(lead),
            _ => Err(Error::Closed),
        }
    }

    /// Takes the lead from whoever calls itself so: it gives it back, or is known to be gone.
    pub async fn resign(&self, owner: &str) -> Result<()> {
        self.operate(Operate::Resign { owner: owner.to_owned() }).await.map(|_| ())
    }

    /// Takes a run out of the queue for a process that is going to begin it; `false` if it does not
    /// wait any more, or another daemon leads by now.
    pub async fn claim_run(
        &self,
        run_id: RunId,
        leader: Option<Leader>,
        process: ProcessIdentity,
        at: TimeMicros,
        lease_until: TimeMicros,
    ) -> Result<bool> {
        let times = [at, lease_until];
        was(self.operate(Operate::Claim { run_id, leader, process, times }).await?)
    }

    /// Puts a run back that was handed to a process and has not begun; `false` if it has, or if that
    /// has happened too often.
    pub async fn give_back(&self, run_id: RunId, at: TimeMicros) -> Result<bool> {
        was(self.operate(Operate::GiveBack { run_id, at }).await?)
    }

    /// Asks a run to stop, wherever it goes on; one that has not begun is over at once.
    pub async fn cancel_run(&self, run_id: RunId, at: TimeMicros) -> Result<()> {
        self.operate(Operate::Cancel { run_id, at }).await.map(|_| ())
    }

    /// Whether a run that goes on is to stop. Runs of an instance in memory are asked by nobody.
    pub async fn is_to_stop(&self, run_id: RunId) -> Result<bool> {
        match &self.operations {
            Some(operations) => operations.cancel_requested(run_id).await,
            None => Ok(false),
        }
    }

    /// Runs that wait, in the order in which they go first, and runs that go on.
    pub async fn queue(&self) -> Result<Vec<LiveRun>> {
        self.runs_that_are(&[RunStatus::Queued, RunStatus::Starting, RunStatus::Started]).await
    }

    /// Runs that stand in one of some ways, in the order in which they go first.
    pub async fn runs_that_are(&self, statuses: &[RunStatus]) -> Result<Vec<LiveRun>> {
        self.operations()?.live(statuses).await
    }

    /// The oldest failed runs of which nobody has decided whether they are tried again.
    pub async fn failed_runs(&self, limit: u32) -> Result<Vec<FailedRun>> {
        self.operations()?.failed(limit).await
    }

    /// Decides what becomes of a failed run: another run goes on with it, or none does. The first
    /// decision stands.
    pub async fn decide_retry(&self, failed: RunId, retry: Option<QueuedRun>) -> Result<()> {
        let retry = retry.map(Box::new);
        self.operate(Operate::DecideRetry { failed, retry }).await.map(|_| ())
    }

    /// Takes a slot of a pool that all runs of the instance share; `false` if none is free. A run in
    /// memory shares its pools with nobody.
    pub async fn take_slot(
        &self,
        pool: &str,
        limit: usize,
        run_id: RunId,
        step_key: &str,
        at: TimeMicros,
    ) -> Result<bool> {
        if self.operations.is_none() {
            return Ok(true);
        }
        let (pool, step_key) = (pool.to_owned(), step_key.to_owned());
        was(self.operate(Operate::TakeSlot { pool, limit, run_id, step_key, at }).await?)
    }

    /// Gives the slot of a step back.
    pub async fn free_slot(&self, run_id: RunId, step_key: &str) -> Result<()> {
        if self.operations.is_none() {
            return Ok(());
        }
        let step_key = step_key.to_owned();
        self.operate(Operate::FreeSlot { run_id, step_key }).await.map(|_| ())
    }

    /// What is known of schedules and sensors, in no order.
    pub async fn instigators(&self) -> Result<Vec<InstigatorRecord>> {
        self.operations()?.instigators().await
    }

    /// The newest ticks of a schedule or sensor, newest first.
    pub async fn ticks(&self, instigator: &str, limit: u32) -> Result<Vec<TickRecord>> {
        self.operations()?.ticks(instigator, limit).await
    }

    /// Remembers when duties last did their work.
    pub async fn beat(&self, beats: Vec<Heartbeat>) -> Result<()> {
        self.operate(Operate::Beat(beats)).await.map(|_| ())
    }

    /// When each duty last did its work.
    pub async fn heartbeats(&self) -> Result<Vec<Heartbeat>> {
        self.operations()?.heartbeats().await
    }

    /// Materializations after an event, oldest first.
    pub async fn materializations_after(&self, after: i64, limit: u32) -> Result<Vec<Happening>> {
        let kinds = ["ASSET_MATERIALIZATION", "ASSET_REUSED"];
        self.operations()?.happenings(&kinds, after, limit).await
    }

    /// Ends of runs after an event, oldest first.
    pub async fn ends_after(&self, after: i64, limit: u32) -> Result<Vec<Happening>> {
        let kinds = ["RUN_SUCCESS", "RUN_FAILURE", "RUN_CANCELED"];
        self.operations()?.happenings(&kinds, after, limit).await
    }

    /// The newest event.
    pub async fn last_event(&self) -> Result<i64> {
        self.operations()?.last_event().await
    }

    /// Rows of a table of what is remembered, as objects by the names of its columns.
    pub async fn system_rows(
        &self,
        table: &SystemTable,
        offset: u64,
        limit: u32,
    ) -> Result<Vec<Value>> {
        self.operations()?.system_rows(table, offset, limit).await
    }

    /// The newest migration of the database.
    pub async fn migration(&self) -> Result<i64> {
        self.operations()?.migration().await
    }

    /// The newest tick.
    pub async fn last_tick(&self) -> Result<i64> {
        self.operations()?.last_tick().await
    }

    /// Ticks after another that could not be evaluated, oldest first.
    pub async fn failed_ticks_after(&self, after: i64) -> Result<Vec<TickRecord>> {
        self.operations()?.failed_ticks_after(after).await
    }

    /// How much there is of everything.
    pub async fn counts(&self) -> Result<Counts> {
        self.operations()?.counts().await
    }

    /// What conditions of assets are to know at their next evaluation, by asset.
    pub async fn conditions(&self) -> Result<HashMap<String, Value>> {
        self.operations()?.conditions().await
    }

    /// The newest evaluations of the condition of an asset, newest first.
    pub async fn evaluations(&self, asset: &str, limit: u32) -> Result<Vec<EvaluationRecord>> {
        self.operations()?.evaluations(asset, limit).await
    }

    /// How assets stand to their freshness policies, in no order.
    pub async fn freshness(&self) -> Result<Vec<FreshnessChange>> {
        self.operations()?.freshness().await
    }

    /// How assets came to stand to their freshness policies after a change, oldest first.
    pub async fn freshness_after(&self, after: i64) -> Result<Vec<FreshnessChange>> {
        self.operations()?.freshness_after(after).await
    }

    /// Remembers how assets have come to stand to their freshness policies.
    pub async fn set_freshness(&self, states: Vec<(String, String)>, at: TimeMicros) -> Result<()> {
        self.operate(Operate::Freshness { states, at }).await.map(|_| ())
    }

    /// Events of some kinds after another, of all runs, oldest first. What a step has loaded and handed
    /// over is told of a run only.
    pub async fn events_after(
        &self,
        kinds: &[&str],
        after: i64,
        limit: u32,
    ) -> Result<Vec<(RunId, EventRecord)>> {
        self.operations()?.events_after(kinds, after, limit).await
    }

    /// Forgets what is old; returns how many ticks and how many events that were.
    pub async fn forget(&self, forget: Forget) -> Result<(i64, i64)> {
        match self.operate(Operate::Forget(forget)).await? {
            Reply::Forgotten { ticks, events } => Ok((ticks, events)),
            _ => Err(Error::Closed),
        }
    }
}

fn was(reply: Reply) -> Result<bool> {
    match reply {
        Reply::Was(was) => Ok(was),
        _ => Err(Error::Closed),
    }
}

fn ticked(reply: Reply) -> Result<Ticked> {
    match reply {
        Reply::Ticked(ticked) => Ok(ticked),
        _ => Err(Error::Closed),
    }
}
