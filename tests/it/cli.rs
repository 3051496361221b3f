//! The command line as a new user meets it.

use crate::support::{Project, Ran};

fn built() -> Project {
    let project = Project::new("");
    project.ok(&["init", "."]);
    project.ok(&["materialize"]);
    project
}

#[test]
fn a_new_project_runs_at_once() {
    let project = Project::new("");
    let made = project.run(&["init", "shop"]);
    assert_eq!(made.code, 0, "{}", made.err);
    let shop = ["--project", "shop"];
    let with = |more: &[&str]| project.run(&[more, &shop].concat());
    assert_eq!(with(&["check"]).code, 0);
    let ran = with(&["materialize"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let shown = with(&["show", "top_customers"]);
    // The same tables, however the folder is named.
    let absolute = project.path().join("shop").display().to_string();
    assert_eq!(project.run(&["show", "top_customers", "--project", &absolute]).out, shown.out);
    insta::assert_snapshot!(shown.out);
    let again = project.run(&["init", "shop"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("is already there"), "{}", again.err);
}

#[test]
fn listings_have_every_format() {
    let project = built();
    let list = |format: &str| project.ok(&["asset", "list", "group:marts", "-f", format]);
    assert!(list("csv").starts_with("asset,group,kinds,columns,rows,bytes,materialized\n"));
    assert_eq!(list("ndjson").lines().count(), 2);
    let document: serde_json::Value = serde_json::from_str(&list("json")).expect("JSON");
    assert_eq!(document["schema"], "arrowsmith.assets.v1");
    assert_eq!(document["rows"][0]["asset"], "marts.daily_revenue");
    assert_eq!(document["rows"][0]["rows"], 4);
    assert!(list("table").contains("marts.top_customers"));
}

#[test]
fn queries_have_every_format() {
    let project = built();
    let sql = "select customer, spent from top_customers order by rank limit 2";
    assert_eq!(
        project.ok(&["query", sql, "-f", "csv"]),
        "customer,spent\nedsger,41.0\nada,40.25\n"
    );
    let json = project.ok(&["query", sql, "-f", "json"]);
    assert_eq!(
        json.trim(),
        r#"[{"customer":"edsger","spent":41.0},{"customer":"ada","spent":40.25}]"#
    );
    for format in ["parquet", "arrow"] {
        let refused = project.run(&["query", sql, "-f", format]);
        assert_eq!(refused.code, 2, "{}", refused.err);
        let file = format!("out.{format}");
        project.ok(&["query", sql, "--output", &file]);
        assert!(std::fs::metadata(project.path().join(file)).expect("a file").len() > 100);
    }
    let empty = "select customer from top_customers where false";
    assert_eq!(project.ok(&["query", empty, "-f", "csv"]), "customer\n");
    assert_eq!(project.ok(&["query", empty, "-f", "json"]).trim(), "[]");
}

#[test]
fn a_plan_says_why() {
    let project = built();
    let why = |selection: &str| project.ok(&["plan", selection, "-f", "csv"]);
    assert_eq!(why("top_customers").lines().count(), 1, "nothing would run");
    let forced = project.ok(&["plan", "top_customers", "--force", "-f", "csv"]);
    assert!(forced.contains("marts.top_customers,selected"), "{forced}");
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 0);
    let path = "assets/marts/top_customers.sql";
    project.write(
        path,
        "select customer, sum(amount) as spent, 1 as rank from staging.orders group by customer",
    );
    assert!(why("top_customers").contains("marts.top_customers,code changed"));
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 4);
    project.ok(&["materialize", "staging.orders", "--force"]);
    assert_eq!(why("daily_revenue").lines().count(), 1, "the newer version has the same rows");
    let orders = std::fs::read_to_string(project.path().join("data/orders.csv")).expect("a file");
    project.write("data/orders.csv", &orders.replace("41.00", "40.00"));
    project.ok(&["materialize", "staging.orders"]);
    assert!(why("daily_revenue").contains("`staging.orders` has a newer version"));
}

#[test]
fn an_input_that_was_never_materialized_is_named_with_the_command_that_makes_it() {
    let project = Project::new("");
    project.ok(&["init", "."]);
    let ran = project.run(&["materialize", "top_customers"]);
    assert_eq!(ran.code, 1);
    insta::assert_snapshot!(ran.err);
}

#[test]
fn a_failed_step_is_told_where_it_happened() {
    let project = built();
    project.write("data/orders.csv", "order_id,customer,ordered_on,amount\nx,ada,2026-01-01,1\n");
    project.write(
        "assets/marts/ratio.sql",
        "select order_id, 10 / (amount - amount) as r from staging.orders",
    );
    let ran = project.run(&["materialize", "+ratio"]);
    // Whatever the data does, the run ends with a code, a reason, and what to do next.
    if ran.code != 0 {
        assert_eq!(ran.code, 1, "{}", ran.err);
        assert!(ran.err.contains("next: `arrowsmith run logs"), "{}", ran.err);
    }
    let logs = project.ok(&["run", "logs", "latest", "-f", "ndjson"]);
    assert!(logs.lines().all(|line| line.starts_with('{')), "{logs}");
}

#[test]
fn runs_are_remembered() {
    let project = built();
    let runs = project.ok(&["run", "list", "-f", "csv"]);
    assert_eq!(runs.lines().count(), 2, "{runs}");
    assert!(runs.contains(",success,"), "{runs}");
    let shown = project.ok(&["run", "show"]);
    assert!(shown.contains("staging.orders") && shown.contains("success"), "{shown}");
    let logs = project.ok(&["run", "logs", "--step", "staging.orders"]);
    for kind in ["STEP_START", "ASSET_MATERIALIZATION", "STEP_SUCCESS", "published"] {
        assert!(logs.contains(kind), "{kind} is missing in\n{logs}");
    }
}

#[test]
fn damage_is_found_and_named() {
    let project = built();
    assert_eq!(project.run(&["fsck"]).code, 0);
    let file = project.ok(&["files", "staging.orders"]);
    let path = file.trim();
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, &bytes).expect("damaged");
    assert_eq!(project.run(&["fsck", "--quick"]).code, 0, "the size is the same");
    let found = project.run(&["fsck"]);
    assert_eq!(found.code, 1);
    assert!(
        found.out.contains("staging.orders") && found.out.contains("checksum"),
        "{}",
        found.out
    );
    std::fs::write(path, &bytes[..middle]).expect("cut");
    assert_eq!(project.run(&["fsck", "--quick"]).code, 1);
    std::fs::remove_file(path).expect("removed");
    let missing = project.run(&["fsck", "--quick"]);
    assert!(missing.out.contains("the file is missing"), "{}", missing.out);
}

#[test]
fn a_manifest_that_would_rebuild_something_else_is_found() {
    let project = built();
    let file = project.ok(&["files", "staging.orders"]);
    let manifest = std::path::Path::new(file.trim()).with_file_name("_manifest.json");
    let sealed = std::fs::read_to_string(&manifest).expect("a manifest");
    for (edited, words) in [
        (sealed.replace("staging.orders", "staging.others"), "not what was sealed"),
        (sealed[..sealed.len() / 2].to_owned(), "cannot be read"),
        (with_schema(&sealed, NO_SCHEMA), "cannot be read"),
    ] {
        assert_ne!(edited, sealed);
        std::fs::write(&manifest, edited).expect("written");
        assert_eq!(project.run(&["fsck", "--quick"]).code, 0, "its files are whole");
        let found = project.run(&["fsck"]);
        assert_eq!(found.code, 1, "{}", found.out);
        assert!(found.out.contains("staging.orders") && found.out.contains(words), "{}", found.out);
        assert!(!found.err.contains("panicked"), "{}", found.err);
    }
    std::fs::remove_file(&manifest).expect("removed");
    assert!(project.run(&["fsck"]).out.contains("the manifest is missing"));
    std::fs::write(&manifest, sealed).expect("written");
    project.ok(&["fsck"]);
}

/// An Arrow message of a column whose type lacks a part.
const NO_SCHEMA: &str = "DAAAAAgACAAAAAQACAAAAAQAAAABAAAAFAAAABAAFAAQAAAADwAEAAAACAAAAAAAGAAAACAAAAAAAAACHAAA\
                         AAgADAAEAAsACAAAAEAAAAAAAAABAAAAAAEAAABuAAAA";

fn with_schema(manifest: &str, message: &str) -> String {
    let mut manifest: serde_json::Value = serde_json::from_str(manifest).expect("a manifest");
    manifest["schema_ipc"] = message.into();
    manifest.to_string()
}

#[test]
fn a_lost_database_is_rebuilt_from_manifests() {
    let project = built();
    let before = project.ok(&["query", "select * from top_customers order by rank", "-f", "csv"]);
    project.lose_instance();
    assert_eq!(project.run(&["show", "top_customers"]).code, 2);
    project.ok(&["instance", "rebuild"]);
    let after = project.ok(&["query", "select * from top_customers order by rank", "-f", "csv"]);
    assert_eq!(before, after);
}

#[track_caller]
fn fails(ran: &Ran, code: i32, words: &str) {
    assert_eq!(ran.code, code, "{}\n{}", ran.out, ran.err);
    assert!(ran.err.contains(words), "`{words}` is not in\n{}", ran.err);
    assert!(!ran.err.contains("panicked"), "{}", ran.err);
}

#[test]
fn mistakes_of_a_new_user_are_answered() {
    let nothing = Project::new("");
    fails(&nothing.run(&["check"]), 2, "there is no `arrowsmith.toml` here");
    fails(&nothing.run(&["check", "--project", "nowhere"]), 2, "in `nowhere`");
    fails(&nothing.run(&["materialise"]), 2, "materialize");
    let fresh = Project::new("== arrowsmith.toml\n[project]\nname = \"fresh\"\n");
    fails(&fresh.run(&["run", "show"]), 2, "there is no run yet");
    let project = built();
    fails(&project.run(&["materialize", "top_custmers"]), 2, "did you mean `marts.top_customers`?");
    fails(&project.run(&["show", "nobody"]), 2, "there is no asset `nobody`");
    fails(&project.run(&["query", "select spnt from top_customers"]), 2, "did you mean `spent`?");
    fails(&project.run(&["query", "drop table top_customers"]), 2, "not a query");
    fails(&project.run(&["query", "select * from nobody"]), 2, "there is no asset `nobody`");
    fails(&project.run(&["run", "show", "zzz"]), 2, "there is no run `zzz`");
    fails(&project.run(&["explain", "AS0999"]), 2, "there is no code");
    fails(&project.run(&["materialize", "-j", "0"]), 2, "0");
    fails(&project.run(&["vacuum", "--retention", "soon"]), 2, "write a duration");
    assert_eq!(project.ok(&["files", "raw.orders"]), "data/orders.csv\n");
    let files = project.ok(&["files", "raw.orders", "-f", "csv"]);
    assert_eq!(files, "file,rows,bytes,partition\ndata/orders.csv,,,\n");
    assert!(project.ok(&["explain", "as0206"]).contains("there is no such column"));
    assert!(project.ok(&["completions", "bash"]).contains("arrowsmith"));
}

#[test]
fn a_store_that_cannot_be_written_is_told_before_anything_runs() {
    let project = built();
    project.write("blocked", "a file, not a folder");
    let text = std::fs::read_to_string(project.path().join("arrowsmith.toml")).expect("a file");
    let lake = "\n[io_managers.default]\nstore = \"blocked/warehouse\"\n";
    project.write("arrowsmith.toml", &format!("{text}{lake}"));
    fails(&project.run(&["materialize", "--force"]), 5, "cannot write to");
    assert_eq!(project.ok(&["run", "list", "-f", "csv"]).lines().count(), 2, "no run was begun");
}

#[test]
fn bench_io_measures_every_way_and_verifies_the_rows() {
    let project = Project::new("");
    let svg = project.path().join("chart.svg");
    let arguments = [
        "bench",
        "io",
        "--rows",
        "20000",
        "--managers",
        "parquet,ipc,memory",
        "--compression",
        "zstd(1),none",
        "--partition-by",
        "none,month",
        "--repeat",
        "1",
        "--svg",
    ];
    let shown = project.ok(&[&arguments[..], &[&svg.display().to_string()]].concat());
    assert_eq!(shown.lines().filter(|line| line.ends_with("true")).count(), 6, "{shown}");
    assert!(shown.contains("parquet none by month"), "{shown}");
    assert!(shown.contains('*'), "the best of a column is marked: {shown}");
    assert!(shown.contains("x read time") || shown.contains("nothing is better"), "{shown}");
    let chart = std::fs::read_to_string(svg).expect("a chart");
    assert!(chart.contains("<rect") && chart.contains("stored_mb"), "{chart}");
    let json = project.ok(&["bench", "io", "--rows", "1000", "--repeat", "1", "-f", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json["ways"][0]["reads"]["point"]["median"].as_f64().is_some(), "{json:#}");
    let mut left = std::fs::read_dir(project.path()).expect("a folder").flatten();
    let known = ["chart.svg", ".arrowsmith", "instance.toml"];
    let other = left.find(|file| known.iter().all(|name| file.file_name() != *name));
    assert!(other.is_none(), "only the chart is left, not {other:?}");
    for (wrong, told) in [
        (["--managers", "parket"], "did you mean `parquet`?"),
        (["--compression", "zsdt"], "`zsdt` is no codec"),
        (["--partition-by", "mont"], "did you mean `month`?"),
    ] {
        let ran = project.run(&[&["bench", "io", "--rows", "100"][..], &wrong[..]].concat());
        assert_ne!(ran.code, 0);
        assert!(ran.err.contains(told), "{}", ran.err);
    }
}
