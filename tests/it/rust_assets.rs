//! Rust and SQL assets in one repository, depending on each other both ways.

use std::sync::Arc;

use arrowsmith::arrow::array::{AsArray, RecordBatch};
use arrowsmith::arrow::datatypes::Int64Type;
use arrowsmith::datafusion::functions_aggregate::expr_fn::max;
use arrowsmith::datafusion::prelude::SessionContext;
use arrowsmith::execution::{Engine, EngineOptions, PlanRequest, RunOptions, Silent};
use arrowsmith::instance::RunStatus;
use arrowsmith::prelude::*;
use arrowsmith::{Code, IntoOutput, LoadOptions};
use futures::TryStreamExt;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::folder;

/// Every kind of column that a row type can have.
#[derive(Columns, Debug, Clone, PartialEq)]
struct Everything {
    id: i64,
    small: i16,
    ratio: f64,
    truth: bool,
    text: String,
    maybe: Option<String>,
    day: Date,
    #[column(timezone = "America/New_York")]
    moment: Timestamp,
    price: Decimal<12, 2>,
    list: Vec<i64>,
    maybe_list: Option<Vec<Option<String>>>,
    nested: Point,
    maybe_nested: Option<Point>,
    #[column(name = "type")]
    kind: String,
}

#[derive(Columns, Debug, Clone, PartialEq)]
struct Point {
    x: f64,
    y: Option<f64>,
}

fn rows() -> Vec<Everything> {
    let row = Everything {
        id: 1,
        small: -2,
        ratio: 0.5,
        truth: true,
        text: "ü".to_owned(),
        maybe: Some("here".to_owned()),
        day: Date(15_706),
        moment: Timestamp(1_356_998_400_000_000),
        price: Decimal(1999),
        list: vec![1, 2, 3],
        maybe_list: Some(vec![Some("a".to_owned()), None]),
        nested: Point { x: 1.0, y: None },
        maybe_nested: Some(Point { x: 2.0, y: Some(3.0) }),
        kind: "full".to_owned(),
    };
    let sparse = Everything {
        id: 2,
        maybe: None,
        list: vec![],
        maybe_list: None,
        maybe_nested: None,
        kind: "sparse".to_owned(),
        ..row.clone()
    };
    vec![row, sparse]
}

/// Rows of every type.
#[asset(group = "rust", tags = ["demo"], owners = ["team:data"])]
fn everything() -> Vec<Everything> {
    rows()
}

/// The same rows, read back as what they were.
#[asset(name = "checked.again")]
async fn again(context: AssetContext, everything: Table<Everything>) -> Vec<Everything> {
    context.add_metadata("rows", everything.row_count());
    everything.rows().collect()
}

#[derive(Columns)]
struct Narrow {
    id: i64,
    ratio: f64,
}

/// Reads columns of a SQL asset without copying.
#[asset]
fn ratio_sum(#[input(key = "marts.doubled")] rows: Table<Narrow>) -> Vec<Narrow> {
    let mut sum = Narrow { id: 0, ratio: 0.0 };
    for batch in rows.batches() {
        sum.id += batch.id().values().iter().sum::<i64>();
        sum.ratio += batch.ratio().values().iter().sum::<f64>();
    }
    vec![sum]
}

/// Lazy: the filter is pushed down to the stored files.
#[asset(schema = Narrow)]
async fn filtered(everything: DataFrame) -> datafusion::error::Result<DataFrame> {
    everything.filter(col("id").gt(lit(1_i64)))?.select_columns(&["id", "ratio"])
}

fn repository() -> Repository {
    Repository::new("mixed")
        .with(assets![everything, again, ratio_sum, filtered])
        .with(sql_asset(
            "marts.doubled",
            "select id * 2 as id, ratio * 2 as ratio, text from everything",
        ))
        .with(sql_asset("marts.total", "select sum(ratio) as total from ratio_sum"))
}

async fn run(repository: &Repository, folder: &TempDir) -> Arc<Engine> {
    let engine = Engine::open(repository, EngineOptions::new(folder.path())).await;
    let engine = Arc::new(engine.expect("a sound repository"));
    let plan = engine.plan("").await.expect("a plan");
    let options = RunOptions::default();
    let report = engine.run(plan, options, CancellationToken::new(), Arc::new(Silent)).await;
    let report = report.expect("a report");
    let steps = engine.instance.steps(report.run_id).await.expect("steps");
    assert_eq!(report.status, RunStatus::Success, "{steps:?}");
    engine
}

async fn stored_rows(engine: &Engine, key: &str) -> Vec<RecordBatch> {
    let table = engine.table(&key.parse().expect("a key")).await.expect("a table");
    let session = SessionContext::new();
    session.read_table(table).expect("a frame").collect().await.expect("rows")
}

#[tokio::test]
async fn rust_and_sql_assets_depend_on_each_other_both_ways() {
    let folder = folder();
    let engine = run(&repository(), &folder).await;
    let total = stored_rows(&engine, "marts.total").await;
    let total = arrow::util::pretty::pretty_format_batches(&total).expect("text");
    assert!(total.to_string().contains("2.0"), "{total}");
    let made =
        engine.current(&"checked.again".parse().expect("a key")).await.expect("made").remove(0);
    assert_eq!(made.metadata["rows"], 2);
    assert!(made.inputs.contains_key("everything"));
    let read = stored_rows(&engine, "checked.again").await;
    let read: Vec<Everything> = read
        .iter()
        .flat_map(|batch| {
            let view = Everything::view(batch.columns());
            (0..batch.num_rows()).map(|i| Everything::row(&view, i)).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(read, rows());
    let filtered = stored_rows(&engine, "filtered").await;
    assert_eq!(filtered.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}

#[tokio::test]
async fn a_typed_input_reads_only_its_columns() {
    #[derive(Columns)]
    struct Three {
        c1: i64,
        c3: i64,
        c5: i64,
    }
    let folder = folder();
    let columns = (0..40).map(|i| format!("v.value * {i} as c{i}")).collect::<Vec<_>>().join(", ");
    let wide = format!("select {columns} from generate_series(1, 20000) as v(value)");
    let repository = Repository::new("wide").with(sql_asset("wide", &wide));
    let engine = run(&repository, &folder).await;
    let table = engine.table(&"wide".parse().expect("a key")).await.expect("a table");
    let input = arrowsmith::BoundInput::new("wide", "wide", table);
    let info = arrowsmith::StepInfo::default();
    let context = arrowsmith::ComputeContext::new(info, Arc::clone(engine.session()));
    let context = context.with_inputs(vec![input]);
    let fields = Three::fields();
    let frame = arrowsmith::scan_as("wide", &context, &fields).expect("a frame");
    let plan = frame.create_physical_plan().await.expect("a plan");
    let shown = datafusion::physical_plan::displayable(plan.as_ref()).indent(true);
    let shown = shown.to_string();
    assert!(shown.contains("projection=[c1, c3, c5]"), "{shown}");
    let stream =
        datafusion::physical_plan::execute_stream(Arc::clone(&plan), engine.session().task_ctx());
    let read: Vec<_> = stream.expect("a stream").try_collect().await.expect("rows");
    assert_eq!(read.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
    let scanned = bytes_scanned(plan.as_ref());
    let made = engine.current(&"wide".parse().expect("a key")).await.expect("made").remove(0);
    let share = scanned as f64 / made.stored.size_bytes as f64;
    assert!(share < 0.25, "3 of 40 columns took {share:.2} of the bytes");
}

fn bytes_scanned(plan: &dyn datafusion::physical_plan::ExecutionPlan) -> usize {
    let own = plan.metrics().and_then(|m| m.sum_by_name("bytes_scanned")).map(|v| v.as_usize());
    own.unwrap_or(0) + plan.children().iter().map(|c| bytes_scanned(c.as_ref())).sum::<usize>()
}

#[track_caller]
fn problems(repository: &Repository) -> Vec<(Code, String)> {
    let problems = Engine::check(repository, &LoadOptions::new("/nowhere"));
    let problems = problems.expect_err("problems");
    problems.0.into_iter().map(|d| (d.code, d.message)).collect()
}

#[test]
fn a_typed_input_that_does_not_fit_is_told_before_anything_runs() {
    #[derive(Columns)]
    struct Wrong {
        idd: i64,
        text: i64,
        ratio: f64,
    }
    #[asset]
    fn reader(source: Table<Wrong>) -> Vec<Wrong> {
        source.rows().collect()
    }
    let repository = Repository::new("wrong").with(assets![reader]).with(sql_asset(
        "source",
        "select 1 as id, 'a' as text, case when true then 0.5 else null end as ratio",
    ));
    let told = problems(&repository);
    assert_eq!(
        told,
        [
            (
                Code::Contract,
                "input `source` of `reader` needs column `idd`, which `source` does not have".to_owned()
            ),
            (
                Code::Contract,
                "input `source` of `reader` needs column `text` as Int64, but in `source` it is Utf8"
                    .to_owned()
            ),
        ]
    );
}

#[test]
fn a_result_whose_columns_are_not_known_is_a_warning_of_its_reader() {
    let untyped = FunctionAsset::new([], || async { Vec::<RecordBatch>::new() })
        .into_asset("untyped".parse().expect("a key"));
    let repository =
        Repository::new("untyped").with(untyped).with(sql_asset("reader", "select a from untyped"));
    let resolved = Engine::check(&repository, &LoadOptions::new("/nowhere"));
    let warnings = resolved.expect("no error").warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].code, Code::UnknownSchema);
}

#[test]
fn result_types_say_their_columns() {
    assert!(<Vec<Narrow> as IntoOutput>::schema().is_some());
    assert!(<Result<Table<Narrow>, BoxError> as IntoOutput>::schema().is_some());
    assert!(<DataFrame as IntoOutput>::schema().is_none());
}

/// A function is told which partitions it makes, and makes no others.
#[tokio::test]
async fn a_function_makes_the_partitions_that_it_is_asked_for() {
    #[derive(Columns, Debug, Clone, PartialEq)]
    struct Made {
        kind: String,
        keys: i64,
    }
    #[asset]
    fn honest(context: AssetContext) -> Vec<Made> {
        let keys = context.partition_keys();
        let count = i64::try_from(keys.len()).expect("a few");
        keys.into_iter().map(|kind| Made { kind, keys: count }).collect()
    }
    #[asset]
    fn generous() -> Vec<Made> {
        ["a", "b"].map(|kind| Made { kind: kind.to_owned(), keys: 0 }).to_vec()
    }
    let kinds = || Partitions::listed(["a", "b", "c"]).by_column("kind");
    let repository = Repository::new("kinds")
        .with(honest::asset().with_partitions(kinds().with_policy(BackfillPolicy::MultiRun(2))))
        .with(generous::asset().with_partitions(kinds()));
    let folder = folder();
    let options = EngineOptions::new(folder.path()).without_instance();
    let engine = Arc::new(Engine::open(&repository, options).await.expect("an engine"));
    let ran = |set: &str, asset: &str| {
        let request = PlanRequest::new(asset).with_partitions(set.parse().expect("a set"));
        let engine = Arc::clone(&engine);
        async move {
            let plan = engine.plan_request(&request).await.expect("a plan");
            let options = RunOptions::default();
            engine.run(plan, options, CancellationToken::new(), Arc::new(Silent)).await
        }
    };
    let report = ran("all", "honest").await.expect("a report");
    assert_eq!(report.steps.get("success"), Some(&2), "two of two and one");
    let key = "honest".parse().expect("a key");
    let known = engine.partitions(&key).await.expect("partitions").expect("some");
    assert_eq!(known.materialized.len(), 3);
    // Rows of another partition are no slip of a query: the function was told what to make.
    let report = ran("a", "generous").await.expect("a report");
    assert_eq!(report.status, RunStatus::Failure);
    let steps = engine.instance.steps(report.run_id).await.expect("steps");
    let reason = steps[0].reason.clone().unwrap_or_default();
    assert!(reason.contains("`kind` is b belongs to another partition"), "{reason}");
    let report = ran("a,b", "generous").await.expect("a report");
    assert_eq!(report.status, RunStatus::Success);
}

/// The columns of its own earlier days are those of its result.
#[tokio::test]
async fn a_function_reads_its_own_day_before() {
    #[derive(Columns, Debug, Clone, PartialEq)]
    struct Day {
        day: String,
        doubled: i64,
    }
    #[asset]
    fn doubling(context: AssetContext, doubling: Table<Day>) -> Vec<Day> {
        let before = doubling.rows().map(|row| row.doubled).max().unwrap_or(1);
        let days = context.partition_keys().into_iter();
        days.map(|day| Day { day, doubled: before * 2 }).collect()
    }
    let days = Partitions::time(TimeWindows::new(
        Cadence::Daily,
        jiff::civil::datetime(2024, 1, 1, 0, 0, 0, 0),
    ))
    .by_column("day");
    let before = PartitionMapping::TimeWindow { start_offset: -1, end_offset: -1 };
    let asset = doubling::asset().with_partitions(days).with_mapping("doubling", before);
    let folder = folder();
    let options = EngineOptions::new(folder.path()).without_instance();
    let repository = Repository::new("days").with(asset);
    let engine = Arc::new(Engine::open(&repository, options).await.expect("an engine"));
    let set = "2024-01-01...2024-01-10".parse().expect("a set");
    let request = PlanRequest::new("doubling").with_partitions(set);
    let plan = engine.plan_request(&request).await.expect("a plan");
    let (options, silent) = (RunOptions::default(), Arc::new(Silent));
    let report = Arc::clone(&engine).run(plan, options, CancellationToken::new(), silent).await;
    assert_eq!(report.expect("a report").steps.get("success"), Some(&10));
    let key = "doubling".parse().expect("a key");
    let rows = engine.table(&key).await.expect("a table");
    let frame = SessionContext::new().read_table(rows).expect("a frame");
    let largest = frame.aggregate(vec![], vec![max(col("doubled"))]).expect("a query");
    let largest = largest.collect().await.expect("rows");
    assert_eq!(largest[0].column(0).as_primitive::<Int64Type>().value(0), 1024);
}
