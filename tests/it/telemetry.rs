//! Traces of runs and steps, as a collector of OpenTelemetry receives them.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::Value;

use crate::support::Project;

/// Takes one request as a collector does; the spans in it.
fn receive(listener: &TcpListener) -> Vec<Value> {
    let (mut stream, _) = listener.accept().expect("a call");
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 65536]);
    loop {
        let count = stream.read(&mut buffer).expect("a request");
        bytes.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length: ").and_then(|length| length.parse::<usize>().ok())
        });
        if body.len() < length.expect("a length") {
            continue;
        }
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        let answer =
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer.as_bytes()).expect("an answer");
        let told: Value = serde_json::from_str(body).expect("JSON");
        let service = &told["resourceSpans"][0]["resource"]["attributes"];
        assert!(service.to_string().contains("arrowsmith"), "{service}");
        return told["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .expect("spans")
            .clone();
    }
}

fn attribute<'a>(span: &'a Value, name: &str) -> &'a str {
    let all = span["attributes"].as_array().expect("attributes");
    let found = all.iter().find(|of| of["key"] == name);
    found.and_then(|of| of["value"]["stringValue"].as_str()).unwrap_or_default()
}

#[test]
fn a_run_is_a_trace_with_a_span_for_each_step() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
    let received = std::thread::spawn(move || receive(&listener));
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "traced"
== assets/good.sql
select 1 as n
== assets/bad.sql
select cast('x' || n as int) as n from good
"#,
    );
    let mut command = project.command(&["materialize"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    command.env("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json");
    assert_eq!(command.output().expect("a command").status.code(), Some(1));
    let spans = received.join().expect("a request");
    let of = |name: &str| spans.iter().find(|span| span["name"] == name).expect("a span");
    let (run, good, bad) = (of("run"), of("good"), of("bad"));
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert_eq!(attribute(run, "status"), "failure");
    assert!(!attribute(run, "run_id").is_empty(), "{run:#}");
    assert_eq!((attribute(good, "state"), attribute(bad, "state")), ("success", "failure"));
    for step in [good, bad] {
        assert_eq!(step["parentSpanId"], run["spanId"]);
        assert_eq!(step["traceId"], run["traceId"]);
    }
    assert_eq!(bad["status"]["code"], 2, "an error");
}

#[test]
fn a_collector_that_is_not_there_changes_nothing_but_a_line() {
    let project = Project::new(
        "== arrowsmith.toml\n[project]\nname = \"x\"\n== assets/a.sql\nselect 1 as n\n",
    );
    let mut command = project.command(&["materialize"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let output = command.output().expect("a command");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}
