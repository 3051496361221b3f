//! Tables that other programs see as Delta tables.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use arrowsmith::io::{Durability, ParquetOptions, Store, conformance};
use arrowsmith_io_delta::DeltaIoManager;
use tempfile::TempDir;

use crate::python::python;
use crate::support::Project;

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "lake"
[io_managers.default]
type = "delta"
store = "lake"
[sources.raw.rows]
path = "rows.csv"
== rows.csv
n,place,day,ratio
1,a/b,2024-01-01,0.5
2,ü=%,2024-01-02,
3,,2024-01-03,1.5
4,x y,2024-01-03,-2.0
== assets/marts/by_day.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-04", column = "day" }
+++ */
select n, place, day, ratio, cast(ratio as decimal(12, 2)) as price,
  arrow_cast(day, 'Timestamp(Microsecond, Some("UTC"))') as moment
from raw.rows
== assets/by_place.sql
/* +++
partition_by = ["place"]
+++ */
select n, place from raw.rows
== assets/kept.sql
/* +++
materialized = "append"
watermark = "n"
+++ */
select n from raw.rows where $watermark is null or n > $watermark
"#;

/// Prints the rows of a table, its columns, and the kinds of its commits, oldest first.
const SCRIPT: &str = r"
import sys, json, deltalake, polars as pl
table = deltalake.DeltaTable(sys.argv[1])
frame = pl.read_delta(sys.argv[1]).sort('n')
print(json.dumps({
    'rows': [[str(value) for value in row] for row in frame.iter_rows()],
    'columns': {name: str(kind) for name, kind in frame.schema.items()},
    'commits': [(c['operation'], c.get('operationParameters', {}).get('mode')) for c in reversed(table.history())],
}))
";

fn seen(python: &Path, project: &Project, table: &str) -> serde_json::Value {
    let read = Command::new(python)
        .args(["-c", SCRIPT, table])
        .current_dir(project.path())
        .output()
        .expect("a script that runs");
    let (out, err) = (String::from_utf8_lossy(&read.stdout), String::from_utf8_lossy(&read.stderr));
    assert!(read.status.success(), "{out}{err}");
    serde_json::from_str(&out).expect("JSON")
}

#[tokio::test]
async fn delta_keeps_the_contract_on_a_durable_disk_and_in_memory() {
    let folder = TempDir::new().expect("a folder");
    for url in [&*folder.path().join("la ke").display().to_string(), "memory:"] {
        let store = Store::open(url, Path::new("/"), Durability::Fsync, &BTreeMap::new());
        let manager = DeltaIoManager::new(store.expect("a store"), ParquetOptions::default());
        conformance::check(Arc::new(manager)).await;
    }
}

#[test]
fn other_programs_see_what_is_current_in_the_delta_log() {
    let Some(python) = python() else { return };
    let project = Project::new(PROJECT);
    project.ok(&["materialize"]);
    let table = seen(&python, &project, "lake/marts/by_day");
    let first =
        serde_json::json!(["1", "a/b", "2024-01-01", "0.5", "0.50", "2024-01-01 00:00:00+00:00"]);
    assert_eq!(table["rows"][0], first);
    assert_eq!(table["rows"].as_array().expect("rows").len(), 4);
    assert_eq!(table["columns"]["price"], "Decimal(precision=12, scale=2)");
    assert_eq!(table["columns"]["moment"], "Datetime(time_unit='us', time_zone='UTC')");
    assert_eq!(table["commits"], serde_json::json!([["WRITE", "Append"]]));
    let by_place = seen(&python, &project, "lake/by_place");
    let places = serde_json::json!([["1", "a/b"], ["2", "ü=%"], ["3", "None"], ["4", "x y"]]);
    assert_eq!(by_place["rows"], places);

    // One partition is replaced, and rows are appended.
    let rows = std::fs::read_to_string(project.path().join("rows.csv")).expect("rows");
    project.write("rows.csv", &rows.replace("1,a/b,2024-01-01,0.5", "9,a/b,2024-01-01,0.5"));
    project.ok(&["materialize", "marts.by_day", "-p", "2024-01-01"]);
    project.ok(&["materialize", "kept"]);
    let table = seen(&python, &project, "lake/marts/by_day");
    let numbers: Vec<&str> =
        table["rows"].as_array().expect("rows").iter().filter_map(|row| row[0].as_str()).collect();
    assert_eq!(numbers, ["2", "3", "4", "9"]);
    assert_eq!(table["commits"], serde_json::json!([["WRITE", "Append"], ["WRITE", "Overwrite"]]));
    let kept = seen(&python, &project, "lake/kept");
    assert_eq!(kept["rows"].as_array().expect("rows").len(), 5);
    assert_eq!(kept["commits"], serde_json::json!([["WRITE", "Append"], ["WRITE", "Append"]]));

    // Other columns, on top of the same history; and nothing to say is no commit.
    project.write("assets/by_place.sql", "select n, place, n * 2 as twice, arrow_cast(day, 'Timestamp(Microsecond, None)') as at from raw.rows");
    project.ok(&["materialize", "by_place"]);
    let by_place = seen(&python, &project, "lake/by_place");
    assert_eq!(by_place["columns"]["at"], "Datetime(time_unit='us', time_zone=None)");
    assert_eq!(by_place["commits"].as_array().expect("commits").len(), 2);
    project.ok(&["vacuum", "--retention", "0s"]);
    assert_eq!(seen(&python, &project, "lake/by_place"), by_place);
    let found: Vec<String> =
        project.ok(&["show", "by_place", "--format", "csv"]).lines().map(str::to_owned).collect();
    assert_eq!(found.len(), 5);
}

/// Eight processes publish at the same time; whoever commits last shows what all have published.
#[test]
fn mirrors_that_are_brought_up_to_date_at_once_show_everything() {
    let Some(python) = python() else { return };
    let days: Vec<String> = (1..=8).map(|day| format!("2024-01-0{day}")).collect();
    let rows: Vec<String> =
        days.iter().enumerate().map(|(n, day)| format!("{n},x,{day},1.0")).collect();
    let project = Project::new(&PROJECT.replace("2024-01-04", "2024-01-09"));
    project.write("rows.csv", &format!("n,place,day,ratio\n{}\n", rows.join("\n")));
    project.ok(&["check"]);
    let start = |day: &String| {
        let mut command = project.command(&["materialize", "marts.by_day", "-p", day]);
        command.stderr(std::process::Stdio::piped()).spawn().expect("a process")
    };
    let running: Vec<_> = days.iter().map(start).collect();
    for process in running {
        let ended = process.wait_with_output().expect("a process that ends");
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.success() && !told.contains("warning"), "{told}");
    }
    let table = seen(&python, &project, "lake/marts/by_day");
    assert_eq!(table["rows"].as_array().expect("rows").len(), 8);
}

#[test]
fn what_delta_cannot_hold_is_told_with_its_column() {
    let project = Project::new(PROJECT);
    project.write("assets/wide.sql", "select arrow_cast(n, 'UInt64') as wide from raw.rows");
    let ran = project.run(&["materialize", "wide"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let expected =
        "`wide` is UInt64, which Delta cannot hold; cast it to `bigint` or `decimal(20, 0)`";
    assert!(ran.err.contains(expected), "{}", ran.err);
}
