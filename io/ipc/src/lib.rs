//! Tables as immutable Arrow IPC files: what is written fast and read back at once, such as the
//! outputs of ops.
//!
//! [`IpcIoManager`] writes one file a partition of the plan, in the `file` form of the format, and
//! seals the version with a manifest. Columns of `partition_by` stay in the files; there are no
//! options.
//!
//! It knows no graph, run or job; what they want to find in a manifest comes as labels.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use arrowsmith_io_manager::{Error, FileEncoder, FileFormat, FileIoManager, FileScan, Result};
use datafusion::datasource::physical_plan::{ArrowSource, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_plan::ExecutionPlan;

/// Stores tables as Arrow IPC files below the root of a store.
pub type IpcIoManager = FileIoManager<Ipc>;

/// The `file` form of Arrow IPC.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ipc;

impl FileFormat for Ipc {
    const KIND: &'static str = "ipc";
    const ENDING: &'static str = "arrow";

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn FileEncoder>> {
        Ok(Box::new(Encoder(FileWriter::try_new(Vec::new(), schema).map_err(Error::query)?)))
    }

    fn scan(&self, scan: FileScan) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let source = ArrowSource::new_file_source(TableSchema::from(scan.schema));
        let config = FileScanConfigBuilder::new(scan.url, Arc::new(source))
            .with_file_groups(scan.groups)
            .with_projection_indices(scan.projection)?
            .with_limit(scan.limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

struct Encoder(FileWriter<Vec<u8>>);

impl FileEncoder for Encoder {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        self.0.write(batch).map_err(Error::query)?;
        Ok(std::mem::take(self.0.get_mut()))
    }

    fn finish(&mut self) -> Result<Vec<u8>> {
        self.0.finish().map_err(Error::query)?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}
