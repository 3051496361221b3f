//! Tables as immutable CSV files: what anything can read, for exchange and for looking at.
//!
//! [`CsvIoManager`] writes one file a partition of the plan with a header line (RFC 4180), and seals
//! the version with a manifest, which keeps the types. A null is `\\N`, as in PostgreSQL and MySQL, so
//! that it is no empty text; a text that begins with `\\` has one more before it. Numbers are written so
//! that they come back equal, moments as RFC 3339, lists and structs as JSON. Columns of
//! `partition_by` stay in the files; there are no options.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::csv::{Writer, WriterBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrowsmith_io_manager::{
    Error, FileEncoder, FileFormat, FileIoManager, FileScan, MapExec, Result, from_texts, has_text,
    to_texts,
};
use datafusion::common::config::CsvOptions;
use datafusion::datasource::physical_plan::{CsvSource, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_plan::ExecutionPlan;

/// Stores tables as CSV files below the root of a store.
pub type CsvIoManager = FileIoManager<Csv>;

/// CSV with a header line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Csv;

/// The same columns as texts.
fn texts(schema: &Schema) -> SchemaRef {
    let text = |field: &Arc<Field>| Field::new(field.name(), DataType::Utf8, true);
    Arc::new(Schema::new(schema.fields().iter().map(text).collect::<Vec<_>>()))
}

impl FileFormat for Csv {
    const KIND: &'static str = "csv";
    const ENDING: &'static str = "csv";

    fn check(&self, table: &str, schema: &Schema) -> Result<()> {
        match schema.fields().iter().find(|field| !has_text(field.data_type())) {
            None => Ok(()),
            Some(field) => Err(Error::Unwritable {
                table: table.to_owned(),
                reason: format!(
                    "`{}` is {}, which CSV cannot hold",
                    field.name(),
                    field.data_type()
                ),
            }),
        }
    }

    fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn FileEncoder>> {
        let texts = texts(schema);
        let mut writer = WriterBuilder::new().with_header(true).build(Vec::new());
        // A file without rows has its header as well.
        writer.write(&RecordBatch::new_empty(Arc::clone(&texts))).map_err(Error::query)?;
        Ok(Box::new(Encoder { texts, writer: Some(writer) }))
    }

    fn scan(&self, scan: FileScan) -> datafusion::error::Result<Arc<dyn ExecutionPlan>> {
        let wanted = match &scan.projection {
            Some(columns) => Arc::new(scan.schema.project(columns)?),
            None => Arc::clone(&scan.schema),
        };
        let options = CsvOptions {
            has_header: Some(true),
            newlines_in_values: Some(true),
            ..CsvOptions::default()
        };
        let source =
            CsvSource::new(TableSchema::from(texts(&scan.schema))).with_csv_options(options);
        let config = FileScanConfigBuilder::new(scan.url, Arc::new(source))
            .with_file_groups(scan.groups)
            .with_projection_indices(scan.projection)?
            .with_limit(scan.limit)
            .build();
        let texts = DataSourceExec::from_data_source(config);
        let schema = Arc::clone(&wanted);
        let decoded = move |batch: RecordBatch| {
            let columns = batch.columns().iter().zip(schema.fields());
            let columns = columns.map(|(texts, field)| decode(texts, field));
            let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)?)
        };
        Ok(Arc::new(MapExec::new("DecodeExec", texts, &wanted, decoded)))
    }
}

const NULL: &str = "\\N";

/// A column as texts, none of which is null.
fn encode(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let texts = to_texts(column)?;
    let escaped = texts.iter().map(|text| match text {
        None => NULL.to_owned(),
        Some(text) if text.starts_with('\\') => format!("\\{text}"),
        Some(text) => text.to_owned(),
    });
    Ok(Arc::new(StringArray::from_iter_values(escaped)))
}

/// Texts as a column of a type.
fn decode(texts: &ArrayRef, field: &Field) -> Result<ArrayRef, ArrowError> {
    let plain = texts.as_string::<i32>().iter().map(|text| match text {
        Some(NULL) => None,
        // The reader takes an empty text for null.
        None => Some(""),
        Some(text) => Some(text.strip_prefix('\\').unwrap_or(text)),
    });
    from_texts(&plain.collect(), field)
}

struct Encoder {
    texts: SchemaRef,
    writer: Option<Writer<Vec<u8>>>,
}

impl FileEncoder for Encoder {
    fn batch(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        let columns = batch.columns().iter().map(encode).collect::<Result<Vec<_>, _>>();
        let columns = columns.map_err(Error::query)?;
        let batch = RecordBatch::try_new(Arc::clone(&self.texts), columns).map_err(Error::query)?;
        // What was written before goes with it; a writer without a header goes on.
        let mut bytes = self.finish()?;
        let mut writer = WriterBuilder::new().with_header(false).build(Vec::new());
        writer.write(&batch).map_err(Error::query)?;
        bytes.extend(writer.into_inner());
        Ok(bytes)
    }

    fn finish(&mut self) -> Result<Vec<u8>> {
        Ok(self.writer.take().map(Writer::into_inner).unwrap_or_default())
    }
}
