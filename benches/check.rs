//! Loading and type-checking a project of SQL files.
//!
//! Ids are `check/sql_assets/<assets>`; the throughput is assets a second. Each asset joins two of
//! the ones before it, so that schemas are propagated through the whole graph.

use std::path::Path;

use arrowsmith::execution::Engine;
use arrowsmith::{LoadOptions, Repository, sql_project};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;

fn write(folder: &Path, assets: usize) {
    let settings = "[project]\nname = \"bench\"\n[sources.raw.orders]\npath = \"orders.csv\"\n";
    std::fs::write(folder.join("arrowsmith.toml"), settings).expect("a file");
    std::fs::write(folder.join("orders.csv"), "id,customer,amount\n1,ada,2.5\n").expect("a file");
    std::fs::create_dir(folder.join("assets")).expect("a folder");
    for i in 0..assets {
        let sql = if i < 2 {
            "select id, customer, amount, amount * 2 as doubled from raw.orders".to_owned()
        } else {
            format!(
                "with totals as (select customer, sum(amount) as total from a{0} group by customer)\n\
                 select a.id, a.customer, a.amount, a.doubled + t.total as doubled\n\
                 from a{1} a join totals t on a.customer = t.customer\n\
                 where a.amount > 1 and a.customer <> 'nobody'",
                i - 1,
                i / 2
            )
        };
        std::fs::write(folder.join(format!("assets/a{i}.sql")), sql).expect("a file");
    }
}

fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.sample_size(10);
    for assets in [100, 1_000] {
        let folder = TempDir::new().expect("a folder");
        write(folder.path(), assets);
        let options = LoadOptions::new(folder.path().join(".arrowsmith"));
        let repository = Repository::new("bench").with(sql_project(folder.path()));
        group.throughput(Throughput::Elements(assets as u64));
        group.bench_function(BenchmarkId::new("sql_assets", assets), |bencher| {
            bencher.iter(|| Engine::check(&repository, &options).expect("a sound project"));
        });
    }
    group.finish();
}

criterion_group!(benches, check);
criterion_main!(benches);
