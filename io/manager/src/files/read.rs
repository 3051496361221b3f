//! The read path: a manifest as a DataFusion table, without listing.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;

use super::{FileFormat, FileScan};
use crate::{Store, StoredTable};

/// A stored version as a table. Only the projected columns are decoded.
pub(super) struct StoredFiles<F> {
    pub(super) store: Store,
    pub(super) format: F,
    pub(super) stored: Arc<StoredTable>,
}

impl<F> fmt::Debug for StoredFiles<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFiles")
            .field("table", &self.stored.table)
            .field("version", &self.stored.version)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<F: FileFormat> TableProvider for StoredFiles<F> {
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
        let failed = |e: crate::Error| DataFusionError::External(e.into());
        let url = self.store.register(state.runtime_env()).map_err(failed)?;
        let mut files = Vec::new();
        for file in self.stored.files.iter().filter(|file| file.row_count > 0) {
            let path = format!("{}/{}", self.stored.directory(), file.path);
            let mut partitioned = PartitionedFile::new(String::new(), file.size_bytes);
            partitioned.object_meta.location = self.store.path(&path).map_err(failed)?;
            files.push(partitioned);
        }
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        let (schema, projection) = (self.schema(), projection.cloned());
        self.format.scan(FileScan { url, groups, schema, projection, limit })
    }
}
