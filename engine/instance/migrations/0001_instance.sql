-- Times are microseconds since 1970-01-01 UTC; ids are UUIDs in text form.
create table runs (
  run_id text primary key,
  environment text not null,
  selection text not null,
  status text not null,
  tags text not null,
  process text not null,
  lease_until bigint not null,
  created_at bigint not null,
  ended_at bigint,
  error text
);
create index runs_by_status on runs (status);

create table steps (
  run_id text not null references runs (run_id),
  step_key text not null,
  position bigint not null,
  state text not null,
  attempt bigint not null default 0,
  started_at bigint,
  ended_at bigint,
  row_count bigint,
  size_bytes bigint,
  reason text,
  primary key (run_id, step_key)
);

create table attempts (
  attempt_id text primary key,
  run_id text not null references runs (run_id),
  step_key text not null,
  number bigint not null,
  version_id text not null,
  status text not null,
  started_at bigint not null,
  ended_at bigint,
  error text
);
create index attempts_by_run on attempts (run_id);
create index attempts_by_version on attempts (version_id);

-- What an attempt is going to replace. The epoch fences an older attempt from a newer one.
create table targets (
  attempt_id text not null references attempts (attempt_id),
  environment text not null,
  asset text not null,
  partition_key text not null,
  epoch bigint not null,
  primary key (attempt_id, asset, partition_key)
);

create table versions (
  version_id text primary key,
  asset text not null,
  run_id text not null,
  attempt_id text not null,
  io_manager text not null,
  created_at bigint not null,
  duration_us bigint not null,
  row_count bigint not null,
  size_bytes bigint not null,
  code_version text,
  inputs text not null,
  metadata text not null,
  manifest text not null,
  removed_at bigint
);
create index versions_by_asset on versions (asset, created_at);

-- The catalog: what is current. `epoch` is that of the newest attempt, `version_id` what it or an
-- earlier one published.
create table pointers (
  environment text not null,
  asset text not null,
  partition_key text not null,
  epoch bigint not null,
  version_id text references versions (version_id),
  published_at bigint,
  primary key (environment, asset, partition_key)
);
create index pointers_by_version on pointers (version_id);

-- Versions that a run reads although they may be replaced meanwhile.
create table pins (
  run_id text not null references runs (run_id),
  version_id text not null,
  primary key (run_id, version_id)
);

create table events (
  event_id integer primary key autoincrement,
  run_id text not null,
  step_key text,
  asset text,
  at bigint not null,
  kind text not null,
  payload text not null
);
create index events_by_run on events (run_id, event_id);
