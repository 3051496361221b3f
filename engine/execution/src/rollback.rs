//! What was current before becomes current again.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Materialized};
use arrowsmith_instance::{
    EndRun, Materialization, NewAttempt, NewRun, ProcessIdentity, Publish, Published,
    ReusedVersion, RunId, RunStatus, Target,
};
use arrowsmith_io_manager::Version;
use uuid::Uuid;

use crate::executor::micros;
use crate::record::published_partitions;
use crate::{Engine, Error, Result};

/// How long a rollback is believed to live.
const LEASE: std::time::Duration = std::time::Duration::from_mins(1);

impl Engine {
    /// Makes a stored version of an asset current again, with all partitions that it holds; returns the
    /// run that did it. Nothing is computed or copied. What is current is stale afterwards if it is
    /// not what the code of now computes, so the next materialization may replace it again.
    ///
    /// # Errors
    /// `NoVersion` if the asset has no such version, or its files are gone; `NotRolledBack` if it
    /// appends, since each of its versions is only a part of it; `Unreachable`.
    pub async fn roll_back(&self, key: &AssetKey, version: Version) -> Result<RunId> {
        let asset = key.to_string();
        let absent = || Error::NoVersion { asset: asset.clone(), version: version.to_string() };
        if matches!(
            self.resolved.asset(key).map(|of| &of.asset.materialized),
            Some(Materialized::Append { .. })
        ) {
            let reason = "it appends, and a version is only a part of it".to_owned();
            return Err(Error::NotRolledBack { asset, reason });
        }
        let made = self.version(version).await?.filter(|made| made.asset == asset);
        let made = made.ok_or_else(absent)?;
        self.reachable(&made)?;
        let run_id = RunId(Uuid::now_v7());
        let selection = format!("key:\"{asset}\"");
        let at = self.clock.now();
        let run = NewRun {
            run_id,
            environment: self.environment.clone(),
            selection,
            tags: BTreeMap::from([("arrowsmith/rollback".to_owned(), version.to_string())]),
            job: None,
            parent: None,
            root: run_id,
            config: serde_json::Value::Null,
            partitions: BTreeMap::new(),
            backfill: None,
            process: ProcessIdentity::current(),
            lease_until: at + micros(LEASE),
            at,
            steps: vec![asset.clone()],
            pins: vec![version],
        };
        self.instance.start_run(run).await?;
        let published = self.point_back(run_id, &made).await;
        let (status, error) = match &published {
            Ok(Published::Yes) => (RunStatus::Success, None),
            Ok(Published::No(refusal)) => (RunStatus::Failure, Some(refusal.to_string())),
            Err(error) => (RunStatus::Failure, Some(crate::error::chain(error))),
        };
        let at = self.clock.now();
        let end = EndRun { run_id, status, error: error.clone(), crashed: false, at };
        self.instance.end_run(end).await?;
        published?;
        if let Some(reason) = error {
            return Err(Error::NotRolledBack { asset, reason });
        }
        self.mirror(key).await?;
        Ok(run_id)
    }

    async fn point_back(&self, run_id: RunId, made: &Materialization) -> Result<Published> {
        let (asset, at) = (made.asset.clone(), self.clock.now());
        let partitions = published_partitions(&made.stored);
        let target = |partition_key: String| Target { asset: asset.clone(), partition_key };
        let targets = match partitions.as_slice() {
            [] => vec![target(String::new())],
            cut => cut.iter().map(|partition| target(partition.key.clone())).collect(),
        };
        let attempt = NewAttempt {
            attempt_id: Uuid::now_v7(),
            run_id,
            step_key: asset.clone(),
            number: 1,
            // Nothing is written; the attempt only stands before older ones.
            version: Version(Uuid::now_v7()),
            environment: self.environment.clone(),
            targets,
            at,
        };
        self.instance.begin(vec![attempt.clone()]).await?;
        let reused = ReusedVersion {
            asset: asset.clone(),
            version: made.stored.version,
            partitions,
            row_count: made.stored.row_count,
            size_bytes: made.stored.size_bytes,
        };
        let publish = Publish {
            attempt: Arc::new(attempt),
            begins: false,
            loaded: Vec::new(),
            outputs: Vec::new(),
            versions: Vec::new(),
            reused: vec![reused],
            duration_us: 0,
            at: self.clock.now(),
        };
        Ok(self.instance.publish(publish).await?)
    }
}
