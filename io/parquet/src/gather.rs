//! Rows that are gathered by directory until each is encoded at once.
//!
//! Two phases, since one open encoder a directory costs memory and time in proportion to their
//! number. What does not fit the budget is written out: large pieces as files of their own, which is
//! what clustered rows become, and small ones to a spill file, sorted by directory, from which they
//! are merged again at the end. So there are few files of good size however many directories there
//! are and however the rows come.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{Error, HivePath, Result, StoredFile};
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, SpillFile, TaskContext};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::encoding::Look;
use crate::file::FileWriter;
use crate::split::{Directories, Piece, compact, size_bytes};
use crate::write::Layout;

/// How much is held in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows that are cut together.
    block: usize,
    /// Gathered rows of all streams together.
    gathered: usize,
    /// A piece from here on is worth a file of its own when memory is short.
    file: usize,
}

const MEGABYTE: usize = 1024 * 1024;
const LIMITS: Limits =
    Limits { block: 48 * MEGABYTE, gathered: 384 * MEGABYTE, file: 24 * MEGABYTE };
/// Rows of a batch in a spill file.
const SPILLED_ROWS: usize = 16 * 1024;

/// What the streams of one version gather.
pub(crate) struct Gather {
    layout: Layout,
    limits: Limits,
    context: Arc<TaskContext>,
    directories: Mutex<Directories>,
    state: Mutex<State>,
    /// What the first directory that is written shows of the columns.
    look: OnceLock<Look>,
}

#[derive(Default)]
struct State {
    gathered: BTreeMap<u32, Gathered>,
    bytes: usize,
    spills: Vec<Spill>,
    files: Vec<StoredFile>,
    /// How many files a directory has.
    rounds: BTreeMap<u32, usize>,
}

#[derive(Default)]
struct Gathered {
    rows: Vec<RecordBatch>,
    bytes: usize,
}

/// Rows sorted by directory, and how many there are of each.
struct Spill {
    file: Arc<dyn SpillFile>,
    runs: Vec<(u32, usize)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Gather {
    pub(crate) fn try_new(layout: Layout, context: Arc<TaskContext>) -> Result<Self> {
        let hive = layout.hive.clone().ok_or_else(|| {
            Error::query(DataFusionError::Internal("rows go to no directories".to_owned()))
        })?;
        let directories = Directories::try_new(hive, &layout.table_schema)?;
        let (directories, look) = (Mutex::new(directories), OnceLock::new());
        Ok(Self { layout, limits: LIMITS, context, directories, state: Mutex::default(), look })
    }

    /// Takes all rows of a stream.
    pub(crate) async fn feed(&self, mut stream: SendableRecordBatchStream) -> Result<()> {
        let (mut block, mut bytes) = (Vec::new(), 0);
        loop {
            let batch = stream.next().await.transpose().map_err(Error::query)?;
            let ended = batch.is_none();
            if let Some(batch) = batch.filter(|batch| batch.num_rows() > 0) {
                bytes += size_bytes(&batch);
                block.push(batch);
            }
            if (ended && !block.is_empty()) || bytes >= self.limits.block {
                let read = lock(&self.directories).read(&block)?;
                block.clear();
                bytes = 0;
                self.keep(read.cut()?).await?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    async fn keep(&self, pieces: Vec<Piece>) -> Result<()> {
        let mut large = Vec::new();
        {
            let mut state = lock(&self.state);
            for (number, rows) in pieces {
                let bytes = size_bytes(&rows);
                let gathered = state.gathered.entry(number).or_default();
                gathered.rows.push(rows);
                gathered.bytes += bytes;
                state.bytes += bytes;
            }
            if state.bytes > self.limits.gathered {
                let is_large = |gathered: &Gathered| gathered.bytes >= self.limits.file;
                let found = state.gathered.iter().filter(|(_, gathered)| is_large(gathered));
                let numbers: Vec<u32> = found.map(|(number, _)| *number).collect();
                for number in numbers {
                    if let Some(gathered) = state.gathered.remove(&number) {
                        state.bytes -= gathered.bytes;
                        let round = state.rounds.entry(number).or_default();
                        *round += 1;
                        large.push((number, *round - 1, gathered.rows));
                    }
                }
                // What is left is small; it waits in memory unless there is much of it.
                if state.bytes > self.limits.gathered / 2 {
                    let gathered = std::mem::take(&mut state.gathered);
                    state.bytes = 0;
                    let spill = self.spill(gathered)?;
                    state.spills.push(spill);
                }
            }
        }
        for (number, round, rows) in large {
            let path = self.path(number);
            let file = self.write_directory(path, round, &rows).await?;
            lock(&self.state).files.push(file);
        }
        Ok(())
    }

    fn path(&self, number: u32) -> HivePath {
        lock(&self.directories).paths.get(&number).cloned().unwrap_or_default()
    }

    /// Writes rows to a file that is gone when it is dropped.
    fn spill(&self, gathered: BTreeMap<u32, Gathered>) -> Result<Spill> {
        let disk = &self.context.runtime_env().disk_manager;
        let file = disk.create_tmp_file("gathering rows by partition").map_err(Error::query)?;
        let schema = &self.layout.file.schema;
        let out = file.open_writer().map_err(Error::query)?;
        let mut writer = StreamWriter::try_new(out, schema).map_err(Error::query)?;
        let (mut runs, mut waiting, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut flush = |waiting: &mut Vec<RecordBatch>| -> Result<()> {
            if !waiting.is_empty() {
                let batch = arrow::compute::concat_batches(schema, waiting.iter());
                waiting.clear();
                let batch = compact(&batch.map_err(Error::query)?)?;
                writer.write(&batch).map_err(Error::query)?;
            }
            Ok(())
        };
        for (number, gathered) in gathered {
            let count: usize = gathered.rows.iter().map(RecordBatch::num_rows).sum();
            runs.push((number, count));
            rows += count;
            waiting.extend(gathered.rows);
            if rows >= SPILLED_ROWS {
                flush(&mut waiting)?;
                rows = 0;
            }
        }
        flush(&mut waiting)?;
        writer.finish().map_err(Error::query)?;
        let mut out = writer.into_inner().map_err(Error::query)?;
        out.finish().map_err(Error::query)?;
        Ok(Spill { file, runs })
    }

    /// Encodes what is gathered, several directories at the same time.
    pub(crate) async fn finish(self) -> Result<Vec<StoredFile>> {
        let this = Arc::new(self);
        let state = std::mem::take(&mut *lock(&this.state));
        let State { gathered, spills, mut files, rounds, .. } = state;
        let encoders = encoders(&gathered, &spills);
        let (send, receive) = mpsc::channel::<(u32, Vec<RecordBatch>)>(encoders);
        let receive = Arc::new(tokio::sync::Mutex::new(receive));
        let merging = tokio::task::spawn_blocking(move || merge(spills, gathered, &send));
        let mut tasks = JoinSet::new();
        for _ in 0..encoders {
            let (receive, this, rounds) = (Arc::clone(&receive), Arc::clone(&this), rounds.clone());
            tasks.spawn(async move {
                let mut written = Vec::new();
                loop {
                    let next = receive.lock().await.recv().await;
                    let Some((number, rows)) = next else { return Ok(written) };
                    let round = rounds.get(&number).copied().unwrap_or_default();
                    let path = this.path(number);
                    written.push(this.write_directory(path, round, &rows).await?);
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            let written: Result<Vec<StoredFile>> = match done {
                Ok(written) => written,
                Err(e) if e.is_panic() => std::panic::resume_unwind(e.into_panic()),
                Err(e) => Err(Error::query(DataFusionError::ExecutionJoin(Box::new(e)))),
            };
            files.extend(written?);
        }
        merging.await.map_err(|e| Error::query(DataFusionError::ExecutionJoin(Box::new(e))))??;
        Ok(files)
    }
}

impl Gather {
    async fn write_directory(
        &self,
        path: HivePath,
        round: usize,
        rows: &[RecordBatch],
    ) -> Result<StoredFile> {
        let mut file = self.layout.file.clone();
        if let (None, Some(batch)) = (self.look.get(), rows.first())
            && let Some(look) = Look::at(batch)
        {
            // Another encoder may have looked at the same time, and saw the same.
            drop(self.look.set(look));
        }
        let row_count = rows.iter().map(RecordBatch::num_rows).sum();
        let look = self.look.get().cloned().unwrap_or_default();
        file.properties = look.suited(&file.properties, Some(row_count));
        let mut writer = FileWriter::new(&file, path, &format!("0000-{round:04}.parquet"))?;
        for batch in rows {
            writer.write(batch).await?;
        }
        writer.finish().await
    }
}

/// How many directories are encoded at the same time: more than there are processors, so that some
/// compute while others wait for a disk; and small ones by the dozen, since the syncs of many files
/// that wait together are hardly more than one.
fn encoders(gathered: &BTreeMap<u32, Gathered>, spills: &[Spill]) -> usize {
    const SMALL_ROWS: usize = 20_000;
    let rows = |gathered: &Gathered| gathered.rows.iter().map(RecordBatch::num_rows).sum::<usize>();
    let spilled = spills.iter().flat_map(|spill| &spill.runs).map(|(_, count)| count);
    let total = gathered.values().map(rows).sum::<usize>() + spilled.sum::<usize>();
    let most = spills.iter().map(|spill| spill.runs.len()).max().unwrap_or(0).max(gathered.len());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if total / most.max(1) < SMALL_ROWS { processors * 16 } else { processors * 2 }
}

/// Sends the rows of each directory, older ones first. Ends early when nobody takes them any more,
/// since then an encoder has failed and says so.
fn merge(
    spills: Vec<Spill>,
    mut gathered: BTreeMap<u32, Gathered>,
    send: &mpsc::Sender<(u32, Vec<RecordBatch>)>,
) -> Result<()> {
    let mut cursors = spills.into_iter().map(Cursor::try_new).collect::<Result<Vec<_>>>()?;
    loop {
        let spilled = cursors.iter().filter_map(Cursor::number).min();
        let in_memory = gathered.keys().next().copied();
        let Some(number) = spilled.into_iter().chain(in_memory).min() else { return Ok(()) };
        let mut rows = Vec::new();
        for cursor in &mut cursors {
            cursor.take(number, &mut rows)?;
        }
        rows.extend(gathered.remove(&number).into_iter().flat_map(|gathered| gathered.rows));
        if send.blocking_send((number, rows)).is_err() {
            return Ok(());
        }
    }
}

/// A spill file that is being read from its beginning.
struct Cursor {
    reader: StreamReader<BufReader<File>>,
    /// Those that were not taken yet, the next one last.
    runs: Vec<(u32, usize)>,
    batch: Option<RecordBatch>,
    /// Keeps the file until it is read.
    _file: Arc<dyn SpillFile>,
}

impl Cursor {
    fn try_new(spill: Spill) -> Result<Self> {
        let gone = || DataFusionError::Internal("a spill file is not on this machine".to_owned());
        let path = spill.file.path().ok_or_else(|| Error::query(gone()))?;
        let file = File::open(path).map_err(|e| Error::query(DataFusionError::IoError(e)))?;
        let reader = StreamReader::try_new(BufReader::new(file), None).map_err(Error::query)?;
        let runs = spill.runs.into_iter().rev().collect();
        Ok(Self { reader, runs, batch: None, _file: spill.file })
    }

    fn number(&self) -> Option<u32> {
        self.runs.last().map(|(number, _)| *number)
    }

    /// The rows of a directory, if they are the next.
    fn take(&mut self, number: u32, into: &mut Vec<RecordBatch>) -> Result<()> {
        let Some((_, mut left)) = self.runs.pop_if(|(next, _)| *next == number) else {
            return Ok(());
        };
        while left > 0 {
            let Some(batch) = self.batch.take() else {
                self.batch = self.reader.next().transpose().map_err(Error::query)?;
                if self.batch.is_none() {
                    let short = "a spill file is shorter than what was written to it";
                    return Err(Error::query(DataFusionError::Internal(short.to_owned())));
                }
                continue;
            };
            let rows = left.min(batch.num_rows());
            into.push(batch.slice(0, rows));
            left -= rows;
            if rows < batch.num_rows() {
                self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::array::{ArrayRef, Int64Array, StringViewArray};
    use arrow::datatypes::Schema;
    use arrowsmith_io_manager::{Durability, Store};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use datafusion::prelude::SessionContext;

    use super::*;
    use crate::ParquetOptions;
    use crate::file::FileTarget;
    use crate::hive::HiveColumns;

    fn batch(rows: impl Iterator<Item = i64> + Clone, directories: i64) -> RecordBatch {
        let places = rows.clone().map(|row| Some(format!("directory {}", row * 7 % directories)));
        let texts = rows.clone().map(|row| Some(format!("a text that is no small one {row}")));
        RecordBatch::try_from_iter([
            ("place", Arc::new(places.collect::<StringViewArray>()) as ArrayRef),
            ("row", Arc::new(rows.collect::<Int64Array>()) as _),
            ("text", Arc::new(texts.collect::<StringViewArray>()) as _),
        ])
        .expect("a batch")
    }

    /// Whatever is spilled, written early or kept, every row is in a file of its directory, once.
    #[tokio::test]
    async fn no_limit_loses_a_row_or_puts_it_elsewhere() {
        for (limits, directories) in [
            (Limits { block: 1, gathered: 1, file: usize::MAX }, 40),
            (Limits { block: 4_000, gathered: 30_000, file: usize::MAX }, 40),
            (Limits { block: 4_000, gathered: 30_000, file: 2_000 }, 3),
            (Limits { block: 4_000, gathered: 30_000, file: 1_000 }, 40),
            (LIMITS, 40),
        ] {
            let schema = batch(0..1, directories).schema();
            let hive = HiveColumns::try_new("t", &schema, &["place".to_owned()], None);
            let hive = hive.expect("columns");
            let store = Store::open("memory:", "/".as_ref(), Durability::None, &BTreeMap::new());
            let file_schema: Arc<Schema> = Arc::clone(&hive.file_schema);
            let target = arrowsmith_io_manager::WriteTarget::new(
                arrowsmith_io_manager::TablePath::new(["t"]).expect("a path"),
                "01a211da-0dc3-7476-a7ee-9f67735f2606".parse().expect("a version"),
            );
            let layout = Layout {
                file: FileTarget {
                    store: store.expect("a store"),
                    directory: "t/v".to_owned(),
                    properties: ParquetOptions::default().properties(&file_schema, &target),
                    schema: file_schema,
                },
                hive: Some(hive),
                table_schema: Arc::clone(&schema),
                target_file_bytes: u64::MAX,
            };
            let context = SessionContext::new().task_ctx();
            let mut gather = Gather::try_new(layout, context).expect("a gather");
            gather.limits = limits;
            let stream = |first: i64| {
                let batches = (0..20).map(move |i| {
                    let start = (first + i) * 100;
                    Ok(batch(start..start + 100, directories))
                });
                let batches = futures::stream::iter(batches.collect::<Vec<_>>());
                Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&schema), batches))
            };
            let (one, other) = tokio::join!(gather.feed(stream(0)), gather.feed(stream(20)));
            one.and(other).expect("fed");
            let files = gather.finish().await.expect("files");
            let mut found: BTreeMap<String, u64> = BTreeMap::new();
            for file in &files {
                let place = file.partition["place"].clone().expect("a place");
                *found.entry(place.clone()).or_default() += file.row_count;
                // The rows of a directory lie a multiple of their number apart.
                let known = &file.columns["row"];
                for bound in [&known.min, &known.max] {
                    let row: i64 = bound.as_deref().and_then(|t| t.parse().ok()).expect("a row");
                    assert_eq!(place, format!("directory {}", row * 7 % directories));
                }
            }
            let mut expected: BTreeMap<String, u64> = BTreeMap::new();
            for row in 0..4000 {
                *expected.entry(format!("directory {}", row * 7 % directories)).or_default() += 1;
            }
            assert_eq!(found, expected, "{limits:?}");
        }
    }
}
