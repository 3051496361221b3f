//! What is not computed again is what would be computed: random graphs, edited at random, are as if
//! everything was built anew after each edit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arrowsmith::arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrowsmith::arrow::compute::concat_batches;
use arrowsmith::arrow::datatypes::SchemaRef;
use arrowsmith::arrow::util::pretty::pretty_format_batches;
use arrowsmith::datafusion::catalog::TableProvider;
use arrowsmith::datafusion::datasource::MemTable;
use arrowsmith::datafusion::prelude::SessionContext;
use arrowsmith::execution::{Engine, EngineOptions, PlanRequest, RunOptions, Silent};
use arrowsmith::instance::{Instance, RunStatus};
use arrowsmith::io::{IoManager, MemoryIoManager, async_trait};
use arrowsmith::prelude::*;
use arrowsmith::{BoxError, Source};
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use crate::support::folder;

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
    let folder = folder();
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
