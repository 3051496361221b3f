-- Which stored versions of an asset were made by some code, so that they can be pointed to again.
create index versions_by_code on versions (asset, (provenance->>'$.code'), version_id);

-- What the code of versions says, for people.
create table codes (
  code text primary key,
  text text not null
) without rowid;

-- How many transactions have written, so that nobody need look further if none has.
create table changes (count bigint not null);
insert into changes (count) values (0);
