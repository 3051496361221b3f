//! Copies what is current from one IO manager to another.
//!
//! Each copy is a step of one run, is compared with what it was copied from, and becomes current in
//! one transaction like any other version; whatever reads the asset meanwhile has the old or the new.
//! What was copied already is not copied again, so that an interrupted migration goes on where it was.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, BoxError};
use arrowsmith_instance::{
    AttemptStatus, EndAttempt, EndRun, EndStep, Event, Materialization, NewAttempt, NewRun,
    NewVersion, ProcessIdentity, Publish, Published, RunId, RunStatus, StepState, Target,
};
use arrowsmith_io_manager::{IoManager, PartitionedWrite, StoredTable, Version, WriteTarget};
use datafusion::catalog::TableProvider;
use datafusion::logical_expr::lit;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::union::UnionExec;
use datafusion::prelude::SessionContext;
use serde::Serialize;
use uuid::Uuid;

use crate::digest::digest_of;
use crate::executor::micros;
use crate::keyed::POSITION;
use crate::record::published_partitions;
use crate::{Engine, Error, Result};

/// Partitions that are copied together.
const TOGETHER: usize = 256;
/// How long a migration is believed to live; a copy that takes longer is begun again.
const LEASE: std::time::Duration = std::time::Duration::from_hours(6);

/// What a migration did.
#[derive(Debug, Default, Serialize)]
pub struct Migration {
    /// Assets that are stored by the new manager now, with their rows.
    pub migrated: BTreeMap<String, u64>,
    /// Assets that were stored by it already, or not at all.
    pub skipped: Vec<String>,
    /// Assets that could not be copied, and why; they are as they were.
    pub failed: BTreeMap<String, String>,
}

impl Engine {
    /// Copies what is current of assets to the IO manager of a name.
    ///
    /// # Errors
    /// `NoIoManager`, and those of the instance; an asset that fails is told in the answer.
    pub async fn migrate(&self, assets: &[AssetKey], to: &str) -> Result<Migration> {
        let manager = Arc::clone(self.manager(to)?);
        let run_id = RunId(Uuid::now_v7());
        let now = self.clock.now();
        let steps = assets.iter().map(ToString::to_string).collect();
        self.instance
            .start_run(NewRun {
                run_id,
                environment: self.environment.clone(),
                selection: format!("io migrate to {to}"),
                tags: BTreeMap::new(),
                job: None,
                parent: None,
                root: run_id,
                config: serde_json::Value::Null,
                partitions: BTreeMap::new(),
                backfill: None,
                process: ProcessIdentity::current(),
                lease_until: now + micros(LEASE),
                at: now,
                steps,
                pins: Vec::new(),
            })
            .await?;
        let mut migration = Migration::default();
        for asset in assets {
            let key = asset.to_string();
            match self.migrate_asset(run_id, asset, to, &*manager).await {
                Ok(Some(rows)) => {
                    migration.migrated.insert(key, rows);
                }
                Ok(None) => {
                    let reason = format!("it is not stored elsewhere than by `{to}`");
                    let (state, at) = (StepState::Skipped, self.clock.now());
                    let end = EndStep { run_id, step_key: key.clone(), state, reason, at };
                    self.instance.end_steps(vec![end]).await?;
                    migration.skipped.push(key);
                }
                Err(error) => {
                    migration.failed.insert(key, crate::error::chain(&*error));
                }
            }
        }
        let failed = migration.failed.len();
        let status = if failed == 0 { RunStatus::Success } else { RunStatus::Failure };
        let error = (failed > 0).then(|| format!("{failed} assets could not be copied"));
        self.instance
            .end_run(EndRun { run_id, status, error, crashed: false, at: self.clock.now() })
            .await?;
        Ok(migration)
    }

    /// Rows that were copied; `None` if there was nothing to copy.
    async fn migrate_asset(
        &self,
        run_id: RunId,
        key: &AssetKey,
        to: &str,
        manager: &dyn IoManager,
    ) -> Result<Option<u64>, BoxError> {
        let current = match self.current(key).await {
            Ok(current) => current,
            Err(Error::NotMaterialized { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let elsewhere: Vec<Materialization> =
            current.iter().filter(|made| made.io_manager != to).cloned().collect();
        if elsewhere.is_empty() {
            return Ok(None);
        }
        let is_cut = self.resolved.assets[key].asset.partitions.is_some();
        if is_cut && !manager.stores_partitions() {
            return Err(format!("IO manager `{to}` cannot store partitions one by one").into());
        }
        let mut rows = 0;
        if is_cut {
            for made in &elsewhere {
                for keys in made.stored.partitions.chunks(TOGETHER) {
                    let part = made.stored.only(&keys.iter().map(String::as_str).collect());
                    let part = Materialization { stored: Arc::new(part), ..made.clone() };
                    rows += self.copy(run_id, key, to, manager, &[part]).await?;
                }
            }
        } else {
            // What was appended becomes one table.
            rows += self.copy(run_id, key, to, manager, &current).await?;
        }
        self.mirror_by(to, key).await?;
        Ok(Some(rows))
    }

    /// Copies versions of one asset, or partitions of one, and makes the copy current.
    async fn copy(
        &self,
        run_id: RunId,
        key: &AssetKey,
        to: &str,
        manager: &dyn IoManager,
        from: &[Materialization],
    ) -> Result<u64, BoxError> {
        let newest = from.last().ok_or("there is nothing to copy")?;
        let attempt = self.begin_copy(run_id, key, newest).await?;
        let copied = self.write_copy(key, to, manager, from, attempt.version).await;
        let at = self.clock.now();
        let stored = match copied {
            Ok(stored) => stored,
            Err(error) => {
                let reason = crate::error::chain(&*error);
                let end = EndAttempt {
                    attempt_id: attempt.attempt_id,
                    run_id,
                    step_key: key.to_string(),
                    status: AttemptStatus::Failure,
                    state: StepState::Failure,
                    event: Event::StepFailure { error: reason.clone() },
                    reason,
                    at,
                };
                self.instance.end_attempt(end).await?;
                return Err(error);
            }
        };
        let rows = stored.row_count;
        let version = NewVersion {
            asset: key.to_string(),
            partitions: published_partitions(&stored),
            keeps_others: false,
            stored: Arc::new(stored),
            io_manager: to.to_owned(),
            code_version: newest.code_version.clone(),
            inputs: newest.inputs.clone(),
            metadata: newest.metadata.clone(),
            provenance: None,
        };
        let publish = Publish {
            reused: Vec::new(),
            duration_us: (at - attempt.at).try_into().unwrap_or_default(),
            attempt: Arc::new(attempt),
            begins: false,
            loaded: Vec::new(),
            outputs: Vec::new(),
            versions: vec![version],
            at,
        };
        match self.instance.publish(publish).await? {
            Published::Yes => Ok(rows),
            Published::No(refusal) => Err(format!("the copy was not published: {refusal}").into()),
        }
    }

    async fn begin_copy(
        &self,
        run_id: RunId,
        key: &AssetKey,
        from: &Materialization,
    ) -> Result<NewAttempt> {
        let mut keys = from.stored.partitions.clone();
        if keys.is_empty() {
            keys.push(String::new());
        }
        let target = |partition_key| Target { asset: key.to_string(), partition_key };
        let attempt = NewAttempt {
            attempt_id: Uuid::now_v7(),
            run_id,
            step_key: key.to_string(),
            number: 1,
            version: Version(Uuid::now_v7()),
            environment: self.environment.clone(),
            targets: keys.into_iter().map(target).collect(),
            at: self.clock.now(),
        };
        self.instance.begin(vec![attempt.clone()]).await?;
        Ok(attempt)
    }

    /// Writes the rows and compares them with those that were read.
    async fn write_copy(
        &self,
        key: &AssetKey,
        to: &str,
        manager: &dyn IoManager,
        from: &[Materialization],
        version: Version,
    ) -> Result<StoredTable, BoxError> {
        let newest = from.last().ok_or("there is nothing to copy")?;
        let storage = &self.resolved.assets[key].asset.storage;
        let mut target = WriteTarget::new(key.table_path(), version);
        target.partition_by.clone_from(&storage.partition_by);
        if manager.check_options(&storage.options).is_empty() {
            target.options.clone_from(&storage.options);
        }
        target.labels = newest.stored.labels.clone();
        target.labels.remove(crate::attempt::APPENDED);
        target.labels.insert("io_manager".to_owned(), to.to_owned());
        let table = self.table_of_versions(key, from)?;
        let keys = &newest.stored.partitions;
        let plan = if keys.is_empty() {
            self.scan(Arc::clone(&table), None).await?
        } else {
            let (column, shared) = (POSITION.to_owned(), keys.clone().into());
            target.partitions = Some(PartitionedWrite { column, keys: shared });
            let mut plans = Vec::new();
            for (index, partition) in (0_u32..).zip(keys) {
                let one = newest.stored.only(&[partition.as_str()].into());
                let one = Materialization { stored: Arc::new(one), ..newest.clone() };
                plans.push(self.scan(self.table_of_versions(key, &[one])?, Some(index)).await?);
            }
            match plans.len() {
                1 => plans.remove(0),
                _ => UnionExec::try_new(plans)?,
            }
        };
        let stored = manager.write(plan, Arc::clone(&self.session.task), &target).await?;
        let stored = Arc::new(stored);
        let copy = manager.provider(&stored)?;
        let schema = table.schema();
        if digest_of(&self.session.state, table, &schema).await?
            != digest_of(&self.session.state, copy, &schema).await?
        {
            return Err("the copy does not have the rows that were read".into());
        }
        Ok(Arc::unwrap_or_clone(stored))
    }

    /// The rows of a table, with the index of a partition behind them if there is one.
    async fn scan(
        &self,
        table: Arc<dyn TableProvider>,
        partition: Option<u32>,
    ) -> Result<Arc<dyn ExecutionPlan>, BoxError> {
        let frame =
            SessionContext::new_with_state((*self.session.state).clone()).read_table(table)?;
        let frame = match partition {
            Some(index) => frame.with_column(POSITION, lit(index))?,
            None => frame,
        };
        Ok(frame.create_physical_plan().await?)
    }
}
