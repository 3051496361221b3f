//! The layout of graphs: layers, groups and 1.65 edges a node, as warehouses have them.

use arrowsmith_web::layered;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

fn warehouse(count: usize) -> Vec<(usize, usize)> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut edges = Vec::new();
    for to in count / 20..count {
        for _ in 0..if random.u8(..100) < 65 { 2 } else { 1 } {
            // Mostly of the neighbourhood, as groups are.
            let near = to.saturating_sub(1 + random.usize(..count / 10));
            let from = if random.u8(..100) < 90 { near } else { random.usize(..to) };
            edges.push((from, to));
        }
    }
    edges
}

fn layout(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("layout");
    group.sample_size(10);
    for count in [200, 1_000, 10_000] {
        let edges = warehouse(count);
        group.bench_with_input(BenchmarkId::from_parameter(count), &edges, |bencher, edges| {
            bencher.iter(|| layered(count, edges));
        });
    }
    group.finish();
}

criterion_group!(benches, layout);
criterion_main!(benches);
