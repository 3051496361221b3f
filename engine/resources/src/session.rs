//! A DataFusion session of its own, for queries beside the tables of the repository.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use arrowsmith_definitions::{BoxError, ResourceType, Resources};
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use schemars::JsonSchema;
use serde::Deserialize;

/// Bytes of memory of a session that says nothing else.
const MEMORY_BYTES: usize = 1 << 30;

/// How a session plans and executes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionSettings {
    /// Bytes of memory for its queries, beyond which they spill; 1 GiB if it is open.
    #[serde(default)]
    memory_bytes: Option<usize>,
    /// Options of DataFusion, such as `datafusion.execution.batch_size`.
    #[serde(default)]
    options: BTreeMap<String, String>,
}

/// A session with bounded memory, set up once a run and shared by its steps.
///
/// ```
/// # use arrowsmith_definitions::{BoxError, Resource};
/// # use arrowsmith_resources::DataFusionSession;
/// async fn rows(session: Resource<DataFusionSession>) -> Result<usize, BoxError> {
///     Ok(session.sql("select 1 as n").await?.count().await?)
/// }
/// ```
pub struct DataFusionSession(SessionContext);

impl ResourceType for DataFusionSession {
    type Config = SessionSettings;

    async fn setup(settings: SessionSettings, _others: &Resources) -> Result<Self, BoxError> {
        let mut config = SessionConfig::new();
        for (name, value) in &settings.options {
            config.options_mut().set(name, value)?;
        }
        let pool = FairSpillPool::new(settings.memory_bytes.unwrap_or(MEMORY_BYTES));
        let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool)).build_arc()?;
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .build();
        Ok(Self(SessionContext::new_with_state(state)))
    }
}

impl Deref for DataFusionSession {
    type Target = SessionContext;

    fn deref(&self) -> &SessionContext {
        &self.0
    }
}

impl std::fmt::Debug for DataFusionSession {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataFusionSession")
    }
}
