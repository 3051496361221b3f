//! The daemon as a process: runs in processes of their own, cancelling from another terminal, hot
//! reload, files that land, and SIGKILL at any moment.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use arrowsmith::instance::{Instance, Launch, QueuedRun, RunId, RunRecord, RunStatus};
use serde_json::Value;

use crate::support::{Project, copy_folder, examples};

/// A daemon that goes with the test.
pub(crate) struct Daemon(Child);

impl Daemon {
    pub(crate) fn start(project: &Project, arguments: &[&str]) -> Self {
        let mut all = vec!["daemon", "run"];
        all.extend(arguments);
        let out = project.path().join("daemon.log");
        let log = std::fs::File::options().create(true).append(true).open(out).expect("a log");
        let mut command = project.command(&all);
        Self(command.stdout(Stdio::null()).stderr(log).spawn().expect("a daemon"))
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("gone");
    }

    /// SIGTERM; the exit code.
    fn stop(mut self) -> i32 {
        signal("TERM", self.0.id());
        let status = self.0.wait().expect("an end");
        status.code().unwrap_or(-1)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn signal(name: &str, pid: u32) {
    let sent =
        std::process::Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(sent.expect("kill runs").success());
}

pub(crate) fn json(project: &Project, arguments: &[&str]) -> Value {
    serde_json::from_str(&project.ok(arguments)).expect("JSON")
}

pub(crate) fn runs(project: &Project) -> Vec<Value> {
    let found = json(project, &["run", "list", "-n", "10000", "-f", "json"]);
    found["runs"].as_array().expect("runs").clone()
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_for(
    project: &Project,
    what: &str,
    seconds: u64,
    mut holds: impl FnMut() -> bool,
) {
    let began = Instant::now();
    while !holds() {
        let log = || std::fs::read_to_string(project.path().join("daemon.log")).unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(seconds), "{what} has not come\n{}", log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn has_ended(run: &Value) -> bool {
    ["success", "failure", "canceled"].contains(&run["status"].as_str().expect("a status"))
}

const ONE: &str = r#"== arrowsmith.toml
[project]
name = "one"
== assets/one.sql
select 1 as n
"#;

#[test]
fn a_month_that_lands_in_the_folder_is_computed_with_everything_downstream_once() {
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    let folder = project.path().join("data/flights");
    let february = std::fs::read(folder.join("2013-02.csv.gz")).expect("a file");
    for month in 2..=12 {
        std::fs::remove_file(folder.join(format!("2013-{month:02}.csv.gz"))).expect("removed");
    }
    project.ok(&["materialize", "-p", "2013-01"]);
    let settings = project.path().join("arrowsmith.toml");
    let text = std::fs::read_to_string(&settings).expect("a file").replace("\"5s\"", "\"1s\"");
    std::fs::write(&settings, text).expect("written");
    let daemon = Daemon::start(&project, &[]);
    let ticks = |status: &str| {
        let ticks = project.ok(&["sensor", "logs", "monthly_files", "-f", "csv"]);
        ticks.lines().filter(|line| line.contains(&format!(",{status},"))).count()
    };
    wait_for(&project, "the first look", 30, || ticks("skipped") > 0);
    assert_eq!(runs(&project).len(), 1, "what was there is known");
    std::fs::write(folder.join("2013-02.csv.gz"), february).expect("a file lands");
    wait_for(&project, "the run", 60, || {
        runs(&project).len() == 2 && runs(&project).iter().all(has_ended)
    });
    let run = json(&project, &["run", "show", "-f", "json"]);
    assert_eq!(run["run"]["run"]["status"], "success");
    assert_eq!(run["run"]["run"]["origin"], "sensor:monthly_files");
    let steps = run["run"]["steps"].as_array().expect("steps");
    let mut keys: Vec<&str> =
        steps.iter().map(|step| step["step_key"].as_str().expect("a key")).collect();
    keys.sort_unstable();
    insta::assert_snapshot!("a_month_lands", keys.join("\n"));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!((runs(&project).len(), ticks("success")), (2, 1), "once, and nothing else");
    assert_eq!(daemon.stop(), 0);
}

#[test]
fn a_running_sort_is_canceled_from_another_terminal_and_the_old_version_stays() {
    let fixture = "== arrowsmith.toml\n[vars]\nrows = 10\n== assets/sorted.sql\n\
        select v.value as n from generate_series(1, $var_rows) as v(value) \
        order by v.value * 2654435761 % 4294967296, n\n";
    let project = Project::new(fixture);
    project.ok(&["materialize"]);
    let mut child = project
        .command(&["materialize", "--var", "rows=400000000"])
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    wait_for(&project, "the run", 60, || runs(&project)[0]["status"] == "started");
    std::thread::sleep(Duration::from_secs(2));
    let began = Instant::now();
    project.ok(&["run", "terminate"]);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let ended = child.wait().expect("an end");
    assert_eq!(ended.code(), Some(130));
    assert_eq!(runs(&project)[0]["status"], "canceled");
    assert_eq!(project.ok(&["query", "select count(*) as n from sorted", "-f", "csv"]), "n\n10\n");
    let again = project.run(&["run", "terminate"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("has already ended as canceled"), "{}", again.err);
}

#[test]
fn a_run_whose_process_is_killed_goes_on_at_once() {
    let fixture = "== arrowsmith.toml\n[vars]\nrows = 60000000\n== assets/slow.sql\n\
        select count(distinct v.value % 1000003) as n from generate_series(1, $var_rows) as v(value)\n";
    let project = Project::new(fixture);
    let _daemon = Daemon::start(&project, &[]);
    project.ok(&["run", "launch", "slow"]);
    wait_for(&project, "the run", 60, || runs(&project)[0]["status"] == "started");
    // The child of the daemon is the run.
    let listed =
        std::process::Command::new("pgrep").args(["-f", "run execute"]).output().expect("pgrep");
    let id = runs(&project)[0]["run_id"].as_str().expect("an id").to_owned();
    let pids = String::from_utf8_lossy(&listed.stdout).into_owned();
    let is_ours = |pid: &&str| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&id)
    };
    let pid = pids.lines().find(is_ours).expect("a process of the run").parse().expect("a number");
    signal("KILL", pid);
    wait_for(&project, "the second run", 15, || runs(&project).len() == 2);
    let first = runs(&project)[1].clone();
    assert_eq!(first["status"], "failure");
    assert!(first["error"].as_str().expect("why").contains("signal: 9"), "{first}");
    project.ok(&["run", "terminate"]);
}

#[test]
fn a_project_that_breaks_is_served_as_it_was_until_it_is_mended() {
    let project = Project::new(ONE);
    let _daemon = Daemon::start(&project, &[]);
    let launch = |selection: &str| project.run(&["run", "launch", selection, "--force"]);
    assert_eq!(launch("one").code, 0);
    wait_for(&project, "the first run", 60, || runs(&project).iter().all(has_ended));
    project.write("assets/two.sql", "select n + 1 as n from ones");
    let log = || std::fs::read_to_string(project.path().join("daemon.log")).expect("a log");
    wait_for(&project, "the problem", 30, || log().contains("has problems"));
    project.write("assets/two.sql", "select n + 1 as n from one");
    wait_for(&project, "the new version", 30, || log().contains("loaded anew"));
    assert_eq!(launch("two").code, 0);
    wait_for(&project, "the second run", 60, || {
        runs(&project).len() == 2 && runs(&project).iter().all(|run| run["status"] == "success")
    });
    assert_eq!(project.ok(&["query", "select n from two", "-f", "csv"]), "n\n2\n");
}

#[test]
fn what_is_wrong_with_schedules_and_sensors_is_told_at_once() {
    let project = Project::new(
        r#"== arrowsmith.toml
[jobs.nightly]
selection = "one"
[schedules.a]
cron = "0 25 * * *"
job = "nightly"
[schedules.b]
cron = "0 3 * * *"
timezone = "Europe/Berlni"
job = "nightly"
[schedules.c]
cron = "0 3 * * *"
job = "nigtly"
[schedules.d]
cron = "0 3 * * *"
[schedules.e]
selection = "one"
[schedules.f]
cron = "0 3 * * *"
job = "nightly"
catchup = 3
[sensors.a]
files = "data/*.csv"
selection = "ones"
[sensors.g]
selection = "one"
[sensors.h]
files = "data/*.csv"
[daemon]
launcher = "threads"
[daemon.notifications.ops]
on = ["run_failur"]
webhook = { env = "NOT_THERE" }
== assets/one.sql
select 1 as n
"#,
    );
    let checked = project.run(&["check"]);
    assert_eq!(checked.code, 3);
    insta::assert_snapshot!(checked.err);
}

/// How often a daemon is killed; `ARROWSMITH_KILLS=200` is what a release is tested with.
fn kills() -> u32 {
    std::env::var("ARROWSMITH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(8)
}

/// T2: SIGKILL of a daemon that drains a queue, of which no run is lost and none is done twice.
#[test]
fn a_queue_outlives_the_daemons_that_drain_it() {
    let project = Project::new(
        "== arrowsmith.toml\n[daemon]\nlauncher = \"in_process\"\nmax_concurrent_runs = 2\n\
         max_resumes = 100\n== assets/one.sql\n\
         select sum(v.value % 7) as n from generate_series(1, 4000000) as v(value)\n\
         == assets/two.sql\nselect count(distinct v.value % 1009) + (select n from one) as n \
         from generate_series(1, 1000000) as v(value)\n",
    );
    project.ok(&["materialize"]);
    let count = 3 * kills().min(20);
    for number in 0..count {
        let asset = ["one", "two"][number as usize % 2];
        project.ok(&["run", "launch", asset, "--force", "--run-key", &number.to_string()]);
    }
    let mut random = fastrand::Rng::new();
    for _ in 0..kills() {
        let daemon = Daemon::start(&project, &[]);
        std::thread::sleep(Duration::from_millis(random.u64(200..1500)));
        daemon.kill();
    }
    let _daemon = Daemon::start(&project, &[]);
    // Between the end of a run that died and the one that goes on with it all runs have ended.
    wait_for(&project, "the end of all runs", 300, || {
        let runs = runs(&project);
        let done = runs.iter().filter(|run| !run["origin"].is_null() && run["status"] == "success");
        runs.iter().all(has_ended) && done.count() >= count as usize
    });
    let mut done = std::collections::BTreeMap::<String, usize>::new();
    for run in runs(&project).iter().filter(|run| !run["origin"].is_null()) {
        let root = run["root"].as_str().expect("a root").to_owned();
        *done.entry(root).or_default() += usize::from(run["status"] == "success");
    }
    assert_eq!(done.len(), count as usize);
    assert!(done.values().all(|count| *count == 1), "{done:?} {:#?}", runs(&project));
    project.ok(&["fsck"]);
}

fn run_of_a_day(number: i64) -> QueuedRun {
    let first: jiff::civil::Date = "2020-01-01".parse().expect("a day");
    let partitions = Some(first.saturating_add(jiff::Span::new().days(number)).to_string());
    let run_id = RunId(uuid::Uuid::now_v7());
    QueuedRun {
        run_id,
        environment: "main".to_owned(),
        launch: Launch { selection: "days".into(), partitions, ..Launch::default() },
        tags: [].into(),
        priority: number * 7919 % 5,
        origin: "test".to_owned(),
        run_key: Some(number.to_string()),
        parent: None,
        root: run_id,
        at: number,
    }
}

/// How many of some runs went on at the same time.
fn most_at_once(runs: &[RunRecord]) -> i64 {
    let spans = runs.iter().filter_map(|run| Some((run.started_at?, run.ended_at?)));
    let mut changes: Vec<(i64, i64)> =
        spans.flat_map(|(from, until)| [(from, 1), (until, -1)]).collect();
    changes.sort_unstable();
    let (mut now, mut most) = (0, 0);
    for (_, by) in changes {
        now += by;
        most = most.max(now);
    }
    most
}

/// T2: many runs, each of one partition, drained in the order of their priority by daemons of which
/// each is killed at some moment.
#[tokio::test(flavor = "multi_thread")]
async fn many_runs_are_each_done_once_in_their_order_whenever_daemons_die() {
    const LIMIT: i64 = 4;
    let project = Project::new(&format!(
        r#"== arrowsmith.toml
[daemon]
launcher = "in_process"
max_concurrent_runs = {LIMIT}
max_resumes = 100
== assets/days.sql
/* +++
partitions = {{ daily = "2020-01-01", end = "2022-09-27", column = "day" }}
+++ */
select v.value as n, cast(to_timestamp_seconds(v.value * 86400) as date) as day
from generate_series(18262, 19261) as v(value)
"#
    ));
    let count = std::env::var("ARROWSMITH_QUEUED").ok().and_then(|n| n.parse().ok());
    let count: i64 = count.unwrap_or(100).min(1000);
    let home = project.path().join(".arrowsmith");
    let instance = Instance::open(&home).await.expect("an instance");
    let mut queued: Vec<QueuedRun> = (0..count).map(run_of_a_day).collect();
    instance.enqueue(queued.clone()).await.expect("queued");
    queued.sort_by_key(|run| (-run.priority, run.at));

    let mut random = fastrand::Rng::new();
    let deaths = kills().min(20);
    for _ in 0..deaths {
        let daemon = Daemon::start(&project, &[]);
        std::thread::sleep(Duration::from_millis(random.u64(300..2000)));
        daemon.kill();
    }
    let _daemon = Daemon::start(&project, &[]);
    let all = [RunStatus::Queued, RunStatus::Starting, RunStatus::Started];
    for _ in 0..3000 {
        let waits = instance.runs_that_are(&all).await.expect("runs");
        if waits.is_empty() && instance.failed_runs(1).await.expect("runs").is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let runs = instance.runs(u32::MAX).await.expect("runs");
    assert!(runs.iter().all(|run| run.status.is_final()), "every run has ended");
    let made = instance.partitions("main", "days").await.expect("partitions");
    assert_eq!(made.len(), queued.len(), "none is lost");
    for run in &queued {
        let of = runs.iter().filter(|other| other.root == run.run_id);
        let done = of.filter(|other| other.status == RunStatus::Success).count();
        assert_eq!(done, 1, "{} was done {done} times", run.run_id);
    }
    // A run that a daemon held when it died begins anew behind those that have begun meanwhile.
    let begun = instance.events_after(&["RUN_STARTING"], 0, u32::MAX).await.expect("events");
    let mut order: Vec<RunId> = Vec::new();
    for (run_id, _) in begun {
        if queued.iter().any(|run| run.run_id == run_id) && !order.contains(&run_id) {
            order.push(run_id);
        }
    }
    assert_eq!(order, queued.iter().map(|run| run.run_id).collect::<Vec<_>>());
    assert!(most_at_once(&runs) <= LIMIT, "the limit holds");
    project.ok(&["fsck"]);
}
