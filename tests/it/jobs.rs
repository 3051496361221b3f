//! Jobs on the command line: the example of the concepts, its run config, and re-execution.

use crate::examples::program;
use crate::support::{Project, Ran};

/// Runs the program of the concepts in the folder of a project.
fn concepts(project: &Project, arguments: &[&str]) -> Ran {
    let home = project.path().join("home");
    let output = std::process::Command::new(program("concepts"))
        .args(arguments)
        .current_dir(project.path())
        .env("ARROWSMITH_HOME", home)
        .env("DOOR", "CANARY-password")
        .env_remove("NOWHERE")
        .output();
    Ran::from(output.expect("an example that is built"))
}

#[track_caller]
fn ok(project: &Project, arguments: &[&str]) -> String {
    let ran = concepts(project, arguments);
    assert_eq!(ran.code, 0, "{arguments:?}\n{}\n{}", ran.out, ran.err);
    ran.out
}

#[test]
fn jobs_are_listed_shown_and_run() {
    let project = Project::new("");
    let list = ok(&project, &["job", "list", "-f", "csv"]);
    assert!(list.contains("greeting,1 ops,Greets somebody."), "{list}");
    assert!(list.contains("nested,10 ops,") && list.contains("reports,assets +report,"), "{list}");
    let shown = ok(&project, &["job", "show", "nested", "-f", "csv"]);
    assert!(shown.contains("linear_2.add_one_3,linear_2.add_one_2,false"), "{shown}");
    ok(&project, &["job", "run", "nested"]);
    ok(&project, &["job", "run", "reports", "--tag", "team=data"]);
    let report = ok(&project, &["query", "select item from report", "-f", "csv"]);
    assert_eq!(report, "item\n8\n", "the graph behind the asset has computed four");
    let runs = ok(&project, &["run", "show"]);
    assert!(runs.contains("job reports") && runs.contains("four.add_one_3"), "{runs}");
    let again = concepts(&project, &["job", "run", "nestd"]);
    assert_eq!(again.code, 2);
    assert!(again.err.contains("did you mean `nested`?"), "{}", again.err);
    let some = concepts(&project, &["job", "run", "linear", "--select", "add_one*"]);
    assert!(some.err.contains("no earlier run has stored its output"), "{}", some.err);
    ok(&project, &["job", "run", "linear", "--select", "*add_one"]);
    ok(&project, &["run", "reexecute", "--select", "add_one"]);
}

#[test]
fn run_config_comes_from_files_of_any_language_and_from_the_command_line() {
    let project = Project::new(
        r#"== a.toml
[ops.context_op.config]
name = "ada"
password = { env = "DOOR" }
== b.yaml
ops:
  context_op:
    config:
      name: grace   # the first file wins
      times: 2
== c.json
{"ops": {"context_op": {"config": {"voice": "loud", "to": {"file": {"path": "x"}}}}}}
"#,
    );
    let run = ["job", "run", "greeting", "-c", "a.toml", "-c", "b.yaml", "-c", "c.json"];
    ok(&project, &run);
    ok(&project, &[&run[..], &["--set", "ops.context_op.config.times=3"]].concat());
    let logs = ok(&project, &["run", "logs"]);
    assert!(logs.contains("greeting somebody name=ada"), "{logs}");
    // The password is nowhere: not in the database, not in logs, not in what is stored.
    let mut pending = vec![project.path().join("home")];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).expect("a folder").flatten().map(|e| e.path()));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            assert!(!bytes.windows(6).any(|window| window == b"CANARY"), "{}", path.display());
        }
    }
}

#[test]
fn the_run_config_of_a_job_has_a_reference() {
    let project = Project::new("");
    insta::assert_snapshot!(ok(&project, &["job", "show", "greeting", "--config"]));
    let template = ok(&project, &["job", "scaffold-config", "asking"]);
    project.write("template.toml", &template.replace("…", "db"));
    ok(&project, &["job", "run", "asking", "-c", "template.toml"]);
}

/// Each wrong config in a file of its own; all errors of each, as they are printed.
const WRONG: &[(&str, &str)] = &[
    ("nothing.toml", ""),
    ("unknown_root.toml", "[opps.context_op.config]\nname = \"ada\"\n"),
    ("unknown_op.toml", "[ops.contxt_op.config]\nname = \"ada\"\n"),
    ("unknown_part.toml", "[ops.context_op.confg]\nname = \"ada\"\n"),
    ("unknown_entry.toml", "[ops.context_op.config]\nname = \"ada\"\ntims = 2\n"),
    ("missing_entry.toml", "[ops.context_op.config]\ntimes = 2\n"),
    ("text_for_number.toml", "[ops.context_op.config]\nname = \"ada\"\ntimes = \"two\"\n"),
    ("number_for_text.yaml", "ops:\n  context_op:\n    config:\n      name: 7\n"),
    (
        "fraction_for_whole.json",
        "{\"ops\": {\"context_op\": {\"config\":\n  {\"name\": \"a\", \"times\": 1.5}}}}",
    ),
    ("negative.toml", "[ops.context_op.config]\nname = \"ada\"\ntimes = -1\n"),
    ("wrong_word.toml", "[ops.context_op.config]\nname = \"ada\"\nvoice = \"lod\"\n"),
    ("scalar_for_table.toml", "ops = 3\n"),
    ("list_for_table.yaml", "ops:\n  context_op:\n    config: [1, 2]\n"),
    ("table_for_list.toml", "[ops.context_op.config]\nname = \"ada\"\nexcept = { a = 1 }\n"),
    ("wrong_item.toml", "[ops.context_op.config]\nname = \"ada\"\nexcept = [\"bob\", 3]\n"),
    ("wrong_value_of_map.toml", "[ops.context_op.config]\nname = \"ada\"\nwords = { de = 3 }\n"),
    (
        "two_of_one.toml",
        "[ops.context_op.config]\nname = \"ada\"\n[ops.context_op.config.to]\nfile = { path = \"x\" }\nmail = { address = \"y\" }\n",
    ),
    ("none_of_one.toml", "[ops.context_op.config]\nname = \"ada\"\nto = {}\n"),
    (
        "nested_missing.toml",
        "[ops.context_op.config]\nname = \"ada\"\nto = { file = { pth = \"x\" } }\n",
    ),
    ("no_variable.toml", "[ops.context_op.config]\nname = { env = \"NOWHERE\" }\n"),
    (
        "execution.toml",
        "[execution]\nmax_concurrent = 0\n[ops.context_op.config]\nname = \"ada\"\n",
    ),
    (
        "resource.toml",
        "[resources.db.config]\nurl = \"x\"\n[ops.context_op.config]\nname = \"ada\"\n",
    ),
    ("several.toml", "[ops.context_op.config]\ntimes = \"x\"\nvoice = 3\nnam = \"ada\"\n"),
    ("syntax.toml", "[ops.context_op.config\nname = 1\n"),
    ("syntax.yaml", "ops:\n  context_op: [1\n"),
    ("ending.ini", "name = 1\n"),
];

#[test]
fn every_error_of_a_run_config_is_told_with_its_place() {
    let project = Project::new("");
    let mut told = String::new();
    for (file, text) in WRONG {
        project.write(file, text);
        let ran = concepts(&project, &["job", "run", "greeting", "-c", file]);
        assert_eq!(ran.code, 2, "{file}: {}", ran.err);
        told.push_str(&format!("== {file}\n{}", ran.err));
    }
    insta::assert_snapshot!(told);
    let runs = ok(&project, &["run", "list", "-f", "csv"]);
    assert_eq!(runs.lines().count(), 1, "no run was begun");
}

#[test]
fn jobs_stand_in_project_files() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "jobs"
[run.pools]
database = 1
[jobs.nightly]
selection = "+b"
description = "Everything for the morning."
max_concurrent = 1
tags = { team = "data" }
== assets/a.sql
/* +++
pool = "database"
+++ */
select 1 as x
== assets/b.sql
select x from a
"#,
    );
    assert!(project.ok(&["job", "list"]).contains("Everything for the morning."));
    project.ok(&["job", "run", "nightly"]);
    let shown = project.ok(&["run", "show", "-f", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["run"]["run"]["job"], "nightly");
    assert_eq!(shown["run"]["run"]["tags"]["team"], "data");
    project.write("arrowsmith.toml", "[project]\nname = \"jobs\"\n[jobs.bad]\nselction = \"x\"\n[jobs.worse]\nselection = \"a and\"\n");
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(ran.err);
}

#[test]
fn a_job_of_the_project_file_has_hooks_and_retries() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "shop"

[jobs.nightly]
selection = "*"
retry = { max_retries = 1, delay = "1ms" }
on_success = ["sh", "-c", "echo $ARROWSMITH_JOB $ARROWSMITH_STEP >> succeeded.txt; echo told"]
on_failure = ["sh", "-c", "echo \"$ARROWSMITH_ERROR\" > failed.txt; echo no >&2; exit 3"]

[jobs.wrong]
selection = "*"
retry = { max_retry = 1 }
on_sucess = ["true"]
== assets/good.sql
select 1 as n
== assets/bad.sql
select cast(s as int) as n from (values ('x')) as v(s)
"#,
    );
    let checked = project.run(&["check"]);
    assert!(checked.err.contains("did you mean `max_retries`?"), "{}", checked.err);
    assert!(checked.err.contains("did you mean `on_success`?"), "{}", checked.err);
    let text = std::fs::read_to_string(project.path().join("arrowsmith.toml")).expect("a text");
    let (sound, _) = text.split_once("[jobs.wrong]").expect("a job");
    project.write("arrowsmith.toml", sound);
    let ran = project.run(&["job", "run", "nightly"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let read = |name| std::fs::read_to_string(project.path().join(name)).expect("a written file");
    assert_eq!(read("succeeded.txt"), "nightly good\n");
    assert!(read("failed.txt").contains("'x'"), "{}", read("failed.txt"));
    let logs = project.ok(&["run", "logs", "latest"]);
    assert!(logs.contains("told") && logs.contains("`sh` ended with exit status: 3: no"), "{logs}");
    assert_eq!(logs.matches("STEP_UP_FOR_RETRY").count(), 1, "{logs}");
}
