//! Rows that are gathered by directory until each is encoded at once.
//!
//! One open encoder a directory costs memory and time in proportion to their number, so rows wait
//! until there are enough of them. What does not fit the budget goes out: pieces that are worth it as
//! a row group of the file of their directory, which stays open, and small ones to a spill file, from
//! which they are merged at the end. So there are few files of good size however many directories
//! there are and however the rows come.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{Error, Result, StoredFile};
use datafusion::common::runtime::JoinSet;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use futures::StreamExt;
use tokio::sync::mpsc;

use crate::encoding::Look;
use crate::file::FileWriter;
use crate::spill::{Gathered, Spill, merge};
use crate::split::{Directories, Piece, size_bytes};
use crate::write::{Layout, joined};

/// How much is held in memory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Rows that are cut together.
    block: usize,
    /// Gathered rows of all streams together.
    gathered: usize,
    /// A piece from here on is worth a row group of its own when memory is short.
    group: usize,
    /// What files that stay open for further row groups may hold, encoded.
    held: usize,
}

const MEGABYTE: usize = 1024 * 1024;
const LIMITS: Limits = Limits {
    block: 48 * MEGABYTE,
    gathered: 384 * MEGABYTE,
    group: 3 * MEGABYTE / 2,
    held: 192 * MEGABYTE,
};

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
    /// Row groups that whoever comes next encodes, before more rows are read.
    waiting: BTreeMap<u32, Vec<RecordBatch>>,
    /// Directories of which somebody encodes a row group.
    busy: BTreeSet<u32>,
    open: BTreeMap<u32, FileWriter>,
    spills: Vec<Spill>,
    files: Vec<StoredFile>,
    /// How many files a directory has.
    rounds: BTreeMap<u32, usize>,
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
                self.keep(read.cut()?)?;
                self.encode_waiting().await?;
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn keep(&self, pieces: Vec<Piece>) -> Result<()> {
        let mut state = lock(&self.state);
        for (number, rows) in pieces {
            let bytes = size_bytes(&rows);
            state.gathered.entry(number).or_default().push(rows, bytes);
            state.bytes += bytes;
        }
        if state.bytes > self.limits.gathered { self.make_room(&mut state) } else { Ok(()) }
    }

    /// Lets pieces that are worth it wait to be encoded, and spills the others if there are many.
    fn make_room(&self, state: &mut State) -> Result<()> {
        for (number, gathered) in std::mem::take(&mut state.gathered) {
            if gathered.bytes >= self.limits.group {
                state.bytes -= gathered.bytes;
                state.waiting.entry(number).or_default().extend(gathered.rows);
            } else {
                state.gathered.insert(number, gathered);
            }
        }
        let schema = &self.layout.file.schema;
        if state.bytes > self.limits.gathered / 2 {
            let small = std::mem::take(&mut state.gathered);
            state.bytes = 0;
            state.spills.push(Spill::try_new(&self.context, schema, small)?);
        } else {
            // They would hold on to the blocks of which they were cut.
            state.gathered.values_mut().try_for_each(|gathered| gathered.own(schema))?;
        }
        Ok(())
    }

    async fn encode_waiting(&self) -> Result<()> {
        loop {
            let next = {
                let mut state = lock(&self.state);
                let State { waiting, busy, .. } = &mut *state;
                // Who is busy with a directory looks again when it is done.
                let number = waiting.keys().copied().find(|number| !busy.contains(number));
                let next = number.and_then(|number| waiting.remove_entry(&number));
                busy.extend(number);
                next
            };
            let Some((number, rows)) = next else { return Ok(()) };
            self.write(number, &rows, false).await?;
            lock(&self.state).busy.remove(&number);
        }
    }

    /// Encodes what is left, several directories at the same time.
    pub(crate) async fn finish(self) -> Result<Vec<StoredFile>> {
        let this = Arc::new(self);
        let (gathered, spills) = {
            let mut state = lock(&this.state);
            (std::mem::take(&mut state.gathered), std::mem::take(&mut state.spills))
        };
        let encoders = encoders(&gathered, &spills);
        let (send, receive) = mpsc::channel::<(u32, Vec<RecordBatch>)>(encoders);
        let receive = Arc::new(tokio::sync::Mutex::new(receive));
        let merging = tokio::task::spawn_blocking(move || merge(spills, gathered, &send));
        let mut tasks = JoinSet::new();
        for _ in 0..encoders {
            let (receive, this) = (Arc::clone(&receive), Arc::clone(&this));
            tasks.spawn(async move {
                loop {
                    let next = receive.lock().await.recv().await;
                    let Some((number, rows)) = next else { return Ok(()) };
                    this.write(number, &rows, true).await?;
                }
            });
        }
        joined(tasks).await?;
        merging.await.map_err(|e| Error::query(DataFusionError::ExecutionJoin(Box::new(e))))??;
        let State { open, mut files, .. } = std::mem::take(&mut *lock(&this.state));
        // All rows of these were encoded before the end.
        let mut tasks = JoinSet::new();
        for file in open.into_values() {
            tasks.spawn(file.finish());
        }
        files.extend(joined(tasks).await?);
        Ok(files)
    }

    /// Encodes rows as a row group of the file of their directory, whose last it may be.
    async fn write(&self, number: u32, rows: &[RecordBatch], last: bool) -> Result<()> {
        let open = lock(&self.state).open.remove(&number);
        let mut file = match open {
            Some(open) => open,
            None => self.begin(number, rows, last)?,
        };
        for batch in rows {
            file.write(batch).await?;
        }
        let is_full = file.size_bytes() >= self.layout.target_file_bytes;
        if !last && !is_full {
            file.end_group().await?;
            let mut state = lock(&self.state);
            let held: usize = state.open.values().map(FileWriter::held_bytes).sum();
            if held + file.held_bytes() <= self.limits.held {
                state.open.insert(number, file);
                return Ok(());
            }
        }
        let file = file.finish().await?;
        lock(&self.state).files.push(file);
        Ok(())
    }

    /// A further file of a directory, which has no more than these rows if they are its last.
    fn begin(&self, number: u32, rows: &[RecordBatch], last: bool) -> Result<FileWriter> {
        if let (None, Some(batch)) = (self.look.get(), rows.first())
            && let Some(look) = Look::at(batch, &self.layout.file.properties)
        {
            // Another encoder may have looked at the same time, and saw the same.
            drop(self.look.set(look));
        }
        let row_count = last.then(|| rows.iter().map(RecordBatch::num_rows).sum());
        let look = self.look.get().cloned().unwrap_or_default();
        let mut target = self.layout.file.clone();
        target.properties = look.suited(&target.properties, row_count);
        let path = lock(&self.directories).paths.get(&number).cloned().unwrap_or_default();
        let round = {
            let mut state = lock(&self.state);
            let rounds = state.rounds.entry(number).or_default();
            *rounds += 1;
            *rounds - 1
        };
        FileWriter::new(&target, path, &format!("0000-{round:04}.parquet"))
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
            (Limits { block: 1, gathered: 1, group: usize::MAX, held: 0 }, 40),
            (Limits { block: 4_000, gathered: 30_000, group: usize::MAX, held: 0 }, 40),
            (Limits { block: 4_000, gathered: 30_000, group: 2_000, held: 1 << 20 }, 3),
            (Limits { block: 4_000, gathered: 30_000, group: 1_000, held: 1 << 20 }, 40),
            (Limits { block: 4_000, gathered: 30_000, group: 1_000, held: 3_000 }, 40),
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
