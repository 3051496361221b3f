//! From a function to an asset.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::ExecutionPlan;
use futures::future::BoxFuture;

use crate::{
    Asset, AssetKey, AssetParam, BoxError, Compute, ComputeContext, ConfigSchema, Declaration,
    Input, InputSchema, IntoOutput, Reads, Resolution, ResourceNeed, Scan,
};

type Run = dyn Fn(ComputeContext) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>, BoxError>>
    + Send
    + Sync;

/// A Rust function that computes an asset.
///
/// ```
/// use arrowsmith_definitions::{AssetKey, FunctionAsset, RecordBatches};
/// let key: AssetKey = "doubled".parse().unwrap();
/// let asset = FunctionAsset::new(["numbers"], |numbers: RecordBatches| async move { numbers })
///     .into_asset(key);
/// assert_eq!(asset.inputs[0].reference.to_string(), "numbers");
/// ```
#[derive(Clone)]
pub struct FunctionAsset {
    declaration: Arc<Declaration>,
    schema: Option<SchemaRef>,
    code: Option<String>,
    run: Arc<Run>,
}

impl FunctionAsset {
    /// An async function; `names` are those of its parameters, in order.
    pub fn new<Args, F, const N: usize>(names: [&'static str; N], function: F) -> Self
    where
        F: AssetFunction<Args, N>,
    {
        function.into_function_asset(names)
    }

    /// From the parts that the `#[asset]` macro makes.
    pub fn from_parts<F>(
        declaration: Declaration,
        schema: Option<SchemaRef>,
        code: &'static str,
        run: F,
    ) -> Self
    where
        F: Fn(ComputeContext) -> BoxFuture<'static, Result<Arc<dyn ExecutionPlan>, BoxError>>
            + Send
            + Sync
            + 'static,
    {
        let declaration = Arc::new(declaration);
        Self { declaration, schema, code: Some(code.to_owned()), run: Arc::new(run) }
    }

    /// Runs a plain function where it may block; a panic in it is a panic here.
    pub async fn blocking<T: Send + 'static>(
        function: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, BoxError> {
        // What the function traces belongs to the step, on whichever thread it runs.
        let span = tracing::Span::current();
        Ok(SpawnedTask::spawn_blocking(move || span.in_scope(function)).join_unwind().await?)
    }

    /// The function with a promise of its columns, for results whose type does not say them.
    #[must_use]
    pub fn with_schema(mut self, schema: SchemaRef) -> Self {
        self.schema = Some(schema);
        self
    }

    /// The function with `name` reading another asset than the one of its name.
    #[must_use]
    pub fn with_input(mut self, name: &str, key: &AssetKey) -> Self {
        Arc::make_mut(&mut self.declaration).rename(name, &crate::AssetReference::to(key));
        self
    }

    /// The asset that it computes, of kind `rust`, defined at the place of the call.
    #[track_caller]
    pub fn into_asset(self, key: AssetKey) -> Asset {
        let inputs = self.declaration.inputs.clone();
        Asset::computed(key, Arc::new(self), inputs).with_kind("rust").here()
    }
}

impl FunctionAsset {
    /// Typed inputs are read as far as their type goes, all others whole.
    fn reads(&self, inputs: &[InputSchema<'_>]) -> Option<Reads> {
        let all = |name: &str| inputs.iter().find(|input| input.name == name)?.schema.cloned();
        let scan = |input: &Input| {
            let schema = input.expects.clone().or_else(|| all(&input.name))?;
            let columns = schema.fields().iter().map(|field| field.name().clone());
            Some(Scan { input: input.name.clone(), columns: columns.collect(), filters: vec![] })
        };
        let scans = self.declaration.inputs.iter().map(scan).collect::<Option<_>>()?;
        let resources = &self.declaration.resources;
        let unknowable = (!resources.is_empty())
            .then(|| "what its resources give may be something else each time".to_owned());
        Some(Reads { code: self.code.clone()?, scans, unknowable })
    }
}

impl fmt::Debug for FunctionAsset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FunctionAsset")
            .field("inputs", &self.declaration.inputs)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Compute for FunctionAsset {
    fn kind(&self) -> &'static str {
        "rust"
    }

    fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    fn config(&self) -> Option<&ConfigSchema> {
        self.declaration.config.as_ref()
    }

    fn resources(&self) -> &[ResourceNeed] {
        &self.declaration.resources
    }

    fn resolve(&self, _key: &AssetKey, inputs: &[InputSchema<'_>]) -> Resolution {
        let reads = self.reads(inputs);
        Resolution { schema: self.schema.clone(), problems: Vec::new(), reads }
    }

    async fn compute(&self, context: ComputeContext) -> Result<Arc<dyn ExecutionPlan>, BoxError> {
        (self.run)(context).await
    }
}

/// An async function of up to eight extractors.
pub trait AssetFunction<Args, const N: usize>: Send + Sync + 'static {
    /// The function with the names of its parameters.
    fn into_function_asset(self, names: [&'static str; N]) -> FunctionAsset;
}

macro_rules! arity {
    ($count:literal $(, $param:ident $name:ident)*) => {
        impl<Fun, Fut, Out, $($param,)*> AssetFunction<($($param,)*), $count> for Fun
        where
            Fun: Fn($($param),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Out> + Send,
            Out: IntoOutput,
            $($param: AssetParam + 'static,)*
        {
            #[allow(unused_mut, unused_variables, reason = "a function may have no parameter")]
            fn into_function_asset(self, names: [&'static str; $count]) -> FunctionAsset {
                let mut declaration = Declaration::default();
                let [$($name),*] = names;
                $($param::declare($name, &mut declaration);)*
                let run = move |context: ComputeContext| {
                    let function = self.clone();
                    let future: BoxFuture<'static, Result<Arc<dyn ExecutionPlan>, BoxError>> =
                        Box::pin(async move {
                            $(let $name = $param::extract($name, &context).await?;)*
                            function($($name),*).await.into_plan(&context).await
                        });
                    future
                };
                FunctionAsset {
                    declaration: Arc::new(declaration),
                    schema: Out::schema(),
                    code: None,
                    run: Arc::new(run),
                }
            }
        }
    };
}

arity!(0);
arity!(1, A a);
arity!(2, A a, B b);
arity!(3, A a, B b, C c);
arity!(4, A a, B b, C c, D d);
arity!(5, A a, B b, C c, D d, E e);
arity!(6, A a, B b, C c, D d, E e, F f);
arity!(7, A a, B b, C c, D d, E e, F f, G g);
arity!(8, A a, B b, C c, D d, E e, F f, G g, H h);
