//! `arrowsmith-overhead DAG disk|memory HOME [TIMES]`: materializes the trivial assets of a file of
//! `gen_dag.py` and prints what that took, as the scripts of the rivals beside it do. With `disk` the
//! instance is durable and in HOME.

use std::sync::Arc;
use std::time::Instant;

use arrowsmith::execution::{Engine, EngineOptions, RunOptions, Silent};
use arrowsmith::instance::{Instance, RunStatus};
use arrowsmith::io::MemoryIoManager;
use arrowsmith::prelude::*;
use arrowsmith::{AssetReference, Input};
use tokio_util::sync::CancellationToken;

/// As the program of the command line has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Columns)]
struct Number {
    n: i64,
}

fn asset(node: &serde_json::Value) -> Asset {
    let key: AssetKey = node["name"].as_str().expect("a name").parse().expect("a key");
    let mut asset = FunctionAsset::new([], || async { vec![Number { n: 1 }] }).into_asset(key);
    for read in node["deps"].as_array().expect("names") {
        let read = read.as_str().expect("a name");
        let key = read.parse().expect("a key");
        asset.inputs.push(Input::new(read, AssetReference::to(&key)));
    }
    asset
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, dag, kept, home, times @ ..] = arguments.as_slice() else {
        panic!("arrowsmith-overhead DAG disk|memory HOME [TIMES]");
    };
    let times = times.first().map_or(1, |times| times.parse().expect("a number"));
    let text = std::fs::read(dag).expect("a file of gen_dag.py");
    let nodes: Vec<serde_json::Value> = serde_json::from_slice(&text).expect("nodes");
    let repository = Repository::new("overhead")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(nodes.iter().map(asset).collect::<Vec<_>>());
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let began = Instant::now();
        let instance = (kept == "memory").then(Instance::in_memory);
        let options = EngineOptions { instance, ..EngineOptions::new(home) };
        let engine = Arc::new(Engine::open(&repository, options).await.expect("an engine"));
        let opened = began.elapsed();
        for _ in 0..times {
            let began = Instant::now();
            let plan = engine.plan("").await.expect("a plan");
            let planned = began.elapsed();
            let cancel = CancellationToken::new();
            let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
            assert_eq!(report.expect("a report").status, RunStatus::Success);
            let (n, total) = (nodes.len(), began.elapsed());
            let per = |time: std::time::Duration| time.as_secs_f64() * 1e6 / n as f64;
            println!(
                "METRIC {{\"n\": {n}, \"load_us_per_asset\": {:.1}, \"plan_us_per_asset\": {:.1}, \
                 \"us_per_asset\": {:.1}}}",
                per(opened), per(planned), per(total)
            );
        }
    });
}
