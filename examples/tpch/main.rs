//! The 16-asset TPC-H pipeline at a scale factor given on the command line.
//!
//! ```sh
//! cargo run --release --example tpch -- 1
//! ```
//!
//! makes the data, materializes the project in this folder, and compares every table with the
//! answers that are known for the scale factor. Afterwards the project is one like any other:
//! `arrowsmith query --project examples/tpch "select * from q5_local_supplier_volume"`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example is a program")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use arrowsmith::Repository;
use arrowsmith::execution::{Engine, EngineOptions, ProjectError, RunOptions, Silent};
use arrowsmith::instance::RunStatus;
use tokio_util::sync::CancellationToken;

mod generate;
mod verify;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let scale = arguments.next().and_then(|text| text.parse::<f64>().ok());
    let Some(scale) = scale.filter(|scale| *scale > 0.0) else {
        eprintln!("usage: tpch SCALE_FACTOR [PROJECT], such as `tpch 1` or `tpch 0.1`");
        return ExitCode::from(2);
    };
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/tpch");
    let project = arguments.next().map_or(bundled, PathBuf::from);
    match run(scale, &project).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a program may look at the machine's clock")]
async fn run(scale: f64, project: &Path) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let rows = generate::generate(scale, &project.join("data"))?;
    println!("made {rows} rows at scale factor {scale} in {:.1?}", began.elapsed());

    let repository = Repository::new("tpch").with(arrowsmith::sql_project(project));
    let options = EngineOptions::new(project.join(".arrowsmith"));
    let engine = match Engine::open(&repository, options).await {
        Ok(engine) => Arc::new(engine),
        Err(ProjectError::Problems(problems)) => return Err(problems.to_string().into()),
        Err(ProjectError::Engine(error)) => return Err(error.into()),
    };
    let began = Instant::now();
    let plan = engine.plan("").await?;
    let steps = plan.steps.len();
    let cancel = CancellationToken::new();
    let report = engine.run(plan, RunOptions::default(), cancel, Arc::new(Silent)).await?;
    println!("materialized {steps} assets in {:.2?}: {}", began.elapsed(), report.status);
    if report.status != RunStatus::Success {
        return Ok(ExitCode::FAILURE);
    }

    let answers = project.join("answers").join(format!("sf{scale}.json"));
    if !answers.exists() {
        println!("no answers are known for this scale factor");
        return Ok(ExitCode::SUCCESS);
    }
    let differences = verify::differences(&engine, &answers).await?;
    for difference in &differences {
        println!("differs: {difference}");
    }
    if differences.is_empty() {
        println!("every table equals the known answers");
        return Ok(ExitCode::SUCCESS);
    }
    Ok(ExitCode::FAILURE)
}
