//! [`ParquetIoManager`]: the contract of `IoManager` put together from the write and read paths.

use std::sync::Arc;

use arrowsmith_io_manager::{
    Damage, Depth, Error, IoManager, MANIFEST_NAME, OptionProblem, Options, Result, Store,
    StoredTable, TableSchema, VersionEntry, WriteTarget,
};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use futures::TryStreamExt;
use object_store::ObjectStoreExt;

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
}

impl ParquetIoManager {
    /// A manager that writes with `options` unless an asset says otherwise.
    pub fn new(store: Store, options: ParquetOptions) -> Self {
        Self { store, options }
    }

    /// The BLAKE3 hash of a stored file, read in chunks.
    async fn checksum(&self, relative: &str) -> Result<String> {
        let path = self.store.path(relative)?;
        let failed = |e| Error::storage(&path, e);
        let mut chunks = self.store.objects().get(&path).await.map_err(failed)?.into_stream();
        let mut hasher = blake3::Hasher::new();
        while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
            hasher.update(&chunk);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

#[async_trait]
impl IoManager for ParquetIoManager {
    fn kind(&self) -> &'static str {
        "parquet"
    }

    fn store_url(&self) -> String {
        self.store.url().to_owned()
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
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
        let hive = match target.partition_by.as_slice() {
            [] => None,
            names => Some(HiveColumns::try_new(&table, &schema, names)?),
        };
        let file_schema =
            hive.as_ref().map_or_else(|| Arc::clone(&schema), |h| Arc::clone(&h.file_schema));
        let plan = arrange(input, &options, &target.partition_by)?;
        let mut stored = StoredTable {
            manager: self.kind().to_owned(),
            store: self.store_url(),
            table: target.table.to_string(),
            version: target.version,
            schema: TableSchema::new(Arc::clone(&schema)),
            partition_by: target.partition_by.clone(),
            files: Vec::new(),
            row_count: 0,
            size_bytes: 0,
            labels: target.labels.clone(),
        };
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
        stored.files = write_files(plan, context, layout).await?;
        stored.row_count = stored.files.iter().map(|f| f.row_count).sum();
        stored.size_bytes = stored.files.iter().map(|f| f.size_bytes).sum();
        self.seal(&stored).await?;
        Ok(stored)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        let table = StoredParquet::try_new(self.store.clone(), Arc::clone(stored));
        Ok(Arc::new(table.map_err(Error::query)?))
    }

    async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        for file in &stored.files {
            let relative = format!("{}/{}", stored.directory(), file.path);
            let reason = match self.store.size(&relative).await? {
                None => "the file is missing".to_owned(),
                Some(size) if size != file.size_bytes => {
                    format!("the file has {size} bytes, not {}", file.size_bytes)
                }
                Some(_) if depth == Depth::Size => continue,
                Some(_) => {
                    let found = self.checksum(&relative).await?;
                    if found == file.blake3 {
                        continue;
                    }
                    format!("its checksum is {found}, not {}", file.blake3)
                }
            };
            damages.push(Damage { path: file.path.clone(), reason });
        }
        Ok(damages)
    }

    fn locate(&self, stored: &StoredTable) -> Vec<String> {
        let directory = stored.directory();
        let files = stored.files.iter();
        files.map(|f| self.store.locate(&format!("{directory}/{}", f.path))).collect()
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        self.store.versions().await
    }

    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        let path = format!("{}/{}/{MANIFEST_NAME}", entry.table, entry.version);
        let Some(bytes) = self.store.read(&path).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Damaged {
            table: entry.table.clone(),
            version: entry.version.to_string(),
            path: MANIFEST_NAME.to_owned(),
            reason: e.to_string(),
        })
    }

    async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        self.store.remove_directory(&format!("{}/{}", entry.table, entry.version)).await
    }

    async fn probe(&self) -> Result<()> {
        self.store.probe().await
    }
}

impl ParquetIoManager {
    /// Checks that every file has the length that was hashed, then writes the manifest: a version
    /// without one was never finished.
    async fn seal(&self, stored: &StoredTable) -> Result<()> {
        if let Some(damage) = self.verify(stored, Depth::Size).await?.into_iter().next() {
            return Err(Error::Damaged {
                table: stored.table.clone(),
                version: stored.version.to_string(),
                path: damage.path,
                reason: damage.reason,
            });
        }
        let manifest = serde_json::to_vec_pretty(stored)
            .map_err(|e| Error::query(datafusion::error::DataFusionError::External(e.into())))?;
        self.store.write(&format!("{}/{MANIFEST_NAME}", stored.directory()), manifest).await
    }
}
