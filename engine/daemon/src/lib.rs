//! What nobody has to start: schedules, sensors, the run queue, and the watch over runs.
//!
//! A [`Daemon`] serves one repository. Its duties are tasks of their own, each looked after by itself:
//! one that fails or panics is tried again without the others noticing.
//!
//! ```text
//! schedules, sensors ──tick + runs, one transaction──▶ queue ──limits──▶ launcher ──▶ run
//!                                                        ▲                             │
//!                                          retries ◀─────┴──── monitor ◀───────────────┘
//! ```
//!
//! Several daemons may serve the same instance. One of them leads; whatever it writes carries the epoch
//! of its lead, so that one which was paused and has lost the lead cannot write any more.

mod automation;
mod daemon;
mod duties;
mod error;
mod freshness;
mod happenings;
mod http;
mod launch;
mod lead;
mod metrics;
mod monitor;
mod notify;
mod queue;
mod reload;
mod request;
mod retention;
mod retry;
mod schedules;
mod sensors;

pub use daemon::{Daemon, DaemonOptions};
pub use duties::is_late;
pub use error::{Error, Result};
pub use launch::{ClaimedRun, InProcessLauncher, RunLauncher, SubprocessLauncher};
pub use queue::{PRIORITY_TAG, RETRIES_TAG, RETRY_STRATEGY_TAG};
pub use request::{derived_run_id, queued_run};
