//! The contract between the engine and whatever computes an asset.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use crate::{
    AssetKey, BoundInput, ColumnLineage, ComputeContext, ConfigSchema, Diagnostic, Reads,
    ResourceNeed,
};

/// Any error of a user's function.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Computes the rows of an asset: a SQL query, a Rust function, or what else may come.
#[async_trait]
pub trait Compute: fmt::Debug + Send + Sync {
    /// A word for people: `sql`, `rust`.
    fn kind(&self) -> &'static str;

    /// The text whose change is a change of the code, if it is known.
    fn code(&self) -> Option<&str>;

    /// What its configuration looks like; `None` takes none.
    fn config(&self) -> Option<&ConfigSchema> {
        None
    }

    /// What it needs besides inputs.
    fn resources(&self) -> &[ResourceNeed] {
        &[]
    }

    /// Checks the computation against the schemas of its inputs, without reading a row.
    ///
    /// `inputs` stand in the order of the asset's declaration.
    fn resolve(&self, key: &AssetKey, inputs: &[InputSchema<'_>]) -> Resolution;

    /// Which columns of its inputs its columns come from; `None` if that is not known.
    ///
    /// `inputs` stand in the order of the asset's declaration.
    fn lineage(&self, _inputs: &[InputSchema<'_>]) -> Option<ColumnLineage> {
        None
    }

    /// The table of an asset that is a [view](crate::Materialized::View), over those of its inputs.
    ///
    /// # Errors
    /// Whatever keeps it from being planned; by default that it is none.
    fn view(
        &self,
        _inputs: &[BoundInput],
        _session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, BoxError> {
        Err(format!("what is computed by {} is no view", self.kind()).into())
    }

    /// Whether it computes no rows of partitions that it is not asked for, although its query might:
    /// those are left out and are no mistake.
    fn filters_partitions(&self) -> bool {
        false
    }

    /// The plan whose rows are the asset; nothing is executed yet, or as little as possible.
    ///
    /// # Errors
    /// Whatever the computation returns; a panic is caught by the executor.
    async fn compute(&self, context: ComputeContext) -> Result<Arc<dyn ExecutionPlan>, BoxError>;
}

/// One input of a computation that is being checked.
#[derive(Debug, Clone)]
pub struct InputSchema<'a> {
    /// The name by which the computation asks for it.
    pub name: &'a str,
    /// The asset that it is.
    pub key: &'a AssetKey,
    /// Its columns, if they are known.
    pub schema: Option<&'a SchemaRef>,
}

/// What a check found.
#[derive(Debug, Clone, Default)]
pub struct Resolution {
    /// The columns of the result, if they are known before it runs.
    pub schema: Option<SchemaRef>,
    /// Everything that is wrong.
    pub problems: Vec<Diagnostic>,
    /// What the result depends on; unknown if it is open.
    pub reads: Option<Reads>,
}
