//! T5: files that are not what was written, some thousands of them.
//!
//! Eight shapes of files, each damaged in every way that disks and people damage files. Whatever was
//! done, the process goes on; `fsck` names the file; and with `verify_on_read` no wrong row comes out.

use std::collections::BTreeMap;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use arrowsmith::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray,
    RecordBatch, StringArray, StringViewArray,
};
use arrowsmith::arrow::compute::concat_batches;
use arrowsmith::arrow::datatypes::Int64Type;
use arrowsmith::datafusion::catalog::memory::MemorySourceConfig;
use arrowsmith::datafusion::prelude::{SessionConfig, SessionContext};
use arrowsmith::io::{
    Depth, Durability, IoManager, ParquetIoManager, ParquetOptions, Store, StoredTable, TablePath,
    Version, WriteTarget,
};
use fastrand::Rng;
use serde_json::json;

use crate::support::folder;

/// How many files are damaged; `ARROWSMITH_MUTANTS=20000` in CI.
fn mutants() -> usize {
    std::env::var("ARROWSMITH_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

const ROWS: i64 = 1_000;
/// Bytes that the process may have had at its worst: what a lying length makes it ask for is bounded.
const MEMORY_MAX_KIB: u64 = 1_500 * 1024;

/// Columns and options of the eight shapes.
fn shapes() -> Vec<(&'static str, RecordBatch, serde_json::Value)> {
    let mut random = Rng::with_seed(7);
    let mut numbers = || Int64Array::from_iter_values((0..ROWS).map(|_| random.i64(..)));
    let (random_numbers, other) = (numbers(), numbers());
    let rising = Int64Array::from_iter_values(0..ROWS);
    let texts = (0..ROWS).map(|row| (row % 5 > 0).then(|| format!("a text with the number {row}")));
    let words =
        (0..ROWS).map(|row| Some(["red", "green", "blue"][usize::try_from(row % 3).unwrap_or(0)]));
    let lists =
        (0..ROWS).map(|row| (row % 4 > 0).then(|| (0..row % 4).map(Some).collect::<Vec<_>>()));
    let lists = ListArray::from_iter_primitive::<Int64Type, _, _>(lists);
    let prices =
        Decimal128Array::from_iter_values((0..ROWS).map(|row| i128::from(row * 997 % 10_000)));
    let prices = prices.with_precision_and_scale(15, 2).expect("a decimal");
    let days = Date32Array::from_iter_values((0..1_000).map(|row| 15_000 + row % 400));
    let batch = |columns: Vec<(&str, ArrayRef)>| {
        RecordBatch::try_from_iter_with_nullable(
            columns.into_iter().map(|(name, column)| (name, column, true)),
        )
        .expect("a batch")
    };
    let id = || ("id", Arc::new(rising.clone()) as ArrayRef);
    vec![
        ("numbers", batch(vec![id(), ("n", Arc::new(random_numbers))]), json!({})),
        (
            "texts",
            batch(vec![id(), ("t", Arc::new(texts.collect::<StringViewArray>()))]),
            json!({}),
        ),
        ("words", batch(vec![id(), ("w", Arc::new(words.collect::<StringArray>()))]), json!({})),
        ("lists", batch(vec![id(), ("l", Arc::new(lists))]), json!({})),
        (
            "prices",
            batch(vec![id(), ("p", Arc::new(prices)), ("d", Arc::new(days))]),
            json!({ "compression": "snappy" }),
        ),
        (
            "plain",
            batch(vec![id(), ("o", Arc::new(other))]),
            json!({ "compression": "none", "dictionary": false }),
        ),
        (
            "groups",
            batch(vec![
                id(),
                ("f", Arc::new(Float64Array::from_iter_values((0..1_000).map(f64::from)))),
            ]),
            json!({ "row_group_rows": 200, "page_size_bytes": 1024 }),
        ),
        (
            "bloom",
            batch(vec![
                id(),
                (
                    "b",
                    Arc::new(
                        (0..ROWS)
                            .map(|row| (row % 7 > 0).then_some(row % 2 == 0))
                            .collect::<BooleanArray>(),
                    ),
                ),
            ]),
            json!({ "bloom_filters": ["id"], "compression": "lz4" }),
        ),
    ]
}

fn manager(folder: &FsPath, options: &serde_json::Value) -> ParquetIoManager {
    let store = Store::open("tables", folder, Durability::None, &BTreeMap::new()).expect("a store");
    let options = options.as_object().expect("options");
    ParquetIoManager::new(store, ParquetOptions::default().with(options).expect("options"))
}

/// A table of one shape and where its only file is.
struct Written {
    name: &'static str,
    stored: Arc<StoredTable>,
    file: PathBuf,
    bytes: Vec<u8>,
    rows: RecordBatch,
    trusting: ParquetIoManager,
    careful: ParquetIoManager,
}

async fn written(folder: &FsPath) -> Vec<Written> {
    let mut all = Vec::new();
    for (name, batch, options) in shapes() {
        let trusting = manager(folder, &options);
        let mut options = options;
        options["verify_on_read"] = true.into();
        let careful = manager(folder, &options);
        let version = Version(uuid::Uuid::now_v7());
        let target = WriteTarget::new(TablePath::new([name]).expect("a path"), version);
        let plan = MemorySourceConfig::try_new_exec(&[vec![batch.clone()]], batch.schema(), None);
        let context = SessionContext::new().task_ctx();
        let stored =
            trusting.write(plan.expect("a plan"), context, &target).await.expect("written");
        let file = PathBuf::from(&trusting.locate(&stored)[0]);
        let bytes = std::fs::read(&file).expect("a file");
        let stored = Arc::new(stored);
        let rows = read(&trusting, &stored).await.expect("rows");
        assert_eq!(read(&careful, &stored).await.expect("rows"), rows);
        all.push(Written { name, stored, file, bytes, rows, trusting, careful });
    }
    all
}

/// The rows in the order of the file; an error is what a user would be told.
async fn read(
    manager: &ParquetIoManager,
    stored: &Arc<StoredTable>,
) -> Result<RecordBatch, String> {
    let (manager, stored) = (manager.clone(), Arc::clone(stored));
    // A panic of the decoder fails the step or the request in whose task it happens.
    let task = tokio::spawn(async move {
        let table = manager.provider(&stored).map_err(|e| e.to_string())?;
        let schema = table.schema();
        let in_order = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config(in_order);
        let frame = context.read_table(table).map_err(|e| e.to_string())?;
        let batches = frame.collect().await.map_err(|e| e.to_string())?;
        concat_batches(&schema, &batches).map_err(|e| e.to_string())
    });
    task.await.unwrap_or_else(|panic| Err(format!("the decoder panicked: {panic}")))
}

/// One way to damage a file; the same bytes if chance would have it so.
fn damaged(random: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len();
    match random.u32(..8) {
        // Bits flip, most of them anywhere, some in the footer.
        0..=3 => {
            for _ in 0..random.usize(1..=3) {
                let at = if random.u32(..4) == 0 {
                    random.usize(length - length / 8..length)
                } else {
                    random.usize(..length)
                };
                bytes[at] ^= 1 << random.u32(..8);
            }
        }
        4 => bytes.truncate(random.usize(..length)),
        // A hole, as a file has one whose blocks were never written.
        5 => {
            let start = random.usize(..length);
            let end = (start + random.usize(1..=4096)).min(length);
            bytes[start..end].fill(0);
        }
        // A piece of another file.
        6 => {
            let start = random.usize(..length);
            let count = random.usize(1..=2048).min(length - start).min(other.len());
            let from = random.usize(..=other.len() - count);
            bytes[start..start + count].copy_from_slice(&other[from..from + count]);
        }
        // Another file altogether, cut or filled to the same length, or not.
        _ => {
            bytes = other.to_vec();
            if random.bool() {
                bytes.resize(length, 0);
            }
        }
    }
    bytes
}

#[derive(Debug, Default)]
struct Count {
    refused: usize,
    right: usize,
    wrong: usize,
}

impl Count {
    fn add(&mut self, found: &Result<RecordBatch, String>, rows: &RecordBatch) {
        match found {
            Err(_) => self.refused += 1,
            Ok(found) if found == rows => self.right += 1,
            Ok(_) => self.wrong += 1,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_files_are_named_and_never_read_as_wrong_rows() {
    let seed = std::env::var("ARROWSMITH_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(42);
    let folder = folder();
    let tables = written(folder.path()).await;
    let mut random = Rng::with_seed(seed);
    let (mut trusting, mut careful) = (Count::default(), Count::default());
    for mutant in 0..mutants() {
        let table = &tables[mutant % tables.len()];
        let other = &tables[random.usize(..tables.len())];
        let bytes = damaged(&mut random, &table.bytes, &other.bytes);
        std::fs::write(&table.file, &bytes).expect("a damaged file");
        let at = format!("seed {seed}, mutant {mutant} of `{}`", table.name);
        let is_same = bytes == table.bytes;

        let damage = table.trusting.verify(&table.stored, Depth::Full).await.expect("an answer");
        let named: Vec<&str> = damage.iter().map(|damage| damage.path.as_str()).collect();
        let expected = if is_same { vec![] } else { vec![table.stored.files[0].path.as_str()] };
        assert_eq!(named, expected, "{at}");

        let found = read(&table.careful, &table.stored).await;
        careful.add(&found, &table.rows);
        match &found {
            Ok(rows) => assert!(is_same && *rows == table.rows, "{at}: {rows:?}"),
            Err(error) => {
                let (file, version) =
                    (&table.stored.files[0].path, table.stored.version.to_string());
                let is_told = error.contains(file) && error.contains(&version);
                assert!(is_told && error.contains(table.name), "{at}: {error}");
            }
        }
        trusting.add(&read(&table.trusting, &table.stored).await, &table.rows);
        std::fs::write(&table.file, &table.bytes).expect("a mended file");
    }
    assert_eq!(careful.wrong, 0);
    // The harness can fail: without the guard wrong rows come out, as the format has no checksums.
    assert!(trusting.wrong > 0 && trusting.refused > 0, "{trusting:?}");
    let status = std::fs::read_to_string("/proc/self/status").expect("a status");
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a line");
    let most: u64 = most.trim().trim_end_matches(" kB").parse().expect("a number");
    assert!(most < MEMORY_MAX_KIB, "{most} KiB; {trusting:?}, {careful:?}");
}
