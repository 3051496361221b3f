//! Errors by which a function says whether it wants to be tried again.

use std::time::Duration;

use crate::BoxError;

/// Asks for another attempt, whatever the retry policy says.
#[derive(Debug, thiserror::Error)]
#[error("a retry was requested")]
pub struct RetryRequested {
    /// Attempts after the first.
    pub max_retries: u32,
    /// How long to wait; nothing if it is open.
    pub wait: Option<Duration>,
    /// Why.
    #[source]
    pub source: BoxError,
}

impl RetryRequested {
    /// Another attempt at once, at most so many times.
    pub fn new(max_retries: u32, why: impl Into<BoxError>) -> Self {
        Self { max_retries, wait: None, source: why.into() }
    }

    /// Another attempt after a wait.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }
}

/// A failure that no further attempt would mend, whatever the retry policy says.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct PermanentFailure {
    /// One sentence.
    pub message: String,
}

impl PermanentFailure {
    /// A failure for good.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into() }
    }
}
