//! The read path: a version as a DataFusion table, read by `COPY`.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrowsmith_io_manager::{Error, StoredTable};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use futures::StreamExt;

use crate::copy::Decoder;
use crate::database::{Database, identifier, literal, refused, relation};
use crate::filter::condition;
use crate::types::PARTITION;

/// Batches that wait for their reader.
const WAITING_MAX: usize = 2;

/// A stored version as a table. Only the projected columns are sent, and only rows that can pass the
/// filters.
pub(crate) struct StoredRelation {
    database: Arc<Database>,
    stored: Arc<StoredTable>,
}

impl StoredRelation {
    pub(crate) fn new(database: &Arc<Database>, stored: &Arc<StoredTable>) -> Self {
        Self { database: Arc::clone(database), stored: Arc::clone(stored) }
    }

    /// The query of a scan.
    fn query(&self, schema: &SchemaRef, filters: &[Expr], limit: Option<usize>) -> String {
        let names = schema.fields().iter().map(|field| identifier(field.name()));
        let names = names.collect::<Vec<_>>().join(", ");
        let all = self.stored.schema.arrow();
        let mut conditions: Vec<String> =
            filters.iter().filter_map(|filter| condition(filter, all)).collect();
        if !self.stored.partitions.is_empty() {
            let keys = self.stored.files.iter().filter_map(|file| file.partition_key.as_deref());
            let keys: Vec<String> = keys.map(literal).collect();
            let keys = if keys.is_empty() { "null".to_owned() } else { keys.join(", ") };
            conditions.push(format!("{PARTITION} in ({keys})"));
        }
        let mut query = format!("select {names} from {}", relation(self.stored.version));
        if !conditions.is_empty() {
            query.push_str(&format!(" where {}", conditions.join(" and ")));
        }
        // Rows that a filter takes away later must not be counted.
        if let Some(limit) = limit.filter(|_| filters.is_empty()) {
            query.push_str(&format!(" limit {limit}"));
        }
        query
    }
}

impl fmt::Debug for StoredRelation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredRelation")
            .field("table", &self.stored.table)
            .field("version", &self.stored.version)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for StoredRelation {
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
        let schema = self.stored.schema.arrow();
        let support = |filter: &&Expr| match condition(filter, schema) {
            Some(_) => TableProviderFilterPushDown::Inexact,
            None => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = match projection {
            Some(columns) => Arc::new(self.schema().project(columns)?),
            None => self.schema(),
        };
        let copy = Copy {
            database: Arc::clone(&self.database),
            table: self.stored.table.clone(),
            query: self.query(&schema, filters, limit),
            schema: Arc::clone(&schema),
        };
        let streams: Vec<Arc<dyn PartitionStream>> = vec![Arc::new(copy)];
        let scan = StreamingTableExec::try_new(schema, streams, None, [], false, None)?;
        Ok(Arc::new(scan))
    }
}

/// The rows of a query.
struct Copy {
    database: Arc<Database>,
    table: String,
    query: String,
    schema: SchemaRef,
}

impl fmt::Debug for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Copy").field("query", &self.query).finish_non_exhaustive()
    }
}

impl PartitionStream for Copy {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let mut stream = RecordBatchReceiverStream::builder(Arc::clone(&self.schema), WAITING_MAX);
        let (send, batch_rows) = (stream.tx(), context.session_config().batch_size());
        let (database, table) = (Arc::clone(&self.database), self.table.clone());
        let statement = format!("copy ({}) to stdout", self.query);
        let mut decoder = Decoder::new(Arc::clone(&self.schema));
        stream.spawn(async move {
            let failed = |error| external(refused("read", &table, error));
            let mut connection = database.connect("read", &table).await.map_err(external)?;
            let mut lines = connection.copy_out_raw(&statement).await.map_err(failed)?;
            while let Some(bytes) = lines.next().await.transpose().map_err(failed)? {
                decoder.add(&bytes)?;
                if decoder.rows() >= batch_rows && send.send(Ok(decoder.take()?)).await.is_err() {
                    return Ok(());
                }
            }
            if decoder.rows() > 0 {
                // Nobody who listens is nobody who waits.
                send.send(Ok(decoder.take()?)).await.ok();
            }
            Ok(())
        });
        stream.build()
    }
}

fn external(error: Error) -> DataFusionError {
    DataFusionError::External(error.into())
}
