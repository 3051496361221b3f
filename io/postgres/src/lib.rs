//! Tables as tables of a PostgreSQL database.
//!
//! Each version is a table of its own, `arrowsmith.v_…`, which one transaction makes, fills by `COPY`
//! and seals with a manifest in `arrowsmith.versions`: a version is there with all its rows, or not at
//! all. Other programs read the view of the asset's name, such as `marts.daily_revenue`, which shows
//! what is current; it is swapped in a transaction, so that its readers see one state or the other.
//!
//! | Arrow | PostgreSQL |
//! |---|---|
//! | integers | `smallint`, `integer`, `bigint`; `numeric(20)` for `UInt64` |
//! | floats, decimals | `real`, `double precision`, `numeric(p, s)` |
//! | text, also as dictionary | `text` |
//! | dates, times, moments | `date`, `time`, `timestamp`, `timestamptz`, in microseconds |
//! | bytes | `bytea` |
//! | lists and structs | `json` |
//!
//! What the database cannot hold, such as nanoseconds or a zero byte in a text, is an error of the
//! write and never rounded.

mod copy;
mod database;
mod filter;
mod mirror;
mod read;
mod types;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_io_manager::{
    CurrentVersions, Damage, Depth, IoManager, OptionProblem, Options, Result, StoredTable,
    TablePath, VersionEntry, WriteTarget,
};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use database::Database;

const KIND: &str = "postgres";

/// Stores tables in a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresIoManager {
    database: Arc<Database>,
}

impl PostgresIoManager {
    /// A manager of the database at `postgres://user@host:port/name`; nothing is asked of it yet.
    ///
    /// `settings` are `user` and `password`; what they leave open comes from the URL, from `PGUSER`,
    /// `PGPASSWORD` and their like, and from `~/.pgpass`.
    ///
    /// # Errors
    /// `Url` if the URL or a setting cannot be used.
    pub fn open(url: &str, settings: &BTreeMap<String, String>) -> Result<Self> {
        Ok(Self { database: Arc::new(Database::open(url, settings)?) })
    }
}

#[async_trait]
impl IoManager for PostgresIoManager {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn store_url(&self) -> String {
        self.database.shown().to_owned()
    }

    fn stores_partitions(&self) -> bool {
        true
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
        let problem = |option: &String| OptionProblem {
            option: option.clone(),
            message: format!("the postgres manager has no options, so no `{option}`"),
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
        let columns = types::columns(&target.table.table_name(), &schema)?;
        let stored = StoredTable::begin(self, target, schema);
        write::write(&self.database, (input, context), target.partitions.clone(), columns, stored)
            .await
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        Ok(Arc::new(read::StoredRelation::new(&self.database, stored)))
    }

    async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        self.database.verify(stored, depth).await
    }

    fn locate(&self, stored: &StoredTable) -> Vec<String> {
        vec![format!("{}#{}", self.database.shown(), database::relation(stored.version))]
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        self.database.versions().await
    }

    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        self.database.manifest(entry).await
    }

    async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        self.database.remove(entry).await
    }

    fn has_mirror(&self) -> bool {
        true
    }

    async fn mirror(&self, table: &TablePath, current: &dyn CurrentVersions) -> Result<()> {
        mirror::show(&self.database, table, current).await
    }

    async fn probe(&self) -> Result<()> {
        self.database.connect("write", "arrowsmith.versions").await.map(drop)
    }
}
