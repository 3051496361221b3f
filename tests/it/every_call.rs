//! T1: each call of a run to its store and each of its transactions fails once, in every way.
//!
//! A process materializes three tables a second time, and one of its calls fails, does its work and
//! then fails, never returns, or takes the process with it. Afterwards this process looks, as a user
//! would: every run has ended truthfully, every table is whole, old or new as its run says, what was
//! acknowledged is there, the next run succeeds, and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrowsmith::Limits;
use arrowsmith::arrow::array::{AsArray, RecordBatch};
use arrowsmith::arrow::datatypes::Int64Type;
use arrowsmith::datafusion::prelude::SessionContext;
use arrowsmith::execution::{Engine, EngineOptions, RunOptions, Silent};
use arrowsmith::instance::{Error, Instance, Interrupt, Result, RunStatus};
use arrowsmith::io::{Depth, Durability, ParquetIoManager, ParquetOptions, Store};
use arrowsmith::prelude::*;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::faults::{Fault, Faulty, Plan};
use crate::support::folder;

const ASSETS: [&str; 3] = ["rows", "sums", "both"];
const ROWS: i64 = 500;
/// Where the child finds what it is to do.
const CHILD: &str = "ARROWSMITH_EVERY_CALL";
const ACKNOWLEDGED: &str = "acknowledged: ";
/// How long a process may take; none is waited for without a limit.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Where {
    Store,
    Instance,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum How {
    Before,
    After,
    Stall,
    CrashBefore,
    CrashAfter,
}

impl How {
    const ALL: [Self; 5] =
        [Self::Before, Self::After, Self::Stall, Self::CrashBefore, Self::CrashAfter];

    fn fault(self) -> Fault {
        match self {
            Self::Before => Fault::Before,
            Self::After => Fault::After,
            Self::Stall => Fault::Stall,
            Self::CrashBefore => Fault::CrashBefore,
            Self::CrashAfter => Fault::CrashAfter,
        }
    }
}

/// How long the calls to a store take: the instance learns of a quick attempt when it publishes, and of a
/// slow one before.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
enum Pace {
    Quick,
    Slow,
}

/// What a child is told, and what it tells when it comes to its end.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    home: String,
    pace: Pace,
    faults: Vec<(Where, usize, How)>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Told {
    calls: BTreeMap<String, usize>,
    is_success: bool,
}

/// Fails transactions by a plan.
#[derive(Debug)]
struct Failing(Arc<Plan>, std::sync::Mutex<Option<Fault>>);

#[async_trait]
impl Interrupt for Failing {
    async fn before(&self) -> Result<()> {
        let fault = self.0.next();
        *self.1.lock().expect("a fault") = fault;
        match fault {
            Some(Fault::Before) => Err(Error::Lost),
            Some(Fault::Stall) => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn after(&self) -> Result<()> {
        match self.1.lock().expect("a fault").take() {
            Some(Fault::After) => Err(Error::Lost),
            Some(Fault::CrashAfter) => std::process::abort(),
            _ => Ok(()),
        }
    }
}

/// Three tables, one of which reads the others; each says of which generation it is.
fn repository(home: &Path, generation: i64, plan: Option<&Arc<Plan>>) -> Repository {
    let store = Store::open("warehouse", home, Durability::None, &BTreeMap::new());
    let mut store = store.expect("a store");
    if let Some(plan) = plan {
        let plan = Arc::clone(plan);
        store = store.wrapped(|inner| Arc::new(Faulty { inner, plan }));
    }
    let rows = format!(
        "select v.value as n, {generation} as g from generate_series(1, {ROWS}) as v(value)"
    );
    let sums =
        format!("select g, sum(n) as n from rows where {generation} = {generation} group by g");
    let both = format!("select r.n, s.g from rows r, sums s where {generation} = {generation}");
    let manager = ParquetIoManager::new(store, ParquetOptions::default());
    let quick = Limits { step_timeout: Some(Duration::from_secs(1)), ..Limits::default() };
    Repository::new("every_call")
        .with_limits(quick)
        .with_io_manager("default", Arc::new(manager))
        .with(sql_asset("rows", &rows))
        .with(sql_asset("sums", &sums))
        .with(sql_asset("both", &both))
}

async fn run(engine: Engine) -> Option<RunStatus> {
    let engine = Arc::new(engine);
    let plan = engine.plan("").await.ok()?;
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    report.ok().map(|report| report.status)
}

/// What the child does: the second generation, with a fault. Without an order this is no test.
#[tokio::test(flavor = "multi_thread")]
async fn child_of_every_call() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let order: Order = serde_json::from_str(&order).expect("an order");
    let home = Path::new(&order.home);
    let first = repository(home, 0, None);
    let engine = Engine::open(&first, EngineOptions::new(home)).await.expect("an engine");
    assert_eq!(run(engine).await, Some(RunStatus::Success));

    let pause = match order.pace {
        Pace::Quick => Duration::ZERO,
        Pace::Slow => Duration::from_millis(15),
    };
    let of_store = Arc::new(Plan::paced(pause));
    let of_instance = Arc::new(Plan::default());
    let second = repository(home, 1, Some(&of_store));
    let failing = Arc::new(Failing(Arc::clone(&of_instance), std::sync::Mutex::default()));
    let instance = Instance::open_interrupted(home, failing).await.expect("an instance");
    let options = EngineOptions { instance: Some(instance), ..EngineOptions::new(home) };
    let engine = Engine::open(&second, options).await.expect("an engine");
    let at = |here: Where| {
        let of_this = order.faults.iter().find(|of| of.0 == here);
        of_this.map(|of| (of.1, of.2.fault()))
    };
    of_store.set(at(Where::Store));
    of_instance.set(at(Where::Instance));
    let status = run(engine).await;
    let calls = BTreeMap::from([
        ("Store".to_owned(), of_store.calls.load(Ordering::SeqCst)),
        ("Instance".to_owned(), of_instance.calls.load(Ordering::SeqCst)),
    ]);
    let told = Told { calls, is_success: status == Some(RunStatus::Success) };
    #[expect(clippy::print_stdout, reason = "that is how the parent hears of it")]
    {
        println!("\n{ACKNOWLEDGED}{}", serde_json::to_string(&told).expect("told"));
    }
}

/// Runs the child; what it told, if it came to that.
fn child(home: &Path, pace: Pace, faults: &[(Where, usize, How)]) -> Option<Told> {
    let order = Order { home: home.display().to_string(), pace, faults: faults.to_vec() };
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", "every_call::child_of_every_call", "--nocapture"]);
    command.env(CHILD, serde_json::to_string(&order).expect("an order"));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null());
    let mut process = command.spawn().expect("a process");
    let began = std::time::Instant::now();
    while process.try_wait().expect("a state").is_none() {
        assert!(began.elapsed() < PATIENCE, "{faults:?}: the run does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
    let out = process.wait_with_output().expect("an end").stdout;
    let out = String::from_utf8_lossy(&out);
    let told = out.lines().find_map(|line| line.strip_prefix(ACKNOWLEDGED));
    told.map(|told| serde_json::from_str(told).expect("told"))
}

/// The generation of a table and its number of rows.
async fn look(engine: &Engine, asset: &str) -> (BTreeSet<i64>, usize) {
    let table = engine.table(&asset.parse().expect("a key")).await.expect("a table");
    let frame = SessionContext::new().read_table(table).expect("a frame");
    let batches = frame.collect().await.expect("rows");
    let generations = batches.iter().flat_map(|batch| {
        batch.column_by_name("g").expect("a column").as_primitive::<Int64Type>().values().to_vec()
    });
    (generations.collect(), batches.iter().map(RecordBatch::num_rows).sum())
}

/// What must hold after a fault, whatever it was. An error says what does not.
async fn judge(home: &Path, told: Option<&Told>) -> std::result::Result<(), String> {
    let options = EngineOptions::new(home);
    let engine = Engine::open(&repository(home, 1, None), options).await.expect("an engine");
    let runs = engine.instance.runs(10).await.expect("runs");
    if let Some(open) = runs.iter().find(|run| !run.status.is_final()) {
        return Err(format!("P12: run {} is {}", open.run_id, open.status.as_str()));
    }
    let damaged = engine.fsck(Depth::Full).await.expect("an answer");
    if !damaged.findings.is_empty() {
        return Err(format!("P7: {:?}", damaged.findings));
    }
    let mut new = BTreeSet::new();
    for asset in ASSETS {
        let (generations, count) = look(&engine, asset).await;
        let expected = if asset == "sums" { 1 } else { usize::try_from(ROWS).expect("rows") };
        if generations.len() != 1 || count != expected {
            return Err(format!("P1: `{asset}` has {count} rows of {generations:?}"));
        }
        if generations.contains(&1) {
            new.insert(asset);
        }
    }
    // The second run is known unless it failed before it was begun.
    if let Some(second) = runs.iter().max_by_key(|run| run.created_at).filter(|_| runs.len() > 1) {
        // A process that was killed between its last table and its last word has failed.
        let is_crashed = second.error.as_deref() == Some("its process ended without a word");
        let is_success = second.status == RunStatus::Success;
        if is_success != (new.len() == ASSETS.len()) && !is_crashed {
            return Err(format!("P4: the run is {}, new is {new:?}", second.status.as_str()));
        }
        for step in engine.instance.steps(second.run_id).await.expect("steps") {
            let is_success = step.state.as_str() == "success";
            if is_success != new.contains(step.step_key.as_str()) {
                let (key, state) = (&step.step_key, step.state.as_str());
                return Err(format!("P4: step `{key}` is {state}, new is {new:?}"));
            }
        }
    } else if !new.is_empty() {
        return Err(format!("P4: {new:?} are of a run that nobody knows"));
    }
    if told.is_some_and(|told| told.is_success) && new.len() < ASSETS.len() {
        return Err(format!("P3: acknowledged, and only {new:?} are new"));
    }
    drop(engine);
    let next = Engine::open(&repository(home, 2, None), EngineOptions::new(home)).await;
    let next = next.expect("an engine");
    if run(next).await != Some(RunStatus::Success) {
        return Err("the next run does not succeed".to_owned());
    }
    let options = EngineOptions::new(home);
    let engine = Engine::open(&repository(home, 2, None), options).await.expect("an engine");
    for _ in 0..2 {
        engine.vacuum(Duration::ZERO, false).await.expect("a vacuum");
    }
    for asset in ASSETS {
        let versions = std::fs::read_dir(home.join("warehouse").join(asset)).expect("a folder");
        let left = versions.count();
        if left != 1 || look(&engine, asset).await.0 != BTreeSet::from([2]) {
            return Err(format!("P8: {left} versions of `{asset}` are left"));
        }
    }
    Ok(())
}

async fn every(here: Where, pace: Pace) {
    let counted = folder();
    let told = child(counted.path(), pace, &[]).expect("a run without a fault");
    judge(counted.path(), Some(&told)).await.expect("without a fault");
    let calls = told.calls[&format!("{here:?}")];
    let expected = match pace {
        Pace::Quick => 5,
        Pace::Slow => 7,
    };
    assert!(told.is_success && calls >= expected, "{told:?}");
    let mut violations = Vec::new();
    // A read of a store that fails after it was carried out is one that fails.
    for how in How::ALL {
        for call in 0..calls {
            let home = folder();
            let told = child(home.path(), pace, &[(here, call, how)]);
            if let Err(violation) = judge(home.path(), told.as_ref()).await {
                violations.push(format!("{how:?} at call {call} of {calls}: {violation}"));
            }
        }
    }
    assert!(violations.is_empty(), "{here:?}:\n{}", violations.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_every_single_fault_of_its_store() {
    every(Where::Store, Pace::Quick).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_every_single_fault_of_its_instance() {
    every(Where::Instance, Pace::Quick).await;
    every(Where::Instance, Pace::Slow).await;
}

/// Two faults in one run, of its store and of its instance; `ARROWSMITH_FAULT_PAIRS` of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_survives_pairs_of_faults() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let pairs = number("ARROWSMITH_FAULT_PAIRS").unwrap_or(20);
    let seed = number("ARROWSMITH_SEED").unwrap_or(42);
    let counted = folder();
    let told = child(counted.path(), Pace::Quick, &[]).expect("a run without a fault");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut violations = Vec::new();
    for _ in 0..pairs {
        let faults = [Where::Store, Where::Instance].map(|here| {
            let calls = told.calls[&format!("{here:?}")];
            (here, random.usize(..calls), How::ALL[random.usize(..How::ALL.len())])
        });
        let home = folder();
        let told = child(home.path(), Pace::Quick, &faults);
        if let Err(violation) = judge(home.path(), told.as_ref()).await {
            violations.push(format!("{faults:?}: {violation}"));
        }
    }
    assert!(violations.is_empty(), "seed {seed}:\n{}", violations.join("\n"));
}

/// The harness can fail: each guard that is taken away behind its back is missed.
#[tokio::test(flavor = "multi_thread")]
async fn what_faults_could_do_is_seen() {
    let violated = async |break_it: &dyn Fn(&Path)| -> String {
        let home = folder();
        let told = child(home.path(), Pace::Quick, &[]).expect("a run");
        break_it(home.path());
        judge(home.path(), Some(&told)).await.expect_err("a violation")
    };
    let files = |home: &Path| {
        let versions = std::fs::read_dir(home.join("warehouse/rows")).expect("a folder").flatten();
        let mut versions: Vec<_> = versions.map(|version| version.path()).collect();
        versions.sort();
        let newest = versions.last().expect("a version").clone();
        let files = std::fs::read_dir(newest).expect("a folder").flatten().map(|file| file.path());
        files.filter(|file| file.extension() == Some("parquet".as_ref())).collect::<Vec<_>>()
    };
    let cut = |home: &Path| {
        let file = files(home).remove(0);
        let bytes = std::fs::read(&file).expect("a file");
        std::fs::write(&file, &bytes[..bytes.len() - 1]).expect("a cut file");
    };
    assert!(violated(&cut).await.starts_with("P7"));
    let gone = |home: &Path| {
        std::fs::remove_file(files(home).remove(0)).expect("removed");
    };
    assert!(violated(&gone).await.starts_with("P7"));
}
