//! Freshness policies: how old what is current may be.

use std::time::Duration;

use jiff::Timestamp;

use crate::automation::Cron;

/// How old what is current of an asset may be.
#[derive(Debug, Clone, PartialEq)]
pub enum FreshnessPolicy {
    /// Materialized within a window that ends now.
    TimeWindow {
        /// What is older fails.
        fail: Duration,
        /// What is older is warned of.
        warn: Option<Duration>,
    },
    /// Materialized before each deadline, and not too long before it.
    Cron {
        /// The deadlines.
        deadline: Box<Cron>,
        /// How long before a deadline it counts for it.
        lower_bound: Duration,
    },
}

/// How an asset stands to its policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FreshnessState {
    /// As fresh as it is to be.
    Pass,
    /// It is going to fail soon.
    Warn,
    /// Not as fresh as it is to be.
    Fail,
    /// Never materialized.
    Unknown,
}

impl FreshnessState {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Unknown => "unknown",
        }
    }

    /// The state of a word.
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Pass, Self::Warn, Self::Fail, Self::Unknown]
            .into_iter()
            .find(|of| of.as_str() == word)
    }
}

impl FreshnessPolicy {
    /// How an asset stands that was materialized at a moment, if ever. Of deadlines the last one that
    /// has passed counts.
    ///
    /// ```
    /// use arrowsmith_definitions::{Cron, FreshnessPolicy, FreshnessState};
    /// let policy = FreshnessPolicy::Cron {
    ///     deadline: Box::new(Cron::new("0 9 * * *", "UTC").unwrap()),
    ///     lower_bound: std::time::Duration::from_secs(3600),
    /// };
    /// let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
    /// let stands = |made| policy.state(Some(at(made)), at("2026-01-02T12:00:00Z"));
    /// assert_eq!(stands("2026-01-02T08:30:00Z"), FreshnessState::Pass);
    /// assert_eq!(stands("2026-01-02T07:30:00Z"), FreshnessState::Fail);
    /// ```
    pub fn state(&self, materialized: Option<Timestamp>, now: Timestamp) -> FreshnessState {
        let Some(materialized) = materialized else { return FreshnessState::Unknown };
        match self {
            Self::TimeWindow { fail, warn } => {
                let age = now.duration_since(materialized).unsigned_abs();
                if materialized > now {
                    FreshnessState::Pass
                } else if age > *fail {
                    FreshnessState::Fail
                } else if warn.is_some_and(|warn| age > warn) {
                    FreshnessState::Warn
                } else {
                    FreshnessState::Pass
                }
            }
            Self::Cron { deadline, lower_bound } => {
                let passed = deadline.ticks().last(Timestamp::MIN, now, 1).pop();
                let from = passed.and_then(|deadline| deadline.checked_sub(*lower_bound).ok());
                match from {
                    Some(from) if materialized < from => FreshnessState::Fail,
                    _ => FreshnessState::Pass,
                }
            }
        }
    }
}
