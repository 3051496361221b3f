//! What the instance remembers, as it is read back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use arrowsmith_io_manager::{StoredTable, Version};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Launch, ProcessIdentity};

/// Microseconds since 1970-01-01 00:00 UTC.
pub type TimeMicros = i64;

/// The identity of a run: a UUID of version 7, so that runs sort by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub Uuid);

impl RunId {
    /// Enough of the id to tell it from others, for people: its random end.
    pub fn short(&self) -> String {
        let text = self.0.simple().to_string();
        text[text.len() - 8..].to_owned()
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The identity of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BackfillId(pub Uuid);

impl BackfillId {
    /// Enough of the id to tell it from others, for people: its random end.
    pub fn short(&self) -> String {
        RunId(self.0).short()
    }
}

impl fmt::Display for BackfillId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

macro_rules! words {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $vdoc:literal])+ $variant:ident = $text:literal,)+ }) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[doc = $vdoc])+ $variant,)+
        }

        impl $name {
            /// The word in the database and in output.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($text => Ok(Self::$variant),)+
                    other => Err(format!("`{other}` is not known")),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// How a run stands.
    RunStatus {
        /// It waits in the queue.
        Queued = "queued",
        /// It was handed to a process that has not begun it yet.
        Starting = "starting",
        /// It runs.
        Started = "started",
        /// It runs, and was asked to stop.
        Canceling = "canceling",
        /// Everything that it planned is published.
        Success = "success",
        /// Something failed; what is published stays.
        Failure = "failure",
        /// It was asked to stop.
        Canceled = "canceled",
    }
}

impl RunStatus {
    /// Whether it has come to its end.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Canceled)
    }
}

words! {
    /// How a tick went.
    TickStatus {
        /// It asked for runs.
        Success = "success",
        /// It asked for nothing.
        Skipped = "skipped",
        /// It could not be evaluated.
        Failure = "failure",
    }
}

words! {
    /// How a step stands.
    StepState {
        /// It waits for its inputs or a slot.
        Planned = "planned",
        /// It computes.
        Running = "running",
        /// It failed and will be tried again.
        UpForRetry = "up_for_retry",
        /// Its output is published.
        Success = "success",
        /// What it would compute is what is current already.
        Confirmed = "confirmed",
        /// What it would compute was stored before, and is current again.
        Reused = "reused",
        /// It failed for good.
        Failure = "failure",
        /// Something upstream of it failed.
        Skipped = "skipped",
        /// The run was asked to stop.
        Canceled = "canceled",
    }
}

words! {
    /// How a backfill stands.
    BackfillStatus {
        /// It runs, or waits for its next run.
        Requested = "requested",
        /// Every partition is materialized.
        CompletedSuccess = "completed_success",
        /// Every run has ended, and some partitions failed.
        CompletedFailed = "completed_failed",
        /// It could not go on.
        Failed = "failed",
        /// It was asked to stop, and its run has not ended.
        Canceling = "canceling",
        /// It was stopped.
        Canceled = "canceled",
    }
}

impl BackfillStatus {
    /// Whether it has come to its end.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Requested | Self::Canceling)
    }
}

impl StepState {
    /// Whether the step has come to its end.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Planned | Self::Running | Self::UpForRetry)
    }
}

words! {
    /// How an attempt stands; only a running one can publish.
    AttemptStatus {
        /// Its process holds a lease.
        Running = "running",
        /// It published.
        Success = "success",
        /// It failed, or was declared dead.
        Failure = "failure",
        /// It was stopped.
        Canceled = "canceled",
    }
}

/// A run as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its id.
    pub run_id: RunId,
    /// Whose pointers it moves.
    pub environment: String,
    /// What was selected.
    pub selection: String,
    /// How it stands.
    pub status: RunStatus,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// The job, if it is a run of one.
    pub job: Option<String>,
    /// The run whose outputs it went on with.
    pub parent: Option<RunId>,
    /// The first run of which it is a continuation; itself, if of none.
    pub root: RunId,
    /// The run config.
    pub config: serde_json::Value,
    /// Sets of the partitions that it makes, by asset.
    pub partitions: BTreeMap<String, String>,
    /// The backfill that it is a part of.
    pub backfill: Option<BackfillId>,
    /// When it was queued, or begun if it did not wait.
    pub created_at: TimeMicros,
    /// When it was begun.
    pub started_at: Option<TimeMicros>,
    /// When it ended.
    pub ended_at: Option<TimeMicros>,
    /// Why it failed, if it did.
    pub error: Option<String>,
    /// Who asked for it, if it was queued, such as `schedule:nightly`.
    pub origin: Option<String>,
    /// What it is to do, if it was queued.
    pub launch: Option<Launch>,
    /// How many steps are in each state.
    pub steps: BTreeMap<String, u64>,
}

/// A step as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its key: for an asset, the asset's.
    pub step_key: String,
    /// How it stands.
    pub state: StepState,
    /// The number of its last attempt.
    pub attempt: u32,
    /// When the last attempt began.
    pub started_at: Option<TimeMicros>,
    /// When it came to its end.
    pub ended_at: Option<TimeMicros>,
    /// Rows that it published.
    pub row_count: Option<u64>,
    /// Bytes that it published.
    pub size_bytes: Option<u64>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

/// What a step has emitted, as it is remembered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct OutputRecord {
    /// The step.
    pub step_key: String,
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
    /// What the computation said about it.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The files; `None` for a unit and for an asset.
    pub stored: Option<Arc<StoredTable>>,
}

/// What is current of a table that has no partitions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pointer {
    /// The asset.
    pub asset: String,
    /// The version.
    pub version: Version,
    /// The run that published it.
    pub run_id: RunId,
    /// When it was published.
    pub published_at: TimeMicros,
    /// Rows of the version.
    pub row_count: u64,
    /// Bytes of the version.
    pub size_bytes: u64,
    /// The code that made it.
    pub code_version: Option<String>,
    /// The name of the IO manager that stored it.
    pub io_manager: String,
}

/// What is current of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionPointer {
    /// Its key.
    pub partition_key: String,
    /// The version that holds it, which may hold others too.
    pub version: Version,
    /// When it was published.
    pub published_at: TimeMicros,
    /// Its rows.
    pub row_count: u64,
    /// Its bytes.
    pub size_bytes: u64,
}

/// What is current of all partitions of a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionTotals {
    /// How many there are.
    pub partitions: u64,
    /// Their rows.
    pub row_count: u64,
    /// Their bytes.
    pub size_bytes: u64,
    /// When the newest was published.
    pub published_at: TimeMicros,
}

/// What a plan has to know of a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionSummary {
    /// The version.
    pub version: Version,
    /// The run that published it.
    pub run_id: RunId,
    /// The code that made it.
    pub code_version: Option<String>,
    /// The versions that it was computed from.
    pub inputs: BTreeMap<String, Version>,
    /// What it was made of, if that is known.
    pub provenance: Option<Provenance>,
}

/// A version that may become current again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredVersion {
    /// The version.
    pub version: Version,
    /// The keys of its partitions; none if it is a whole table.
    pub partitions: Vec<String>,
    /// What it was made of.
    pub provenance: Provenance,
}

/// What a version was made of: where all of it is the same, so are the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Provenance {
    /// A hash of the code, and of whatever else of a definition changes rows.
    pub code: String,
    /// For each asset the versions that were read, each with the keys of their partitions; an empty
    /// key is a whole table.
    #[serde(default)]
    pub inputs: BTreeMap<String, BTreeMap<Version, Vec<String>>>,
    /// For each source the state of each partition that was read; an empty key is all of it.
    #[serde(default)]
    pub sources: BTreeMap<String, BTreeMap<String, String>>,
}

/// A digest of what a computation reads of a version, or of a partition of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestRecord {
    /// The version.
    pub version: Version,
    /// The key of the partition; empty for a whole table.
    pub partition_key: String,
    /// A hash of the columns and filters that are read.
    pub scan: String,
    /// Rows that are read.
    pub row_count: u64,
    /// The digest of those rows, in hexadecimal.
    pub digest: String,
}

/// A backfill as it is remembered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackfillRecord {
    /// Its id.
    pub backfill_id: BackfillId,
    /// Whose pointers it moves.
    pub environment: String,
    /// How it stands.
    pub status: BackfillStatus,
    /// The assets, as they were selected.
    pub selection: String,
    /// Sets of the partitions that are to be made, by asset; empty for assets without any.
    pub target: BTreeMap<String, String>,
    /// Free labels of its runs.
    pub tags: BTreeMap<String, String>,
    /// Who carries it out.
    pub process: ProcessIdentity,
    /// Until when it is known to live without another word.
    pub lease_until: TimeMicros,
    /// When it was begun.
    pub created_at: TimeMicros,
    /// When it ended.
    pub ended_at: Option<TimeMicros>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl BackfillRecord {
    /// The lease of one whose run waits in the queue, which nobody has to renew.
    pub const WAITS: TimeMicros = TimeMicros::MAX;

    /// Whether its run waits in the queue.
    pub fn waits(&self) -> bool {
        self.lease_until == Self::WAITS && !self.status.is_final()
    }
}

/// A published version with everything that is known of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Materialization {
    /// The asset.
    pub asset: String,
    /// The run that published it.
    pub run_id: RunId,
    /// When it was published.
    pub created_at: TimeMicros,
    /// How long it was computed and written, in microseconds.
    pub duration_us: u64,
    /// The name of the IO manager that stored it.
    pub io_manager: String,
    /// The code that made it.
    pub code_version: Option<String>,
    /// The versions that it was computed from.
    pub inputs: BTreeMap<String, Version>,
    /// What the computation said about it.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The files.
    pub stored: Arc<StoredTable>,
}
