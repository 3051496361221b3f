//! What schedules, sensors and conditions ask for: runs.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

/// What a run is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunTarget {
    /// A job by its name.
    Job(String),
    /// The assets of a selection.
    Assets(String),
}

impl fmt::Display for RunTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Job(job) => write!(f, "job {job}"),
            Self::Assets(selection) => write!(f, "assets {selection}"),
        }
    }
}

/// One run that is asked for. Whatever is open is what the schedule or sensor says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunRequest {
    /// At most one run is ever made for a key of the same schedule or sensor.
    pub run_key: Option<String>,
    /// What is to run.
    pub target: Option<RunTarget>,
    /// The run config, over that of the job.
    pub config: Value,
    /// Labels of the run.
    pub tags: BTreeMap<String, String>,
    /// Which partitions, in the language of the command line.
    pub partitions: Option<String>,
    /// Whether what is fresh is left out, as `materialize` does.
    pub only_needed: bool,
}

impl RunRequest {
    /// A run of whatever the schedule or sensor is about.
    pub fn new() -> Self {
        Self::default()
    }

    /// A run of whatever the schedule or sensor is about, once for this key.
    pub fn once(run_key: impl Into<String>) -> Self {
        Self { run_key: Some(run_key.into()), ..Self::default() }
    }

    /// The same of a job.
    #[must_use]
    pub fn of_job(self, job: impl Into<String>) -> Self {
        Self { target: Some(RunTarget::Job(job.into())), ..self }
    }

    /// The same of the assets of a selection.
    #[must_use]
    pub fn of_assets(self, selection: impl Into<String>) -> Self {
        Self { target: Some(RunTarget::Assets(selection.into())), ..self }
    }

    /// The same with a run config.
    #[must_use]
    pub fn with_config(self, config: Value) -> Self {
        Self { config, ..self }
    }

    /// The same with one more label.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// The same for a set of partitions, such as `2013-01` or `latest(2)`.
    #[must_use]
    pub fn with_partitions(self, partitions: impl Into<String>) -> Self {
        Self { partitions: Some(partitions.into()), ..self }
    }

    /// The same without what is fresh.
    #[must_use]
    pub fn only_needed(self) -> Self {
        Self { only_needed: true, ..self }
    }
}
