//! Time, behind a trait so that tests can say what it is.
#![expect(clippy::disallowed_methods, reason = "this is the one place that reads a clock")]

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrowsmith_instance::TimeMicros;
use futures::future::BoxFuture;

/// A source of time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now, in microseconds since 1970-01-01 UTC.
    fn now(&self) -> TimeMicros;

    /// Waits.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The clock of the machine; waiting uses its monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> TimeMicros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        TimeMicros::try_from(since.as_micros()).unwrap_or(TimeMicros::MAX)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
