//! The executor through the library: overlap, failures, retries, limits, fencing.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrowsmith::execution::{Engine, EngineOptions, RunOptions, RunReport, Silent};
use arrowsmith::instance::{
    EndRun, EndStep, Event, Instance, NewAttempt, NewRun, NewVersion, ProcessIdentity, Publish,
    Published, Refusal, ReusedVersion, RunId, RunStatus, StepRecord, StepState, Target,
};
use arrowsmith::io::{IoManager, MemoryIoManager, Version, WriteTarget};
use arrowsmith::prelude::*;
use arrowsmith::{Backoff, Jitter, RetryPolicy};
use tokio_util::sync::CancellationToken;

use crate::support::folder;

#[derive(Columns, Debug, Clone, PartialEq)]
struct Number {
    n: i64,
}

fn key(text: &str) -> AssetKey {
    text.parse().expect("a key")
}

fn one() -> Vec<Number> {
    vec![Number { n: 1 }]
}

async fn engine(folder: &Path, repository: &Repository) -> Arc<Engine> {
    let engine = Engine::open(repository, EngineOptions::new(folder)).await;
    Arc::new(engine.expect("a sound repository"))
}

async fn run(engine: &Arc<Engine>, options: RunOptions) -> (RunReport, Vec<StepRecord>) {
    let plan = engine.plan("").await.expect("a plan");
    let cancel = CancellationToken::new();
    let report = engine.run(plan, options, cancel, Arc::new(Silent)).await.expect("a report");
    let steps = engine.instance.steps(report.run_id).await.expect("steps");
    (report, steps)
}

fn limited(max_concurrent: usize) -> RunOptions {
    RunOptions { max_concurrent: Some(max_concurrent), ..RunOptions::default() }
}

/// How many of `asset` run at the same time, as they see it themselves.
fn overlapping(name: &str, now: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> Asset {
    let (now, most) = (Arc::clone(now), Arc::clone(most));
    FunctionAsset::new([], move || {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // The others get the chance to begin; nothing depends on how long this takes.
            for _ in 0..100 {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
                if most.load(Ordering::SeqCst) > 1 {
                    break;
                }
            }
            now.fetch_sub(1, Ordering::SeqCst);
            one()
        }
    })
    .into_asset(key(name))
}

#[tokio::test]
async fn assets_without_a_path_between_them_overlap_and_a_limit_of_one_keeps_them_apart() {
    for (limit, expected) in [(1, 1), (2, 2)] {
        let folder = folder();
        let (now, most) = (Arc::default(), Arc::default());
        let repository = Repository::new("overlap")
            .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
            .with(["a", "b", "c"].map(|name| overlapping(name, &now, &most)));
        let engine = engine(folder.path(), &repository).await;
        let (report, steps) = run(&engine, limited(limit)).await;
        assert_eq!(report.status, RunStatus::Success);
        assert_eq!(most.load(Ordering::SeqCst), expected, "with a limit of {limit}");
        let overlap = steps.iter().any(|a| {
            steps.iter().any(|b| {
                a.step_key < b.step_key && a.started_at < b.ended_at && b.started_at < a.ended_at
            })
        });
        assert_eq!(overlap, expected > 1, "{steps:?}");
    }
}

fn failing(name: &str, input: &'static str) -> Asset {
    FunctionAsset::new([input], |_: RecordBatches| async {
        Err::<Vec<Number>, _>("the till is empty")
    })
    .into_asset(key(name))
}

fn passing(name: &str, input: &'static str) -> Asset {
    FunctionAsset::new([input], |_: RecordBatches| async { one() }).into_asset(key(name))
}

fn diamond() -> Repository {
    Repository::new("diamond")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(FunctionAsset::new([], || async { one() }).into_asset(key("root")))
        .with(failing("broken", "root"))
        .with(passing("after_broken", "broken"))
        .with(passing("last", "after_broken"))
        .with(passing("beside", "root"))
}

#[tokio::test]
async fn a_failure_skips_what_reads_it_and_lets_the_rest_go_on() {
    let folder = folder();
    let engine = engine(folder.path(), &diamond()).await;
    let (report, steps) = run(&engine, RunOptions::default()).await;
    assert_eq!(report.status, RunStatus::Failure);
    let told: Vec<_> = steps
        .iter()
        .map(|s| (s.step_key.as_str(), s.state, s.reason.as_deref().unwrap_or_default()))
        .collect();
    let state = |name: &str| told.iter().find(|(key, _, _)| *key == name).copied();
    assert_eq!(state("root").map(|s| s.1), Some(StepState::Success));
    assert_eq!(state("beside").map(|s| s.1), Some(StepState::Success));
    assert_eq!(state("broken"), Some(("broken", StepState::Failure, "the till is empty")));
    let because = "upstream `broken` failed";
    assert_eq!(state("after_broken"), Some(("after_broken", StepState::Skipped, because)));
    assert_eq!(state("last"), Some(("last", StepState::Skipped, because)));
    let pointers = engine.instance.pointers("main").await.expect("pointers");
    assert_eq!(pointers.keys().collect::<Vec<_>>(), ["beside", "root"]);
}

#[tokio::test]
async fn events_of_a_step_stand_in_order() {
    let folder = folder();
    let engine = engine(folder.path(), &diamond()).await;
    let (report, _) = run(&engine, RunOptions::default()).await;
    let events = engine.instance.events(report.run_id, 0).await.expect("events");
    let of = |step: Option<&str>| -> Vec<&str> {
        events.iter().filter(|e| e.step_key.as_deref() == step).map(|e| e.event.kind()).collect()
    };
    assert_eq!(of(None), ["RUN_START", "RUN_FAILURE"]);
    assert_eq!(
        of(Some("root")),
        ["STEP_START", "STEP_OUTPUT", "ASSET_MATERIALIZATION", "HANDLED_OUTPUT", "STEP_SUCCESS"]
    );
    assert_eq!(of(Some("broken")), ["STEP_START", "STEP_FAILURE"]);
    assert_eq!(of(Some("last")), ["STEP_SKIPPED"]);
}

#[tokio::test]
async fn a_step_is_tried_again_as_its_policy_says() {
    let folder = folder();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tries);
    let flaky = FunctionAsset::new(["context"], move |context: AssetContext| {
        let number = counted.fetch_add(1, Ordering::SeqCst);
        async move {
            assert_eq!(context.retry_number() as usize, number);
            if number < 2 { Err("not yet") } else { Ok(one()) }
        }
    })
    .into_asset(key("flaky"))
    .with_retry(RetryPolicy {
        max_retries: 2,
        delay: Duration::from_millis(1),
        backoff: Backoff::Exponential,
        jitter: Jitter::Full,
    });
    let repository = Repository::new("flaky")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(flaky);
    let engine = engine(folder.path(), &repository).await;
    let (report, steps) = run(&engine, RunOptions::default()).await;
    assert_eq!(report.status, RunStatus::Success);
    assert_eq!((tries.load(Ordering::SeqCst), steps[0].attempt), (3, 3));
    let events = engine.instance.events(report.run_id, 0).await.expect("events");
    let retries = events.iter().filter(|e| matches!(e.event, Event::StepUpForRetry { .. }));
    assert_eq!(retries.count(), 2);
}

#[tokio::test]
async fn a_step_that_takes_too_long_fails() {
    let folder = folder();
    let stuck = FunctionAsset::new([], || async {
        std::future::pending::<()>().await;
        one()
    });
    let repository = Repository::new("stuck")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(stuck.into_asset(key("stuck")).with_timeout(Duration::from_millis(20)));
    let engine = engine(folder.path(), &repository).await;
    let (report, steps) = run(&engine, RunOptions::default()).await;
    assert_eq!(report.status, RunStatus::Failure);
    assert_eq!(steps[0].reason.as_deref(), Some("it took longer than its limit of 0.02 s"));
}

#[tokio::test]
async fn a_panic_fails_its_step_alone() {
    let folder = folder();
    let numbers: Vec<i64> = Vec::new();
    let panicking = FunctionAsset::new([], move || {
        let numbers = numbers.clone();
        async move { vec![Number { n: numbers[3] }] }
    });
    let fine = FunctionAsset::new([], || async { one() });
    let repository = Repository::new("panic")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(panicking.into_asset(key("panicking")))
        .with(fine.into_asset(key("fine")));
    let engine = engine(folder.path(), &repository).await;
    let (report, steps) = run(&engine, RunOptions::default()).await;
    assert_eq!(report.status, RunStatus::Failure);
    let of = |name: &str| steps.iter().find(|s| s.step_key == name).expect("a step");
    assert_eq!(of("fine").state, StepState::Success);
    let reason = of("panicking").reason.clone().unwrap_or_default();
    assert!(reason.contains("index out of bounds"), "{reason}");
}

#[tokio::test]
async fn cancelling_stops_a_run_and_publishes_nothing_afterwards() {
    let folder = folder();
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    let slow = FunctionAsset::new([], move || {
        let trigger = trigger.clone();
        async move {
            trigger.cancel();
            std::future::pending::<()>().await;
            one()
        }
    });
    let repository = Repository::new("slow")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(slow.into_asset(key("slow")))
        .with(passing("after", "slow"));
    let engine = engine(folder.path(), &repository).await;
    let plan = engine.plan("").await.expect("a plan");
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    let report = report.expect("a report");
    assert_eq!(report.status, RunStatus::Canceled);
    let steps = engine.instance.steps(report.run_id).await.expect("steps");
    assert!(steps.iter().all(|step| step.state == StepState::Canceled), "{steps:?}");
    assert!(engine.instance.pointers("main").await.expect("pointers").is_empty());
}

#[tokio::test]
async fn fail_fast_stops_what_could_still_run() {
    let folder = folder();
    let waiting = FunctionAsset::new([], || async {
        std::future::pending::<()>().await;
        one()
    });
    let repository = Repository::new("fast")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(FunctionAsset::new([], || async { one() }).into_asset(key("root")))
        .with(failing("broken", "root"))
        .with(waiting.into_asset(key("waiting")));
    let engine = engine(folder.path(), &repository).await;
    let options = RunOptions { fail_fast: true, max_concurrent: Some(3), ..RunOptions::default() };
    let (report, steps) = run(&engine, options).await;
    assert_eq!(report.status, RunStatus::Failure);
    let waiting = steps.iter().find(|s| s.step_key == "waiting").expect("a step");
    assert_eq!(waiting.state, StepState::Canceled);
}

#[tokio::test]
async fn long_chains_are_walked_without_recursion() {
    let folder = folder();
    let mut repository = Repository::new("chain")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(FunctionAsset::new([], || async { one() }).into_asset(key("a0")));
    for i in 1..2_000 {
        let before = key(&format!("a{}", i - 1));
        let asset = FunctionAsset::new(["before"], |_: RecordBatches| async { one() })
            .with_input("before", &before)
            .into_asset(key(&format!("a{i}")));
        repository = repository.with(asset);
    }
    let engine = engine(folder.path(), &repository).await;
    let (report, _) = run(&engine, RunOptions::default()).await;
    assert_eq!(report.status, RunStatus::Success);
}

/// One in a database and one in memory; both keep the same promises.
async fn instances(folder: &Path) -> [Instance; 2] {
    [Instance::open(folder).await.expect("an instance"), Instance::in_memory()]
}

/// A run, and an attempt of it for the table `t`.
async fn begun(instance: &Instance, at: i64, process: ProcessIdentity) -> (RunId, NewAttempt) {
    let run_id = RunId(uuid::Uuid::now_v7());
    let run = NewRun {
        run_id,
        environment: "main".to_owned(),
        selection: "t".to_owned(),
        tags: Default::default(),
        job: None,
        parent: None,
        root: run_id,
        config: Default::default(),
        partitions: Default::default(),
        backfill: None,
        process,
        lease_until: at + 30_000_000,
        at,
        steps: vec!["t".to_owned()],
        pins: vec![],
    };
    instance.start_run(run).await.expect("a run");
    let attempt = NewAttempt {
        attempt_id: uuid::Uuid::now_v7(),
        run_id,
        step_key: "t".to_owned(),
        number: 1,
        version: Version(uuid::Uuid::now_v7()),
        environment: "main".to_owned(),
        targets: vec![Target { asset: "t".to_owned(), partition_key: String::new() }],
        at,
    };
    instance.begin(vec![attempt.clone()]).await.expect("an attempt");
    (run_id, attempt)
}

async fn publish(instance: &Instance, attempt: &NewAttempt) -> Published {
    let manager = MemoryIoManager::new();
    let target = WriteTarget::new(key("t").table_path(), attempt.version);
    let batch = Number::batch(one()).expect("a batch");
    let plan = datafusion::catalog::memory::MemorySourceConfig::try_new_exec(
        &[vec![batch.clone()]],
        batch.schema(),
        None,
    );
    let session = datafusion::prelude::SessionContext::new();
    let stored = manager.write(plan.expect("a plan"), session.task_ctx(), &target).await;
    let version = NewVersion {
        provenance: None,
        asset: attempt.targets[0].asset.clone(),
        partitions: vec![],
        keeps_others: false,
        stored: Arc::new(stored.expect("a version")),
        io_manager: "memory".to_owned(),
        code_version: None,
        inputs: Default::default(),
        metadata: Default::default(),
    };
    let publish = Publish { versions: vec![version], ..nothing(attempt) };
    instance.publish(publish).await.expect("an answer")
}

/// What an attempt publishes that has done nothing.
fn nothing(attempt: &NewAttempt) -> Publish {
    Publish {
        attempt: Arc::new(attempt.clone()),
        begins: false,
        loaded: vec![],
        outputs: vec![],
        versions: vec![],
        reused: vec![],
        duration_us: 1,
        at: attempt.at + 1,
    }
}

/// Points to a version that was published before.
async fn reuse(instance: &Instance, attempt: &NewAttempt, version: Version) -> Published {
    let asset = attempt.targets[0].asset.clone();
    let partitions = vec![];
    let reused = vec![ReusedVersion { asset, version, partitions, row_count: 1, size_bytes: 8 }];
    instance.publish(Publish { reused, ..nothing(attempt) }).await.expect("an answer")
}

#[tokio::test]
async fn a_version_is_either_reused_or_removed() {
    let folder = folder();
    for instance in instances(folder.path()).await {
        let mut versions = Vec::new();
        for at in 1..=3 {
            let (run_id, attempt) = begun(&instance, at, ProcessIdentity::current()).await;
            assert_eq!(publish(&instance, &attempt).await, Published::Yes);
            versions.push(attempt.version);
            let status = RunStatus::Success;
            let end = EndRun { run_id, status, error: None, crashed: false, at };
            instance.end_run(end).await.expect("ended");
        }
        // The first is current again, so only the second may go.
        let (_, attempt) = begun(&instance, 4, ProcessIdentity::current()).await;
        assert_eq!(reuse(&instance, &attempt, versions[0]).await, Published::Yes);
        let pointers = instance.pointers("main").await.expect("pointers");
        assert_eq!(pointers["t"].version, versions[0]);
        let condemned = instance.condemn(versions.clone(), 5).await.expect("condemned");
        assert_eq!(condemned, versions[1..]);
        let (_, attempt) = begun(&instance, 6, ProcessIdentity::current()).await;
        let refused = reuse(&instance, &attempt, versions[1]).await;
        assert_eq!(refused, Published::No(Refusal::Removed));
        // What a live run has pointed to stays for its readers, whatever became current meanwhile.
        let (_, attempt) = begun(&instance, 7, ProcessIdentity::current()).await;
        assert_eq!(publish(&instance, &attempt).await, Published::Yes);
        let condemned = instance.condemn(vec![versions[0]], 8).await.expect("condemned");
        assert!(condemned.is_empty(), "{condemned:?}");
    }
}

#[tokio::test]
async fn an_older_attempt_never_replaces_a_newer_one() {
    let folder = folder();
    for instance in instances(folder.path()).await {
        let (_, older) = begun(&instance, 1, ProcessIdentity::current()).await;
        let (_, newer) = begun(&instance, 2, ProcessIdentity::current()).await;
        assert_eq!(publish(&instance, &newer).await, Published::Yes);
        assert_eq!(publish(&instance, &older).await, Published::No(Refusal::Superseded));
        let pointers = instance.pointers("main").await.expect("pointers");
        assert_eq!(pointers["t"].version, newer.version);
    }
}

#[tokio::test]
async fn an_attempt_declared_dead_can_never_publish() {
    let folder = folder();
    for instance in instances(folder.path()).await {
        let gone = ProcessIdentity { pid: u32::MAX, ..ProcessIdentity::current() };
        let (run_id, attempt) = begun(&instance, 1, gone).await;
        assert_eq!(instance.recover(2).await.expect("recovered"), [run_id]);
        let refused = publish(&instance, &attempt).await;
        assert!(matches!(refused, Published::No(Refusal::NotRunning(_))), "{refused:?}");
        let run = instance.run(&run_id.to_string()).await.expect("the run");
        assert_eq!(run.status, RunStatus::Failure);
        assert!(instance.recover(3).await.expect("nothing more").is_empty());
    }
}

#[tokio::test]
async fn a_run_of_another_machine_is_dead_when_its_lease_expires() {
    let folder = folder();
    for instance in instances(folder.path()).await {
        let elsewhere =
            ProcessIdentity { boot: "another".to_owned(), pid: 1, started: "1".to_owned() };
        let (run_id, _) = begun(&instance, 1, elsewhere).await;
        assert!(instance.recover(30_000_000).await.expect("alive").is_empty());
        instance.renew(run_id, 60_000_000).await.expect("renewed");
        assert!(instance.recover(59_000_000).await.expect("alive").is_empty());
        assert_eq!(instance.recover(60_000_001).await.expect("dead"), [run_id]);
    }
}

#[tokio::test]
async fn a_step_that_was_published_while_it_was_given_up_stays_a_success() {
    let folder = folder();
    for instance in instances(folder.path()).await {
        let (run_id, attempt) = begun(&instance, 1, ProcessIdentity::current()).await;
        assert_eq!(publish(&instance, &attempt).await, Published::Yes);
        let end = EndStep {
            run_id,
            step_key: "t".to_owned(),
            state: StepState::Canceled,
            reason: "it was asked to stop".to_owned(),
            at: 3,
        };
        instance.end_steps(vec![end]).await.expect("heard");
        let steps = instance.steps(run_id).await.expect("steps");
        assert_eq!(steps[0].state, StepState::Success);
        let events = instance.events(run_id, 0).await.expect("events");
        assert_eq!(events.last().map(|e| e.event.kind()), Some("STEP_SUCCESS"));
    }
}

#[tokio::test]
async fn an_instance_in_memory_serves_a_whole_run() {
    let options =
        EngineOptions { instance: Some(Instance::in_memory()), ..EngineOptions::new("/nowhere") };
    let engine = Arc::new(Engine::open(&diamond(), options).await.expect("a sound repository"));
    let (report, steps) = run(&engine, RunOptions::default()).await;
    assert_eq!(report.status, RunStatus::Failure);
    let state = |name: &str| steps.iter().find(|s| s.step_key == name).map(|s| s.state);
    assert_eq!(state("beside"), Some(StepState::Success));
    assert_eq!(state("last"), Some(StepState::Skipped));
    let pointers = engine.instance.pointers("main").await.expect("pointers");
    assert_eq!(pointers.keys().collect::<Vec<_>>(), ["beside", "root"]);
    let newest = engine.instance.run("latest").await.expect("the run");
    assert_eq!((newest.run_id, newest.status), (report.run_id, RunStatus::Failure));
    assert!(!Path::new("/nowhere").exists());
}
