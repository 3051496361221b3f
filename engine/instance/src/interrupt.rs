//! Transactions that fail: for tests of what is built on an instance.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Result;
use crate::request::{Reply, Request};
use crate::storage::Storage;

/// Told of every transaction of an instance that was opened with it.
#[async_trait]
pub trait Interrupt: fmt::Debug + Send + Sync {
    /// Before a transaction begins; with an error it never does.
    async fn before(&self) -> Result<()>;
    /// After it was committed; an error is answered in the place of what came of it.
    async fn after(&self) -> Result<()>;
}

/// A storage around whose transactions something happens.
#[derive(Debug)]
pub(crate) struct Interrupted<S> {
    pub(crate) inner: S,
    pub(crate) by: Arc<dyn Interrupt>,
}

#[async_trait]
impl<S: Storage> Storage for Interrupted<S> {
    async fn apply(&mut self, requests: &[Request]) -> Result<Vec<Reply>> {
        self.by.before().await?;
        let replies = self.inner.apply(requests).await?;
        self.by.after().await?;
        Ok(replies)
    }
}
