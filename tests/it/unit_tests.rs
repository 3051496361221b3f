//! `arrowsmith test`: given rows of the inputs, the expected rows of an asset.

use serde_json::Value;

use crate::support::{Project, copy_folder, examples};

const SHOP: &str = r#"== arrowsmith.toml
[project]
name = "shop"

[sources.raw.orders]
path = "data/orders.csv"
== data/orders.csv
order_id,customer,day,amount
1,ada,2026-01-01,10.5
== assets/staging/orders.sql
select order_id, customer, day, amount from raw.orders where amount > 0
== assets/spent.sql
select customer, sum(amount) as spent, count(*) as orders, max(day) as last_day
from staging.orders group by customer
"#;

fn shop(tests: &str) -> Project {
    let project = Project::new(SHOP);
    project.write("tests/shop.toml", tests);
    project
}

#[test]
fn the_tests_of_the_flights_example_pass_without_any_table() {
    let project = Project::new("");
    copy_folder(&examples().join("flights"), project.path());
    let ran = project.run(&["test"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.err.ends_with("2 passed, 0 failed\n"), "{}", ran.err);
    assert!(!project.path().join(".arrowsmith/instance.db").exists(), "nothing is remembered");
}

#[test]
fn rows_are_compared_in_any_order_by_the_columns_that_are_expected() {
    let project = shop(
        r#"[spent]
asset = "spent"
given."staging.orders" = [
  { customer = "ada", amount = 0.1, day = 2026-01-01 },
  { customer = "ada", amount = 0.2, day = 2026-02-01 },
  { customer = "grace", day = "2026-01-05" },
]
expect = [
  { customer = "grace", orders = 1, last_day = 2026-01-05 },
  { customer = "ada", spent = 0.3, orders = 2, last_day = 2026-02-01 },
]

[nothing_is_given]
asset = "spent"
expect = []
"#,
    );
    let rows: Value = serde_json::from_str(&project.ok(&["test", "-f", "json"])).expect("JSON");
    let passed: Vec<_> =
        rows["rows"].as_array().expect("rows").iter().map(|r| &r["passed"]).collect();
    assert_eq!(passed, [true, true]);
    let one = project.run(&["test", "nothing"]);
    assert!(one.err.ends_with("1 passed, 0 failed\n"), "{}", one.err);
}

#[test]
fn a_test_that_fails_shows_the_difference() {
    let project = shop(
        r#"[wrong_sum]
asset = "spent"
given."staging.orders" = [
  { customer = "ada", amount = 1.0 },
  { customer = "ada", amount = 2.0 },
  { customer = "grace", amount = 5.0 },
]
expect = [
  { customer = "ada", spent = 4.0 },
  { customer = "grace", spent = 5.0 },
  { customer = "linus" },
]

[wrong_count]
asset = "staging.orders"
given."raw.orders" = [{ amount = 1.0 }]
expect = [{}, {}]
"#,
    );
    let ran = project.run(&["test"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    insta::assert_snapshot!(format!("{}{}", ran.out, ran.err));
    assert_eq!(project.run(&["test", "sum_of"]).code, 2, "a filter that fits none is a mistake");
}

#[test]
fn wrong_tests_are_told_with_their_place_by_check_as_well() {
    let project = shop(
        r#"[of_nothing]
asset = "spnt"
expect = []

[of_a_source]
asset = "raw.orders"
expect = []

[wrong_rows]
asset = "spent"
given."raw.orders" = []
given."staging.orders" = [{ custmer = "ada" }, { amount = "much" }, 3]
expect = [{ spend = 3 }]

[incomplete]
aset = "spent"
given.orders = 3
"#,
    );
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
    assert_eq!(project.run(&["test"]).code, 3);
}
