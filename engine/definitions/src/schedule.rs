//! Schedules: runs at moments of a wall clock.
//!
//! A moment at which a schedule asks for runs is a *tick*. What the clock does when it is put forward or
//! back is that of [`TimeWindows`]: a tick in the gap comes at its end, one that the clock shows twice
//! comes the second time, and hourly ticks come whenever the clock shows them.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::partition::{Cadence, TimeWindows};
use crate::{BoxError, Place, RunRequest, RunTarget};

/// Ticks that a schedule of partitions makes up for, unless it says otherwise.
const CATCH_UP_PARTITIONED: usize = 5;

/// Runs at moments of a wall clock.
#[derive(Clone)]
pub struct Schedule {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// When it ticks.
    pub cadence: ScheduleCadence,
    /// What it runs.
    pub target: RunTarget,
    /// Whether each tick is for the newest partition that has ended by then.
    pub partitioned: bool,
    /// The run config.
    pub config: Value,
    /// Labels of its runs.
    pub tags: BTreeMap<String, String>,
    /// Decides about each tick; otherwise each makes one run.
    pub function: Option<Arc<ScheduleFunction>>,
    /// How many missed ticks are made up for; the last one, or the last five of partitions, if it is
    /// open.
    pub catch_up: Option<usize>,
    /// Whether it ticks although nobody has started it.
    pub runs_by_default: bool,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// The function of a schedule.
pub type ScheduleFunction =
    dyn Fn(ScheduleContext) -> BoxFuture<'static, Result<TickResult, BoxError>> + Send + Sync;

/// When a schedule ticks.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleCadence {
    /// Whenever one of these says so.
    Cron {
        /// At least one.
        crons: Vec<Cadence>,
        /// Where the wall clock is.
        timezone: TimeZone,
    },
    /// Whenever a partition of its target has ended, and so much later.
    Partitions {
        /// How much later.
        offset: Duration,
    },
}

/// What the function of a schedule is told.
#[derive(Debug, Clone)]
pub struct ScheduleContext {
    /// The tick.
    pub scheduled_at: Timestamp,
    /// The newest partition that has ended by then, if the schedule is one of partitions.
    pub partition_key: Option<String>,
}

/// What becomes of a tick.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TickResult {
    /// The runs that it asks for.
    pub run_requests: Vec<RunRequest>,
    /// Why there is none.
    pub skip_reason: Option<String>,
}

impl TickResult {
    /// A tick without a run.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { skip_reason: Some(reason.into()), ..Self::default() }
    }
}

impl From<RunRequest> for TickResult {
    fn from(request: RunRequest) -> Self {
        Self { run_requests: vec![request], skip_reason: None }
    }
}

impl From<Vec<RunRequest>> for TickResult {
    fn from(run_requests: Vec<RunRequest>) -> Self {
        Self { run_requests, skip_reason: None }
    }
}

impl Schedule {
    /// A schedule that ticks as a cron expression of five fields says, in UTC.
    ///
    /// # Errors
    /// What is wrong with the expression, in one sentence.
    #[track_caller]
    pub fn cron(name: impl Into<String>, cron: &str, target: RunTarget) -> Result<Self, String> {
        let crons = vec![Cadence::cron(cron)?];
        let cadence = ScheduleCadence::Cron { crons, timezone: TimeZone::UTC };
        Ok(Self::new(name.into(), cadence, target))
    }

    /// A schedule that materializes each partition of its target when it has ended.
    #[track_caller]
    pub fn of_partitions(name: impl Into<String>, target: RunTarget) -> Self {
        let cadence = ScheduleCadence::Partitions { offset: Duration::ZERO };
        Self { partitioned: true, ..Self::new(name.into(), cadence, target) }
    }

    #[track_caller]
    fn new(name: String, cadence: ScheduleCadence, target: RunTarget) -> Self {
        Self {
            name,
            description: None,
            cadence,
            target,
            partitioned: false,
            config: Value::Null,
            tags: BTreeMap::new(),
            function: None,
            catch_up: None,
            runs_by_default: false,
            place: Some(Place::caller()),
        }
    }

    /// The schedule with one more cron expression; it ticks whenever one of them says so.
    ///
    /// # Errors
    /// What is wrong with the expression, in one sentence.
    pub fn or_cron(mut self, cron: &str) -> Result<Self, String> {
        let another = Cadence::cron(cron)?;
        match &mut self.cadence {
            ScheduleCadence::Cron { crons, .. } => crons.push(another),
            ScheduleCadence::Partitions { .. } => {
                let (crons, timezone) = (vec![another], TimeZone::UTC);
                self.cadence = ScheduleCadence::Cron { crons, timezone };
            }
        }
        Ok(self)
    }

    /// The schedule by the wall clock of a time zone, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// If there is no such time zone.
    pub fn in_timezone(mut self, name: &str) -> Result<Self, String> {
        let found = TimeZone::get(name).map_err(|_| format!("there is no time zone `{name}`"))?;
        if let ScheduleCadence::Cron { timezone, .. } = &mut self.cadence {
            *timezone = found;
        }
        Ok(self)
    }

    /// The schedule, so much after each partition has ended.
    #[must_use]
    pub fn with_offset(mut self, by: Duration) -> Self {
        if let ScheduleCadence::Partitions { offset } = &mut self.cadence {
            *offset = by;
        }
        self
    }

    /// The schedule with a run config.
    #[must_use]
    pub fn with_config(self, config: Value) -> Self {
        Self { config, ..self }
    }

    /// The schedule with one more label for its runs.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// The schedule with a function that says for each tick which runs it asks for, with which config
    /// and labels, or why there is none.
    #[must_use]
    pub fn with_function<F, Fut, R, E>(mut self, function: F) -> Self
    where
        F: Fn(ScheduleContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<TickResult> + 'static,
        E: Into<BoxError> + 'static,
    {
        self.function = Some(Arc::new(boxed(function)));
        self
    }

    /// The schedule with so many missed ticks made up for.
    #[must_use]
    pub fn with_catch_up(self, ticks: usize) -> Self {
        Self { catch_up: Some(ticks), ..self }
    }

    /// The schedule, which ticks although nobody has started it.
    #[must_use]
    pub fn running(self) -> Self {
        Self { runs_by_default: true, ..self }
    }

    /// How many missed ticks are made up for.
    pub fn catches_up(&self) -> usize {
        self.catch_up.unwrap_or(if self.partitioned { CATCH_UP_PARTITIONED } else { 1 })
    }
}

/// A function of any future and result as one of a boxed future.
pub(crate) fn boxed<A, T, F, Fut, R, E>(
    function: F,
) -> impl Fn(A) -> BoxFuture<'static, Result<T, BoxError>> + Send + Sync
where
    A: Send + 'static,
    F: Fn(A) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    R: Into<T> + 'static,
    E: Into<BoxError> + 'static,
{
    move |argument| {
        let future = function(argument);
        Box::pin(async move { future.await.map(Into::into).map_err(Into::into) })
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The moments at which something ticks: those of several wall clocks together.
#[derive(Debug, Clone, PartialEq)]
pub struct Ticks {
    clocks: Vec<TimeWindows>,
    offset: SignedDuration,
}

impl Ticks {
    /// Those of cron expressions in a time zone.
    pub fn of_crons(crons: &[Cadence], timezone: &TimeZone) -> Self {
        let clock = |cadence: &Cadence| TimeWindows {
            timezone: timezone.clone(),
            ..TimeWindows::new(cadence.clone(), DateTime::MIN)
        };
        Self { clocks: crons.iter().map(clock).collect(), offset: SignedDuration::ZERO }
    }

    /// The ends of windows, and so much later.
    pub(crate) fn of_windows(windows: &TimeWindows, offset: Duration) -> Self {
        let offset = SignedDuration::try_from(offset).unwrap_or(SignedDuration::MAX);
        Self { clocks: vec![windows.clone()], offset }
    }

    /// The first after a moment.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let before = after.checked_sub(self.offset).ok()?;
        let next = self.clocks.iter().filter_map(|clock| clock.next_tick(before)).min()?;
        next.checked_add(self.offset).ok()
    }

    /// The last of those after one moment and not after another, oldest first, at most so many.
    pub fn last(&self, after: Timestamp, until: Timestamp, count: usize) -> Vec<Timestamp> {
        // Years of minutes are not walked through for the sake of the last few.
        let mut back = SignedDuration::from_hours(1);
        loop {
            let from = until.checked_sub(back).unwrap_or(after).max(after);
            let mut ticks: Vec<Timestamp> = self.between(from, until).collect();
            if ticks.len() >= count || from == after {
                ticks.drain(..ticks.len().saturating_sub(count));
                return ticks;
            }
            back = back.saturating_mul(8);
        }
    }

    fn between(&self, after: Timestamp, until: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |tick| self.next(*tick))
            .take_while(move |tick| *tick <= until)
    }
}
