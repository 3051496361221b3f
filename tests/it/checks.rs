//! Asset checks: what must hold of a table before anybody sees it.

use std::sync::Arc;

use arrowsmith::arrow::array::RecordBatch;
use arrowsmith::execution::{Engine, EngineOptions, RunOptions, Silent};
use arrowsmith::instance::RunStatus;
use arrowsmith::prelude::*;
use arrowsmith::{AssetCheck, CheckResult};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::{Project, folder};

/// A project with an asset `orders` that has the checks.
fn shop(checks: &str) -> Project {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "shop"

[sources.raw.orders]
path = "data/orders.csv"
== data/orders.csv
order_id,customer,state,amount
1,ada,paid,10
2,grace,open,20
3,ada,paid,30
== assets/customers.sql
select distinct customer as name from raw.orders
"#,
    );
    orders(&project, checks, "");
    project
}

fn orders(project: &Project, checks: &str, filter: &str) {
    let text = format!("/* +++\n[checks]\n{checks}\n+++ */\nselect * from raw.orders {filter}\n");
    project.write("assets/orders.sql", &text);
}

/// What the last run has found, check by check.
fn evaluations(project: &Project) -> Vec<Value> {
    let log = project.ok(&["run", "logs", "latest", "-f", "ndjson"]);
    let events = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    events.filter(|event| event["kind"] == "ASSET_CHECK_EVALUATION").collect()
}

fn current_version(project: &Project) -> Value {
    let shown = project.ok(&["asset", "show", "orders", "-f", "json"]);
    let shown: Value = serde_json::from_str(&shown).expect("a document");
    shown["asset"]["current"]["version"].clone()
}

#[test]
fn a_table_of_which_every_check_holds_is_published() {
    let project = shop(
        r#"not_null = ["order_id", "customer"]
unique = ["order_id", ["customer", "amount"]]
accepted_values.state = ["paid", "open"]
range.amount = { min = 10, max = 30 }
expression.positive = "amount > 0 and order_id < amount"
expression.average = "avg(amount) between 15 and 25 and count(*) filter (where state = 'paid') = 2"
relationships.customer = "customers.name"
row_count = { min = 3, max = 3 }
query.refunds = "select * from orders where amount < 0""#,
    );
    project.ok(&["materialize"]);
    let found = evaluations(&project);
    assert_eq!(found.len(), 11);
    assert!(found.iter().all(|event| event["passed"] == true), "{found:#?}");
}

#[test]
fn each_kind_of_check_names_the_rows_it_does_not_hold_for() {
    let failing = [
        ("not_null_missing", r#"not_null = ["missing"]"#, 2),
        ("unique_customer", r#"unique = ["customer"]"#, 1),
        ("accepted_values_state", r#"accepted_values.state = ["paid"]"#, 1),
        ("range_amount", "range.amount = { max = 15 }", 2),
        ("large", r#"expression.large = "amount > 10""#, 1),
        ("relationships_state", r#"relationships.state = "customers.name""#, 3),
        ("open", r#"query.open = "select * from orders where state = 'open'""#, 1),
    ];
    for (name, check, rows) in failing {
        let project = shop("");
        let text = format!(
            "/* +++\n[checks]\n{check}\n+++ */\nselect *, nullif(customer, 'ada') as missing from raw.orders\n"
        );
        project.write("assets/orders.sql", &text);
        let ran = project.run(&["materialize"]);
        assert_eq!(ran.code, 1, "{name}: {}", ran.err);
        assert!(ran.err.contains(&format!("check `{name}` of `orders` failed")), "{}", ran.err);
        let found = evaluations(&project);
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0]["failing_rows"], rows, "{name}: {found:#?}");
        assert_eq!(found[0]["sample"].as_array().map(Vec::len), Some(rows), "{name}");
        assert_eq!(current_version(&project), Value::Null, "{name}: nothing is published");
    }
}

#[test]
fn a_check_of_aggregates_says_what_they_are() {
    let check = r#"expression.dear = "avg(amount) > 20 and max(order_id) < 9""#;
    let project = shop(check);
    let ran = project.run(&["materialize"]);
    let told = "check `dear` of `orders` failed: `avg(amount)` is 20, `max(order_id)` is 3";
    assert!(ran.code == 1 && ran.err.contains(told), "{}", ran.err);
    orders(&project, r#"expression.dear = "avg(amount) > 20""#, "where false");
    assert_eq!(project.run(&["materialize"]).code, 0, "what is unknown is no failure");
}

#[test]
fn a_blocking_check_that_fails_leaves_the_table_as_it_was() {
    let project = shop("row_count = { min = 3 }");
    project.write("assets/after.sql", "select count(*) as n from orders\n");
    project.ok(&["materialize"]);
    let before = current_version(&project);
    assert_ne!(before, Value::Null);
    orders(&project, "row_count = { min = 3 }", "where state = 'paid'");
    let ran = project.run(&["materialize"]);
    assert_eq!(ran.code, 1);
    let told = "check `row_count` of `orders` failed: there are 2 rows";
    assert!(ran.err.contains(told), "{}", ran.err);
    assert_eq!(current_version(&project), before);
    let steps = project.ok(&["run", "show", "latest", "-f", "csv"]);
    assert!(steps.contains("after,skipped"), "what reads it does not run:\n{steps}");
}

#[test]
fn a_warning_is_recorded_and_blocks_nothing() {
    for mark in ["warn", "non_blocking"] {
        let project = shop(&format!(
            "unique = [\"customer\"]\nnot_null = [\"order_id\"]\n{mark} = [\"unique_customer\"]"
        ));
        project.ok(&["materialize"]);
        let found = evaluations(&project);
        let passed: Vec<_> = found.iter().map(|event| event["passed"].clone()).collect();
        assert_eq!(passed, [true, false], "{mark}: {found:#?}");
        assert_eq!(found[1]["sample"][0]["customer"], "ada");
        assert_ne!(current_version(&project), Value::Null);
    }
}

#[test]
fn wrong_checks_are_told_with_their_place() {
    let project = shop(
        r#"not_nul = ["order_id"]
unique = [1]
accepted_values.state = "paid"
range.amount = { mn = 10 }
expression.broken = "amount >"
relationships.customer = "custmers.name"
row_count = {}
query.refunds = "select * from oders where amount < 0"
warn = ["unique_customer"]"#,
    );
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
}

#[test]
fn checks_that_do_not_fit_the_columns_are_told() {
    let project = shop(
        r#"not_null = ["ordr_id"]
accepted_values.stat = ["paid"]
expression.positive = "amont > 0"
expression.dated = "customer + 1 > date '2026-01-01'"
expression.number = "amount + 1"
expression.sum = "sum(amount)"
expression.summed = "sum(custmer) > 0"
relationships.customer = "customers.nme"
query.refunds = "select * from orders where amnt < 0""#,
    );
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
}

#[tokio::test]
async fn a_rust_function_is_a_check() {
    #[derive(Columns)]
    struct Number {
        n: i64,
    }
    #[asset]
    fn numbers() -> Vec<Number> {
        vec![Number { n: 1 }, Number { n: -2 }]
    }
    let even = AssetCheck::function("two_rows", |rows: RecordBatches| async move {
        let rows: usize = rows.batches.iter().map(RecordBatch::num_rows).sum();
        Ok(if rows == 2 { CheckResult::pass() } else { CheckResult::fail("not two rows") })
    });
    let odd = AssetCheck::function("one_row", |rows: RecordBatches| async move {
        let rows: usize = rows.batches.iter().map(RecordBatch::num_rows).sum();
        Ok(if rows == 1 { CheckResult::pass() } else { CheckResult::fail("not one row") })
    });
    for (check, status) in [(even, RunStatus::Success), (odd, RunStatus::Failure)] {
        let repository = Repository::new("checks").with(numbers::asset().with_check(check));
        let folder = folder();
        let engine = Engine::open(&repository, EngineOptions::new(folder.path())).await;
        let engine = Arc::new(engine.expect("a sound repository"));
        let plan = engine.plan("").await.expect("a plan");
        let options = RunOptions::default();
        let report = engine.run(plan, options, CancellationToken::new(), Arc::new(Silent)).await;
        assert_eq!(report.expect("a report").status, status);
    }
}
