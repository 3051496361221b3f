//! The resources that ship: used by ops of a run, with their configuration checked before it.

use arrowsmith::BoxError;
use arrowsmith::execution::{InProcess, execute_in_process};
use arrowsmith::prelude::*;
use arrowsmith::resources::{DataFusionSession, HttpClient, ObjectStoreResource};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers each connection with the next of these texts, and says what it was asked.
async fn serve(answers: Vec<&'static str>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).await.expect("a request");
                request.extend_from_slice(&buffer[..read]);
            }
            asked.push(String::from_utf8_lossy(&request).into_owned());
            let (status, body) = answer.split_once('|').expect("status and body");
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.expect("an answer");
        }
        asked
    });
    (url, serving)
}

#[op]
async fn fetch(api: Resource<HttpClient>) -> Result<i64, BoxError> {
    let answer: Value = api.get_json("/orders?key=CANARY").await?;
    answer["count"].as_i64().ok_or_else(|| "no count".into())
}

#[op]
async fn keep(count: i64, lake: Resource<ObjectStoreResource>) -> Result<Vec<String>, BoxError> {
    lake.write("counts/orders.txt", count.to_string().into_bytes()).await?;
    let read = lake.read("counts/orders.txt").await?;
    assert_eq!(read.as_deref(), Some(count.to_string().as_bytes()));
    assert_eq!(lake.read("counts/none.txt").await?, None);
    Ok(lake.list("counts").await?)
}

#[op]
async fn squared(count: i64, session: Resource<DataFusionSession>) -> Result<i64, BoxError> {
    let batches = session.sql(&format!("select {count} * {count} as n")).await?.collect().await?;
    let column = batches[0].column(0);
    let values = arrow::array::cast::as_primitive_array::<arrow::datatypes::Int64Type>(column);
    Ok(values.value(0))
}

#[graph]
fn counted() -> Handle<i64> {
    let count = fetch();
    keep(count.clone());
    squared(count)
}

async fn run(url: &str, lake: &TempDir) -> InProcess {
    let repository = Repository::new("resources")
        .with(Job::from_graph(counted::graph()))
        .with_resource("api", ResourceDefinition::new::<HttpClient>())
        .with_resource("lake", ResourceDefinition::new::<ObjectStoreResource>())
        .with_resource("session", ResourceDefinition::new::<DataFusionSession>());
    let config = json!({"resources": {
        "api": {"config": {"base_url": format!("{url}/v1"), "bearer_token": "CANARY", "max_body_bytes": 100}},
        "lake": {"config": {"url": lake.path()}},
        "session": {"config": {"options": {"datafusion.execution.batch_size": "128"}}},
    }});
    execute_in_process(&repository, "counted", &config).await.expect("a run")
}

#[tokio::test]
async fn an_op_fetches_keeps_and_queries() {
    let answers = vec!["503 Service Unavailable|busy", "200 OK|{\"count\": 12}"];
    let (url, serving) = serve(answers).await;
    let lake = TempDir::new().expect("a folder");
    let ran = run(&url, &lake).await;
    assert!(ran.success(), "{:?}", ran.engine.instance.steps(ran.report.run_id).await);
    assert_eq!(ran.output::<i64>("squared", "result").await.expect("a value"), 144);
    let listed = ran.output::<Vec<String>>("keep", "result").await.expect("a list");
    assert_eq!(listed, ["counts/orders.txt"]);
    let asked = serving.await.expect("two requests");
    assert!(asked[1].starts_with("GET /v1/orders?key=CANARY HTTP/1.1"), "{asked:?}");
    assert!(asked[1].to_lowercase().contains("authorization: bearer canary"), "{asked:?}");
}

#[tokio::test]
async fn what_a_server_refuses_is_told_without_secrets() {
    let long = concat!(
        "200 OK|",
        "1234567890123456789012345678901234567890123456789012345678901234567890",
        "1234567890123456789012345678901234567890"
    );
    for (answer, told) in [
        ("404 Not Found|no such thing", "was answered with 404 Not Found: no such thing"),
        ("200 OK|<html>", "is not the expected JSON"),
        (long, "is larger than 100 bytes"),
    ] {
        let (url, serving) = serve(vec![answer]).await;
        let ran = run(&url, &TempDir::new().expect("a folder")).await;
        let steps = ran.engine.instance.steps(ran.report.run_id).await.expect("steps");
        let step = steps.iter().find(|step| step.step_key == "fetch").expect("a step");
        let reason = step.reason.as_deref().unwrap_or_default();
        assert!(reason.contains(told) && reason.contains("/v1/orders"), "{reason}");
        assert!(!reason.contains("CANARY"), "{reason}");
        serving.await.expect("a request");
    }
}
