//! How the daemon of a repository works: its run queue, its limits, and whom it tells.

use std::collections::BTreeMap;
use std::time::Duration;

/// Settings of the daemon; `[daemon]` of a project file.
#[derive(Debug, Clone)]
pub struct Operations {
    /// Where runs are carried out.
    pub launcher: Launcher,
    /// Runs that go on at the same time.
    pub max_concurrent_runs: usize,
    /// Runs with a label that go on at the same time.
    pub tag_limits: Vec<TagLimit>,
    /// How often a run that has failed is continued, unless its label `arrowsmith/max_retries` says it.
    pub run_retries: u32,
    /// What of it is run again, unless its label `arrowsmith/retry_strategy` says it.
    pub retry_strategy: RetryStrategy,
    /// How often a run goes on whose process has died.
    pub max_resumes: u32,
    /// Bytes of memory that the process of a run may have.
    pub run_memory_bytes: Option<usize>,
    /// How long the process of a run may take to begin.
    pub start_timeout: Duration,
    /// How long a run may take to stop before its process is killed.
    pub cancel_grace: Duration,
    /// How long one evaluation of a schedule, sensor or condition may take.
    pub evaluation_timeout: Duration,
    /// How long ticks are remembered.
    pub tick_retention: Duration,
    /// How long ticks that have asked for nothing are remembered.
    pub skipped_tick_retention: Duration,
    /// How long events of runs are remembered; what is current stays known.
    pub event_retention: Duration,
    /// Who is told of what.
    pub notifications: Vec<Notification>,
}

/// Where runs of the queue are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Launcher {
    /// Each in a process of its own, which outlives the daemon.
    #[default]
    Subprocess,
    /// In the process of the daemon.
    InProcess,
}

/// A limit for runs with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagLimit {
    /// The name of the label.
    pub name: String,
    /// For which values.
    pub values: TagValues,
    /// How many go on at the same time.
    pub limit: usize,
}

/// The values that a limit is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagValues {
    /// All of them together.
    Any,
    /// Each by itself.
    Each,
    /// One.
    One(String),
}

/// What of a failed run is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryStrategy {
    /// What failed, and what never ran.
    #[default]
    FromFailure,
    /// Everything.
    AllSteps,
}

/// Somebody who is told what happened.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its name.
    pub name: String,
    /// Of what.
    pub on: Vec<Occasion>,
    /// How.
    pub channel: Channel,
    /// The message, a template of `occasion`, `repository`, `run_id`, `job`, `selection`, `asset`,
    /// `partition`, `check`, `state`, `error` and `at`.
    pub template: Option<String>,
    /// How many messages there are in an hour at most; the next one says how many were left out.
    pub max_per_hour: u32,
}

/// Of what somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// A run has failed, and is not tried again.
    RunFailure,
    /// A run has succeeded.
    RunSuccess,
    /// A check has not passed.
    CheckFailure,
    /// An asset is not as fresh as its policy says.
    Freshness,
    /// A schedule or sensor could not be evaluated.
    TickFailure,
}

impl Occasion {
    /// Every occasion with its word.
    pub const ALL: [(&'static str, Self); 5] = [
        ("run_failure", Self::RunFailure),
        ("run_success", Self::RunSuccess),
        ("check_failure", Self::CheckFailure),
        ("freshness", Self::Freshness),
        ("tick_failure", Self::TickFailure),
    ];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, of)| *of == self).map_or("", |(word, _)| word)
    }
}

/// How somebody is told.
#[derive(Debug, Clone)]
pub enum Channel {
    /// A `POST` of JSON: the whole occasion, and the message as `text`, which Slack understands.
    Webhook {
        /// Where to.
        url: crate::Secret<String>,
        /// Further headers.
        headers: BTreeMap<String, crate::Secret<String>>,
    },
    /// A program with its arguments, which gets the occasion as JSON on its standard input and the
    /// message in `ARROWSMITH_MESSAGE`.
    Command(Vec<String>),
}

impl Default for Operations {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            launcher: Launcher::default(),
            max_concurrent_runs: 10,
            tag_limits: Vec::new(),
            run_retries: 0,
            retry_strategy: RetryStrategy::default(),
            max_resumes: 3,
            run_memory_bytes: None,
            start_timeout: Duration::from_mins(3),
            cancel_grace: Duration::from_secs(10),
            evaluation_timeout: Duration::from_mins(1),
            tick_retention: 90 * DAY,
            skipped_tick_retention: 7 * DAY,
            event_retention: 90 * DAY,
            notifications: Vec::new(),
        }
    }
}
