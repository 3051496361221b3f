//! Rows of directories that wait on disk, and the merge that brings them back.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::sync::Arc;

use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{Error, Result};
use datafusion::error::DataFusionError;
use datafusion::execution::{SpillFile, TaskContext};
use tokio::sync::mpsc;

use crate::split::compact;

/// Rows of a batch in a spill file.
const SPILLED_ROWS: usize = 16 * 1024;

/// Rows of one directory.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) rows: Vec<RecordBatch>,
    pub(crate) bytes: usize,
}

impl Gathered {
    pub(crate) fn push(&mut self, rows: RecordBatch, bytes: usize) {
        self.rows.push(rows);
        self.bytes += bytes;
    }

    /// Copies the rows, so that they share nothing with those of others.
    pub(crate) fn own(&mut self, schema: &SchemaRef) -> Result<()> {
        let rows = concat_batches(schema, &self.rows).map_err(Error::query)?;
        self.rows = vec![compact(&rows)?];
        Ok(())
    }
}

/// Rows sorted by directory in a file that is gone when it is dropped.
pub(crate) struct Spill {
    file: Arc<dyn SpillFile>,
    /// Directories and how many rows there are of each.
    pub(crate) runs: Vec<(u32, usize)>,
}

impl Spill {
    pub(crate) fn try_new(
        context: &TaskContext,
        schema: &SchemaRef,
        gathered: BTreeMap<u32, Gathered>,
    ) -> Result<Self> {
        let disk = &context.runtime_env().disk_manager;
        let file = disk.create_tmp_file("gathering rows by partition").map_err(Error::query)?;
        let out = file.open_writer().map_err(Error::query)?;
        let mut writer = StreamWriter::try_new(out, schema).map_err(Error::query)?;
        let (mut runs, mut waiting, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut flush = |waiting: &mut Vec<RecordBatch>| -> Result<()> {
            if !waiting.is_empty() {
                let batch = concat_batches(schema, waiting.iter());
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
        Ok(Self { file, runs })
    }
}

/// Sends the rows of each directory, older ones first. Ends early when nobody takes them any more,
/// since then an encoder has failed and says so.
pub(crate) fn merge(
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
