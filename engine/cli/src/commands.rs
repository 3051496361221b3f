//! The commands, one file a subject.

mod asset;
mod backfill;
mod bench;
mod check;
mod daemon;
mod explain;
mod init;
mod instance;
mod instigators;
mod job;
mod launch;
mod lineage;
mod maintain;
mod materialize;
mod partitions;
mod plan;
mod query;
mod run;
mod schedule;
mod sensor;
mod show;
mod signals;
mod test;
mod verify;
mod web;
mod why;
mod workspace;

use arrowsmith_definitions::Repository;

use crate::Exit;
use crate::args::{Arguments, Command, IoCommand};
use crate::context::{CommandResult, Context};

/// Runs a command to its exit code.
pub(crate) async fn run(mut arguments: Arguments, repository: Option<Repository>) -> Exit {
    let context = Context::new(&mut arguments, repository);
    let exit = dispatch(arguments.command, &context).await.unwrap_or_else(|exit| exit);
    context.telemetry.flush();
    exit
}

async fn dispatch(command: Command, context: &Context) -> CommandResult {
    match command {
        Command::Init { directory } => init::init(&directory),
        Command::Check { format } => check::check(context, format.format),
        Command::Test { filter, format } => {
            test::test(context, filter.as_deref(), format.format).await
        }
        Command::Asset(command) => asset::asset(context, command).await,
        Command::Materialize { selection, partitions, full_refresh, force, run } => {
            let mut request = partitions::request(&selection, &partitions)?;
            request.full_refresh = full_refresh;
            request.only_needed = !force;
            materialize::materialize(context, &request, run).await
        }
        Command::Backfill(command) => backfill::backfill(context, command).await,
        Command::Partitions(command) => partitions::partitions(context, command).await,
        Command::Job(command) => job::job(context, command).await,
        Command::Plan { selection, partitions, force, exit_code, format } => {
            let mut request = partitions::request(&selection, &partitions)?;
            request.only_needed = !force;
            plan::plan(context, &request, exit_code, format.format).await
        }
        Command::Lineage { asset, svg: Some(file), .. } => {
            lineage::draw(context, asset.as_deref(), &file).await
        }
        Command::Lineage { asset, column, format, svg: None } => {
            let asset = asset.unwrap_or_default();
            lineage::lineage(context, &asset, column.as_deref(), format.format).await
        }
        Command::Why { asset, if_column_changes, partitions, format } => match if_column_changes {
            Some(column) => why::if_column_changes(context, &column, format.format).await,
            None => {
                let asset = asset.as_deref().unwrap_or_default();
                why::why(context, asset, &partitions, format.format).await
            }
        },
        Command::Verify { selection, sample, partitions, format } => {
            let selection = selection.join(" or ");
            verify::verify(context, &selection, sample, &partitions, format.format).await
        }
        Command::Run(command) => run::run(context, command).await,
        Command::Schedule(command) => schedule::schedule(context, command).await,
        Command::Sensor(command) => sensor::sensor(context, command).await,
        Command::Workspace(command) => workspace::workspace(command).await,
        Command::Describe => workspace::describe(context).await,
        Command::Daemon(command) => daemon::daemon(context, command).await,
        Command::Web(args) => web::web(context, args).await,
        Command::Dev(args) => web::dev(context, args).await,
        Command::Show { asset, limit, partitions, format } => {
            show::show(context, &asset, limit, &partitions, format.format).await
        }
        Command::Query { sql, format, output } => {
            query::query(context, &sql, format, output.as_deref()).await
        }
        Command::Files { asset, partitions, format } => {
            show::files(context, &asset, &partitions, format.format).await
        }
        Command::Vacuum { retention, dry_run, format } => {
            maintain::vacuum(context, retention, dry_run, format.format).await
        }
        Command::Fsck { quick, format } => maintain::fsck(context, quick, format.format).await,
        Command::Io(IoCommand::Migrate { selection, to, format }) => {
            maintain::migrate(context, &selection.join(" or "), &to, format.format).await
        }
        Command::Bench(command) => bench::bench(context, command).await,
        Command::Instance(command) => instance::instance(context, command).await,
        Command::Explain { code } => explain::explain(code.as_deref()),
        Command::Completions { shell } => explain::completions(shell),
    }
}
