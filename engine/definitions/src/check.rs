//! Asset checks: what must hold of a table before anybody sees it.
//!
//! Checks see the version that was written and is not yet published. One that fails with severity
//! `error` and is blocking keeps it from being published: the table stays as it was.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::{AssetKey, BoxError, ComputeContext, Diagnostic, InputSchema, Place, RecordBatches};

/// A condition on the rows of an asset.
#[derive(Debug, Clone)]
pub struct AssetCheck {
    /// Its name, unique for the asset.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// What a failure means.
    pub severity: CheckSeverity,
    /// Whether a failure with severity `error` keeps the version from being published.
    pub blocking: bool,
    /// How it is evaluated.
    pub body: Arc<dyn CheckBody>,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// What a failed check means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckSeverity {
    /// It is recorded, and nothing else.
    Warn,
    /// It keeps the version from being published, if the check is blocking.
    #[default]
    Error,
}

/// How a check is evaluated: while the version is written, or over all of it.
#[async_trait]
pub trait CheckBody: fmt::Debug + Send + Sync {
    /// What is wrong with the check itself, given the columns of the asset, if they are known,
    /// and those of its inputs.
    fn resolve(
        &self,
        key: &AssetKey,
        schema: Option<&SchemaRef>,
        inputs: &[InputSchema<'_>],
    ) -> Vec<Diagnostic>;

    /// Says what is checked, without where it is written, so that a change of it is one; `None` if
    /// only its name is known.
    fn code(&self) -> Option<String> {
        None
    }

    /// What is evaluated while the rows are written, if that is enough: then the version is not
    /// read back. `schema` is that of the rows.
    ///
    /// # Errors
    /// If it does not fit the rows.
    fn watch(&self, schema: &SchemaRef) -> Result<Option<Watch>, BoxError>;

    /// Looks at the version that was written.
    ///
    /// # Errors
    /// Whatever keeps it from being evaluated, which is no answer to the check.
    async fn evaluate(&self, context: CheckContext) -> Result<CheckResult, BoxError>;
}

/// What a check evaluates while rows are written.
#[derive(Debug, Clone)]
pub enum Watch {
    /// A predicate that is true for failing rows.
    FailingRows(Arc<dyn PhysicalExpr>),
    /// An expression over aggregates of all rows.
    Aggregates(AggregateWatch),
}

/// An expression over aggregates of all rows, such as `avg(delay) < 60`.
#[derive(Debug, Clone)]
pub struct AggregateWatch {
    /// What is aggregated.
    pub aggregates: Vec<Aggregate>,
    /// A column for the result of each.
    pub results: SchemaRef,
    /// Over one row of results, whether the check holds.
    pub holds: Arc<dyn PhysicalExpr>,
}

/// One aggregate over all rows.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// As it is written in SQL.
    pub text: String,
    /// The function and its arguments.
    pub function: Arc<AggregateFunctionExpr>,
    /// Which rows it is over, if not all.
    pub filter: Option<Arc<dyn PhysicalExpr>>,
}

/// What a check looks at.
#[derive(Debug, Clone)]
pub struct CheckContext {
    /// The asset.
    pub key: AssetKey,
    /// The version that was written and is not published.
    pub table: Arc<dyn TableProvider>,
    /// How many rows it has.
    pub row_count: u64,
    /// That of the step, with its inputs.
    pub step: ComputeContext,
}

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CheckResult {
    /// Whether the condition holds.
    pub passed: bool,
    /// How many rows it does not hold for, if it is about rows.
    pub failing_rows: Option<u64>,
    /// A few of them.
    pub sample: Vec<serde_json::Value>,
    /// In one sentence, what was found.
    pub found: Option<String>,
}

/// How many failing rows are kept.
pub const SAMPLED_ROWS: usize = 10;

impl CheckResult {
    /// The condition holds.
    pub fn pass() -> Self {
        Self { passed: true, ..Self::default() }
    }

    /// It does not, for this reason.
    pub fn fail(found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..Self::default() }
    }

    /// It holds if there is no failing row; a few of them are kept.
    ///
    /// # Errors
    /// If a row cannot be shown.
    pub fn of_rows(count: u64, sample: &[RecordBatch]) -> Result<Self, BoxError> {
        let mut json = Vec::new();
        let mut writer = arrow::json::ArrayWriter::new(&mut json);
        for batch in sample {
            writer.write(batch)?;
        }
        writer.finish()?;
        drop(writer);
        let sample: Vec<serde_json::Value> =
            if json.is_empty() { Vec::new() } else { serde_json::from_slice(&json)? };
        Ok(Self { passed: count == 0, failing_rows: Some(count), sample, found: None })
    }
}

type Evaluate =
    dyn Fn(RecordBatches) -> BoxFuture<'static, Result<CheckResult, BoxError>> + Send + Sync;

/// A function of all rows as a check.
struct Function(Box<Evaluate>);

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

#[async_trait]
impl CheckBody for Function {
    fn resolve(
        &self,
        _key: &AssetKey,
        _schema: Option<&SchemaRef>,
        _inputs: &[InputSchema<'_>],
    ) -> Vec<Diagnostic> {
        Vec::new()
    }

    fn watch(&self, _schema: &SchemaRef) -> Result<Option<Watch>, BoxError> {
        Ok(None)
    }

    async fn evaluate(&self, context: CheckContext) -> Result<CheckResult, BoxError> {
        let batch = context.step.collect(&context.table).await?;
        (self.0)(RecordBatches { schema: batch.schema(), batches: vec![batch] }).await
    }
}

impl AssetCheck {
    /// A blocking check of severity `error`.
    pub fn new(name: impl Into<String>, body: Arc<dyn CheckBody>) -> Self {
        Self {
            name: name.into(),
            description: None,
            severity: CheckSeverity::Error,
            blocking: true,
            body,
            place: None,
        }
    }

    /// A check by a function of all rows.
    pub fn function<F, R>(name: impl Into<String>, evaluate: F) -> Self
    where
        F: Fn(RecordBatches) -> R + Send + Sync + 'static,
        R: Future<Output = Result<CheckResult, BoxError>> + Send + 'static,
    {
        let evaluate = move |rows: RecordBatches| {
            let future: BoxFuture<'static, _> = Box::pin(evaluate(rows));
            future
        };
        Self::new(name, Arc::new(Function(Box::new(evaluate))))
    }

    /// The check with a severity.
    #[must_use]
    pub fn with_severity(mut self, severity: CheckSeverity) -> Self {
        self.severity = severity;
        self
    }

    /// The check, of which a failure is recorded and blocks nothing.
    #[must_use]
    pub fn non_blocking(mut self) -> Self {
        self.blocking = false;
        self
    }

    /// Whether a failure keeps the version from being published.
    pub fn blocks(&self) -> bool {
        self.blocking && self.severity == CheckSeverity::Error
    }
}
