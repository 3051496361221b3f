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
        let version = match pointers.get(asset.as_str()) {
            Some(pointer) => Some(pointer.version),
            None => {
                let partitions = self.instance.partitions(&self.environment, asset.as_str());
                partitions.await?.into_iter().map(|pointer| pointer.version).max()
            }
        };
        let Some(version) = version else { return Ok(None) };
        let made = self.instance.materialization(version).await?;
        Ok(made.map(|made| made.metadata))
    }
}
