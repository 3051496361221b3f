//! Readers that compare what they find with the manifest before a row is decoded.
//!
//! Parquet has no checksum of a footer, and the pages of most writers have none. So a footer must be
//! readable and say as many rows as were written; on demand every byte of a file is hashed first.

use std::collections::HashMap;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrowsmith_io_manager::{Depth, Error, Store, StoredTable};
use bytes::Bytes;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::ParquetFileReaderFactory;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::BoxFuture;
use object_store::path::Path;
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;

/// Makes readers of the files of one version.
#[derive(Debug)]
pub(crate) struct CheckedReaders {
    inner: CachedParquetFileReaderFactory,
    stored: Arc<StoredTable>,
    /// The place of each file in the version.
    places: HashMap<Path, usize>,
}

impl CheckedReaders {
    pub(crate) fn new(
        inner: CachedParquetFileReaderFactory,
        stored: Arc<StoredTable>,
        places: HashMap<Path, usize>,
    ) -> Self {
        Self { inner, stored, places }
    }
}

impl ParquetFileReaderFactory for CheckedReaders {
    fn create_reader(
        &self,
        partition_index: usize,
        file: PartitionedFile,
        metadata_size_hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let place = self.places.get(&file.object_meta.location).copied();
        let inner = self.inner.create_reader(partition_index, file, metadata_size_hint, metrics)?;
        Ok(match place {
            Some(place) => {
                Box::new(CheckedReader { inner, stored: Arc::clone(&self.stored), place })
            }
            None => inner,
        })
    }
}

struct CheckedReader {
    inner: Box<dyn AsyncFileReader + Send>,
    stored: Arc<StoredTable>,
    place: usize,
}

impl CheckedReader {
    fn damaged(&self, reason: String) -> ParquetError {
        ParquetError::External(Box::new(damaged(&self.stored, self.place, reason)))
    }
}

/// What is told of a file that is not what was written.
fn damaged(stored: &StoredTable, place: usize, reason: String) -> Error {
    let file = stored.files.get(place);
    let partition = file.and_then(|file| file.partition_key.as_deref());
    let reason = match partition {
        Some(key) => format!("{reason} (partition `{key}`)"),
        None => reason,
    };
    Error::Damaged {
        table: stored.table.clone(),
        version: stored.version.to_string(),
        path: file.map_or_else(String::new, |file| file.path.clone()),
        reason,
    }
}

impl AsyncFileReader for CheckedReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        self.inner.get_bytes(range)
    }

    fn get_byte_ranges(
        &mut self,
        ranges: Vec<Range<u64>>,
    ) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        self.inner.get_byte_ranges(ranges)
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            // Footers that lie about lengths make the decoder overflow.
            let decoding = AssertUnwindSafe(self.inner.get_metadata(options)).catch_unwind().await;
            let Ok(decoded) = decoding else {
                return Err(self.damaged("its footer cannot be decoded".to_owned()));
            };
            let metadata = match decoded {
                Ok(metadata) => metadata,
                // What the store says is no word about the file.
                Err(ParquetError::External(source)) => return Err(ParquetError::External(source)),
                Err(error) => return Err(self.damaged(error.to_string())),
            };
            let found = u64::try_from(metadata.file_metadata().num_rows());
            let written = self.stored.files.get(self.place).map(|file| file.row_count);
            if found.ok() != written {
                let (found, written) =
                    (metadata.file_metadata().num_rows(), written.unwrap_or_default());
                return Err(self.damaged(format!("its footer tells {found} rows, not {written}")));
            }
            Ok(metadata)
        }
        .boxed()
    }
}

/// Hashes every byte of some files of a version.
///
/// # Errors
/// `Damaged` for the first that is not what was written.
pub(crate) async fn verify(store: &Store, stored: &StoredTable, places: &[usize]) -> Result<()> {
    let external = |error: Error| DataFusionError::External(error.into());
    let mut part = stored.clone();
    part.files = places.iter().filter_map(|place| stored.files.get(*place).cloned()).collect();
    let damages = store.verify(&part, Depth::Full).await.map_err(external)?;
    let Some(damage) = damages.into_iter().next() else { return Ok(()) };
    let place = stored.files.iter().position(|file| file.path == damage.path);
    Err(external(damaged(stored, place.unwrap_or(usize::MAX), damage.reason)))
}
