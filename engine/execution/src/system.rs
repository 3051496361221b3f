//! What the instance remembers, as tables of queries: `system.runs` and others.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use arrowsmith_instance::{SYSTEM_TABLES, SystemColumn, SystemTable};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;

use crate::{Engine, Error, Result};

/// Rows that are read at once.
const PAGE: u32 = 20_000;

/// The names of the tables, as queries have them.
pub fn system_tables() -> Vec<String> {
    SYSTEM_TABLES.iter().map(|table| format!("system.{}", table.name)).collect()
}

impl Engine {
    /// A table of what the instance remembers, as it is now; `None` if there is none of this name.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn system_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Some(table) = SYSTEM_TABLES.iter().find(|table| table.name == name) else {
            return Ok(None);
        };
        let schema = schema_of(table);
        let mut batches = Vec::new();
        let mut offset = 0;
        loop {
            let rows = self.instance.system_rows(table, offset, PAGE).await?;
            let count = u32::try_from(rows.len()).unwrap_or(PAGE);
            let decoded = decode(&schema, &rows).map_err(|source| Error::Session { source })?;
            batches.extend(decoded);
            if count < PAGE {
                break;
            }
            offset += u64::from(count);
        }
        let table = MemTable::try_new(schema, vec![batches]);
        let table = table.map_err(|source| Error::Session { source })?;
        Ok(Some(Arc::new(table)))
    }
}

fn schema_of(table: &SystemTable) -> SchemaRef {
    let field = |(name, kind): &(&str, SystemColumn)| {
        let data_type = match kind {
            SystemColumn::Text => DataType::Utf8,
            SystemColumn::Number => DataType::Int64,
            SystemColumn::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            SystemColumn::Truth => DataType::Boolean,
        };
        Field::new(*name, data_type, true)
    };
    Arc::new(Schema::new(table.columns.iter().map(field).collect::<Vec<_>>()))
}

fn decode(
    schema: &SchemaRef,
    rows: &[serde_json::Value],
) -> Result<Option<arrow::array::RecordBatch>, DataFusionError> {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .with_batch_size(rows.len().max(1))
        .build_decoder()?;
    decoder.serialize(rows)?;
    Ok(decoder.flush()?)
}
