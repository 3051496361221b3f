//! SIGKILL in the middle of writing: the previous version stays, and nothing is left behind.

use std::time::Duration;

use crate::support::Project;

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "crash"
[vars]
generation = 0
== assets/big.sql
select v.value as n, v.value * 7 % 1000 as m, $var_generation as generation
from generate_series(1, 400000) as v(value)
== assets/small.sql
select generation, count(*) as n from big group by generation
"#;

/// How often the process is killed; `ARROWSMITH_KILLS=50` is what a release is tested with.
fn kills() -> u32 {
    std::env::var("ARROWSMITH_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

/// A question that only the rows answer; what is known of a column without reading it is not asked.
const GENERATION: &str =
    "select max(generation + 0) as g, min(generation + 0) as l, count(*) as n from big";

fn generation_of(project: &Project) -> String {
    project.ok(&["query", GENERATION, "-f", "csv"])
}

#[test]
fn a_killed_run_leaves_the_previous_version_current_and_no_orphan() {
    let project = Project::new(PROJECT);
    project.ok(&["materialize"]);
    let began = std::time::Instant::now();
    project.ok(&["materialize", "--var", "generation=1"]);
    let whole = began.elapsed();
    let mut current = 1;
    for kill in 0..kills() {
        let next = current + 1;
        let mut child = project
            .command(&["materialize", "-q", "--var", &format!("generation={next}")])
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("a process");
        std::thread::sleep(whole.mul_f64(f64::from(kill + 1) / f64::from(kills() + 1)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        // Either whole old or whole new, never a mixture, and every file as it was written.
        let found = generation_of(&project);
        let whole_version = |g: i32| format!("g,l,n\n{g},{g},400000\n");
        if found == whole_version(next) {
            current = next;
        } else {
            assert_eq!(found, whole_version(current), "after kill {kill}");
        }
        project.ok(&["fsck"]);
    }
    // A run that was killed is not running any more, and the next one succeeds.
    let runs = project.ok(&["run", "list", "-n", "100", "-f", "csv"]);
    assert!(!runs.contains(",started,"), "{runs}");
    project.ok(&["materialize", "--var", "generation=99"]);
    assert_eq!(generation_of(&project), "g,l,n\n99,99,400000\n");
    project.ok(&["vacuum", "--retention", "0"]);
    let left = project.ok(&["vacuum", "--retention", "0", "-f", "json"]);
    assert!(left.contains("\"removed\": []") && left.contains("\"kept\": 2"), "{left}");
    let warehouse = project.path().join(".arrowsmith/warehouse");
    let tables =
        ["big", "small"].map(|t| std::fs::read_dir(warehouse.join(t)).expect("a table").count());
    assert_eq!(tables, [1, 1], "one version of each table is left");
}

#[test]
fn the_first_interrupt_stops_in_an_orderly_way() {
    let project = Project::new(&PROJECT.replace("400000", "200000000"));
    let mut child = project
        .command(&["materialize"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    // The line that says that the step began is what the signal waits for.
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(
        child.stderr.take().expect("standard error"),
    ));
    assert!(lines.any(|line| line.expect("a line").contains("start  big")));
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill").args(["-INT", &pid]).status();
    assert!(sent.expect("kill runs").success());
    let began = std::time::Instant::now();
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(began.elapsed() < Duration::from_secs(30), "it hangs");
    let shown = project.ok(&["run", "show", "-f", "csv"]);
    assert!(shown.contains("big,canceled"), "{shown}");
}

/// Whoever comes first makes the tables; the others wait for them.
#[test]
fn processes_that_open_a_new_home_at_once_all_succeed() {
    for _ in 0..3 {
        let project = Project::new("");
        project.ok(&["init", "."]);
        let start = |_| {
            let mut command = project.command(&["run", "list"]);
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            command.spawn().expect("a process")
        };
        let running: Vec<_> = (0..12).map(start).collect();
        for process in running {
            let ended = process.wait_with_output().expect("a process that ends");
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        }
    }
}

/// SIGKILL of a backfill, which goes on with what it has not made.
#[test]
fn a_killed_backfill_goes_on_and_makes_each_partition() {
    let days = (kills() * 3).max(20);
    let project = Project::new(
        "== arrowsmith.toml\n== assets/days.sql\n/* +++\npartitions = { daily = \"2026-01-01\", \
         end = \"2026-12-31\", column = \"day\", backfill = \"per_partition\" }\n+++ */\n\
         select cast($partition_start as date) as day, v.value as n \
         from generate_series(1, 20000) as v(value)\n",
    );
    let last =
        jiff::civil::date(2026, 1, 1).saturating_add(jiff::Span::new().days(i64::from(days) - 1));
    let set = format!("2026-01-01...{last}");
    let began = std::time::Instant::now();
    project.ok(&["check"]);
    let start = began.elapsed();
    let spawn = |arguments: &[&str]| {
        let mut command = project.command(arguments);
        command.stderr(std::process::Stdio::null()).spawn().expect("a process")
    };
    // One that was killed before it was recorded was never acknowledged: it is started again.
    let go_on = || match project.ok(&["backfill", "list", "-f", "csv"]).lines().count() {
        0 | 1 => spawn(&["backfill", "start", "-q", "-p", &set]),
        _ => spawn(&["backfill", "resume", "-q"]),
    };
    let mut random = fastrand::Rng::new();
    let mut child = go_on();
    for _ in 0..kills() {
        std::thread::sleep(start + Duration::from_millis(random.u64(20..400)));
        child.kill().expect("killed");
        child.wait().expect("gone");
        project.ok(&["fsck"]);
        child = go_on();
    }
    drop(child.wait());
    go_on().wait().expect("gone");
    let counted = project.ok(&[
        "query",
        "select count(*) as n, count(distinct day) as d from days",
        "-f",
        "csv",
    ]);
    assert_eq!(counted, format!("n,d\n{},{days}\n", days * 20000));
}

/// SIGKILL of a vacuum beside a run, and of the run.
#[test]
fn a_vacuum_beside_a_run_may_be_killed_and_takes_nothing_that_is_needed() {
    let project = Project::new(&PROJECT.replace("400000", "100000"));
    project.ok(&["materialize"]);
    let mut random = fastrand::Rng::new();
    let mut current = 0;
    for kill in 0..kills() {
        let next = format!("generation={}", kill + 1);
        let spawn = |arguments: &[&str]| {
            let mut command = project.command(arguments);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            command.spawn().expect("a process")
        };
        let mut run = spawn(&["materialize", "-q", "--var", &next]);
        std::thread::sleep(Duration::from_millis(random.u64(..300)));
        let mut vacuum = spawn(&["vacuum", "-q", "--retention", "0"]);
        std::thread::sleep(Duration::from_millis(random.u64(..600)));
        vacuum.kill().expect("killed");
        if random.bool() {
            run.kill().expect("killed");
        }
        vacuum.wait().expect("gone");
        run.wait().expect("gone");
        let found = generation_of(&project);
        let whole_version = |g: u32| format!("g,l,n\n{g},{g},100000\n");
        if found == whole_version(kill + 1) {
            current = kill + 1;
        } else {
            assert_eq!(found, whole_version(current), "after kill {kill}");
        }
        project.ok(&["fsck"]);
    }
}

/// The harness can fail: what a kill would leave of a table that is written in its place is seen.
#[test]
fn what_a_kill_could_leave_is_seen() {
    let project = Project::new(&PROJECT.replace("400000", "10000"));
    project.ok(&["materialize", "--var", "generation=1"]);
    let whole = "g,l,n\n1,1,10000\n";
    assert_eq!(generation_of(&project), whole);
    let table = project.path().join(".arrowsmith/warehouse/big");
    let version = std::fs::read_dir(table).expect("a table").flatten().next().expect("a version");
    let files = std::fs::read_dir(version.path()).expect("a version").flatten();
    let file =
        files.map(|file| file.path()).find(|path| path.extension() == Some("parquet".as_ref()));
    let file = std::fs::OpenOptions::new().write(true).open(file.expect("a file")).expect("a file");
    let length = file.metadata().expect("a length").len();
    file.set_len(length / 2).expect("a cut file");
    assert_ne!(project.run(&["fsck"]).code, 0);
    let read = project.run(&["query", GENERATION, "-f", "csv"]);
    assert!(read.code != 0 && read.out != whole, "{read:?}");
}
