//! The stored form of a manifest, format 1.
//!
//! The schema is kept as an Arrow IPC message in base64, which is what Parquet footers do too; the
//! list of columns beside it is for people.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{StoredFile, StoredTable, TableSchema, Version, schema_from_bytes, schema_to_bytes};

const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    manager: String,
    store: String,
    table: String,
    version: Version,
    columns: Vec<Column>,
    schema_ipc: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    partitions: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    partition_by: Vec<String>,
    files: Vec<StoredFile>,
    row_count: u64,
    size_bytes: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    r#type: String,
    nullable: bool,
}

impl Serialize for StoredTable {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.schema.columns().map(|field| Column {
            name: field.name().clone(),
            r#type: field.data_type().to_string(),
            nullable: field.is_nullable(),
        });
        Manifest {
            format: FORMAT,
            manager: self.manager.clone(),
            store: self.store.clone(),
            table: self.table.clone(),
            version: self.version,
            columns: columns.collect(),
            schema_ipc: STANDARD.encode(schema_to_bytes(self.schema.arrow())),
            partitions: self.partitions.clone(),
            partition_by: self.partition_by.clone(),
            files: self.files.clone(),
            row_count: self.row_count,
            size_bytes: self.size_bytes,
            labels: self.labels.clone(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for StoredTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let manifest = Manifest::deserialize(deserializer)?;
        if manifest.format != FORMAT {
            let format = manifest.format;
            return Err(Error::custom(format!(
                "manifest format {format} is not known to this version of Arrowsmith, which \
                 reads format {FORMAT}"
            )));
        }
        // A manifest is data: it names nothing outside of the version that it describes.
        let paths = manifest.files.iter().map(|file| &file.path).chain([&manifest.table]);
        if let Some(path) = paths.into_iter().find(|path| leads_elsewhere(path)) {
            return Err(Error::custom(format!("`{path}` is no path below the store")));
        }
        let bytes = STANDARD.decode(&manifest.schema_ipc).map_err(Error::custom)?;
        let schema = schema_from_bytes(&bytes);
        let schema = schema.ok_or_else(|| Error::custom("`schema_ipc` is no schema"))?;
        let schema = TableSchema::new(schema.into());
        Ok(Self {
            manager: manifest.manager,
            store: manifest.store,
            table: manifest.table,
            version: manifest.version,
            schema,
            partitions: manifest.partitions,
            partition_by: manifest.partition_by,
            files: manifest.files,
            row_count: manifest.row_count,
            size_bytes: manifest.size_bytes,
            labels: manifest.labels,
        })
    }
}

fn leads_elsewhere(path: &str) -> bool {
    path.split('/').any(|segment| matches!(segment, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use super::leads_elsewhere;
    use crate::StoredTable;

    /// A message whose column has a type without its parts: found by mutation of a manifest.
    #[test]
    fn a_schema_that_lacks_a_part_is_an_error() {
        let manifest = serde_json::json!({
            "format": 1, "manager": "parquet", "store": "/srv", "table": "t",
            "version": "01a219f0-1774-76e3-86d2-4eabdc60b5a4", "columns": [], "files": [],
            "row_count": 0, "size_bytes": 0,
            "schema_ipc": "DAAAAAgACAAAAAQACAAAAAQAAAABAAAAFAAAABAAFAAQAAAADwAEAAAACAAAAAAAGAAAACAAAAAAAAACHA\
                           AAAAgADAAEAAsACAAAAEAAAAAAAAABAAAAAAEAAABuAAAA",
        });
        let error = serde_json::from_value::<StoredTable>(manifest).expect_err("no schema");
        assert!(error.to_string().contains("schema_ipc"), "{error}");
    }

    #[test]
    fn paths_of_a_manifest_stay_below_its_version() {
        for path in ["../x", "a/../b", "/etc/passwd", "a//b", ".", "", "a/"] {
            assert!(leads_elsewhere(path), "{path}");
        }
        for path in ["0000-0000.parquet", "c=x%2F0/a.parquet", "..x/a", "a..b"] {
            assert!(!leads_elsewhere(path), "{path}");
        }
    }
}
