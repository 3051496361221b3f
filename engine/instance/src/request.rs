//! What can be asked of the writer; each request is one transaction, or part of one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use arrowsmith_io_manager::{StoredTable, Version};
use uuid::Uuid;

use crate::database::PublishRows;
use crate::{
    AttemptStatus, BackfillId, BackfillRecord, DigestRecord, Event, Forget, Heartbeat, Lead,
    Leader, NewTick, ProcessIdentity, Provenance, QueuedRun, Result, RunId, RunStatus,
    SetInstigator, StepState, Ticked, TimeMicros,
};

/// A run that begins.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Its id.
    pub run_id: RunId,
    /// Whose pointers it moves.
    pub environment: String,
    /// What was selected, for people.
    pub selection: String,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// The job, if it is a run of one.
    pub job: Option<String>,
    /// The run whose outputs it goes on with, if there is one.
    pub parent: Option<RunId>,
    /// The first run of which it is a continuation; itself, if of none.
    pub root: RunId,
    /// The run config.
    pub config: serde_json::Value,
    /// Sets of the partitions that it makes, by asset, in the language of the command line.
    pub partitions: BTreeMap<String, String>,
    /// The backfill that it is a part of.
    pub backfill: Option<BackfillId>,
    /// Who runs it.
    pub process: ProcessIdentity,
    /// Until when it is known to live without another word.
    pub lease_until: TimeMicros,
    /// Now.
    pub at: TimeMicros,
    /// Its steps in the order of the plan.
    pub steps: Vec<String>,
    /// Versions that it is going to read.
    pub pins: Vec<Version>,
}

/// A table that an attempt is going to replace.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// The asset.
    pub asset: String,
    /// Its partition; empty if it has none.
    pub partition_key: String,
}

/// An attempt that begins.
#[derive(Debug, Clone)]
pub struct NewAttempt {
    /// Its id.
    pub attempt_id: Uuid,
    /// The run.
    pub run_id: RunId,
    /// The step.
    pub step_key: String,
    /// Counted from one.
    pub number: u32,
    /// The version that it is going to write.
    pub version: Version,
    /// Whose pointers it moves.
    pub environment: String,
    /// What it is going to replace.
    pub targets: Vec<Target>,
    /// Now.
    pub at: TimeMicros,
}

impl NewAttempt {
    pub(crate) fn event(&self) -> Event {
        Event::StepStart { attempt: self.number, version: self.version.to_string() }
    }
}

/// A partition of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartition {
    /// Its key.
    pub key: String,
    /// Its rows.
    pub row_count: u64,
    /// Its bytes.
    pub size_bytes: u64,
}

/// A sealed version that is to become current.
#[derive(Debug, Clone)]
pub struct NewVersion {
    /// The asset.
    pub asset: String,
    /// Its partitions that the version holds; none if the version is the whole table.
    pub partitions: Vec<NewPartition>,
    /// Whether it comes beside whatever is current, as what is appended does; otherwise a whole table
    /// takes the place of partitions, and they of it.
    pub keeps_others: bool,
    /// The files.
    pub stored: Arc<StoredTable>,
    /// The name of the IO manager that stored it.
    pub io_manager: String,
    /// The code that made it.
    pub code_version: Option<String>,
    /// The versions that it was computed from.
    pub inputs: BTreeMap<String, Version>,
    /// What the computation said about it.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// What it was made of, if that is known.
    pub provenance: Option<Provenance>,
}

/// A version that was published before and is to become current again, all of it or some partitions.
#[derive(Debug, Clone)]
pub struct ReusedVersion {
    /// The asset.
    pub asset: String,
    /// The version.
    pub version: Version,
    /// Which of its partitions; none if it is the whole table.
    pub partitions: Vec<NewPartition>,
    /// Rows of what becomes current.
    pub row_count: u64,
    /// Bytes of what becomes current.
    pub size_bytes: u64,
}

/// What a step has emitted.
#[derive(Debug, Clone)]
pub struct NewOutput {
    /// The name of the output.
    pub output: String,
    /// Which of a dynamic output it is.
    pub mapping_key: Option<String>,
    /// The asset whose version it is, if it is one.
    pub asset: Option<String>,
    /// The name of the IO manager that stored it.
    pub io_manager: String,
    /// The version that the attempt has written.
    pub version: Version,
    /// The files; `None` for a unit, which is not stored, and for an asset, whose version has them.
    pub stored: Option<Arc<StoredTable>>,
    /// What the computation said about it.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// The publishing transaction of an attempt: all of it, or nothing.
#[derive(Debug, Clone)]
pub struct Publish {
    /// The attempt.
    pub attempt: Arc<NewAttempt>,
    /// Whether it begins with this, since the instance was not told of it before.
    pub begins: bool,
    /// What the step has loaded, as it is told.
    pub loaded: Vec<Event>,
    /// Everything that the step has emitted.
    pub outputs: Vec<NewOutput>,
    /// What becomes current.
    pub versions: Vec<NewVersion>,
    /// What becomes current again.
    pub reused: Vec<ReusedVersion>,
    /// How long it took, in microseconds.
    pub duration_us: u64,
    /// Now.
    pub at: TimeMicros,
}

/// The answer to a [`Publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// It is current.
    Yes,
    /// Nothing was changed.
    No(Refusal),
}

/// Why a publish was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The attempt was declared dead, or has ended.
    NotRunning(AttemptStatus),
    /// A newer attempt has begun for one of its tables.
    Superseded,
    /// The run was asked to stop.
    RunEnded(RunStatus),
    /// The attempt is not known.
    Unknown,
    /// The files of a version that was to become current again were removed meanwhile.
    Removed,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRunning(status) => write!(f, "its attempt was already ended as {status}"),
            Self::Superseded => f.write_str("a newer attempt of another run has begun"),
            Self::RunEnded(status) => write!(f, "its run was already ended as {status}"),
            Self::Unknown => f.write_str("its attempt is not known to the instance"),
            Self::Removed => f.write_str("the stored version that fits was removed meanwhile"),
        }
    }
}

/// An attempt that ends without publishing.
#[derive(Debug, Clone)]
pub struct EndAttempt {
    /// The attempt.
    pub attempt_id: Uuid,
    /// Its run.
    pub run_id: RunId,
    /// Its step.
    pub step_key: String,
    /// How it ended.
    pub status: AttemptStatus,
    /// How its step stands now.
    pub state: StepState,
    /// Why.
    pub reason: String,
    /// What is told of it.
    pub event: Event,
    /// Now.
    pub at: TimeMicros,
}

/// A step that ends without an attempt: skipped or canceled.
#[derive(Debug, Clone)]
pub struct EndStep {
    /// Its run.
    pub run_id: RunId,
    /// The step.
    pub step_key: String,
    /// How it ended.
    pub state: StepState,
    /// Why.
    pub reason: String,
    /// Now.
    pub at: TimeMicros,
}

/// Steps that stand for those which are known only when a dynamic output is.
#[derive(Debug, Clone)]
pub struct ReplaceSteps {
    /// The run.
    pub run_id: RunId,
    /// The steps that go.
    pub old: Vec<String>,
    /// The steps that come, one a mapping key.
    pub new: Vec<String>,
}

/// Something that happened without changing a run or step.
#[derive(Debug, Clone)]
pub struct Tell {
    /// The run.
    pub run_id: RunId,
    /// The step, if it is about one.
    pub step_key: Option<String>,
    /// The asset, if it is about one.
    pub asset: Option<String>,
    /// What happened.
    pub event: Event,
    /// Now.
    pub at: TimeMicros,
}

impl EndStep {
    pub(crate) fn event(&self) -> Event {
        let reason = self.reason.clone();
        match self.state {
            StepState::Canceled => Event::StepCanceled { reason },
            _ => Event::StepSkipped { reason },
        }
    }
}

/// A run that ends.
#[derive(Debug, Clone)]
pub struct EndRun {
    /// Its id.
    pub run_id: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// Why, if not well.
    pub error: Option<String>,
    /// Whether its process ended without a word.
    pub crashed: bool,
    /// Now.
    pub at: TimeMicros,
}

impl EndRun {
    pub(crate) fn event(&self) -> Event {
        let reason = self.error.clone().unwrap_or_default();
        match self.status {
            RunStatus::Canceled => Event::RunCanceled { reason },
            RunStatus::Failure => Event::RunFailure { reason },
            _ => Event::RunSuccess,
        }
    }

    /// What becomes of attempts and steps that still count as running.
    pub(crate) fn states(&self) -> (AttemptStatus, StepState) {
        match self.status {
            RunStatus::Canceled => (AttemptStatus::Canceled, StepState::Canceled),
            _ => (AttemptStatus::Failure, StepState::Failure),
        }
    }
}

/// Any of them, on its way to the writer.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    StartRun(NewRun),
    Renew { run_id: RunId, lease_until: TimeMicros },
    Begin(Vec<NewAttempt>),
    Publish(Arc<ToPublish>),
    EndAttempt(EndAttempt),
    EndSteps(Vec<EndStep>),
    ReplaceSteps(ReplaceSteps),
    Tell(Vec<Tell>),
    EndRun(EndRun),
    Condemn { versions: Vec<Version>, at: TimeMicros },
    Restore { environment: String, versions: Vec<NewVersion>, at: TimeMicros },
    SetDynamicPartitions { name: String, add: Vec<String>, remove: Vec<String>, at: TimeMicros },
    SaveBackfill(Box<BackfillRecord>),
    SetProvenance(Vec<(Version, Provenance)>),
    RememberDigests(Vec<DigestRecord>),
    RememberCode { code: String, text: String },
    Operate(Box<Operate>),
}

/// A publish on its way, with its rows once somebody has asked for them.
#[derive(Debug)]
pub(crate) struct ToPublish {
    publish: Publish,
    rows: OnceLock<PublishRows>,
}

impl ToPublish {
    pub(crate) fn new(publish: Publish) -> Self {
        Self { publish, rows: OnceLock::new() }
    }

    pub(crate) fn rows(&self) -> Result<&PublishRows> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let rows = PublishRows::of(&self.publish)?;
        Ok(self.rows.get_or_init(|| rows))
    }
}

impl Deref for ToPublish {
    type Target = Publish;

    fn deref(&self) -> &Publish {
        &self.publish
    }
}

/// What only an instance with a database can do.
#[derive(Debug, Clone)]
pub(crate) enum Operate {
    Enqueue(Vec<QueuedRun>),
    EnqueueBackfill {
        backfill: Box<BackfillRecord>,
        run: Box<QueuedRun>,
    },
    Tick {
        tick: Box<NewTick>,
        leader: Option<Leader>,
    },
    SetInstigator {
        name: String,
        set: SetInstigator,
        at: TimeMicros,
    },
    Lead {
        name: String,
        owner: String,
        now: TimeMicros,
        until: TimeMicros,
    },
    Resign {
        owner: String,
    },
    Claim {
        run_id: RunId,
        leader: Option<Leader>,
        process: ProcessIdentity,
        times: [TimeMicros; 2],
    },
    GiveBack {
        run_id: RunId,
        at: TimeMicros,
    },
    Cancel {
        run_id: RunId,
        at: TimeMicros,
    },
    DecideRetry {
        failed: RunId,
        retry: Option<Box<QueuedRun>>,
    },
    TakeSlot {
        pool: String,
        limit: usize,
        run_id: RunId,
        step_key: String,
        at: TimeMicros,
    },
    FreeSlot {
        run_id: RunId,
        step_key: String,
    },
    Beat(Vec<Heartbeat>),
    Freshness {
        states: Vec<(String, String)>,
        at: TimeMicros,
    },
    Forget(Forget),
}

impl Request {
    /// Whether it may change what a plan would find. Whoever leads, waits or has ticked does not.
    pub(crate) fn is_of_catalog(&self) -> bool {
        match self {
            Self::Operate(operate) => match &**operate {
                Operate::Tick { tick, .. } => {
                    !tick.add_partitions.is_empty() || !tick.remove_partitions.is_empty()
                }
                _ => false,
            },
            _ => true,
        }
    }
}

/// What the writer answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Done,
    Published(Published),
    Restored(usize),
    Condemned(Vec<Version>),
    /// Whether it was done: a run begun or claimed, a slot taken.
    Was(bool),
    Ticked(Ticked),
    Lead(Lead),
    Forgotten {
        ticks: i64,
        events: i64,
    },
    /// An instance in memory has no queue.
    NoDatabase,
}

/// A table or partition that becomes current, with its rows and bytes; a whole table has no key.
pub(crate) type Current<'a> = (Option<&'a str>, u64, u64);

impl NewVersion {
    /// What becomes current.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Current<'_>> {
        tables(&self.partitions, (None, self.stored.row_count, self.stored.size_bytes))
    }
}

impl ReusedVersion {
    /// What becomes current.
    pub(crate) fn tables(&self) -> impl Iterator<Item = Current<'_>> {
        tables(&self.partitions, (None, self.row_count, self.size_bytes))
    }
}

fn tables<'a>(
    partitions: &'a [NewPartition],
    whole: Current<'a>,
) -> impl Iterator<Item = Current<'a>> {
    let whole = partitions.is_empty().then_some(whole);
    let partitions = partitions.iter().map(|p| (Some(p.key.as_str()), p.row_count, p.size_bytes));
    whole.into_iter().chain(partitions)
}

impl Publish {
    /// What is told of a publish, in order, each with the asset that it is about; that it began, if it
    /// did not before, is not among it.
    pub(crate) fn events(&self) -> Vec<(Option<&str>, Cow<'_, Event>)> {
        let mut events: Vec<(Option<&str>, Cow<'_, Event>)> =
            self.loaded.iter().map(|event| (None, Cow::Borrowed(event))).collect();
        let mut tell = |asset, event| events.push((asset, Cow::Owned(event)));
        for emitted in &self.outputs {
            let (output, mapping_key) = (emitted.output.clone(), emitted.mapping_key.clone());
            tell(None, Event::StepOutput { output, mapping_key });
            let version = self.versions.iter().find(|v| Some(&v.asset) == emitted.asset.as_ref());
            if let Some(new) = version {
                for (partition_key, row_count, size_bytes) in new.tables() {
                    let version = new.stored.version.to_string();
                    let partition_key = partition_key.map(str::to_owned);
                    let event = Event::AssetMaterialization {
                        version,
                        partition_key,
                        row_count,
                        size_bytes,
                    };
                    tell(Some(new.asset.as_str()), event);
                }
            }
            if emitted.stored.is_some() || version.is_some() {
                let (output, io_manager) = (emitted.output.clone(), emitted.io_manager.clone());
                tell(None, Event::HandledOutput { output, io_manager });
            }
        }
        for old in &self.reused {
            for (partition_key, row_count, size_bytes) in old.tables() {
                let version = old.version.to_string();
                let partition_key = partition_key.map(str::to_owned);
                let event = Event::AssetReused { version, partition_key, row_count, size_bytes };
                tell(Some(old.asset.as_str()), event);
            }
        }
        let duration_us = self.duration_us;
        let ended = match self.state() {
            StepState::Reused => Event::StepReused { duration_us },
            _ => Event::StepSuccess { duration_us },
        };
        tell(None, ended);
        events
    }

    /// How the step ends: reused if nothing was computed.
    pub fn state(&self) -> StepState {
        if self.outputs.is_empty() && !self.reused.is_empty() {
            StepState::Reused
        } else {
            StepState::Success
        }
    }

    /// The assets of which something becomes current.
    pub(crate) fn assets(&self) -> impl Iterator<Item = &str> {
        let versions = self.versions.iter().map(|new| new.asset.as_str());
        versions.chain(self.reused.iter().map(|old| old.asset.as_str()))
    }

    /// Rows and bytes of everything that was stored or became current.
    pub fn totals(&self) -> (u64, u64) {
        let stored = self.versions.iter().map(|v| &v.stored);
        let stored = stored.chain(self.outputs.iter().filter_map(|o| o.stored.as_ref()));
        let stored = stored.map(|stored| (stored.row_count, stored.size_bytes));
        let reused = self.reused.iter().map(|old| (old.row_count, old.size_bytes));
        stored.chain(reused).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    }
}
