-- Runs that wait: `launch` says as JSON what a run is to do; null if a command began it itself.
alter table runs add column launch text;
alter table runs add column priority bigint not null default 0;
-- Who asked for it, such as `schedule:nightly`.
alter table runs add column origin text;
alter table runs add column started_at bigint;
-- Since when it is asked to stop.
alter table runs add column cancel_at bigint;
-- How often it was handed to a process.
alter table runs add column launches bigint not null default 0;
-- Whether its process ended without a word.
alter table runs add column crashed bigint not null default 0;
-- What became of it after its failure: the run that goes on with it, or `no`.
alter table runs add column retry text;
update runs set started_at = created_at;
create index runs_to_retry on runs (run_id)
  where status = 'failure' and launch is not null and retry is null;

-- At most one run for each key of a schedule, sensor or condition.
create table run_keys (
  origin text not null,
  run_key text not null,
  run_id text not null,
  primary key (origin, run_key)
);

-- Schedules and sensors, such as `schedule:nightly`. `is_running` is null where nobody has said it.
create table instigators (
  name text primary key,
  is_running bigint,
  -- Ticks up to here are done.
  ticked_until bigint not null,
  cursor text
);

create table ticks (
  tick_id integer primary key autoincrement,
  instigator text not null,
  scheduled_at bigint not null,
  began_at bigint not null,
  ended_at bigint not null,
  status text not null,
  -- A JSON array of the runs that it queued, and one of those that were there already.
  run_ids text not null,
  suppressed text not null,
  reason text,
  cursor text,
  unique (instigator, scheduled_at)
);

-- Who alone may do something, until when; the epoch fences those who could before.
create table leaders (
  name text primary key,
  owner text not null,
  epoch bigint not null,
  lease_until bigint not null
);

-- When each duty of a daemon last did its work.
create table heartbeats (
  duty text primary key,
  owner text not null,
  at bigint not null,
  error text
);

-- Slots of pools that steps of runs hold.
create table slots (
  run_id text not null,
  step_key text not null,
  pool text not null,
  at bigint not null,
  primary key (run_id, step_key)
);
create index slots_by_pool on slots (pool);

create index events_of_run_ends on events (event_id)
  where kind in ('RUN_SUCCESS', 'RUN_FAILURE', 'RUN_CANCELED');

-- What the condition of an asset has to know at its next evaluation, as JSON.
create table conditions (
  asset text primary key,
  state text not null
);

-- Evaluations of conditions that came out otherwise than the one before: as JSON a tree with the
-- partitions for which each part of it held.
create table evaluations (
  evaluation_id integer primary key autoincrement,
  asset text not null,
  at bigint not null,
  requested text not null,
  tree text not null
);
create index evaluations_by_asset on evaluations (asset, evaluation_id);

-- How assets came to stand to their freshness policies.
create table freshness (
  change_id integer primary key autoincrement,
  asset text not null,
  state text not null,
  at bigint not null
);
create index freshness_by_asset on freshness (asset, change_id);
