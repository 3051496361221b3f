//! What people look through: pages of runs, histories of assets, the last word of each check.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::{Event, Instance, Result, RunId, RunRecord, RunStatus, TimeMicros};

/// Which runs are looked for; whatever is open says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// How they stand; empty says nothing.
    pub statuses: Vec<RunStatus>,
    /// The job.
    pub job: Option<String>,
    /// A label, with its value if that is given.
    pub tag: Option<(String, Option<String>)>,
    /// Who asked for them, such as `schedule:nightly`.
    pub origin: Option<String>,
    /// An asset or op that is a step of them.
    pub step: Option<String>,
    /// Only those that are older than this one.
    pub before: Option<RunId>,
    /// Only those that were still going on then, or began later.
    pub since: Option<TimeMicros>,
}

/// A version of an asset without its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRow {
    /// The version.
    pub version: String,
    /// The run that published it.
    pub run_id: RunId,
    /// When it was published.
    pub created_at: TimeMicros,
    /// How long it was computed and written, in microseconds.
    pub duration_us: u64,
    /// Its rows.
    pub row_count: u64,
    /// Its bytes.
    pub size_bytes: u64,
    /// How many partitions it holds; none if it is a whole table.
    pub partitions: u64,
    /// Whether its files are there no more.
    pub removed: bool,
}

/// What a check has said of a version.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct CheckRow {
    /// Rises with time.
    pub event_id: i64,
    /// The run.
    pub run_id: RunId,
    /// When.
    pub at: TimeMicros,
    /// The asset.
    pub asset: String,
    /// What was found.
    pub event: Event,
}

/// The last end of a step that published nothing.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StepEnd {
    /// The step.
    pub step_key: String,
    /// The run.
    pub run_id: RunId,
    /// When.
    pub at: TimeMicros,
    /// Whether it failed; otherwise it had nothing to compute.
    pub failed: bool,
}

/// Files that are kept of an asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBytes {
    /// The asset.
    pub asset: String,
    /// How many versions of it have files.
    pub versions: u64,
    /// Bytes of all of them.
    pub size_bytes: u64,
}

/// What pages ask of a database; see [`Instance`] for what each means.
#[async_trait]
pub(crate) trait BrowseReader: Send + Sync {
    async fn find_runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>>;
    async fn versions(
        &self,
        asset: &str,
        before: Option<TimeMicros>,
        limit: u32,
    ) -> Result<Vec<VersionRow>>;
    async fn last_checks(&self, asset: Option<&str>) -> Result<Vec<CheckRow>>;
    async fn check_history(&self, asset: &str, check: &str, limit: u32) -> Result<Vec<CheckRow>>;
    async fn last_ends(&self) -> Result<Vec<StepEnd>>;
    async fn running_steps(&self) -> Result<Vec<(RunId, String)>>;
    async fn stored_bytes(&self) -> Result<Vec<StoredBytes>>;
    async fn continued_by(&self, run_id: RunId) -> Result<Vec<RunId>>;
}

impl Instance {
    /// The newest runs that a filter lets through, newest first.
    ///
    /// # Errors
    /// As all of these: `NoDatabase` if the instance is in memory.
    pub async fn find_runs(&self, filter: &RunFilter, limit: u32) -> Result<Vec<RunRecord>> {
        self.operations()?.find_runs(filter, limit).await
    }

    /// The newest versions of an asset, newest first: those that were made before a moment.
    pub async fn versions(
        &self,
        asset: &str,
        before: Option<TimeMicros>,
        limit: u32,
    ) -> Result<Vec<VersionRow>> {
        self.operations()?.versions(asset, before, limit).await
    }

    /// The last word of each check of an asset, or of all assets.
    pub async fn last_checks(&self, asset: Option<&str>) -> Result<Vec<CheckRow>> {
        self.operations()?.last_checks(asset).await
    }

    /// What a check has said, newest first.
    pub async fn check_history(
        &self,
        asset: &str,
        check: &str,
        limit: u32,
    ) -> Result<Vec<CheckRow>> {
        self.operations()?.check_history(asset, check, limit).await
    }

    /// How each step ended when it last published nothing.
    pub async fn last_ends(&self) -> Result<Vec<StepEnd>> {
        self.operations()?.last_ends().await
    }

    /// Steps of runs that go on, which compute now or wait for their next attempt.
    pub async fn running_steps(&self) -> Result<Vec<(RunId, String)>> {
        self.operations()?.running_steps().await
    }

    /// Runs that go on with a run, oldest first.
    pub async fn continued_by(&self, run_id: RunId) -> Result<Vec<RunId>> {
        self.operations()?.continued_by(run_id).await
    }

    /// What is stored of each asset that has files.
    pub async fn stored_bytes(&self) -> Result<Vec<StoredBytes>> {
        self.operations()?.stored_bytes().await
    }
}
