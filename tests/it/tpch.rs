//! The TPC-H example at a small scale factor, against answers that another engine has computed.

use std::sync::Arc;

use arrowsmith::Repository;
use arrowsmith::execution::{Engine, EngineOptions, RunOptions, Silent};
use arrowsmith::instance::RunStatus;
use tokio_util::sync::CancellationToken;

use crate::support::{Project, copy_folder, examples};

#[path = "../../examples/tpch/generate.rs"]
mod generate;
#[path = "../../examples/tpch/verify.rs"]
mod verify;

#[tokio::test]
async fn sixteen_assets_equal_the_known_answers() {
    let project = Project::new("");
    copy_folder(&examples().join("tpch/assets"), &project.path().join("assets"));
    let settings = std::fs::read_to_string(examples().join("tpch/arrowsmith.toml"));
    project.write("arrowsmith.toml", &settings.expect("a project file"));
    let rows = generate::generate(0.01, &project.path().join("data")).expect("data");
    assert_eq!(rows, 60_175 + 15_000 + 8_000 + 2_000 + 1_500 + 100 + 25 + 5);

    let repository = Repository::new("tpch").with(arrowsmith::sql_project(project.path()));
    let options = EngineOptions::new(project.path().join(".arrowsmith"));
    let engine = Arc::new(Engine::open(&repository, options).await.expect("a sound project"));
    let plan = engine.plan("").await.expect("a plan");
    assert_eq!(plan.steps.len(), 16);
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await;
    assert_eq!(report.expect("a report").status, RunStatus::Success);

    let answers = examples().join("tpch/answers/sf0.01.json");
    let differences = verify::differences(&engine, &answers).await.expect("comparable tables");
    assert_eq!(differences, Vec::<String>::new());
}
