//! Versions that become current.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::{PublishRows, Rows, Transaction, encode, push_new_pointers, push_version, word};
use crate::request::{Reply, ToPublish};
use crate::{
    AttemptStatus, NewAttempt, NewVersion, Published, Refusal, Result, ReusedVersion, RunId,
    RunStatus, TimeMicros,
};

const INSERT_VERSIONS: &str = "insert into versions
       (version_id, asset, run_id, attempt_id, io_manager, created_at, duration_us,
        row_count, size_bytes, code_version, inputs, metadata, manifest, provenance)
     select value->>0, value->>1, value->>2, value->>3, value->>4, cast(value->>5 as bigint),
        cast(value->>6 as bigint), cast(value->>7 as bigint), cast(value->>8 as bigint),
        value->>9, value->>10, value->>11, value->>12, value->>13
     from json_each($1) where true on conflict (version_id) do nothing";

/// A table that nobody was about to replace has no row yet.
const POINT: &str = "insert into pointers
       (environment, asset, partition_key, epoch, version_id, published_at, row_count, size_bytes)
     select value->>0, value->>1, value->>2, cast(value->>7 as bigint), value->>3,
       cast(value->>4 as bigint), cast(value->>5 as bigint), cast(value->>6 as bigint)
     from json_each($1) where true
     on conflict (environment, asset, partition_key)
     do update set epoch = pointers.epoch + excluded.epoch, version_id = excluded.version_id,
       published_at = excluded.published_at, row_count = excluded.row_count,
       size_bytes = excluded.size_bytes";

impl Transaction<'_> {
    /// Publishes what may be published; refusals change nothing.
    pub(super) async fn publish_all(&mut self, publishes: &[&ToPublish]) -> Result<Vec<Published>> {
        let refusals = self.refusals(publishes).await?;
        let allowed = |publish: &&&ToPublish| !refusals.contains_key(&publish.attempt.attempt_id);
        let accepted: Vec<&ToPublish> = publishes.iter().filter(allowed).copied().collect();
        let mut all = PublishRows::default();
        for publish in &accepted {
            all.join(publish.rows()?);
        }
        self.events.join(&all.events);
        self.make_current(all.versions, all.beside, all.pointers, all.cuts)?;
        if !all.pins.is_empty() {
            // Its readers in the same run read it, whatever becomes current meanwhile.
            self.script.add(
                "insert into pins (run_id, version_id)
                 select value->>0, value->>1 from json_each($1) where true on conflict do nothing",
                [all.pins.text()?],
            );
        }
        if !all.outputs.is_empty() {
            self.script.add(
                "insert into outputs
                   (run_id, step_key, output, mapping_key, asset, io_manager, created_at,
                    version_id, metadata, manifest)
                 select value->>0, value->>1, value->>2, value->>3, value->>4, value->>5,
                    cast(value->>6 as bigint), value->>7, value->>8, value->>9
                 from json_each($1)",
                [all.outputs.text()?],
            );
        }
        if !accepted.is_empty() {
            self.succeed(all.attempts, all.steps)?;
        }
        let answer = |publish: &&ToPublish| match refusals.get(&publish.attempt.attempt_id) {
            Some(refusal) => Published::No(*refusal),
            None => Published::Yes,
        };
        Ok(publishes.iter().map(answer).collect())
    }

    fn make_current(
        &mut self,
        versions: Rows,
        beside: Rows,
        pointers: Rows,
        cuts: Rows,
    ) -> Result<()> {
        if !versions.is_empty() {
            self.script.add(INSERT_VERSIONS, [versions.text()?]);
        }
        if !beside.is_empty() {
            self.script.add(POINT, [beside.text()?]);
        }
        if pointers.is_empty() {
            return Ok(());
        }
        self.script.add(POINT, [pointers.text()?]);
        // A table that is cut otherwise than before has only the new pieces.
        self.script.add(
            "update pointers set version_id = null
             from json_each($1) e
             where pointers.environment = e.value->>0 and pointers.asset = e.value->>1
               and (pointers.partition_key = '') <> (e.value->>2 = '')
               and pointers.version_id is not null",
            [cuts.text()?],
        );
        Ok(())
    }

    fn succeed(&mut self, attempts: Rows, steps: Rows) -> Result<()> {
        self.script.add(
            "insert into attempts
               (attempt_id, run_id, step_key, number, version_id, status, started_at, ended_at)
             select value->>0, value->>1, value->>2, cast(value->>3 as bigint), value->>4, 'success',
               cast(value->>5 as bigint), cast(value->>6 as bigint)
             from json_each($1) where true
             on conflict (attempt_id)
             do update set status = excluded.status, ended_at = excluded.ended_at",
            [attempts.text()?],
        );
        self.script.add(
            "update steps set state = e.value->>6, ended_at = cast(e.value->>2 as bigint),
               row_count = cast(e.value->>3 as bigint), size_bytes = cast(e.value->>4 as bigint),
               started_at = cast(e.value->>5 as bigint), attempt = cast(e.value->>7 as bigint),
               reason = null
             from json_each($1) e
             where steps.run_id = e.value->>0 and steps.step_key = e.value->>1",
            [steps.text()?],
        );
        Ok(())
    }

    /// Which of the publishes may not happen, and why.
    async fn refusals(&mut self, publishes: &[&ToPublish]) -> Result<HashMap<Uuid, Refusal>> {
        let (new, begun): (Vec<&ToPublish>, Vec<&ToPublish>) =
            publishes.iter().partition(|publish| publish.begins);
        let mut refusals = self.refusals_of_new(&new).await?;
        refusals.extend(self.refusals_of_begun(&begun).await?);
        for publish in publishes.iter().filter(|publish| !publish.reused.is_empty()) {
            if !self.are_stored(&publish.reused).await? {
                refusals.entry(publish.attempt.attempt_id).or_insert(Refusal::Removed);
            }
        }
        Ok(refusals)
    }

    /// Of those whose attempts begin with them: only their run can have ended, unless they were asked
    /// for before.
    async fn refusals_of_new(
        &mut self,
        publishes: &[&ToPublish],
    ) -> Result<HashMap<Uuid, Refusal>> {
        if publishes.is_empty() {
            return Ok(HashMap::new());
        }
        let attempts: Vec<Uuid> = publishes.iter().map(|p| p.attempt.attempt_id).collect();
        let runs: HashSet<RunId> = publishes.iter().map(|p| p.attempt.run_id).collect();
        let found = self.script.ask(
            self.connection,
            "select json_group_object(id, status) from (
               select run_id as id, status from runs
               where run_id in (select atom from json_each($1))
               union all
               select attempt_id, status from attempts
               where attempt_id in (select atom from json_each($2))
             ) as found",
            [Some(encode(&runs)?), Some(encode(&attempts)?)],
        );
        let known: HashMap<Uuid, String> = found.await?;
        let mut refusals = HashMap::new();
        for NewAttempt { attempt_id, run_id, .. } in publishes.iter().map(|p| &*p.attempt) {
            let refusal = match (known.get(attempt_id), known.get(&run_id.0)) {
                (Some(attempt), _) => Some(Refusal::NotRunning(word(attempt, "attempts")?)),
                (None, None) => Some(Refusal::Unknown),
                (None, Some(run)) => refusal("running", run, 1)?,
            };
            refusals.extend(refusal.map(|why| (*attempt_id, why)));
        }
        Ok(refusals)
    }

    /// Of those whose attempts have begun before.
    async fn refusals_of_begun(
        &mut self,
        publishes: &[&ToPublish],
    ) -> Result<HashMap<Uuid, Refusal>> {
        if publishes.is_empty() {
            return Ok(HashMap::new());
        }
        let ids: Vec<Uuid> = publishes.iter().map(|p| p.attempt.attempt_id).collect();
        // One document for all of them, since each row would cross threads by itself.
        let found = self.script.ask(
            self.connection,
            "select json_group_object(id, json_array(attempt, run, newest)) from (
               select a.attempt_id as id, a.status as attempt, r.status as run,
                 min(case when t.epoch <> p.epoch then 0 else 1 end) as newest
               from attempts a
               join runs r on r.run_id = a.run_id
               left join targets t on t.attempt_id = a.attempt_id
               left join pointers p on p.environment = t.environment and p.asset = t.asset
                 and p.partition_key = t.partition_key
               where a.attempt_id in (select atom from json_each($1))
               group by a.attempt_id, a.status, r.status
             ) as found",
            [Some(encode(&ids)?)],
        );
        let known: HashMap<Uuid, (String, String, u8)> = found.await?;
        let mut refusals = HashMap::new();
        for id in ids {
            let refusal = match known.get(&id) {
                None => Some(Refusal::Unknown),
                Some((attempt, run, newest)) => refusal(attempt, run, *newest)?,
            };
            refusals.extend(refusal.map(|why| (id, why)));
        }
        Ok(refusals)
    }

    /// Whether the files of versions are not removed.
    async fn are_stored(&mut self, versions: &[ReusedVersion]) -> Result<bool> {
        let ids: HashSet<String> = versions.iter().map(|old| old.version.to_string()).collect();
        let found: usize = self
            .script
            .ask(
                self.connection,
                "select count(*) from versions
                 where version_id in (select atom from json_each($1)) and removed_at is null",
                [Some(encode(&ids)?)],
            )
            .await?;
        Ok(found == ids.len())
    }

    /// Versions without a run, from manifests; only tables that have nothing current are moved.
    pub(super) async fn restore(
        &mut self,
        environment: &str,
        versions: &[NewVersion],
        at: TimeMicros,
    ) -> Result<Reply> {
        let mut restored = 0;
        for new in versions {
            let label = |name: &str| new.stored.labels.get(name).cloned().unwrap_or_default();
            let mut version = Rows::default();
            push_version(&mut version, new, (label("run"), label("attempt")), at, 0)?;
            self.script.add(INSERT_VERSIONS, [version.text()?]);
            let mut pointers = Rows::default();
            push_new_pointers(&mut pointers, new, environment, at, 1)?;
            let moved = self.script.change(
                self.connection,
                "insert into pointers
                   (environment, asset, partition_key, epoch, version_id, published_at,
                    row_count, size_bytes)
                 select value->>0, value->>1, value->>2, 1, value->>3, cast(value->>4 as bigint),
                   cast(value->>5 as bigint), cast(value->>6 as bigint)
                 from json_each($1) where true
                 on conflict (environment, asset, partition_key)
                 do update set version_id = excluded.version_id,
                   published_at = excluded.published_at, row_count = excluded.row_count,
                   size_bytes = excluded.size_bytes
                 where pointers.version_id is null",
                [pointers.text()?],
            );
            restored += usize::try_from(moved.await?).unwrap_or_default();
        }
        Ok(Reply::Restored(restored))
    }
}

fn refusal(attempt: &str, run: &str, newest: u8) -> Result<Option<Refusal>> {
    let attempt: AttemptStatus = word(attempt, "attempts")?;
    let run: RunStatus = word(run, "runs")?;
    Ok(if attempt != AttemptStatus::Running {
        Some(Refusal::NotRunning(attempt))
    } else if run != RunStatus::Started {
        Some(Refusal::RunEnded(run))
    } else {
        (newest == 0).then_some(Refusal::Superseded)
    })
}
