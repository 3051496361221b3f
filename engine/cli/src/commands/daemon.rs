//! `daemon run|status`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_daemon::{Daemon, DaemonOptions, SubprocessLauncher};
use arrowsmith_execution::{Clock, SystemClock};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::signals;
use super::workspace::run_daemons;
use crate::Exit;
use crate::args::{DaemonCommand, Format};
use crate::context::{CommandResult, Context, fail};
use crate::diagnostics::{report, summary};
use crate::output::{Rows, chain, complain, moment, say};

/// A duty that was not done for so long is done by nobody.
const SILENCE: Duration = Duration::from_secs(90);

pub(crate) async fn daemon(context: &Context, command: DaemonCommand) -> CommandResult {
    match command {
        DaemonCommand::Run { workspace: Some(file), .. } => run_daemons(&file).await,
        DaemonCommand::Run { listen, until_input_ends, .. } => {
            run(context, listen, until_input_ends).await
        }
        DaemonCommand::Status { format } => status(context, format.format).await,
    }
}

async fn run(
    context: &Context,
    listen: Option<SocketAddr>,
    until_input_ends: bool,
) -> CommandResult {
    let daemon = open(context).await?;
    if let Some(problems) = daemon.problems() {
        report(&problems.0);
        complain(&summary(&problems.0));
        say("the daemon waits until they are mended");
    }
    if let Some(engine) = daemon.engine() {
        let of = &engine.resolved;
        let (schedules, sensors) = (of.schedules.len(), of.sensors.len());
        say(&format!(
            "the daemon serves `{}`: {} assets, {} jobs, {schedules} schedules, {sensors} sensors",
            of.name,
            of.assets.len(),
            of.jobs.len(),
        ));
    }
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    if until_input_ends {
        let cancel = cancel.clone();
        // A thread that reads cannot be stopped; it goes with the process.
        drop(std::thread::spawn(move || {
            drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
            cancel.cancel();
        }));
    }
    let served = async {
        match listen {
            Some(address) => daemon.serve(address, cancel.clone()).await,
            None => Ok(()),
        }
    };
    let worked = daemon.run(cancel.clone());
    // Without its address nobody can look after it, so it does not begin.
    let (served, worked) = tokio::join!(
        async {
            let served = served.await;
            if served.is_err() {
                cancel.cancel();
            }
            served
        },
        worked
    );
    served.and(worked).map_err(|error| failed(&error))?;
    say("the daemon has stopped");
    Ok(match signalled.exit() {
        // To be stopped by its supervisor is how a daemon ends well.
        Exit::Terminated => Exit::Ok,
        other => other,
    })
}

/// The daemon of the repository, whose runs are processes of this program.
pub(super) async fn open(context: &Context) -> CommandResult<Daemon> {
    let (repository, engine) = context.engine_options()?;
    let program = std::env::current_exe().map_err(|error| {
        complain(&format!("the program of this process is not known: {error}"));
        Exit::Environment
    })?;
    let launcher = SubprocessLauncher { program, arguments: context.again() };
    let options = DaemonOptions { engine, launcher: Some(Arc::new(launcher)) };
    Daemon::open(repository, options).await.map_err(|error| failed(&error))
}

fn failed(error: &arrowsmith_daemon::Error) -> Exit {
    complain(&chain(error));
    Exit::Environment
}

async fn status(context: &Context, format: Format) -> CommandResult {
    let instance = context.instance().await?;
    let beats = instance.heartbeats().await.map_err(|e| fail(&e.into()))?;
    let now = SystemClock.now();
    let mut rows = Rows::new("arrowsmith.daemon.v1", &["duty", "done", "seconds_ago", "error"]);
    let mut newest = i64::MIN;
    for beat in &beats {
        newest = newest.max(beat.at);
        let ago = (now - beat.at) / 1_000_000;
        rows.push(vec![json!(beat.duty), json!(moment(beat.at)), json!(ago), json!(beat.error)]);
    }
    rows.print(format)?;
    let silence = i64::try_from(SILENCE.as_micros()).unwrap_or(i64::MAX);
    if now.saturating_sub(newest) > silence {
        complain("no daemon is at work; `arrowsmith daemon run` starts one");
        return Ok(Exit::Failed);
    }
    Ok(Exit::Ok)
}
