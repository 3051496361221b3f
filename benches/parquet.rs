//! Writing and reading versions of TPC-H `lineitem` with the Parquet manager, fsync included.
//!
//! Ids are `parquet/<what>/<layout>`; the throughput is rows a second. The table has about
//! 600,000 rows in two partitions of a plan.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrowsmith::arrow::record_batch::RecordBatch;
use arrowsmith::datafusion::catalog::TableProvider;
use arrowsmith::datafusion::catalog::memory::MemorySourceConfig;
use arrowsmith::datafusion::prelude::{SessionContext, col, lit};
use arrowsmith::io::{
    Durability, IoManager, ParquetIoManager, ParquetOptions, Store, StoredTable, TablePath,
    Version, WriteTarget,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

const SCALE: f64 = 0.1;

/// `lineitem` in two halves.
fn lineitem() -> Vec<Vec<RecordBatch>> {
    let half = |part| LineItemArrow::new(LineItemGenerator::new(SCALE, part, 2)).collect();
    vec![half(1), half(2)]
}

async fn write(
    manager: &ParquetIoManager,
    rows: &[Vec<RecordBatch>],
    hive: &[&str],
) -> StoredTable {
    let version = Version(uuid::Uuid::now_v7());
    let mut target = WriteTarget::new(TablePath::new(["lineitem"]).expect("a path"), version);
    target.partition_by = hive.iter().map(|column| (*column).to_owned()).collect();
    let plan = MemorySourceConfig::try_new_exec(rows, rows[0][0].schema(), None).expect("a plan");
    manager.write(plan, SessionContext::new().task_ctx(), &target).await.expect("a version")
}

async fn count(table: Arc<dyn TableProvider>, pruned: bool, columns: &[&str]) -> usize {
    let mut frame = SessionContext::new().read_table(table).expect("a frame");
    if pruned {
        frame = frame.filter(col("l_shipmode").eq(lit("AIR"))).expect("a filter");
    }
    if !columns.is_empty() {
        frame = frame.select_columns(columns).expect("columns");
    }
    frame.collect().await.expect("rows").iter().map(RecordBatch::num_rows).sum()
}

fn parquet(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = TempDir::new().expect("a folder");
    let url = folder.path().display().to_string();
    let store = Store::open(&url, Path::new("/"), Durability::Fsync, &BTreeMap::new());
    let manager = ParquetIoManager::new(store.expect("a store"), ParquetOptions::default());
    let rows = lineitem();
    let row_count: usize = rows.iter().flatten().map(RecordBatch::num_rows).sum();
    let mut group = criterion.benchmark_group("parquet");
    group.sample_size(10);
    group.throughput(Throughput::Elements(row_count as u64));
    for (layout, hive) in [("plain", vec![]), ("by_shipmode", vec!["l_shipmode"])] {
        group.bench_function(format!("write/{layout}"), |bencher| {
            bencher.to_async(&runtime).iter(|| write(&manager, &rows, &hive));
        });
        let stored = Arc::new(runtime.block_on(write(&manager, &rows, &hive)));
        let three = ["l_orderkey", "l_quantity", "l_shipdate"];
        for (what, pruned, columns) in [
            ("full", false, vec![]),
            ("three_columns", false, three.to_vec()),
            ("pruned", true, vec![]),
        ] {
            group.bench_function(format!("read_{what}/{layout}"), |bencher| {
                let table = || manager.provider(&stored).expect("a table");
                bencher.to_async(&runtime).iter(|| count(table(), pruned, &columns));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, parquet);
criterion_main!(benches);
