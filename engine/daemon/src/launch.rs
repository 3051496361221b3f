//! Who carries out the runs of the queue.

use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use arrowsmith_definitions::Launcher;
use arrowsmith_execution::{Engine, Silent};
use arrowsmith_instance::{EndRun, ProcessIdentity, RunId, RunStatus};
use async_trait::async_trait;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{Daemon, Error, Result};

/// How long runs in this process may take to stop when it ends.
const STOP_GRACE: std::time::Duration = std::time::Duration::from_secs(10);

/// A run that is to begin.
#[derive(Debug)]
pub struct ClaimedRun {
    /// The repository.
    pub engine: Arc<Engine>,
    /// The run.
    pub run_id: RunId,
    /// Stops it, where it is carried out in this process.
    pub cancel: CancellationToken,
}

/// Carries out runs.
#[async_trait]
pub trait RunLauncher: fmt::Debug + Send + Sync {
    /// Carries out a run; returns when it is over, with the reason if its process has died.
    ///
    /// # Errors
    /// `Spawn`; of the instance.
    async fn launch(&self, run: ClaimedRun) -> Result<Option<String>>;

    /// Whether runs end with the daemon.
    fn is_in_process(&self) -> bool;
}

/// Carries out runs in the process of the daemon.
#[derive(Debug, Clone, Copy, Default)]
pub struct InProcessLauncher;

#[async_trait]
impl RunLauncher for InProcessLauncher {
    async fn launch(&self, run: ClaimedRun) -> Result<Option<String>> {
        let ClaimedRun { engine, run_id, cancel } = run;
        engine.run_queued(run_id, cancel, Arc::new(Silent)).await?;
        Ok(None)
    }

    fn is_in_process(&self) -> bool {
        true
    }
}

/// Carries out each run in a process of its own, which is a command and `run execute ID`.
#[derive(Debug, Clone)]
pub struct SubprocessLauncher {
    /// The program of the repository.
    pub program: PathBuf,
    /// Its arguments before `run execute`, such as `--project DIR`.
    pub arguments: Vec<OsString>,
}

#[async_trait]
impl RunLauncher for SubprocessLauncher {
    async fn launch(&self, run: ClaimedRun) -> Result<Option<String>> {
        let ClaimedRun { engine, run_id, .. } = run;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(["--quiet", "run", "execute"]).arg(run_id.to_string());
        // A signal to the daemon's terminal is none to its runs.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let output = engine.instance.log_path(run_id).map(|path| path.with_extension("err"));
        command.stderr(written(output.as_deref()));
        let mut child = command.spawn().map_err(Error::Spawn)?;
        let status = child.wait().await.map_err(Error::Spawn)?;
        if let Some(path) = &output
            && std::fs::metadata(path).is_ok_and(|found| found.len() == 0)
        {
            drop(std::fs::remove_file(path));
        }
        let said = output.and_then(|path| last_line(&path));
        let said = said.map_or(String::new(), |line| format!(": {line}"));
        Ok(Some(format!("its process ended with {status}{said}")))
    }

    fn is_in_process(&self) -> bool {
        false
    }
}

fn written(path: Option<&Path>) -> Stdio {
    path.and_then(|path| File::create(path).ok()).map_or_else(Stdio::null, Stdio::from)
}

fn last_line(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().rev().find(|line| !line.trim().is_empty()).map(str::to_owned)
}

impl Daemon {
    /// Begins a run that is claimed, and watches over it.
    pub(crate) async fn launch(&self, engine: &Arc<Engine>, run_id: RunId) -> Result<()> {
        let launcher = self.launcher(engine);
        let cancel = CancellationToken::new();
        if launcher.is_in_process() {
            self.state().launched.insert(run_id, cancel.clone());
        }
        let (daemon, engine) = (self.clone(), Arc::clone(engine));
        tokio::spawn(async move {
            let launched = launcher.launch(ClaimedRun { engine, run_id, cancel }).await;
            daemon.state().launched.remove(&run_id);
            let died = match launched {
                Ok(died) => died,
                Err(error) => Some(crate::error::chain(&error)),
            };
            if let Some(reason) = died
                && let Err(error) = daemon.is_over(run_id, reason).await
            {
                tracing::error!(%run_id, %error, "the end of a run could not be told");
            }
            daemon.shared.run_ended.notify_one();
        });
        Ok(())
    }

    /// Ends a run whose process has died. One that has ended stays as it is, one that has not begun waits
    /// again, and one that another process has begun meanwhile is that one's.
    async fn is_over(&self, run_id: RunId, reason: String) -> Result<()> {
        let live = self.shared.instance.queue().await?;
        let Some(run) = live.into_iter().find(|run| run.run_id == run_id) else { return Ok(()) };
        let now = self.now();
        let here = ProcessIdentity::current();
        let is_gone = run.process.as_ref().is_none_or(|by| by.is_gone() || *by == here);
        let (status, crashed) = match run.status {
            RunStatus::Queued => return Ok(()),
            RunStatus::Starting if self.shared.instance.give_back(run_id, now).await? => {
                return Ok(());
            }
            _ if !is_gone => return Ok(()),
            _ if run.cancel_at.is_some() => (RunStatus::Canceled, false),
            _ => (RunStatus::Failure, true),
        };
        let end = EndRun { run_id, status, error: Some(reason), crashed, at: now };
        Ok(self.shared.instance.end_run(end).await?)
    }

    fn launcher(&self, engine: &Engine) -> Arc<dyn RunLauncher> {
        match (&self.shared.options.launcher, engine.resolved.operations.launcher) {
            (Some(launcher), Launcher::Subprocess) => Arc::clone(launcher),
            _ => Arc::new(InProcessLauncher),
        }
    }

    /// Stops the runs of this process, for no longer than a moment.
    pub(crate) async fn stop_launched(&self) {
        let running: Vec<CancellationToken> = self.state().launched.values().cloned().collect();
        running.iter().for_each(CancellationToken::cancel);
        let mut waited = std::time::Duration::ZERO;
        let pause = std::time::Duration::from_millis(50);
        while !self.state().launched.is_empty() && waited < STOP_GRACE {
            self.shared.clock.sleep(pause).await;
            waited += pause;
        }
    }
}
