//! Automation conditions: which partitions of an asset are to be materialized by themselves, and when.
//!
//! A condition is a set of partitions at each evaluation: operands are such sets, operators put them
//! together. An asset without partitions is a single one. The words and their meaning are Dagster's.
//!
//! ```
//! use arrowsmith_definitions::AutomationCondition as When;
//! let condition = When::in_latest_time_window(None) & !When::in_progress();
//! assert_eq!(condition.to_string(), "in_latest_time_window() & ~in_progress()");
//! assert_eq!("in_latest_time_window() & ~in_progress()".parse(), Ok(condition));
//! ```

mod parse;

use std::fmt;
use std::ops::{BitAnd, BitOr, Not};
use std::time::Duration;

use crate::AssetKey;
use crate::partition::Cadence;

pub use parse::ConditionError;

/// Which partitions of an asset are to be materialized by themselves.
#[derive(Debug, Clone, PartialEq)]
pub enum AutomationCondition {
    /// What something says about the asset.
    Operand(Operand),
    /// Those in all of these.
    And(Vec<Self>),
    /// Those in any of these.
    Or(Vec<Self>),
    /// Those not in it.
    Not(Box<Self>),
    /// Those that were in `trigger` after they were last in `reset`.
    Since {
        /// Adds partitions.
        trigger: Box<Self>,
        /// Takes them away.
        reset: Box<Self>,
    },
    /// Those that are in it, and were not at the last evaluation.
    NewlyTrue(Box<Self>),
    /// Those that read a partition for which it holds.
    AnyDepsMatch(Box<Self>, DepFilter),
    /// Those for which it holds of each partition that they read.
    AllDepsMatch(Box<Self>, DepFilter),
    /// Those for which it holds of another asset: of the same partition if both are partitioned alike,
    /// else all as soon as it holds of any.
    AssetMatches(AssetKey, Box<Self>),
    /// The same under a name, for people.
    Labeled(String, Box<Self>),
}

/// Which of the assets that are read a condition looks at, by selections in the language of the
/// command line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DepFilter {
    /// None but those.
    pub allow: Option<String>,
    /// Not those.
    pub ignore: Option<String>,
}

/// What something says about an asset, partition by partition.
#[derive(Debug, Clone, PartialEq)]
pub enum Operand {
    /// Not materialized.
    Missing,
    /// A run that is to make it waits or goes on.
    InProgress,
    /// The last run that was to make it has failed.
    ExecutionFailed,
    /// Materialized since the last evaluation.
    NewlyUpdated,
    /// Asked for at the last evaluation.
    NewlyRequested,
    /// Asked for at this one.
    WillBeRequested,
    /// The code is another one than at the last evaluation.
    CodeVersionChanged,
    /// In the newest window of time, or those that began so long before its end; all of an asset
    /// without windows.
    InLatestTimeWindow(Option<Duration>),
    /// A tick has passed since the last evaluation.
    CronTickPassed(Box<Cron>),
    /// This is the first evaluation.
    InitialEvaluation,
    /// Some check did not hold when it was last made.
    CheckFailed,
    /// Checks were made, and each held when it was last made.
    CheckPassed,
    /// It is as fresh as its policy says.
    FreshnessPassed,
    /// It is nearly not as fresh as its policy says.
    FreshnessWarned,
    /// It is not as fresh as its policy says.
    FreshnessFailed,
    /// Last materialized by a run with all of these tags, each as `name` or `name=value`, as far as that
    /// has happened since the condition was first evaluated.
    ExecutedWithTags(Vec<String>),
    /// Materialized since the last evaluation by some run with all of these tags, each as `name` or
    /// `name=value`.
    AnyNewUpdateHasRunTags(Vec<String>),
    /// Materialized since the last evaluation, and only by runs with all of these tags.
    AllNewUpdatesHaveRunTags(Vec<String>),
}

/// When a cron expression ticks.
#[derive(Debug, Clone, PartialEq)]
pub struct Cron {
    /// The expression.
    pub cadence: Cadence,
    /// The name of the time zone.
    pub timezone: String,
}

impl Cron {
    /// A cron expression of five fields in a time zone.
    ///
    /// # Errors
    /// What is wrong with either, in one sentence.
    pub fn new(cron: &str, timezone: &str) -> Result<Self, String> {
        if jiff::tz::TimeZone::get(timezone).is_err() {
            return Err(format!("there is no time zone `{timezone}`"));
        }
        Ok(Self { cadence: Cadence::cron(cron)?, timezone: timezone.to_owned() })
    }

    /// Its last tick after a moment and up to another, in microseconds since 1970-01-01 UTC.
    pub fn last_between(&self, after: i64, until: i64) -> Option<i64> {
        let [Ok(after), Ok(until)] = [after, until].map(jiff::Timestamp::from_microsecond) else {
            return None;
        };
        self.ticks().last(after, until, 1).pop().map(jiff::Timestamp::as_microsecond)
    }

    /// Its ticks.
    pub fn ticks(&self) -> crate::Ticks {
        let zone = jiff::tz::TimeZone::get(&self.timezone).unwrap_or(jiff::tz::TimeZone::UTC);
        crate::Ticks::of_crons(std::slice::from_ref(&self.cadence), &zone)
    }
}

macro_rules! operands {
    ($($(#[doc = $doc:literal])+ $name:ident = $variant:ident;)+) => {
        impl AutomationCondition {
            $($(#[doc = $doc])+ pub const fn $name() -> Self {
                Self::Operand(Operand::$variant)
            })+
        }
    };
}

operands! {
    /// Not materialized.
    missing = Missing;
    /// A run that is to make it waits or goes on.
    in_progress = InProgress;
    /// The last run that was to make it has failed.
    execution_failed = ExecutionFailed;
    /// Materialized since the last evaluation.
    newly_updated = NewlyUpdated;
    /// Asked for at the last evaluation.
    newly_requested = NewlyRequested;
    /// Asked for at this evaluation.
    will_be_requested = WillBeRequested;
    /// The code is another one than at the last evaluation.
    code_version_changed = CodeVersionChanged;
    /// This is the first evaluation.
    initial_evaluation = InitialEvaluation;
    /// Some check did not hold when it was last made.
    check_failed = CheckFailed;
    /// Checks were made, and each held when it was last made.
    check_passed = CheckPassed;
    /// It is as fresh as its policy says.
    freshness_passed = FreshnessPassed;
    /// It is nearly not as fresh as its policy says.
    freshness_warned = FreshnessWarned;
    /// It is not as fresh as its policy says.
    freshness_failed = FreshnessFailed;
}

impl AutomationCondition {
    /// In the newest window of time, or those that began so long before its end.
    pub const fn in_latest_time_window(lookback: Option<Duration>) -> Self {
        Self::Operand(Operand::InLatestTimeWindow(lookback))
    }

    /// A tick has passed since the last evaluation.
    pub fn cron_tick_passed(cron: Cron) -> Self {
        Self::Operand(Operand::CronTickPassed(Box::new(cron)))
    }

    /// Last materialized by a run with all of these tags, each as `name` or `name=value`.
    pub fn executed_with_tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        Self::Operand(Operand::ExecutedWithTags(tags.into_iter().map(Into::into).collect()))
    }

    /// Those for which a condition holds of another asset.
    pub fn asset_matches(asset: AssetKey, of: Self) -> Self {
        Self::AssetMatches(asset, Box::new(of))
    }

    /// Materialized since the last evaluation by some run with all of these tags, each as `name` or
    /// `name=value`.
    pub fn any_new_update_has_run_tags<T: Into<String>>(tags: impl IntoIterator<Item = T>) -> Self {
        let tags = tags.into_iter().map(Into::into).collect();
        Self::Operand(Operand::AnyNewUpdateHasRunTags(tags))
    }

    /// Materialized since the last evaluation, and only by runs with all of these tags.
    pub fn all_new_updates_have_run_tags<T: Into<String>>(
        tags: impl IntoIterator<Item = T>,
    ) -> Self {
        let tags = tags.into_iter().map(Into::into).collect();
        Self::Operand(Operand::AllNewUpdatesHaveRunTags(tags))
    }

    /// Those that read a partition for which a condition holds.
    pub fn any_deps_match(of: Self) -> Self {
        Self::AnyDepsMatch(Box::new(of), DepFilter::default())
    }

    /// Those for which a condition holds of each partition that they read.
    pub fn all_deps_match(of: Self) -> Self {
        Self::AllDepsMatch(Box::new(of), DepFilter::default())
    }

    /// Those that were in this after they were last in another.
    #[must_use]
    pub fn since(self, reset: Self) -> Self {
        Self::Since { trigger: Box::new(self), reset: Box::new(reset) }
    }

    /// Those that are in this, and were not at the last evaluation.
    #[must_use]
    pub fn newly_true(self) -> Self {
        Self::NewlyTrue(Box::new(self))
    }

    /// Those that were in this after they were last asked for or materialized.
    #[must_use]
    pub fn since_last_handled(self) -> Self {
        let handled = Self::newly_requested() | Self::newly_updated() | Self::initial_evaluation();
        self.since(handled.labeled("handled"))
    }

    /// The same under a name.
    #[must_use]
    pub fn labeled(self, label: impl Into<String>) -> Self {
        Self::Labeled(label.into(), Box::new(self))
    }

    /// The same, looking at none but these of what is read.
    #[must_use]
    pub fn allow(self, selection: &str) -> Self {
        self.with_deps(&|deps| deps.allow = Some(selection.to_owned()))
    }

    /// The same, not looking at these of what is read.
    #[must_use]
    pub fn ignore(self, selection: &str) -> Self {
        self.with_deps(&|deps| deps.ignore = Some(selection.to_owned()))
    }

    fn with_deps(self, set: &dyn Fn(&mut DepFilter)) -> Self {
        let of = self.map_children(&|child| child.with_deps(set));
        match of {
            Self::AnyDepsMatch(of, mut deps) => {
                set(&mut deps);
                Self::AnyDepsMatch(of, deps)
            }
            Self::AllDepsMatch(of, mut deps) => {
                set(&mut deps);
                Self::AllDepsMatch(of, deps)
            }
            other => other,
        }
    }

    /// The same with another condition wherever this one stands in it.
    #[must_use]
    pub fn replace(self, old: &Self, new: &Self) -> Self {
        self.replaced(&|of| of == old, new)
    }

    /// The same with another condition in the place of those of a label.
    #[must_use]
    pub fn replace_labeled(self, label: &str, new: &Self) -> Self {
        self.replaced(&|of| matches!(of, Self::Labeled(of, _) if of == label), new)
    }

    fn replaced(self, is_old: &dyn Fn(&Self) -> bool, new: &Self) -> Self {
        if is_old(&self) {
            return new.clone();
        }
        self.map_children(&|child| child.replaced(is_old, new))
    }

    fn map_children(self, map: &dyn Fn(Self) -> Self) -> Self {
        let boxed = |of: Box<Self>| Box::new(map(*of));
        match self {
            Self::Operand(of) => Self::Operand(of),
            Self::And(of) => Self::And(of.into_iter().map(map).collect()),
            Self::Or(of) => Self::Or(of.into_iter().map(map).collect()),
            Self::Not(of) => Self::Not(boxed(of)),
            Self::NewlyTrue(of) => Self::NewlyTrue(boxed(of)),
            Self::Labeled(label, of) => Self::Labeled(label, boxed(of)),
            Self::AssetMatches(asset, of) => Self::AssetMatches(asset, boxed(of)),
            Self::AnyDepsMatch(of, deps) => Self::AnyDepsMatch(boxed(of), deps),
            Self::AllDepsMatch(of, deps) => Self::AllDepsMatch(boxed(of), deps),
            Self::Since { trigger, reset } => {
                Self::Since { trigger: boxed(trigger), reset: boxed(reset) }
            }
        }
    }

    /// The selections in it.
    pub fn selections(&self) -> Vec<&str> {
        let mut found: Vec<&str> = self.children().into_iter().flat_map(Self::selections).collect();
        if let Self::AnyDepsMatch(_, deps) | Self::AllDepsMatch(_, deps) = self {
            found.extend(deps.allow.iter().chain(&deps.ignore).map(String::as_str));
        }
        found
    }

    /// The other assets that it names.
    pub fn assets(&self) -> Vec<&AssetKey> {
        let mut found: Vec<&AssetKey> =
            self.children().into_iter().flat_map(Self::assets).collect();
        if let Self::AssetMatches(asset, _) = self {
            found.push(asset);
        }
        found
    }

    /// Some partition that is read was materialized or is asked for.
    pub fn any_deps_updated() -> Self {
        Self::any_deps_match(Self::newly_updated() | Self::will_be_requested())
            .labeled("any_deps_updated")
    }

    /// Some partition that is read is missing, and not asked for.
    pub fn any_deps_missing() -> Self {
        Self::any_deps_match(Self::missing() & !Self::will_be_requested())
            .labeled("any_deps_missing")
    }

    /// Some partition that is read is being made.
    pub fn any_deps_in_progress() -> Self {
        Self::any_deps_match(Self::in_progress()).labeled("any_deps_in_progress")
    }

    /// Each partition that is read was materialized after the last tick, or is asked for.
    pub fn all_deps_updated_since_cron(cron: Cron) -> Self {
        let updated = Self::newly_updated().since(Self::cron_tick_passed(cron));
        Self::all_deps_match(updated | Self::will_be_requested())
            .labeled("all_deps_updated_since_cron")
    }

    /// Whenever something that it reads is updated: the newest partition, as soon as all that it reads
    /// is there and nobody makes it.
    pub fn eager() -> Self {
        let newly_missing = Self::missing().newly_true().labeled("newly_missing");
        let cause = (newly_missing | Self::any_deps_updated()).since_last_handled();
        (Self::in_latest_time_window(None)
            & cause
            & !Self::any_deps_missing()
            & !Self::any_deps_in_progress()
            & !Self::in_progress())
        .labeled("eager")
    }

    /// Once after each tick, when all that it reads was updated after the tick.
    pub fn on_cron(cron: Cron) -> Self {
        (Self::in_latest_time_window(None)
            & Self::cron_tick_passed(cron.clone()).since_last_handled()
            & Self::all_deps_updated_since_cron(cron))
        .labeled("on_cron")
    }

    /// When it comes to be missing, and all that it reads is there.
    pub fn on_missing() -> Self {
        (Self::in_latest_time_window(None)
            & Self::missing().newly_true().since_last_handled()
            & !Self::any_deps_missing())
        .labeled("on_missing")
    }

    /// The conditions right below it.
    pub fn children(&self) -> Vec<&Self> {
        match self {
            Self::Operand(_) => Vec::new(),
            Self::And(of) | Self::Or(of) => of.iter().collect(),
            Self::Not(of) | Self::NewlyTrue(of) | Self::Labeled(_, of) => vec![of],
            Self::AnyDepsMatch(of, _) | Self::AllDepsMatch(of, _) => vec![of],
            Self::AssetMatches(_, of) => vec![of],
            Self::Since { trigger, reset } => vec![trigger, reset],
        }
    }
}

impl BitAnd for AutomationCondition {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        match self {
            Self::And(mut of) => {
                of.push(other);
                Self::And(of)
            }
            first => Self::And(vec![first, other]),
        }
    }
}

impl BitOr for AutomationCondition {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        match self {
            Self::Or(mut of) => {
                of.push(other);
                Self::Or(of)
            }
            first => Self::Or(vec![first, other]),
        }
    }
}

impl Not for AutomationCondition {
    type Output = Self;
    fn not(self) -> Self {
        Self::Not(Box::new(self))
    }
}

/// A text in the quotes that it does not hold.
fn quoted(text: &str) -> String {
    let quote = if text.contains('"') { '\'' } else { '"' };
    format!("{quote}{text}{quote}")
}

fn texts(of: &[String]) -> String {
    of.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for DepFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(selection) = &self.allow {
            write!(f, ".allow({})", quoted(selection))?;
        }
        match &self.ignore {
            Some(selection) => write!(f, ".ignore({})", quoted(selection)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Missing => "missing",
            Self::InProgress => "in_progress",
            Self::ExecutionFailed => "execution_failed",
            Self::NewlyUpdated => "newly_updated",
            Self::NewlyRequested => "newly_requested",
            Self::WillBeRequested => "will_be_requested",
            Self::CodeVersionChanged => "code_version_changed",
            Self::InitialEvaluation => "initial_evaluation",
            Self::CheckFailed => "check_failed",
            Self::CheckPassed => "check_passed",
            Self::FreshnessPassed => "freshness_passed",
            Self::FreshnessWarned => "freshness_warned",
            Self::FreshnessFailed => "freshness_failed",
            Self::ExecutedWithTags(tags) => {
                return write!(f, "executed_with_tags({})", texts(tags));
            }
            Self::AnyNewUpdateHasRunTags(tags) => {
                return write!(f, "any_new_update_has_run_tags({})", texts(tags));
            }
            Self::AllNewUpdatesHaveRunTags(tags) => {
                return write!(f, "all_new_updates_have_run_tags({})", texts(tags));
            }
            Self::InLatestTimeWindow(None) => "in_latest_time_window",
            Self::InLatestTimeWindow(Some(lookback)) => {
                return write!(f, "in_latest_time_window(\"{}s\")", lookback.as_secs());
            }
            Self::CronTickPassed(cron) => {
                let text = match &cron.cadence {
                    Cadence::Cron(_, text) => text.clone(),
                    other => other.to_string(),
                };
                return write!(f, "cron_tick_passed(\"{text}\", \"{}\")", cron.timezone);
            }
        };
        write!(f, "{name}()")
    }
}

impl fmt::Display for AutomationCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let joined = |f: &mut fmt::Formatter<'_>, of: &[Self], sign: &str| {
            for (at, one) in of.iter().enumerate() {
                if at > 0 {
                    write!(f, " {sign} ")?;
                }
                match one {
                    Self::And(_) | Self::Or(_) => write!(f, "({one})")?,
                    _ => one.fmt(f)?,
                }
            }
            Ok(())
        };
        let inner = |of: &Self| match of {
            Self::And(_) | Self::Or(_) | Self::Not(_) => format!("({of})"),
            _ => of.to_string(),
        };
        match self {
            Self::Operand(of) => of.fmt(f),
            Self::And(of) => joined(f, of, "&"),
            Self::Or(of) => joined(f, of, "|"),
            Self::Not(of) => write!(f, "~{}", inner(of)),
            Self::Since { trigger, reset } => write!(f, "{}.since({reset})", inner(trigger)),
            Self::NewlyTrue(of) => write!(f, "{}.newly_true()", inner(of)),
            Self::AnyDepsMatch(of, deps) => write!(f, "any_deps_match({of}){deps}"),
            Self::AllDepsMatch(of, deps) => write!(f, "all_deps_match({of}){deps}"),
            Self::AssetMatches(asset, of) => write!(f, "asset_matches(\"{asset}\", {of})"),
            Self::Labeled(label, of) => write!(f, "{}.with_label(\"{label}\")", inner(of)),
        }
    }
}
