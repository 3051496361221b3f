-- Runs of jobs, and runs that continue others.
alter table runs add column job text;
alter table runs add column parent_run_id text;
alter table runs add column root_run_id text;
alter table runs add column config text not null default 'null';

-- What steps have emitted besides versions of assets. `manifest` is null for a unit, which is not
-- stored.
create table outputs (
  run_id text not null references runs (run_id),
  step_key text not null,
  output text not null,
  mapping_key text not null default '',
  asset text,
  io_manager text not null,
  created_at bigint not null,
  version_id text not null,
  metadata text not null,
  manifest text,
  primary key (run_id, step_key, output, mapping_key)
);
create index outputs_by_version on outputs (version_id);
