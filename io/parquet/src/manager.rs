//! [`ParquetIoManager`]: the contract of `IoManager` put together from the write and read paths.

use std::sync::Arc;

use arrowsmith_io_manager::{
    Damage, Depth, Error, IoManager, OptionProblem, Options, Result, Store, StoredTable,
    VersionEntry, WriteTarget,
};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use crate::ParquetOptions;
use crate::file::FileTarget;
use crate::hive::HiveColumns;
use crate::read::StoredParquet;
use crate::write::{Layout, arrange, write_files};

/// Stores tables as Parquet below the root of a [`Store`].
#[derive(Debug, Clone)]
pub struct ParquetIoManager {
    store: Store,
    options: ParquetOptions,
    kind: &'static str,
}

impl ParquetIoManager {
    /// A manager that writes with `options` unless an asset says otherwise.
    pub fn new(store: Store, options: ParquetOptions) -> Self {
        Self { store, options, kind: "parquet" }
    }

    /// The same files, in manifests that say that another kind of manager has written them: one
    /// that builds on this one.
    #[must_use]
    pub fn on_behalf_of(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }
}

#[async_trait]
impl IoManager for ParquetIoManager {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn store_url(&self) -> String {
        self.store.url().to_owned()
    }

    fn stores_partitions(&self) -> bool {
        true
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
        if options.contains_key("verify_on_read") {
            let message = "`verify_on_read` is an option of the manager, in `[io_managers.NAME]`";
            return vec![OptionProblem {
                option: "verify_on_read".to_owned(),
                message: message.to_owned(),
                suggestion: None,
            }];
        }
        self.options.with(options).err().unwrap_or_default()
    }

    async fn write(
        &self,
        input: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        target: &WriteTarget,
    ) -> Result<StoredTable> {
        let options = self.options.with(&target.options).map_err(|problems| Error::Option {
            manager: self.kind().to_owned(),
            problem: problems.into_iter().map(|p| p.message).collect::<Vec<_>>().join("; "),
        })?;
        let table = target.table.table_name();
        let schema = input.schema();
        let cut = target.partitions.as_ref();
        let hive = match target.partition_by.as_slice() {
            [] if cut.is_none() => None,
            names => Some(HiveColumns::try_new(&table, &schema, names, cut)?),
        };
        let file_schema =
            hive.as_ref().map_or_else(|| Arc::clone(&schema), |h| Arc::clone(&h.file_schema));
        let cut_by: Vec<&str> = cut
            .map(|cut| cut.column.as_str())
            .into_iter()
            .chain(target.partition_by.iter().map(String::as_str))
            .collect();
        let plan = arrange(input, &options, &cut_by)?;
        let mut stored = StoredTable::begin(self, target, target.stored_schema(&schema));
        stored.partition_by = target.partition_by.clone();
        let file = FileTarget {
            store: self.store.clone(),
            directory: stored.directory(),
            properties: options.properties(&file_schema, target),
            schema: file_schema,
        };
        let layout = Layout {
            file,
            hive,
            table_schema: schema,
            target_file_bytes: options.target_file_bytes,
        };
        let stored = stored.with_files(write_files(plan, context, layout).await?);
        self.store.seal(&stored).await?;
        Ok(stored)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        let table = StoredParquet::try_new(
            self.store.clone(),
            Arc::clone(stored),
            self.options.verify_on_read,
        );
        Ok(Arc::new(table.map_err(Error::query)?))
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
