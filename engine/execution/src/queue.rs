//! Runs that have waited in the queue of the instance.

use std::sync::Arc;

use arrowsmith_definitions::{Diagnostic, Entry, PartitionExpr};
use arrowsmith_instance::{Again, EndRun, Launch, RunId, RunStatus};
use tokio_util::sync::CancellationToken;

use crate::{
    Engine, Error, JobRequest, Observer, Plan, PlanRequest, Reexecute, Result, RunOptions,
    RunReport,
};

impl Engine {
    /// Plans what a queued run is to do.
    ///
    /// # Errors
    /// As a plan of its job or selection.
    pub async fn plan_launch(&self, launch: &Launch) -> Result<Plan> {
        if let Some((run, again)) = &launch.reexecute {
            let which = match again {
                Again::All => Reexecute::All,
                Again::FromFailure => Reexecute::FromFailure,
                Again::Select(steps) => Reexecute::Select(steps.clone()),
            };
            return self.plan_reexecution(&run.to_string(), &which).await;
        }
        let partitions = launch.partitions.as_deref().map(str::parse::<PartitionExpr>).transpose();
        let partitions = partitions.map_err(|error| Error::Partitions {
            asset: launch.selection.clone(),
            message: error.to_string(),
            nearest: None,
        })?;
        let request = PlanRequest {
            selection: launch.selection.clone(),
            partitions,
            only_needed: launch.only_needed,
            ..PlanRequest::default().with_told(&launch.partitions_of)
        };
        match &launch.job {
            Some(job) => {
                let config = (!launch.config.is_null()).then(|| Entry::of_value(&launch.config));
                self.plan_job(job, &JobRequest { config, select: None, plan: request }).await
            }
            None => self.plan_request(&request).await,
        }
    }

    /// Carries out a run that has waited in the queue. One that cannot be planned has failed.
    ///
    /// # Errors
    /// Of the instance; `NotWaiting` if another process carries it out, or it has come to its end.
    pub async fn run_queued(
        self: &Arc<Self>,
        run_id: RunId,
        cancel: CancellationToken,
        observer: Arc<dyn Observer>,
    ) -> Result<RunReport> {
        let run = self.instance.run(&run_id.to_string()).await?;
        let Some(launch) = run.launch.filter(|_| !run.status.is_final()) else {
            return Err(arrowsmith_instance::Error::NotWaiting { run: run_id.short() }.into());
        };
        let plan = match self.plan_launch(&launch).await {
            Ok(plan) => plan,
            Err(error) => return self.refuse(run_id, &error).await,
        };
        let options = RunOptions { tags: run.tags, queued: Some(run_id), ..RunOptions::default() };
        match launch.backfill {
            Some(backfill) => {
                let record = self.take_up_backfill(backfill).await?;
                self.run_backfill(record, plan, options, cancel, observer).await
            }
            None => self.run(plan, options, cancel, observer).await,
        }
    }

    /// Ends a run that cannot be planned, unless another process has begun it meanwhile.
    async fn refuse(&self, run_id: RunId, why: &Error) -> Result<RunReport> {
        let run = self.instance.run(&run_id.to_string()).await?;
        if !matches!(run.status, RunStatus::Queued | RunStatus::Starting) {
            return Err(arrowsmith_instance::Error::NotWaiting { run: run_id.short() }.into());
        }
        let told = |problems: &[Diagnostic]| {
            problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        };
        let error = match why {
            Error::Unplannable { problems } | Error::Config { problems } => {
                format!("{why}: {}", told(problems))
            }
            other => crate::error::chain(other),
        };
        let (status, at, error) = (RunStatus::Failure, self.clock.now(), Some(error));
        let end = EndRun { run_id, status, error: error.clone(), crashed: false, at };
        self.instance.end_run(end).await?;
        Ok(RunReport {
            run_id,
            status,
            steps: Default::default(),
            error,
            elapsed: Default::default(),
        })
    }
}
