//! What other programs see of a table under a name of its own.

use std::sync::Arc;

use async_trait::async_trait;

use crate::{Result, StoredTable};

/// What is current of one table by the catalog, which is asked when a mirror is ready to show it.
///
/// A mirror asks *after* it has seen its own state, and commits only if that state is still the
/// same: of two that show different moments at once, the older one cannot win.
#[async_trait]
pub trait CurrentVersions: Send + Sync {
    /// The versions, or [parts](StoredTable::only) of them, that are current together; none if
    /// nothing is.
    ///
    /// # Errors
    /// The catalog's.
    async fn current(&self) -> Result<Vec<Arc<StoredTable>>>;
}
