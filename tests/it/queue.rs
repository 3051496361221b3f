//! The run queue: who goes first, who waits, what is tried again, and that no run is ever stuck.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrowsmith::daemon::{
    ClaimedRun, Daemon, DaemonOptions, InProcessLauncher, PRIORITY_TAG, RETRIES_TAG, Result,
    RunLauncher, derived_run_id, queued_run,
};
use arrowsmith::execution::EngineOptions;
use arrowsmith::instance::{RunId, RunRecord, RunStatus};
use arrowsmith::io::async_trait;
use arrowsmith::prelude::*;
use arrowsmith::{BoxError, Operations, Outputs, TagLimit, TagValues};

use crate::support::folder;

/// Carries out runs in this process, and notes in which order they begin and how many at once.
#[derive(Debug, Clone, Default)]
struct Noting {
    began: Arc<Mutex<Vec<RunId>>>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

#[async_trait]
impl RunLauncher for Noting {
    async fn launch(&self, run: ClaimedRun) -> Result<Option<String>> {
        self.began.lock().expect("a lock").push(run.run_id);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        let done = InProcessLauncher.launch(run).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        done
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

async fn daemon(repository: Repository, home: &Path, launcher: &Noting) -> Daemon {
    let options = DaemonOptions {
        engine: EngineOptions::new(home),
        launcher: Some(Arc::new(launcher.clone())),
    };
    let daemon = Daemon::open(repository, options).await.expect("a daemon");
    assert!(daemon.lead().await.expect("a lead"));
    daemon
}

async fn queue(daemon: &Daemon, number: usize, target: &RunTarget, tags: &[(&str, &str)]) -> RunId {
    let tags: BTreeMap<String, String> =
        tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let engine = daemon.engine().expect("an engine");
    let (run_id, request) =
        (derived_run_id("test", engine.now(), number), RunRequest { tags, ..RunRequest::new() });
    let at = engine.now() + i64::try_from(number).expect("a number");
    let run = queued_run(&engine, run_id, target, request, "test", at).expect("a run");
    daemon.instance().enqueue(vec![run]).await.expect("queued");
    run_id
}

/// Hands out runs until none waits or goes on.
async fn drain(daemon: &Daemon) {
    for _ in 0..20_000 {
        daemon.lead().await.expect("a lead");
        daemon.dequeue().await.expect("a queue");
        daemon.monitor().await.expect("a watch");
        daemon.retry_failed().await.expect("retries");
        if daemon.instance().queue().await.expect("a queue").is_empty()
            && daemon.instance().failed_runs(1).await.expect("runs").is_empty()
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let stuck = daemon.instance().queue().await.expect("a queue");
    assert!(stuck.is_empty(), "runs are stuck: {stuck:?}");
}

async fn run(daemon: &Daemon, run_id: RunId) -> RunRecord {
    daemon.instance().run(&run_id.to_string()).await.expect("a run")
}

#[op]
fn rest() -> i64 {
    1
}

#[graph]
fn resting() {
    rest();
}

/// A job that costs nothing.
fn nothing() -> Job {
    Job::from_graph(resting::graph()).named("nothing")
}

fn limited(runs: usize) -> Operations {
    Operations { max_concurrent_runs: runs, ..Operations::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_go_in_the_order_of_their_priority_then_of_their_age_within_the_limit() {
    let (home, noting) = (folder(), Noting::default());
    let repository = Repository::new("test").with(nothing()).with_operations(limited(3));
    let daemon = daemon(repository, home.path(), &noting).await;
    let target = RunTarget::Job("nothing".to_owned());
    let count: usize =
        std::env::var("ARROWSMITH_QUEUED").ok().and_then(|n| n.parse().ok()).unwrap_or(200);
    let mut expected = Vec::new();
    for number in 0..count {
        let priority = number * 7919 % 5;
        let tags = [(PRIORITY_TAG, priority.to_string())];
        let tags = tags.each_ref().map(|(name, value)| (*name, value.as_str()));
        let run_id = queue(&daemon, number, &target, &tags).await;
        expected.push((std::cmp::Reverse(priority), number, run_id));
    }
    expected.sort();
    drain(&daemon).await;
    let expected: Vec<RunId> = expected.into_iter().map(|(_, _, run_id)| run_id).collect();
    let began = noting.began.lock().expect("a lock").clone();
    // Runs that are handed out in the same moment may begin in any order.
    let place = |run_id: &RunId| expected.iter().position(|other| other == run_id).expect("known");
    let places: Vec<usize> = began.iter().map(place).collect();
    let is_near = |(at, place): (usize, &usize)| at.abs_diff(*place) < 3;
    assert!(places.iter().enumerate().all(is_near), "{places:?}");
    assert_eq!(began.len(), count, "each once");
    assert!(noting.most.load(Ordering::SeqCst) <= 3);
    for run_id in expected {
        assert_eq!(run(&daemon, run_id).await.status, RunStatus::Success);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_a_limit_holds_back_holds_back_no_other() {
    let (home, noting) = (folder(), Noting::default());
    let limit = |values, limit| TagLimit { name: "db".to_owned(), values, limit };
    let operations = Operations {
        tag_limits: vec![limit(TagValues::One("small".to_owned()), 1), limit(TagValues::Each, 2)],
        ..limited(10)
    };
    let repository = Repository::new("test").with(nothing()).with_operations(operations);
    let daemon = daemon(repository, home.path(), &noting).await;
    let target = RunTarget::Job("nothing".to_owned());
    for number in 0..3 {
        queue(&daemon, number, &target, &[("db", "small"), (PRIORITY_TAG, "9")]).await;
    }
    for number in 3..6 {
        queue(&daemon, number, &target, &[("db", "large")]).await;
    }
    queue(&daemon, 6, &target, &[]).await;
    assert_eq!(daemon.dequeue().await.expect("a queue"), 1 + 2 + 1);
    drain(&daemon).await;
    assert_eq!(noting.began.lock().expect("a lock").len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_is_tried_again_from_its_failure_as_often_as_it_may() {
    let (home, noting) = (folder(), Noting::default());
    // The second op fails twice.
    let calls: Arc<[AtomicUsize; 2]> = Arc::default();
    let op = |name: &str, at: usize| {
        let calls = Arc::clone(&calls);
        let op = arrowsmith::Op::new(name, move |context| {
            let calls = Arc::clone(&calls);
            Box::pin(async move {
                let call = calls[at].fetch_add(1, Ordering::SeqCst);
                let n: i64 = if at == 0 { 0 } else { context.load("n").await? };
                if at == 1 && call < 2 {
                    return Err(BoxError::from("not yet"));
                }
                Outputs::default().with("result", n + 1)
            })
        })
        .with_output::<i64>("result");
        if at == 0 { op } else { op.with_input::<i64>("n") }
    };
    let graph = Graph::new("steps")
        .with_node("first", op("first", 0))
        .with_node("second", op("second", 1))
        .with_edge("first.result", "second.n");
    let job = Job::from_graph(graph);
    let operations = Operations { run_retries: 2, ..limited(10) };
    let repository = Repository::new("test").with(job).with_operations(operations);
    let daemon = daemon(repository, home.path(), &noting).await;
    let target = RunTarget::Job("steps".to_owned());
    let run_id = queue(&daemon, 0, &target, &[]).await;
    drain(&daemon).await;
    let mut runs = daemon.instance().runs(10).await.expect("runs");
    runs.sort_by_key(|run| run.created_at);
    let told: Vec<_> = runs.iter().map(|run| (run.status, run.root == run_id)).collect();
    assert_eq!(
        told,
        [(RunStatus::Failure, true), (RunStatus::Failure, true), (RunStatus::Success, true),]
    );
    let count = |at: usize| calls[at].load(Ordering::SeqCst);
    assert_eq!((count(0), count(1)), (1, 3), "what had succeeded was not run again");
    // A label says something else.
    calls[1].store(0, Ordering::SeqCst);
    queue(&daemon, 1, &target, &[(RETRIES_TAG, "0")]).await;
    drain(&daemon).await;
    assert_eq!(count(1), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queued_run_is_canceled_before_it_begins_and_one_that_cannot_be_planned_fails() {
    let (home, noting) = (folder(), Noting::default());
    let repository =
        Repository::new("test").with(nothing()).with(sql_asset("one", "select 1 as n"));
    let daemon = daemon(repository, home.path(), &noting).await;
    let waiting = queue(&daemon, 0, &RunTarget::Job("nothing".to_owned()), &[]).await;
    let wrong = queue(&daemon, 1, &RunTarget::Assets("ones".to_owned()), &[]).await;
    let now = daemon.engine().expect("an engine").now();
    daemon.instance().cancel_run(waiting, now).await.expect("canceled");
    drain(&daemon).await;
    assert_eq!(run(&daemon, waiting).await.status, RunStatus::Canceled);
    let wrong = run(&daemon, wrong).await;
    assert_eq!(wrong.status, RunStatus::Failure);
    assert!(wrong.error.expect("why").contains("`ones`"));
    assert_eq!(noting.began.lock().expect("a lock").len(), 1);
}
