//! Runs in memory, as a user's tests make them.

use std::collections::{BTreeMap, HashMap};

use arrowsmith::arrow::array::RecordBatch;
use arrowsmith::execution::{Error, ProjectError, execute_in_process, materialize_to_memory};
use arrowsmith::instance::StepState;
use arrowsmith::prelude::*;
use arrowsmith::{ComputeContext, ConfigMapping};
use serde_json::{Value, json};

use crate::ops::{
    add_one, files, linear, on_large, on_small, report, return_one, split, square, total,
};

fn key(text: &str) -> AssetKey {
    text.parse().expect("a key")
}

/// Over three hundred ops: a fan out and in, an optional branch, and a dynamic mapping.
#[graph]
fn many() -> Handle<i64> {
    let fan = (0..100).map(|_| add_one(add_one(return_one()))).collect::<Vec<_>>();
    let (small, large) = split(Literal(30));
    report(vec![on_small(small), on_large(large)]);
    let squares = files(Literal(20)).map(|n| add_one(square(n)));
    total(vec![total(fan), total(squares.collect())])
}

#[tokio::test]
async fn a_graph_of_hundreds_of_ops_runs_each_after_what_it_reads() {
    let repository = Repository::new("many").with(Job::from_graph(many::graph()));
    let ran = execute_in_process(&repository, "many", &Value::Null).await.expect("a run");
    let states = ran.states().await.expect("states");
    assert!(ran.success() && states.len() > 340, "{states:?}");
    assert_eq!(ran.output::<i64>("total_3", "result").await.expect("a sum"), 300 + 2470 + 20);
    let skipped = states.iter().filter(|(_, state)| **state == StepState::Skipped);
    assert_eq!(skipped.map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["on_small"]);
    let events = ran.engine.instance.events(ran.report.run_id, 0).await.expect("events");
    let mut at: HashMap<(&str, &str), usize> = HashMap::new();
    for (i, event) in events.iter().enumerate() {
        at.insert((event.step_key.as_deref().unwrap_or_default(), event.event.kind()), i);
    }
    let before = |first: &str, second: &str| {
        let (ended, began) = (at[&(first, "STEP_SUCCESS")], at[&(second, "STEP_START")]);
        assert!(ended < began, "`{second}` began before `{first}` had ended");
    };
    before("return_one_100", "add_one_199");
    before("add_one_199", "add_one_200");
    before("add_one_200", "total");
    before("files", "square[f19]");
    before("square[f19]", "add_one_201[f19]");
    before("add_one_201[f19]", "total_2");
    before("total", "total_3");
}

#[op(outputs = ["evens", "odds"])]
fn parted(numbers: RecordBatches) -> (i64, i64) {
    let rows: usize = numbers.batches.iter().map(RecordBatch::num_rows).sum();
    let rows = i64::try_from(rows).expect("few rows");
    (rows / 2, rows - rows / 2)
}

#[tokio::test]
async fn one_step_makes_several_assets() {
    let assets = [("evens".to_owned(), key("evens")), ("odds".to_owned(), key("marts.odds"))];
    let repository = Repository::new("parted")
        .with(sql_asset("numbers", "select value from generate_series(1, 5) as s(value)"))
        .with(Asset::from_op(parted::op(), assets, &BTreeMap::new()))
        .with(sql_asset("sum", "select e.item + o.item as n from evens e, marts.odds o"));
    let ran = materialize_to_memory(&repository, "").await.expect("a run");
    assert!(ran.success(), "{:?}", ran.states().await);
    let states = ran.states().await.expect("states");
    assert_eq!(states.keys().collect::<Vec<_>>(), ["numbers", "parted", "sum"]);
    for (asset, expected) in [("evens", 2), ("marts.odds", 3), ("sum", 5)] {
        let rows = ran.rows(&key(asset)).await.expect("rows");
        let column = rows.batches[0].column(0);
        let values = arrow::array::cast::as_primitive_array::<arrow::datatypes::Int64Type>(column);
        assert_eq!(values.values(), &[expected], "{asset}");
    }
    let some = materialize_to_memory(&repository, "+evens").await.expect("a run");
    let states = some.states().await.expect("states");
    assert_eq!(states.keys().collect::<Vec<_>>(), ["numbers", "parted"]);
    assert!(some.rows(&key("marts.odds")).await.is_err(), "only what was asked for is stored");
}

#[tokio::test]
async fn what_is_wrong_is_an_error_and_what_fails_is_in_the_report() {
    let repository = Repository::new("wrong")
        .with(Job::from_graph(linear::graph()))
        .with(sql_asset("broken", "select cast(a as int) as n from (values ('x')) as v(a)"));
    let config = json!({"ops": {"add_on": {}}});
    let error = execute_in_process(&repository, "linear", &config).await.expect_err("an error");
    assert!(matches!(error, ProjectError::Engine(Error::Config { .. })), "{error:?}");
    let ran = materialize_to_memory(&repository, "broken").await.expect("a run");
    assert!(!ran.success());
    let step = &ran.engine.instance.steps(ran.report.run_id).await.expect("steps")[0];
    assert!(step.reason.as_deref().is_some_and(|reason| reason.contains("'x'")), "{step:?}");
}

#[derive(Debug, serde::Deserialize, schemars::JsonSchema)]
struct Times {
    times: i64,
}

struct Unit(String);

#[op]
fn measured(
    context: OpContext,
    n: i64,
    config: Config<Times>,
    unit: Resource<Unit>,
) -> Result<String, BoxError> {
    context.add_output_metadata("result", "n", n);
    Ok(format!("{} {} of {}", n * config.times, unit.0, context.step_key()))
}

#[tokio::test]
async fn an_op_runs_directly_with_a_context_that_was_built() {
    let context = ComputeContext::detached("measured")
        .with_resources(Resources::default().with("unit", Unit("miles".to_owned())));
    let unit = context.resources.get("unit").expect("a resource");
    let config = Config(Times { times: 2 });
    let told = measured::invoke(context.clone().into(), 3, config, unit).expect("a text");
    assert_eq!(told, "6 miles of measured");
    assert_eq!(context.output_metadata()["result"]["n"], 3);
}

#[graph]
fn measuring() -> Handle<String> {
    measured(return_one())
}

#[tokio::test]
async fn a_graph_with_a_config_of_its_own_hides_that_of_its_ops() {
    let mapping =
        ConfigMapping::new(|hours: i64| json!({"measured": {"config": {"times": hours}}}));
    let measuring = measuring::graph().with_config_mapping(mapping);
    // The resource of the repository is replaced for the test.
    let repository = Repository::new("mapped")
        .with(Job::from_graph(Graph::new("outer").with_node("inner", measuring)))
        .with_resource("unit", ResourceDefinition::value(Unit("days".to_owned())))
        .with_resource("unit", ResourceDefinition::value(Unit("hours".to_owned())));
    let config = json!({"ops": {"inner": {"config": 5}}});
    let ran = execute_in_process(&repository, "outer", &config).await.expect("a run");
    let told = ran.output::<String>("inner.measured", "result").await.expect("a text");
    assert_eq!(told, "5 hours of inner.measured");
    for (wrong, message) in [
        (
            json!({"ops": {"inner": {"config": "x"}}}),
            "`ops.inner.config` is the text `x`, not a whole number",
        ),
        (
            json!({"ops": {"inner": {"ops": {"measured": {"config": {"times": 1}}}}}}),
            "there is no entry `ops.inner.ops`",
        ),
    ] {
        let error = execute_in_process(&repository, "outer", &wrong).await.expect_err("an error");
        let ProjectError::Engine(Error::Config { problems }) = error else { panic!("{error:?}") };
        assert!(problems.iter().any(|p| p.message.contains(message)), "{problems:#?}");
    }
}
