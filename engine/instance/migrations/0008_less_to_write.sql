-- What a step has told in front of an event in the same transaction, and nobody looks for by itself: a
-- JSON array of events, oldest first.
alter table events add column folded text;

-- Attempts are looked for while they run; what nobody looks for need not be kept in order.
drop index attempts_by_version;
drop index attempts_by_run;
create index attempts_running on attempts (run_id) where status = 'running';
drop index outputs_by_version;
