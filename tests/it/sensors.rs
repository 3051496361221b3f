//! Sensors: what they see becomes runs, once, and nothing that happens is missed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrowsmith::daemon::Daemon;
use arrowsmith::execution::Silent;
use arrowsmith::instance::{RunRecord, TickRecord, TickStatus};
use arrowsmith::prelude::*;
use arrowsmith::{BoxError, RunEnd, Secret};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::schedules::{SetClock, daemon};
use crate::support::{folder, materialize};

const START: &str = "2026-01-01T00:00:00Z";

struct Place {
    _home: TempDir,
    clock: SetClock,
    daemon: Daemon,
}

impl Place {
    async fn new(repository: Repository) -> Self {
        let (home, clock) = (folder(), SetClock::at(START));
        let daemon = daemon(&repository, home.path(), &clock).await;
        Self { _home: home, clock, daemon }
    }

    /// A minute later: how many sensors were due.
    async fn look(&self) -> usize {
        self.clock.add(60);
        assert!(self.daemon.lead().await.expect("a lead"));
        self.daemon.tick_sensors().await.expect("ticks")
    }

    async fn ticks(&self, name: &str) -> Vec<TickRecord> {
        let found = self.daemon.instance().ticks(&format!("sensor:{name}"), 100).await;
        let mut ticks = found.expect("ticks");
        ticks.reverse();
        ticks
    }

    /// Runs that sensors have queued, oldest first.
    async fn queued(&self) -> Vec<RunRecord> {
        let mut runs = self.daemon.instance().runs(1000).await.expect("runs");
        runs.retain(|run| run.origin.is_some());
        runs.sort_by_key(|run| run.created_at);
        runs
    }

    async fn partitions(&self) -> Vec<Option<String>> {
        let queued = self.queued().await;
        queued.into_iter().map(|run| run.launch.expect("a launch").partitions).collect()
    }

    async fn materialize(&self, selection: &str, partitions: Option<&str>) {
        materialize(&self.daemon, selection, partitions, &[]).await;
    }
}

fn one() -> impl arrowsmith::Definitions {
    sql_asset("one", "select 1 as n")
}

fn two() -> impl arrowsmith::Definitions {
    sql_asset("two", "select 2 as n")
}

fn target() -> RunTarget {
    RunTarget::Assets("one".to_owned())
}

#[tokio::test]
async fn a_function_goes_on_where_its_cursor_says_and_a_failure_moves_nothing() {
    let looks = Arc::new(AtomicUsize::new(0));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (looking, noted) = (Arc::clone(&looks), Arc::clone(&seen));
    let sensor = Sensor::new("inbox", move |context: SensorContext| {
        noted.lock().expect("a lock").push(context.cursor);
        let look = looking.fetch_add(1, Ordering::SeqCst);
        async move {
            match look {
                0 => Ok(SensorResult::from(RunRequest::once("a").with_tag("look", "0"))
                    .with_cursor("first")
                    .with_partitions("regions", ["eu", "us"])),
                1 => Err(BoxError::from("the inbox is closed")),
                2 => panic!("the inbox fell down"),
                3 => Ok(SensorResult::skip("nothing new")),
                _ => Ok(vec![RunRequest::once("a"), RunRequest::once("b")].into()),
            }
        }
    });
    let repository =
        Repository::new("test").with(one()).with(sensor.with_target(target()).running());
    let place = Place::new(repository).await;
    for _ in 0..5 {
        assert_eq!(place.look().await, 1);
    }
    let told: Vec<_> = place
        .ticks("inbox")
        .await
        .into_iter()
        .map(|tick| (tick.status, tick.reason, tick.run_ids.len(), tick.suppressed.len()))
        .collect();
    let reason = |text: &str| Some(text.to_owned());
    assert_eq!(
        told,
        [
            (TickStatus::Success, None, 1, 0),
            (TickStatus::Failure, reason("the inbox is closed"), 0, 0),
            (TickStatus::Failure, reason("it panicked: the inbox fell down"), 0, 0),
            (TickStatus::Skipped, reason("nothing new"), 0, 0),
            // A run key counts for ever, and what it has held back is told.
            (TickStatus::Success, None, 1, 1),
        ]
    );
    let first = Some("first".to_owned());
    let cursors = seen.lock().expect("a lock").clone();
    assert_eq!(cursors, [None, first.clone(), first.clone(), first.clone(), first]);
    let keys = place.daemon.instance().dynamic_partitions("regions").await.expect("keys");
    assert_eq!(keys, ["eu", "us"]);
    assert_eq!(place.queued().await.len(), 2);
}

#[tokio::test]
async fn a_sensor_is_not_looked_at_more_often_than_its_interval_says() {
    let sensor = Sensor::new("slow", |_| async { Ok::<_, BoxError>(SensorResult::skip("no")) });
    let sensor = sensor.with_min_interval(Duration::from_mins(5)).running();
    let place = Place::new(Repository::new("test").with(one()).with(sensor)).await;
    let mut due = Vec::new();
    for _ in 0..11 {
        due.push(place.look().await);
    }
    assert_eq!(due, [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]);
    // What is skipped for the same reason as before is not told again and again.
    assert_eq!(place.ticks("slow").await.len(), 1);
}

#[tokio::test]
async fn a_sensor_of_assets_runs_for_what_is_materialized_from_now_on() {
    let keys = "partitions = { keys = [\"a\", \"b\", \"c\"], column = \"k\", backfill = \"per_partition\" }";
    let parts = format!("/* +++\n{keys}\n+++ */ select $partition_key as k");
    let repository = Repository::new("test")
        .with(one())
        .with(two())
        .with(sql_asset("parts", &parts))
        .with(Sensor::asset("each", "parts or two").with_target(target()).running());
    let place = Place::new(repository).await;
    place.materialize("two", None).await;
    place.look().await;
    assert!(place.queued().await.is_empty(), "what was there before is not seen");
    place.materialize("parts", Some("a,c")).await;
    place.materialize("one", None).await;
    place.look().await;
    place.look().await;
    assert_eq!(place.partitions().await, [Some("a".to_owned()), Some("c".to_owned())]);
    place.materialize("two", None).await;
    place.look().await;
    assert_eq!(place.partitions().await.last(), Some(&None));
}

#[tokio::test]
async fn a_sensor_of_several_assets_waits_until_each_is_materialized() {
    let repository = Repository::new("test")
        .with(one())
        .with(two())
        .with(sql_asset("three", "select 3 as n"))
        .with(Sensor::multi_asset("both", "two or three").with_target(target()).running());
    let place = Place::new(repository).await;
    place.look().await;
    let queued = async || {
        place.look().await;
        place.queued().await.len()
    };
    place.materialize("two", None).await;
    assert_eq!(queued().await, 0);
    place.materialize("two", None).await;
    place.materialize("three", None).await;
    assert_eq!(queued().await, 1);
    place.materialize("three", None).await;
    assert_eq!(queued().await, 1);
    place.materialize("two", None).await;
    assert_eq!(queued().await, 2);
}

#[tokio::test]
async fn sensors_of_runs_see_how_they_end() {
    let failures = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&failures);
    let broken = sql_asset("broken", "select cast('x' || n as int) as n from one");
    let repository = Repository::new("test")
        .with(one())
        .with(broken)
        .with(Sensor::run_status("after", [RunEnd::Success]).with_target(target()).running())
        .with(
            Sensor::run_failure("alarm", move |event| {
                told.lock().expect("a lock").push((event.selection, event.error));
                async { Ok::<_, BoxError>(SensorResult::skip("told")) }
            })
            .running(),
        );
    let place = Place::new(repository).await;
    place.look().await;
    place.materialize("one", None).await;
    place.materialize("broken", None).await;
    place.look().await;
    place.look().await;
    let told = failures.lock().expect("a lock").clone();
    assert_eq!(told, [("broken".to_owned(), Some("1 of 1 steps failed".to_owned()))]);
    let queued = place.queued().await;
    assert_eq!(queued.len(), 1);
    // Its own run is none that it runs after.
    let engine = place.daemon.engine().expect("an engine");
    let run = engine.run_queued(queued[0].run_id, CancellationToken::new(), Arc::new(Silent)).await;
    run.expect("a run");
    place.look().await;
    assert_eq!(place.queued().await.len(), 1);
}

#[tokio::test]
async fn a_webhook_asks_for_what_its_call_says() {
    let sensor = Sensor::webhook("hook", Secret::new("secret".to_owned())).with_target(target());
    let place = Place::new(Repository::new("test").with(one()).with(sensor.running())).await;
    assert_eq!(place.look().await, 0, "nobody looks at a webhook");
    let call = async |payload: serde_json::Value| {
        place.clock.add(1);
        place.daemon.tick_sensor("hook", Some(payload)).await.expect("a tick");
    };
    let json = serde_json::json!({ "run_key": "7", "partitions": "a", "tags": { "from": "ci" } });
    call(json.clone()).await;
    call(json).await;
    call(serde_json::json!({ "tags": { "from": 7 } })).await;
    let told: Vec<_> =
        place.ticks("hook").await.into_iter().map(|tick| (tick.status, tick.reason)).collect();
    let wrong = Some("the values of `tags` are texts".to_owned());
    assert_eq!(
        told,
        [(TickStatus::Success, None), (TickStatus::Success, None), (TickStatus::Failure, wrong),]
    );
    let queued = place.queued().await;
    assert_eq!(queued.len(), 1);
    assert_eq!(queued[0].tags["from"], "ci");
}
