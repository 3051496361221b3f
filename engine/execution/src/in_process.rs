//! Runs that leave nothing behind: a user's tests of assets and jobs.
//!
//! Everything is checked and executed as in any run. Only the instance and every IO manager are in
//! the memory of this process, and the home is a temporary folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Entry, OpValue, RecordBatches, Repository};
use arrowsmith_instance::{EventRecord, RunStatus, StepState};
use arrowsmith_io_manager::{IoManager, MemoryIoManager};
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::{
    Engine, EngineOptions, Error, JobRequest, Plan, ProjectError, Result, RunOptions, RunReport,
    Silent,
};

/// A run in memory, and what it has made.
#[derive(Debug)]
pub struct InProcess {
    /// The engine, of which further runs can be asked.
    pub engine: Arc<Engine>,
    /// How the run ended.
    pub report: RunReport,
    _home: TempDir,
}

/// Materializes the assets of a selection, where empty means all, into memory.
///
/// # Errors
/// Problems of definitions or of the selection; failures of steps are in the report.
pub async fn materialize_to_memory(
    repository: &Repository,
    selection: &str,
) -> Result<InProcess, ProjectError> {
    let (engine, home) = open(repository).await?;
    let plan = engine.plan(selection).await?;
    InProcess::run(engine, plan, home).await
}

/// Runs a job with a run config, where null means none, in memory.
///
/// # Errors
/// Problems of definitions or of the config; failures of steps are in the report.
pub async fn execute_in_process(
    repository: &Repository,
    job: &str,
    config: &Value,
) -> Result<InProcess, ProjectError> {
    let (engine, home) = open(repository).await?;
    let config = Some(Entry::of_value(config));
    let request = JobRequest { config, ..JobRequest::default() };
    let plan = engine.plan_job(job, &request).await?;
    InProcess::run(engine, plan, home).await
}

async fn open(repository: &Repository) -> Result<(Arc<Engine>, TempDir), ProjectError> {
    let home = TempDir::new().map_err(|source| Error::Home { source })?;
    let options = EngineOptions::new(home.path()).without_instance();
    let mut engine = Engine::open(repository, options).await?;
    let memory: Arc<dyn IoManager> = Arc::new(MemoryIoManager::new());
    let resolved = Arc::make_mut(&mut engine.resolved);
    for manager in resolved.io_managers.values_mut() {
        *manager = Arc::clone(&memory);
    }
    Ok((Arc::new(engine), home))
}

impl InProcess {
    async fn run(engine: Arc<Engine>, plan: Plan, home: TempDir) -> Result<Self, ProjectError> {
        let cancel = CancellationToken::new();
        let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await?;
        Ok(Self { engine, report, _home: home })
    }

    /// Whether every step went well or was rightly skipped.
    pub fn success(&self) -> bool {
        self.report.status == RunStatus::Success
    }

    /// How each step ended, by its key.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn states(&self) -> Result<BTreeMap<String, StepState>> {
        let steps = self.engine.instance.steps(self.report.run_id).await?;
        Ok(steps.into_iter().map(|step| (step.step_key, step.state)).collect())
    }

    /// What happened in a step, in order.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn events(&self, step: &str) -> Result<Vec<EventRecord>> {
        let events = self.engine.instance.events(self.report.run_id, 0).await?;
        Ok(events.into_iter().filter(|e| e.step_key.as_deref() == Some(step)).collect())
    }

    /// The value that a step has emitted.
    ///
    /// # Errors
    /// If it has not, or the value is of another type.
    pub async fn output<T: OpValue>(&self, step: &str, output: &str) -> Result<T> {
        self.engine.output(self.report.run_id, step, output).await
    }

    /// All rows of an asset.
    ///
    /// # Errors
    /// If it has not been materialized.
    pub async fn rows(&self, asset: &AssetKey) -> Result<RecordBatches> {
        let failed = |error: DataFusionError| Error::Source {
            asset: asset.to_string(),
            source: error.into(),
        };
        let table = self.engine.table(asset).await?;
        let schema = table.schema();
        let frame = SessionContext::new().read_table(table).map_err(failed)?;
        Ok(RecordBatches { schema, batches: frame.collect().await.map_err(failed)? })
    }
}
