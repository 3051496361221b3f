//! What other programs see of an asset, kept as the catalog has it.

use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::{AssetKey, Body};
use arrowsmith_io_manager::{CurrentVersions, ErrorKind, StoredTable};
use async_trait::async_trait;

use crate::{Engine, Error, Result};

/// How long a mirror may take to show what is current.
const LIMIT: Duration = Duration::from_mins(5);

impl Engine {
    /// Makes the mirror of an asset show what is current, if its IO manager keeps one.
    ///
    /// # Errors
    /// The mirror's; what is current stays so.
    pub async fn mirror(&self, key: &AssetKey) -> Result<()> {
        match self.resolved.asset(key) {
            Some(resolved) if !matches!(resolved.asset.body, Body::External(_)) => {
                self.mirror_by(&resolved.io_manager, key).await
            }
            _ => Ok(()),
        }
    }

    /// The same by an IO manager that has just stored all of it.
    pub(crate) async fn mirror_by(&self, name: &str, key: &AssetKey) -> Result<()> {
        let manager = self.manager(name)?;
        if !manager.has_mirror() {
            return Ok(());
        }
        let (table, current) = (key.table_path(), Current { engine: self, key, manager: name });
        tokio::select! {
            shown = manager.mirror(&table, &current) => Ok(shown?),
            () = self.clock.sleep(LIMIT) => {
                Err(Error::MirrorTimeout { asset: key.to_string(), limit: LIMIT })
            }
        }
    }

    /// Makes every mirror show what is current.
    ///
    /// # Errors
    /// The first one's.
    pub async fn mirror_all(&self) -> Result<()> {
        for key in self.resolved.assets.keys() {
            self.mirror(key).await?;
        }
        Ok(())
    }
}

/// What is current of an asset, as long as one manager has stored all of it.
struct Current<'a> {
    engine: &'a Engine,
    key: &'a AssetKey,
    manager: &'a str,
}

#[async_trait]
impl CurrentVersions for Current<'_> {
    async fn current(&self) -> arrowsmith_io_manager::Result<Vec<Arc<StoredTable>>> {
        let failed = |source: Error| arrowsmith_io_manager::Error::Backend {
            action: "mirror",
            table: self.key.to_string(),
            kind: source.kind(),
            source: Box::new(source),
        };
        let current = match self.engine.current(self.key).await {
            Ok(current) => current,
            Err(Error::NotMaterialized { .. }) => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        if let Some(other) = current.iter().find(|made| made.io_manager != self.manager) {
            return Err(arrowsmith_io_manager::Error::Backend {
                action: "mirror",
                table: self.key.to_string(),
                kind: ErrorKind::Invalid,
                source: format!(
                    "some of it is still stored by `{}`; `arrowsmith io migrate {} --to {}` moves it",
                    other.io_manager, self.key, self.manager
                )
                .into(),
            });
        }
        Ok(current.into_iter().map(|made| made.stored).collect())
    }
}
