//! An instance in PostgreSQL that several homes share: what only a server can do. All that holds for
//! every instance is tested on both, with `.ci/postgres`.

use std::time::Duration;

use crate::operate::{Daemon, has_ended, json, runs, wait_for};
use crate::postgres::Server;
use crate::support::{Project, keep_in_database};

const SHOP: &str = r#"== arrowsmith.toml
[project]
name = "shop"
[io_managers.default]
type = "parquet"
store = "STORE"
== assets/one.sql
select 1 as n
== assets/two.sql
select n + 1 as n from one
"#;

/// A project of which another machine has its own copy, with a home of its own.
fn two_machines(server: &Server) -> [Project; 2] {
    let projects = [Project::new(""), Project::new("")];
    let store = projects[0].path().join("store");
    for project in &projects {
        project.add(&SHOP.replace("STORE", &store.display().to_string()));
    }
    keep_in_database(&projects[0].path().join(".arrowsmith"), &server.url());
    let settings = ".arrowsmith/instance.toml";
    let text = std::fs::read_to_string(projects[0].path().join(settings)).expect("settings");
    projects[1].write(settings, &text);
    projects
}

#[test]
fn two_machines_share_runs_tables_and_one_leading_daemon() {
    let Some(server) = Server::start() else { return };
    let [here, there] = two_machines(&server);
    here.ok(&["materialize"]);
    assert_eq!(there.ok(&["query", "select n from two", "-f", "csv"]), "n\n2\n");
    assert_eq!(runs(&there)[0]["run_id"], runs(&here)[0]["run_id"]);
    assert!(there.ok(&["materialize"]).is_empty());
    assert_eq!(runs(&here).len(), 1, "what is fresh here is fresh there");
    let info = there.ok(&["instance", "info", "-f", "csv"]);
    assert!(info.contains("?schema=t_"), "{info}");

    let daemons = [Daemon::start(&here, &[]), Daemon::start(&there, &[])];
    here.ok(&["run", "launch", "*", "--force"]);
    wait_for(&here, "the run", 60, || runs(&here).iter().all(has_ended));
    let leads = |project: &Project| {
        let log = std::fs::read_to_string(project.path().join("daemon.log")).unwrap_or_default();
        log.matches("leads=true").count()
    };
    wait_for(&there, "a lead", 30, || leads(&here) + leads(&there) == 1);
    // The one that leads dies; the other takes its place and goes on with the queue.
    let [first, second] = daemons;
    let (dead, other, _survivor) =
        if leads(&here) == 1 { (first, &there, second) } else { (second, &here, first) };
    dead.kill();
    there.ok(&["run", "launch", "*", "--force"]);
    wait_for(other, "the next run", 90, || runs(other).iter().all(has_ended));
    assert_eq!(leads(other), 1);
    let all = runs(other);
    assert_eq!((all.len(), all.iter().filter(|run| run["status"] == "success").count()), (3, 3));
}

#[test]
fn a_server_that_restarts_is_waited_for() {
    let Some(mut server) = Server::start() else { return };
    let [project, _] = two_machines(&server);
    let _daemon = Daemon::start(&project, &[]);
    project.ok(&["run", "launch", "*"]);
    wait_for(&project, "the first run", 60, || runs(&project).iter().all(has_ended));
    server.restart(Duration::from_secs(3));
    project.ok(&["run", "launch", "*", "--force"]);
    wait_for(&project, "the second run", 90, || {
        let all = runs(&project);
        all.len() == 2 && all.iter().all(has_ended)
    });
    assert!(runs(&project).iter().all(|run| run["status"] == "success"), "{:?}", runs(&project));
}

#[test]
fn whatever_a_text_holds_comes_back_as_it_was() {
    let Some(server) = Server::start() else { return };
    let [project, _] = two_machines(&server);
    let nasty = r"it's \'; drop table runs; -- $1 é 🦀";
    project.ok(&["materialize", "--tag", &format!("note={nasty}")]);
    assert_eq!(runs(&project)[0]["tags"]["note"], nasty);
    let shown = json(&project, &["query", "select tags from system.runs", "-f", "json"]);
    assert!(shown.to_string().contains("drop table runs"), "{shown}");
}

#[test]
fn a_database_that_cannot_be_used_is_told_in_a_sentence() {
    let project = Project::new(SHOP);
    let wrong = |settings: &str| {
        project.write(".arrowsmith/instance.toml", settings);
        let ran = project.run(&["run", "list"]);
        assert!(!ran.err.contains("CANARY") && ran.code != 0, "{ran:?}");
        let path = project.path().join(".arrowsmith/instance.toml").display().to_string();
        format!("{}: {}", ran.code, ran.err.replace(&path, "instance.toml"))
    };
    let told = [
        wrong("[database]\nurl = \"postgres://me:CANARY@127.0.0.1:1/shop\"\n"),
        wrong("[database]\nurl = \"postgres://me:CANARY@127.0.0.1:nope/shop\"\n"),
        wrong("[database]\nurl = { env = \"NO_SUCH_URL\" }\n"),
        wrong("[database]\nurl = \"mysql://me:CANARY@localhost/shop\"\n"),
        wrong("[database]\nurl = \"postgres://localhost\"\nschema = \"Shop\"\n"),
        wrong("[databse]\nurl = \"postgres://localhost\"\n"),
        wrong("[database\nurl = 1\n"),
    ];
    insta::assert_snapshot!(told.join("\n"));
}
