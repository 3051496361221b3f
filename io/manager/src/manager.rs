//! The contract of a storage backend.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arrow::datatypes::{Fields, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

use crate::{CurrentVersions, Result, StoredTable, TablePath, UnionTable, Version};

/// Options of a manager as written in a definition, before the manager has looked at them.
pub type Options = serde_json::Map<String, serde_json::Value>;

/// Stores tables as immutable versions and reads them back.
///
/// # Contract
/// - `write` leaves either a complete version whose manifest is durable, or an error; what an
///   error leaves behind is never read, and goes with [`remove`](Self::remove).
/// - Dropping the future of `write` stops the work; nothing becomes visible later.
/// - A version, once written, never changes, and its directory is used once.
/// - The rows of each partition of a [`PartitionedWrite`] can be read alone: the manifest that
///   [`StoredTable::only`] makes is as good as that of a whole version.
/// - `provider` reads exactly the rows of `write`, in any order, with any projection and filter.
///
/// The suite in [`conformance`](crate::conformance) checks all of it for any manager.
#[async_trait]
pub trait IoManager: fmt::Debug + Send + Sync {
    /// The kind, as in `type = "parquet"` and in manifests.
    fn kind(&self) -> &'static str;

    /// The URL of the store, for people and manifests.
    fn store_url(&self) -> String;

    /// Whether it can store a [`PartitionedWrite`]; no other is ever asked to.
    fn stores_partitions(&self) -> bool {
        false
    }

    /// Checks options of one asset without touching storage; returns every problem.
    fn check_options(&self, options: &Options) -> Vec<OptionProblem>;

    /// Executes all partitions of `input` concurrently and stores their rows as a new version.
    ///
    /// # Errors
    /// `Query` if the rows cannot be computed, `Storage` or `File` if they cannot be stored,
    /// `Option` if an option is wrong.
    async fn write(
        &self,
        input: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        target: &WriteTarget,
    ) -> Result<StoredTable>;

    /// The rows of a version, with the manifest's schema; pushes down what it can.
    ///
    /// # Errors
    /// `Missing` if a version that lives in memory is gone.
    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>>;

    /// The rows of several versions of one table, or of [parts](StoredTable::only) of them, with
    /// the columns of `schema`: one that a version does not have is null, one of another type is
    /// cast.
    ///
    /// # Errors
    /// As [`provider`](Self::provider).
    fn provider_of(
        &self,
        parts: &[Arc<StoredTable>],
        schema: SchemaRef,
    ) -> Result<Arc<dyn TableProvider>> {
        let tables = parts.iter().map(|part| self.provider(part)).collect::<Result<_>>()?;
        Ok(Arc::new(UnionTable::new(schema, tables)))
    }

    /// Compares a version with its manifest; an empty answer means that nothing is wrong.
    ///
    /// # Errors
    /// Only when the store cannot be asked; damage is an answer, not an error.
    async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>>;

    /// Paths or URLs of the data files that other programs can read.
    fn locate(&self, stored: &StoredTable) -> Vec<String>;

    /// Every version in the store, finished or not.
    async fn versions(&self) -> Result<Vec<VersionEntry>>;

    /// The manifest of a version; `None` if it was never finished.
    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>>;

    /// Removes a version and everything in its directory; returns the bytes that were freed.
    async fn remove(&self, entry: &VersionEntry) -> Result<u64>;

    /// Whether other programs see the table under a name of its own, which
    /// [`mirror`](Self::mirror) keeps current.
    fn has_mirror(&self) -> bool {
        false
    }

    /// Makes what other programs see of a table, such as a Delta log or a view, show what is
    /// current. It may be repeated, and is never what Arrowsmith itself reads.
    ///
    /// # Errors
    /// `Backend` or `Storage`; the mirror then shows what it has shown before.
    async fn mirror(&self, _table: &TablePath, _current: &dyn CurrentVersions) -> Result<()> {
        Ok(())
    }

    /// Makes sure that the store can be written, before work is begun.
    async fn probe(&self) -> Result<()>;
}

/// What to write, and where.
#[derive(Debug, Clone)]
pub struct WriteTarget {
    /// The table.
    pub table: TablePath,
    /// The new version; never used before.
    pub version: Version,
    /// The schema that the rows were promised to have; they may have any when it is `None`.
    pub promised: Option<SchemaRef>,
    /// How the rows are cut into partitions that are read and replaced one by one, if they are.
    pub partitions: Option<PartitionedWrite>,
    /// Hive columns, outermost first.
    pub partition_by: Vec<String>,
    /// Options of the asset, over the manager's own.
    pub options: Options,
    /// Remembered in file footers and in the manifest.
    pub labels: BTreeMap<String, String>,
}

impl WriteTarget {
    /// A target without promises, partitions, options and labels.
    pub fn new(table: TablePath, version: Version) -> Self {
        Self {
            table,
            version,
            promised: None,
            partitions: None,
            partition_by: Vec::new(),
            options: Options::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// How the rows of a write are cut into partitions.
///
/// All keys are partitions of the version, also those without rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionedWrite {
    /// The `UInt32` column that says for each row the index of its key; it is not stored.
    pub column: String,
    /// The keys.
    pub keys: Arc<[String]>,
}

impl WriteTarget {
    /// The columns that are stored of rows of this schema.
    pub fn stored_schema(&self, rows: &SchemaRef) -> SchemaRef {
        let Some(PartitionedWrite { column, .. }) = &self.partitions else {
            return Arc::clone(rows);
        };
        let kept = rows.fields().iter().filter(|field| field.name() != column).cloned();
        Arc::new(Schema::new(kept.collect::<Fields>()))
    }
}

/// One wrong option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionProblem {
    /// The name of the option as it was written.
    pub option: String,
    /// One sentence.
    pub message: String,
    /// The nearest valid name or value.
    pub suggestion: Option<String>,
}

/// How closely [`IoManager::verify`] looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Existence and length of every file.
    Size,
    /// Also the checksum of every file, and the manifest.
    Full,
}

/// One difference between a manifest and what is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The file, relative to the version.
    pub path: String,
    /// What is wrong with it.
    pub reason: String,
}

/// A version found in a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionEntry {
    /// The encoded table path.
    pub table: String,
    /// The version.
    pub version: Version,
    /// When the newest of its files was changed.
    pub last_modified: SystemTime,
    /// Bytes of its finished files.
    pub size_bytes: u64,
}

/// The candidate that is most like `name`, if any is near enough to be meant.
///
/// ```
/// use arrowsmith_io_manager::nearest;
/// assert_eq!(nearest("compresion", ["compression", "sort_by"]), Some("compression"));
/// assert_eq!(nearest("zzz", ["compression"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    // Two swapped or one wrong letter are a slip in a name of any length.
    let likeness = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        let slip = strsim::damerau_levenshtein(&lower, &candidate) <= 1;
        strsim::jaro_winkler(&lower, &candidate).max(if slip { 0.95 } else { 0.0 })
    };
    candidates
        .into_iter()
        .map(|candidate| (likeness(candidate), candidate))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
