//! What every storage backend of Arrowsmith agrees on.
//!
//! An [`IoManager`] executes a physical plan and writes its rows as a new, immutable *version* of a
//! table; it describes the version by a [`StoredTable`] manifest and reads it back as a DataFusion
//! [`TableProvider`](datafusion::catalog::TableProvider). Nothing is ever overwritten: which
//! version is current is decided by the catalog, one floor above.
//!
//! ```text
//! ExecutionPlan ──write──▶ files + manifest (StoredTable) ──provider──▶ TableProvider
//! ```
//!
//! This crate knows no asset graph, no run, no job and no schedule. A table is a [`TablePath`],
//! and what a caller wants to leave behind in files (asset, run, attempt) comes as plain labels.
//!
//! ```
//! use arrowsmith_io_manager::TablePath;
//! let path = TablePath::new(["marts", "daily delays"]).unwrap();
//! assert_eq!(path.to_string(), "marts/daily%20delays");
//! ```

pub mod conformance;
mod durable;
mod error;
mod files;
mod manager;
mod map;
mod memory;
mod mirror;
mod partition;
mod schema;
mod schema_bytes;
mod sealed;
mod split;
mod store;
mod stored;
mod text;
mod union;
mod whole;
mod wire;

pub use durable::DurableLocal;
pub use error::{Error, ErrorKind, Result};
pub use files::{FileEncoder, FileFormat, FileIoManager, FileScan};
pub use manager::{
    Damage, Depth, IoManager, OptionProblem, Options, PartitionedWrite, VersionEntry, WriteTarget,
    nearest,
};
pub use map::MapExec;
pub use memory::MemoryIoManager;
pub use mirror::CurrentVersions;
pub use partition::{HivePath, NULL_PARTITION, TablePath, decode_value, encode_key, encode_value};
pub use schema::{ColumnDifference, SchemaDifference, TableSchema};
pub use schema_bytes::{schema_from_bytes, schema_to_bytes};
pub use split::PartitionRows;
pub use store::{Durability, Store, StoreLocation};
pub use stored::{ColumnStatistics, MANIFEST_NAME, StoredFile, StoredTable, Version};
pub use text::{from_texts, has_text, to_texts};
pub use union::UnionTable;
