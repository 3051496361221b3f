//! IO managers whose versions are plain files of one format, written a batch after the other.

mod read;
mod write;

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::ExecutionPlan;

use crate::{
    Damage, Depth, IoManager, OptionProblem, Options, Result, Store, StoredTable, VersionEntry,
    WriteTarget,
};
use read::StoredFiles;
use write::write_files;

/// A format of files.
pub trait FileFormat: fmt::Debug + Clone + Send + Sync + 'static {
    /// The kind of its manager, as in `type = "ipc"`.
    const KIND: &'static str;
    /// The ending of its files, without a dot.
    const ENDING: &'static str;

    /// Says what the format cannot hold.
    ///
    /// # Errors
    /// `Unwritable`, which names a column.
    fn check(&self, _table: &str, _schema: &Schema) -> Result<()> {
        Ok(())
    }

    /// What makes the bytes of one file.
    ///
    /// # Errors
    /// If the schema cannot be written.
    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn FileEncoder>>;

    /// A plan that reads files.
    ///
    /// # Errors
    /// The planner's.
    fn scan(&self, scan: FileScan) -> datafusion::error::Result<Arc<dyn ExecutionPlan>>;
}

/// The bytes of one file, as they come.
pub trait FileEncoder: Send {
    /// The bytes of a batch, and of what comes before it.
    ///
    /// # Errors
    /// If a value cannot be written.
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>>;

    /// What comes after the last batch.
    ///
    /// # Errors
    /// If the file cannot be finished.
    fn finish(&mut self) -> Result<Vec<u8>>;
}

/// Files that are to be read.
#[derive(Debug)]
pub struct FileScan {
    /// The store, which the session knows.
    pub url: ObjectStoreUrl,
    /// The files, in groups that are read at the same time.
    pub groups: Vec<FileGroup>,
    /// All columns of the table.
    pub schema: SchemaRef,
    /// Which of them are read; all if it is open.
    pub projection: Option<Vec<usize>>,
    /// How many rows are enough.
    pub limit: Option<usize>,
}

/// Stores tables as files of a format below the root of a [`Store`].
#[derive(Debug, Clone)]
pub struct FileIoManager<F> {
    store: Store,
    format: F,
}

impl<F: FileFormat + Default> FileIoManager<F> {
    /// A manager of a store.
    pub fn new(store: Store) -> Self {
        Self { store, format: F::default() }
    }
}

#[async_trait]
impl<F: FileFormat> IoManager for FileIoManager<F> {
    fn kind(&self) -> &'static str {
        F::KIND
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
            message: format!("the {} manager has no options, so no `{option}`", F::KIND),
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
        self.format.check(&target.table.table_name(), &schema)?;
        let stored = StoredTable::begin(self, target, schema);
        let directory = stored.directory();
        let files =
            write_files(&self.format, &self.store, &directory, input, context, target).await?;
        let stored = stored.with_files(files);
        self.store.seal(&stored).await?;
        Ok(stored)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        let (store, format) = (self.store.clone(), self.format.clone());
        Ok(Arc::new(StoredFiles { store, format, stored: Arc::clone(stored) }))
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
