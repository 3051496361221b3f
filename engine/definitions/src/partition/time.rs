//! Windows of time: where they begin and end, and what their keys are.
//!
//! A window runs from one tick to the next. Ticks are moments of a wall clock. When the clock is put
//! forward over one, it comes at the end of the gap; when it is put back over one, it comes once,
//! the second time; unless it comes every hour, when it is left out and comes twice.

use std::fmt;
use std::str::FromStr;

use croner::Cron;
use croner::parser::{CronParser, Seconds};
use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp, ToSpan};

/// Ticks that a shift goes at most.
const SHIFT_MAX: u32 = 100_000;
/// No clock was ever put back by more.
const FOLD_MAX: SignedDuration = SignedDuration::from_hours(3);

/// How often windows begin.
#[derive(Debug, Clone)]
pub enum Cadence {
    /// Every hour, so many minutes after it.
    Hourly {
        /// From 0 to 59.
        minute: i8,
    },
    /// Every day.
    Daily,
    /// Every week, on its first day.
    Weekly,
    /// Every month, on its first day.
    Monthly,
    /// As a cron expression of five fields says.
    Cron(Box<Cron>, String),
}

impl PartialEq for Cadence {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl fmt::Display for Cadence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hourly { minute: 0 } => f.write_str("hourly"),
            Self::Hourly { minute } => write!(f, "hourly at minute {minute}"),
            Self::Daily => f.write_str("daily"),
            Self::Weekly => f.write_str("weekly"),
            Self::Monthly => f.write_str("monthly"),
            Self::Cron(_, text) => write!(f, "cron {text}"),
        }
    }
}

impl Cadence {
    /// From a cron expression of five fields.
    ///
    /// # Errors
    /// What is wrong with it, in one sentence.
    pub fn cron(text: &str) -> Result<Self, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).build();
        match parser.parse(text) {
            Ok(cron) => Ok(Self::Cron(Box::new(cron), text.to_owned())),
            Err(error) => Err(format!("`{text}` is no cron expression: {error}")),
        }
    }

    /// Whether ticks are as often as hours, so that each hour has its own.
    fn is_hourly(&self) -> bool {
        match self {
            Self::Hourly { .. } => true,
            Self::Cron(_, text) => {
                text.split_whitespace().nth(1).is_some_and(|h| h.starts_with('*'))
            }
            _ => false,
        }
    }

    /// Whether every tick is at the beginning of a day.
    pub(super) fn is_of_days(&self) -> bool {
        match self {
            Self::Hourly { .. } => false,
            Self::Cron(_, text) => text.split_whitespace().take(2).all(|field| field == "0"),
            _ => true,
        }
    }

    /// The first tick of the wall clock at or after a moment of it.
    fn at_or_after(&self, from: DateTime) -> Option<DateTime> {
        let midnight = from.date().to_datetime(jiff::civil::Time::midnight());
        let day = if from == midnight { midnight } else { midnight.checked_add(1.day()).ok()? };
        match self {
            Self::Hourly { minute } => {
                let tick =
                    from.with().minute(*minute).second(0).subsec_nanosecond(0).build().ok()?;
                if tick >= from { Some(tick) } else { tick.checked_add(1.hour()).ok() }
            }
            Self::Daily => Some(day),
            Self::Weekly => {
                let after_sunday = i64::from(day.weekday().to_sunday_zero_offset());
                day.checked_add(((7 - after_sunday) % 7).days()).ok()
            }
            Self::Monthly => {
                let first = day.first_of_month();
                if first == day { Some(first) } else { first.checked_add(1.month()).ok() }
            }
            Self::Cron(cron, _) => cron.find_next_occurrence(&from, true).ok(),
        }
    }

    /// The tick after one.
    fn next(&self, tick: DateTime) -> Option<DateTime> {
        let by = |span: Span| tick.checked_add(span).ok();
        match self {
            Self::Hourly { .. } => by(1.hour()),
            Self::Daily => by(1.day()),
            Self::Weekly => by(1.week()),
            Self::Monthly => by(1.month()),
            Self::Cron(cron, _) => cron.find_next_occurrence(&tick, false).ok(),
        }
    }

    /// The tick before one.
    fn previous(&self, tick: DateTime) -> Option<DateTime> {
        let by = |span: Span| tick.checked_sub(span).ok();
        match self {
            Self::Hourly { .. } => by(1.hour()),
            Self::Daily => by(1.day()),
            Self::Weekly => by(1.week()),
            Self::Monthly => by(1.month()),
            Self::Cron(cron, _) => cron.find_previous_occurrence(&tick, false).ok(),
        }
    }
}

/// From a moment until another, which is not in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeWindow {
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment after it.
    pub end: Timestamp,
}

/// A definition of windows of time.
#[derive(Debug, Clone, PartialEq)]
pub struct TimeWindows {
    /// How often they begin.
    pub cadence: Cadence,
    /// The first begins at the first tick that is not before.
    pub start: DateTime,
    /// No window ends after it.
    pub end: Option<DateTime>,
    /// Where the wall clock is.
    pub timezone: TimeZone,
    /// Windows beyond the last that has ended; negative for fewer.
    pub end_offset: i32,
    /// How a key is made of the beginning of its window (`strftime`).
    pub format: String,
    /// Beginnings of windows that are left out.
    pub exclusions: Vec<DateTime>,
}

impl TimeWindows {
    /// Whether every window begins with a day.
    pub fn is_of_days(&self) -> bool {
        self.cadence.is_of_days()
    }

    /// Windows from `start` on, in UTC, with the usual format of keys.
    pub fn new(cadence: Cadence, start: DateTime) -> Self {
        let format = if cadence.is_of_days() { "%Y-%m-%d" } else { "%Y-%m-%d-%H:%M" };
        Self {
            cadence,
            start,
            end: None,
            timezone: TimeZone::UTC,
            end_offset: 0,
            format: format.to_owned(),
            exclusions: Vec::new(),
        }
    }

    /// A moment of the wall clock as a user writes it: `2013-01`, `2013-01-01` or
    /// `2013-01-01T06:00`.
    ///
    /// # Errors
    /// One sentence.
    pub fn parse_moment(text: &str) -> Result<DateTime, String> {
        let month = || DateTime::from_str(&format!("{text}-01")).ok();
        let parsed = DateTime::from_str(text).ok().or_else(month);
        parsed
            .ok_or_else(|| format!("`{text}` is no date; write `2013-01-01` or `2013-01-01T06:00`"))
    }

    /// The moments at which the wall clock shows a tick: none, one, or two.
    fn moments(&self, tick: DateTime) -> [Option<Timestamp>; 2] {
        let ambiguous = self.timezone.to_ambiguous_timestamp(tick);
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(tick).ok();
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => [at(offset), None],
            AmbiguousOffset::Gap { .. } if self.cadence.is_hourly() => [None, None],
            // The clock goes on at the end of the gap, which is the moment of the transition.
            AmbiguousOffset::Gap { .. } => {
                let transition =
                    |before| self.timezone.following(before).next().map(|found| found.timestamp());
                [ambiguous.earlier().ok().and_then(transition), None]
            }
            AmbiguousOffset::Fold { before, after } if self.cadence.is_hourly() => {
                [at(before), at(after)]
            }
            AmbiguousOffset::Fold { after, .. } => [at(after), None],
        }
    }

    /// The windows that exist at a moment, oldest first, those that are left out aside.
    pub fn windows(&self, now: Timestamp) -> Vec<TimeWindow> {
        let mut starts: Vec<Timestamp> = Vec::new();
        let (mut tick, mut beyond) = (self.cadence.at_or_after(self.start), 0);
        let until = self.end.and_then(|end| self.timezone.to_timestamp(end).ok());
        while let Some(current) = tick {
            for moment in self.moments(current).into_iter().flatten() {
                // Two folded ticks may change places; all others rise.
                let place = starts.partition_point(|start| *start < moment);
                if starts.get(place) != Some(&moment) {
                    starts.insert(place, moment);
                }
            }
            let reached = starts.last().copied().unwrap_or(Timestamp::MIN);
            if until.is_some_and(|until| reached > until) {
                break;
            }
            if reached > now {
                beyond += 1;
                if beyond > self.end_offset.max(0) {
                    break;
                }
            }
            tick = self.cadence.next(current);
        }
        let pairs = starts.windows(2).map(|pair| TimeWindow { start: pair[0], end: pair[1] });
        let mut windows: Vec<TimeWindow> =
            pairs.filter(|window| until.is_none_or(|until| window.end <= until)).collect();
        let ended = windows.partition_point(|window| window.end <= now);
        let wanted = i64::try_from(ended).unwrap_or(i64::MAX) + i64::from(self.end_offset);
        windows.truncate(usize::try_from(wanted).unwrap_or(0));
        if !self.exclusions.is_empty() {
            windows.retain(|window| !self.exclusions.contains(&self.local(window.start)));
        }
        windows
    }

    /// The first tick after a moment, at which a window may come to be; none once the last has.
    pub fn next_tick(&self, now: Timestamp) -> Option<Timestamp> {
        let end = self.end.and_then(|end| self.timezone.to_timestamp(end).ok());
        if end.is_some_and(|end| end < now) && self.end_offset >= 0 {
            return None;
        }
        let from = self.local(now).checked_sub(FOLD_MAX).ok()?;
        let (mut tick, mut next) = (self.cadence.at_or_after(from), None::<Timestamp>);
        while let Some(current) = tick {
            // What the clock shows twice comes in another order than on the clock.
            if let Some(next) = next
                && current > self.local(next).checked_add(FOLD_MAX).ok()?
            {
                break;
            }
            let later = self.moments(current).into_iter().flatten().filter(|moment| *moment > now);
            next = later.chain(next).min();
            tick = self.cadence.next(current);
        }
        next
    }

    /// What the wall clock shows at a moment.
    pub(super) fn local(&self, moment: Timestamp) -> DateTime {
        self.timezone.to_datetime(moment)
    }

    /// The key of the window that begins at a moment. The second of two windows that begin at the
    /// same time of the wall clock has its offset behind it.
    pub fn key(&self, start: Timestamp) -> String {
        let zoned = start.to_zoned(self.timezone.clone());
        let key = strtime::format(&self.format, &zoned).unwrap_or_else(|_| start.to_string());
        let ambiguous = self.timezone.to_ambiguous_timestamp(zoned.datetime());
        match ambiguous.offset() {
            AmbiguousOffset::Fold { after, .. }
                if self.cadence.is_hourly() && zoned.offset() == after =>
            {
                let offset = strtime::format("%z", &zoned).unwrap_or_default();
                format!("{key}{offset}")
            }
            _ => key,
        }
    }

    /// Moments at which the window of a key may begin.
    pub(super) fn starts_of(&self, key: &str) -> Vec<Timestamp> {
        let civil = |text: &str| {
            let parsed = strtime::parse(&self.format, text).ok()?;
            let date = parsed.to_date().ok().or_else(|| {
                // A format of months has no day.
                jiff::civil::Date::new(parsed.year()?, parsed.month()?, 1).ok()
            })?;
            Some(date.to_datetime(parsed.to_time().unwrap_or_default()))
        };
        let text = key.len().checked_sub("-0500".len()).and_then(|at| key.get(..at));
        let found = civil(key).or_else(|| text.and_then(civil));
        found.into_iter().flat_map(|tick| self.moments(tick)).flatten().collect()
    }

    /// A moment so many ticks after the one at which a window begins; negative is before.
    pub(super) fn shifted(&self, start: Timestamp, by: i32) -> Timestamp {
        let mut tick = self.local(start);
        for _ in 0..by.unsigned_abs().min(SHIFT_MAX) {
            let next = if by < 0 { self.cadence.previous(tick) } else { self.cadence.next(tick) };
            let Some(next) = next else { break };
            tick = next;
        }
        let moments = self.moments(tick);
        moments.into_iter().flatten().next().unwrap_or_else(|| {
            start.checked_add(SignedDuration::from_hours(i64::from(by))).unwrap_or(start)
        })
    }
}

impl fmt::Display for TimeWindows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.cadence, Moment(self.start))?;
        if let Some(end) = self.end {
            write!(f, " until {}", Moment(end))?;
        }
        if let Some(name) = self.timezone.iana_name().filter(|name| *name != "UTC") {
            write!(f, " in {name}")?;
        }
        Ok(())
    }
}

/// A moment of the wall clock; midnight is a date.
struct Moment(DateTime);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.time() == jiff::civil::Time::midnight() {
            self.0.date().fmt(f)
        } else {
            self.0.fmt(f)
        }
    }
}
