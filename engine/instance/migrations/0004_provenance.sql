-- What a version was made of: a JSON object of its code and of what it read, or null if that is not
-- known.
alter table versions add column provenance text;

-- Digests of what computations read of versions; both never change.
create table digests (
  version_id text not null,
  partition_key text not null,
  scan text not null,
  row_count bigint not null,
  digest text not null,
  primary key (version_id, partition_key, scan)
) without rowid;
