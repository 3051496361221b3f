//! The read path: a manifest as a DataFusion table, without listing and without guessing.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, UInt64Array};
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

use crate::checked::{CheckedReaders, verify};
use crate::prune::{KnownFiles, largest, smallest};

/// A stored version as a table.
///
/// Only the projected columns are read. Partition values and statistics of the manifest leave out
/// files before any is opened; filters are pushed into the scan, where row-group and page statistics leave out rows,
/// and what remains is evaluated while decoding.
pub(crate) struct StoredParquet {
    store: Store,
    stored: Arc<StoredTable>,
    /// Whether every byte of a file is hashed before it is read.
    verifies: bool,
    /// Columns of the files first, hive columns last, as the scan sees them.
    scanned: TableSchema,
    /// For each column of the table its place in `scanned`.
    places: Vec<usize>,
}

impl StoredParquet {
    pub(crate) fn try_new(store: Store, stored: Arc<StoredTable>, verifies: bool) -> Result<Self> {
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
        Ok(Self { store, stored, verifies, places: places?, scanned })
    }

    fn partitioned_file(
        &self,
        file: &StoredFile,
        column_statistics: Vec<ColumnStatistics>,
    ) -> Result<PartitionedFile> {
        let path = format!("{}/{}", self.stored.directory(), file.path);
        let location = self.store.path(&path).map_err(|e| DataFusionError::External(e.into()))?;
        let mut values = Vec::new();
        for field in self.scanned.table_partition_cols() {
            let text = file.partition.get(field.name()).cloned().flatten();
            values.push(scalar(text.as_deref(), field.data_type())?);
        }
        let statistics = Statistics {
            num_rows: exact(file.row_count),
            total_byte_size: exact(file.size_bytes).to_inexact(),
            column_statistics,
        };
        let mut partitioned = PartitionedFile::new(String::new(), file.size_bytes);
        partitioned.object_meta.location = location;
        Ok(partitioned.with_partition_values(values).with_statistics(Arc::new(statistics)))
    }

    /// The files that may have rows which a query wants, with what is known of the columns that it
    /// names: a table of thousands of files and dozens of columns would else be told to the planner
    /// value by value.
    fn files(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
    ) -> Result<Vec<(usize, PartitionedFile)>> {
        let schema = self.stored.schema.arrow();
        let places = (0..self.stored.files.len()).filter(|at| self.stored.files[*at].row_count > 0);
        let places: Vec<usize> = places.collect();
        let with_rows: Vec<_> = places.iter().map(|at| &self.stored.files[*at]).collect();
        let may_match = KnownFiles { files: &with_rows, schema }.may_match(state, filters)?;
        let places = places.into_iter().zip(may_match).filter(|(_, may_match)| *may_match);
        let places: Vec<usize> = places.map(|(at, _)| at).collect();
        let files: Vec<_> = places.iter().map(|at| &self.stored.files[*at]).collect();
        let mut named: HashSet<&str> =
            filters.iter().flat_map(Expr::column_refs).map(|column| column.name.as_str()).collect();
        let projected =
            projection.into_iter().flatten().map(|at| schema.field(*at).name().as_str());
        named.extend(projected);
        let is_named = |name: &str| projection.is_none() || named.contains(name);
        let known = KnownFiles { files: &files, schema };
        let columns = self.scanned.file_schema().fields().iter().map(|field| {
            let name = field.name();
            is_named(name).then(|| {
                (known.extremes(name, smallest), known.extremes(name, largest), known.nulls(name))
            })
        });
        let columns: Vec<_> = columns.collect();
        let statistics = |row: usize| {
            let of_column = |column: &Option<_>| match column {
                None => ColumnStatistics::new_unknown(),
                Some((min, max, nulls)) => column_statistics(row, (min, max), nulls),
            };
            columns.iter().map(of_column).collect()
        };
        let told = places.iter().zip(files).enumerate();
        told.map(|(row, (at, file))| Ok((*at, self.partitioned_file(file, statistics(row))?)))
            .collect()
    }
}

/// What is known of a column in the file of this row.
fn column_statistics(
    row: usize,
    (min, max): (&Option<ArrayRef>, &Option<ArrayRef>),
    nulls: &UInt64Array,
) -> ColumnStatistics {
    let value = |values: &Option<ArrayRef>| {
        let values = values.as_ref().filter(|values| values.is_valid(row));
        let value = values.and_then(|values| ScalarValue::try_from_array(values, row).ok());
        value.map_or(Precision::Absent, Precision::Exact)
    };
    ColumnStatistics {
        null_count: if nulls.is_valid(row) { exact(nulls.value(row)) } else { Precision::Absent },
        min_value: value(min),
        max_value: value(max),
        ..ColumnStatistics::new_unknown()
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
        let (places, files): (Vec<usize>, Vec<PartitionedFile>) =
            self.files(state, projection, filters)?.into_iter().unzip();
        if self.verifies {
            verify(&self.store, &self.stored, &places).await?;
        }
        let cache = runtime.cache_manager.get_file_metadata_cache();
        let reader = CachedParquetFileReaderFactory::new(self.store.readable(), cache);
        let locations = files.iter().map(|file| file.object_meta.location.clone()).zip(places);
        let reader = CheckedReaders::new(reader, Arc::clone(&self.stored), locations.collect());
        let source = ParquetSource::new(self.scanned.clone())
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(reader));

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
