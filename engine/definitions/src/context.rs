//! What one attempt of one step works with, and the views of it that functions take as parameters.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::execution::SessionState;
use datafusion::prelude::SessionContext;
use serde_json::Value;

use crate::{
    AssetKey, AssetParam, BoxError, Declaration, Logger, Resources, StepPartitions, TimeWindow,
};

/// Values by name, for each output of a step.
pub type OutputMetadata = BTreeMap<String, BTreeMap<String, Value>>;

/// The name of the only output of an asset or op that names none.
pub const RESULT: &str = "result";

/// Which attempt of which step of which run it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepInfo {
    /// The run.
    pub run_id: String,
    /// Labels of the run.
    pub run_tags: BTreeMap<String, String>,
    /// The job, if the run is one of a job.
    pub job: Option<String>,
    /// The step: an asset's key, or the path of a node such as `outer.inner`.
    pub step_key: String,
    /// Counted from one.
    pub attempt: u32,
    /// The key of the dynamic output that the step is mapped over.
    pub mapping_key: Option<String>,
    /// The assets that the step makes, in the order of its outputs.
    pub assets: Vec<AssetKey>,
    /// When the attempt began, in microseconds since 1970-01-01 UTC.
    pub started_at: i64,
}

/// What a computation works with: one attempt of one step.
#[derive(Clone)]
pub struct ComputeContext {
    /// Which one it is.
    pub info: Arc<StepInfo>,
    /// In the order of declaration.
    pub inputs: Arc<[BoundInput]>,
    /// The configuration of the op, checked against its schema.
    pub config: Arc<Value>,
    /// The resources of the run.
    pub resources: Arc<Resources>,
    /// Plans and executes; shared by all steps of a run, as is its memory.
    pub session: Arc<SessionState>,
    /// Shown with what the step makes.
    pub metadata: Arc<Mutex<OutputMetadata>>,
    /// Whether the run was asked to stop.
    pub canceled: Arc<AtomicBool>,
    /// What ran before, as far as an instance remembers it.
    pub history: Arc<dyn History>,
    /// The partitions that the step makes, if its asset has any.
    pub partitions: Option<Arc<StepPartitions>>,
    /// The rows that are stored already, of an asset that is made incrementally.
    pub previous: Option<Arc<dyn TableProvider>>,
    /// Log lines belong to this span.
    pub span: tracing::Span,
}

/// What an instance remembers of assets, for functions that want to know.
#[async_trait]
pub trait History: fmt::Debug + Send + Sync {
    /// Metadata of the current version of an asset; `None` if there is none.
    ///
    /// # Errors
    /// Of the instance.
    async fn metadata(&self, asset: &AssetKey)
    -> Result<Option<BTreeMap<String, Value>>, BoxError>;
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHistory;

#[async_trait]
impl History for NoHistory {
    async fn metadata(&self, _: &AssetKey) -> Result<Option<BTreeMap<String, Value>>, BoxError> {
        Ok(None)
    }
}

/// An input whose rows are chosen.
#[derive(Debug, Clone)]
pub struct BoundInput {
    /// The name by which the computation asks for it.
    pub name: String,
    /// Where the rows come from: an asset, or a step and its output.
    pub from: String,
    tables: Vec<Arc<dyn TableProvider>>,
    gathered: bool,
}

impl BoundInput {
    /// The rows of one table.
    pub fn new(
        name: impl Into<String>,
        from: impl fmt::Display,
        table: Arc<dyn TableProvider>,
    ) -> Self {
        Self { name: name.into(), from: from.to_string(), tables: vec![table], gathered: false }
    }

    /// The values of any number of outputs, for an input that is a `Vec` of them.
    pub fn gathered(
        name: impl Into<String>,
        from: impl fmt::Display,
        tables: Vec<Arc<dyn TableProvider>>,
    ) -> Self {
        Self { name: name.into(), from: from.to_string(), tables, gathered: true }
    }

    /// The tables; exactly one unless several outputs are gathered.
    pub fn tables(&self) -> &[Arc<dyn TableProvider>] {
        &self.tables
    }

    /// Whether each table is one item of the input.
    pub fn is_gathered(&self) -> bool {
        self.gathered
    }

    /// The only table.
    ///
    /// # Errors
    /// If several outputs are gathered into this input.
    pub fn table(&self) -> Result<&Arc<dyn TableProvider>, BoxError> {
        match self.tables.as_slice() {
            [table] => Ok(table),
            several => {
                let (name, count) = (&self.name, several.len());
                Err(format!("input `{name}` is a single table, but {count} are wired to it").into())
            }
        }
    }
}

impl ComputeContext {
    /// The context of a step that no run has, in a session of its own: for a user's tests of
    /// functions that take one.
    ///
    /// ```
    /// use arrowsmith_definitions::{ComputeContext, OpContext};
    /// let context = ComputeContext::detached("greet").with_config(serde_json::json!({"n": 3}));
    /// let context = OpContext::from(context);
    /// assert_eq!((context.step_key(), &context.op_config()["n"]), ("greet", &3.into()));
    /// ```
    pub fn detached(step_key: impl Into<String>) -> Self {
        let info = StepInfo { step_key: step_key.into(), attempt: 1, ..StepInfo::default() };
        Self::new(info, Arc::new(SessionContext::new().state()))
    }

    /// A context without inputs and configuration.
    pub fn new(info: StepInfo, session: Arc<SessionState>) -> Self {
        Self {
            info: Arc::new(info),
            inputs: Arc::new([]),
            config: Arc::default(),
            resources: Arc::default(),
            session,
            metadata: Arc::default(),
            canceled: Arc::default(),
            history: Arc::new(NoHistory),
            partitions: None,
            previous: None,
            span: tracing::Span::current(),
        }
    }

    /// The same context with these inputs.
    #[must_use]
    pub fn with_inputs(mut self, inputs: Vec<BoundInput>) -> Self {
        self.inputs = inputs.into();
        self
    }

    /// The same context with this configuration.
    #[must_use]
    pub fn with_config(mut self, config: Value) -> Self {
        self.config = Arc::new(config);
        self
    }

    /// The same context with these resources.
    #[must_use]
    pub fn with_resources(mut self, resources: Resources) -> Self {
        self.resources = Arc::new(resources);
        self
    }

    /// The input of this name.
    ///
    /// # Errors
    /// If the computation did not declare it.
    pub fn input(&self, name: &str) -> Result<&BoundInput, BoxError> {
        let found = self.inputs.iter().find(|input| input.name == name);
        found.ok_or_else(|| format!("`{}` has no input `{name}`", self.info.step_key).into())
    }

    /// Remembers a value with an output; the last one of a name counts.
    pub fn add_output_metadata(
        &self,
        output: &str,
        name: impl Into<String>,
        value: impl Into<Value>,
    ) {
        let mut metadata = self.metadata.lock().unwrap_or_else(PoisonError::into_inner);
        metadata.entry(output.to_owned()).or_default().insert(name.into(), value.into());
    }

    /// What was remembered so far.
    pub fn output_metadata(&self) -> OutputMetadata {
        self.metadata.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All rows of a table as one batch.
    ///
    /// # Errors
    /// Whatever keeps it from being read.
    pub async fn collect(&self, table: &Arc<dyn TableProvider>) -> Result<RecordBatch, BoxError> {
        let session = SessionContext::new_with_state((*self.session).clone());
        let batches = session.read_table(Arc::clone(table))?.collect().await?;
        Ok(concat_batches(&table.schema(), &batches)?)
    }
}

impl fmt::Debug for ComputeContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComputeContext")
            .field("info", &self.info)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

/// What an op may ask of the step that runs it; a parameter of its function.
#[derive(Debug, Clone)]
pub struct OpContext {
    inner: ComputeContext,
}

/// The asset's view of the step that computes it; a parameter of its function.
#[derive(Debug, Clone)]
pub struct AssetContext {
    inner: ComputeContext,
}

macro_rules! shared {
    ($context:ident) => {
        impl From<ComputeContext> for $context {
            fn from(inner: ComputeContext) -> Self {
                Self { inner }
            }
        }

        impl $context {
            /// The run.
            pub fn run_id(&self) -> &str {
                &self.inner.info.run_id
            }

            /// A label of the run.
            pub fn run_tag(&self, name: &str) -> Option<&str> {
                self.inner.info.run_tags.get(name).map(String::as_str)
            }

            /// The job, if the run is one of a job.
            pub fn job_name(&self) -> Option<&str> {
                self.inner.info.job.as_deref()
            }

            /// The step: an asset's key, or the path of a node such as `outer.inner`.
            pub fn step_key(&self) -> &str {
                &self.inner.info.step_key
            }

            /// How often the step was tried before; zero at first.
            pub fn retry_number(&self) -> u32 {
                self.inner.info.attempt.saturating_sub(1)
            }

            /// The key of the dynamic output that the step is mapped over.
            pub fn mapping_key(&self) -> Option<&str> {
                self.inner.info.mapping_key.as_deref()
            }

            /// The keys of the partitions that the step makes; none if its asset has none.
            pub fn partition_keys(&self) -> Vec<String> {
                self.inner.partitions.as_ref().map(|of| of.texts()).unwrap_or_default()
            }

            /// The key of the partition that the step makes, if it is a single one.
            pub fn partition_key(&self) -> Option<String> {
                self.inner.partitions.as_ref()?.single()
            }

            /// From the beginning of the first partition to the end of the last, if they are
            /// windows of time.
            pub fn partition_time_window(&self) -> Option<TimeWindow> {
                self.inner.partitions.as_ref()?.window()
            }

            /// Writes lines into the log of the step, which `run logs` shows.
            pub fn log(&self) -> Logger {
                Logger::new(self.inner.span.clone())
            }

            /// Whether the run was asked to stop; a long loop looks now and then.
            pub fn is_canceled(&self) -> bool {
                self.inner.canceled.load(Ordering::Acquire)
            }

            /// Metadata of the current version of any asset; `None` if it has none.
            ///
            /// # Errors
            /// Of the instance.
            pub async fn latest_metadata(
                &self,
                asset: &AssetKey,
            ) -> Result<Option<BTreeMap<String, Value>>, BoxError> {
                self.inner.history.metadata(asset).await
            }

            /// The data of the attempt, for what is not offered here.
            pub fn compute(&self) -> &ComputeContext {
                &self.inner
            }
        }

        impl AssetParam for $context {
            fn declare(_name: &str, _declaration: &mut Declaration) {}

            async fn extract(_name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
                Ok(Self { inner: context.clone() })
            }
        }
    };
}

shared!(OpContext);
shared!(AssetContext);

impl OpContext {
    /// The configuration as it is, for ops that do without a type; see
    /// [`Config`](crate::Config).
    pub fn op_config(&self) -> &Value {
        &self.inner.config
    }

    /// The assets that the step makes, in the order of its outputs; none in a plain job.
    pub fn asset_keys(&self) -> &[AssetKey] {
        &self.inner.info.assets
    }

    /// Remembers a value with an output; the last one of a name counts.
    pub fn add_output_metadata(
        &self,
        output: &str,
        name: impl Into<String>,
        value: impl Into<Value>,
    ) {
        self.inner.add_output_metadata(output, name, value);
    }
}

impl AssetContext {
    /// The asset, or the first of several.
    ///
    /// # Panics
    /// If the context was made by hand without an asset.
    pub fn asset_key(&self) -> &AssetKey {
        self.inner.info.assets.first().expect("a step of an asset makes one")
    }

    /// Remembers a value with the materialization; the last one of a name counts.
    pub fn add_metadata(&self, name: impl Into<String>, value: impl Into<Value>) {
        self.inner.add_output_metadata(RESULT, name, value);
    }
}
