//! When the instance learns of attempts: with what they publish, or before that if they take long.
//!
//! Most steps of a large run take less than a transaction does. What such a step begins and ends is one
//! change then, and whoever looks at the run in between sees that it has not begun.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arrowsmith_instance::{Instance, NewAttempt, TimeMicros};

use super::micros;
use crate::Result;

/// How long an attempt may go on without the instance knowing of it.
pub(super) const UNANNOUNCED_MAX: Duration = Duration::from_millis(10);

/// An attempt that the instance knows, or is going to.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) new: Arc<NewAttempt>,
    /// Held while the instance is told, so that what is asked afterwards comes after it.
    is_known: tokio::sync::Mutex<bool>,
}

impl Attempt {
    pub(super) fn new(new: NewAttempt) -> Self {
        Self { new: Arc::new(new), is_known: tokio::sync::Mutex::default() }
    }

    /// Tells the instance of it, unless it knows; whatever is asked of the instance afterwards finds it.
    pub(super) async fn announce(&self, instance: &Instance) -> Result<()> {
        let mut is_known = self.is_known.lock().await;
        if !*is_known {
            instance.begin_soon(vec![(*self.new).clone()]).await?;
            *is_known = true;
        }
        Ok(())
    }

    /// Tells the instance of it and waits until it knows: from now on no older attempt can publish the
    /// same tables, so that what is stored of them stays as it is.
    pub(super) async fn fence(&self, instance: &Instance) -> Result<()> {
        let mut is_known = self.is_known.lock().await;
        instance.begin(vec![(*self.new).clone()]).await?;
        *is_known = true;
        Ok(())
    }

    /// Whether the instance does not know it and learns of it with what is published now.
    pub(super) async fn begins(&self) -> bool {
        !std::mem::replace(&mut *self.is_known.lock().await, true)
    }

    /// The instance refused what was to tell it.
    pub(super) async fn not_begun(&self) {
        *self.is_known.lock().await = false;
    }
}

/// Attempts of which the instance may not know, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Unannounced(Mutex<VecDeque<Weak<Attempt>>>);

impl Unannounced {
    pub(super) fn push(&self, attempt: &Arc<Attempt>) {
        self.attempts().push_back(Arc::downgrade(attempt));
    }

    /// Tells the instance of those that go on for too long.
    pub(super) async fn announce(&self, instance: &Instance, now: TimeMicros) -> Result<()> {
        while let Some(attempt) = self.next(now - micros(UNANNOUNCED_MAX)) {
            attempt.announce(instance).await?;
        }
        Ok(())
    }

    /// Takes the first that goes on and began before a moment.
    fn next(&self, before: TimeMicros) -> Option<Arc<Attempt>> {
        let mut attempts = self.attempts();
        loop {
            match attempts.front()?.upgrade() {
                Some(attempt) if attempt.new.at > before => return None,
                Some(attempt) => {
                    attempts.pop_front();
                    return Some(attempt);
                }
                None => drop(attempts.pop_front()),
            }
        }
    }

    fn attempts(&self) -> std::sync::MutexGuard<'_, VecDeque<Weak<Attempt>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
