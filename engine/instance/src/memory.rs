//! An instance in the memory of this process: for tests, benchmarks, and runs that nobody needs
//! to remember. It keeps the same promises as a database, but for durability.

mod read;
mod write;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrowsmith_io_manager::Version;
use uuid::Uuid;

use crate::{
    AttemptStatus, BackfillId, BackfillRecord, DigestRecord, EventRecord, Materialization,
    NewAttempt, NewRun, OutputRecord, PartitionPointer, Provenance, RunId, RunStatus, StepRecord,
    Target, TimeMicros,
};

/// Everything that is kept, shared by the writer and the readers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<RunId, Run>,
    attempts: HashMap<Uuid, Attempt>,
    versions: HashMap<Version, Materialization>,
    provenance: HashMap<Version, Provenance>,
    /// By version, partition and scan.
    digests: BTreeMap<(Version, String, String), DigestRecord>,
    codes: HashMap<String, String>,
    /// By environment, then by table.
    catalog: HashMap<String, HashMap<Target, Current>>,
    /// Environments and assets with current partitions.
    partitioned: HashSet<(String, String)>,
    event_count: i64,
    /// Keys by the name of their list.
    dynamic_partitions: HashMap<String, Vec<String>>,
    backfills: BTreeMap<BackfillId, BackfillRecord>,
}

#[derive(Debug)]
struct Run {
    new: NewRun,
    status: RunStatus,
    ended_at: Option<TimeMicros>,
    error: Option<String>,
    steps: Vec<StepRecord>,
    /// Where a step stands in `steps`.
    positions: HashMap<String, usize>,
    /// Attempts that may still publish.
    running: Vec<Uuid>,
    events: Vec<EventRecord>,
    outputs: Vec<OutputRecord>,
}

#[derive(Debug)]
enum Attempt {
    /// With epochs in the order of its targets.
    Running {
        new: NewAttempt,
        epochs: Vec<i64>,
    },
    Ended(AttemptStatus),
}

/// What is current for one table, and the newest attempt to replace it.
#[derive(Debug, Default)]
struct Current {
    epoch: i64,
    published: Option<PartitionPointer>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
