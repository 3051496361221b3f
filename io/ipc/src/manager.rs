//! [`IpcIoManager`]: the contract of `IoManager` put together from the write and read paths.

use std::sync::Arc;

use arrowsmith_io_manager::{
    Damage, Depth, IoManager, OptionProblem, Options, Result, Store, StoredTable, VersionEntry,
    WriteTarget,
};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use crate::read::StoredIpc;
use crate::write::write_files;

/// Stores tables as Arrow IPC files below the root of a [`Store`].
#[derive(Debug, Clone)]
pub struct IpcIoManager {
    store: Store,
}

impl IpcIoManager {
    /// A manager of a store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

#[async_trait]
impl IoManager for IpcIoManager {
    fn kind(&self) -> &'static str {
        "ipc"
    }

    fn store_url(&self) -> String {
        self.store.url().to_owned()
    }

    fn stores_partitions(&self) -> bool {
        true
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
        let problem = |option: &String| OptionProblem {
            option: option.clone(),
            message: format!("the IPC manager has no options, so no `{option}`"),
            suggestion: None,
        };
        options.keys().map(problem).collect()
    }

    async fn write(
        &self,
        input: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        target: &WriteTarget,
    ) -> Result<StoredTable> {
        let schema = target.stored_schema(&input.schema());
        let stored = StoredTable::begin(self, target, schema);
        let directory = stored.directory();
        let files = write_files(&self.store, &directory, input, context, target).await?;
        let stored = stored.with_files(files);
        self.store.seal(&stored).await?;
        Ok(stored)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(StoredIpc::new(self.store.clone(), Arc::clone(stored))))
    }

    async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        self.store.verify(stored, depth).await
    }

    fn locate(&self, stored: &StoredTable) -> Vec<String> {
        self.store.locate_files(stored)
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        self.store.versions().await
    }

    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        self.store.manifest(entry).await
    }

    async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        self.store.remove_directory(&format!("{}/{}", entry.table, entry.version)).await
    }

    async fn probe(&self) -> Result<()> {
        self.store.probe().await
    }
}
