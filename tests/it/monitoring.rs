//! What a daemon says of itself and to others: HTTP, metrics, notifications, the instance in SQL, and
//! freshness.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};

use arrowsmith::prelude::*;

use crate::schedules::{SetClock, daemon};
use crate::support::{Project, folder, materialize};

/// A request as it goes over the wire; the status and the body of its answer.
fn ask(address: &str, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a limit");
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, answer.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").to_string()
}

#[track_caller]
fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what} has not come");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_daemon_answers_and_takes_calls_of_webhooks_that_know_the_secret() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "hooked"
[sensors.hook]
webhook_secret = { env = "HOOK_SECRET" }
selection = "one"
default_status = "running"
== assets/one.sql
select 1 as n
"#,
    );
    let address = free_address();
    let mut command = project.command(&["daemon", "run", "--listen", &address]);
    command.env("HOOK_SECRET", "CANARY-4711").stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().expect("a daemon");
    wait_for("the daemon", || TcpStream::connect(&address).is_ok());
    wait_for("readiness", || ask(&address, "GET", "/ready", "", "").0 == 200);
    assert_eq!(ask(&address, "GET", "/health", "", ""), (200, "ok\n".to_owned()));
    let call = |headers: &str, body: &str| ask(&address, "POST", "/webhooks/hook", headers, body).0;
    assert_eq!(call("", "{}"), 401);
    assert_eq!(call("authorization: Bearer CANARY-4712\r\n", "{}"), 401);
    assert_eq!(call("x-arrowsmith-signature: sha256=00\r\n", "{}"), 401);
    assert_eq!(ask(&address, "POST", "/webhooks/other", "", "{}").0, 404);
    assert_eq!(ask(&address, "GET", "/webhooks/hook", "", "").0, 405);
    assert_eq!(call("authorization: Bearer CANARY-4711\r\n", "{"), 400);
    assert_eq!(call("authorization: Bearer CANARY-4711\r\n", r#"{ "run_key": "7" }"#), 202);
    // HMAC-SHA256 of `{}` with the secret, by another program.
    let signed = std::process::Command::new("openssl")
        .args(["dgst", "-sha256", "-hmac", "CANARY-4711"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            child.stdin.take().expect("an input").write_all(b"{}")?;
            child.wait_with_output()
        });
    let signature = String::from_utf8(signed.expect("openssl").stdout).expect("a text");
    let signature = signature.trim().rsplit(' ').next().expect("a digest").to_owned();
    assert_eq!(call(&format!("x-hub-signature-256: sha256={signature}\r\n"), "{}"), 202);
    let runs = || project.ok(&["run", "list", "-f", "csv"]);
    wait_for("the runs", || runs().matches(",success,").count() == 2);
    let metrics = ask(&address, "GET", "/metrics", "", "").1;
    for line in [
        "arrowsmith_runs{status=\"success\"} 2",
        "arrowsmith_leader 1",
        "arrowsmith_duty_failed{duty=\"queue\"} 0",
        "# TYPE arrowsmith_queue_age_seconds gauge",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    let status = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(status.expect("kill runs").success());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    // The secret is nowhere.
    for name in ["instance.db", "instance.db-wal"] {
        let bytes =
            std::fs::read(project.path().join(".arrowsmith").join(name)).unwrap_or_default();
        assert!(!bytes.windows(11).any(|window| window == b"CANARY-4711"), "{name}");
    }
}

#[test]
fn whoever_wants_to_know_is_told_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/in", listener.local_addr().expect("an address"));
    let received = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a call");
        let mut text = String::new();
        let mut buffer = [0; 4096];
        while !text.contains("\"text\"") {
            let count = stream.read(&mut buffer).expect("a request");
            text.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").expect("an answer");
        text
    });
    let project = Project::new(&format!(
        r#"== arrowsmith.toml
[project]
name = "told"
[daemon.notifications.slack]
on = "run_failure"
webhook = "{url}"
[daemon.notifications.file]
on = ["run_failure", "check_failure"]
command = ["sh", "-c", "echo \"$ARROWSMITH_MESSAGE\" >> told.txt"]
template = "{{{{ occasion }}}}: {{{{ error }}}}"
== assets/one.sql
/* +++
[checks]
unique = ["n"]
+++ */
select 1 as n union all select 1
"#
    ));
    let mut command = project.command(&["daemon", "run"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a daemon");
    wait_for("the daemon", || {
        project.ok(&["instance", "info"]).contains("main")
            && project.run(&["daemon", "status"]).code == 0
    });
    std::thread::sleep(Duration::from_secs(3));
    project.ok(&["run", "launch", "one"]);
    let told = || std::fs::read_to_string(project.path().join("told.txt")).unwrap_or_default();
    wait_for("the messages", || told().lines().count() >= 2);
    let request = received.join().expect("a request");
    assert!(request.contains("\"occasion\":\"run_failure\""), "{request}");
    assert!(request.contains("of one failed: 1 of 1 steps failed (told)"), "{request}");
    std::thread::sleep(Duration::from_secs(3));
    let mut lines: Vec<String> = told().lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("check_failure: "), "{lines:?}");
    assert_eq!(lines[1], "run_failure: 1 of 1 steps failed");
    child.kill().expect("killed");
    child.wait().expect("gone");
}

#[test]
fn the_instance_is_looked_at_in_sql() {
    let project = Project::new(
        r#"== arrowsmith.toml
== assets/days.sql
/* +++
partitions = { keys = ["a", "b"], column = "k" }
[checks]
not_null = ["k"]
+++ */
select v.k from (values ('a'), ('b')) as v(k)
"#,
    );
    project.ok(&["materialize"]);
    let ask = |sql: &str| project.ok(&["query", sql, "-f", "csv"]);
    assert_eq!(ask("select status, selection from system.runs"), "status,selection\nsuccess,*\n");
    assert_eq!(
        ask("select partition_key, row_count from system.partitions order by 1"),
        "partition_key,row_count\na,1\nb,1\n"
    );
    assert_eq!(
        ask("select asset, check_name, passed from system.checks"),
        "asset,check_name,passed\ndays,not_null_k,true\n"
    );
    assert_eq!(ask("select count(*) as n from system.ticks"), "n\n0\n");
    let joined = "select s.state, m.asset, r.ended_at > r.started_at as took \
                  from system.steps s join system.runs r on r.run_id = s.run_id \
                  join system.materializations m on m.run_id = r.run_id";
    assert_eq!(ask(joined), "state,asset,took\nsuccess,days,true\n");
    let kinds = ask("select kind, count(*) as n from system.events group by kind order by kind");
    assert!(kinds.contains("ASSET_MATERIALIZATION,2") && kinds.contains("RUN_START,1"), "{kinds}");
    let wrong = project.run(&["query", "select * from system.run"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("did you mean `system.runs`?"), "{}", wrong.err);
    let info = project.ok(&["instance", "info", "-f", "csv"]);
    assert!(info.contains("runs,1\n") && info.contains("versions,1\n"), "{info}");
    let gc = project.run(&["instance", "gc"]);
    assert!(gc.err.contains("0 ticks and 0 events were forgotten"), "{}", gc.err);
}

#[tokio::test]
async fn freshness_is_what_the_policy_says_and_its_changes_are_remembered() {
    let front = |text: &str| format!("/* +++\n[freshness]\n{text}\n+++ */ select 1 as n");
    let repository = Repository::new("test")
        .with(sql_asset("window", &front("fail = \"2h\"\nwarn = \"1h\"")))
        .with(sql_asset("daily", &front("deadline = \"0 9 * * *\"\nlower_bound = \"3h\"")));
    let (home, clock) = (folder(), SetClock::at("2026-01-01T08:00:00Z"));
    let daemon = daemon(&repository, home.path(), &clock).await;
    let states = async |moment: &str| {
        clock.set(moment);
        assert!(daemon.lead().await.expect("a lead"));
        daemon.tick_freshness().await.expect("policies");
        let mut found = daemon.instance().freshness().await.expect("states");
        found.sort_by(|a, b| a.asset.cmp(&b.asset));
        found
            .into_iter()
            .map(|of| format!("{} {}", of.asset, of.state))
            .collect::<Vec<_>>()
            .join(", ")
    };
    assert_eq!(states("2026-01-01T08:00:00Z").await, "", "nothing is known");
    materialize(&daemon, "", None, &[]).await;
    assert_eq!(states("2026-01-01T08:30:00Z").await, "daily pass, window pass");
    assert_eq!(states("2026-01-01T09:30:00Z").await, "daily pass, window warn");
    assert_eq!(states("2026-01-01T11:00:00Z").await, "daily pass, window fail");
    assert_eq!(states("2026-01-02T09:00:00Z").await, "daily fail, window fail");
    materialize(&daemon, "", None, &[]).await;
    assert_eq!(states("2026-01-02T09:01:00Z").await, "daily pass, window pass");
    let changes = daemon.instance().freshness_after(0).await.expect("changes");
    assert_eq!(changes.len(), 2 + 1 + 1 + 1 + 2);
}

#[test]
fn a_workspace_serves_each_of_its_repositories_by_itself() {
    let project = Project::new(
        r#"== workspace.toml
[repositories.good]
project = "good"
[repositories.bad]
project = "bad"
== good/arrowsmith.toml
[schedules.often]
cron = "* * * * *"
selection = "one"
== good/assets/one.sql
select 1 as n
== bad/arrowsmith.toml
== bad/assets/one.sql
select m as n from nowhere
"#,
    );
    let listed = project.run(&["workspace", "list", "-f", "csv"]);
    assert_eq!(listed.code, 1);
    assert!(listed.out.contains("good,sound,1,0,1,0\n"), "{}", listed.out);
    assert!(listed.out.contains("bad,broken: error: 1 error"), "{}", listed.out);
    assert_eq!(project.run(&["workspace", "check"]).code, 3);
    let mut command = project.command(&["daemon", "run", "--workspace", "workspace.toml"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("daemons");
    let ok = |arguments: &[&str]| {
        let mut all = vec!["--project", "good"];
        all.extend(arguments);
        project.run(&all).code == 0
    };
    assert!(ok(&["run", "launch", "one"]));
    wait_for("the run", || {
        project.ok(&["--project", "good", "run", "list", "-f", "csv"]).contains(",success,")
    });
    // The broken one waits until it is mended.
    project.write("bad/assets/one.sql", "select 1 as n");
    wait_for("the mended one", || {
        project.run(&["--project", "bad", "run", "launch", "one"]).code == 0
    });
    wait_for("its run", || {
        project.ok(&["--project", "bad", "run", "list", "-f", "csv"]).contains(",success,")
    });
    let status = std::process::Command::new("kill").arg(child.id().to_string()).status();
    assert!(status.expect("kill runs").success());
    assert_eq!(child.wait().expect("an end").code(), Some(0));
    // Daemons end with it, however it ends.
    let mut command = project.command(&["daemon", "run", "--workspace", "workspace.toml"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("daemons");
    let folder = project.path().join("good").display().to_string();
    let at_work = || {
        let listed = std::process::Command::new("pgrep").args(["-f", &folder]).output();
        !listed.expect("pgrep").stdout.is_empty()
    };
    wait_for("a daemon", at_work);
    child.kill().expect("killed");
    child.wait().expect("gone");
    wait_for("the end of its daemons", || !at_work());
    project.write("workspace.toml", "[repositories.x]\nprojekt = \"good\"\n");
    let wrong = project.run(&["workspace", "list"]);
    assert_eq!(wrong.code, 3);
    insta::assert_snapshot!(wrong.err);
}
