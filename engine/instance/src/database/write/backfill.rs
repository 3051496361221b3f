//! Backfills, and the keys of dynamic partitions.

use super::{Transaction, encode, text};
use crate::{BackfillRecord, Result, TimeMicros};

impl Transaction<'_> {
    /// Writes a backfill as it stands now. What has come to its end stays so, and what was asked to
    /// stop only ends.
    pub(super) fn save_backfill(&mut self, backfill: &BackfillRecord) -> Result<()> {
        self.script.add(
            "insert into backfills
               (backfill_id, environment, status, selection, target, tags, process, lease_until,
                created_at, ended_at, error)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
             on conflict (backfill_id) do update set
               status = case when backfills.status = 'canceling' and excluded.status = 'requested'
                 and backfills.process = excluded.process then backfills.status
                 else excluded.status end,
               process = excluded.process, lease_until = excluded.lease_until,
               ended_at = excluded.ended_at, error = excluded.error",
            [
                text(&backfill.backfill_id),
                text(&backfill.environment),
                text(&backfill.status),
                text(&backfill.selection),
                Some(encode(&backfill.target)?),
                Some(encode(&backfill.tags)?),
                Some(encode(&backfill.process)?),
                text(&backfill.lease_until),
                text(&backfill.created_at),
                backfill.ended_at.map(|at| at.to_string()),
                backfill.error.clone(),
            ],
        );
        Ok(())
    }

    /// Adds keys behind those that are there, and takes others away.
    pub(super) fn set_dynamic_partitions(
        &mut self,
        name: &str,
        [add, remove]: [&Vec<String>; 2],
        at: TimeMicros,
    ) -> Result<()> {
        self.script.add(
            "delete from dynamic_partitions where name = $1
               and partition_key in (select atom from json_each($2))",
            [text(&name), Some(encode(remove)?)],
        );
        self.script.add(
            "insert into dynamic_partitions (name, partition_key, added_at)
             select $1, atom, $2 from json_each($3) where true on conflict do nothing",
            [text(&name), text(&at), Some(encode(add)?)],
        );
        Ok(())
    }
}
