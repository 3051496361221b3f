//! Several versions of one table as one table.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{cast, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::union::UnionExec;

/// The rows of several tables, with the columns of one schema: a column that a table does not have
/// is null, one of another type is cast.
pub struct UnionTable {
    schema: SchemaRef,
    tables: Vec<Arc<dyn TableProvider>>,
}

impl UnionTable {
    /// The rows of all of them; none of no table.
    pub fn new(schema: SchemaRef, tables: Vec<Arc<dyn TableProvider>>) -> Self {
        Self { schema, tables }
    }
}

impl fmt::Debug for UnionTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnionTable").field("tables", &self.tables.len()).finish_non_exhaustive()
    }
}

#[async_trait]
impl TableProvider for UnionTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let wanted = match projection {
            Some(columns) => Arc::new(self.schema.project(columns)?),
            None => Arc::clone(&self.schema),
        };
        let mut plans = Vec::new();
        for table in &self.tables {
            let theirs = table.schema();
            let found = wanted.fields().iter().filter_map(|f| theirs.index_of(f.name()).ok());
            let columns: Vec<usize> = found.collect();
            // A filter on a column that is not there or is cast is left to the plan above.
            let data_type = |schema: &SchemaRef, name: &str| {
                schema.field_with_name(name).ok().map(|field| field.data_type().clone())
            };
            let same = |name: &str| data_type(&self.schema, name) == data_type(&theirs, name);
            let pushed = filters
                .iter()
                .filter(|filter| filter.column_refs().iter().all(|column| same(&column.name)));
            let pushed: Vec<Expr> = pushed.cloned().collect();
            let limit = limit.filter(|_| filters.is_empty());
            let plan = table.scan(state, Some(&columns), &pushed, limit).await?;
            plans.push(adapted(plan, &wanted)?);
        }
        match plans.len() {
            0 => Ok(Arc::new(EmptyExec::new(wanted))),
            1 => Ok(plans.remove(0)),
            _ => UnionExec::try_new(plans),
        }
    }
}

/// A plan with exactly the columns of a schema.
fn adapted(plan: Arc<dyn ExecutionPlan>, wanted: &SchemaRef) -> Result<Arc<dyn ExecutionPlan>> {
    let theirs = plan.schema();
    if theirs.fields() == wanted.fields() {
        return Ok(plan);
    }
    let mut columns: Vec<(Arc<dyn PhysicalExpr>, String)> = Vec::new();
    for field in wanted.fields() {
        let column = match theirs.field_with_name(field.name()) {
            Err(_) => lit(ScalarValue::try_from(field.data_type())?),
            Ok(found) if found.data_type() == field.data_type() => col(field.name(), &theirs)?,
            Ok(_) => cast(col(field.name(), &theirs)?, &theirs, field.data_type().clone())?,
        };
        columns.push((column, field.name().clone()));
    }
    Ok(Arc::new(ProjectionExec::try_new(columns, plan)?))
}
