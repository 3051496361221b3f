//! `workspace list|check`, and the daemons of a workspace.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use arrowsmith_execution::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::signals;
use crate::Exit;
use crate::args::{Format, WorkspaceCommand};
use crate::context::{CommandResult, Context};
use crate::output::{Rows, complain, print, say};
use crate::workspace::{Location, read};

/// How long a repository may take to describe itself.
const DESCRIBE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long a daemon that has ended is left alone; twice as long each time, up to the limit.
const RESTART: Duration = Duration::from_secs(1);
const RESTART_MAX: Duration = Duration::from_mins(1);
/// How long a daemon may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn workspace(command: WorkspaceCommand) -> CommandResult {
    match command {
        WorkspaceCommand::List { file, format } => list(&file, format.format).await,
        WorkspaceCommand::Check { file } => check(&file).await,
    }
}

/// `describe`: what is in a repository, for whoever loads it as a unit.
pub(crate) async fn describe(context: &Context) -> CommandResult {
    let engine = context.engine_without_instance().await?;
    let of = &engine.resolved;
    let names = |names: Vec<&String>| json!(names);
    let mut assets: Vec<String> = of.assets.keys().map(ToString::to_string).collect();
    assets.sort();
    let document = json!({
        "schema": "arrowsmith.repository.v1",
        "name": of.name,
        "version": env!("CARGO_PKG_VERSION"),
        "assets": assets,
        "jobs": names(of.jobs.keys().collect()),
        "schedules": names(of.schedules.keys().collect()),
        "sensors": names(of.sensors.keys().collect()),
    });
    print(&document.to_string())?;
    Ok(Exit::Ok)
}

async fn list(file: &Path, format: Format) -> CommandResult {
    let columns = &["repository", "state", "assets", "jobs", "schedules", "sensors"];
    let mut rows = Rows::new("arrowsmith.workspace.v1", columns);
    let mut failed = false;
    for location in read(file)? {
        let mut row = vec![json!(location.name)];
        match described(&location).await {
            Ok(found) => {
                let count = |key: &str| json!(found[key].as_array().map_or(0, Vec::len));
                row.push(json!("sound"));
                row.extend(["assets", "jobs", "schedules", "sensors"].map(count));
            }
            Err(error) => {
                failed = true;
                row.push(json!(error));
                row.extend(vec![Value::Null; 4]);
            }
        }
        rows.push(row);
    }
    rows.print(format)?;
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

async fn described(location: &Location) -> Result<Value, String> {
    let mut command = location.command(&["--quiet", "describe"]);
    let output = command.kill_on_drop(true).output();
    let output = tokio::select! {
        output = output => output.map_err(|error| format!("it cannot be started: {error}"))?,
        () = SystemClock.sleep(DESCRIBE_TIMEOUT) => return Err("it took too long".to_owned()),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        return Err(format!("broken: {last}"));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| "it does not describe itself".to_owned())
}

async fn check(file: &Path) -> CommandResult {
    let mut broken = 0;
    let locations = read(file)?;
    for location in &locations {
        say(&format!("{}:", location.name));
        match location.command(&["check"]).status().await {
            Ok(status) if status.success() => {}
            Ok(_) => broken += 1,
            Err(error) => {
                broken += 1;
                complain(&format!("it cannot be started: {error}"));
            }
        }
    }
    say(&format!("{} of {} repositories are sound", locations.len() - broken, locations.len()));
    Ok(if broken > 0 { Exit::Invalid } else { Exit::Ok })
}

/// A daemon for each repository of a workspace; one that ends is started again.
pub(super) async fn run_daemons(file: &Path) -> CommandResult {
    let locations = read(file)?;
    let cancel = CancellationToken::new();
    let signalled = signals::cancel_on_signal(cancel.clone());
    let mut daemons = JoinSet::new();
    for location in locations {
        daemons.spawn(keep(location, cancel.clone()));
    }
    while daemons.join_next().await.is_some() {}
    say("all daemons have stopped");
    Ok(match signalled.exit() {
        Exit::Terminated => Exit::Ok,
        other => other,
    })
}

async fn keep(location: Location, cancel: CancellationToken) {
    let mut pause = RESTART;
    while !cancel.is_cancelled() {
        let began = SystemClock.now();
        let mut command = location.command(&["daemon", "run", "--until-input-ends"]);
        // It ends with this process, however that ends.
        command.stdin(Stdio::piped());
        // A signal to the terminal reaches this process, which passes it on once.
        command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
        let ended = match command.spawn() {
            Ok(child) => watch(&location.name, child, &cancel).await,
            Err(error) => format!("cannot be started: {error}"),
        };
        if cancel.is_cancelled() {
            return;
        }
        if SystemClock.now() - began > 60_000_000 {
            pause = RESTART;
        }
        say(&format!(
            "{}: the daemon {ended}; it starts again in {} s",
            location.name,
            pause.as_secs()
        ));
        tokio::select! {
            () = cancel.cancelled() => return,
            () = SystemClock.sleep(pause) => {}
        }
        pause = (pause * 2).min(RESTART_MAX);
    }
}

/// Passes on what a daemon says until it ends; how it did.
async fn watch(name: &str, mut child: Child, cancel: &CancellationToken) -> String {
    let _its_input = child.stdin.take();
    if let Some(said) = child.stderr.take() {
        let name = name.to_owned();
        drop(tokio::spawn(async move {
            let mut lines = BufReader::new(said).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                say(&format!("{name}: {line}"));
            }
        }));
    }
    tokio::select! {
        ended = child.wait() => return told(ended),
        () = cancel.cancelled() => {}
    }
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // One that has just ended need not be told.
        let _ = kill_process(pid, Signal::TERM);
    }
    tokio::select! {
        ended = child.wait() => told(ended),
        () = SystemClock.sleep(STOP_LIMIT) => "did not stop".to_owned(),
    }
}

fn told(ended: std::io::Result<std::process::ExitStatus>) -> String {
    ended.map_or_else(|error| format!("is lost: {error}"), |status| format!("ended with {status}"))
}
