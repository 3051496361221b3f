//! Tables as Parquet files that other programs see as a Delta table.
//!
//! [`DeltaIoManager`] stores versions as [`ParquetIoManager`] does, with the same options, and keeps a
//! Delta log beside them: `<store>/marts/daily_revenue/_delta_log`. Spark, DuckDB, polars and delta-rs
//! read the table there as it is current. The log is a mirror: each commit is the difference between
//! what it shows and what the catalog says, so that a whole table is an overwrite, a partition a
//! `replaceWhere`, and appended rows an append. What Arrowsmith reads are the manifests; a version is
//! published before the log shows it, and a commit that was lost is made up for by the next.
//!
//! The log keeps the Delta protocol (reader 1, writer 2; reader 3, writer 7 with `timestampNtz` where a
//! column needs it). Versions that are not current any more are not in the log, so `VACUUM` of other
//! programs would remove them: leave it to `arrowsmith vacuum`.

mod actions;
mod log;
mod schema;

use std::sync::Arc;

use arrowsmith_io_manager::{
    CurrentVersions, Damage, Depth, IoManager, OptionProblem, Options, Result, Store, StoredTable,
    TablePath, VersionEntry, WriteTarget,
};
use arrowsmith_io_parquet::{ParquetIoManager, ParquetOptions};
use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

const KIND: &str = "delta";

/// Stores tables as Parquet with a Delta log beside them.
#[derive(Debug, Clone)]
pub struct DeltaIoManager {
    store: Store,
    files: ParquetIoManager,
}

impl DeltaIoManager {
    /// A manager that writes with `options` unless an asset says otherwise.
    pub fn new(store: Store, options: ParquetOptions) -> Self {
        let files = ParquetIoManager::new(store.clone(), options).on_behalf_of(KIND);
        Self { store, files }
    }
}

#[async_trait]
impl IoManager for DeltaIoManager {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn store_url(&self) -> String {
        self.files.store_url()
    }

    fn stores_partitions(&self) -> bool {
        true
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
        self.files.check_options(options)
    }

    async fn write(
        &self,
        input: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        target: &WriteTarget,
    ) -> Result<StoredTable> {
        schema::delta_schema(&target.table.table_name(), &target.stored_schema(&input.schema()))?;
        self.files.write(input, context, target).await
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        self.files.provider(stored)
    }

    fn provider_of(
        &self,
        parts: &[Arc<StoredTable>],
        schema: SchemaRef,
    ) -> Result<Arc<dyn TableProvider>> {
        self.files.provider_of(parts, schema)
    }

    async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        self.files.verify(stored, depth).await
    }

    fn locate(&self, stored: &StoredTable) -> Vec<String> {
        self.files.locate(stored)
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        self.files.versions().await
    }

    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        self.files.manifest(entry).await
    }

    async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        self.files.remove(entry).await
    }

    fn has_mirror(&self) -> bool {
        true
    }

    async fn mirror(&self, table: &TablePath, current: &dyn CurrentVersions) -> Result<()> {
        log::show(&self.store, table, current).await
    }

    async fn probe(&self) -> Result<()> {
        self.files.probe().await
    }
}
