//! What is not computed again is what would be computed: random graphs, edited at random, are as if
//! everything was built anew after each edit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrowsmith::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrowsmith::arrow::compute::concat_batches;
use arrowsmith::arrow::datatypes::SchemaRef;
use arrowsmith::arrow::util::pretty::pretty_format_batches;
use arrowsmith::datafusion::catalog::TableProvider;
use arrowsmith::datafusion::datasource::MemTable;
use arrowsmith::datafusion::prelude::SessionContext;
use arrowsmith::execution::{Engine, EngineOptions, PlanRequest, RunOptions, Silent, Verdict};
use arrowsmith::instance::{Instance, RunStatus};
use arrowsmith::io::{IoManager, MemoryIoManager, async_trait};
use arrowsmith::prelude::*;
use arrowsmith::{BoxError, Source};
use fastrand::Rng;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::support::Project;

/// All tables have these four columns of small numbers.
const COLUMNS: [&str; 4] = ["k", "v", "w", "g"];
const SOURCES: usize = 2;
const ASSETS: usize = 6;
/// Edits after which everything is compared; more are asked for by `ARROWSMITH_CASES`.
const CASES: usize = 120;
/// Edits of one graph.
const EDITS: usize = 12;

#[derive(Debug, Clone, PartialEq)]
struct SourceRows {
    rows: Vec<[i64; 4]>,
    /// Changes with every edit, also with one that changes no row.
    state: usize,
}

#[derive(Debug, Clone, PartialEq)]
struct Node {
    template: usize,
    inputs: [usize; 2],
    constant: i64,
    /// How it is written; the query is the same.
    clothes: usize,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Table,
    View,
    /// Cut by `g`.
    Partitioned,
}

#[derive(Debug, Clone, PartialEq)]
struct Graph {
    sources: Vec<SourceRows>,
    nodes: Vec<Node>,
}

/// Templates that keep `g` and compute the rows of one `g` from those of the same.
const BY_GROUP: [usize; 4] = [0, 1, 2, 3];
const TEMPLATES: usize = 14;

/// The name of a table: sources come first.
fn name(at: usize) -> String {
    if at < SOURCES { format!("s{at}") } else { format!("a{}", at - SOURCES) }
}

impl Node {
    fn query(&self) -> String {
        let (x, y, c) = (name(self.inputs[0]), name(self.inputs[1]), self.constant);
        let query = match self.template {
            0 => format!("select k, v + {c} as v, w, g from {x}"),
            1 => format!("select k, v, w, g from {x} where v > {c}"),
            2 => format!("select k, sum(v) as v, max(w) as w, g from {x} group by k, g"),
            3 => format!(
                "with q as (select k, v, 0 as w, g from {x} where k <> {c}) select q.k, q.v, q.w, q.g from q"
            ),
            4 => format!("select k, v, 0 as w, 0 as g from {x}"),
            5 => format!(
                "select a.k, a.v, b.w, a.g from {x} a join (select k, max(w) as w from {y} group by k) b on a.k = b.k"
            ),
            6 => format!("select k, v, w, g from {x} where k in (select k from {y} where v > {c})"),
            7 => format!(
                "select k % 3 as k, sum(v) as v, min(w) as w, count(*) as g from {x} group by 1"
            ),
            8 => format!(
                "select k, sum(v) over (partition by g) as v, w, cast(rank() over (order by w) as bigint) as g from {x}"
            ),
            9 => format!("select k, v, w, g from {x} union all select k, v, {c} as w, g from {y}"),
            // No constant `v`: DataFusion 55 pushes a constant filter below a global aggregate.
            10 => format!("select count(*) as k, count(*) + {c} as v, 0 as w, 0 as g from {x}"),
            11 => format!("select distinct k, 0 as v, 0 as w, g from {x}"),
            12 => format!("select k, v, w, g from {x} order by k, v, w, g limit 3"),
            _ => format!(
                "select k, v, w, cast(row_number() over (order by k, v, w, g) as bigint) as g from {x}"
            ),
        };
        match self.clothes {
            0 => query,
            1 => query.replace(" from ", "\n  FROM "),
            _ => format!(
                "-- another comment\nselect dressed.k, dressed.v, dressed.w, dressed.g from ({query}) as dressed"
            ),
        }
    }

    fn definition(&self) -> String {
        let front = match self.kind {
            Kind::Table => "",
            Kind::View => "materialized = \"view\"",
            Kind::Partitioned => {
                "partitions = { keys = [\"0\", \"1\", \"2\"], column = \"g\", outside = \"drop\" }"
            }
        };
        format!("/* +++\n{front}\n+++ */\n{}", self.query())
    }

    /// The same by one statement.
    fn oracle(&self) -> String {
        match self.kind {
            Kind::Partitioned => format!("select * from ({}) where g in (0, 1, 2)", self.query()),
            _ => self.query(),
        }
    }

    fn random(rng: &mut Rng, at: usize) -> Self {
        let template = rng.usize(..TEMPLATES);
        let inputs = [rng.usize(..SOURCES + at), rng.usize(..SOURCES + at)];
        let (constant, clothes) = (rng.i64(-1..4), rng.usize(..3));
        let kind = match rng.u32(..4) {
            0 => Kind::View,
            1 if BY_GROUP.contains(&template) => Kind::Partitioned,
            _ => Kind::Table,
        };
        Self { template, inputs, constant, clothes, kind }
    }
}

impl Graph {
    fn random(rng: &mut Rng) -> Self {
        let row = |rng: &mut Rng| [rng.i64(0..4), rng.i64(0..6), rng.i64(0..6), rng.i64(0..3)];
        let source =
            |rng: &mut Rng| SourceRows { rows: (0..5).map(|_| row(rng)).collect(), state: 0 };
        let sources = (0..SOURCES).map(|_| source(rng)).collect();
        Self { sources, nodes: (0..ASSETS).map(|at| Node::random(rng, at)).collect() }
    }

    fn edit(&mut self, rng: &mut Rng, states: &mut usize) -> String {
        *states += 1;
        let at = rng.usize(..ASSETS);
        let source = &mut self.sources[rng.usize(..SOURCES)];
        let edit = rng.u32(..10);
        if edit < 5 {
            source.state = *states;
        }
        let row = rng.usize(..source.rows.len());
        match edit {
            0 | 1 => {
                let column = rng.usize(..4);
                source.rows[row][column] = if column == 3 { rng.i64(0..3) } else { rng.i64(0..6) };
                format!("another `{}`", COLUMNS[column])
            }
            2 => {
                let copy = source.rows[row];
                source.rows.push([copy[0], rng.i64(0..6), copy[2], copy[3]]);
                "a row more".to_owned()
            }
            3 if source.rows.len() > 1 => {
                source.rows.remove(row);
                "a row less".to_owned()
            }
            3 | 4 => {
                rng.shuffle(&mut source.rows);
                "the same rows in another order".to_owned()
            }
            5 => {
                self.nodes[at].constant = rng.i64(-1..4);
                format!("another constant in a{at}")
            }
            6 | 7 => {
                self.nodes[at].clothes = rng.usize(..3);
                format!("other clothes of a{at}")
            }
            8 => {
                self.nodes[at] = Node::random(rng, at);
                format!("another a{at}")
            }
            _ => "nothing".to_owned(),
        }
    }
}

#[derive(Debug)]
struct TestSource(SourceRows);

impl SourceRows {
    fn table(&self) -> MemTable {
        let column = |at: usize| {
            let values = self.rows.iter().map(|row| row[at]);
            Arc::new(Int64Array::from_iter_values(values)) as ArrayRef
        };
        let columns = COLUMNS.iter().enumerate().map(|(at, name)| (*name, column(at), true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns).expect("a batch");
        MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table")
    }
}

#[async_trait]
impl Source for TestSource {
    fn schema(&self) -> SchemaRef {
        self.0.table().schema()
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, BoxError> {
        Ok(Arc::new(self.0.table()))
    }

    async fn states(&self, _keys: &[String]) -> Result<Option<BTreeMap<String, String>>, BoxError> {
        Ok(Some(BTreeMap::from([(String::new(), self.0.state.to_string())])))
    }

    fn location(&self) -> String {
        "the test".to_owned()
    }

    fn kind(&self) -> &'static str {
        "test"
    }
}

#[derive(Columns)]
struct Two {
    k: Option<i64>,
    v: Option<i64>,
}

/// It reads two columns of an asset, whatever else that has.
#[asset]
fn typed(a1: Table<Two>) -> Vec<Two> {
    a1.rows().map(|row| Two { k: row.k, v: row.v.map(|v| v * 2) }).collect()
}

fn sorted(batches: &[RecordBatch], schema: &SchemaRef) -> Vec<String> {
    let batch = concat_batches(schema, batches).expect("one batch");
    let text = pretty_format_batches(&[batch]).expect("a text").to_string();
    let mut rows: Vec<String> = text.lines().skip(3).map(str::to_owned).collect();
    rows.sort();
    // Widths of columns are not rows.
    rows.iter()
        .map(|row| row.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|row| !row.starts_with('+'))
        .collect()
}

async fn rows_of(table: Arc<dyn TableProvider>) -> Vec<String> {
    let schema = table.schema();
    let frame = SessionContext::new().read_table(table).expect("a frame");
    sorted(&frame.collect().await.expect("rows"), &schema)
}

/// What every table should have, computed by nothing but DataFusion.
async fn expected(graph: &Graph) -> BTreeMap<String, Vec<String>> {
    let session = SessionContext::new();
    for (at, source) in graph.sources.iter().enumerate() {
        session.register_table(name(at), Arc::new(source.table())).expect("a table");
    }
    let mut expected = BTreeMap::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        let frame = session.sql(&node.oracle()).await.expect("a query");
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        let batches = frame.collect().await.expect("rows");
        expected.insert(format!("a{at}"), sorted(&batches, &schema));
        let table = MemTable::try_new(schema, vec![batches]).expect("a table");
        session.register_table(format!("a{at}"), Arc::new(table)).expect("a table");
    }
    let frame = session.sql("select k, v * 2 as v from a1").await.expect("a query");
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    expected.insert("typed".to_owned(), sorted(&frame.collect().await.expect("rows"), &schema));
    expected
}

#[derive(Debug, Default)]
struct Work {
    cases: usize,
    computed: usize,
    confirmed: usize,
    reused: usize,
    left_out: u64,
}

impl Work {
    fn add(&mut self, more: &Self) {
        self.cases += more.cases;
        self.computed += more.computed;
        self.confirmed += more.confirmed;
        self.reused += more.reused;
        self.left_out += more.left_out;
    }
}

/// Builds what is needed after an edit, and compares every table.
async fn check(graph: &Graph, instance: &Instance, manager: &Arc<dyn IoManager>, work: &mut Work) {
    let mut repository = Repository::new("random").with_io_manager("default", Arc::clone(manager));
    for (at, source) in graph.sources.iter().enumerate() {
        let key = name(at).parse().expect("a key");
        repository = repository.with(Asset::external(key, Arc::new(TestSource(source.clone()))));
    }
    for (at, node) in graph.nodes.iter().enumerate() {
        repository = repository.with(sql_asset(&format!("a{at}"), &node.definition()));
    }
    repository = repository.with(assets![typed]);
    let folder = TempDir::new().expect("a folder");
    let options =
        EngineOptions { instance: Some(instance.clone()), ..EngineOptions::new(folder.path()) };
    let engine = Arc::new(Engine::open(&repository, options).await.expect("an engine"));
    let request = PlanRequest { only_needed: true, ..PlanRequest::new("") };
    let plan = engine.plan_request(&request).await.expect("a plan");
    work.left_out += plan.fresh;
    if !plan.is_empty() {
        let (engine, silent) = (Arc::clone(&engine), Arc::new(Silent));
        let run = engine.run(plan, RunOptions::default(), CancellationToken::new(), silent);
        let report = run.await.expect("a report");
        assert_eq!(report.status, RunStatus::Success, "{:?}", report.error);
        work.computed += report.steps.get("success").copied().unwrap_or(0);
        work.confirmed += report.steps.get("confirmed").copied().unwrap_or(0);
        work.reused += report.steps.get("reused").copied().unwrap_or(0);
    }
    for (key, expected) in expected(graph).await {
        let table = engine.table(&key.parse().expect("a key")).await.expect("a table");
        assert_eq!(rows_of(table).await, expected, "{key}");
    }
    // What could have been reused is gone now and then.
    if work.cases % 7 == 6 {
        engine.vacuum(std::time::Duration::ZERO, false).await.expect("a vacuum");
    }
    work.cases += 1;
}

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
        "# and its orders are stored\n{}{}{}",
        why("monthly"),
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

/// It says that it gives the same rows for the same inputs, and does not.
#[asset]
fn liar() -> Vec<Two> {
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    vec![Two { k: Some(1), v: Some(call) }]
}

#[asset]
fn honest() -> Vec<Two> {
    vec![Two { k: Some(1), v: Some(2) }]
}

#[tokio::test]
async fn a_function_that_lies_about_being_deterministic_is_caught() {
    let repository = Repository::new("liars").with(assets![liar, honest]);
    let folder = TempDir::new().expect("a folder");
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

/// A random graph with random edits; after each of them every table is compared.
fn edit_one_graph(seed: u64) -> Work {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut rng = Rng::with_seed(seed);
    let mut graph = Graph::random(&mut rng);
    let instance = Instance::in_memory();
    let manager: Arc<dyn IoManager> = Arc::new(MemoryIoManager::new());
    let (mut history, mut states) = (vec![graph.clone()], 0);
    let (mut told, mut work) = (vec!["built".to_owned()], Work::default());
    for edit in 0..EDITS {
        let tried = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(check(&graph, &instance, &manager, &mut work));
        });
        if let Err(panic) = std::panic::catch_unwind(tried) {
            let queries: Vec<String> = graph.nodes.iter().map(Node::definition).collect();
            let (queries, sources) = (queries.join("\n"), &graph.sources);
            tell(&format!("ARROWSMITH_SEED={seed} after {told:?}\n{queries}\n{sources:?}\n"));
            std::panic::resume_unwind(panic);
        }
        if edit % 4 == 3 {
            graph = history[rng.usize(..history.len())].clone();
            told.push("back".to_owned());
        } else {
            told.push(graph.edit(&mut rng, &mut states));
        }
        history.push(graph.clone());
    }
    work
}

fn tell(text: &str) {
    std::io::Write::write_all(&mut std::io::stderr(), text.as_bytes()).expect("written");
}

#[test]
fn what_is_left_out_is_what_would_be_computed() {
    let asked = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let cases = asked("ARROWSMITH_CASES").map_or(CASES, |n| usize::try_from(n).expect("a number"));
    let seed = asked("ARROWSMITH_SEED").unwrap_or_else(|| fastrand::u64(..));
    // Graphs have nothing to do with each other, so each processor takes the next one.
    let (graphs, work) = (AtomicU64::new(0), Mutex::new(Work::default()));
    let enough = || work.lock().expect("the work").cases >= cases;
    std::thread::scope(|scope| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = (0..processors).map(|_| {
            scope.spawn(|| {
                while !enough() {
                    // Each graph has a seed of its own, so that a failure can be looked at alone.
                    let seed = seed.wrapping_add(graphs.fetch_add(1, Ordering::Relaxed));
                    let done = edit_one_graph(seed);
                    work.lock().expect("the work").add(&done);
                }
            })
        });
        // A failure is told by its thread.
        for thread in threads.collect::<Vec<_>>() {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
    let (graphs, work) = (graphs.into_inner(), work.into_inner().expect("the work"));
    // Most of what an edit does not touch must be left out, else nothing is won.
    let Work { computed, confirmed, reused, left_out, .. } = work;
    tell(&format!("seed {seed}: {graphs} graphs, {work:?}\n"));
    let saved = left_out + (confirmed + reused) as u64;
    assert!(
        saved * 2 > computed as u64,
        "{computed} computed, {confirmed} confirmed, {reused} reused, {left_out} left out"
    );
}
