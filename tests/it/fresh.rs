//! What an edit touches is computed, and nothing else; and `why` says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrowsmith::execution::{Engine, EngineOptions, RunOptions, Silent, Verdict};
use arrowsmith::instance::RunStatus;
use arrowsmith::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::support::{Project, folder};

/// Orders by month from monthly files, customers, and what is made of both.
const SHOP: &str = r#"== arrowsmith.toml
[project]
name = "shop"
[sources.raw.orders]
path = "data/orders/{partition}.csv"
partitions = { monthly = "2024-01", end = "2024-05", format = "%Y-%m" }
[sources.raw.customers]
path = "data/customers.csv"
== data/orders/2024-01.csv
id,customer,day,amount,note
1,ada,2024-01-03,10,x
2,bob,2024-01-04,20,y
== data/orders/2024-02.csv
id,customer,day,amount,note
3,ada,2024-02-03,30,x
== data/orders/2024-03.csv
id,customer,day,amount,note
4,cy,2024-03-03,40,z
== data/orders/2024-04.csv
id,customer,day,amount,note
5,cy,2024-04-03,50,z
== data/customers.csv
customer,city,phone
ada,London,1
bob,Paris,2
cy,Rome,3
== assets/staging/orders.sql
/* +++
partitions = { monthly = "2024-01", end = "2024-05", column = "day", format = "%Y-%m" }
+++ */
select * from raw.orders
== assets/staging/customers.sql
select * from raw.customers
== assets/marts/monthly.sql
/* +++
partitions = { monthly = "2024-01", end = "2024-05", column = "month", format = "%Y-%m" }
+++ */
select date_trunc('month', day) as month, sum(amount) as amount from staging.orders group by 1
== assets/marts/cities.sql
select c.city, sum(o.amount) as amount
from staging.orders o join staging.customers c on o.customer = c.customer
group by c.city
== assets/marts/large.sql
select id, amount from staging.orders where amount > 25
== assets/reports/best.sql
select city, amount from marts.cities order by amount desc limit 1
"#;

/// Which steps a run has computed and which it has confirmed.
fn ran(project: &Project) -> Vec<String> {
    let steps = project.ok(&["run", "show", "-f", "csv"]);
    let ended =
        steps.lines().skip(1).map(|line| line.split(',').take(2).collect::<Vec<_>>().join(" "));
    ended.collect()
}

#[test]
fn only_what_an_edit_touches_is_computed_and_why_says_so() {
    let project = Project::new(SHOP);
    let why = |asset: &str| project.ok(&["why", asset]);
    let edit = |path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(project.path().join(path)).expect("a file");
        assert!(text.contains(from), "{path} has no {from}");
        project.write(path, &text.replace(from, to));
    };
    let mut told = format!("# nothing is there\n{}", why("best"));
    project.ok(&["materialize"]);
    told.push_str(&format!("# built\n{}{}", why("best"), why("monthly")));
    let nothing = project.run(&["materialize"]);
    assert!(nothing.err.contains("everything that is selected is fresh"), "{}", nothing.err);

    // A column that nobody reads: what reads the table is confirmed.
    edit("data/customers.csv", "ada,London,1", "ada,London,7");
    told.push_str(&format!("# another phone\n{}{}", why("best"), project.ok(&["plan"])));
    project.ok(&["materialize"]);
    assert_eq!(
        ran(&project),
        ["staging.customers success", "marts.cities confirmed", "reports.best confirmed"]
    );

    // A column that one of them reads, with the same best city in the end.
    edit("data/customers.csv", "bob,Paris", "bob,Lyon");
    project.ok(&["materialize"]);
    assert_eq!(
        ran(&project),
        ["staging.customers success", "marts.cities success", "reports.best success"]
    );

    // One month: only its partitions, and not what filters its rows away.
    edit("data/orders/2024-01.csv", "2,bob,2024-01-04,20", "2,bob,2024-01-04,21");
    told.push_str(&format!(
        "# another amount in January\n{}{}",
        why("monthly"),
        project.ok(&["plan"])
    ));
    project.ok(&["materialize", "staging.orders"]);
    told.push_str(&format!(
        "# and its orders are stored\n{}{}{}{}",
        why("monthly"),
        why("monthly[2024-02]"),
        why("large"),
        why("cities")
    ));
    project.ok(&["materialize"]);
    // What `why` has found out about `large` is known to the plan.
    let mut steps = ran(&project);
    steps.sort();
    let expected =
        ["marts.cities success", "marts.monthly[2024-01] success", "reports.best success"];
    assert_eq!(steps, expected);
    assert_eq!(
        project.ok(&["query", "select city, amount from reports.best", "-f", "csv"]),
        "city,amount\nRome,90\n"
    );

    // Clothes are no code; code is.
    edit(
        "assets/marts/large.sql",
        "select id, amount from staging.orders where amount > 25",
        "-- large ones\nWITH o AS (SELECT * FROM staging.orders)\nSELECT o.id, o.amount FROM o WHERE 25 < o.amount",
    );
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 0);
    edit("assets/marts/large.sql", "25", "35");
    told.push_str(&format!("# another limit\n{}{}", why("large"), project.ok(&["plan"])));
    edit(
        "assets/marts/large.sql",
        "SELECT o.id",
        "SELECT cast(random() * 0 as bigint) + o.id as id",
    );
    told.push_str(&format!("# with chance\n{}", why("large")));
    insta::assert_snapshot!(told);
}

/// Edits that are taken back, of data and of code, point to what was stored before.
#[test]
fn an_edit_that_is_taken_back_computes_nothing_but_what_reads_the_files() {
    let project = Project::new(SHOP);
    let edit = |path: &str, from: &str, to: &str| {
        let text = std::fs::read_to_string(project.path().join(path)).expect("a file");
        assert!(text.contains(from), "{path} has no {from}");
        project.write(path, &text.replace(from, to));
        project.ok(&["materialize"]);
        let mut ran = ran(&project);
        ran.sort();
        ran
    };
    let rows = || project.ok(&["query", "select * from marts.monthly order by month", "-f", "csv"]);
    project.ok(&["materialize"]);
    let built = rows();
    let doubled = ["marts.monthly[2024-01...2024-04] success"];
    assert_eq!(edit("assets/marts/monthly.sql", "sum(amount)", "sum(amount) * 2"), doubled);
    assert_ne!(rows(), built);
    assert_eq!(
        edit("assets/marts/monthly.sql", "sum(amount) * 2", "sum(amount)"),
        ["marts.monthly[2024-01...2024-04] reused"]
    );
    assert_eq!(rows(), built);
    let events = project.ok(&["run", "show", "-f", "json"]);
    assert!(events.contains("\"reused\""), "{events}");
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 0);
    let history = project.ok(&["run", "logs", "latest", "-f", "csv"]);
    assert!(history.contains("ASSET_REUSED") && history.contains("STEP_REUSED"), "{history}");

    // One month of data: its file is read again, and what was made of it is there.
    let file = "data/orders/2024-02.csv";
    let ran = edit(file, "ada,2024-02-03,30", "ada,2024-02-03,31");
    assert!(ran.contains(&"marts.monthly[2024-02] success".to_owned()), "{ran:?}");
    assert_ne!(rows(), built);
    assert_eq!(
        edit(file, "ada,2024-02-03,31", "ada,2024-02-03,30"),
        [
            "marts.cities reused",
            "marts.large reused",
            "marts.monthly[2024-02] reused",
            "reports.best reused",
            "staging.orders[2024-02] success"
        ]
    );
    assert_eq!(rows(), built);

    // What is removed is computed.
    edit("assets/marts/monthly.sql", "sum(amount)", "sum(amount) * 2");
    project.ok(&["vacuum", "--retention", "0"]);
    let back = edit("assets/marts/monthly.sql", "sum(amount) * 2", "sum(amount)");
    assert_eq!(back, ["marts.monthly[2024-01...2024-04] success"]);
    assert_eq!(rows(), built);
    // As is whatever is forced.
    edit("assets/marts/monthly.sql", "sum(amount)", "sum(amount) * 2");
    project.write(
        "assets/marts/monthly.sql",
        &std::fs::read_to_string(project.path().join("assets/marts/monthly.sql"))
            .expect("a file")
            .replace(" * 2", ""),
    );
    project.ok(&["materialize", "marts.monthly", "--force"]);
    assert_eq!(self::ran(&project), ["marts.monthly[2024-01...2024-04] success"]);
}

/// The digests of what is read are known since it was written, so no rows are needed to compare.
#[test]
fn what_is_read_is_compared_without_reading_it() {
    let project = Project::new(SHOP);
    project.ok(&["materialize"]);
    let customers = project.path().join("data/customers.csv");
    let text = std::fs::read_to_string(&customers).expect("a file");
    project.write("data/customers.csv", &text.replace("ada,London,1", "ada,London,7"));
    project.ok(&["materialize", "staging.customers"]);
    project.ok(&["vacuum", "--retention", "0"]);
    // Neither the rows that were read are there, nor those that would be.
    let current = project.ok(&["files", "staging.customers", "-f", "csv"]);
    for file in current.lines().skip(1).filter_map(|line| line.split(',').next()) {
        std::fs::write(file.trim_start_matches("file://"), "").expect("emptied");
    }
    let plan = project.run(&["plan", "--exit-code"]);
    assert_eq!(plan.code, 0, "{}", plan.out);
}

/// What is stored is what would be computed, as far as that can be known.
#[test]
fn tables_are_verified_from_what_they_were_made_of() {
    let project = Project::new(SHOP);
    project.ok(&["materialize"]);
    let verify = |args: &[&str]| {
        let ran = project.run(&[&["verify"], args].concat());
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
        let mut lines: Vec<String> = ran.out.lines().map(|line| line.trim().to_owned()).collect();
        lines.sort();
        (lines.join("\n"), ran.err)
    };
    let (all, _) = verify(&[]);
    let (one, summary) = verify(&["--sample", "1%"]);
    assert_eq!(one.lines().count(), 1);
    assert!(summary.contains("1 same, 0 different"), "{summary}");
    // A version is computed from what it was made of, whatever is current by now.
    let file = project.path().join("data/customers.csv");
    let text = std::fs::read_to_string(&file).expect("a file");
    project.write("data/customers.csv", &text.replace("Paris", "Lyon"));
    project.ok(&["materialize", "staging.customers"]);
    let (stale, _) = verify(&["cities", "staging.customers"]);
    project.ok(&["vacuum", "--retention", "0"]);
    let (gone, _) = verify(&["cities"]);
    project.write("data/customers.csv", &text);
    let (files, _) = verify(&["staging.customers"]);
    project.write("assets/marts/large.sql", "select id, 2 * amount as amount from staging.orders");
    let (code, _) = verify(&["large"]);
    let (month, _) = verify(&["monthly", "--partition", "2024-02"]);
    insta::assert_snapshot!(format!(
        "{all}\n# other customers\n{stale}\n# the old ones removed\n{gone}\n# and their file changed\n{files}\n# other code\n{code}\n# one month\n{month}"
    ));
    let wrong = project.run(&["verify", "--sample", "0"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.err.contains("write a share such as `5%`"), "{}", wrong.err);
}

static CALLS: AtomicI64 = AtomicI64::new(0);

#[derive(Columns)]
struct Call {
    k: i64,
    v: i64,
}

/// It says that it gives the same rows for the same inputs, and does not.
#[asset]
fn liar() -> Vec<Call> {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    vec![Call { k: 1, v: call }]
}

#[asset]
fn honest() -> Vec<Call> {
    vec![Call { k: 1, v: 2 }]
}

#[tokio::test]
async fn a_function_that_lies_about_being_deterministic_is_caught() {
    let repository = Repository::new("liars").with(assets![liar, honest]);
    let folder = folder();
    let engine = Engine::open(&repository, EngineOptions::new(folder.path())).await;
    let engine = Arc::new(engine.expect("an engine"));
    let plan = engine.plan("").await.expect("a plan");
    let cancel = CancellationToken::new();
    let run = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent));
    assert_eq!(run.await.expect("a report").status, RunStatus::Success);
    let keys = ["honest", "liar"].map(|key| key.parse().expect("a key"));
    let verified = engine.verify(&keys, None, 1.0).await.expect("verified");
    let verdicts: Vec<Verdict> = verified.iter().map(|of| of.verdict).collect();
    assert_eq!(verdicts, [Verdict::Same, Verdict::Different]);
    assert_eq!(verified[1].rows, [r#"- {"k":1,"v":0}"#, r#"+ {"k":1,"v":2}"#]);
}

/// Rows of a partition that is there no more are no rows of its readers.
#[test]
fn a_partition_that_is_taken_away_makes_its_readers_stale() {
    let project = Project::new(
        r#"== arrowsmith.toml
[project]
name = "dynamic"
== assets/by_kind.sql
/* +++
partitions = { dynamic = "kinds", column = "kind", outside = "drop" }
+++ */
select kind, n from (values ('a', 1), ('b', 2), ('c', 4)) as v (kind, n)
== assets/total.sql
select sum(n) as n from by_kind
== assets/doubled.sql
/* +++
partitions = { dynamic = "kinds", column = "kind" }
[inputs]
by_kind = "all"
+++ */
select kind, (select sum(n) from by_kind) as n from by_kind
"#,
    );
    let total = || {
        project.ok(&["materialize"]);
        let query =
            "select (select n from total) as total, (select max(n) from doubled) as doubled";
        project.ok(&["query", query, "-f", "csv"])
    };
    project.ok(&["partitions", "add", "kinds", "a", "b"]);
    assert_eq!(total(), "total,doubled\n3,3\n");
    project.ok(&["partitions", "add", "kinds", "c"]);
    assert_eq!(total(), "total,doubled\n7,7\n");
    project.ok(&["partitions", "remove", "kinds", "b"]);
    assert_eq!(total(), "total,doubled\n5,5\n");
    assert_eq!(project.run(&["plan", "--exit-code"]).code, 0);
}
