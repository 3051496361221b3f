//! Current tables, for queries from outside and for inputs from outside of a plan.

use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Body, BoundInput, ComputeContext, OpValue, StepInfo};
use arrowsmith_instance::{Materialization, OutputRecord, RunId};
use arrowsmith_io_manager::Version;
use datafusion::catalog::TableProvider;

use crate::{Engine, Error, Result};

impl Engine {
    /// The rows of an asset as they are current.
    ///
    /// # Errors
    /// `NotMaterialized`, or `Source` if an external table cannot be read.
    pub async fn table(&self, key: &AssetKey) -> Result<Arc<dyn TableProvider>> {
        if let Some(external) = self.external(key).await? {
            return Ok(external);
        }
        let made = self.current(key).await?;
        self.stored_table(&made)
    }

    /// The current version of an asset with everything that is known of it.
    ///
    /// # Errors
    /// `NotMaterialized`.
    pub async fn current(&self, key: &AssetKey) -> Result<Materialization> {
        let missing = || Error::NotMaterialized { asset: key.to_string() };
        let pointers = self.instance.pointers(&self.environment).await?;
        let pointer = pointers.get(key.as_str()).ok_or_else(missing)?;
        self.version(pointer.version).await?.ok_or_else(missing)
    }

    /// A version of any asset.
    pub async fn version(&self, version: Version) -> Result<Option<Materialization>> {
        Ok(self.instance.materialization(version).await?)
    }

    /// The value that a step of a run has emitted.
    ///
    /// # Errors
    /// `NotStored` if it was not emitted, is a unit or is gone; `Source` if it is of another type.
    pub async fn output<T: OpValue>(&self, run: RunId, step: &str, output: &str) -> Result<T> {
        let missing = || Error::NotStored { step: step.to_owned(), output: output.to_owned() };
        let emitted = self.instance.outputs(run).await?;
        let is_it = |record: &&OutputRecord| record.step_key == step && record.output == output;
        let record = emitted.iter().find(is_it).ok_or_else(missing)?;
        let table = self.emitted(record, None).await?.ok_or_else(missing)?;
        let context = ComputeContext::new(StepInfo::default(), Arc::clone(&self.session))
            .with_inputs(vec![BoundInput::new(output, step, table)]);
        let failed = |source| Error::Source { asset: format!("{step}.{output}"), source };
        context.load(output).await.map_err(failed)
    }

    /// The rows that a step has emitted; `None` if it is a unit, or is stored no more.
    pub(crate) async fn emitted(
        &self,
        record: &OutputRecord,
        manager: Option<&str>,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(stored) = &record.stored {
            let manager = self.manager(manager.unwrap_or(&record.io_manager))?;
            return Ok(Some(manager.provider(stored)?));
        }
        let made = match &record.asset {
            Some(_) => self.version(record.version).await?,
            None => None,
        };
        made.map(|made| self.load(&made, manager)).transpose()
    }

    /// The rows of an asset that Arrowsmith only reads; `None` if it is another.
    pub(crate) async fn external(&self, key: &AssetKey) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(resolved) = self.resolved.asset(key) else { return Ok(None) };
        match &resolved.asset.body {
            Body::External(source) => {
                let failed = |source| Error::Source { asset: key.to_string(), source };
                source.provider().await.map(Some).map_err(failed)
            }
            Body::Computed(_) | Body::Graph { .. } => Ok(None),
        }
    }

    /// The rows of a version, loaded by the manager of this name, else by the one that stored it.
    pub(crate) fn load(
        &self,
        made: &Materialization,
        manager: Option<&str>,
    ) -> Result<Arc<dyn TableProvider>> {
        match manager {
            Some(manager) => Ok(self.manager(manager)?.provider(&made.stored)?),
            None => self.stored_table(made),
        }
    }

    /// The rows of a version, read by the manager that stored it.
    ///
    /// # Errors
    /// `Unreachable` if that manager is no longer configured, or looks elsewhere.
    pub fn stored_table(&self, made: &Materialization) -> Result<Arc<dyn TableProvider>> {
        let manager = self
            .resolved
            .io_managers
            .get(&made.io_manager)
            .filter(|manager| manager.kind() == made.stored.manager)
            .filter(|manager| manager.store_url() == made.stored.store);
        match manager {
            Some(manager) => Ok(manager.provider(&made.stored)?),
            None => Err(Error::Unreachable {
                asset: made.asset.clone(),
                manager: made.io_manager.clone(),
                store: made.stored.store.clone(),
            }),
        }
    }
}
