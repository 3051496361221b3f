//! The instance: what has run, what is current, and what happened.
//!
//! One [`Instance`] is one database, or the memory of a process. Everything that changes it goes through a single writer task
//! that commits many requests at once; every acknowledgement means that the change is durable.
//!
//! ```text
//! start_run ─▶ begin (attempt, epoch) ─▶ … write files … ─▶ publish ─▶ end_run
//!                                                             │
//!                      events + pointers + attempt, in one transaction
//! ```
//!
//! A publish is refused when its attempt is no longer running or a newer attempt has begun for the
//! same table; so nothing old replaces anything new, however long its process was paused.
//!
//! This is the only crate that speaks to a database. It reads no clock: times come with requests.

mod browse;
mod database;
mod error;
mod event;
mod instance;
mod interrupt;
mod memory;
mod operate;
mod operations;
mod process;
mod record;
mod request;
mod settings;
mod storage;
mod system;
mod writer;

pub use browse::{CheckRow, RunFilter, StepEnd, StoredBytes, VersionRow};
pub use error::{Error, Result};
pub use event::{Event, EventRecord};
pub use instance::Instance;
pub use interrupt::Interrupt;
pub use operate::{
    Again, Counts, Evaluation, EvaluationNode, EvaluationRecord, FailedRun, Forget,
    FreshnessChange, Happening, Heartbeat, InstigatorRecord, Launch, Lead, Leader, LiveRun,
    NewEvaluation, NewTick, QueuedRun, SetInstigator, TickRecord, Ticked,
};
pub use process::ProcessIdentity;
pub use record::{
    AttemptStatus, BackfillId, BackfillRecord, BackfillStatus, DigestRecord, Materialization,
    OutputRecord, PartitionPointer, PartitionTotals, Pointer, Provenance, RunId, RunRecord,
    RunStatus, StepRecord, StepState, StoredVersion, TickStatus, TimeMicros, VersionSummary,
};
pub use request::{
    EndAttempt, EndRun, EndStep, NewAttempt, NewOutput, NewPartition, NewRun, NewVersion, Publish,
    Published, Refusal, ReplaceSteps, ReusedVersion, Target, Tell,
};
pub use system::{SYSTEM_TABLES, SystemColumn, SystemTable};
