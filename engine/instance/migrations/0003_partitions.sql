-- Rows and bytes of what is current: a version may hold many partitions.
alter table pointers add column row_count bigint;
alter table pointers add column size_bytes bigint;
update pointers set
  row_count = (select v.row_count from versions v where v.version_id = pointers.version_id),
  size_bytes = (select v.size_bytes from versions v where v.version_id = pointers.version_id);

-- Which partitions a run was asked to make: a JSON object of sets by asset.
alter table runs add column partitions text not null default '{}';
alter table runs add column backfill_id text;

-- Keys of dynamic partitions in the order in which they were added.
create table dynamic_partitions (
  position integer primary key autoincrement,
  name text not null,
  partition_key text not null,
  added_at bigint not null,
  unique (name, partition_key)
);

-- Partitions that are to be made, run after run.
create table backfills (
  backfill_id text primary key,
  environment text not null,
  status text not null,
  selection text not null,
  target text not null,
  tags text not null,
  process text not null,
  lease_until bigint not null,
  created_at bigint not null,
  ended_at bigint,
  error text
);
