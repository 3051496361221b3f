//! Files as external assets: CSV, JSON lines, Parquet and Arrow IPC.

mod files;
mod infer;
mod schema_cache;
mod settings;

pub(crate) use files::FileSource;
pub(crate) use schema_cache::SchemaCache;
pub(crate) use settings::{Format, SourceSettings, read_columns, read_sources};
