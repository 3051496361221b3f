//! What becomes of runs of the queue that have failed.

use arrowsmith_definitions::{Operations, RetryStrategy};
use arrowsmith_instance::{Again, FailedRun, Launch, QueuedRun, TimeMicros};

use crate::queue::{RETRIES_TAG, RETRY_STRATEGY_TAG};
use crate::request::derived_run_id;
use crate::{Daemon, Result};

/// Labels that count how often a run was tried again: after a failure, and after the death of its
/// process.
const RETRY_TAG: &str = "arrowsmith/retry_number";
const RESUME_TAG: &str = "arrowsmith/resume_number";
/// Runs that are decided about at once.
const PAGE: u32 = 100;

impl Daemon {
    /// Decides about runs that have failed; how many are tried again.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn retry_failed(&self) -> Result<usize> {
        let (Some(engine), Some(_)) = (self.engine(), self.leader()) else { return Ok(0) };
        let mut again = 0;
        for failed in self.shared.instance.failed_runs(PAGE).await? {
            let retry = retry_of(&failed, &engine.resolved.operations, self.now());
            again += usize::from(retry.is_some());
            self.shared.instance.decide_retry(failed.run_id, retry).await?;
        }
        Ok(again)
    }
}

/// The run that goes on with a failed one, if it is to be tried again.
fn retry_of(failed: &FailedRun, of: &Operations, now: TimeMicros) -> Option<QueuedRun> {
    let number = |tag: &str| failed.tags.get(tag).and_then(|n| n.parse::<u32>().ok());
    let (tag, allowed) = if failed.crashed {
        (RESUME_TAG, of.max_resumes)
    } else {
        (RETRY_TAG, number(RETRIES_TAG).unwrap_or(of.run_retries))
    };
    let next = number(tag).unwrap_or(0) + 1;
    if next > allowed {
        return None;
    }
    let mut tags = failed.tags.clone();
    tags.insert(tag.to_owned(), next.to_string());
    let all = match failed.tags.get(RETRY_STRATEGY_TAG).map(String::as_str) {
        Some("all_steps") => true,
        Some("from_failure") => false,
        _ => of.retry_strategy == RetryStrategy::AllSteps,
    };
    let again = if all && !failed.crashed { Again::All } else { Again::FromFailure };
    let origin = format!("run:{}", failed.run_id);
    // What was not begun, and what leaves out all that is made, is simply done once more.
    let is_same = !failed.began || failed.launch.only_needed;
    let reexecute =
        if is_same { failed.launch.reexecute.clone() } else { Some((failed.run_id, again)) };
    Some(QueuedRun {
        run_id: derived_run_id(&origin, now, 0),
        environment: failed.environment.clone(),
        launch: Launch { reexecute, ..failed.launch.clone() },
        tags,
        priority: failed.priority,
        origin,
        run_key: None,
        parent: Some(failed.run_id),
        root: failed.root,
        at: now,
    })
}
