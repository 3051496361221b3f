//! Tables in a real PostgreSQL, which is started for the test. Where it is not installed, a test says so
//! and passes; `ARROWSMITH_POSTGRES=require` makes that a failure.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrowsmith::io::{IoManager, conformance};
use arrowsmith_io_postgres::PostgresIoManager;
use tempfile::TempDir;

use crate::support::Project;

/// A server with an empty database; it ends with the test.
pub(crate) struct Server {
    folder: TempDir,
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        // What `runuser` has started ends by its own word.
        self.stop();
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// A program of the server, which refuses to be run by root.
fn as_user(program: &str) -> Command {
    let is_root = std::fs::metadata("/proc/self")
        .is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0);
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found: Option<PathBuf> =
        installed.map(|version| version.path().join("bin").join(program)).find(|p| p.exists());
    let program = found.unwrap_or_else(|| PathBuf::from(program));
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn serve(folder: &TempDir, port: u16) -> std::io::Result<Child> {
    as_user("postgres")
        .arg("-D")
        .arg(folder.path().join("data"))
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .args(["-c", "unix_socket_directories="])
        .current_dir(folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(server) => Some(server),
            Err(why) => {
                let required = std::env::var("ARROWSMITH_POSTGRES").is_ok_and(|v| v == "require");
                assert!(!required, "PostgreSQL is required: {why}");
                let mut out = std::io::stderr();
                writeln!(out, "skipped: PostgreSQL is not there: {why}").expect("written");
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let folder = TempDir::new().map_err(|e| e.to_string())?;
        std::fs::set_permissions(
            folder.path(),
            std::os::unix::fs::PermissionsExt::from_mode(0o777),
        )
        .map_err(|e| e.to_string())?;
        let data = folder.path().join("data");
        let made = as_user("initdb")
            .arg("-D")
            .arg(&data)
            .args(["-U", "arrow", "--auth=trust", "--no-sync", "-E", "UTF8", "--locale=C"])
            .current_dir(folder.path())
            .output();
        let made = made.map_err(|e| e.to_string())?;
        if !made.status.success() {
            return Err(String::from_utf8_lossy(&made.stderr).into_owned());
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let port = port.map_err(|e| e.to_string())?.port();
        let process = serve(&folder, port).map_err(|e| e.to_string())?;
        let server = Self { folder, process, port };
        server.answers().then_some(server).ok_or("it did not answer within 10 s".to_owned())
    }

    /// Whether it comes to answer.
    fn answers(&self) -> bool {
        (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(50));
            self.psql("select 1").is_ok()
        })
    }

    /// Takes the server away for a moment.
    pub(crate) fn restart(&mut self, pause: Duration) {
        self.stop();
        drop(self.process.wait());
        std::thread::sleep(pause);
        self.process = serve(&self.folder, self.port).expect("a server");
        assert!(self.answers(), "the server is there again");
    }

    fn stop(&self) {
        let folder = self.folder.path().join("data");
        let stop =
            as_user("pg_ctl").args(["-D"]).arg(folder).args(["-m", "immediate", "stop"]).output();
        drop(stop);
    }

    pub(crate) fn url(&self) -> String {
        format!("postgres://arrow@127.0.0.1:{}/postgres", self.port)
    }

    /// What another program sees.
    fn psql(&self, query: &str) -> Result<String, String> {
        let output = Command::new("psql").args([&*self.url(), "-XAtc", query]).output();
        let output = output.map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    #[track_caller]
    pub(crate) fn seen(&self, query: &str) -> String {
        self.psql(query).expect("a query that succeeds")
    }
}

fn manager(server: &Server) -> Arc<dyn IoManager> {
    Arc::new(PostgresIoManager::open(&server.url(), &BTreeMap::new()).expect("a manager"))
}

#[test]
fn postgres_keeps_the_contract() {
    let Some(server) = Server::start() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(conformance::check(manager(&server)));
    let left = server.seen(
        "select count(*) from pg_tables where schemaname = 'arrowsmith' and tablename like 'v\\_%'",
    );
    let known = server.seen("select count(*) from arrowsmith.versions");
    assert_eq!(left, known, "what failed has left nothing behind");
}

const PROJECT: &str = r#"== arrowsmith.toml
[project]
name = "shop"
[io_managers.default]
type = "postgres"
store = "postgres://arrow@127.0.0.1:PORT/postgres"
[io_managers.files]
[sources.raw.rows]
path = "rows.csv"
== rows.csv
n,place,day,ratio
1,a/b,2024-01-01,0.5
2,it's,2024-01-02,
3,,2024-01-03,1.5
4,x y,2024-01-03,-2.0
== assets/marts/by_day.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-04", column = "day" }
+++ */
select n, place, day, ratio, cast(ratio as decimal(12, 2)) as price,
  arrow_cast(day, 'Timestamp(Nanosecond, Some("UTC"))') as moment
from raw.rows
== assets/report.sql
select place, count(*) as days, sum(ratio) as ratio
from marts.by_day
where day >= '2024-01-02' and n in (2, 3, 4) and (place = 'it''s' or place is null or n > 3)
group by place order by place
"#;

#[test]
fn a_project_is_kept_in_a_database_and_other_programs_see_its_views() {
    let Some(server) = Server::start() else { return };
    let project = Project::new(&PROJECT.replace("PORT", &server.port.to_string()));
    project.ok(&["materialize"]);
    let seen = server.seen("select n, place, day, price, moment at time zone 'UTC' from marts.by_day order by n limit 2");
    assert_eq!(
        seen,
        "1|a/b|2024-01-01|0.50|2024-01-01 00:00:00\n2|it's|2024-01-02||2024-01-02 00:00:00"
    );
    assert_eq!(
        project.ok(&["show", "report", "--format", "csv"]),
        "place,days,ratio\nit's,1,\nx y,1,-2.0\n,1,1.5\n"
    );
    assert_eq!(server.seen("select count(*) from report"), "3");

    // One partition is replaced; the view is the same and shows it.
    let rows = std::fs::read_to_string(project.path().join("rows.csv")).expect("rows");
    project.write("rows.csv", &rows.replace("1,a/b,2024-01-01,0.5", "9,a/b,2024-01-01,0.5"));
    project.ok(&["materialize", "marts.by_day", "-p", "2024-01-01"]);
    assert_eq!(
        server.seen("select string_agg(n::text, ' ' order by n) from marts.by_day"),
        "2 3 4 9"
    );
    let counted = "select count(*) as n from marts.by_day where day < '2024-01-03'";
    assert_eq!(project.ok(&["query", counted, "--format", "csv"]), "n\n2\n");

    // Other columns; damage is found; what nobody needs goes.
    project.write("assets/report.sql", "select count(*) as days from marts.by_day");
    project.ok(&["materialize", "report"]);
    assert_eq!(server.seen("select * from report"), "4");
    project.ok(&["fsck"]);
    let relation = server.seen("select 'arrowsmith.v_' || replace(version::text, '-', '') from arrowsmith.versions order by version desc limit 1");
    server.seen(&format!("update {relation} set days = 5"));
    let found = project.run(&["fsck"]);
    assert_eq!(found.code, 1, "{}{}", found.out, found.err);
    assert!(found.out.contains("its checksum is"), "{}", found.out);
    let before = server.seen("select count(*) from arrowsmith.versions");
    project.ok(&["vacuum", "--retention", "0s"]);
    let after = server.seen("select count(*) from arrowsmith.versions");
    assert_eq!((before.as_str(), after.as_str()), ("4", "3"));

    // To files and back.
    project.ok(&["io", "migrate", "marts.by_day", "--to", "files"]);
    project.ok(&["io", "migrate", "marts.by_day", "--to", "default"]);
    assert_eq!(
        server.seen("select string_agg(n::text, ' ' order by n) from marts.by_day"),
        "2 3 4 9"
    );
}

#[test]
fn what_postgres_cannot_hold_or_refuses_is_told() {
    let Some(server) = Server::start() else { return };
    let project = Project::new(&PROJECT.replace("PORT", &server.port.to_string()));
    for (query, expected) in [
        (
            "select arrow_cast(1, 'Duration(Second)') as took",
            "`took` is Duration(s), which PostgreSQL cannot hold",
        ),
        (
            "select arrow_cast(1, 'Timestamp(Nanosecond, None)') as at",
            "`at` has nanoseconds, and PostgreSQL keeps microseconds",
        ),
        ("select chr(0) as zero", "invalid byte sequence"),
        ("select 1 as _arrowsmith_partition", "is no name that PostgreSQL can keep"),
    ] {
        project.write("assets/bad.sql", query);
        let ran = project.run(&["materialize", "bad"]);
        assert_eq!(ran.code, 1, "{query}: {}", ran.err);
        assert!(ran.err.contains(expected), "{query}: {}", ran.err);
    }
    // A name that is taken is not taken over.
    project.write("assets/bad.sql", "select 1 as x");
    server.seen("create table bad (x int)");
    let ran = project.run(&["materialize", "bad"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("warning  bad: ") && ran.err.contains("\"bad\" is not a view"),
        "{}",
        ran.err
    );
}

#[test]
fn a_database_that_does_not_answer_or_a_wrong_url_is_an_error() {
    let project = Project::new(&PROJECT.replace("PORT", "1"));
    let ran = project.run(&["materialize"]);
    assert_eq!(ran.code, 5, "{}{}", ran.out, ran.err);
    assert!(ran.err.to_lowercase().contains("connection refused"), "{}", ran.err);
    let url = "postgres://arrow:CANARY-secret@127.0.0.1:nope/postgres";
    project.write("arrowsmith.toml", &format!("[project]\nname = \"x\"\n[io_managers.default]\ntype = \"postgres\"\nstore = \"{url}\"\n"));
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(!ran.err.contains("CANARY"), "{}", ran.err);
}
