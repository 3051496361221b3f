//! The contract of [`IoManager`] as a suite that any manager, ours or a user's, must pass.
//!
//! A manager's own test is one call: `conformance::check(&manager).await`.
//! Each part panics with what was expected and what was found.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a suite of assertions fails by panicking")]

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    ListArray, StringArray, StructArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionContext, col, lit};
use uuid::Uuid;

use crate::{Depth, IoManager, PartitionedWrite, StoredTable, TablePath, Version, WriteTarget};

/// Runs every part of the suite.
pub async fn check(manager: Arc<dyn IoManager>) {
    round_trip(&*manager).await;
    empty_table(&*manager).await;
    projection_filter_and_limit(&*manager).await;
    partitioned_by_columns(&*manager).await;
    partitions_are_read_one_by_one(&*manager).await;
    versions_are_immutable(&*manager).await;
    failed_query_is_an_error(&*manager).await;
    removal_leaves_nothing(&*manager).await;
}

/// Every type that a SQL asset commonly has comes back equal, nulls included.
pub async fn round_trip(manager: &dyn IoManager) {
    let batch = every_type();
    let stored = write(manager, "round_trip", vec![vec![batch.clone()], vec![batch.clone()]]).await;
    assert_eq!(stored.row_count, 6, "rows of both partitions are counted");
    let found = read(manager, &stored, None).await;
    let expected = concat_batches(&batch.schema(), [&batch, &batch]).unwrap();
    assert_same_rows(&found, &expected);
    assert!(manager.verify(&stored, Depth::Full).await.unwrap().is_empty(), "an intact version");
}

/// A table without rows keeps its columns.
pub async fn empty_table(manager: &dyn IoManager) {
    let schema = every_type().schema();
    let stored = write(manager, "empty", vec![vec![RecordBatch::new_empty(schema.clone())]]).await;
    assert_eq!(stored.row_count, 0);
    let found = read(manager, &stored, None).await;
    assert_eq!((found.num_rows(), found.num_columns()), (0, schema.fields().len()));
}

/// What is pushed down changes nothing in the answer.
pub async fn projection_filter_and_limit(manager: &dyn IoManager) {
    let stored =
        write(manager, "pushdown", vec![vec![numbers(0..500)], vec![numbers(500..1000)]]).await;
    let context = SessionContext::new();
    let table = manager.provider(&Arc::new(stored)).unwrap();
    let frame = context.read_table(table).unwrap();
    let filtered = frame.clone().filter(col("id").gt_eq(lit(990_i64))).unwrap();
    let found = filtered.select_columns(&["square"]).unwrap().collect().await.unwrap();
    let squares: Vec<i64> = found
        .iter()
        .flat_map(|b| b.column(0).as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec())
        .collect();
    let mut sorted = squares;
    sorted.sort_unstable();
    assert_eq!(sorted, (990..1000).map(|i| i * i).collect::<Vec<i64>>());
    let limited = frame.limit(0, Some(7)).unwrap().collect().await.unwrap();
    assert_eq!(limited.iter().map(RecordBatch::num_rows).sum::<usize>(), 7);
}

/// Hive columns keep their values, among them null and text that is no file name.
pub async fn partitioned_by_columns(manager: &dyn IoManager) {
    let schema = Arc::new(Schema::new(vec![
        Field::new("place", DataType::Utf8, true),
        Field::new("id", DataType::Int64, false),
    ]));
    let places =
        vec![Some("a/b"), None, Some("ü=%"), Some("__HIVE_DEFAULT_PARTITION__"), Some("x")];
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(places)), Arc::new(Int64Array::from_iter_values(0..5))];
    let batch = RecordBatch::try_new(schema, columns).unwrap();
    let mut target = target("partitioned");
    target.partition_by = vec!["place".to_owned()];
    let stored = write_to(manager, &target, vec![vec![batch.clone()]]).await;
    let found = read(manager, &stored, None).await;
    assert_same_rows(&found, &batch);
}

/// The rows of each partition can be read alone, and beside those of another version.
/// A manager that stores none is not asked.
pub async fn partitions_are_read_one_by_one(manager: &dyn IoManager) {
    if !manager.stores_partitions() {
        return;
    }
    let keys: Arc<[String]> = ["2013-01-01", "a/b|ü", "empty", ".."].map(str::to_owned).into();
    let index = UInt32Array::from(vec![1, 0, 1, 0, 3]);
    let mut batch = numbers(0..5);
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        columns.push((field.name().clone(), Arc::clone(column)));
    }
    columns.push(("partition".to_owned(), Arc::new(index)));
    batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut target = target("keys");
    let column = "partition".to_owned();
    target.partitions = Some(PartitionedWrite { column, keys: Arc::clone(&keys) });
    let both = vec![vec![batch.slice(0, 2)], vec![batch.slice(2, 3)]];
    let stored = write_to(manager, &target, both).await;
    assert_eq!(stored.partitions, *keys, "partitions without rows are partitions as well");
    let all = read(manager, &stored, None).await;
    assert_same_rows(&all, &numbers(0..5));
    let ids = |batch: &RecordBatch| {
        let ids = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>();
        let mut ids: Vec<i64> = ids.values().to_vec();
        ids.sort_unstable();
        ids
    };
    for (key, expected) in [(0, vec![1, 3]), (1, vec![0, 2]), (2, vec![]), (3, vec![4])] {
        let part = stored.only(&HashSet::from([keys[key].as_str()]));
        assert_eq!(part.row_count, expected.len() as u64);
        assert_eq!(ids(&read(manager, &part, None).await), expected, "{}", keys[key]);
    }
    let other = Arc::new(write(manager, "keys", vec![vec![numbers(10..12)]]).await);
    let part = Arc::new(stored.only(&HashSet::from([keys[1].as_str()])));
    let schema = numbers(0..1).schema();
    let table = manager.provider_of(&[part, other], Arc::clone(&schema)).unwrap();
    let frame = SessionContext::new().read_table(table).unwrap();
    let frame = frame.filter(col("id").not_eq(lit(2_i64))).unwrap();
    let found = concat_batches(&schema, &frame.collect().await.unwrap()).unwrap();
    assert_eq!(ids(&found), [0, 10, 11]);
}

/// A second version does not touch the first.
pub async fn versions_are_immutable(manager: &dyn IoManager) {
    let first = write(manager, "twice", vec![vec![numbers(0..3)]]).await;
    let second = write(manager, "twice", vec![vec![numbers(0..5)]]).await;
    assert_eq!(read(manager, &first, None).await.num_rows(), 3);
    assert_eq!(read(manager, &second, None).await.num_rows(), 5);
}

/// A query that fails half-way is an error of the query, and leaves nothing that is finished.
pub async fn failed_query_is_an_error(manager: &dyn IoManager) {
    let context = SessionContext::new();
    context.register_batch("numbers", numbers(0..10)).unwrap();
    let frame = context.sql("select 10 / (id - 7) as x from numbers").await.unwrap();
    let plan = frame.create_physical_plan().await.unwrap();
    let target = target("failed");
    let error = manager.write(plan, context.task_ctx(), &target).await.unwrap_err();
    assert!(matches!(error, crate::Error::Query { .. }), "{error:?}");
    for entry in manager.versions().await.unwrap() {
        if entry.version == target.version {
            assert!(manager.manifest(&entry).await.unwrap().is_none(), "no manifest was sealed");
        }
    }
}

/// After a removal the version is neither listed nor readable.
pub async fn removal_leaves_nothing(manager: &dyn IoManager) {
    let stored = write(manager, "removed", vec![vec![numbers(0..3)]]).await;
    let listed = manager.versions().await.unwrap();
    let entry = listed.iter().find(|e| e.version == stored.version);
    let entry = entry.unwrap_or_else(|| panic!("{} is not listed", stored.version));
    assert_eq!(manager.manifest(entry).await.unwrap().as_ref(), Some(&stored));
    manager.remove(entry).await.unwrap();
    assert!(manager.versions().await.unwrap().iter().all(|e| e.version != stored.version));
    assert!(!manager.verify(&stored, Depth::Size).await.unwrap().is_empty(), "it is missed");
}

fn target(name: &str) -> WriteTarget {
    let path = TablePath::new(["conformance", name]).unwrap();
    let mut target = WriteTarget::new(path, Version(Uuid::now_v7()));
    target.labels.insert("asset".to_owned(), name.to_owned());
    target
}

async fn write(
    manager: &dyn IoManager,
    name: &str,
    partitions: Vec<Vec<RecordBatch>>,
) -> StoredTable {
    write_to(manager, &target(name), partitions).await
}

async fn write_to(
    manager: &dyn IoManager,
    target: &WriteTarget,
    partitions: Vec<Vec<RecordBatch>>,
) -> StoredTable {
    let schema = partitions[0][0].schema();
    let plan: Arc<dyn ExecutionPlan> =
        MemorySourceConfig::try_new_exec(&partitions, schema, None).unwrap();
    manager.write(plan, SessionContext::new().task_ctx(), target).await.unwrap()
}

async fn read(
    manager: &dyn IoManager,
    stored: &StoredTable,
    columns: Option<&[&str]>,
) -> RecordBatch {
    let table = manager.provider(&Arc::new(stored.clone())).unwrap();
    let schema = table.schema();
    let frame = SessionContext::new().read_table(table).unwrap();
    let frame = match columns {
        Some(columns) => frame.select_columns(columns).unwrap(),
        None => frame,
    };
    let batches = frame.collect().await.unwrap();
    match batches.first() {
        Some(first) => concat_batches(&first.schema(), &batches).unwrap(),
        None => RecordBatch::new_empty(schema),
    }
}

/// Compares rows as text, in the order of the column `id`.
fn assert_same_rows(found: &RecordBatch, expected: &RecordBatch) {
    let shown = |batch: &RecordBatch| {
        let at = batch.schema().index_of("id").unwrap();
        let order = sort_to_indices(batch.column(at), None, None).unwrap();
        let sorted = take_record_batch(batch, &order).unwrap();
        pretty_format_batches(&[sorted]).unwrap().to_string()
    };
    assert_eq!(shown(found), shown(expected));
}

fn numbers(range: std::ops::Range<i64>) -> RecordBatch {
    let squares = Int64Array::from_iter_values(range.clone().map(|i| i * i));
    let ids = Int64Array::from_iter_values(range);
    RecordBatch::try_from_iter([
        ("id", Arc::new(ids) as ArrayRef),
        ("square", Arc::new(squares) as ArrayRef),
    ])
    .unwrap()
}

fn every_type() -> RecordBatch {
    let point = StructArray::from(vec![(
        Arc::new(Field::new("x", DataType::Float64, true)),
        Arc::new(Float64Array::from(vec![Some(0.5), None, Some(-0.0)])) as ArrayRef,
    )]);
    let list = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
    ]);
    let decimal = Decimal128Array::from(vec![Some(12_345), None, Some(-1)]);
    let moments = TimestampMicrosecondArray::from(vec![Some(1), None, Some(-1)]);
    RecordBatch::try_from_iter_with_nullable([
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, false),
        ("truth", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])), true),
        ("text", Arc::new(StringArray::from(vec![Some("ü'\n"), None, Some("")])), true),
        ("day", Arc::new(Date32Array::from(vec![Some(15_706), None, Some(-1)])), true),
        ("price", Arc::new(decimal.with_precision_and_scale(12, 2).unwrap()), true),
        ("moment", Arc::new(moments.with_timezone("America/New_York")), true),
        ("points", Arc::new(point), true),
        ("counts", Arc::new(list), true),
    ])
    .unwrap()
}
