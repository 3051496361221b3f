//! The manifest of one immutable version of a table.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::time::{Duration, SystemTime};

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{IoManager, TableSchema, WriteTarget};

/// The manifest's file name beside the data files.
pub const MANIFEST_NAME: &str = "_manifest.json";

/// The identity of a version: a UUID of version 7, so that versions sort by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(pub Uuid);

impl Version {
    /// When the version was begun, by the clock of its writer.
    pub fn created_at(&self) -> SystemTime {
        let (seconds, nanos) = self.0.get_timestamp().map_or((0, 0), |t| t.to_unix());
        SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for Version {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

/// What a manager wrote: everything that is needed to read the version again, without listing.
///
/// Serialises to the manifest format (see `wire.rs`), which carries its own version number.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTable {
    /// The kind of manager that can read it, such as `parquet`.
    pub manager: String,
    /// The URL of the store that it was written to.
    pub store: String,
    /// The encoded table path below the store's root.
    pub table: String,
    /// The version.
    pub version: Version,
    /// Columns in the order of the rows, partition columns included.
    pub schema: TableSchema,
    /// The partitions that it holds, also those without rows; none if it is not partitioned.
    pub partitions: Vec<String>,
    /// The hive columns, outermost first; they stand in the paths and not in the files.
    pub partition_by: Vec<String>,
    /// The data files, sorted by path.
    pub files: Vec<StoredFile>,
    /// Rows in all files.
    pub row_count: u64,
    /// Bytes of all files.
    pub size_bytes: u64,
    /// What the writer wanted to be remembered: asset, run, attempt, code version, inputs.
    pub labels: BTreeMap<String, String>,
}

impl StoredTable {
    /// A version that `manager` is about to write, without files yet; `schema` is that of what is
    /// stored.
    pub fn begin(manager: &dyn IoManager, target: &WriteTarget, schema: SchemaRef) -> Self {
        Self {
            manager: manager.kind().to_owned(),
            store: manager.store_url(),
            table: target.table.to_string(),
            version: target.version,
            schema: TableSchema::new(schema),
            partitions: target.partitions.iter().flat_map(|cut| cut.keys.iter().cloned()).collect(),
            partition_by: Vec::new(),
            files: Vec::new(),
            row_count: 0,
            size_bytes: 0,
            labels: target.labels.clone(),
        }
    }

    /// The version with its files; they say how many rows and bytes it has.
    #[must_use]
    pub fn with_files(mut self, files: Vec<StoredFile>) -> Self {
        self.row_count = files.iter().map(|file| file.row_count).sum();
        self.size_bytes = files.iter().map(|file| file.size_bytes).sum();
        self.files = files;
        self
    }

    /// Some partitions of the version, as if no others had been written.
    #[must_use]
    pub fn only(&self, keys: &HashSet<&str>) -> Self {
        let is_kept = |key: &str| keys.contains(key);
        let files = self.files.iter();
        let files = files.filter(|file| file.partition_key.as_deref().is_some_and(is_kept));
        let mut part = self.clone().with_files(files.cloned().collect());
        part.partitions.retain(|key| is_kept(key));
        part
    }

    /// The directory of this version below the store's root.
    pub fn directory(&self) -> String {
        format!("{}/{}", self.table, self.version)
    }
}

/// One data file of a version.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StoredFile {
    /// Relative to the directory of the version, percent-encoded.
    pub path: String,
    /// The partition whose rows it holds, if the version has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition_key: Option<String>,
    /// Values of the hive columns in text form; `None` is null.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub partition: BTreeMap<String, Option<String>>,
    /// Rows in the file.
    pub row_count: u64,
    /// Its length.
    pub size_bytes: u64,
    /// The BLAKE3 hash of its bytes, in hexadecimal.
    pub blake3: String,
    /// Statistics of the columns that have any.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, ColumnStatistics>,
}

/// What is known of one column in one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct ColumnStatistics {
    /// How many values are null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub null_count: Option<u64>,
    /// The smallest value in text form, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<String>,
    /// The largest value in text form, exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<String>,
}
