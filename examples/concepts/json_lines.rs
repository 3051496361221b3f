//! An IO manager of one's own: tables as JSON lines, a file a version, with its manifest beside it.
//!
//! A version that was written is never written again, so nothing has to be moved or locked: the
//! engine publishes it, or leaves it to `vacuum`. The conformance suite in
//! `arrowsmith::io::conformance` says whether a manager keeps the contract.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrowsmith::io::{
    Damage, Depth, Error, IoManager, OptionProblem, Options, Result, StoredTable, VersionEntry,
    WriteTarget, async_trait,
};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, collect};

/// Keeps every version in two files of a folder.
#[derive(Debug)]
pub(crate) struct JsonLines {
    pub(crate) folder: PathBuf,
}

impl JsonLines {
    fn path(&self, table: &str, version: impl std::fmt::Display, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{version}.{ending}", table.replace('/', "~")))
    }

    /// The file of the rows of a version.
    pub(crate) fn rows(&self, stored: &StoredTable) -> PathBuf {
        self.path(&stored.table, stored.version, "jsonl")
    }
}

pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.display().to_string();
    move |source| Error::File { action, path, source }
}

pub(crate) fn query(error: impl Into<datafusion::error::DataFusionError>) -> Error {
    Error::Query { source: error.into() }
}

#[async_trait]
impl IoManager for JsonLines {
    fn kind(&self) -> &'static str {
        "json_lines"
    }

    fn store_url(&self) -> String {
        self.folder.display().to_string()
    }

    fn check_options(&self, _options: &Options) -> Vec<OptionProblem> {
        Vec::new()
    }

    async fn write(
        &self,
        input: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        target: &WriteTarget,
    ) -> Result<StoredTable> {
        let mut stored = StoredTable::begin(self, target, input.schema());
        let batches = collect(input, context).await.map_err(query)?;
        let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
        writer.write_batches(&batches.iter().collect::<Vec<_>>()).map_err(query)?;
        let text = writer.into_inner();
        stored.row_count = batches.iter().map(|batch| batch.num_rows() as u64).sum();
        stored.size_bytes = text.len() as u64;
        let path = self.rows(&stored);
        std::fs::create_dir_all(&self.folder).map_err(file("make", &self.folder))?;
        std::fs::write(&path, text).map_err(file("write", &path))?;
        let manifest = self.path(&stored.table, stored.version, "json");
        let text = serde_json::to_string(&stored).expect("a manifest");
        std::fs::write(&manifest, text).map_err(file("write", &manifest))?;
        Ok(stored)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        let (path, schema) = (self.rows(stored), Arc::clone(stored.schema.arrow()));
        let text = std::fs::read(&path).map_err(file("read", &path))?;
        let reader = arrow::json::ReaderBuilder::new(Arc::clone(&schema));
        let reader = reader.build(&*text).map_err(query)?;
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(query)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![batches]).map_err(query)?))
    }

    async fn verify(&self, stored: &StoredTable, _depth: Depth) -> Result<Vec<Damage>> {
        let path = self.rows(stored);
        let damage = Damage { path: path.display().to_string(), reason: "it is gone".to_owned() };
        Ok(if path.exists() { vec![] } else { vec![damage] })
    }

    fn locate(&self, stored: &StoredTable) -> Vec<String> {
        vec![self.rows(stored).display().to_string()]
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        let folder = std::fs::read_dir(&self.folder).map_err(file("list", &self.folder))?;
        let entry = |name: String| {
            let mut parts = name.strip_suffix(".jsonl")?.rsplitn(2, '.');
            let version: arrowsmith::io::Version = parts.next()?.parse().ok()?;
            let table = parts.next()?.replace('~', "/");
            let last_modified = version.created_at();
            Some(VersionEntry { table, version, last_modified, size_bytes: 0 })
        };
        let names = folder.flatten().map(|file| file.file_name().to_string_lossy().into_owned());
        Ok(names.filter_map(entry).collect())
    }

    async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        let text = std::fs::read(self.path(&entry.table, entry.version, "json"));
        Ok(text.ok().and_then(|text| serde_json::from_slice(&text).ok()))
    }

    async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        for ending in ["json", "jsonl"] {
            let path = self.path(&entry.table, entry.version, ending);
            std::fs::remove_file(&path).map_err(file("remove", &path))?;
        }
        Ok(0)
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}
