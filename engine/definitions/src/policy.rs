//! How often and how long an asset may try.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Limits of one step. What is left open is filled in by the executor's settings.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ExecutionPolicy {
    /// Whether and how a failed step is tried again.
    pub retry: Option<RetryPolicy>,
    /// How long one attempt may take.
    pub timeout: Option<Duration>,
    /// The pool whose slots it takes.
    pub pool: Option<String>,
}

/// How a failed step is tried again; the formulas are Dagster's.
///
/// ```
/// use std::time::Duration;
/// use arrowsmith_definitions::{Backoff, Jitter, RetryPolicy};
/// let policy = RetryPolicy {
///     max_retries: 3,
///     delay: Duration::from_secs(2),
///     backoff: Backoff::Exponential,
///     jitter: Jitter::None,
/// };
/// let waits = [1, 2, 3].map(|n| policy.wait(n, 0.5).as_secs());
/// assert_eq!(waits, [2, 6, 14]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub max_retries: u32,
    /// The base of the waiting time.
    pub delay: Duration,
    /// How the waiting time grows.
    pub backoff: Backoff,
    /// How it is spread, so that many steps do not come back at once.
    pub jitter: Jitter,
}

/// How the waiting time grows with the number `n` of the retry, counted from one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// `delay`
    #[default]
    Constant,
    /// `n * delay`
    Linear,
    /// `(2^n - 1) * delay`
    Exponential,
}

/// How the waiting time `d` is spread by a random number `r` in `0..1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// `d`
    #[default]
    None,
    /// `r * d`
    Full,
    /// `d ± r * delay`, with the base delay
    PlusMinus,
}

impl RetryPolicy {
    /// The wait before retry `n`, counted from one; `random` is in `0..1`.
    pub fn wait(&self, n: u32, random: f64) -> Duration {
        let base = self.delay.as_secs_f64();
        let factor = match self.backoff {
            Backoff::Constant => 1.0,
            Backoff::Linear => f64::from(n),
            Backoff::Exponential => 2.0_f64.powi(n.min(60).cast_signed()) - 1.0,
        };
        let wait = base * factor;
        let spread = match self.jitter {
            Jitter::None => wait,
            Jitter::Full => wait * random,
            Jitter::PlusMinus => wait + (2.0 * random - 1.0) * base,
        };
        Duration::try_from_secs_f64(spread.max(0.0)).unwrap_or(Duration::MAX)
    }
}
