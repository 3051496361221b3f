//! From a selection to published tables: the planner and the concurrent executor.
//!
//! An [`Engine`] is a resolved repository with its instance, its IO managers, one memory pool and a
//! clock. [`Engine::plan`] turns a selection into steps with pinned inputs; [`Engine::run`]
//! executes them.
//!
//! ```text
//! selection ─plan─▶ Plan ─run─▶ step: begin ▸ compute ▸ write ▸ seal ▸ check ▸ publish
//!                                └── slot held ──────────────┘
//! ```
//!
//! A step holds a slot while it computes and writes. It publishes without a slot, so that many
//! publishing transactions commit together while the next steps compute.
//!
//! It does not know SQL: a SQL asset is one implementation of
//! [`Compute`](arrowsmith_definitions::Compute). It is the only crate that reads a clock.

mod attempt;
mod backfill;
mod catalog;
mod checks;
mod clock;
mod compare;
mod digest;
mod engine;
mod error;
mod executor;
mod expansion;
mod fresh;
mod history;
mod in_process;
mod io_managers;
mod keyed;
mod logs;
mod maintenance;
mod memory;
mod migrate;
mod mirror;
mod node;
mod panics;
mod partitions;
mod plan;
mod pools;
mod progress;
mod queue;
mod record;
mod rollback;
mod session;
mod states;
mod storage_bench;
mod system;
mod unit_tests;
mod watch;

pub use backfill::{AssetProgress, BackfillProgress};
pub use clock::{Clock, SystemClock};
pub use engine::{Engine, EngineOptions, ProjectError};
pub use error::{Error, Result};
pub use executor::{RunOptions, RunReport, Verdict, Verified};
pub use fresh::{StaleCategory, StaleCause, StaleStatus, Why};
pub use in_process::{InProcess, execute_in_process, materialize_to_memory};
pub use io_managers::{IO_MANAGER_KINDS, open_io_manager, open_io_managers};
pub use logs::{LogLine, RunLogs};
pub use maintenance::{Fsck, FsckFinding, Vacuum};
pub use migrate::Migration;
pub use partitions::{AssetPartitions, PartitionsNow};
pub use plan::{JobRequest, Plan, PlanRequest, Reason, Reexecute, Step};
pub use progress::{Counters, Observer, Progress, Silent};
pub use states::{AssetState, States};
pub use storage_bench::{BenchResult, BenchRows, BenchWay, Seconds};
pub use system::system_tables;
pub use unit_tests::TestOutcome;
