//! Schedules under a clock that the test moves: each tick once, whatever happens to the daemons.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arrowsmith::daemon::{Daemon, DaemonOptions};
use arrowsmith::execution::{Clock, EngineOptions};
use arrowsmith::instance::{Instance, SetInstigator, TickStatus};
use arrowsmith::prelude::*;
use arrowsmith::{BoxError, ScheduleContext};
use jiff::tz::TimeZone;

use crate::support::folder;

/// A clock that stands still until it is set; waiting takes no time of it.
#[derive(Debug, Clone)]
pub(crate) struct SetClock(Arc<AtomicI64>);

impl SetClock {
    pub(crate) fn at(moment: &str) -> Self {
        Self(Arc::new(AtomicI64::new(micros(moment))))
    }

    pub(crate) fn set(&self, moment: &str) {
        self.0.store(micros(moment), Ordering::SeqCst);
    }

    pub(crate) fn add(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn now(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn sleep(&self, duration: Duration) -> futures::future::BoxFuture<'static, ()> {
        // A limit is not reached because a virtual hour has passed.
        Box::pin(tokio::time::sleep(duration))
    }
}

pub(crate) fn micros(moment: &str) -> i64 {
    moment.parse::<jiff::Timestamp>().expect("a moment").as_microsecond()
}

pub(crate) async fn daemon(repository: &Repository, home: &Path, clock: &SetClock) -> Daemon {
    let engine = EngineOptions { clock: Arc::new(clock.clone()), ..EngineOptions::new(home) };
    let options = DaemonOptions { engine, launcher: None };
    let daemon = Daemon::open(repository.clone(), options).await.expect("a daemon");
    assert!(daemon.problems().is_none(), "{:?}", daemon.problems());
    daemon
}

fn one() -> impl arrowsmith::Definitions {
    sql_asset("one", "select 1 as n")
}

fn target() -> RunTarget {
    RunTarget::Assets("one".to_owned())
}

/// The moments of ticks in UTC, oldest first.
async fn ticks(instance: &Instance, name: &str) -> Vec<String> {
    let mut found = instance.ticks(&format!("schedule:{name}"), 100_000).await.expect("ticks");
    found.sort_by_key(|tick| tick.scheduled_at);
    let shown = |at: i64| jiff::Timestamp::from_microsecond(at).expect("a moment").to_string();
    found.iter().map(|tick| shown(tick.scheduled_at)).collect()
}

/// America/New_York, 2026: the clock goes from 02:00 to 03:00 on 8 March and back on 1 November.
#[tokio::test]
async fn ticks_follow_the_wall_clock_over_its_changes() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("gap", "30 2 * * *", &["2026-03-07T07:30:00Z", "2026-03-08T07:00:00Z"]),
        ("hourly", "0 * * * *", &["2026-03-08T06:00:00Z", "2026-03-08T07:00:00Z"]),
        ("fold", "30 1 * * *", &["2026-10-31T05:30:00Z", "2026-11-01T06:30:00Z"]),
        ("half", "30 * * * *", &["2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"]),
        (
            "often",
            "*/30 * * * *",
            &[
                "2026-11-01T05:00:00Z",
                "2026-11-01T05:30:00Z",
                "2026-11-01T06:00:00Z",
                "2026-11-01T06:30:00Z",
            ],
        ),
    ];
    for (name, cron, expected) in cases {
        let home = folder();
        let from = expected[0].parse::<jiff::Timestamp>().expect("a moment").as_microsecond() - 1;
        let clock = SetClock(Arc::new(AtomicI64::new(from)));
        let schedule = Schedule::cron(*name, cron, target()).expect("a cron expression");
        let schedule = schedule.in_timezone("America/New_York").expect("a time zone");
        let repository =
            Repository::new("test").with(one()).with(schedule.running().with_catch_up(9));
        let daemon = daemon(&repository, home.path(), &clock).await;
        assert!(daemon.lead().await.expect("a lead"));
        daemon.tick_schedules().await.expect("the schedule is met");
        clock.set(expected.last().expect("a tick"));
        assert!(daemon.lead().await.expect("a lead"));
        daemon.tick_schedules().await.expect("ticks");
        assert_eq!(ticks(daemon.instance(), name).await, *expected, "{cron}");
    }
}

#[tokio::test]
async fn of_ticks_that_were_missed_the_last_is_made_up_for_and_the_last_five_of_partitions() {
    let home = folder();
    let clock = SetClock::at("2026-01-01T00:00:00Z");
    let days = "partitions = { daily = \"2026-01-01\", column = \"day\" }";
    let sql = format!("/* +++\n{days}\n+++ */ select date '2026-01-01' as day");
    let repository = Repository::new("test")
        .with(one())
        .with(sql_asset("daily", &sql))
        .with(Schedule::cron("plain", "0 6 * * *", target()).expect("a cron").running())
        .with(
            Schedule::of_partitions("days", RunTarget::Assets("daily".to_owned()))
                .with_offset(Duration::from_hours(2))
                .running(),
        );
    let daemon = daemon(&repository, home.path(), &clock).await;
    assert!(daemon.lead().await.expect("a lead"));
    daemon.tick_schedules().await.expect("schedules are met");
    clock.set("2026-01-20T12:00:00Z");
    assert!(daemon.lead().await.expect("a lead"));
    daemon.tick_schedules().await.expect("ticks");
    let instance = daemon.instance();
    assert_eq!(ticks(instance, "plain").await, ["2026-01-20T06:00:00Z"]);
    let made_up = ["16", "17", "18", "19", "20"].map(|day| format!("2026-01-{day}T02:00:00Z"));
    assert_eq!(ticks(instance, "days").await, made_up);
    // Each is for the partition that had ended by then.
    let runs = instance.runs(10).await.expect("runs");
    let mut partitions: Vec<String> =
        runs.iter().filter_map(|run| run.launch.clone()?.partitions).collect();
    partitions.sort();
    let ended = ["15", "16", "17", "18", "19"].map(|day| format!("2026-01-{day}"));
    assert_eq!(partitions, ended);
}

#[tokio::test]
async fn a_stopped_schedule_ticks_no_more_and_makes_nothing_up_when_it_starts() {
    let home = folder();
    let clock = SetClock::at("2026-01-01T00:00:00Z");
    let schedule = Schedule::cron("hourly", "0 * * * *", target()).expect("a cron expression");
    let repository = Repository::new("test").with(one()).with(schedule);
    let daemon = daemon(&repository, home.path(), &clock).await;
    let instance = daemon.instance().clone();
    let at = async |moment: &str| {
        clock.set(moment);
        assert!(daemon.lead().await.expect("a lead"));
        daemon.tick_schedules().await.expect("ticks");
        ticks(&instance, "hourly").await.len()
    };
    assert_eq!(at("2026-01-01T00:00:00Z").await, 0);
    assert_eq!(at("2026-01-01T05:30:00Z").await, 0, "nobody has started it");
    let set = async |set| {
        let now = clock.now();
        instance.set_instigator("schedule:hourly", set, now).await.expect("set");
    };
    set(SetInstigator::Start).await;
    assert_eq!(at("2026-01-01T05:59:00Z").await, 0, "what came before is not made up for");
    assert_eq!(at("2026-01-01T06:00:00Z").await, 1);
    set(SetInstigator::Stop).await;
    assert_eq!(at("2026-01-01T09:00:00Z").await, 1);
    set(SetInstigator::Start).await;
    assert_eq!(at("2026-01-01T09:30:00Z").await, 1);
    assert_eq!(at("2026-01-01T10:00:00Z").await, 2);
}

#[tokio::test]
async fn a_function_decides_about_each_tick_and_its_failure_is_told() {
    let home = folder();
    let clock = SetClock::at("2026-01-01T00:00:00Z");
    let function = |context: ScheduleContext| async move {
        match context.scheduled_at.to_zoned(TimeZone::UTC).hour() {
            1 => Ok(TickResult::skip("not at one")),
            2 => Err(BoxError::from("two is too much")),
            3 => panic!("three is worse"),
            hour => Ok(TickResult::from(vec![
                RunRequest::once(format!("at {hour}")).with_tag("hour", hour.to_string()),
                RunRequest::once("always the same"),
            ])),
        }
    };
    let schedule = Schedule::cron("choosy", "0 * * * *", target()).expect("a cron expression");
    let schedule = schedule.with_function(function).with_tag("team", "ops").running();
    let repository = Repository::new("test").with(one()).with(schedule);
    let daemon = daemon(&repository, home.path(), &clock).await;
    for hour in 0..6 {
        clock.set(&format!("2026-01-01T0{hour}:00:00Z"));
        assert!(daemon.lead().await.expect("a lead"));
        daemon.tick_schedules().await.expect("ticks");
    }
    let mut told = daemon.instance().ticks("schedule:choosy", 10).await.expect("ticks");
    told.reverse();
    let told: Vec<_> = told
        .iter()
        .map(|tick| {
            (tick.status, tick.reason.as_deref(), tick.run_ids.len(), tick.suppressed.len())
        })
        .collect();
    assert_eq!(
        told,
        [
            (TickStatus::Skipped, Some("not at one"), 0, 0),
            (TickStatus::Failure, Some("two is too much"), 0, 0),
            (TickStatus::Failure, Some("it panicked: three is worse"), 0, 0),
            (TickStatus::Success, None, 2, 0),
            (TickStatus::Success, None, 1, 1),
        ]
    );
    let run = daemon.instance().runs(1).await.expect("runs").remove(0);
    let tags = BTreeMap::from(
        [("arrowsmith/schedule", "choosy"), ("hour", "5"), ("team", "ops")]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    assert_eq!((run.tags, run.origin.as_deref()), (tags, Some("schedule:choosy")));
}

/// What a cron expression means, minute by minute: nothing of it is the daemon's.
mod oracle {
    use jiff::civil::DateTime;
    use jiff::tz::{AmbiguousOffset, TimeZone};
    use jiff::{Timestamp, ToSpan};

    fn fits(field: &str, value: i64) -> bool {
        field.split(',').any(|part| match part.strip_prefix("*/") {
            Some(step) => value % step.parse::<i64>().expect("a step") == 0,
            None => part == "*" || part.parse() == Ok(value),
        })
    }

    fn shows(cron: &str, at: DateTime) -> bool {
        let fields: Vec<&str> = cron.split(' ').collect();
        let weekday = i64::from(at.weekday().to_sunday_zero_offset());
        fits(fields[0], at.minute().into())
            && fits(fields[1], at.hour().into())
            && fits(fields[2], at.day().into())
            && fits(fields[3], at.month().into())
            && fits(fields[4], weekday)
    }

    /// The ticks after one moment until another.
    pub(super) fn ticks(cron: &str, zone: &TimeZone, after: i64, until: i64) -> Vec<i64> {
        let is_hourly = cron.split(' ').nth(1).expect("an hour").starts_with('*');
        let minute = 60_000_000;
        let mut ticks = Vec::new();
        let mut at = (after / minute + 1) * minute;
        while at <= until {
            let moment = Timestamp::from_microsecond(at).expect("a moment");
            let civil = zone.to_datetime(moment);
            let is_second = match zone.to_ambiguous_timestamp(civil).offset() {
                AmbiguousOffset::Fold { after, .. } => zone.to_offset(moment) == after,
                _ => true,
            };
            let mut ticks_here = shows(cron, civil) && (is_hourly || is_second);
            // At the end of a gap comes what the clock has jumped over.
            let before = zone.to_datetime(moment - 1.minute());
            let mut skipped = before + 1.minute();
            while !is_hourly && skipped < civil {
                ticks_here |= shows(cron, skipped);
                skipped += 1.minute();
            }
            if ticks_here {
                ticks.push(at);
            }
            at += minute;
        }
        ticks
    }
}

/// How many ticks there are to be at least; `ARROWSMITH_TICKS=10000` and more is what CI asks for.
fn wanted() -> usize {
    std::env::var("ARROWSMITH_TICKS").ok().and_then(|n| n.parse().ok()).unwrap_or(2000)
}

const CRONS: &[(&str, &str)] = &[
    ("*/7 * * * *", "UTC"),
    ("*/20 * * * *", "America/New_York"),
    ("30 * * * *", "America/New_York"),
    ("0 * * * *", "Australia/Lord_Howe"),
    ("30 2 * * *", "America/New_York"),
    ("30 1 * * *", "America/New_York"),
    ("0 */3 * * *", "Europe/Berlin"),
    ("15 2 * * 0", "Europe/Berlin"),
    ("0 0 * * *", "America/Santiago"),
    ("5,50 1,2,3 * * *", "Europe/London"),
];

/// So many schedules for each of them.
const COPIES: usize = 5;

/// Schedules for each of them, which make up for all that they have missed.
fn many_schedules() -> Repository {
    let mut repository = Repository::new("test").with(one());
    for (at, (cron, zone)) in CRONS.iter().cycle().take(CRONS.len() * COPIES).enumerate() {
        let schedule = Schedule::cron(format!("s{at}"), cron, target()).expect("a cron expression");
        let schedule = schedule.in_timezone(zone).expect("a time zone").with_catch_up(100_000);
        repository = repository.with(schedule.running());
    }
    repository
}

/// How many ticks there were; each is one that the oracle finds, and has made one run. An error names
/// the first schedule of which that is not so.
async fn compare(instance: &Instance, from: i64, until: i64) -> Result<usize, String> {
    let mut all = 0;
    for (at, (cron, zone)) in CRONS.iter().cycle().take(CRONS.len() * COPIES).enumerate() {
        let zone = TimeZone::get(zone).expect("a time zone");
        let expected = oracle::ticks(cron, &zone, from, until);
        let found = instance.ticks(&format!("schedule:s{at}"), u32::MAX).await;
        let mut found = found.expect("ticks");
        found.sort_by_key(|tick| tick.scheduled_at);
        let moments: Vec<i64> = found.iter().map(|tick| tick.scheduled_at).collect();
        if moments != expected {
            return Err(format!("ticks of `{cron}` in {zone:?}: {moments:?}, not {expected:?}"));
        }
        if let Some(tick) = found.iter().find(|tick| tick.run_ids.len() != 1) {
            return Err(format!("a tick of `{cron}` has made {} runs", tick.run_ids.len()));
        }
        all += moments.len();
    }
    Ok(all)
}

async fn count_runs(instance: &Instance) -> usize {
    let counts = instance.counts().await.expect("counts");
    usize::try_from(counts.runs.values().sum::<u64>()).expect("a number")
}

/// T7: two daemons, of which one or the other dies in the middle of its work, clocks that jump, days on
/// which the clock changes; and exactly the ticks that a minute by minute scan finds.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_to_daemons_and_clocks_each_tick_comes_once() {
    let home = folder();
    let repository = many_schedules();
    let seed = std::env::var("ARROWSMITH_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| fastrand::u64(..));
    let mut random = fastrand::Rng::with_seed(seed);
    // A few days before each kind of change of the clock.
    let starts = [
        "2026-03-06T00:00:00Z",
        "2026-03-27T00:00:00Z",
        "2026-10-23T00:00:00Z",
        "2026-10-30T00:00:00Z",
        "2026-04-03T00:00:00Z",
    ];
    let start = starts[random.usize(..starts.len())];
    let clock = SetClock::at(start);
    let mut daemons = [
        daemon(&repository, home.path(), &clock).await,
        daemon(&repository, home.path(), &clock).await,
    ];
    while !daemons[0].lead().await.expect("a lead") {}
    daemons[0].tick_schedules().await.expect("schedules are met");
    let (mut kills, mut jumps, mut furthest) = (0, 0, clock.now());
    while count_runs(daemons[0].instance()).await < wanted() {
        for _ in 0..50 {
            match random.u8(..100) {
                0..3 => {
                    clock.add(-random.i64(1..7200));
                    jumps += 1;
                }
                3..6 => {
                    clock.add(random.i64(3600..40_000));
                    jumps += 1;
                }
                _ => clock.add(random.i64(5..900)),
            }
            let which = random.usize(..2);
            let daemon_now = daemons[which].clone();
            let work = tokio::spawn(async move {
                if daemon_now.lead().await? {
                    daemon_now.tick_schedules().await?;
                }
                Ok::<_, arrowsmith::daemon::Error>(())
            });
            if random.u8(..100) < 10 {
                // It dies in the middle of it, and another comes in its place.
                tokio::time::sleep(Duration::from_micros(random.u64(..3000))).await;
                work.abort();
                drop(work.await);
                daemons[which] = daemon(&repository, home.path(), &clock).await;
                kills += 1;
            } else {
                work.await.expect("no panic").expect("ticks");
            }
            furthest = furthest.max(clock.now());
        }
    }
    // In the end somebody leads and comes to the furthest moment.
    clock.0.store(furthest + 60_000_000, Ordering::SeqCst);
    let last = &daemons[0];
    assert!(last.lead().await.expect("a lead"));
    last.tick_schedules().await.expect("ticks");
    let all = compare(last.instance(), micros(start), clock.now()).await;
    let all = all.unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
    assert_eq!(count_runs(last.instance()).await, all, "a run for each tick, seed {seed}");
    let told = format!("{all} ticks, {kills} kills, {jumps} jumps of the clock, seed {seed}");
    drop(writeln!(std::io::stderr(), "{told}"));
}

/// The harness can fail: a tick that is missing is seen, and one too many.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_daemon_could_miss_is_seen() {
    let (home, start) = (folder(), "2026-03-06T00:00:00Z");
    let clock = SetClock::at(start);
    let daemon = daemon(&many_schedules(), home.path(), &clock).await;
    while !daemon.lead().await.expect("a lead") {}
    daemon.tick_schedules().await.expect("schedules are met");
    clock.set("2026-03-06T12:00:00Z");
    assert!(daemon.lead().await.expect("a lead"));
    daemon.tick_schedules().await.expect("ticks");
    let (start, now, hour) = (micros(start), clock.now(), 3_600_000_000);
    let instance = daemon.instance();
    let all = compare(instance, start, now).await.expect("as it should be");
    assert!(all > 100, "{all} ticks");
    assert!(compare(instance, start, now + hour).await.is_err(), "those of the last hour lack");
    assert!(compare(instance, start, now - hour).await.is_err(), "there are too many");
}
