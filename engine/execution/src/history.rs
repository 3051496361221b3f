//! What an instance remembers, for functions that ask.

use std::collections::BTreeMap;

use arrowsmith_definitions::{AssetKey, BoxError, History};
use arrowsmith_instance::Instance;
use async_trait::async_trait;
use serde_json::Value;

use crate::Engine;

#[derive(Debug)]
pub(crate) struct InstanceHistory {
    instance: Instance,
    environment: String,
}

impl InstanceHistory {
    pub(crate) fn new(engine: &Engine, environment: &str) -> Self {
        Self { instance: engine.instance.clone(), environment: environment.to_owned() }
    }
}

#[async_trait]
impl History for InstanceHistory {
    async fn metadata(
        &self,
        asset: &AssetKey,
    ) -> Result<Option<BTreeMap<String, Value>>, BoxError> {
        let pointers = self.instance.pointers(&self.environment).await?;
        let Some(pointer) = pointers.get(asset.as_str()) else { return Ok(None) };
        let made = self.instance.materialization(pointer.version).await?;
        Ok(made.map(|made| made.metadata))
    }
}
