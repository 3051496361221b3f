//! What the engine costs an asset that costs nothing: planning and running graphs of trivial
//! assets, with the instance on disk and in memory.
//!
//! Ids are `overhead/<instance>-<shape>/<assets>`; the throughput is assets a second. The shapes
//! are a chain, a fan (one, all others, one) and layers of about √n with two to four parents.

use std::sync::Arc;

use arrowsmith::execution::{Engine, EngineOptions, RunOptions, Silent};
use arrowsmith::instance::{Instance, RunStatus};
use arrowsmith::io::MemoryIoManager;
use arrowsmith::prelude::*;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

#[derive(Columns)]
struct Number {
    n: i64,
}

fn one() -> Vec<Number> {
    vec![Number { n: 1 }]
}

fn key(i: usize) -> AssetKey {
    format!("a{i:05}").parse().expect("a key")
}

/// For each asset those that it reads.
fn parents(shape: &str, assets: usize) -> Vec<Vec<usize>> {
    let width = assets.isqrt();
    let mut random = fastrand::Rng::with_seed(42);
    (0..assets)
        .map(|i| match shape {
            "chain" => i.checked_sub(1).into_iter().collect(),
            "fan" if i == 0 => vec![],
            "fan" if i == assets - 1 => (1..i).collect(),
            "fan" => vec![0],
            _ if i < width => vec![],
            _ => {
                let layer = (i / width - 1) * width;
                let mut above: Vec<usize> = (layer..layer + width).collect();
                random.shuffle(&mut above);
                above.truncate(random.usize(2..=4));
                above
            }
        })
        .collect()
}

/// An asset that names its upstream assets and reads none of their rows.
fn trivial(i: usize, reads: &[usize]) -> Asset {
    let mut asset = FunctionAsset::new([], || async { one() }).into_asset(key(i));
    asset.inputs = reads
        .iter()
        .map(|read| {
            let reference = arrowsmith::AssetReference::to(&key(*read));
            arrowsmith::Input::new(key(*read).to_string(), reference)
        })
        .collect();
    asset
}

fn repository(shape: &str, assets: usize) -> Repository {
    let parents = parents(shape, assets);
    let trivial = parents.iter().enumerate().map(|(i, reads)| trivial(i, reads));
    Repository::new("overhead")
        .with_io_manager("memory", Arc::new(MemoryIoManager::new()))
        .with(trivial.collect::<Vec<_>>())
}

async fn materialize(engine: &Arc<Engine>) {
    let plan = engine.plan("").await.expect("a plan");
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    assert_eq!(report.expect("a report").status, RunStatus::Success);
}

fn overhead(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("overhead");
    group.sample_size(10);
    for assets in [1_000, 10_000] {
        group.throughput(Throughput::Elements(assets as u64));
        for (kept, shape) in ["disk", "memory"]
            .into_iter()
            .flat_map(|kept| ["fan", "layers", "chain"].into_iter().map(move |shape| (kept, shape)))
        {
            let folder = TempDir::new().expect("a folder");
            let repository = repository(shape, assets);
            let engine = runtime.block_on(async {
                let instance = (kept == "memory").then(Instance::in_memory);
                let options = EngineOptions { instance, ..EngineOptions::new(folder.path()) };
                Engine::open(&repository, options).await.expect("a sound repository")
            });
            let engine = Arc::new(engine);
            group.bench_function(BenchmarkId::new(format!("{kept}-{shape}"), assets), |bencher| {
                bencher.to_async(&runtime).iter(|| materialize(&engine));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, overhead);
criterion_main!(benches);
