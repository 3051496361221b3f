//! The web server: who is let in, and what it answers (`engine/docs/SECURITY.md`, threat by threat).

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::{Value, json};
use sha2::Digest;

use crate::support::{Project, folder};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
const SHOP: &str = r#"
== arrowsmith.toml
[project]
name = "shop"
[sources.raw.orders]
path = "orders.csv"
== orders.csv
id,amount,day
1,10.5,2024-01-01
2,20.0,2024-01-01
3,,2024-01-02
== assets/orders.sql
/* +++
description = "Orders with an amount."
group = "staging"
+++ */
select id, amount, day from raw.orders where amount is not null
== assets/days.sql
/* +++
group = "marts"
[checks]
range.revenue = { min = 0 }
+++ */
select day, sum(amount) as revenue, count(*) as orders from orders group by day
"#;
const JSON: &str = "content-type: application/json\r\n";

/// A server of a project, which ends with it.
pub(crate) struct Server {
    process: Child,
    pub(crate) address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// What a request is answered.
struct Reply {
    status: u16,
    headers: String,
    body: String,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect(&self.body)
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Server {
    fn start(project: &Project, command: &str, arguments: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let all = [&[command, "--no-open", "--listen", &address], arguments].concat();
        let mut process = project.command(&all);
        process.env("ARROWSMITH_TOKEN", TOKEN).stdout(Stdio::null()).stderr(Stdio::null());
        let process = process.spawn().expect("the server");
        let server = Self { process, address };
        let began = Instant::now();
        while TcpStream::connect(&server.address).is_err() {
            assert!(began.elapsed() < Duration::from_mins(1), "the server does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        server
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        let host = if headers.to_lowercase().contains("host:") {
            String::new()
        } else {
            format!("host: {}\r\n", self.address)
        };
        let mut stream = TcpStream::connect(&self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a limit");
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\n{host}connection: close\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let mut bytes = Vec::new();
        let mut part = [0; 16 * 1024];
        // A stream of events has no end.
        while !String::from_utf8_lossy(&bytes).contains("text/event-stream") {
            match stream.read(&mut part).expect("an answer") {
                0 => break,
                read => bytes.extend_from_slice(&part[..read]),
            }
        }
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        let (headers, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.expect(&answer);
        let body = if headers.to_lowercase().contains("transfer-encoding: chunked") {
            unchunked(body)
        } else {
            body.to_owned()
        };
        Reply { status, headers: headers.to_owned(), body }
    }

    /// As a program that has the token.
    fn get(&self, path: &str) -> Reply {
        self.send("GET", &format!("/api/v1{path}"), &bearer(), "")
    }

    fn post(&self, path: &str, body: &Value) -> Reply {
        let headers = format!("{}{JSON}", bearer());
        self.send("POST", &format!("/api/v1{path}"), &headers, &body.to_string())
    }
}

fn bearer() -> String {
    format!("authorization: Bearer {TOKEN}\r\n")
}

fn unchunked(body: &str) -> String {
    let (mut text, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || after.len() < size {
            break;
        }
        text.push_str(&after[..size]);
        rest = after.get(size + 2..).unwrap_or_default();
    }
    text
}

/// Each route of the API with a method, its parameters filled in.
fn routes() -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&arrowsmith_web::openapi()).expect("a document");
    let paths = document["paths"].as_object().expect("paths");
    let each = paths.iter().flat_map(|(path, methods)| {
        let filled: Vec<&str> =
            path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
        let filled = filled.join("/");
        let methods = methods.as_object().expect("methods");
        methods.keys().map(move |method| (method.to_uppercase(), filled.clone()))
    });
    each.collect()
}

#[test]
fn the_document_of_the_api_is_the_one_that_is_kept() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(arrowsmith_web::OPENAPI_FILE);
    if std::env::var_os("ARROWSMITH_UPDATE").is_some() {
        std::fs::write(&path, arrowsmith_web::openapi()).expect("written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == arrowsmith_web::openapi(), "set ARROWSMITH_UPDATE=1, then build the UI anew");
}

fn is_log_in(method: &str, path: &str) -> bool {
    method == "POST" && path == "/api/v1/session"
}

/// Routes that answer somebody who has not the token.
fn open_routes(server: &Server) -> Vec<String> {
    let wrong = [
        String::new(),
        "authorization: Bearer wrong\r\n".to_owned(),
        format!("authorization: Basic {TOKEN}\r\n"),
        format!("authorization: {TOKEN}\r\n"),
        format!("cookie: arrowsmith-1={TOKEN}\r\n"),
        format!("cookie: {}={TOKEN}\r\n", cookie_name(server)),
    ];
    let mut open = Vec::new();
    for (method, path) in routes() {
        for headers in &wrong {
            let reply = server.send(&method, &path, &format!("{headers}{JSON}"), "{}");
            let is_refused =
                reply.status == 401 || is_log_in(&method, &path) && reply.status == 422;
            if !is_refused || reply.body.contains("orders") {
                open.push(format!("{method} {path}: {} {}", reply.status, reply.body));
            }
        }
    }
    open
}

#[test]
fn nobody_is_answered_without_the_token_on_any_route() {
    let project = Project::new(SHOP);
    let server = Server::start(&project, "web", &[]);
    let routes = routes();
    assert!(routes.len() > 40, "routes are enumerated: {}", routes.len());
    let open = open_routes(&server);
    assert!(open.is_empty(), "{}", open.join("\n"));
    for (method, path) in routes.iter().filter(|(method, path)| !is_log_in(method, path)) {
        // With the token it is the route that answers, not the guard.
        let reply = server.send(method, path, &format!("{}{JSON}", bearer()), "{}");
        assert_ne!(reply.status, 401, "{method} {path}");
    }
    for page in ["/", "/runs", "/static/x.js", "/index.html", "/api/v1/openapi.json"] {
        assert_eq!(server.send("GET", page, "", "").status, 401, "{page}");
    }
    for public in ["/health", "/login.css", "/login.js"] {
        assert_eq!(server.send("GET", public, "", "").status, 200, "{public}");
    }
    let page = server.send("GET", "/runs", "accept: text/html\r\n", "");
    assert!(page.status == 401 && page.body.contains("<form"), "a browser is asked for the token");
}

/// The harness can fail: where the guard is taken away on purpose, routes that answer are seen.
#[test]
fn what_a_guard_could_let_through_is_seen() {
    let project = Project::new(SHOP);
    let server = Server::start(&project, "web", &["--insecure-no-auth"]);
    assert!(open_routes(&server).len() > 40);
}

#[test]
fn no_way_of_writing_a_path_leads_around_the_guard() {
    let project = Project::new(SHOP);
    let server = Server::start(&project, "web", &[]);
    let mut random = Rng::with_seed(7);
    let parts = [
        "health",
        "login.css",
        "api",
        "v1",
        "session",
        "runs",
        "assets",
        "..",
        ".",
        "",
        "%2e%2e",
        "%2F",
        "health%00",
        ";",
        "?x",
        "login.js",
        "HEALTH",
        "health/",
        "%68ealth",
        "instance",
    ];
    for case in 0..600 {
        let count = random.usize(1..6);
        let path: Vec<&str> = (0..count).map(|_| parts[random.usize(..parts.len())]).collect();
        let path = format!("/{}", path.join("/"));
        let method = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"][random.usize(..6)];
        let reply = server.send(method, &path, JSON, "{}");
        let without_query = path.split('?').next().unwrap_or_default();
        let is_public = matches!(
            (method, without_query),
            ("GET", "/health" | "/login.css" | "/login.js") | ("POST", "/api/v1/session")
        );
        let refused = matches!(reply.status, 400 | 401);
        assert!(is_public || refused, "case {case}: {method} {path} is answered {}", reply.status);
    }
}

#[test]
fn other_names_and_other_origins_are_refused() {
    let project = Project::new(SHOP);
    let server = Server::start(&project, "web", &["--allow-host", "data.example"]);
    let port = server.address.rsplit(':').next().expect("a port");
    for (host, status) in [
        (server.address.clone(), 200),
        (format!("localhost:{port}"), 200),
        ("localhost".to_owned(), 200),
        ("data.example".to_owned(), 200),
        ("DATA.example:8443".to_owned(), 200),
        ("evil.example".to_owned(), 421),
        (format!("evil.example:{port}"), 421),
        ("127.0.0.1.evil.example".to_owned(), 421),
        ("localhost.evil.example".to_owned(), 421),
        ("data.example.evil".to_owned(), 421),
    ] {
        let headers = format!("host: {host}\r\n{}", bearer());
        assert_eq!(server.send("GET", "/api/v1/session", &headers, "").status, status, "{host}");
    }
    let host = &server.address;
    let body = json!({ "selection": "no_such_asset" }).to_string();
    for (headers, status) in [
        // It is answered, and refused for what it says.
        (String::new(), 422),
        (format!("origin: http://{host}\r\n"), 422),
        (format!("origin: http://{host}\r\nsec-fetch-site: same-origin\r\n"), 422),
        ("origin: http://evil.example\r\n".to_owned(), 403),
        ("origin: null\r\n".to_owned(), 403),
        (format!("origin: http://{host}.evil.example\r\n"), 403),
        ("sec-fetch-site: cross-site\r\n".to_owned(), 403),
        ("sec-fetch-site: same-site\r\n".to_owned(), 403),
    ] {
        let all = format!("{}{JSON}{headers}", bearer());
        let reply = server.send("POST", "/api/v1/runs", &all, &body);
        assert_eq!(reply.status, status, "{headers}: {}", reply.body);
    }
    for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""] {
        let headers = format!("{}content-type: {kind}\r\n", bearer());
        assert_eq!(server.send("POST", "/api/v1/runs", &headers, &body).status, 415, "{kind}");
    }
    let cors = server.send("OPTIONS", "/api/v1/runs", "origin: http://evil.example\r\n", "");
    assert!(cors.header("access-control-allow-origin").is_none());
}

fn cookie_name(server: &Server) -> String {
    format!("arrowsmith-{}", server.address.rsplit(':').next().expect("a port"))
}

#[test]
fn a_browser_gets_a_cookie_for_the_token_and_says_what_it_means_to_change() {
    let project = Project::new(SHOP);
    let server = Server::start(&project, "web", &[]);
    let log_in = |token: &str| {
        server.send("POST", "/api/v1/session", JSON, &json!({ "token": token }).to_string())
    };
    assert_eq!(log_in("wrong").status, 401);
    assert_eq!(log_in("").status, 401, "an empty code is none");
    let reply = log_in(TOKEN);
    assert_eq!(reply.status, 204);
    let cookie = reply.header("set-cookie").expect("a cookie").to_owned();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains(TOKEN), "the cookie is not the token");
    let cookie = format!("cookie: {}\r\n", cookie.split(';').next().expect("a pair"));
    let session = server.send("GET", "/api/v1/session", &cookie, "");
    assert_eq!(session.status, 200);
    let csrf = session.json()["csrf"].as_str().expect("a value").to_owned();
    let body = json!({ "selection": "no_such_asset" }).to_string();
    let post = |headers: &str| {
        server.send("POST", "/api/v1/runs", &format!("{cookie}{JSON}{headers}"), &body).status
    };
    assert_eq!(post(""), 403, "a cookie alone changes nothing");
    assert_eq!(post("x-arrowsmith-csrf: wrong\r\n"), 403);
    assert_eq!(post(&format!("x-arrowsmith-csrf: {csrf}\r\n")), 422, "it is answered");
    let page = server.send("GET", "/", &format!("{cookie}accept: text/html\r\n"), "");
    assert_eq!(page.status, 200);
    let policy = page.header("content-security-policy").expect("a policy");
    for rule in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'"] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    let out = server.send(
        "DELETE",
        "/api/v1/session",
        &format!("{cookie}{JSON}x-arrowsmith-csrf: {csrf}\r\n"),
        "",
    );
    assert!(out.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")));
}

#[test]
fn an_address_that_others_reach_needs_a_token_on_purpose() {
    let project = Project::new(SHOP);
    let refused = |arguments: &[&str], variables: &[(&str, &str)]| {
        let all = [&["web", "--listen", "0.0.0.0:0"], arguments].concat();
        let mut command = project.command(&all);
        command.env_remove("ARROWSMITH_TOKEN").envs(variables.iter().copied());
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("a process");
        let mut errors = BufReader::new(process.stderr.take().expect("errors"));
        let mut said = String::new();
        // The first line is the refusal, or where it answers.
        while errors.read_line(&mut said).is_ok_and(|read| read > 0) {
            if said.contains("open http") {
                drop(process.kill());
                drop(process.wait());
                return None;
            }
        }
        Some((process.wait().expect("an end").code(), said))
    };
    let (code, said) = refused(&[], &[]).expect("a refusal");
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("has to be set on purpose"), "{said}");
    let (code, said) = refused(&[], &[("ARROWSMITH_TOKEN", "short")]).expect("a refusal");
    assert!(code == Some(2) && said.contains("at least 24"), "{said}");
    assert!(refused(&[], &[("ARROWSMITH_TOKEN", TOKEN)]).is_none());
    assert!(refused(&["--insecure-no-auth"], &[]).is_none());
    let keys = folder();
    let file = keys.path().join("token");
    let path = file.to_str().expect("a path");
    assert!(refused(&["--token-file", path], &[]).is_none());
    let mode = std::fs::metadata(&file).expect("the file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert_eq!(std::fs::read_to_string(&file).expect("the token").len(), 64);
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).expect("a mode");
    let (code, said) = refused(&["--token-file", path], &[]).expect("a refusal");
    assert!(code == Some(2) && said.contains("can be read by others"), "{said}");
}

#[test]
fn sql_is_answered_only_where_that_is_allowed_and_can_change_nothing() {
    let project = Project::new(SHOP);
    project.ok(&["materialize"]);
    let server = Server::start(&project, "web", &[]);
    let ask = |server: &Server, sql: &str| server.post("/query", &json!({ "sql": sql }));
    assert_eq!(ask(&server, "select 1").status, 403);
    drop(server);
    let server = Server::start(&project, "web", &["--query"]);
    let reply = ask(&server, "select count(*) as n from system.runs");
    assert_eq!((reply.status, &reply.json()["rows"]), (200, &json!([["1"]])), "{}", reply.body);
    for attempt in [
        "create external table t stored as csv location '/etc/passwd'",
        "copy (select 1) to '/tmp/arrowsmith-stolen.csv'",
        "set datafusion.execution.batch_size = 1",
        "explain analyze copy (select 1) to '/tmp/arrowsmith-stolen.csv'",
        "insert into orders values (1)",
        "drop table orders",
        "select * from '/etc/passwd'",
        "select * from read_csv('/etc/passwd')",
        "select * from information_schema.tables",
        "select 1; select 2",
        "",
    ] {
        let reply = ask(&server, attempt);
        assert_eq!(reply.status, 422, "{attempt}: {}", reply.body);
        assert!(!reply.body.contains("root:"), "{}", reply.body);
    }
    assert!(!std::path::Path::new("/tmp/arrowsmith-stolen.csv").exists());
    let deep = format!("select {}1", "1 + ".repeat(12_000));
    assert_eq!(ask(&server, &deep).status, 422, "what would overflow the stack is refused");
    let large = "select a.value from generate_series(1, 5000000) a";
    let reply = ask(&server, large);
    if reply.status == 200 {
        assert_eq!(reply.json()["rows"].as_array().map(Vec::len), Some(1000));
        assert_eq!(reply.json()["more"], true);
    }
    assert_eq!(server.get("/health").status, 404, "the server still answers");
}

/// Asks until something holds.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_mins(1), "{what} has not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_is_launched_is_run_and_every_page_of_it_is_told() {
    let project = Project::new(SHOP);
    let server = Server::start(&project, "dev", &[]);
    let plan = server.post("/plan", &json!({ "selection": "*" })).json();
    assert_eq!((&plan["count"], &plan["fresh"]), (&json!(2), &json!(0)));
    assert_eq!(server.get("/states").json()["days"], "missing");
    let run = server.post("/runs", &json!({ "selection": "*", "tags": { "team": "a\"b" } })).json();
    let id = run["run_id"].as_str().expect("an id").to_owned();
    until("the run", || server.get(&format!("/runs/{id}")).json()["run"]["ended_at"].is_i64());
    let detail = server.get("/runs/latest").json();
    assert_eq!(detail["run"]["status"], "success", "{detail}");
    assert_eq!(detail["run"]["origin"], "web");
    assert_eq!(detail["steps"].as_array().map(Vec::len), Some(2));
    for (query, count) in [
        ("", 1),
        ("?status=success", 1),
        ("?status=failure,canceled", 0),
        ("?tag=team", 1),
        ("?tag=team%3Da%22b", 1),
        ("?tag=team%3Db", 0),
        ("?step=days", 1),
        ("?step=day", 0),
        ("?origin=web", 1),
        ("?origin=schedule:x", 0),
        ("?job=x", 0),
        ("?since=0", 1),
        (&format!("?before={id}"), 0),
    ] {
        let found = server.get(&format!("/runs{query}")).json();
        assert_eq!(found.as_array().map(Vec::len), Some(count), "{query}: {found}");
    }
    assert_eq!(server.get("/runs?status=nonsense").status, 422);
    let events = server.get(&format!("/runs/{id}/events")).json();
    let kinds: Vec<&str> =
        events.as_array().expect("events").iter().filter_map(|e| e["kind"].as_str()).collect();
    assert!(kinds.starts_with(&["RUN_ENQUEUED"]) && kinds.ends_with(&["RUN_SUCCESS"]), "{kinds:?}");
    let asset = server.get("/assets/days").json();
    assert_eq!((&asset["state"], &asset["standing"]["row_count"]), (&json!("fresh"), &json!(1)));
    let rows = server.get("/assets/orders/rows?sort=-amount&limit=1").json();
    assert_eq!(rows["rows"], json!([["2", "20.0", "2024-01-01"]]), "{rows}");
    assert_eq!((&rows["more"], &rows["total"]), (&json!(true), &json!(2)));
    let wrong = server.get("/assets/orders/rows?sort=amuont");
    assert!(wrong.status == 404 && wrong.body.contains("did you mean `amount`"), "{}", wrong.body);
    let wrong = server.get("/assets/ordres");
    assert!(wrong.status == 404 && wrong.body.contains("orders"), "{}", wrong.body);
    let statistics = server.get("/assets/orders/statistics").json();
    assert_eq!(statistics["columns"]["amount"]["max"], "20.0", "{statistics}");
    let checks = server.get("/checks").json();
    assert_eq!(checks[0]["last"]["passed"], true, "{checks}");
    let graph = server.get("/graph?collapse=true").json();
    assert_eq!(graph["nodes"].as_array().map(Vec::len), Some(3), "{graph}");
    let lineage = server.get("/assets/days/columns/revenue/lineage").json();
    assert!(lineage["upstream"].to_string().contains("\"from_column\":\"amount\""), "{lineage}");
    let selected = server.get("/selection?text=group:mar&cursor=9").json();
    assert_eq!(selected["completions"], json!(["group:marts"]), "{selected}");
    let nothing = server.post("/runs", &json!({ "selection": "no_such" }));
    assert_eq!(nothing.status, 422, "{}", nothing.body);
    let again = server.post(&format!("/runs/{id}/reexecute"), &json!("from_failure"));
    assert!(again.status == 422 && again.body.contains("nothing of the run"), "{}", again.body);
    let again = server.post(&format!("/runs/{id}/reexecute"), &json!({ "select": "days" })).json();
    let second = again["run_id"].as_str().expect("an id").to_owned();
    until("the second", || {
        server.get(&format!("/runs/{second}")).json()["run"]["ended_at"].is_i64()
    });
    let detail = server.get(&format!("/runs/{second}")).json();
    assert_eq!(detail["steps"].as_array().map(Vec::len), Some(1), "{detail}");
    assert_eq!(server.get(&format!("/runs/{id}")).json()["continued_by"], json!([second]));
    let ended = server.post(&format!("/runs/{id}/terminate"), &json!({}));
    assert_eq!(ended.status, 409, "{}", ended.body);
}

#[test]
fn streams_go_on_behind_the_last_event_that_a_page_has_seen() {
    let project = Project::new(SHOP);
    project.ok(&["materialize"]);
    let server = Server::start(&project, "web", &[]);
    let told = |path: &str, last: &str| {
        let mut stream = TcpStream::connect(&server.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a limit");
        let request = format!(
            "GET /api/v1{path} HTTP/1.1\r\nhost: {}\r\n{}{last}\r\n",
            server.address,
            bearer()
        );
        stream.write_all(request.as_bytes()).expect("sent");
        let (mut events, mut id) = (Vec::new(), String::new());
        for line in BufReader::new(stream).lines() {
            let line = line.expect("a line");
            if let Some(of) = line.strip_prefix("id: ") {
                of.clone_into(&mut id);
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).unwrap_or_default();
                events.extend(data["kind"].as_str().map(|kind| (id.clone(), kind.to_owned())));
            } else if line == "event: end" {
                break;
            }
        }
        events
    };
    let all = told("/runs/latest/stream", "");
    assert_eq!(all.last().map(|(_, kind)| kind.as_str()), Some("RUN_SUCCESS"), "{all:?}");
    let middle = all.len() / 2;
    let rest = told("/runs/latest/stream", &format!("last-event-id: {}\r\n", all[middle].0));
    assert_eq!(rest, all[middle + 1..], "what was told is not told again");
}

#[test]
fn a_version_becomes_current_again() {
    let project = Project::new(SHOP);
    project.ok(&["materialize"]);
    project.write("orders.csv", "id,amount,day\n1,1.0,2024-01-01\n");
    project.ok(&["materialize"]);
    assert!(project.ok(&["query", "select revenue from days", "--format", "csv"]).contains("1.0"));
    project.ok(&["asset", "rollback", "days"]);
    assert!(project.ok(&["query", "select revenue from days", "--format", "csv"]).contains("30.5"));
    let versions = project.ok(&["asset", "versions", "days", "--format", "csv"]);
    assert_eq!(versions.lines().count(), 3, "{versions}");
    // What is current is not what would be computed, and so it is replaced again.
    assert!(project.ok(&["plan", "days"]).contains("days"));
    project.ok(&["materialize", "days"]);
    assert!(project.ok(&["query", "select revenue from days", "--format", "csv"]).contains("1.0"));
    let ran = project.run(&["asset", "rollback", "days", "00000000-0000-7000-8000-000000000000"]);
    assert!(ran.code == 2 && ran.err.contains("no stored version"), "{} {}", ran.code, ran.err);
    let ran = project.run(&["asset", "rollback", "days", "yesterday"]);
    assert!(ran.code == 2 && ran.err.contains("is no version"), "{} {}", ran.code, ran.err);
    let ran = project.run(&["asset", "rollback", "raw.orders"]);
    assert_ne!(ran.code, 0, "{}", ran.err);
}

#[test]
fn a_backfill_is_queued_carried_out_and_stopped() {
    let project = Project::new(SHOP);
    project.add(
        r#"
== assets/daily.sql
/* +++
partitions = { daily = "2024-01-01", end = "2024-01-11", column = "day" }
+++ */
select cast(day as date) as day, amount from raw.orders where cast(day as date) >= $partition_start
  and cast(day as date) < $partition_end
"#,
    );
    let waits = {
        // Nobody carries out what is queued here.
        let server = Server::start(&project, "web", &[]);
        let asked = json!({ "selection": "daily", "partitions": "2024-01-01...2024-01-03" });
        let waits = server.post("/backfills", &asked).json();
        let id = waits["backfill_id"].as_str().expect("an id").to_owned();
        let found = server.get(&format!("/backfills/{id}")).json();
        assert_eq!(
            (&found["backfill"]["status"], &found["backfill"]["waits"]),
            (&json!("requested"), &json!(true))
        );
        assert_eq!(
            (&found["assets"][0]["target"], &found["assets"][0]["made"]),
            (&json!(3), &json!(0))
        );
        let wrong =
            server.post("/backfills", &json!({ "selection": "daily", "partitions": "2023-01-01" }));
        assert!(wrong.status == 422 && wrong.body.contains("2023-01-01"), "{}", wrong.body);
        let other = server.post("/backfills", &asked).json();
        let other = other["backfill_id"].as_str().expect("an id").to_owned();
        let stopped = server.post(&format!("/backfills/{other}/cancel"), &json!({})).json();
        assert_eq!(stopped["status"], "canceled", "one that waits is over at once: {stopped}");
        id
    };
    let server = Server::start(&project, "dev", &[]);
    until("the backfill", || {
        server.get(&format!("/backfills/{waits}")).json()["backfill"]["ended_at"].is_i64()
    });
    let found = server.get(&format!("/backfills/{waits}")).json();
    assert_eq!(found["backfill"]["status"], "completed_success", "{found}");
    assert_eq!(found["assets"][0]["made"], 3, "{found}");
    assert_eq!(found["runs"].as_array().map(Vec::len), Some(1));
    let map = server.get("/assets/daily/partitions?cells=5").json();
    let cells = map["rows"][0]["cells"].as_array().expect("cells");
    let counts: Vec<(u64, u64)> = cells
        .iter()
        .map(|cell| (cell["materialized"].as_u64().expect("n"), cell["total"].as_u64().expect("n")))
        .collect();
    assert_eq!(counts, [(2, 2), (1, 2), (0, 2), (0, 2), (0, 2)], "{map}");
    assert_eq!(cells[1]["expression"], "2024-01-03...2024-01-04");
    let version = server.get("/assets/daily/versions").json()[0]["version"].clone();
    let version = version.as_str().expect("a version");
    let two = "partitions=2024-01-01...2024-01-02";
    let rows = server.get(&format!("/assets/daily/rows?version={version}&{two}")).json();
    assert_eq!(rows["rows"].as_array().map(Vec::len), Some(3), "{rows}");
    // What is fresh is not made again unless that is asked for.
    let more = json!({ "selection": "daily", "partitions": "2024-01-01...2024-01-04" });
    let more = server.post("/backfills", &more).json();
    let run = more["run_id"].as_str().expect("a run").to_owned();
    until("one more", || server.get(&format!("/runs/{run}")).json()["run"]["ended_at"].is_i64());
    let steps = server.get(&format!("/runs/{run}")).json()["steps"].clone();
    assert_eq!(steps.as_array().map(Vec::len), Some(1), "{steps}");
    assert_eq!(steps[0]["key"], "daily[2024-01-04]");
    let done = server.post(&format!("/backfills/{waits}/resume"), &json!({})).json();
    assert_eq!(done["run_id"], Value::Null, "nothing is left: {done}");
}

#[test]
fn the_built_pages_are_those_of_their_sources() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("engine/web/ui");
    let info = std::fs::read_to_string(folder.join("dist/build-info.json")).expect("built pages");
    let info: Value = serde_json::from_str(&info).expect("a document");
    let walk = |below: &str| {
        let mut files = Vec::new();
        let mut open = vec![folder.join(below)];
        while let Some(path) = open.pop() {
            if path.is_dir() {
                open.extend(
                    std::fs::read_dir(&path).expect("a folder").flatten().map(|e| e.path()),
                );
            } else {
                let name =
                    path.strip_prefix(&folder).expect("below").to_string_lossy().into_owned();
                files.push(name);
            }
        }
        files
    };
    let same = |told: &Value, found: Vec<String>| {
        let told = told.as_object().expect("a table");
        for name in &found {
            let bytes = std::fs::read(folder.join(name)).expect("a file");
            let hash = sha2::Sha256::digest(&bytes);
            let hash = hash.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
            assert_eq!(
                told.get(name),
                Some(&json!(hash)),
                "{name}: `npm run build` makes it current"
            );
        }
        for name in told.keys() {
            assert!(folder.join(name).exists(), "{name} is gone: `npm run build` tells so");
        }
    };
    let mut outputs = walk("dist");
    outputs.retain(|name| name != "dist/build-info.json");
    let bytes: u64 = outputs
        .iter()
        .map(|name| std::fs::metadata(folder.join(name)).expect("a file").len())
        .sum();
    assert!(bytes < 1_500_000, "the pages have {bytes} bytes");
    same(&info["outputs"], outputs);
    same(&info["sources"], [walk("src"), walk("public")].concat());
}
