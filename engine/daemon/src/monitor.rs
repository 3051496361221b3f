//! The watch over runs: none goes on without a process, and none that is to stop goes on for long.

use arrowsmith_instance::{EndRun, LiveRun, ProcessIdentity, RunStatus};
use rustix::process::{Pid, Signal, kill_process_group};

use crate::lead::micros;
use crate::{Daemon, Result};

impl Daemon {
    /// Ends runs whose process is gone or whose lease has expired, and those that were asked to stop
    /// and have not done so in time; their processes are killed.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn monitor(&self) -> Result<()> {
        if self.leader().is_none() {
            return Ok(());
        }
        let now = self.now();
        for run_id in self.shared.instance.recover(now).await? {
            tracing::warn!(%run_id, "the process of a run ended without a word");
        }
        let grace = self.engine().map(|engine| engine.resolved.operations.cancel_grace);
        let grace = micros(grace.unwrap_or_default());
        for run in self.shared.instance.runs_that_are(&[RunStatus::Started]).await? {
            let is_over = run.cancel_at.is_some_and(|at| now - at > grace);
            if is_over {
                kill(&run);
                let error = Some("it was asked to stop, and its process was killed".to_owned());
                let (run_id, status) = (run.run_id, RunStatus::Canceled);
                let end = EndRun { run_id, status, error, crashed: false, at: now };
                self.shared.instance.end_run(end).await?;
            }
        }
        Ok(())
    }
}

/// Kills the process of a run that has one of its own on this machine.
fn kill(run: &LiveRun) {
    let here = ProcessIdentity::current();
    let Some(process) = &run.process else { return };
    let is_own = process.pid == here.pid;
    // Only what came from the queue is the leader of its own group; a command in a terminal is not.
    if process.boot != here.boot || is_own || process.is_gone() || run.launches == 0 {
        return;
    }
    if let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw)
        && let Err(error) = kill_process_group(pid, Signal::KILL)
    {
        tracing::warn!(run_id = %run.run_id, %error, "the process of a run could not be killed");
    }
}
