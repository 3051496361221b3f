//! Extractors: what the parameters of an asset function can be.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::dataframe::DataFrame;
use datafusion::datasource::provider_as_source;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{LogicalPlanBuilder, cast, ident};

use crate::{
    AssetReference, BoxError, Columns, ComputeContext, ConfigSchema, Input, Place, ResourceNeed,
};

/// A type that can be a parameter of an asset function.
///
/// It declares what it needs before anything runs, and is extracted for each attempt.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a parameter of an asset",
    label = "not an extractor",
    note = "use `DataFrame`, `Table<Row>`, `RecordBatches`, `SendableRecordBatchStream` or \
            `AssetContext`; the parameter's name says which upstream asset it reads"
)]
pub trait AssetParam: Sized + Send {
    /// Says what the parameter `name` needs.
    fn declare(name: &str, declaration: &mut Declaration);

    /// Makes the parameter for one attempt.
    fn extract(
        name: &str,
        context: &ComputeContext,
    ) -> impl Future<Output = Result<Self, BoxError>> + Send;
}

/// What the parameters of a function need.
#[derive(Debug, Clone, Default)]
pub struct Declaration {
    /// Upstream assets in the order of the parameters.
    pub inputs: Vec<Input>,
    /// What the configuration looks like, if there is one.
    pub config: Option<ConfigSchema>,
    /// Resources, in the order of the parameters.
    pub resources: Vec<ResourceNeed>,
}

impl Declaration {
    /// Adds an input that is found by the parameter's name.
    pub fn input(&mut self, name: &str, expects: Option<SchemaRef>) {
        self.inputs.push(Input { expects, ..Input::new(name, AssetReference::named(name)) });
    }

    /// Says where the parameter `name` stands, for messages about its input.
    pub fn place(&mut self, name: &str, place: &Place) {
        for input in self.inputs.iter_mut().filter(|input| input.name == name) {
            input.place = Some(place.clone());
        }
    }

    /// Makes the parameter `name` read the asset `reference` instead of the one of its name.
    pub fn rename(&mut self, name: &str, reference: &AssetReference) {
        for input in self.inputs.iter_mut().filter(|input| input.name == name) {
            input.reference = reference.clone();
        }
    }

    /// Lets an IO manager load the parameter `name` that is not the one that stored the asset.
    pub fn load_by(&mut self, name: &str, io_manager: &str) {
        for input in self.inputs.iter_mut().filter(|input| input.name == name) {
            input.io_manager = Some(io_manager.to_owned());
        }
    }
}

/// The input as a lazy frame, in which the table has the parameter's name.
fn frame(name: &str, context: &ComputeContext) -> Result<DataFrame, BoxError> {
    let table = Arc::clone(context.input(name)?.table()?);
    let plan = LogicalPlanBuilder::scan(name, provider_as_source(table), None)?.build()?;
    Ok(DataFrame::new((*context.session).clone(), plan))
}

/// The input's columns of these names, cast to these types where they are of others.
///
/// # Errors
/// If a column is missing.
pub fn scan_as(
    name: &str,
    context: &ComputeContext,
    fields: &Fields,
) -> Result<DataFrame, BoxError> {
    let columns = fields
        .iter()
        .map(|field| cast(ident(field.name()), field.data_type().clone()).alias(field.name()));
    Ok(frame(name, context)?.select(columns.collect::<Vec<_>>())?)
}

/// Lazy: what the function asks of it is pushed down to the stored files.
impl AssetParam for DataFrame {
    fn declare(name: &str, declaration: &mut Declaration) {
        declaration.input(name, None);
    }

    async fn extract(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        frame(name, context)
    }
}

/// Batch after batch, with bounded memory.
impl AssetParam for SendableRecordBatchStream {
    fn declare(name: &str, declaration: &mut Declaration) {
        declaration.input(name, None);
    }

    async fn extract(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        Ok(frame(name, context)?.execute_stream().await?)
    }
}

/// All batches of an input in memory.
#[derive(Debug, Clone)]
pub struct RecordBatches {
    /// The columns, also when there is no batch.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
}

impl RecordBatches {
    /// Rows in all batches.
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// All rows of an input.
    pub(crate) async fn read(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        let schema = context.input(name)?.table()?.schema();
        Ok(Self { schema, batches: frame(name, context)?.collect().await? })
    }
}

impl AssetParam for RecordBatches {
    fn declare(name: &str, declaration: &mut Declaration) {
        declaration.input(name, None);
    }

    async fn extract(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        Self::read(name, context).await
    }
}

/// Typed rows: exactly the columns of `R` are read, and they are known to fit before anything
/// runs.
#[derive(Clone)]
pub struct Table<R> {
    batches: Vec<RecordBatch>,
    row: PhantomData<fn() -> R>,
}

impl<R: Columns> Table<R> {
    /// A table of rows.
    ///
    /// # Errors
    /// If a value does not fit its column, such as a decimal with too many digits.
    pub fn from_rows(rows: Vec<R>) -> Result<Self, BoxError> {
        Ok(Self { batches: vec![R::batch(rows)?], row: PhantomData })
    }

    /// The columns of each batch, without copying.
    pub fn batches(&self) -> impl Iterator<Item = R::View<'_>> {
        self.batches.iter().map(|batch| R::view(batch.columns()))
    }

    /// Every row, copied out of the columns.
    pub fn rows(&self) -> impl Iterator<Item = R> + '_ {
        self.batches.iter().flat_map(|batch| {
            let view = R::view(batch.columns());
            (0..batch.num_rows()).map(move |row| R::row(&view, row))
        })
    }

    /// Rows in all batches.
    pub fn row_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The columns of `R` in an input, which hold no null where `R` has no `Option`.
    pub(crate) async fn read(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        let schema = R::schema();
        let batches = scan_as(name, context, schema.fields())?.collect().await?;
        for batch in &batches {
            for (field, column) in schema.fields().iter().zip(batch.columns()) {
                if !field.is_nullable() && column.null_count() > 0 {
                    let (column, input) = (field.name(), &context.input(name)?.from);
                    return Err(format!(
                        "column `{column}` of `{input}` holds nulls, but is declared without"
                    )
                    .into());
                }
            }
        }
        Ok(Self { batches, row: PhantomData })
    }

    /// The batches as they are, with the schema of `R`.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }
}

impl<R> fmt::Debug for Table<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        f.debug_struct("Table").field("rows", &rows).finish_non_exhaustive()
    }
}

impl<R: Columns> AssetParam for Table<R> {
    fn declare(name: &str, declaration: &mut Declaration) {
        declaration.input(name, Some(R::schema()));
    }

    async fn extract(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        Self::read(name, context).await
    }
}
