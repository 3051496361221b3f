//! Backfills that are carried out by a run of the queue.

use std::collections::BTreeMap;

use arrowsmith_instance::{
    BackfillId, BackfillRecord, BackfillStatus, Launch, ProcessIdentity, QueuedRun, RunId,
};
use uuid::Uuid;

use super::LEASE;
use crate::executor::micros;
use crate::{Engine, Plan, PlanRequest, Result};

impl Engine {
    /// Plans a backfill and queues the run that carries it out, in one look: whoever launches that run
    /// takes the backfill up. `origin` is who asks for it.
    ///
    /// # Errors
    /// As [`plan_request`](Self::plan_request); of the instance, which has a queue.
    pub async fn queue_backfill(
        &self,
        request: &PlanRequest,
        tags: BTreeMap<String, String>,
        origin: &str,
    ) -> Result<(BackfillRecord, RunId)> {
        let (mut record, plan) = self.new_backfill(request, tags).await?;
        record.lease_until = BackfillRecord::WAITS;
        let run_id = self.queue_run_of(&record, &plan, request.only_needed, origin).await?;
        Ok((record, run_id))
    }

    /// Queues a run for what a backfill has not made yet; no run if nothing is left.
    ///
    /// # Errors
    /// As [`resume_backfill`](Self::resume_backfill); of the instance, which has a queue.
    pub async fn requeue_backfill(
        &self,
        id: &str,
        origin: &str,
    ) -> Result<(BackfillRecord, Option<RunId>)> {
        let (mut record, plan) = self.left_of_backfill(id).await?;
        if plan.is_empty() {
            return Ok((record, None));
        }
        record.lease_until = BackfillRecord::WAITS;
        let run_id = self.queue_run_of(&record, &plan, false, origin).await?;
        Ok((record, Some(run_id)))
    }

    async fn queue_run_of(
        &self,
        record: &BackfillRecord,
        plan: &Plan,
        only_needed: bool,
        origin: &str,
    ) -> Result<RunId> {
        let run_id = RunId(Uuid::now_v7());
        let launch = Launch {
            selection: plan.selection.clone(),
            partitions_of: plan.partitions.clone(),
            backfill: Some(record.backfill_id),
            only_needed,
            ..Launch::default()
        };
        let run = QueuedRun {
            run_id,
            environment: self.environment.clone(),
            launch,
            tags: record.tags.clone(),
            priority: 0,
            origin: origin.to_owned(),
            run_key: None,
            parent: None,
            root: run_id,
            at: self.clock.now(),
        };
        self.instance.enqueue_backfill(record.clone(), run).await?;
        Ok(run_id)
    }

    /// The backfill that a run of the queue carries out, as this process's.
    pub(crate) async fn take_up_backfill(&self, id: BackfillId) -> Result<BackfillRecord> {
        let mut record = self.instance.backfill(&id.to_string()).await?;
        if record.status.is_final() {
            record.status = BackfillStatus::Requested;
            (record.ended_at, record.error) = (None, None);
        }
        record.process = ProcessIdentity::current();
        record.lease_until = self.clock.now() + micros(LEASE);
        self.instance.save_backfill(record.clone()).await?;
        Ok(record)
    }
}
