//! The read path: a manifest as a DataFusion table, without listing.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrowsmith_io_manager::{Store, StoredTable};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ArrowSource, FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A stored version as a table. Only the projected columns are decoded.
pub(crate) struct StoredIpc {
    store: Store,
    stored: Arc<StoredTable>,
}

impl StoredIpc {
    pub(crate) fn new(store: Store, stored: Arc<StoredTable>) -> Self {
        Self { store, stored }
    }
}

impl fmt::Debug for StoredIpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredIpc")
            .field("table", &self.stored.table)
            .field("version", &self.stored.version)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for StoredIpc {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.stored.schema.arrow())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let failed = |e: arrowsmith_io_manager::Error| DataFusionError::External(e.into());
        let url = self.store.register(state.runtime_env()).map_err(failed)?;
        let mut files = Vec::new();
        for file in self.stored.files.iter().filter(|file| file.row_count > 0) {
            let path = format!("{}/{}", self.stored.directory(), file.path);
            let mut partitioned = PartitionedFile::new(String::new(), file.size_bytes);
            partitioned.object_meta.location = self.store.path(&path).map_err(failed)?;
            files.push(partitioned);
        }
        let source = ArrowSource::new_file_source(TableSchema::from(self.schema()));
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
