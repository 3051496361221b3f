//! What an instance needs of whatever keeps it: a writer, of which there is one, and readers.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use arrowsmith_io_manager::Version;
use async_trait::async_trait;

use crate::request::{Reply, Request};
use crate::{
    BackfillId, BackfillRecord, DigestRecord, EventRecord, Materialization, OutputRecord,
    PartitionPointer, PartitionTotals, Pointer, Result, RunId, RunRecord, StepRecord,
    StoredVersion, TimeMicros, VersionSummary,
};

/// Changes what is kept.
#[async_trait]
pub(crate) trait Storage: fmt::Debug + Send {
    /// Applies all requests in order, or none; the answers stand in the order of the requests.
    /// Returns when the change is as durable as it is going to be.
    async fn apply(&mut self, requests: &[Request]) -> Result<Vec<Reply>>;
}

/// Answers from what was applied; see [`Instance`](crate::Instance) for what each means.
#[async_trait]
pub(crate) trait Reader: fmt::Debug + Send + Sync {
    async fn dead_runs(&self, now: TimeMicros) -> Result<Vec<RunId>>;
    async fn live_runs(&self) -> Result<Vec<RunId>>;
    async fn pointers(&self, environment: &str) -> Result<BTreeMap<String, Pointer>>;
    async fn partitions(&self, environment: &str, asset: &str) -> Result<Vec<PartitionPointer>>;
    async fn partition_totals(
        &self,
        environment: &str,
    ) -> Result<BTreeMap<String, PartitionTotals>>;
    async fn version_summaries(&self, versions: &[Version]) -> Result<Vec<VersionSummary>>;
    async fn stored_versions(
        &self,
        asset: &str,
        code: &str,
        limit: u32,
    ) -> Result<Vec<StoredVersion>>;
    async fn digests(&self, versions: &[Version]) -> Result<Vec<DigestRecord>>;
    async fn code(&self, code: &str) -> Result<Option<String>>;
    async fn dynamic_partitions(&self, name: &str) -> Result<Vec<String>>;
    async fn backfills(&self, limit: u32) -> Result<Vec<BackfillRecord>>;
    async fn backfills_like(&self, digits: &str) -> Result<Vec<BackfillRecord>>;
    async fn runs_of_backfill(&self, backfill: BackfillId) -> Result<Vec<RunRecord>>;
    async fn materialization(&self, version: Version) -> Result<Option<Materialization>>;
    async fn materializations(&self, asset: &str, limit: u32) -> Result<Vec<Materialization>>;
    async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>>;
    /// Runs whose id begins or ends with these lower-case hexadecimal digits.
    async fn runs_like(&self, digits: &str) -> Result<Vec<RunRecord>>;
    async fn steps(&self, run_id: RunId) -> Result<Vec<StepRecord>>;
    async fn outputs(&self, run_id: RunId) -> Result<Vec<OutputRecord>>;
    async fn events(&self, run_id: RunId, after: i64) -> Result<Vec<EventRecord>>;
    async fn versions_in_use(&self) -> Result<HashSet<Version>>;
}
