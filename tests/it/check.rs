//! `check` names every mistake of a project at once, with its place and what to do.

use crate::support::Project;

/// A project with two sources and one staging asset, and the given queries.
fn project(queries: &[(&str, &str)]) -> Project {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "shop"

[vars]
min_amount = 5.0
since = 2026-01-01

[sources.raw.orders]
path = "data/orders.csv"

[sources.raw.customers]
path = "data/customers.jsonl"
== data/orders.csv
order_id,customer_id,ordered_on,amount,note
1,10,2026-01-01,12.5,first
2,11,2026-01-02,7.25,
== data/customers.jsonl
{"customer_id": 10, "name": "Ada"}
{"customer_id": 11, "name": "Grace"}
== assets/staging/orders.sql
select order_id, customer_id, ordered_on, amount, note from raw.orders
"#,
    );
    for (key, sql) in queries {
        project.write(&format!("assets/{key}.sql"), sql);
    }
    project
}

#[track_caller]
fn told(queries: &[(&str, &str)]) -> String {
    let ran = project(queries).run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(ran.out, "", "problems are no data");
    ran.err
}

macro_rules! mistakes {
    ($($name:ident: $sql:expr;)+) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(told(&[("q", $sql)]));
        }
    )+};
}

mistakes! {
    unknown_table: "select *\nfrom staging.ordres";
    unknown_column: "select order_id, custmer_id\nfrom staging.orders";
    two_unknown_columns: "select custmer_id, amont\nfrom staging.orders";
    unknown_column_of_a_table: "select o.nmae from staging.orders o";
    ambiguous_column: "select customer_id\nfrom raw.orders o join raw.customers c\n  on o.customer_id = c.customer_id";
    syntax_error: "select order_id,, amount\nfrom staging.orders";
    unclosed_parenthesis: "select sum((amount\nfrom staging.orders";
    unclosed_quote: "select 'abc from staging.orders";
    unknown_function: "select smu(amount) from staging.orders";
    wrong_number_of_arguments: "select order_id, round(amount, 1, 2, 3) as r from staging.orders";
    wrong_argument_type: "select\n  customer_id,\n  sum(ordered_on) as s\nfrom staging.orders\ngroup by customer_id";
    incomparable_types: "select order_id from staging.orders\nwhere ordered_on > interval '1 day'";
    arithmetic_on_wrong_types: "select ordered_on * amount as x from staging.orders";
    text_that_is_no_number: "select cast('abc' as bigint) as n from staging.orders";
    duplicate_alias: "select order_id as id,\n  customer_id as id\nfrom staging.orders";
    duplicate_column_of_a_join: "select *\nfrom raw.orders o join raw.customers c on o.customer_id = c.customer_id";
    aggregate_in_where: "select customer_id from staging.orders\nwhere sum(amount) > 10\ngroup by customer_id";
    not_grouped: "select customer_id, order_id, sum(amount) as total\nfrom staging.orders\ngroup by customer_id";
    union_of_other_width: "select order_id, amount from staging.orders\nunion all\nselect order_id from staging.orders";
    in_subquery_of_two_columns: "select order_id from staging.orders\nwhere customer_id in (select customer_id, name from raw.customers)";
    minus_before_text: "select -note as n from staging.orders";
    unknown_variable: "select order_id from staging.orders where amount > $var_min_amout";
    not_a_query: "create table x as select 1";
    two_statements: "select 1 as a; select 2 as b";
    no_statement: "-- nothing here\n";
    reading_a_file: "select * from 'data/orders.csv'";
    reading_by_a_table_function: "select * from read_csv('data/orders.csv')";
    unknown_front_matter_key: "/* +++\ngruop = \"marts\"\n+++ */\nselect order_id from staging.orders";
    wrong_front_matter_value: "/* +++\ngroup = 7\ntimeout = \"soon\"\nowners = [\"nobody\"]\n+++ */\nselect order_id from staging.orders";
    open_front_matter: "/* +++\ngroup = \"marts\"\n*/\nselect order_id from staging.orders";
    front_matter_of_elsewhere: "/*\n---\ngroup: marts\n---\n*/\nselect order_id from staging.orders";
    wrong_io_option: "/* +++\n[io]\ncompresion = \"zstd(3)\"\n+++ */\nselect order_id from staging.orders";
    partition_column_that_is_not_there: "/* +++\npartition_by = [\"custmer_id\"]\n+++ */\nselect order_id, customer_id from staging.orders";
    unknown_io_manager: "/* +++\nio_manager = \"defualt\"\n+++ */\nselect order_id from staging.orders";
}

#[test]
fn a_comparison_with_null_is_a_warning() {
    let project = project(&[("q", "select order_id from staging.orders\nwhere note = null")]);
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!(ran.err);
}

#[test]
fn circles_are_printed() {
    insta::assert_snapshot!(told(&[
        ("a", "select x from b"),
        ("b", "select x from c"),
        ("c", "select x\nfrom a"),
        ("selfish", "select x from selfish"),
    ]));
}

#[test]
fn a_name_that_could_be_several_assets_is_refused() {
    insta::assert_snapshot!(told(&[
        ("marts/orders", "select 1 as x"),
        ("reports/q", "select * from orders"),
    ]));
}

#[test]
fn everything_is_told_at_once() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
naem = "shop"
[sources.raw.orders]
path = "data/order.csv"
[sources.both]
path = "data/orders.csv"
== data/orders.csv
order_id,amount
1,12.5
== assets/both.sql
select 1 as one
== assets/table_typo.sql
select * from bth
== assets/column_typo.sql
select order_id, amout from both
== assets/wrong_type.sql
select order_id from both where order_id > interval '1 day'
== assets/ambiguous.sql
select order_id from both a join both b on a.order_id = b.order_id
== assets/syntax.sql
selec 1 as one
== assets/circle_a.sql
select * from circle_b
== assets/circle_b.sql
select * from circle_a
== assets/front.sql
/* +++
gropu = "x"
+++ */
select 1 as one
== assets/reads_missing_source.sql
select anything from raw.orders
"#,
    );
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(ran.err);
    let json = project.run(&["check", "-f", "json"]);
    let document: serde_json::Value = serde_json::from_str(&json.out).expect("JSON");
    let problems = document["problems"].as_array().expect("problems");
    assert!(problems.iter().all(|p| p["place"]["start"]["line"].is_u64()), "each has a place");
}

#[test]
fn wrong_project_files_are_told() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = 3
[run]
max_concurrent = 0
memory_limit = "lots"
[io_managers.lake]
type = "parqet"
[io_managers.other]
compression = "zstd(99)"
[sources.no_path]
format = "csv"
[sources.odd]
path = "data/x.txt"
[sources.typed]
path = "data/x.csv"
[sources.typed.columns]
a = "bigint"
b = "biggint"
[sorces.x]
path = "y"
== data/x.csv
a,b
1,2
"#,
    );
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3);
    insta::assert_snapshot!(ran.err);
}

#[test]
fn toml_that_cannot_be_read_is_marked() {
    let project = Project::new("== arrowsmith.toml\n[project\nname = \"x\"\n");
    insta::assert_snapshot!(project.run(&["check"]).err);
}

#[test]
fn queries_that_would_overflow_the_stack_are_refused() {
    let sum = vec!["1"; 12_000].join(" + ");
    let nested = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    let long = format!("select '{}' as x", "a".repeat(300_000));
    let project = project(&[
        ("sum", &format!("select {sum} as x")),
        ("nested", &format!("select {nested} as x")),
        ("long", &long),
    ]);
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(ran.err.matches("error[AS0203]").count(), 3, "{}", ran.err);
}

#[test]
fn names_resolve_by_key_then_folder_then_last_segment() {
    let project = project(&[
        ("marts/orders", "select 1 as from_marts"),
        ("marts/reader", "select from_marts from orders"),
        ("reports/reader2", "select name from customers"),
        ("reports/reader3", "select amount from staging.orders"),
        ("reports/cte", "with orders as (select 1 as mine) select mine from orders"),
        ("reports/sets", "select name from customers union all (select note from staging.orders)"),
        (
            "reports/nested",
            "select name from customers where customer_id in (select customer_id from staging.orders)",
        ),
        ("Upper/Case", "select \"Order\".x from (select 1 as x) as \"Order\""),
        ("reports/quoted", "select x from \"Upper\".\"Case\""),
    ]);
    let ran = project.run(&["check"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let edges = project.ok(&["lineage", "reports.nested", "-f", "csv"]);
    assert!(edges.contains("raw.customers,reports.nested"), "{edges}");
    assert!(edges.contains("staging.orders,reports.nested"), "{edges}");
    let none = project.ok(&["lineage", "reports.cte", "-f", "csv"]);
    assert_eq!(none.trim(), "from,to", "a CTE shadows the assets of its name");
}

#[test]
fn variables_have_types() {
    let project = project(&[(
        "q",
        "select order_id from staging.orders where amount >= $var_min_amount and ordered_on >= $var_since",
    )]);
    project.ok(&["materialize", "+q"]);
    assert_eq!(project.ok(&["query", "select count(*) as n from q", "-f", "csv"]), "n\n2\n");
    project.ok(&["materialize", "+q", "--var", "min_amount=10"]);
    assert_eq!(project.ok(&["query", "select count(*) as n from q", "-f", "csv"]), "n\n1\n");
    let wrong = project.run(&["check", "--var", "min_amount=1 or true"]);
    assert_eq!(wrong.code, 3);
    assert!(wrong.err.contains("`min_amount` is a number, not `1 or true`"), "{}", wrong.err);
    let unknown = project.run(&["check", "--var", "min_amout=1"]);
    assert!(unknown.err.contains("did you mean `min_amount`?"), "{}", unknown.err);
}
