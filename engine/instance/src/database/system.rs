//! The rows of [`SystemTable`]s.

use crate::{SystemColumn, SystemTable};

/// A query for a page of the rows of a table, as one array of objects.
pub(super) fn page(table: &SystemTable, offset: u64, limit: u32) -> String {
    let (rows, order) = match table.name {
        "steps" => ("steps", "run_id, step_key"),
        "events" => (EVENTS, "event_id, place"),
        "materializations" => ("versions", "version_id"),
        "partitions" => ("(select * from pointers where version_id is not null) as p", PARTITIONS),
        "checks" => (CHECKS, "event_id"),
        "ticks" => ("ticks", "tick_id"),
        _ => ("runs", "run_id"),
    };
    let value = |(name, kind): &(&str, SystemColumn)| match kind {
        // SQLite has numbers in the place of truth values.
        SystemColumn::Truth => {
            format!("'{name}', json(case {name} when 1 then 'true' when 0 then 'false' end)")
        }
        _ => format!("'{name}', {name}"),
    };
    let values = table.columns.iter().map(value).collect::<Vec<_>>().join(", ");
    format!(
        "select json_group_array(json_object({values}))
         from (select * from {rows} order by {order} limit {limit} offset {offset}) as r"
    )
}

/// Each event in a row of its own, in the order in which they were told: those that are folded by their
/// places, and the one that has them behind them all.
const EVENTS: &str = "(select event_id, run_id, step_key, asset, at, kind, payload,
      1000000 as place
    from events
  union all
  select e.event_id, e.run_id, e.step_key, null, e.at, cast(f.value as text)->>'$.kind',
      cast(f.value as text), f.key
    from events e cross join json_each(e.folded) f) as e";
const PARTITIONS: &str = "environment, asset, partition_key";
/// A truth value in a document is a number in SQLite, and a word in PostgreSQL.
const CHECKS: &str = "(select event_id, run_id, asset, at, payload->>'$.check' as check_name,
    case when cast(payload->>'$.passed' as text) in ('1', 'true') then 1 else 0 end as passed,
    payload->>'$.severity' as severity,
    cast(payload->>'$.failing_rows' as bigint) as failing_rows, payload->>'$.found' as found
  from events where kind = 'ASSET_CHECK_EVALUATION') as c";
