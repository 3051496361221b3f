//! What is given to Arrowsmith by others, as bytes: each target takes whatever comes, and panics if a
//! promise is broken. `tests/it/fuzzed.rs` runs them in CI on the corpus and on mutations of it, and
//! `tests/fuzz/run` with cargo-fuzz for as long as one wants.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrowsmith::arrow::array::{Int64Array, RecordBatch};
use arrowsmith::datafusion::catalog::memory::MemorySourceConfig;
use arrowsmith::datafusion::execution::memory_pool::GreedyMemoryPool;
use arrowsmith::datafusion::execution::runtime_env::RuntimeEnvBuilder;
use arrowsmith::datafusion::prelude::{SessionConfig, SessionContext};
use arrowsmith::execution::{Engine, EngineOptions};
use arrowsmith::io::{
    Durability, IoManager, ParquetIoManager, ParquetOptions, Store, StoredTable, TablePath,
    Version, WriteTarget, decode_value, encode_key, encode_value,
};
use arrowsmith::prelude::*;
use arrowsmith::{
    AutomationCondition, Cadence, Diagnostic, Dimension, DimensionKind, DynamicKeys, Entry,
    PartitionExpr, PartitionKeys, PartitionSet, Partitions, Selection, Ticks, TimeWindows,
};

/// A target by its name, which is that of the folder of its corpus.
pub(crate) type Target = fn(&[u8]);

/// All of them.
pub(crate) const TARGETS: [(&str, Target); 7] = [
    ("project", project),
    ("selection", selection),
    ("partition", partition),
    ("cron", cron),
    ("run_config", run_config),
    ("manifest", manifest),
    ("parquet", parquet),
];

/// Every place of a problem lies in a text, and it is told without a panic.
fn told(problems: &[Diagnostic]) {
    for problem in problems {
        assert!(!problem.to_string().is_empty());
        assert!(!problem.message.is_empty(), "{problem:?}");
    }
}

/// An SQL file with its front matter, and after a line `== arrowsmith.toml` a project file.
pub(crate) fn project(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (asset, settings) = text.split_once("== arrowsmith.toml\n").unwrap_or((text, ""));
    // What a project may name outside of itself is not what is asked here.
    if settings.contains("://") || settings.contains('/') || settings.contains("command") {
        return;
    }
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    };
    write("arrowsmith.toml", settings);
    write("assets/rows.sql", "select 1 as n, 'x' as t, date '2026-01-01' as day");
    write("assets/fuzzed.sql", asset);
    let project = sql_project(folder.path());
    let repository = Repository::new("fuzzed").with(project);
    let options = EngineOptions::new(folder.path().join(".arrowsmith"));
    if let Err(problems) = Engine::check(&repository, &options.load) {
        assert!(!problems.0.is_empty(), "it is refused without a reason");
        told(&problems.0);
    }
}

/// The selection language.
pub(crate) fn selection(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<Selection>() {
        Ok(selection) => {
            let repository = Repository::new("fuzzed")
                .with(sql_asset("a", "select 1 as n"))
                .with(sql_asset("b", "select n from a"))
                .with(sql_asset("x.c", "select n from b"));
            let resolved = Engine::check(&repository, &EngineOptions::new("/nowhere").load);
            let resolved = resolved.expect("a sound repository");
            if let Err(error) = selection.evaluate(&resolved) {
                assert!(!error.message.is_empty());
                assert!(!error.marked(text).is_empty());
            }
        }
        Err(error) => assert!(!error.marked(text).is_empty()),
    }
    if let Err(error) = text.parse::<AutomationCondition>() {
        assert!(!format!("{error:?}").is_empty());
    }
}

/// Keys, sets of them, and the paths in which they are stored.
pub(crate) fn partition(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let encoded = encode_value(Some(text));
    assert!(!encoded.contains('/'), "{text:?} becomes more than one folder");
    assert_eq!(decode_value(&encoded).as_deref(), Some(text));
    let encoded = encode_key(text);
    assert!(!encoded.contains('/') && !encoded.starts_with(['.', '_']));
    assert_eq!(decode_value(&encoded).as_deref(), Some(text));
    drop(decode_value(text));
    if let Ok(key) = text.parse::<AssetKey>() {
        let path = key.table_path().to_string();
        assert!(!path.split('/').any(|segment| matches!(segment, "" | "." | "..")), "{path}");
    }
    let Ok(expression) = text.parse::<PartitionExpr>() else { return };
    let days = TimeWindows::new(Cadence::Daily, jiff::civil::date(2026, 1, 1).at(0, 0, 0, 0));
    let time = || DimensionKind::Time(Box::new(days.clone()));
    let names = || DimensionKind::Static(vec!["a".into(), "b,c".into(), "d|e".into()]);
    let dimension = |name: &str, kind| Dimension { name: name.to_owned(), column: None, kind };
    let now = "2026-03-01T00:00:00Z".parse().expect("a moment");
    for partitions in [
        Partitions::new(time()),
        Partitions::new(names()),
        Partitions::of([dimension("day", time()), dimension("name", names())]),
    ] {
        let keys = PartitionKeys::at(&partitions, now, &DynamicKeys::default());
        match expression.evaluate(&keys, &PartitionSet::range(1..=2)) {
            Ok(set) => {
                assert_eq!(set.difference(&keys.all()).len(), 0, "keys that do not exist");
                // What is told of a set means the set.
                let shown = keys.exact_expression(&set);
                if !set.is_empty() {
                    let again = shown.parse::<PartitionExpr>().expect("what was written");
                    let again = again.evaluate(&keys, &PartitionSet::empty());
                    assert_eq!(again.expect("the keys"), set, "{shown}");
                }
            }
            Err(error) => assert!(!error.message.is_empty()),
        }
    }
}

/// Cron expressions and moments.
pub(crate) fn cron(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (text, zone) = text.split_once('\n').unwrap_or((text, "UTC"));
    drop(TimeWindows::parse_moment(text));
    let Ok(cadence) = Cadence::cron(text) else { return };
    let Ok(zone) = jiff::tz::TimeZone::get(zone.trim()) else { return };
    let ticks = Ticks::of_crons(&[cadence], &zone);
    let mut at: jiff::Timestamp = "2026-03-07T00:00:00Z".parse().expect("a moment");
    for _ in 0..50 {
        let Some(next) = ticks.next(at) else { return };
        assert!(next > at, "{text}: {next} comes after {at}");
        at = next;
    }
}

/// Run config in each of its languages; the first byte says which.
pub(crate) fn run_config(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(rest) else { return };
    let ending = ["toml", "yaml", "json"][usize::from(*first) % 3];
    let file: Arc<Path> = Path::new("config").with_extension(ending).into();
    match Entry::parse(&file, text) {
        Ok(entry) => {
            let value = entry.value();
            let merged = entry.over(Entry::empty()).value();
            assert_eq!(merged, value);
        }
        Err(problem) => told(&[problem]),
    }
}

fn store(folder: &Path) -> Store {
    Store::open("tables", folder, Durability::None, &BTreeMap::new()).expect("a store")
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// What stands beside the data: a manifest names no file outside of its version.
pub(crate) fn manifest(data: &[u8]) {
    let Ok(stored) = serde_json::from_slice::<StoredTable>(data) else { return };
    let written = serde_json::to_vec(&stored).expect("what was read can be written");
    let again: StoredTable =
        serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again, stored);
    let folder = tempfile::tempdir().expect("a folder");
    let manager = ParquetIoManager::new(store(folder.path()), ParquetOptions::default());
    let tables = folder.path().join("tables").display().to_string();
    for file in manager.locate(&stored) {
        assert!(file.starts_with(&tables), "{file} lies elsewhere");
        assert!(!file.split('/').any(|segment| segment == ".."), "{file} leads elsewhere");
    }
    runtime().block_on(async {
        let stored = Arc::new(stored);
        let Ok(table) = manager.provider(&stored) else { return };
        let Ok(frame) = SessionContext::new().read_table(table) else { return };
        // There is no such file: it is told, whatever the manifest says.
        if let Ok(batches) = frame.collect().await {
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, 0, "rows of no file");
        }
    });
}

/// Files in the place of those that were written: rows or an error, within a budget of memory. What
/// the decoder panics at is caught, as it is in a step.
pub(crate) fn parquet(data: &[u8]) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = serde_json::json!({ "verify_on_read": false });
    let options = options.as_object().expect("options");
    let options = ParquetOptions::default().with(options).expect("options");
    let manager = ParquetIoManager::new(store(folder.path()), options);
    let target =
        WriteTarget::new(TablePath::new(["rows"]).expect("a path"), Version(uuid::Uuid::now_v7()));
    let numbers = Arc::new(Int64Array::from_iter_values(0..100));
    let batch = RecordBatch::try_from_iter([("n", numbers as _)]).expect("a batch");
    let plan = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None);
    let pool = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(GreedyMemoryPool::new(64 << 20)));
    let context = SessionContext::new_with_config_rt(
        SessionConfig::new().with_target_partitions(1),
        pool.build_arc().expect("a runtime"),
    );
    runtime().block_on(async {
        let plan = plan.expect("a plan");
        let mut stored = manager.write(plan, context.task_ctx(), &target).await.expect("written");
        let file = manager.locate(&stored).remove(0);
        std::fs::write(&file, data).expect("a file");
        stored.files[0].size_bytes = data.len() as u64;
        let stored = Arc::new(stored);
        let reading = tokio::spawn(async move {
            let Ok(table) = manager.provider(&stored) else { return };
            let Ok(frame) = context.read_table(table) else { return };
            if let Ok(batches) = frame.collect().await {
                let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
                assert_eq!(rows, 100, "the manifest says how many rows there are");
            }
        });
        drop(reading.await);
    });
}
