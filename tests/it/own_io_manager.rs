//! A user's own IO manager, that of the example of the concepts.

#[path = "../../examples/concepts/json_lines.rs"]
mod json_lines;

use std::sync::Arc;

use arrowsmith::execution::{Engine, EngineOptions, ProjectError, RunOptions, Silent};
use arrowsmith::io::{
    Damage, Depth, IoManager, OptionProblem, Options, Result, StoredTable, VersionEntry,
    WriteTarget, async_trait, conformance,
};
use arrowsmith::prelude::*;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use json_lines::{JsonLines, file, query};
use tokio_util::sync::CancellationToken;

use crate::support::folder;

/// Loads what [`JsonLines`] has stored, with every name in capital letters.
#[derive(Debug)]
struct Capitals(JsonLines);

#[async_trait]
impl IoManager for Capitals {
    fn kind(&self) -> &'static str {
        "capitals"
    }

    fn store_url(&self) -> String {
        self.0.store_url()
    }

    fn check_options(&self, options: &Options) -> Vec<OptionProblem> {
        self.0.check_options(options)
    }

    async fn write(
        &self,
        _input: Arc<dyn ExecutionPlan>,
        _context: Arc<TaskContext>,
        target: &WriteTarget,
    ) -> Result<StoredTable> {
        unreachable!("nothing is to be stored by it, but `{}` is", target.table)
    }

    fn provider(&self, stored: &Arc<StoredTable>) -> Result<Arc<dyn TableProvider>> {
        let text =
            std::fs::read_to_string(self.0.rows(stored)).map_err(file("read", &self.0.folder))?;
        let schema = Arc::clone(stored.schema.arrow());
        let text = text.to_uppercase().replace("NAME", "name");
        let reader = arrow::json::ReaderBuilder::new(Arc::clone(&schema));
        let reader = reader.build(text.as_bytes()).map_err(query)?;
        let batches = reader.collect::<Result<Vec<_>, _>>().map_err(query)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![batches]).map_err(query)?))
    }

    async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        self.0.verify(stored, depth).await
    }

    fn locate(&self, stored: &StoredTable) -> Vec<String> {
        self.0.locate(stored)
    }

    async fn versions(&self) -> Result<Vec<VersionEntry>> {
        Ok(Vec::new())
    }

    async fn manifest(&self, _entry: &VersionEntry) -> Result<Option<StoredTable>> {
        Ok(None)
    }

    async fn remove(&self, _entry: &VersionEntry) -> Result<u64> {
        Ok(0)
    }

    async fn probe(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Columns)]
struct Name {
    name: String,
}

#[asset]
fn both(
    #[input(key = "names", io_manager = "capitals")] loud: Table<Name>,
    names: Table<Name>,
) -> Vec<Name> {
    names.rows().chain(loud.rows()).collect()
}

#[tokio::test]
async fn an_input_is_loaded_by_a_manager_of_its_own() {
    let (folder, home) = (folder(), folder());
    let json = || JsonLines { folder: folder.path().to_owned() };
    let mut repository = Repository::new("inputs")
        .with_io_manager("json", Arc::new(json()))
        .with(sql_asset("names", "select 'ada' as name"))
        .with(assets![both]);
    let wrong = Engine::open(&repository, EngineOptions::new(home.path())).await;
    let ProjectError::Problems(problems) = wrong.expect_err("an unknown manager") else {
        panic!("problems of the definitions");
    };
    let told = "input `loud` of `both` is to be loaded by `capitals`, which is no IO manager";
    assert_eq!(problems.0[0].message, told);
    repository = repository.with_io_manager("capitals", Arc::new(Capitals(json())));
    let engine = Engine::open(&repository, EngineOptions::new(home.path())).await;
    let engine = Arc::new(engine.expect("a sound repository"));
    let plan = engine.plan("").await.expect("a plan");
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    assert_eq!(report.expect("a report").error, None);
    let made = engine.current(&"both".parse().expect("a key")).await.expect("made").remove(0);
    let path = engine.resolved.io_managers["json"].locate(&made.stored).remove(0);
    let text = std::fs::read_to_string(path).expect("a file");
    assert_eq!(text, "{\"name\":\"ada\"}\n{\"name\":\"ADA\"}\n");
}

#[tokio::test]
async fn it_keeps_the_contract() {
    let folder = folder();
    conformance::check(Arc::new(JsonLines { folder: folder.path().to_owned() })).await;
}

#[tokio::test]
async fn assets_are_stored_in_its_way_and_read_back() {
    let (folder, home) = (folder(), folder());
    let json = Arc::new(JsonLines { folder: folder.path().to_owned() });
    let repository = Repository::new("own")
        .with_io_manager("json", json)
        .with(sql_asset("staging.names", "select 'ada' as name, 1815 as born"))
        .with(sql_asset("upper", "select upper(name) as name from staging.names"));
    let engine = Engine::open(&repository, EngineOptions::new(home.path())).await;
    let engine = Arc::new(engine.expect("a sound repository"));
    let plan = engine.plan("").await.expect("a plan");
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    report.expect("a report");
    let made = engine.current(&"upper".parse().expect("a key")).await.expect("made").remove(0);
    let path = engine.resolved.io_managers["json"].locate(&made.stored).remove(0);
    assert_eq!(std::fs::read_to_string(path).expect("a file"), "{\"name\":\"ADA\"}\n");
}
