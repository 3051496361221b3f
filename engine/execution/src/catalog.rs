//! Current tables, for queries from outside and for inputs from outside of a plan.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrowsmith_definitions::{
    AssetKey, Body, BoundInput, ComputeContext, Materialized, OpValue, PartitionExpr,
    ResolvedAsset, StepInfo,
};
use arrowsmith_instance::{Materialization, OutputRecord, RunId};
use arrowsmith_io_manager::{StoredTable, UnionTable, Version};
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
        let resolved = &self.resolved.assets[key];
        if resolved.asset.materialized == Materialized::View {
            let mut bound = Vec::new();
            for input in &resolved.inputs {
                let table = Box::pin(self.table(&input.key)).await?;
                bound.push(BoundInput::new(&input.name, &input.key, table));
            }
            return self.view(key, &bound);
        }
        let current = self.current(key).await?;
        self.table_of_versions(key, &current)
    }

    /// The rows of what [`current_of`](Self::current_of) has found.
    ///
    /// # Errors
    /// `Unreachable`.
    pub fn table_of_versions(
        &self,
        key: &AssetKey,
        current: &[Materialization],
    ) -> Result<Arc<dyn TableProvider>> {
        let resolved = &self.resolved.assets[key];
        if resolved.asset.partitions.is_none()
            && !resolved.asset.materialized.is_incremental()
            && let [made] = current
        {
            return self.stored_table(made);
        }
        let parts = current.iter().map(|made| {
            self.reachable(made)?;
            let (io_manager, stored) = (made.io_manager.clone(), Arc::clone(&made.stored));
            Ok(Part { io_manager, stored })
        });
        self.table_of(resolved, &parts.collect::<Result<Vec<_>>>()?, None)
    }

    /// What is current of an asset with everything that is known of it: one version, or for a
    /// partitioned asset every version that holds current partitions, with just those in it.
    ///
    /// # Errors
    /// `NotMaterialized`.
    pub async fn current(&self, key: &AssetKey) -> Result<Vec<Materialization>> {
        self.current_of(key, None).await
    }

    /// The same, of some partitions only.
    ///
    /// # Errors
    /// Also `Partitions`, if they do not exist or the asset has none.
    pub async fn current_of(
        &self,
        key: &AssetKey,
        partitions: Option<&PartitionExpr>,
    ) -> Result<Vec<Materialization>> {
        let missing = || Error::NotMaterialized { asset: key.to_string() };
        let wrong = |message: String, nearest| Error::Partitions {
            asset: key.to_string(),
            message,
            nearest,
        };
        if let Some(known) = self.partitions(key).await? {
            let set = match partitions {
                Some(expr) => expr
                    .evaluate(&known.keys, &known.materialized)
                    .map_err(|e| wrong(e.message, e.nearest))?,
                None => known.materialized.clone(),
            };
            let mut current = Vec::new();
            for (version, keys) in known.versions(&set) {
                let mut made = self.version(version).await?.ok_or_else(missing)?;
                made.stored = only(&made.stored, &keys);
                current.push(made);
            }
            return if current.is_empty() { Err(missing()) } else { Ok(current) };
        }
        if matches!(self.resolved.assets[key].asset.materialized, Materialized::Append { .. })
            && partitions.is_none()
        {
            let mut current = Vec::new();
            for version in self.appended_versions(key).await? {
                current.push(self.version(version).await?.ok_or_else(missing)?);
            }
            return if current.is_empty() { Err(missing()) } else { Ok(current) };
        }
        if partitions.is_some() {
            return Err(wrong("it has none".to_owned(), None));
        }
        let pointers = self.instance.pointers(&self.environment).await?;
        let pointer = pointers.get(key.as_str()).ok_or_else(missing)?;
        Ok(vec![self.version(pointer.version).await?.ok_or_else(missing)?])
    }

    /// The versions of an asset that appends, oldest first.
    pub(crate) async fn appended_versions(&self, key: &AssetKey) -> Result<Vec<Version>> {
        let pointers = self.instance.pointers(&self.environment).await?;
        let whole = pointers.get(key.as_str()).map(|pointer| pointer.version);
        let parts = self.instance.partitions(&self.environment, key.as_str()).await?;
        let mut versions: Vec<Version> = parts.into_iter().map(|part| part.version).collect();
        versions.extend(whole);
        versions.sort_unstable();
        Ok(versions)
    }

    /// The rows of an incremental asset that are stored already, with the columns that it has now.
    pub(crate) async fn previous(&self, key: &AssetKey) -> Result<Option<Arc<dyn TableProvider>>> {
        match self.current(key).await {
            Ok(current) => self.table_of_versions(key, &current).map(Some),
            Err(Error::NotMaterialized { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The table of a view over those of its inputs.
    pub(crate) fn view(
        &self,
        key: &AssetKey,
        inputs: &[BoundInput],
    ) -> Result<Arc<dyn TableProvider>> {
        let failed = |source| Error::Source { asset: key.to_string(), source };
        match &self.resolved.assets[key].asset.body {
            Body::Computed(compute) => compute.view(inputs, &self.session.state).map_err(failed),
            _ => Err(failed("it is no view".into())),
        }
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
        let context = ComputeContext::new(StepInfo::default(), Arc::clone(&self.session.state))
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
        self.reachable(made)?;
        Ok(self.manager(&made.io_manager)?.provider(&made.stored)?)
    }

    /// # Errors
    /// `Unreachable` if the manager of a version is no longer configured, or looks elsewhere.
    pub(crate) fn reachable(&self, made: &Materialization) -> Result<()> {
        let manager = self.resolved.io_managers.get(&made.io_manager);
        let is_it = manager.is_some_and(|manager| {
            manager.kind() == made.stored.manager && manager.store_url() == made.stored.store
        });
        if is_it {
            return Ok(());
        }
        Err(Error::Unreachable {
            asset: made.asset.clone(),
            manager: made.io_manager.clone(),
            store: made.stored.store.clone(),
        })
    }

    /// The rows of parts of one asset, loaded by `manager`, else by those that stored them.
    pub(crate) fn table_of(
        &self,
        resolved: &ResolvedAsset,
        parts: &[Part],
        manager: Option<&str>,
    ) -> Result<Arc<dyn TableProvider>> {
        let first = || parts.first().map(|part| Arc::clone(part.stored.schema.arrow()));
        let schema = resolved.schema.clone().or_else(first);
        let schema = schema.unwrap_or_else(|| Arc::new(Schema::empty()));
        let mut by_manager: BTreeMap<&str, Vec<Arc<StoredTable>>> = BTreeMap::new();
        for part in parts {
            let manager = manager.unwrap_or(&part.io_manager);
            by_manager.entry(manager).or_default().push(Arc::clone(&part.stored));
        }
        let table = |(manager, parts): (&&str, &Vec<Arc<StoredTable>>)| {
            Ok(self.manager(manager)?.provider_of(parts, Arc::clone(&schema))?)
        };
        let mut tables = by_manager.iter().map(table).collect::<Result<Vec<_>>>()?;
        match tables.pop() {
            Some(only) if tables.is_empty() => Ok(only),
            last => {
                tables.extend(last);
                Ok(Arc::new(UnionTable::new(schema, tables)))
            }
        }
    }
}

/// Some partitions of a version, and the name of the IO manager that stored them.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) io_manager: String,
    pub(crate) stored: Arc<StoredTable>,
}

impl Part {
    pub(crate) fn new(io_manager: &str, stored: &Arc<StoredTable>, keys: &[String]) -> Self {
        Self { io_manager: io_manager.to_owned(), stored: only(stored, keys) }
    }
}

/// A version with only these of its partitions.
fn only(stored: &Arc<StoredTable>, keys: &[String]) -> Arc<StoredTable> {
    if keys.len() == stored.partitions.len() {
        return Arc::clone(stored);
    }
    Arc::new(stored.only(&keys.iter().map(String::as_str).collect()))
}
