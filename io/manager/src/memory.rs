//! Tables in the memory of this process: for tests, benchmarks and values that need no disk.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, collect_partitioned};

use crate::{
    Damage, Depth, Error, IoManager, OptionProblem, Options, PartitionRows, Result, StoredFile,
    StoredTable, Version, VersionEntry, WriteTarget, encode_key, nearest,
};

/// Keeps the batches of each version; they go when the process ends.
///
/// It has no options and ignores `partition_by`, since it has no files to lay out.
#[derive(Debug, Default)]
pub struct MemoryIoManager {
    tables: Mutex<HashMap<Version, Arc<Kept>>>,
}

#[derive(Debug)]
struct Kept {
    schema: SchemaRef,
    /// As the plan had them; those of a partitioned version are in `keys`.
    partitions: Vec<Vec<RecordBatch>>,
    keys: HashMap<String, Vec<RecordBatch>>,
    stored: StoredTable,
}

impl MemoryIoManager {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self, version: Version) -> Option<Arc<Kept>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(&version).cloned()
    }
}

/// Rows and bytes.
fn sizes<'a>(batches: impl Iterator<Item = &'a RecordBatch>) -> (u64, u64) {
    batches.fold((0, 0), |(rows, bytes), batch| {
        (rows + batch.num_rows() as u64, bytes + batch.get_array_memory_size() as u64)
    })
}

/// What stands for the rows of a partition in the manifest.
fn file(key: &str, rows: &[RecordBatch]) -> StoredFile {
    let (row_count, size_bytes) = sizes(rows.iter());
    StoredFile {
        path: encode_key(key),
        partition_key: Some(key.to_owned()),
        row_count,
        size_bytes,
        ..StoredFile::default()
    }
}

#[async_trait]
impl IoManager for MemoryIoManager {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn store_url(&self) -> String {
        "memory:".to_owned()
    }

    fn stores_partitions(&self) -> bool {
        true
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
        let problem = |option: &String| OptionProblem {
            option: option.clone(),
            message: "the memory manager has no options".to_owned(),
            suggestion: nearest(option, []).map(str::to_owned),
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
        // A single partition is read where it stands, without a task of its own.
        let partitions = if input.output_partitioning().partition_count() == 1 {
            let stream = input.execute(0, context).map_err(Error::query)?;
            vec![collect(stream).await.map_err(Error::query)?]
        } else {
            collect_partitioned(input, context).await.map_err(Error::query)?
        };
        let mut stored = StoredTable::begin(self, target, Arc::clone(&schema));
        let (mut partitions, mut keys) = (partitions, HashMap::new());
        if let Some(cut) = &target.partitions {
            let mut rows = PartitionRows::new(cut.clone());
            for batch in std::mem::take(&mut partitions).into_iter().flatten() {
                rows.add(batch)?;
            }
            keys.extend(rows.drain());
            stored = stored.with_files(keys.iter().map(|(key, rows)| file(key, rows)).collect());
            stored.files.sort_by(|a, b| a.path.cmp(&b.path));
        } else {
            (stored.row_count, stored.size_bytes) = sizes(partitions.iter().flatten());
        }
        let kept = Arc::new(Kept { schema, partitions, keys, stored: stored.clone() });
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(target.version, kept);
        Ok(stored)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        let kept = self.kept(stored.version).ok_or_else(|| Error::Missing {
            table: stored.table.clone(),
            version: stored.version.to_string(),
            store: "the memory of this process".to_owned(),
        })?;
        let of_file = |file: &StoredFile| kept.keys.get(file.partition_key.as_deref()?).cloned();
        let partitions = match stored.partitions.as_slice() {
            [] if kept.stored.partitions.is_empty() => kept.partitions.clone(),
            // A table in memory has at least one list of batches, if only an empty one.
            _ => {
                let of_keys = stored.files.iter().filter_map(of_file);
                of_keys.chain(std::iter::once(Vec::new())).collect()
            }
        };
        let table = MemTable::try_new(Arc::clone(&kept.schema), partitions);
        Ok(Arc::new(table.map_err(Error::query)?))
    }

    async fn verify(&self, stored: &StoredTable, _depth: Depth) -> Result<Vec<Damage>> {
        let damage = Damage {
            path: stored.directory(),
            reason: "it is not in the memory of this process".to_owned(),
        };
        Ok(if self.kept(stored.version).is_some() { vec![] } else { vec![damage] })
    }

    fn locate(&self, _stored: &StoredTable) -> Vec<String> {
        Vec::new()
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = |(version, kept): (&Version, &Arc<Kept>)| VersionEntry {
            table: kept.stored.table.clone(),
            version: *version,
            last_modified: version.created_at(),
            size_bytes: kept.stored.size_bytes,
        };
        Ok(tables.iter().map(entry).collect())
    }

    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        Ok(self.kept(entry.version).map(|kept| kept.stored.clone()))
    }

    async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.remove(&entry.version).map_or(0, |kept| kept.stored.size_bytes))
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}
