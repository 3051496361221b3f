//! Runs and attempts that begin.

use std::collections::HashMap;

use super::{Rows, Transaction, encode, text};
use crate::{Event, NewAttempt, NewRun, ReplaceSteps, Result, Target};

impl Transaction<'_> {
    /// Begins a run: one that waits in the queue, or a new one. `false` if it has begun before, or
    /// has come to its end.
    pub(super) async fn start_run(&mut self, run: &NewRun) -> Result<bool> {
        let run_id = text(&run.run_id);
        let begins = self.script.change(
            self.connection,
            "insert into runs
               (run_id, environment, selection, status, tags, process, lease_until, created_at,
                job, parent_run_id, root_run_id, config, partitions, backfill_id, started_at)
             values ($1, $2, $3, 'started', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $7)
             on conflict (run_id) do update set status = 'started', selection = excluded.selection,
               process = excluded.process, lease_until = excluded.lease_until,
               started_at = excluded.started_at, job = excluded.job, config = excluded.config,
               parent_run_id = excluded.parent_run_id, root_run_id = excluded.root_run_id,
               partitions = excluded.partitions
             where runs.status in ('queued', 'starting')",
            [
                run_id.clone(),
                text(&run.environment),
                text(&run.selection),
                Some(encode(&run.tags)?),
                Some(encode(&run.process)?),
                text(&run.lease_until),
                text(&run.at),
                run.job.clone(),
                run.parent.map(|parent| parent.to_string()),
                text(&run.root),
                Some(encode(&run.config)?),
                Some(encode(&run.partitions)?),
                run.backfill.map(|backfill| backfill.to_string()),
            ],
        );
        if begins.await? == 0 {
            return Ok(false);
        }
        self.script.add(
            "insert into steps (run_id, step_key, position, state)
             select $1, atom, key, 'planned' from json_each($2)",
            [run_id.clone(), Some(encode(&run.steps)?)],
        );
        self.script.add(
            "insert into pins (run_id, version_id) select $1, atom from json_each($2) where true
             on conflict do nothing",
            [run_id, Some(encode(&run.pins)?)],
        );
        let event = Event::RunStart { steps: run.steps.len() };
        self.tell(run.run_id, None, None, run.at, &event)?;
        Ok(true)
    }

    pub(super) fn replace_steps(&mut self, replace: &ReplaceSteps) -> Result<()> {
        let run_id = text(&replace.run_id);
        self.script.add(
            "delete from steps where run_id = $1
               and step_key in (select atom from json_each($2))",
            [run_id.clone(), Some(encode(&replace.old)?)],
        );
        self.script.add(
            "insert into steps (run_id, step_key, position, state)
             select $1, atom, key + (
                 select coalesce(max(position), 0) + 1 from steps where run_id = $1
               ), 'planned'
             from json_each($2)",
            [run_id, Some(encode(&replace.new)?)],
        );
        Ok(())
    }

    /// Begins attempts: each raises the epoch of what it is going to replace by one.
    pub(super) fn begin_all<'a>(
        &mut self,
        attempts: impl Iterator<Item = &'a NewAttempt> + Clone,
    ) -> Result<()> {
        if attempts.clone().next().is_none() {
            return Ok(());
        }
        // Of two attempts for the same table, the first has the lower epoch.
        let mut later: HashMap<(&str, &Target), i64> = HashMap::new();
        for attempt in attempts.clone() {
            for target in &attempt.targets {
                *later.entry((&attempt.environment, target)).or_default() += 1;
            }
        }
        // Each table once, however many attempts for it begin here.
        let mut raised = Rows::default();
        for ((environment, target), by) in &later {
            raised.push(&(environment, &target.asset, &target.partition_key, by))?;
        }
        let (mut new, mut targets, mut steps) = (Rows::default(), Rows::default(), Rows::default());
        for attempt in attempts {
            let (id, run, version) = (attempt.attempt_id, attempt.run_id, attempt.version);
            new.push(&(id, run, &attempt.step_key, attempt.number, version, attempt.at))?;
            steps.push(&(run, &attempt.step_key, attempt.number, attempt.at))?;
            for target in &attempt.targets {
                let after = later.entry((&attempt.environment, target)).or_default();
                *after -= 1;
                let (asset, partition) = (&target.asset, &target.partition_key);
                targets.push(&(id, &attempt.environment, asset, partition, *after))?;
            }
            self.tell(run, Some(&attempt.step_key), None, attempt.at, &attempt.event())?;
        }
        self.script.add(
            "insert into attempts
               (attempt_id, run_id, step_key, number, version_id, status, started_at)
             select value->>0, value->>1, value->>2, cast(value->>3 as bigint), value->>4, 'running',
               cast(value->>5 as bigint)
             from json_each($1)",
            [new.text()?],
        );
        if !targets.is_empty() {
            let targets = targets.text()?;
            self.script.add(
                "insert into pointers (environment, asset, partition_key, epoch)
                 select value->>0, value->>1, value->>2, cast(value->>3 as bigint)
                 from json_each($1) where true
                 on conflict (environment, asset, partition_key)
                 do update set epoch = pointers.epoch + excluded.epoch",
                [raised.text()?],
            );
            self.script.add(
                "insert into targets (attempt_id, environment, asset, partition_key, epoch)
                 select e.value->>0, p.environment, p.asset, p.partition_key,
                   p.epoch - cast(e.value->>4 as bigint)
                 from json_each($1) e cross join pointers p
                 where p.environment = e.value->>1 and p.asset = e.value->>2
                   and p.partition_key = e.value->>3",
                [targets],
            );
        }
        self.script.add(
            "update steps set state = 'running', attempt = cast(e.value->>2 as bigint),
               started_at = cast(e.value->>3 as bigint)
             from json_each($1) e
             where steps.run_id = e.value->>0 and steps.step_key = e.value->>1",
            [steps.text()?],
        );
        Ok(())
    }
}
