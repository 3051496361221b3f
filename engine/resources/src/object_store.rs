//! An object store by URL: files that a step reads and writes besides its tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{BoxError, ResourceType, Resources, Secret};
use arrowsmith_io_manager::{Durability, Error, Result, Store};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which store it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectStoreConfig {
    /// A folder, relative to the working directory, or a URL such as `s3://bucket/prefix`.
    url: String,
    /// Settings of the store, such as `region` and `endpoint`.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    /// Settings that are shown nowhere, such as `secret_access_key`.
    #[serde(default)]
    secrets: BTreeMap<String, Secret<String>>,
}

/// An object store, set up once a run. Paths are relative to its URL.
#[derive(Debug)]
pub struct ObjectStoreResource {
    store: Store,
}

impl ResourceType for ObjectStoreResource {
    type Config = ObjectStoreConfig;

    async fn setup(config: ObjectStoreConfig, _others: &Resources) -> Result<Self, BoxError> {
        let secrets = config.secrets.iter().map(|(name, secret)| (name, secret.reveal()));
        let settings = config.settings.iter().chain(secrets);
        let settings = settings.map(|(name, value)| (name.clone(), value.clone())).collect();
        Ok(Self { store: Store::open(&config.url, Path::new(""), Durability::Fsync, &settings)? })
    }
}

impl ObjectStoreResource {
    /// The bytes of an object; `None` if it is not there.
    ///
    /// # Errors
    /// If the path is wrong or the store cannot be reached.
    pub async fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        Ok(self.store.read(path).await?.map(|bytes| bytes.to_vec()))
    }

    /// Writes a whole object, which appears at once or not at all.
    ///
    /// # Errors
    /// If the path is wrong or the store cannot be reached.
    pub async fn write(&self, path: &str, bytes: Vec<u8>) -> Result<()> {
        self.store.write(path, bytes).await
    }

    /// The paths below a folder, sorted; empty is the whole store.
    ///
    /// # Errors
    /// If the path is wrong or the store cannot be reached.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let root = self.store.path("")?;
        let prefix = self.store.path(folder)?;
        let failed = |error| Error::storage(self.store.url(), error);
        let objects = self.store.objects().list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let relative = |path: &object_store::path::Path| {
            let path = path.as_ref();
            path.strip_prefix(root.as_ref()).unwrap_or(path).trim_start_matches('/').to_owned()
        };
        let mut paths: Vec<String> =
            objects.map_err(failed)?.iter().map(|meta| relative(&meta.location)).collect();
        paths.sort();
        Ok(paths)
    }

    /// Removes an object.
    ///
    /// # Errors
    /// If it is not there or the store cannot be reached.
    pub async fn remove(&self, path: &str) -> Result<()> {
        let path = self.store.path(path)?;
        self.store.objects().delete(&path).await.map_err(|error| Error::storage(&path, error))
    }

    /// The store underneath, for what is not offered here; [`Store::path`] makes its paths.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The store underneath as DataFusion and others take it.
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        self.store.objects()
    }
}
