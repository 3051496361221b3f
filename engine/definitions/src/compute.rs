//! The contract between the engine and whatever computes an asset.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::physical_plan::ExecutionPlan;

use crate::{AssetKey, Diagnostic};

/// Any error of a user's function.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Computes the rows of an asset: a SQL query, a Rust function, or what else may come.
#[async_trait]
pub trait Compute: fmt::Debug + Send + Sync {
    /// A word for people: `sql`, `rust`.
    fn kind(&self) -> &'static str;

    /// The text whose change is a change of the code, if it is known.
    fn code(&self) -> Option<&str>;

    /// Checks the computation against the schemas of its inputs, without reading a row.
    ///
    /// `inputs` stand in the order of the asset's declaration.
    fn resolve(&self, key: &AssetKey, inputs: &[InputSchema<'_>]) -> Resolution;

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
}

/// What a computation works with: one attempt of one step.
#[derive(Clone)]
pub struct ComputeContext {
    /// The asset that is being computed.
    pub key: AssetKey,
    /// The run.
    pub run_id: String,
    /// Counted from one.
    pub attempt: u32,
    /// In the order of the asset's declaration.
    pub inputs: Vec<BoundInput>,
    /// Plans and executes; shared by all steps of a run, as is its memory.
    pub session: Arc<SessionState>,
    /// Shown with the materialization.
    pub metadata: Arc<Mutex<BTreeMap<String, serde_json::Value>>>,
}

/// An input whose version is chosen.
#[derive(Debug, Clone)]
pub struct BoundInput {
    /// The name by which the computation asks for it.
    pub name: String,
    /// The asset that it is.
    pub key: AssetKey,
    /// The rows of exactly one version.
    pub table: Arc<dyn TableProvider>,
}

impl ComputeContext {
    /// The input of this name.
    ///
    /// # Errors
    /// If the computation did not declare it.
    pub fn input(&self, name: &str) -> Result<&BoundInput, BoxError> {
        self.inputs
            .iter()
            .find(|input| input.name == name)
            .ok_or_else(|| format!("`{}` has no input `{name}`", self.key).into())
    }

    /// Remembers a value with the materialization; the last one of a name counts.
    pub fn add_metadata(&self, name: impl Into<String>, value: impl Into<serde_json::Value>) {
        let mut metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        metadata.insert(name.into(), value.into());
    }
}

impl fmt::Debug for ComputeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputeContext")
            .field("key", &self.key)
            .field("run_id", &self.run_id)
            .field("attempt", &self.attempt)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}
