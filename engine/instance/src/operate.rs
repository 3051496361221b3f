//! What the daemon does with an instance: the run queue, ticks, who leads, and slots of pools.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BackfillId, ProcessIdentity, RunId, RunStatus, TickStatus, TimeMicros};

/// What a queued run is to do, in the form in which it is stored.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Launch {
    /// The job; none for assets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// The assets, as a selection; of a job that of the job.
    #[serde(default)]
    pub selection: String,
    /// Which partitions, in the language of the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partitions: Option<String>,
    /// The partitions of single assets, in the place of `partitions`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partitions_of: BTreeMap<String, String>,
    /// Whether what is fresh is left out.
    #[serde(default)]
    pub only_needed: bool,
    /// The run config.
    #[serde(default)]
    pub config: Value,
    /// The run that it goes on with, and which of its steps are run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reexecute: Option<(RunId, Again)>,
    /// The backfill that it carries out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillId>,
}

/// Which steps of an earlier run are run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// All of them.
    All,
    /// Those that failed, and those that never ran.
    FromFailure,
    /// Those of a selection in the form of ops, such as `x*`.
    Select(String),
}

/// A run that comes into the queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueuedRun {
    /// Its id.
    pub run_id: RunId,
    /// Whose pointers it is to move.
    pub environment: String,
    /// What it is to do.
    pub launch: Launch,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i64,
    /// Who asks for it, such as `schedule:nightly`.
    pub origin: String,
    /// At most one run is ever queued for a key of the same origin.
    pub run_key: Option<String>,
    /// The run that it goes on with, if there is one.
    pub parent: Option<RunId>,
    /// The first run of which it is a continuation; itself, if of none.
    pub root: RunId,
    /// Now.
    pub at: TimeMicros,
}

/// A run that waits or goes on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LiveRun {
    /// Its id.
    pub run_id: RunId,
    /// How it stands.
    pub status: RunStatus,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i64,
    /// When it was queued or begun.
    pub created_at: TimeMicros,
    /// When it began.
    pub started_at: Option<TimeMicros>,
    /// Since when it is asked to stop.
    pub cancel_at: Option<TimeMicros>,
    /// Who runs it; of a queued run nobody.
    pub process: Option<ProcessIdentity>,
    /// Until when it is known to live without another word.
    pub lease_until: TimeMicros,
    /// How often it was handed to a process.
    pub launches: u32,
    /// What it is to do, if it was queued.
    pub launch: Option<Launch>,
}

/// A run that has failed, of which nobody has decided yet whether it is tried again.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct FailedRun {
    /// Its id.
    pub run_id: RunId,
    /// The first run of which it is a continuation.
    pub root: RunId,
    /// Whose pointers it moved.
    pub environment: String,
    /// What it was to do.
    pub launch: Launch,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// Higher goes first.
    pub priority: i64,
    /// Whether its process ended without a word.
    pub crashed: bool,
    /// Whether it had begun any step.
    pub began: bool,
}

/// A tick that is to be remembered with everything that it asks for, in one transaction.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTick {
    /// Who ticks, such as `schedule:nightly`.
    pub instigator: String,
    /// For which moment.
    pub scheduled_at: TimeMicros,
    /// When it was looked at.
    pub began_at: TimeMicros,
    /// When that was done.
    pub ended_at: TimeMicros,
    /// How it went.
    pub status: TickStatus,
    /// Why nothing is asked for, or what went wrong.
    pub reason: Option<String>,
    /// What the next tick is to know; what is known stays if it is open.
    pub cursor: Option<String>,
    /// The runs that it asks for.
    pub runs: Vec<QueuedRun>,
    /// Keys that come to lists of dynamic partitions.
    pub add_partitions: Vec<(String, Vec<String>)>,
    /// Keys that are taken from lists of dynamic partitions.
    pub remove_partitions: Vec<(String, Vec<String>)>,
    /// What conditions of assets came to.
    pub conditions: Vec<NewEvaluation>,
}

/// What the condition of an asset came to.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvaluation {
    /// The asset.
    pub asset: String,
    /// What the next evaluation is to know.
    pub state: Value,
    /// What it came to, if that is to be remembered.
    pub came_to: Option<Evaluation>,
}

/// What the condition of an asset came to, part by part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The partitions that were asked for, in the language of the command line; empty if none was.
    pub requested: String,
    /// The condition and what it came to.
    pub tree: EvaluationNode,
}

/// A part of a condition, and what it came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EvaluationNode {
    /// What it is.
    pub name: String,
    /// For how many partitions it held.
    pub count: u64,
    /// A few of them, for people; of an asset without partitions nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held: String,
    /// Its parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<Self>,
}

impl EvaluationNode {
    /// A hash of all of it.
    pub fn digest(&self) -> String {
        use std::hash::{DefaultHasher, Hash, Hasher};
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        format!("{:016x}", hasher.finish())
    }
}

/// An evaluation as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvaluationRecord {
    /// Rises with time.
    pub evaluation_id: i64,
    /// The asset.
    pub asset: String,
    /// When.
    pub at: TimeMicros,
    /// What it came to.
    #[serde(flatten)]
    pub came_to: Evaluation,
}

/// How an asset came to stand to its freshness policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreshnessChange {
    /// Rises with time.
    pub change_id: i64,
    /// The asset.
    pub asset: String,
    /// `pass`, `warn`, `fail` or `unknown`.
    pub state: String,
    /// When.
    pub at: TimeMicros,
}

/// The answer to a [`NewTick`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ticked {
    /// It is remembered.
    Yes {
        /// The runs that are queued.
        queued: Vec<RunId>,
        /// The runs that were asked for earlier with the same key.
        suppressed: Vec<RunId>,
    },
    /// It was remembered before, so nothing was changed.
    Before,
    /// Another daemon leads by now, so nothing was changed.
    NotLeader,
}

/// A tick as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TickRecord {
    /// Rises with time.
    pub tick_id: i64,
    /// Who ticked.
    pub instigator: String,
    /// For which moment.
    pub scheduled_at: TimeMicros,
    /// When it was looked at.
    pub began_at: TimeMicros,
    /// When that was done.
    pub ended_at: TimeMicros,
    /// How it went.
    pub status: TickStatus,
    /// The runs that it queued.
    pub run_ids: Vec<RunId>,
    /// The runs that were asked for earlier with the same keys.
    pub suppressed: Vec<RunId>,
    /// Why nothing was asked for, or what went wrong.
    pub reason: Option<String>,
    /// What the next tick was to know.
    pub cursor: Option<String>,
}

/// A schedule or sensor as the instance knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstigatorRecord {
    /// Such as `schedule:nightly`.
    pub name: String,
    /// Whether it ticks; `None` if nobody has said so, and its definition decides.
    pub is_running: Option<bool>,
    /// Ticks up to here are done.
    pub ticked_until: TimeMicros,
    /// What the next tick is to know.
    pub cursor: Option<String>,
}

/// What is changed of a schedule or sensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetInstigator {
    /// It ticks from now on. Ticks that were missed while it was stopped are not made up for.
    Start,
    /// It ticks no more.
    Stop,
    /// It is known from now on.
    Meet,
    /// What the next tick is to know.
    Cursor(Option<String>),
}

/// The right to do something alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leader {
    /// Rises whenever another one comes to lead.
    pub epoch: i64,
}

/// Who has the right to do something alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lead {
    /// Whoever has asked.
    Own(Leader),
    /// This other one, as it has called itself.
    Of(String),
}

/// When a duty of the daemon last did its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The duty.
    pub duty: String,
    /// Which daemon.
    pub owner: String,
    /// When.
    pub at: TimeMicros,
    /// What went wrong the last time.
    pub error: Option<String>,
}

/// What is forgotten: everything that is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forget {
    /// Ticks that have asked for something, and those that failed.
    pub ticks_before: TimeMicros,
    /// Ticks that have not.
    pub skipped_before: TimeMicros,
    /// Events of runs that have ended.
    pub events_before: TimeMicros,
}

/// A materialization or the end of a run as sensors see it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Happening {
    /// Rises with time.
    pub event_id: i64,
    /// The run.
    pub run_id: RunId,
    /// When.
    pub at: TimeMicros,
    /// The asset, if it is about one.
    pub asset: Option<String>,
    /// The partition, if the asset has any.
    pub partition_key: Option<String>,
    /// The job of the run, if it is of one.
    pub job: Option<String>,
    /// What was selected for the run.
    pub selection: String,
    /// The labels of the run.
    pub tags: BTreeMap<String, String>,
    /// Who asked for the run, if it was queued.
    pub origin: Option<String>,
    /// Whether the run was queued.
    pub is_queued: bool,
    /// The run that goes on with it after its failure, or `no`; `None` as long as that is open.
    pub retry: Option<String>,
    /// How the run stands.
    pub status: RunStatus,
    /// Why the run failed, if it did.
    pub error: Option<String>,
}

/// How much there is of everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Runs by status.
    pub runs: BTreeMap<String, u64>,
    /// Steps by state.
    pub steps: BTreeMap<String, u64>,
    /// Ticks by status.
    pub ticks: BTreeMap<String, u64>,
    /// Slots that are taken, by pool.
    pub slots: BTreeMap<String, u64>,
    /// Stored versions.
    pub materializations: u64,
    /// Events.
    pub events: u64,
    /// When the oldest run that waits was queued.
    pub oldest_queued: Option<TimeMicros>,
}
