//! Resources: what ops and assets work with besides their inputs, set up once for a run.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;

use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{AssetParam, BoxError, ComputeContext, ConfigSchema, Declaration};

/// A type that is set up for a run and torn down after it.
///
/// ```
/// use arrowsmith_definitions::{BoxError, ResourceType, Resources};
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Settings { url: String }
/// struct Database { url: String }
///
/// impl ResourceType for Database {
///     type Config = Settings;
///     async fn setup(config: Settings, _others: &Resources) -> Result<Self, BoxError> {
///         Ok(Self { url: config.url })
///     }
/// }
/// ```
pub trait ResourceType: Sized + Send + Sync + 'static {
    /// What it is configured with; `()` if nothing.
    type Config: DeserializeOwned + JsonSchema + Send;

    /// Resources that it needs itself; they are set up before it.
    fn needs() -> Vec<ResourceNeed> {
        Vec::new()
    }

    /// Makes it, when a run begins that needs it.
    ///
    /// # Errors
    /// Whatever keeps it from being made; the run fails before its first step.
    fn setup(
        config: Self::Config,
        others: &Resources,
    ) -> impl Future<Output = Result<Self, BoxError>> + Send;

    /// Takes it down, when the run has ended, however it has.
    ///
    /// # Errors
    /// They are logged and change nothing.
    fn teardown(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A resource of the run; a parameter of an op or asset, found by the parameter's name.
#[derive(Debug)]
pub struct Resource<T>(Arc<T>);

impl<T> Clone for Resource<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Deref for Resource<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Send + Sync + 'static> AssetParam for Resource<T> {
    fn declare(name: &str, declaration: &mut Declaration) {
        declaration.resources.push(ResourceNeed::of::<T>(name));
    }

    async fn extract(name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        context.resources.get(name)
    }
}

/// A resource that something needs, by name and type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceNeed {
    /// Its name in the repository.
    pub name: String,
    /// Its type as it is written in Rust.
    pub type_name: &'static str,
    pub(crate) type_id: TypeId,
}

impl ResourceNeed {
    /// A resource of type `T`.
    pub fn of<T: 'static>(name: impl Into<String>) -> Self {
        let type_name = std::any::type_name::<T>();
        Self { name: name.into(), type_name, type_id: TypeId::of::<T>() }
    }
}

/// The resources of one run.
#[derive(Clone, Default)]
pub struct Resources(HashMap<String, Arc<dyn Any + Send + Sync>>);

impl Resources {
    /// The resource of a name.
    ///
    /// # Errors
    /// If there is none of this name and type; a checked repository has them all.
    pub fn get<T: Send + Sync + 'static>(&self, name: &str) -> Result<Resource<T>, BoxError> {
        let found = self.0.get(name).cloned();
        let found = found.and_then(|resource| resource.downcast::<T>().ok());
        let type_name = std::any::type_name::<T>();
        let missing = || format!("there is no resource `{name}` of type `{type_name}`").into();
        found.map(Resource).ok_or_else(missing)
    }

    /// Adds a value that is at hand, for tests.
    #[must_use]
    pub fn with<T: Send + Sync + 'static>(mut self, name: impl Into<String>, value: T) -> Self {
        self.0.insert(name.into(), Arc::new(value));
        self
    }

    /// Adds what a definition has set up.
    pub fn insert(&mut self, name: impl Into<String>, made: Made) {
        self.0.insert(name.into(), made.value);
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

type Setup = dyn Fn(Value, Resources) -> BoxFuture<'static, Result<Made, BoxError>> + Send + Sync;
type Teardown = dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send;

/// A resource that is set up, and how it is taken down.
pub struct Made {
    value: Arc<dyn Any + Send + Sync>,
    teardown: Box<Teardown>,
}

impl Made {
    /// The value alone, and what takes it down when nobody uses it any more.
    pub fn into_teardown(self) -> BoxFuture<'static, Result<(), BoxError>> {
        drop(self.value);
        (self.teardown)()
    }

    /// The same resource for another owner; only the first takes it down.
    #[must_use]
    pub fn shared(&self) -> Self {
        let value = Arc::clone(&self.value);
        Self { value, teardown: Box::new(|| Box::pin(std::future::ready(Ok(())))) }
    }
}

impl fmt::Debug for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Made")
    }
}

/// A resource as a repository holds it.
#[derive(Clone)]
pub struct ResourceDefinition {
    /// What it is configured with; `None` if nothing.
    pub config: Option<ConfigSchema>,
    /// The configuration of the repository; a run's goes over it.
    pub default_config: Value,
    /// Resources that it needs itself.
    pub needs: Vec<ResourceNeed>,
    /// Its type as it is written in Rust.
    pub type_name: &'static str,
    pub(crate) type_id: TypeId,
    setup: Arc<Setup>,
}

impl ResourceDefinition {
    /// A resource that is set up for each run.
    pub fn new<T: ResourceType>() -> Self {
        let setup = |config: Value, others: Resources| {
            let future: BoxFuture<'static, Result<Made, BoxError>> = Box::pin(async move {
                let made = Arc::new(T::setup(serde_json::from_value(config)?, &others).await?);
                let last = Arc::clone(&made);
                let teardown = Box::new(move || {
                    let future: BoxFuture<'static, Result<(), BoxError>> =
                        Box::pin(async move { last.teardown().await });
                    future
                });
                Ok(Made { value: made, teardown })
            });
            future
        };
        let is_unit = TypeId::of::<T::Config>() == TypeId::of::<()>();
        Self {
            config: (!is_unit).then(ConfigSchema::of::<T::Config>),
            default_config: Value::Null,
            needs: T::needs(),
            type_name: std::any::type_name::<T>(),
            type_id: TypeId::of::<T>(),
            setup: Arc::new(setup),
        }
    }

    /// A value that is at hand and is never taken down.
    pub fn value<T: Send + Sync + 'static>(value: T) -> Self {
        let value: Arc<dyn Any + Send + Sync> = Arc::new(value);
        let setup = move |_: Value, _: Resources| {
            let made = Made {
                value: Arc::clone(&value),
                teardown: Box::new(|| Box::pin(std::future::ready(Ok(())))),
            };
            let future: BoxFuture<'static, Result<Made, BoxError>> =
                Box::pin(std::future::ready(Ok(made)));
            future
        };
        Self {
            config: None,
            default_config: Value::Null,
            needs: Vec::new(),
            type_name: std::any::type_name::<T>(),
            type_id: TypeId::of::<T>(),
            setup: Arc::new(setup),
        }
    }

    /// The resource with a configuration, which a run's goes over.
    #[must_use]
    pub fn with_config(mut self, config: Value) -> Self {
        self.default_config = config;
        self
    }

    /// Makes the resource for a run.
    ///
    /// # Errors
    /// Whatever its setup returns.
    pub async fn set_up(&self, config: Value, others: &Resources) -> Result<Made, BoxError> {
        (self.setup)(config, others.clone()).await
    }
}

impl fmt::Debug for ResourceDefinition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResourceDefinition")
            .field("type_name", &self.type_name)
            .finish_non_exhaustive()
    }
}
