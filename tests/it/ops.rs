//! Ops, graphs and jobs: the general layer under assets, through the library.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrowsmith::execution::{
    Engine, EngineOptions, JobRequest, Reexecute, RunOptions, RunReport, Silent,
};
use arrowsmith::instance::{RunStatus, StepState};
use arrowsmith::prelude::*;
use arrowsmith::{BoxError, Entry, Outputs};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::folder;

#[op]
pub(crate) fn return_one() -> i64 {
    1
}

#[op]
pub(crate) async fn add_one(n: i64) -> i64 {
    n + 1
}

#[graph]
pub(crate) fn linear() -> Handle<i64> {
    add_one(add_one(add_one(return_one())))
}

/// A graph of graphs: `linear` twice, and one more.
#[graph]
fn nested() -> Handle<i64> {
    total(vec![linear(), add_one(linear()).alias("last")])
}

#[op]
pub(crate) fn total(numbers: Vec<i64>) -> i64 {
    numbers.iter().sum()
}

struct Ran {
    engine: Arc<Engine>,
    report: RunReport,
    _folder: TempDir,
}

impl Ran {
    async fn states(&self) -> BTreeMap<String, StepState> {
        let steps = self.engine.instance.steps(self.report.run_id).await.expect("steps");
        steps.into_iter().map(|step| (step.step_key, step.state)).collect()
    }

    async fn value<T: arrowsmith::OpValue>(&self, step: &str, output: &str) -> T {
        let found = self.engine.output::<T>(self.report.run_id, step, output).await;
        found.expect("an output")
    }

    async fn kinds(&self, step: &str) -> Vec<String> {
        let events = self.engine.instance.events(self.report.run_id, 0).await.expect("events");
        let of_step = events.iter().filter(|e| e.step_key.as_deref() == Some(step));
        of_step.map(|e| e.event.kind().to_owned()).collect()
    }

    async fn reexecute(&mut self, which: Reexecute) -> Vec<String> {
        let run = self.report.run_id.to_string();
        let plan = self.engine.plan_reexecution(&run, &which).await.expect("a plan");
        let keys = plan.steps.iter().map(|step| step.key.clone()).collect();
        let cancel = CancellationToken::new();
        let options = RunOptions::default();
        let report = self.engine.run(plan, options, cancel, Arc::new(Silent)).await;
        self.report = report.expect("a report");
        keys
    }
}

async fn engine(folder: &Path, repository: &Repository) -> Arc<Engine> {
    let engine = Engine::open(repository, EngineOptions::new(folder)).await;
    Arc::new(engine.expect("a sound repository"))
}

async fn run_job(repository: &Repository, job: &str, config: Value) -> Ran {
    let folder = folder();
    let engine = engine(folder.path(), repository).await;
    let config = Some(Entry::of_value(&config));
    let request = JobRequest { config, ..JobRequest::default() };
    let plan = engine.plan_job(job, &request).await.expect("a plan");
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    Ran { engine, report: report.expect("a report"), _folder: folder }
}

async fn run(graph: Graph) -> Ran {
    let name = graph.name.clone();
    run_job(&Repository::new("ops").with(Job::from_graph(graph)), &name, Value::Null).await
}

#[tokio::test]
async fn a_graph_is_read_as_it_is_written_and_runs_in_a_job() {
    let ran = run(linear::graph()).await;
    assert_eq!(ran.report.status, RunStatus::Success);
    let steps = ["add_one", "add_one_2", "add_one_3", "return_one"];
    assert_eq!(ran.states().await.keys().collect::<Vec<_>>(), steps);
    assert_eq!(ran.value::<i64>("add_one_3", "result").await, 4);
    assert_eq!(
        ran.kinds("add_one").await,
        ["STEP_START", "LOADED_INPUT", "STEP_OUTPUT", "HANDLED_OUTPUT", "STEP_SUCCESS"]
    );
}

#[tokio::test]
async fn graphs_stand_in_graphs_with_dotted_step_keys() {
    let ran = run(nested::graph()).await;
    let states = ran.states().await;
    assert!(states.contains_key("linear.add_one_3") && states.contains_key("linear_2.return_one"));
    assert!(states.contains_key("last"), "{states:?}");
    assert_eq!(ran.value::<i64>("total", "result").await, 9);
}

#[tokio::test]
async fn a_graph_backs_an_asset_whose_ops_are_steps() {
    let folder = folder();
    let key: AssetKey = "marts.four".parse().expect("a key");
    let repository = Repository::new("backed")
        .with(Asset::from_single_output(key.clone(), linear::graph()))
        .with(sql_asset("reader", "select item + 1 as five from marts.four"));
    let engine = engine(folder.path(), &repository).await;
    let plan = engine.plan("").await.expect("a plan");
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    let report = report.expect("a report");
    assert_eq!(report.status, RunStatus::Success, "{:?}", report.error);
    let steps = engine.instance.steps(report.run_id).await.expect("steps");
    let keys: Vec<&str> = steps.iter().map(|step| step.step_key.as_str()).collect();
    assert_eq!(keys[..2], ["marts.four.return_one", "marts.four.add_one"]);
    let pointers = engine.instance.pointers("main").await.expect("pointers");
    assert_eq!(pointers.keys().collect::<Vec<_>>(), ["marts.four", "reader"], "only the result");
    let made = engine.current(&"reader".parse().expect("a key")).await.expect("made").remove(0);
    assert_eq!(made.stored.row_count, 1);
}

#[op(outputs = ["small", "large"])]
pub(crate) fn split(n: i64) -> (Option<i64>, Option<i64>) {
    if n < 10 { (Some(n), None) } else { (None, Some(n)) }
}

#[op]
pub(crate) fn on_small(n: i64) -> String {
    format!("small {n}")
}

#[op]
pub(crate) fn on_large(n: i64) -> String {
    format!("large {n}")
}

#[op]
pub(crate) fn report(lines: Vec<String>) -> String {
    lines.join("; ")
}

#[graph]
fn branches() -> Handle<String> {
    let (small, large) = split(Literal(3));
    report(vec![on_small(small), on_large(large)])
}

#[tokio::test]
async fn what_reads_an_output_that_was_not_emitted_is_skipped_and_a_fan_in_does_without_it() {
    let ran = run(branches::graph()).await;
    assert_eq!(ran.report.status, RunStatus::Success);
    let states = ran.states().await;
    assert_eq!(states["on_small"], StepState::Success);
    assert_eq!(states["on_large"], StepState::Skipped);
    assert_eq!(ran.value::<String>("report", "result").await, "small 3");
}

#[op]
pub(crate) fn files(count: i64) -> DynamicOutputs<i64> {
    (0..count).map(|i| (format!("f{i}"), i)).collect()
}

#[op]
pub(crate) fn square(context: OpContext, n: i64) -> i64 {
    assert_eq!(context.mapping_key(), Some(&*format!("f{n}")));
    n * n
}

#[op]
fn after(_everything: Nothing) -> String {
    "done".to_owned()
}

#[graph]
fn mapped(count: Handle<i64>) -> Handle<i64> {
    let squares = files(count).map(|n| add_one(square(n)));
    let sum = total(squares.collect());
    after(&sum);
    sum
}

#[graph]
fn five_files() -> Handle<i64> {
    mapped(Literal(5))
}

#[graph]
fn no_files() -> Handle<i64> {
    mapped(Literal(0))
}

#[tokio::test]
async fn dynamic_outputs_become_steps_and_are_collected() {
    let ran = run(five_files::graph()).await;
    assert_eq!(ran.report.status, RunStatus::Success, "{:?}", ran.states().await);
    let states = ran.states().await;
    assert_eq!(states["mapped.square[f3]"], StepState::Success);
    assert!(!states.contains_key("mapped.square"), "what stood for them is gone");
    assert_eq!(ran.value::<i64>("mapped.total", "result").await, 30 + 5);
    assert_eq!(ran.value::<String>("mapped.after", "result").await, "done");
    let none = run(no_files::graph()).await;
    assert_eq!(none.value::<i64>("mapped.total", "result").await, 0, "an empty list");
}

#[tokio::test]
async fn re_execution_from_failure_runs_what_failed_and_what_never_ran() {
    // w -> x -> y -> z, where y fails at first.
    let fails = Arc::new(AtomicUsize::new(1));
    let calls: Arc<[AtomicUsize; 4]> = Arc::default();
    let op = |name: &str, at: usize| {
        let (fails, calls) = (Arc::clone(&fails), Arc::clone(&calls));
        let op = arrowsmith::Op::new(name, move |context| {
            let (fails, calls) = (Arc::clone(&fails), Arc::clone(&calls));
            Box::pin(async move {
                calls[at].fetch_add(1, Ordering::SeqCst);
                let n: i64 = if at == 0 { 0 } else { context.load("n").await? };
                if at == 2 && fails.swap(0, Ordering::SeqCst) == 1 {
                    return Err(BoxError::from("not yet"));
                }
                Outputs::default().with("result", n + 1)
            })
        })
        .with_output::<i64>("result");
        if at == 0 { op } else { op.with_input::<i64>("n") }
    };
    let graph = Graph::new("chain")
        .with_node("w", op("w", 0))
        .with_node("x", op("x", 1))
        .with_node("y", op("y", 2))
        .with_node("z", op("z", 3))
        .with_edge("w.result", "x.n")
        .with_edge("x.result", "y.n")
        .with_edge("y.result", "z.n");
    let mut ran = run(graph).await;
    assert_eq!(ran.report.status, RunStatus::Failure);
    let first = ran.report.run_id;
    assert_eq!(ran.states().await["z"], StepState::Skipped);
    assert_eq!(ran.reexecute(Reexecute::FromFailure).await, ["y", "z"]);
    assert_eq!(ran.report.status, RunStatus::Success);
    assert_eq!(ran.value::<i64>("z", "result").await, 4);
    let counts: Vec<usize> = calls.iter().map(|calls| calls.load(Ordering::SeqCst)).collect();
    assert_eq!(counts, [1, 1, 2, 1], "outputs were loaded, not recomputed");
    let second = ran.engine.instance.run(&ran.report.run_id.to_string()).await.expect("a run");
    assert_eq!((second.parent, second.root), (Some(first), first));
    assert_eq!(ran.reexecute(Reexecute::Select("z".to_owned())).await, ["z"]);
    assert_eq!(ran.value::<i64>("z", "result").await, 4, "from the run before it, and its own");
    let third = ran.engine.instance.run(&ran.report.run_id.to_string()).await.expect("a run");
    assert_eq!(third.root, first);
}

#[op(max_retries = 5, retry_delay_secs = 0)]
fn permanent() -> Result<i64, BoxError> {
    Err(arrowsmith::PermanentFailure::new("the account is closed").into())
}

#[op]
fn asks_again(context: OpContext) -> Result<i64, RetryRequested> {
    match context.retry_number() {
        2 => Ok(2),
        _ => Err(RetryRequested::new(3, "come back later").after(Duration::from_millis(1))),
    }
}

#[graph]
fn retries() {
    permanent();
    asks_again();
}

#[tokio::test]
async fn a_failure_may_forbid_retries_or_ask_for_them() {
    let ran = run(retries::graph()).await;
    let steps = ran.engine.instance.steps(ran.report.run_id).await.expect("steps");
    let of = |key: &str| steps.iter().find(|s| s.step_key == key).expect("a step").clone();
    assert_eq!((of("permanent").state, of("permanent").attempt), (StepState::Failure, 1));
    assert_eq!(of("permanent").reason.as_deref(), Some("the account is closed"));
    assert_eq!((of("asks_again").state, of("asks_again").attempt), (StepState::Success, 3));
}

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Greeting {
    name: String,
    #[serde(default)]
    loudly: bool,
}

/// A counter that remembers whether it was taken down.
struct Counter {
    taken: Arc<AtomicUsize>,
    start: i64,
}

static TAKEN_DOWN: AtomicUsize = AtomicUsize::new(0);

impl ResourceType for Counter {
    type Config = BTreeMap<String, i64>;

    async fn setup(config: Self::Config, _others: &Resources) -> Result<Self, BoxError> {
        Ok(Self { taken: Arc::default(), start: config["start"] })
    }

    async fn teardown(&self) -> Result<(), BoxError> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        TAKEN_DOWN.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

#[op]
fn greet(context: OpContext, config: Config<Greeting>, counter: Resource<Counter>) -> String {
    context.log().with("name", config.name.clone()).info("greeting");
    context.add_output_metadata("result", "length", config.name.len());
    assert_eq!(counter.taken.load(Ordering::SeqCst), 0, "not while the run goes on");
    let mark = if config.loudly { "!" } else { "" };
    format!("hello, {}{mark} {}", config.name, counter.start)
}

#[graph]
fn greeting() -> Handle<String> {
    greet()
}

#[tokio::test]
async fn an_op_has_config_resources_log_and_metadata() {
    let counter = ResourceDefinition::new::<Counter>().with_config(json!({"start": 1}));
    let repository = Repository::new("greeting")
        .with(Job::from_graph(greeting::graph()).with_tag("team", "data"))
        .with_resource("counter", counter);
    let config = json!({
        "ops": {"greet": {"config": {"name": "ada", "loudly": true}}},
        "resources": {"counter": {"config": {"start": 7}}},
    });
    let before = TAKEN_DOWN.load(Ordering::SeqCst);
    let ran = run_job(&repository, "greeting", config).await;
    assert_eq!(ran.report.status, RunStatus::Success, "{:?}", ran.report.error);
    assert_eq!(ran.value::<String>("greet", "result").await, "hello, ada! 7");
    assert_eq!(TAKEN_DOWN.load(Ordering::SeqCst), before + 1);
    let outputs = ran.engine.instance.outputs(ran.report.run_id).await.expect("outputs");
    assert_eq!(outputs[0].metadata["length"], 3);
}

#[tokio::test]
async fn hooks_run_after_steps_and_their_errors_change_nothing() {
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let told = Arc::clone(&seen);
    let note = Hook::on_failure("note", move |context| {
        told.lock().expect("a list").push(format!("{}: {:?}", context.step_key, context.error));
        async { Ok(()) }
    });
    let broken = Hook::on_success("broken", |_| async { Err("no".into()) });
    let job = Job::from_graph(retries::graph()).with_hook(note).with_hook(broken);
    let ran = run_job(&Repository::new("hooks").with(job), "retries", Value::Null).await;
    assert_eq!(*seen.lock().expect("a list"), ["permanent: Some(\"the account is closed\")"]);
    assert!(ran.kinds("permanent").await.contains(&"HOOK_COMPLETED".to_owned()));
    assert!(ran.kinds("asks_again").await.contains(&"HOOK_ERRORED".to_owned()));
    assert_eq!(ran.states().await["asks_again"], StepState::Success);
}

#[test]
fn wrong_wiring_by_hand_is_told_at_load_with_both_types() {
    let graph = Graph::new("wrong")
        .with_node("one", return_one::op())
        .with_node("text", on_small::op())
        .with_node("report", report::op())
        .with_edge("one.result", "report.lines")
        .with_edge("one.resutl", "text.n")
        .with_edge("text.result", "one.n");
    let repository = Repository::new("wrong").with(Job::from_graph(graph));
    let problems = Engine::check(&repository, &arrowsmith::LoadOptions::new("/nowhere"));
    let told: Vec<String> =
        problems.expect_err("problems").0.into_iter().map(|problem| problem.message).collect();
    assert!(
        told.iter().any(|m| m.contains("takes `Vec<String>`, but is wired to `i64`")),
        "{told:?}"
    );
    assert!(
        told.iter().any(|m| m.contains("is wired to `one.resutl`, which is no output")),
        "{told:?}"
    );
    assert!(told.iter().any(|m| m.contains("`return_one` has no such input")), "{told:?}");
}

#[test]
fn an_op_runs_directly() {
    assert_eq!(on_small::invoke(3), "small 3");
    assert_eq!(total::invoke(vec![1, 2]), 3);
}
