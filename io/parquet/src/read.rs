//! The read path: a manifest as a DataFusion table, without listing and without guessing.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use arrowsmith_io_manager::{Store, StoredFile, StoredTable};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, ScalarValue, Statistics};
use datafusion::config::TableParquetOptions;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

/// A stored version as a table.
///
/// Only the projected columns are read; filters are pushed into the scan, where partition values
/// and statistics of the manifest leave out files, row-group and page statistics leave out rows,
/// and what remains is evaluated while decoding.
pub(crate) struct StoredParquet {
    store: Store,
    stored: Arc<StoredTable>,
    /// Columns of the files first, hive columns last, as the scan sees them.
    scanned: TableSchema,
    /// For each column of the table its place in `scanned`.
    places: Vec<usize>,
}

impl StoredParquet {
    pub(crate) fn try_new(store: Store, stored: Arc<StoredTable>) -> Result<Self> {
        let schema = Arc::clone(stored.schema.arrow());
        let (mut in_files, mut in_paths) = (Vec::new(), Vec::new());
        for field in schema.fields() {
            if !stored.partition_by.contains(field.name()) {
                in_files.push(Arc::clone(field));
            }
        }
        for name in &stored.partition_by {
            in_paths.push(Arc::new(schema.field_with_name(name)?.clone()));
        }
        let scanned = TableSchema::builder(Arc::new(Schema::new(in_files)))
            .with_table_partition_cols(in_paths)
            .build();
        let all = scanned.table_schema();
        let places: Result<Vec<usize>, _> =
            schema.fields().iter().map(|f| all.index_of(f.name())).collect();
        Ok(Self { store, stored, places: places?, scanned })
    }

    fn partitioned_file(&self, file: &StoredFile) -> Result<PartitionedFile> {
        let path = format!("{}/{}", self.stored.directory(), file.path);
        let location = self.store.path(&path).map_err(|e| DataFusionError::External(e.into()))?;
        let mut values = Vec::new();
        for field in self.scanned.table_partition_cols() {
            let text = file.partition.get(field.name()).cloned().flatten();
            values.push(scalar(text.as_deref(), field.data_type())?);
        }
        let statistics = Arc::new(self.file_statistics(file));
        let mut partitioned = PartitionedFile::new(String::new(), file.size_bytes);
        partitioned.object_meta.location = location;
        Ok(partitioned.with_partition_values(values).with_statistics(statistics))
    }

    /// Statistics over the columns of the files; those of hive columns follow from their values.
    fn file_statistics(&self, file: &StoredFile) -> Statistics {
        let column = |field: &Arc<arrow::datatypes::Field>| {
            let Some(known) = file.columns.get(field.name()) else {
                return ColumnStatistics::new_unknown();
            };
            let value = |text: &Option<String>| {
                let parsed = text.as_deref().map(|t| scalar(Some(t), field.data_type()));
                parsed.and_then(Result::ok).map_or(Precision::Absent, Precision::Exact)
            };
            let null_count = known.null_count.and_then(|n| usize::try_from(n).ok());
            ColumnStatistics {
                null_count: null_count.map_or(Precision::Absent, Precision::Exact),
                min_value: value(&known.min),
                max_value: value(&known.max),
                ..ColumnStatistics::new_unknown()
            }
        };
        Statistics {
            num_rows: exact(file.row_count),
            total_byte_size: exact(file.size_bytes).to_inexact(),
            column_statistics: self.scanned.file_schema().fields().iter().map(column).collect(),
        }
    }
}

fn exact(number: u64) -> Precision<usize> {
    usize::try_from(number).map_or(Precision::Absent, Precision::Exact)
}

fn scalar(text: Option<&str>, data_type: &arrow::datatypes::DataType) -> Result<ScalarValue> {
    match text {
        None => ScalarValue::try_from(data_type),
        Some(text) => ScalarValue::try_from_string(text.to_owned(), data_type),
    }
}

impl fmt::Debug for StoredParquet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredParquet")
            .field("table", &self.stored.table)
            .field("version", &self.stored.version)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for StoredParquet {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.stored.schema.arrow())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        // The physical optimizer moves the filter above the scan into it; here it is only told
        // that the scan can use it.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(self.stored.schema.arrow());
        statistics.num_rows = exact(self.stored.row_count);
        statistics.total_byte_size = exact(self.stored.size_bytes).to_inexact();
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let runtime = state.runtime_env();
        let url = self.store.register(runtime).map_err(|e| DataFusionError::External(e.into()))?;
        let mut options = TableParquetOptions {
            global: state.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        options.global.pushdown_filters = true;
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(self.store.readable(), cache);
        let source = ParquetSource::new(self.scanned.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));

        let files: Result<Vec<_>> = self
            .stored
            .files
            .iter()
            .filter(|file| file.row_count > 0)
            .map(|file| self.partitioned_file(file))
            .collect();
        let files = files?;
        let all: Vec<usize> = match projection {
            Some(columns) => columns.iter().map(|i| self.places[*i]).collect(),
            None => self.places.clone(),
        };
        let statistics = files.iter().filter_map(|f| f.statistics.clone());
        let statistics = Statistics::try_merge_iter(
            statistics.collect::<Vec<_>>().iter().map(AsRef::as_ref),
            self.scanned.table_schema(),
        )?;
        let groups = FileGroup::new(files).split_files(state.config().target_partitions());
        // A limit may only be pushed below what filters the rows if nothing does.
        let limit = limit.filter(|_| filters.is_empty());
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(Some(all))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
