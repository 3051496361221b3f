//! What the instance remembers, as tables that can be queried.

/// A table of what the instance remembers.
#[derive(Debug)]
pub struct SystemTable {
    /// Its name in the schema `system`.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, SystemColumn)],
    /// The query of its rows, in an order that pages can be cut from.
    pub(crate) sql: &'static str,
}

/// What a column holds; any value may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemColumn {
    /// A text.
    Text,
    /// A whole number.
    Number,
    /// A moment, in microseconds since 1970-01-01 UTC.
    Time,
    /// A truth value.
    Truth,
}

use SystemColumn::{Number, Text, Time, Truth};

/// All of them.
pub const SYSTEM_TABLES: &[SystemTable] = &[
    SystemTable {
        name: "runs",
        columns: &[
            ("run_id", Text),
            ("status", Text),
            ("selection", Text),
            ("job", Text),
            ("origin", Text),
            ("environment", Text),
            ("tags", Text),
            ("parent_run_id", Text),
            ("root_run_id", Text),
            ("backfill_id", Text),
            ("priority", Number),
            ("created_at", Time),
            ("started_at", Time),
            ("ended_at", Time),
            ("error", Text),
        ],
        sql: "select run_id, status, selection, job, origin, environment, tags, parent_run_id,
                root_run_id, backfill_id, priority, created_at, started_at, ended_at, error
              from runs order by run_id",
    },
    SystemTable {
        name: "steps",
        columns: &[
            ("run_id", Text),
            ("step_key", Text),
            ("state", Text),
            ("attempt", Number),
            ("started_at", Time),
            ("ended_at", Time),
            ("row_count", Number),
            ("size_bytes", Number),
            ("reason", Text),
        ],
        sql: "select run_id, step_key, state, attempt, started_at, ended_at, row_count, size_bytes,
                reason
              from steps order by run_id, step_key",
    },
    SystemTable {
        name: "events",
        columns: &[
            ("event_id", Number),
            ("run_id", Text),
            ("step_key", Text),
            ("asset", Text),
            ("at", Time),
            ("kind", Text),
            ("payload", Text),
        ],
        sql: "select event_id, run_id, step_key, asset, at, kind, payload from events
              order by event_id",
    },
    SystemTable {
        name: "materializations",
        columns: &[
            ("version_id", Text),
            ("asset", Text),
            ("run_id", Text),
            ("created_at", Time),
            ("duration_us", Number),
            ("row_count", Number),
            ("size_bytes", Number),
            ("io_manager", Text),
            ("code_version", Text),
            ("removed_at", Time),
        ],
        sql: "select version_id, asset, run_id, created_at, duration_us, row_count, size_bytes,
                io_manager, code_version, removed_at
              from versions order by version_id",
    },
    SystemTable {
        name: "partitions",
        columns: &[
            ("environment", Text),
            ("asset", Text),
            ("partition_key", Text),
            ("version_id", Text),
            ("published_at", Time),
            ("row_count", Number),
            ("size_bytes", Number),
        ],
        sql: "select environment, asset, partition_key, version_id, published_at, row_count,
                size_bytes
              from pointers where version_id is not null
              order by environment, asset, partition_key",
    },
    SystemTable {
        name: "checks",
        columns: &[
            ("event_id", Number),
            ("run_id", Text),
            ("asset", Text),
            ("at", Time),
            ("check_name", Text),
            ("passed", Truth),
            ("severity", Text),
            ("failing_rows", Number),
            ("found", Text),
        ],
        sql: "select event_id, run_id, asset, at, payload->>'check' as check_name,
                payload->>'passed' as passed, payload->>'severity' as severity,
                payload->>'failing_rows' as failing_rows, payload->>'found' as found
              from events where kind = 'ASSET_CHECK_EVALUATION' order by event_id",
    },
    SystemTable {
        name: "ticks",
        columns: &[
            ("tick_id", Number),
            ("instigator", Text),
            ("scheduled_at", Time),
            ("began_at", Time),
            ("ended_at", Time),
            ("status", Text),
            ("run_ids", Text),
            ("suppressed", Text),
            ("reason", Text),
        ],
        sql: "select tick_id, instigator, scheduled_at, began_at, ended_at, status, run_ids,
                suppressed, reason
              from ticks order by tick_id",
    },
];
