//! The run queue, ticks, leaders and slots.

use super::{Transaction, encode, text};
use crate::request::Reply;
use crate::{
    Event, Forget, Heartbeat, Lead, Leader, NewTick, ProcessIdentity, QueuedRun, Result, RunId,
    SetInstigator, Ticked, TimeMicros,
};

/// A run that was handed to a process and has not begun is handed out again at most so often.
const LAUNCHES_MAX: u32 = 3;

/// A lease that ends later than this after the longest that may be given now was given by a clock that
/// has been put back since.
const SKEW_MAX: TimeMicros = 120_000_000;

impl Transaction<'_> {
    /// Queues a run, unless one was queued for its key before; that one is the answer then.
    async fn enqueue(&mut self, run: &QueuedRun) -> Result<Option<RunId>> {
        let run_id = text(&run.run_id);
        if let Some(key) = &run.run_key {
            let is_new = self.script.change(
                self.connection,
                "insert into run_keys (origin, run_key, run_id) values ($1, $2, $3)
                 on conflict do nothing",
                [text(&run.origin), text(key), run_id.clone()],
            );
            if is_new.await? == 0 {
                let sql = "select json_group_array(run_id) from run_keys
                           where origin = $1 and run_key = $2";
                let of = [text(&run.origin), text(key)];
                let earlier: Vec<RunId> = self.script.ask(self.connection, sql, of).await?;
                return Ok(earlier.into_iter().next());
            }
        }
        let launch = &run.launch;
        self.script.add(
            "insert into runs
               (run_id, environment, selection, status, tags, process, lease_until, created_at, job,
                parent_run_id, root_run_id, config, partitions, launch, priority, origin, backfill_id)
             values ($1, $2, $3, 'queued', $4, 'null', 0, $5, $6, $7, $8, $9, $13, $10, $11, $12, $14)",
            [
                run_id,
                text(&run.environment),
                text(&launch.selection),
                Some(encode(&run.tags)?),
                text(&run.at),
                launch.job.clone(),
                run.parent.map(|parent| parent.to_string()),
                text(&run.root),
                Some(encode(&launch.config)?),
                Some(encode(launch)?),
                text(&run.priority),
                text(&run.origin),
                Some(encode(&launch.partitions_of)?),
                launch.backfill.map(|backfill| backfill.to_string()),
            ],
        );
        let event = Event::RunEnqueued { origin: run.origin.clone() };
        self.tell(run.run_id, None, None, run.at, &event)?;
        Ok(None)
    }

    pub(super) async fn enqueue_all(&mut self, runs: &[QueuedRun]) -> Result<Ticked> {
        let (mut queued, mut suppressed) = (Vec::new(), Vec::new());
        for run in runs {
            match self.enqueue(run).await? {
                None => queued.push(run.run_id),
                Some(earlier) => suppressed.push(earlier),
            }
        }
        Ok(Ticked::Yes { queued, suppressed })
    }

    /// Remembers a tick with all that it asks for, if that may still be done.
    pub(super) async fn tick(&mut self, tick: &NewTick, leader: Option<Leader>) -> Result<Ticked> {
        if !self.leads(leader).await? {
            return Ok(Ticked::NotLeader);
        }
        let name = text(&tick.instigator);
        let is_new = self.script.change(
            self.connection,
            "insert into ticks (instigator, scheduled_at, began_at, ended_at, status, run_ids,
               suppressed, reason, cursor)
             values ($1, $2, $3, $4, $5, '[]', '[]', $6, $7)
             on conflict do nothing",
            [
                name.clone(),
                text(&tick.scheduled_at),
                text(&tick.began_at),
                text(&tick.ended_at),
                text(&tick.status),
                tick.reason.clone(),
                tick.cursor.clone(),
            ],
        );
        if is_new.await? == 0 {
            return Ok(Ticked::Before);
        }
        for (list, keys) in &tick.remove_partitions {
            self.set_dynamic_partitions(list, [&Vec::new(), keys], tick.ended_at)?;
        }
        for (list, keys) in &tick.add_partitions {
            self.set_dynamic_partitions(list, [keys, &Vec::new()], tick.ended_at)?;
        }
        for of in &tick.conditions {
            self.script.add(
                "insert into conditions (asset, state) values ($1, $2)
                 on conflict (asset) do update set state = excluded.state",
                [text(&of.asset), text(&of.state)],
            );
            if let Some(came_to) = &of.came_to {
                self.script.add(
                    "insert into evaluations (asset, at, requested, tree) values ($1, $2, $3, $4)",
                    [
                        text(&of.asset),
                        text(&tick.ended_at),
                        text(&came_to.requested),
                        Some(encode(&came_to.tree)?),
                    ],
                );
            }
        }
        let ticked = self.enqueue_all(&tick.runs).await?;
        if let Ticked::Yes { queued, suppressed } = &ticked
            && !(queued.is_empty() && suppressed.is_empty())
        {
            self.script.add(
                "update ticks set run_ids = $1, suppressed = $2
                 where instigator = $3 and scheduled_at = $4",
                [
                    Some(encode(queued)?),
                    Some(encode(suppressed)?),
                    name.clone(),
                    text(&tick.scheduled_at),
                ],
            );
        }
        self.script.add(
            "insert into instigators (name, ticked_until, cursor) values ($1, $2, $3)
             on conflict (name) do update set
               ticked_until = case when instigators.ticked_until > excluded.ticked_until
                 then instigators.ticked_until else excluded.ticked_until end,
               cursor = coalesce(excluded.cursor, instigators.cursor)",
            [name, text(&tick.scheduled_at), tick.cursor.clone()],
        );
        Ok(ticked)
    }

    pub(super) fn set_instigator(&mut self, name: &str, set: &SetInstigator, at: TimeMicros) {
        let (name, at) = (text(&name), text(&at));
        match set {
            SetInstigator::Meet => self.script.add(
                "insert into instigators (name, ticked_until) values ($1, $2)
                 on conflict do nothing",
                [name, at],
            ),
            SetInstigator::Start => self.script.add(
                "insert into instigators (name, is_running, ticked_until) values ($1, 1, $2)
                 on conflict (name) do update set is_running = 1,
                   ticked_until = case when instigators.ticked_until > excluded.ticked_until
                 then instigators.ticked_until else excluded.ticked_until end",
                [name, at],
            ),
            SetInstigator::Stop => self.script.add(
                "insert into instigators (name, is_running, ticked_until) values ($1, 0, $2)
                 on conflict (name) do update set is_running = 0",
                [name, at],
            ),
            SetInstigator::Cursor(cursor) => self.script.add(
                "insert into instigators (name, ticked_until, cursor) values ($1, $2, $3)
                 on conflict (name) do update set cursor = excluded.cursor",
                [name, at, cursor.clone()],
            ),
        }
    }

    /// Takes the lead, or keeps it, unless somebody else has it.
    pub(super) async fn lead(
        &mut self,
        name: &str,
        owner: &str,
        now: TimeMicros,
        until: TimeMicros,
    ) -> Result<Lead> {
        self.script.add(
            "insert into leaders (name, owner, epoch, lease_until) values ($1, $2, 1, $3)
             on conflict (name) do update set
               epoch = case when leaders.owner = excluded.owner then leaders.epoch
                 else leaders.epoch + 1 end,
               owner = excluded.owner, lease_until = excluded.lease_until
             where leaders.owner = excluded.owner or leaders.lease_until < $4
               or leaders.lease_until > $5",
            [text(&name), text(&owner), text(&until), text(&now), text(&(until + SKEW_MAX))],
        );
        let sql = "select json_array(owner, epoch) from leaders where name = $1";
        let found = self.script.ask(self.connection, sql, [text(&name)]);
        let (has_it, epoch): (String, i64) = found.await?;
        Ok(if has_it == owner { Lead::Own(Leader { epoch }) } else { Lead::Of(has_it) })
    }

    /// Gives the lead back, so that another need not wait for the end of the lease.
    pub(super) fn resign(&mut self, owner: &str) {
        self.script.add("update leaders set lease_until = 0 where owner = $1", [text(&owner)]);
    }

    async fn leads(&mut self, leader: Option<Leader>) -> Result<bool> {
        let Some(leader) = leader else { return Ok(true) };
        let sql = "select coalesce(max(epoch), 0) from leaders where name = 'daemon'";
        let epoch: i64 = self.script.ask(self.connection, sql, []).await?;
        Ok(epoch == leader.epoch)
    }

    /// Takes a run out of the queue for a process that is going to begin it.
    pub(super) async fn claim(
        &mut self,
        run_id: RunId,
        leader: Option<Leader>,
        process: &ProcessIdentity,
        [at, lease_until]: [TimeMicros; 2],
    ) -> Result<bool> {
        if !self.leads(leader).await? {
            return Ok(false);
        }
        let claimed = self.script.change(
            self.connection,
            "update runs set status = 'starting', process = $1, lease_until = $2,
               launches = launches + 1
             where run_id = $3 and status = 'queued'",
            [Some(encode(process)?), text(&lease_until), text(&run_id)],
        );
        let claimed = claimed.await? > 0;
        if claimed {
            self.tell(run_id, None, None, at, &Event::RunStarting)?;
        }
        Ok(claimed)
    }

    /// Puts a run back that was handed to a process which is gone before the run has begun; one to
    /// which that has happened too often fails.
    pub(super) async fn give_back(&mut self, run_id: RunId, at: TimeMicros) -> Result<bool> {
        let back = self.script.change(
            self.connection,
            "update runs set status = 'queued', process = 'null', lease_until = 0
             where run_id = $1 and status = 'starting' and launches < $2",
            [text(&run_id), text(&LAUNCHES_MAX)],
        );
        if back.await? > 0 {
            let event = Event::RunEnqueued { origin: "the run did not begin".to_owned() };
            self.tell(run_id, None, None, at, &event)?;
            return Ok(true);
        }
        Ok(false)
    }

    /// Asks a run to stop; one that has not begun is over at once.
    pub(super) async fn cancel(&mut self, run_id: RunId, at: TimeMicros) -> Result<()> {
        let ended = self.script.change(
            self.connection,
            "update runs set status = 'canceled', ended_at = $1, error = 'it was asked to stop'
             where run_id = $2 and status in ('queued', 'starting')",
            [text(&at), text(&run_id)],
        );
        let reason = "it was asked to stop".to_owned();
        if ended.await? > 0 {
            return self.tell(run_id, None, None, at, &Event::RunCanceled { reason });
        }
        let asked = self.script.change(
            self.connection,
            "update runs set cancel_at = $1
             where run_id = $2 and status = 'started' and cancel_at is null",
            [text(&at), text(&run_id)],
        );
        if asked.await? > 0 {
            self.tell(run_id, None, None, at, &Event::RunCanceling { reason })?;
        }
        Ok(())
    }

    /// Decides what becomes of a run that has failed, once.
    pub(super) async fn decide_retry(
        &mut self,
        failed: RunId,
        retry: Option<&QueuedRun>,
    ) -> Result<()> {
        let becomes = retry.map_or_else(|| "no".to_owned(), |run| run.run_id.to_string());
        let decided = self.script.change(
            self.connection,
            "update runs set retry = $1 where run_id = $2 and retry is null",
            [Some(becomes), text(&failed)],
        );
        if decided.await? > 0
            && let Some(run) = retry
        {
            self.enqueue(run).await?;
        }
        Ok(())
    }

    /// Takes a slot of a pool for a step, if one is free.
    pub(super) async fn take_slot(
        &mut self,
        pool: &str,
        limit: usize,
        run_id: RunId,
        step_key: &str,
        at: TimeMicros,
    ) -> Result<bool> {
        let taken = self.script.change(
            self.connection,
            "insert into slots (run_id, step_key, pool, at)
             select $1, $2, $3, $4
             where (select count(*) from slots where pool = $3) < cast($5 as bigint)
             on conflict do nothing",
            [text(&run_id), text(&step_key), text(&pool), text(&at), text(&limit)],
        );
        Ok(taken.await? > 0)
    }

    pub(super) fn free_slot(&mut self, run_id: RunId, step_key: &str) {
        self.script.add(
            "delete from slots where run_id = $1 and step_key = $2",
            [text(&run_id), text(&step_key)],
        );
    }

    pub(super) fn beat(&mut self, beats: &[Heartbeat]) -> Result<()> {
        self.script.add(
            "insert into heartbeats (duty, owner, at, error)
             select value->>'duty', value->>'owner', cast(value->>'at' as bigint),
               value->>'error'
             from json_each($1) where true
             on conflict (duty) do update set owner = excluded.owner, at = excluded.at,
               error = excluded.error",
            [Some(encode(&beats)?)],
        );
        Ok(())
    }

    /// Forgets what is old; returns how many ticks and events that were.
    pub(super) async fn forget(&mut self, forget: &Forget) -> Result<Reply> {
        let skipped = self.script.change(
            self.connection,
            "delete from ticks where status = 'skipped' and ended_at < $1",
            [text(&forget.skipped_before)],
        );
        let skipped = skipped.await?;
        let others = self.script.change(
            self.connection,
            "delete from ticks where status <> 'skipped' and ended_at < $1",
            [text(&forget.ticks_before)],
        );
        let others = others.await?;
        self.script.add(
            "delete from evaluations where at < $1
               and evaluation_id not in (select max(evaluation_id) from evaluations group by asset)",
            [text(&forget.skipped_before)],
        );
        self.script.add(
            "delete from freshness where at < $1
               and change_id not in (select max(change_id) from freshness group by asset)",
            [text(&forget.ticks_before)],
        );
        let events = self.script.change(
            self.connection,
            // From the oldest on, so that no more is read than is forgotten.
            "delete from events
             where event_id < coalesce(
                 (select event_id from events where at >= $1 order by event_id limit 1),
                 (select max(event_id) + 1 from events))
               and run_id not in (
                 select run_id from runs where status in ('queued', 'starting', 'started'))",
            [text(&forget.events_before)],
        );
        Ok(Reply::Forgotten { ticks: skipped + others, events: events.await? })
    }
}
