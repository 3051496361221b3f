//! Ops: what they need, what they give, and how they run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;
use serde_json::Value;

use super::value::{DynamicOutputs, OpValue, ValueType};
use crate::context::RESULT;
use crate::{BoxError, ComputeContext, ConfigSchema, ExecutionPolicy, Hook, Place, ResourceNeed};

/// A unit of work with typed inputs and outputs.
///
/// `#[op]` makes one from a function; by hand:
///
/// ```
/// use arrowsmith_definitions::{Op, Outputs};
/// let op = Op::new("add_one", |context| {
///     Box::pin(async move {
///         let n: i64 = context.load("n").await?;
///         Outputs::default().with("result", n + 1)
///     })
/// })
/// .with_input::<i64>("n")
/// .with_output::<i64>("result");
/// assert_eq!(op.inputs[0].value_type.name, "i64");
/// ```
#[derive(Debug, Clone)]
pub struct Op {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// Free labels.
    pub tags: BTreeMap<String, String>,
    /// In the order of the parameters.
    pub inputs: Vec<OpInput>,
    /// In the order of the results.
    pub outputs: Vec<OpOutput>,
    /// What its configuration looks like; `None` takes none.
    pub config: Option<ConfigSchema>,
    /// What it needs besides inputs.
    pub resources: Vec<ResourceNeed>,
    /// How often and how long it may try.
    pub policy: ExecutionPolicy,
    /// The pool whose slots it takes.
    pub pool: Option<String>,
    /// What runs after it.
    pub hooks: Vec<Hook>,
    /// The author's word that the code is the same.
    pub code_version: Option<String>,
    /// How it runs.
    pub body: Arc<dyn OpBody>,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// A value that an op needs.
#[derive(Debug, Clone)]
pub struct OpInput {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// What it is if nothing is wired to it.
    pub default: Option<Value>,
    /// The IO manager that loads it; the one that stored it if it is open.
    pub io_manager: Option<String>,
}

/// A value that an op gives.
#[derive(Debug, Clone)]
pub struct OpOutput {
    /// Its name.
    pub name: String,
    /// Its type; for a dynamic output that of one value.
    pub value_type: ValueType,
    /// Whether the op must emit it; what reads an optional one is skipped if it is not emitted.
    pub required: bool,
    /// Whether there are as many as the op emits, each with a mapping key.
    pub dynamic: bool,
    /// The name of its IO manager; that of op outputs if it is open.
    pub io_manager: Option<String>,
}

/// How an op runs.
#[async_trait]
pub trait OpBody: fmt::Debug + Send + Sync {
    /// The text whose change is a change of the code, if it is known.
    fn code(&self) -> Option<&str>;

    /// Computes the outputs.
    ///
    /// # Errors
    /// Whatever the op returns; a panic is caught by the executor.
    async fn run(&self, context: ComputeContext) -> Result<Outputs, BoxError>;
}

/// What an op has emitted, in order.
#[derive(Debug, Default)]
pub struct Outputs(Vec<Emitted>);

/// One output.
#[derive(Debug)]
pub struct Emitted {
    /// The name of the output.
    pub output: String,
    /// Which of a dynamic output it is.
    pub mapping_key: Option<String>,
    /// The rows; `None` for a unit, which is not stored.
    pub plan: Option<Arc<dyn ExecutionPlan>>,
}

impl Outputs {
    /// A table as the output `result`.
    pub fn table(plan: Arc<dyn ExecutionPlan>) -> Self {
        Self::default().with_table(RESULT, plan)
    }

    /// One more output, whose rows are computed while they are stored.
    #[must_use]
    pub fn with_table(mut self, output: &str, plan: Arc<dyn ExecutionPlan>) -> Self {
        let plan = Some(plan);
        self.0.push(Emitted { output: output.to_owned(), mapping_key: None, plan });
        self
    }

    /// One more output.
    ///
    /// # Errors
    /// If the value cannot be made a table.
    pub fn with<T: OpValue>(mut self, output: &str, value: T) -> Result<Self, BoxError> {
        let plan = value.into_plan()?;
        self.0.push(Emitted { output: output.to_owned(), mapping_key: None, plan });
        Ok(self)
    }

    /// One more output, if there is a value.
    ///
    /// # Errors
    /// If the value cannot be made a table.
    pub fn with_optional<T: OpValue>(
        self,
        output: &str,
        value: Option<T>,
    ) -> Result<Self, BoxError> {
        match value {
            Some(value) => self.with(output, value),
            None => Ok(self),
        }
    }

    /// All values of a dynamic output.
    ///
    /// # Errors
    /// If a mapping key is wrong, or a value cannot be made a table.
    pub fn with_dynamic<T: OpValue>(
        mut self,
        output: &str,
        values: DynamicOutputs<T>,
    ) -> Result<Self, BoxError> {
        for (key, value) in values.into_pairs()? {
            let (output, plan) = (output.to_owned(), value.into_plan()?);
            self.0.push(Emitted { output, mapping_key: Some(key), plan });
        }
        Ok(self)
    }

    /// What was emitted.
    pub fn into_emitted(self) -> Vec<Emitted> {
        self.0
    }
}

/// How an output is emitted.
#[derive(PartialEq)]
enum Emission {
    Required,
    Optional,
    Dynamic,
}

type Run = dyn Fn(ComputeContext) -> BoxFuture<'static, Result<Outputs, BoxError>> + Send + Sync;

/// A function as the body of an op.
struct Function {
    code: Option<&'static str>,
    run: Box<Run>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Function")
    }
}

#[async_trait]
impl OpBody for Function {
    fn code(&self) -> Option<&str> {
        self.code
    }

    async fn run(&self, context: ComputeContext) -> Result<Outputs, BoxError> {
        (self.run)(context).await
    }
}

impl Op {
    /// An op without inputs and outputs, defined at the place of the call.
    #[track_caller]
    pub fn new<F>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn(ComputeContext) -> BoxFuture<'static, Result<Outputs, BoxError>>
            + Send
            + Sync
            + 'static,
    {
        let place = Place::caller();
        Self::with_body(name, Arc::new(Function { code: None, run: Box::new(run) })).at(place)
    }

    /// An op of any body.
    pub fn with_body(name: impl Into<String>, body: Arc<dyn OpBody>) -> Self {
        Self {
            name: name.into(),
            description: None,
            tags: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
            config: None,
            resources: Vec::new(),
            policy: ExecutionPolicy::default(),
            pool: None,
            hooks: Vec::new(),
            code_version: None,
            body,
            place: None,
        }
    }

    /// From the parts that the `#[op]` macro makes.
    pub fn from_parts<F>(
        name: &str,
        declaration: crate::Declaration,
        code: &'static str,
        run: F,
    ) -> Self
    where
        F: Fn(ComputeContext) -> BoxFuture<'static, Result<Outputs, BoxError>>
            + Send
            + Sync
            + 'static,
    {
        let body = Arc::new(Function { code: Some(code), run: Box::new(run) });
        Self {
            config: declaration.config,
            resources: declaration.resources,
            ..Self::with_body(name, body)
        }
    }

    /// The op defined at a place.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// The op with one more input.
    #[must_use]
    pub fn with_input<T: OpValue>(self, name: &str) -> Self {
        self.input(name, ValueType::of::<T>(), None)
    }

    /// The op with one more input into which several outputs may be gathered.
    #[must_use]
    pub fn with_vec_input<T: OpValue>(self, name: &str) -> Self
    where
        Vec<T>: OpValue,
    {
        self.input(name, ValueType::vec_of::<T>(), None)
    }

    /// The op with one more input of any type.
    #[must_use]
    pub fn input(mut self, name: &str, value_type: ValueType, default: Option<Value>) -> Self {
        let name = name.to_owned();
        self.inputs.push(OpInput { name, value_type, default, io_manager: None });
        self
    }

    /// The op with an input that is loaded by another IO manager than the one that stored it.
    #[must_use]
    pub fn with_input_manager(mut self, name: &str, io_manager: &str) -> Self {
        for input in self.inputs.iter_mut().filter(|input| input.name == name) {
            input.io_manager = Some(io_manager.to_owned());
        }
        self
    }

    /// The op with one more output, which it must emit.
    #[must_use]
    pub fn with_output<T: OpValue>(self, name: &str) -> Self {
        self.output::<T>(name, Emission::Required)
    }

    /// The op with one more output, which it may leave out.
    #[must_use]
    pub fn with_optional_output<T: OpValue>(self, name: &str) -> Self {
        self.output::<T>(name, Emission::Optional)
    }

    /// The op with one more output of as many values as it emits.
    #[must_use]
    pub fn with_dynamic_output<T: OpValue>(self, name: &str) -> Self {
        self.output::<T>(name, Emission::Dynamic)
    }

    fn output<T: OpValue>(mut self, name: &str, emission: Emission) -> Self {
        self.outputs.push(OpOutput {
            name: name.to_owned(),
            value_type: ValueType::of::<T>(),
            required: emission == Emission::Required,
            dynamic: emission == Emission::Dynamic,
            io_manager: None,
        });
        self
    }

    /// The op with a description in Markdown.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The op with one more tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(tag.into(), value.into());
        self
    }

    /// The op with a retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: crate::RetryPolicy) -> Self {
        self.policy.retry = Some(retry);
        self
    }

    /// The op with a limit on the time of one attempt.
    #[must_use]
    pub fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// The op in a pool, of which only so many run at the same time.
    #[must_use]
    pub fn with_pool(mut self, pool: impl Into<String>) -> Self {
        self.pool = Some(pool.into());
        self
    }

    /// The op with all its outputs stored by the IO manager of this name.
    #[must_use]
    pub fn with_io_manager(mut self, name: &str) -> Self {
        for output in &mut self.outputs {
            output.io_manager = Some(name.to_owned());
        }
        self
    }

    /// The op with one more hook.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// The op with a code version.
    #[must_use]
    pub fn with_code_version(mut self, version: impl Into<String>) -> Self {
        self.code_version = Some(version.into());
        self
    }
}

impl ComputeContext {
    /// The value of an input; its default if nothing is wired to it.
    ///
    /// # Errors
    /// If there is no such input, or its table does not hold such a value.
    pub async fn load<T: OpValue>(&self, name: &str) -> Result<T, BoxError> {
        T::load(self.input(name)?, self).await
    }
}
