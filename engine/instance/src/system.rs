//! What the instance remembers, as tables that can be queried.

/// A table of what the instance remembers.
#[derive(Debug)]
pub struct SystemTable {
    /// Its name in the schema `system`.
    pub name: &'static str,
    /// Its columns.
    pub columns: &'static [(&'static str, SystemColumn)],
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
    },
];
