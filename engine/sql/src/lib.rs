//! SQL projects: plain SQL files as assets, type-checked as a whole before anything runs.
//!
//! [`sql_project`] reads `arrowsmith.toml` and `assets/**/*.sql` into a
//! [`Repository`](arrowsmith_definitions::Repository). Each file becomes a [`SqlQuery`], which
//! finds its dependencies in the parsed query, plans itself against the schemas of its inputs for
//! a check, and against their stored versions for a run. DataFusion's own planner does both, so a
//! check has no false alarms; [`diagnose`] turns its errors into messages with a place.
//!
//! | file | what it does |
//! |---|---|
//! | `project.rs` | the folder: which files, which keys |
//! | `settings.rs` | `arrowsmith.toml` |
//! | `front_matter.rs` | the TOML in the leading comment of a SQL file |
//! | `source/` | CSV, JSON, Parquet and Arrow files as external assets; inference and its cache |
//! | `parse.rs` | text to statement, with limits; references with places |
//! | `check/` | `[checks]` in the front matter |
//! | `variables.rs` | `$var_…` |
//! | `partitions.rs` | `[partitions]`, and which partitions of inputs are read |
//! | `incremental.rs` | merges and snapshots |
//! | `parameters.rs` | `$partition_…` |
//! | `unit_test.rs` | `tests/**/*.toml` |
//! | `template.rs` | `*.sql.jinja` to SQL text |
//! | `plan.rs` | statement and inputs to plan |
//! | `diagnose/` | errors of the parser and planner to diagnostics |
//! | `query.rs` | all of it as a `Compute` |
//!
//! This is the only crate that plans SQL text. It stores nothing and knows no run.

mod attributes;
mod canonical;
mod check;
mod diagnose;
mod document;
mod front_matter;
mod incremental;
mod lineage;
mod operations;
mod parameters;
mod parse;
mod partitions;
mod plan;
mod project;
mod query;
mod reads;
mod settings;
mod source;
mod template;
mod unit_test;
mod variables;

pub use diagnose::diagnose;
pub use parse::{Query, TableName};
pub use plan::{InputTable, plan_query, planning_session};
pub use project::{PROJECT_FILE, SqlProject, find_project, home_of, sql_project};
pub use query::{SqlQuery, sql_asset};
pub use variables::Variables;
