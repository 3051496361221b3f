//! The command line of a repository.
//!
//! [`main`] is the whole program: `arrowsmith` itself calls it without a repository and loads the
//! project folder; a user's own binary passes the repository that it has built. Data goes to
//! standard output, everything else to standard error, and the exit code says how it went
//! ([`Exit`]). This is the only crate that prints or exits.

mod args;
mod commands;
mod context;
mod diagnostics;
mod exit;
mod output;
mod progress;
mod telemetry;
mod unchanged;
mod workspace;

use std::process::ExitCode;
use std::time::Duration;

use arrowsmith_definitions::Repository;
use clap::Parser;

pub use exit::Exit;

/// Stack of worker threads: queries are planned on them, and the planner recurses.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// How long blocking functions may hold up the end of the process.
const SHUTDOWN: Duration = Duration::from_millis(200);

/// Runs the command line over a repository, or over the project folder if there is none.
pub fn main(repository: Option<Repository>) -> ExitCode {
    let arguments = args::Arguments::parse();
    arguments.color.write_global();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("arrowsmith-worker")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            output::complain(&format!("the runtime could not be started: {error}"));
            return Exit::Environment.into();
        }
    };
    // Commands run on a thread of their own for the sake of its stack.
    let command = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let exit = runtime.block_on(commands::run(arguments, repository));
        runtime.shutdown_timeout(SHUTDOWN);
        exit
    });
    match command.map(std::thread::JoinHandle::join) {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(error) => {
            output::complain(&format!("no thread could be started: {error}"));
            Exit::Environment.into()
        }
    }
}

/// The command line as a `clap` command, for manuals and tests.
pub fn command() -> clap::Command {
    <args::Arguments as clap::CommandFactory>::command()
}
