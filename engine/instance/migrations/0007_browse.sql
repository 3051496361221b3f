-- What pages look for among many events: the last word of each check, and of each step that published
-- nothing.
create index events_of_checks on events (asset, (payload->>'$.check'), event_id)
  where kind = 'ASSET_CHECK_EVALUATION';
create index events_of_steps_without_versions on events (step_key, event_id)
  where kind in ('STEP_FAILURE', 'STEP_CONFIRMED', 'STEP_REUSED');
create index runs_by_parent on runs (parent_run_id) where parent_run_id is not null;
create index runs_by_backfill on runs (backfill_id) where backfill_id is not null;
