//! Partitioned assets: one query for many partitions, what it reads, and what it refuses.

use std::time::Duration;

use serde_json::Value;

use crate::support::Project;

/// Events of four days, cut by day, and a sum of each day; a rolling pair of days; a whole table.
const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "days"
[sources.raw.events]
path = "data/events.csv"
== data/events.csv
day,kind,n
2024-01-01,a,1
2024-01-01,b,2
2024-01-02,a,3
2024-01-03,a,4
2024-01-04,b,5
== assets/events.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-05", column = "day" }
+++ */
select day, kind, n from raw.events
== assets/sums.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-05", column = "day" }
+++ */
select day, sum(n) as n from events group by day
== assets/pairs.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-05", column = "day" }
[inputs]
sums = { start_offset = -1 }
+++ */
select day, sum(n) over (order by day rows between 1 preceding and current row) as n from sums
== assets/total.sql
select count(*) as days, sum(n) as n from sums
"#;

fn materialized(project: &Project, asset: &str) -> Vec<String> {
    let listed = project.ok(&["partitions", "list", asset, "-p", "materialized", "-f", "csv"]);
    let keys = listed.lines().skip(1).map(|line| line.split(',').next().unwrap_or("").to_owned());
    keys.collect()
}

fn csv(project: &Project, sql: &str) -> String {
    project.ok(&["query", sql, "-f", "csv"])
}

#[test]
fn one_query_makes_all_partitions_and_each_is_read_and_replaced_alone() {
    let project = Project::new(PROJECT);
    project.ok(&["materialize"]);
    assert_eq!(csv(&project, "select * from total"), "days,n\n4,15\n");
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    assert!(steps.contains("sums[2024-01-01...2024-01-04],success"), "{steps}");
    let logs =
        project.ok(&["run", "logs", "--step", "sums[2024-01-01...2024-01-04]", "-f", "ndjson"]);
    let events = logs.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    let keys: Vec<String> = events
        .filter(|event| event["kind"] == "ASSET_MATERIALIZATION")
        .map(|event| event["partition_key"].as_str().expect("a key").to_owned())
        .collect();
    assert_eq!(keys, ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"], "an event each");

    // A new row of a day changes just that day, and the days that read it when they are made again.
    let events = std::fs::read_to_string(project.path().join("data/events.csv")).expect("a file");
    project.write("data/events.csv", &format!("{events}2024-01-02,c,100\n2024-01-03,c,1000\n"));
    project.ok(&["materialize", "events", "sums", "-p", "2024-01-02"]);
    let sums = "day,n\n2024-01-01,3\n2024-01-02,103\n2024-01-03,4\n2024-01-04,5\n";
    assert_eq!(csv(&project, "select * from sums order by day"), sums);
    project.ok(&["materialize", "pairs", "-p", "2024-01-02...2024-01-03"]);
    let pairs = "day,n\n2024-01-01,3\n2024-01-02,106\n2024-01-03,107\n2024-01-04,9\n";
    assert_eq!(csv(&project, "select * from pairs order by day"), pairs);
    project.ok(&["vacuum", "--retention", "0"]);
    project.ok(&["fsck"]);
    assert_eq!(csv(&project, "select * from pairs order by day"), pairs);
}

#[test]
fn partitions_that_an_input_needs_are_told_before_anything_runs() {
    let project = Project::new(PROJECT);
    let ran = project.run(&["materialize", "sums", "-p", "2024-01-02"]);
    assert_eq!(ran.code, 1);
    let told = "`sums` needs partition 2024-01-02 of `events`, which is not materialized";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert!(ran.err.contains("`arrowsmith materialize events --partition '2024-01-02'`"));
    project.ok(&["materialize", "events", "-p", "2024-01-02"]);
    project.ok(&["materialize", "sums", "-p", "2024-01-02"]);
    let ran = project.run(&["materialize", "total"]);
    let told = "`total` needs 3 partitions of `sums` that are not materialized: 2024-01-01, \
                2024-01-03...2024-01-04";
    assert!(ran.err.contains(told), "{}", ran.err);
    // A key that is no partition, and keys for an asset without partitions.
    let ran = project.run(&["materialize", "sums", "-p", "2024-02-01"]);
    let told = "there is no partition `2024-02-01`; the keys go from `2024-01-01` to `2024-01-04`";
    assert!(ran.err.contains(told), "{}", ran.err);
    let ran = project.run(&["materialize", "total", "-p", "2024-01-01"]);
    assert!(ran.err.contains("no selected asset has partitions"), "{}", ran.err);
    // Rows of before the first day have a partition that the upstream does not have.
    project.write(
        "assets/early.sql",
        "/* +++\npartitions = { daily = \"2024-01-01\", end = \"2024-01-07\", column = \"day\" }\n\
         +++ */ select day from sums",
    );
    let ran = project.run(&["materialize", "early", "-p", "2024-01-06"]);
    let told = "`early` needs partition `2024-01-06` of `sums`, which does not exist";
    assert!(ran.err.contains(told), "{}", ran.err);
}

#[test]
fn rows_that_belong_to_no_partition_are_refused_or_dropped() {
    for (row, told) in [
        ("2023-12-31,a,1", "`day` is 2023-12-31 belongs to no partition"),
        ("2024-01-05,a,1", "`day` is 2024-01-05 belongs to no partition"),
        (",a,1", "`day` is null belongs to no partition"),
    ] {
        let project = Project::new(PROJECT);
        let path = project.path().join("data/events.csv");
        let events = std::fs::read_to_string(path).expect("a file");
        project.write("data/events.csv", &format!("{events}{row}\n"));
        for set in ["all", "2024-01-02"] {
            let ran = project.run(&["materialize", "events", "-p", set]);
            assert_eq!(ran.code, 1, "{row} {set}");
            assert!(ran.err.contains(told), "{row} {set}: {}", ran.err);
        }
        assert!(materialized(&project, "events").is_empty(), "nothing is half published");
        let sql =
            std::fs::read_to_string(project.path().join("assets/events.sql")).expect("a query");
        let drops = sql.replace("column = \"day\"", "column = \"day\", outside = \"drop\"");
        project.write("assets/events.sql", &drops);
        project.ok(&["materialize", "events"]);
        assert_eq!(csv(&project, "select count(*) as n from events"), "n\n5\n");
    }
}

/// Steps as a project's policies cut them, and a partition that fails alone.
#[test]
fn a_partition_that_fails_does_not_take_the_others_along() {
    let project = Project::new(PROJECT);
    let failing = |policy: &str| {
        format!(
            "/* +++\npartitions = {{ daily = \"2024-01-01\", end = \"2024-01-05\", column = \"day\", \
             backfill = {policy} }}\n[checks]\nexpression.small = \"n < 4 or n > 4\"\n+++ */\n\
             select day, n from sums"
        )
    };
    project.write("assets/picky.sql", &failing("\"per_partition\""));
    project.write(
        "assets/after.sql",
        "/* +++\npartitions = { daily = \"2024-01-01\", end = \"2024-01-05\", column = \"day\", \
         backfill = 2 }\n+++ */\nselect day, n from picky",
    );
    let ran = project.run(&["materialize"]);
    assert_eq!(ran.code, 1);
    assert_eq!(materialized(&project, "picky"), ["2024-01-01", "2024-01-02", "2024-01-04"]);
    assert_eq!(materialized(&project, "after"), ["2024-01-01", "2024-01-02"], "in pairs");
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    assert!(steps.contains("picky[2024-01-03],failure"), "{steps}");
    assert!(steps.contains("after[2024-01-03...2024-01-04],skipped"), "{steps}");

    // From failure: just what failed and what never ran; the others are read from their versions.
    project.write("assets/picky.sql", &failing("\"per_partition\"").replace("n < 4", "n < 9"));
    project.ok(&["run", "reexecute", "--from-failure"]);
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    assert_eq!(steps.lines().count(), 3, "{steps}");
    assert_eq!(csv(&project, "select sum(n) as n from after"), "n\n15\n");
}

#[test]
fn a_query_has_the_bounds_and_the_key_as_typed_parameters() {
    let project = Project::new(PROJECT);
    // Without a column, a step makes one partition, and its rows need not say which.
    project.write(
        "assets/bounded.sql",
        "/* +++\npartitions = { daily = \"2024-01-01\", end = \"2024-01-05\" }\n[inputs]\nevents = \
         \"all\"\n+++ */\nselect $partition_key as key, $partition_start as first, $partition_end as \
         last, sum(n) as n from events where day >= $partition_start and day < $partition_end",
    );
    project.ok(&["materialize", "events", "bounded"]);
    let rows = csv(&project, "select * from bounded order by key");
    let expected = "key,first,last,n\n2024-01-01,2024-01-01,2024-01-02,3\n\
                    2024-01-02,2024-01-02,2024-01-03,3\n2024-01-03,2024-01-03,2024-01-04,4\n\
                    2024-01-04,2024-01-04,2024-01-05,5\n";
    assert_eq!(rows, expected);
    let shown = project.ok(&["asset", "show", "bounded", "-f", "json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["asset"]["columns"][1]["type"], "Date32", "{shown:#}");

    // The bounds have the type of the partition column.
    project.write(
        "assets/hours.sql",
        "/* +++\npartitions = { hourly = \"2024-03-10T00:00\", end = \"2024-03-10T06:00\", timezone = \
         \"America/New_York\", column = \"at\" }\n+++ */\nselect arrow_cast('2024-03-10T07:30:00Z', \
         'Timestamp(Millisecond, Some(\"UTC\"))') as at, $partition_start as first",
    );
    project.ok(&["materialize", "hours", "-p", "2024-03-10-03:00"]);
    let rows = csv(&project, "select arrow_cast(first, 'Utf8') as first from hours");
    assert_eq!(rows, "first\n2024-03-10T07:00:00Z\n", "there is no two o'clock on that day");
    assert_eq!(materialized(&project, "hours"), ["2024-03-10-03:00"]);
}

#[test]
fn dynamic_partitions_are_added_and_removed_by_name() {
    let project = Project::new(PROJECT);
    project.write(
        "assets/kinds.sql",
        "/* +++\npartitions = { dynamic = \"kinds\", column = \"kind\", outside = \"drop\" }\n[inputs]\n\
         events = \"all\"\n+++ */\nselect kind, n from events",
    );
    project.ok(&["materialize", "events"]);
    let ran = project.run(&["partitions", "add", "kind", "a"]);
    assert!(ran.err.contains("did you mean `kinds`?"), "{}", ran.err);
    let ran = project.run(&["partitions", "add", "kinds", "a|b"]);
    assert!(ran.err.contains("`|` joins the parts of a key"), "{}", ran.err);
    project.ok(&["partitions", "add", "kinds", "b", "a"]);
    project.ok(&["materialize", "kinds"]);
    assert_eq!(materialized(&project, "kinds"), ["b", "a"], "in the order of their coming");
    assert_eq!(csv(&project, "select sum(n) as n from kinds"), "n\n15\n");
    project.ok(&["partitions", "remove", "kinds", "b"]);
    assert_eq!(csv(&project, "select sum(n) as n from kinds"), "n\n8\n");
    project.ok(&["partitions", "add", "kinds", "b"]);
    assert_eq!(csv(&project, "select sum(n) as n from kinds"), "n\n15\n", "it was never lost");
}

#[test]
fn files_of_a_source_are_its_partitions() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "files"
[sources.raw.days]
path = "data/{partition}.csv"
partitions = { daily = "2024-01-01", end = "2024-01-04" }
== data/2024-01-01.csv
n
1
== data/2024-01-02.csv
n
2
== assets/days.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-04", backfill = "per_partition" }
+++ */
select n, $partition_key as key from raw.days
"#,
    );
    let ran = project.run(&["materialize"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("there is no file at `"), "{}", ran.err);
    assert!(ran.err.contains("data/2024-01-03.csv`"), "{}", ran.err);
    let rows = csv(&project, "select * from days order by n");
    assert_eq!(rows, "n,key\n1,2024-01-01\n2,2024-01-02\n", "each from its own file");
}

#[test]
fn a_table_that_is_cut_otherwise_than_before_has_only_the_new_pieces() {
    let project = Project::new(PROJECT);
    std::fs::remove_file(project.path().join("assets/pairs.sql")).expect("removed");
    project.ok(&["materialize", "events", "sums"]);
    let sums = "select day, sum(n) as n from events group by day";
    project.write("assets/sums.sql", sums);
    project.ok(&["materialize", "sums"]);
    assert_eq!(csv(&project, "select sum(n) as n from sums"), "n\n15\n");
    project.write(
        "assets/sums.sql",
        &format!(
            "/* +++\npartitions = {{ monthly = \"2024-01\", end = \"2024-02\", column = \"day\", \
             format = \"%Y-%m\" }}\n[inputs]\nevents = \"all\"\n+++ */ {sums}"
        ),
    );
    project.ok(&["materialize", "sums"]);
    assert_eq!(materialized(&project, "sums"), ["2024-01"]);
    assert_eq!(csv(&project, "select sum(n) as n from sums"), "n\n15\n");
    project.ok(&["vacuum", "--retention", "0"]);
    assert_eq!(csv(&project, "select sum(n) as n from sums"), "n\n15\n");
    // The catalog comes back from the manifests, partition by partition.
    project.lose_instance();
    project.ok(&["instance", "rebuild"]);
    assert_eq!(csv(&project, "select sum(n) as n from sums"), "n\n15\n");
    assert_eq!(materialized(&project, "events").len(), 4);
}

#[test]
fn every_wrong_definition_is_told_with_its_place() {
    let project = Project::new(PROJECT);
    for (name, text) in [
        ("no_column", "partitions = { daily = \"2024-01-01\", column = \"dai\" }"),
        ("no_date", "partitions = { daily = \"first of May\", column = \"day\" }"),
        ("no_day", "partitions = { daily = \"2024-1-1\", end = \"2025-01-01\", column = \"day\" }"),
        ("no_zone", "partitions = { daily = \"2024-01-01\", timezone = \"America/NewYork\" }"),
        ("no_cron", "partitions = { cron = \"every day\", start = \"2024-01-01\" }"),
        ("no_start", "partitions = { cron = \"0 0 * * *\" }"),
        ("no_kind", "partitions = { column = \"day\" }"),
        ("no_word", "partitions = { dayly = \"2024-01-01\", column = \"day\" }"),
        ("no_hour", "partitions = { hourly = \"2024-01-01T00:00\", column = \"day\" }"),
        ("two_keys", "partitions = { keys = [\"a\", \"a\", \"b...c\"], column = \"kind\" }"),
        ("no_policy", "partitions = { daily = \"2024-01-01\", backfill = \"per_day\" }"),
        ("no_input", "partitions = { daily = \"2024-01-01\" }\n[inputs]\nevnts = \"all\""),
        ("no_mapping", "partitions = { daily = \"2024-01-01\" }\n[inputs]\nevents = \"first\""),
    ] {
        let path = format!("assets/{name}.sql");
        project.write(&path, &format!("/* +++\n{text}\n+++ */\nselect day, kind, n from events"));
    }
    project.write("assets/no_partitions.sql", "select $partition_start as day from events");
    project.write(
        "assets/no_parameter.sql",
        "/* +++\npartitions = { daily = \"2024-01-01\" }\n+++ */\nselect $partition_begin as day",
    );
    project.write(
        "assets/many_keys.sql",
        "/* +++\npartitions = { daily = \"2024-01-01\", column = \"day\" }\n+++ */\nselect day, \
         $partition_key as key from events",
    );
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
}

#[test]
fn what_is_current_moves_to_another_io_manager_and_stays_readable() {
    let project = Project::new(PROJECT);
    project.ok(&["materialize"]);
    project.ok(&["materialize", "events", "-p", "2024-01-02"]);
    let all = "select * from events order by day, kind";
    let before = csv(&project, all);
    let wrong = project.run(&["io", "migrate", "--to", "arrows"]);
    assert!(wrong.err.contains("did you mean `arrow`?") || wrong.code == 2, "{}", wrong.err);
    let settings = std::fs::read_to_string(project.path().join("arrowsmith.toml")).expect("a file");
    let more = "\n[io_managers.arrow]\ntype = \"ipc\"\nstore = \"arrow\"\n";
    project.write("arrowsmith.toml", &format!("{settings}{more}"));
    let moved = project.ok(&["io", "migrate", "--to", "arrow", "-f", "json"]);
    let moved: Value = serde_json::from_str(&moved).expect("JSON");
    assert_eq!(moved["migration"]["migrated"]["events"], 5, "{moved:#}");
    assert_eq!(moved["migration"]["migrated"].as_object().map(serde_json::Map::len), Some(4));
    assert_eq!(csv(&project, all), before);
    let files = project.ok(&["files", "events"]);
    assert!(files.lines().count() >= 4 && files.matches(".arrow\n").count() >= 4, "{files}");
    assert_eq!(materialized(&project, "events").len(), 4);
    // What was moved is not moved again, and is not made again by its readers.
    let again = project.run(&["io", "migrate", "--to", "arrow"]);
    assert!(again.err.contains("0 assets migrated to `arrow`, 4 skipped"), "{}", again.err);
    project.ok(&["vacuum", "--retention", "0"]);
    project.ok(&["fsck"]);
    assert_eq!(csv(&project, all), before);
}

/// A backfill is one run; what failed in it is made again by another, and nothing else is.
#[test]
fn a_backfill_goes_on_with_just_what_is_not_made() {
    let project = Project::new(PROJECT);
    project.ok(&["backfill", "start", "events", "sums"]);
    let status = project.ok(&["backfill", "status", "-f", "json"]);
    let status: Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status["backfill"]["status"], "completed_success");
    assert_eq!(status["backfill"]["assets"][1]["made"], 4);
    assert_eq!(status["backfill"]["runs"].as_array().map(Vec::len), Some(1));

    let picky = |bound: u32| {
        format!(
            "/* +++\npartitions = {{ daily = \"2024-01-01\", end = \"2024-01-05\", column = \"day\", \
             backfill = 1 }}\n[checks]\nexpression.small = \"n < {bound}\"\n+++ */ select * from sums"
        )
    };
    project.write("assets/picky.sql", &picky(4));
    let ran = project.run(&["backfill", "start", "picky"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("`arrowsmith backfill retry "), "{}", ran.err);
    let shown = project.ok(&["backfill", "status"]);
    assert!(shown.contains("completed_failed"), "{shown}");
    assert!(shown.contains("picky  2 of 4 made, 2 failed\n  ##xx"), "{shown}");
    project.write("assets/picky.sql", &picky(100));
    project.ok(&["backfill", "retry"]);
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    assert_eq!(steps.lines().count(), 3, "only the two that failed: {steps}");
    let shown = project.ok(&["backfill", "status"]);
    assert!(shown.contains("completed_success") && shown.contains("  ####"), "{shown}");
    let again = project.run(&["backfill", "retry"]);
    assert!(again.err.contains("has made everything"), "{}", again.err);
    let ended = project.run(&["backfill", "cancel"]);
    assert_eq!(ended.code, 2, "{}", ended.err);
    assert!(ended.err.contains("has already ended as completed_success"), "{}", ended.err);
    let none = project.run(&["backfill", "status", "beef"]);
    assert!(none.err.contains("`beef` is no backfill"), "{}", none.err);
}

/// Days that each take a while, so that a backfill can be stopped among them.
const SLOW: &str = r#"== arrowsmith.toml
[project]
name = "slow"
[run]
max_concurrent = 1
== assets/slow.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-02-10", backfill = 1 }
+++ */
select $partition_key as key, count(*) as n
from generate_series(1, 3000000) as v(value) where value * 7 % 1000 < 500
"#;

fn start(project: &Project) -> std::process::Child {
    let mut child = project
        .command(&["backfill", "start"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("a process");
    let stderr = child.stderr.take().expect("standard error");
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stderr));
    assert!(lines.any(|line| line.expect("a line").contains("ok  slow[2024-01-02]")));
    // Nobody reads on, and nobody need.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

#[test]
fn a_killed_backfill_is_resumed_and_a_running_one_canceled_from_elsewhere() {
    let project = Project::new(SLOW);
    let mut child = start(&project);
    child.kill().expect("killed");
    child.wait().expect("gone");
    let shown = project.ok(&["backfill", "status", "-f", "json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["backfill"]["status"], "failed", "{shown:#}");
    let made = shown["backfill"]["assets"][0]["made"].as_u64().expect("a count");
    assert!((2..40).contains(&made), "{shown:#}");
    project.ok(&["backfill", "resume"]);
    let steps = project.ok(&["run", "show", "-f", "csv"]).lines().count() as u64 - 1;
    assert_eq!(steps, 40 - made, "what was made before the kill is not made again");
    assert!(project.ok(&["backfill", "status"]).contains("40 of 40 made"));

    let mut child = start(&project);
    project.ok(&["backfill", "cancel"]);
    let began = std::time::Instant::now();
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "as if it was interrupted");
    assert!(began.elapsed() < Duration::from_secs(30), "it hangs");
    assert!(project.ok(&["backfill", "list", "-f", "csv"]).contains(",canceled,"));
    let shown = project.ok(&["backfill", "status", "-f", "json"]);
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    assert!(shown["backfill"]["assets"][0]["left"].as_u64() > Some(0), "{shown:#}");
}

/// What is carried over from day to day: each day reads the day before of the asset itself.
const BALANCES: &str = r#"/* +++
partitions = { daily = "2024-01-01", end = "2024-01-05", column = "day" }
[columns]
day = "date"
balance = "bigint"
[inputs]
balances = { start_offset = -1, end_offset = -1 }
+++ */
select s.day, s.n + coalesce(before.balance, 0) as balance
from sums s left join balances before on before.day = s.day - interval '1 day'
"#;

#[test]
fn an_asset_reads_its_own_earlier_windows_one_after_the_other() {
    let project = Project::new(PROJECT);
    project.write("assets/balances.sql", BALANCES);
    project.ok(&["materialize"]);
    let balances = "day,balance\n2024-01-01,3\n2024-01-02,6\n2024-01-03,10\n2024-01-04,15\n";
    assert_eq!(csv(&project, "select * from balances order by day"), balances);

    // A day that changes carries on as far as it is asked to.
    let events = std::fs::read_to_string(project.path().join("data/events.csv")).expect("a file");
    project.write("data/events.csv", &format!("{events}2024-01-01,c,100\n"));
    project.ok(&["materialize", "events", "sums", "balances", "-p", "2024-01-01...2024-01-03"]);
    let changed = "day,balance\n2024-01-01,103\n2024-01-02,106\n2024-01-03,110\n2024-01-04,15\n";
    assert_eq!(csv(&project, "select * from balances order by day"), changed);
    let plan = project.ok(&["plan", "balances", "-p", "2024-01-03...2024-01-04", "--force"]);
    assert!(
        plan.contains("balances[2024-01-03]") && plan.contains("balances[2024-01-04]"),
        "{plan}"
    );
    project.ok(&["backfill", "start", "balances", "-p", "all"]);
    assert!(csv(&project, "select * from balances order by day").ends_with("2024-01-04,115\n"));
}

#[test]
fn what_is_missing_before_is_told_as_far_back_as_it_goes() {
    let project = Project::new(PROJECT);
    project.write("assets/balances.sql", BALANCES);
    project.ok(&["materialize", "events", "sums"]);
    let ran = project.run(&["materialize", "balances", "-p", "2024-01-03"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let needs = "`balances` needs 2 partitions of `balances` that are not materialized";
    assert!(ran.err.contains(needs), "{}", ran.err);
    let command = "`arrowsmith materialize balances --partition '2024-01-01...2024-01-03'`";
    assert!(ran.err.contains(command), "{}", ran.err);
    project.ok(&["materialize", "balances", "-p", "2024-01-01...2024-01-03"]);
}

#[test]
fn an_asset_that_reads_itself_some_other_way_is_a_circle_with_a_hint() {
    for (change, hint) in [
        (
            ("[inputs]\nbalances = { start_offset = -1, end_offset = -1 }\n", ""),
            "earlier windows of time",
        ),
        (("end_offset = -1", "end_offset = 0"), "earlier windows of time"),
        (
            ("partitions = { daily", "metadata = { daily"),
            "only an asset that is partitioned by time",
        ),
        (("[columns]\nday = \"date\"\nbalance = \"bigint\"\n", ""), "`[columns]`"),
        (("day = \"date\"", "day = \"text\""), "is Date32, but is declared as Utf8"),
        (
            ("[inputs]", "dey = \"date\"\n[inputs]"),
            "declares a column `dey`, which it does not have",
        ),
    ] {
        let project = Project::new(PROJECT);
        project.write("assets/balances.sql", &BALANCES.replace(change.0, change.1));
        let ran = project.run(&["check"]);
        assert_eq!(ran.code, 3, "{change:?}: {}", ran.err);
        assert!(ran.err.contains(hint), "{change:?}: {}", ran.err);
    }
}

#[test]
fn an_input_may_be_read_as_far_as_it_is_there() {
    let project = Project::new(PROJECT);
    project.write("assets/pairs.sql", "/* +++\npartitions = { daily = \"2024-01-01\", end = \"2024-01-07\", column = \"day\" }\n[inputs]\nsums = { start_offset = -1, allow_missing = true }\n+++ */\nselect max(day) as day, sum(n) as n from sums having count(*) > 0");
    project.ok(&["materialize", "events", "sums", "-p", "2024-01-01,2024-01-03"]);
    // The day before is not materialized; the last day does not exist upstream.
    project.ok(&["materialize", "pairs", "-p", "2024-01-03"]);
    assert_eq!(csv(&project, "select * from pairs"), "day,n\n2024-01-03,4\n");
    project.ok(&["materialize", "pairs", "-p", "2024-01-06"]);
    project.write("assets/total.sql", "/* +++\n[inputs]\n\"raw.events\" = { allow_missing = 3 }\n+++ */\nselect count(*) as n from raw.events");
    let ran = project.run(&["check"]);
    assert!(ran.err.contains("`allow_missing` is true or false"), "{}", ran.err);
    project.write("assets/total.sql", "/* +++\n[inputs]\n\"raw.events\" = { allow_missing = true }\n+++ */\nselect count(*) as n from raw.events");
    let ran = project.run(&["check"]);
    assert!(ran.err.contains("`raw.events` has no partitions"), "{}", ran.err);
}
