//! Measures IO managers: the same rows written and read back in each way that is asked about.
//!
//! Everything is done once without being measured, then as often as is asked; medians are told with
//! their spread. What was read is compared with what was written, so that no way wins by losing rows.

mod rows;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::BoxError;
use arrowsmith_io_manager::{IoManager, Options, StoredTable, TablePath, Version, WriteTarget};
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;

use datafusion::functions_aggregate::expr_fn::{count, max, sum};
use datafusion::logical_expr::{cast, ident, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{DataFrame, SessionContext};
use serde::Serialize;
use uuid::Uuid;

use crate::Engine;
pub use rows::BenchRows;
use rows::Questions;

/// One way to store a table.
#[derive(Debug, Clone)]
pub struct BenchWay {
    /// What it is called.
    pub name: String,
    /// Who stores it.
    pub manager: Arc<dyn IoManager>,
    /// With which options.
    pub options: Options,
    /// Hive columns, outermost first.
    pub partition_by: Vec<String>,
}

/// Seconds of several repetitions.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Seconds {
    /// The middle one.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
}

/// What was measured of one way.
#[derive(Debug, Clone, Serialize)]
pub struct BenchResult {
    /// The way.
    pub way: String,
    /// Time to write all rows and to seal the version.
    pub write: Seconds,
    /// Rows that are written in a second, by the median.
    pub rows_per_second: f64,
    /// Bytes of rows in memory that are written in a second, by the median.
    pub bytes_per_second: f64,
    /// Processor time of a write, of all threads, by the median; unknown where `/proc` is.
    pub write_cpu_seconds: Option<f64>,
    /// The most memory that the process had while it wrote; unknown where `/proc` is not.
    pub peak_memory_bytes: Option<u64>,
    /// Bytes that are stored.
    pub stored_bytes: u64,
    /// Files that are stored.
    pub files: usize,
    /// Time to read, by question: `full`, `projected`, `aggregate`, `point`, and `pruned` where rows
    /// are partitioned.
    pub reads: BTreeMap<&'static str, Seconds>,
    /// Whether the rows that were read are those that were written.
    pub is_equal: bool,
}

impl Seconds {
    fn of(mut all: Vec<f64>) -> Self {
        all.sort_by(f64::total_cmp);
        let at = |index: usize| all.get(index).copied().unwrap_or_default();
        Self { median: at(all.len() / 2), min: at(0), max: at(all.len().saturating_sub(1)) }
    }
}

impl Engine {
    /// Measures one way to store rows, over `repeats` repetitions after one that does not count.
    /// Nothing is left in the store.
    ///
    /// # Errors
    /// Whatever the manager says.
    pub async fn bench_storage(
        &self,
        rows: &BenchRows,
        way: &BenchWay,
        repeats: usize,
    ) -> Result<BenchResult, BoxError> {
        let (mut writes, mut cpu, mut peaks) = (Vec::new(), Vec::new(), Vec::new());
        let mut stored: Option<StoredTable> = None;
        for repeat in 0..=repeats {
            if let Some(before) = stored.take() {
                remove(&*way.manager, &before).await?;
            }
            let mut target =
                WriteTarget::new(TablePath::new(["_bench", "rows"])?, Version(Uuid::now_v7()));
            target.partition_by.clone_from(&way.partition_by);
            target.options.clone_from(&way.options);
            usage::reset_peak();
            let (began, cpu_before) = (self.clock.now(), usage::cpu_seconds());
            let written =
                way.manager.write(rows.plan()?, Arc::clone(&self.session.task), &target).await?;
            let took = seconds(self.clock.now() - began);
            stored = Some(written);
            if repeat > 0 {
                writes.push(took);
                cpu.extend(usage::cpu_seconds().zip(cpu_before).map(|(after, b)| after - b));
                peaks.extend(usage::peak_bytes());
            }
        }
        let stored = Arc::new(stored.ok_or("nothing was written")?);
        let mut reads = BTreeMap::new();
        let questions = Questions::of(rows, &way.partition_by);
        for question in questions.names() {
            let mut times = Vec::new();
            for repeat in 0..=repeats {
                let began = self.clock.now();
                let table = way.manager.provider(&stored)?;
                let frame = SessionContext::new_with_state((*self.session.state).clone());
                let frame = questions.ask(question, frame.read_table(table)?)?;
                answer(frame).await?;
                if repeat > 0 {
                    times.push(seconds(self.clock.now() - began));
                }
            }
            reads.insert(question, Seconds::of(times));
        }
        let is_equal = rows.is_equal(&self.session.state, way.manager.provider(&stored)?).await?;
        let (files, stored_bytes) = (stored.files.len(), stored.size_bytes);
        remove(&*way.manager, &stored).await?;
        let write = Seconds::of(writes);
        let a_second = |amount: f64| if write.median > 0.0 { amount / write.median } else { 0.0 };
        Ok(BenchResult {
            way: way.name.clone(),
            rows_per_second: a_second(rows.row_count as f64),
            bytes_per_second: a_second(rows.size_bytes as f64),
            write_cpu_seconds: (!cpu.is_empty()).then(|| Seconds::of(cpu).median),
            peak_memory_bytes: peaks.into_iter().max(),
            write,
            stored_bytes,
            files,
            reads,
            is_equal,
        })
    }
}

fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Reads an answer to its end.
async fn answer(frame: DataFrame) -> Result<(), BoxError> {
    use futures::TryStreamExt;
    let mut stream = frame.execute_stream().await?;
    while stream.try_next().await?.is_some() {}
    Ok(())
}

async fn remove(manager: &dyn IoManager, stored: &StoredTable) -> Result<(), BoxError> {
    for entry in manager.versions().await? {
        if entry.version == stored.version {
            manager.remove(&entry).await?;
        }
    }
    Ok(())
}

impl BenchRows {
    fn plan(&self) -> Result<Arc<dyn ExecutionPlan>, BoxError> {
        let schema = Arc::clone(&self.schema);
        let plan: Arc<DataSourceExec> =
            MemorySourceConfig::try_new_exec(&self.partitions, schema, None)?;
        Ok(plan)
    }
}

impl Questions {
    fn names(&self) -> Vec<&'static str> {
        let mut names = vec!["full", "projected", "aggregate", "point"];
        names.extend(self.partition.as_ref().map(|_| "pruned"));
        names
    }

    fn ask(&self, question: &str, frame: DataFrame) -> Result<DataFrame, BoxError> {
        let projected: Vec<&str> = self.projected.iter().map(String::as_str).collect();
        Ok(match question {
            "projected" => frame.select_columns(&projected)?,
            "aggregate" => {
                let total = match &self.number {
                    Some(column) => sum(cast(ident(column), arrow::datatypes::DataType::Float64)),
                    None => max(ident(&self.projected[0])),
                };
                let groups = self.text.iter().map(ident).collect();
                frame.aggregate(groups, vec![total, count(lit(1))])?
            }
            "point" => {
                let (column, value) = &self.point;
                frame.filter(ident(column).eq(lit(value.clone())))?
            }
            "pruned" => match &self.partition {
                Some((column, value)) => frame.filter(ident(column).eq(lit(value.clone())))?,
                None => frame,
            },
            _ => frame,
        })
    }
}
