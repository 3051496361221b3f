//! Configuration: a type says what it looks like, so that it is known before anything runs.

mod check;
mod document;
mod run;
mod secret;
mod shape;

pub use check::{Environment, check_config};
pub use document::{Entry, Tree};
pub use run::run_shape;
pub use secret::Secret;
pub use shape::{Field, Shape};

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{AssetParam, BoxError, ComputeContext, Declaration};

/// The configuration of an op or asset; a parameter of its function.
///
/// ```
/// use arrowsmith_definitions::Config;
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct Greeting {
///     /// Who is greeted.
///     name: String,
///     #[serde(default)]
///     loudly: bool,
/// }
/// fn greet(config: Config<Greeting>) -> String {
///     format!("hello, {}", config.name)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Config<T>(pub T);

impl<T> Deref for Config<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a configuration looks like, as JSON Schema.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigSchema {
    /// The schema; `$defs` holds what it refers to.
    pub schema: Value,
}

impl ConfigSchema {
    /// The schema of a type.
    pub fn of<T: JsonSchema>() -> Self {
        Self { schema: schemars::schema_for!(T).to_value() }
    }
}

impl<T: DeserializeOwned + JsonSchema + Send> AssetParam for Config<T> {
    fn declare(_name: &str, declaration: &mut Declaration) {
        declaration.config = Some(ConfigSchema::of::<T>());
    }

    async fn extract(_name: &str, context: &ComputeContext) -> Result<Self, BoxError> {
        let config = match &*context.config {
            // An op without an entry may still have a configuration of defaults.
            Value::Null => Value::Object(serde_json::Map::new()),
            config => config.clone(),
        };
        let step = &context.info.step_key;
        let read = serde_json::from_value(config);
        read.map(Self).map_err(|e| format!("the config of `{step}` cannot be used: {e}").into())
    }
}

/// How the configuration of a graph becomes that of its nodes, which it then hides.
#[derive(Clone)]
pub struct ConfigMapping {
    /// What the graph's own configuration looks like.
    pub schema: ConfigSchema,
    map: Arc<dyn Fn(Value) -> Result<Value, BoxError> + Send + Sync>,
}

impl ConfigMapping {
    /// A mapping from a typed configuration to `{ node: { config: … } }`.
    pub fn new<T: DeserializeOwned + JsonSchema>(
        map: impl Fn(T) -> Value + Send + Sync + 'static,
    ) -> Self {
        let map = move |outer: Value| Ok(map(serde_json::from_value(outer)?));
        Self { schema: ConfigSchema::of::<T>(), map: Arc::new(map) }
    }

    /// The configuration of the nodes.
    ///
    /// # Errors
    /// If the graph's configuration does not have its type.
    pub fn apply(&self, outer: Value) -> Result<Value, BoxError> {
        (self.map)(outer)
    }
}

impl fmt::Debug for ConfigMapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigMapping").field("schema", &self.schema).finish_non_exhaustive()
    }
}
