//! What was inferred, kept by the names, sizes and times of the files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrow::datatypes::SchemaRef;
use arrowsmith_io_manager::{schema_from_bytes, schema_to_bytes};
use object_store::ObjectMeta;
use serde::{Deserialize, Serialize};

use super::SourceSettings;

/// Inferred schemas of a project, in one file of its home.
///
/// Losing it costs time and nothing else, so that errors in reading and writing it are no errors.
#[derive(Debug, Default)]
pub(crate) struct SchemaCache {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
    changed: bool,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    /// Of the declaration and every file.
    fingerprint: String,
    schema_ipc: Vec<u8>,
}

impl SchemaCache {
    pub(crate) fn open(home: &Path) -> Self {
        let path = home.join("cache").join("sources.json");
        let read = std::fs::read(&path).ok();
        let entries = read.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Self { path, entries: entries.unwrap_or_default(), changed: false }
    }

    pub(super) fn get(&self, settings: &SourceSettings, fingerprint: &str) -> Option<SchemaRef> {
        let entry = self.entries.get(settings.key.as_str())?;
        if entry.fingerprint != fingerprint {
            return None;
        }
        schema_from_bytes(&entry.schema_ipc).map(Into::into)
    }

    pub(super) fn put(&mut self, settings: &SourceSettings, fingerprint: &str, schema: &SchemaRef) {
        let (fingerprint, schema_ipc) = (fingerprint.to_owned(), schema_to_bytes(schema));
        let entry = Entry { fingerprint, schema_ipc };
        self.entries.insert(settings.key.to_string(), entry);
        self.changed = true;
    }

    /// Writes it if it changed, by replacing the file as a whole.
    pub(crate) fn save(&self) {
        if !self.changed {
            return;
        }
        let Ok(bytes) = serde_json::to_vec(&self.entries) else { return };
        let Some(folder) = self.path.parent() else { return };
        let temporary = folder.join(format!("sources.{}.tmp", std::process::id()));
        let written = std::fs::create_dir_all(folder)
            .and_then(|()| std::fs::write(&temporary, bytes))
            .and_then(|()| std::fs::rename(&temporary, &self.path));
        if let Err(error) = written {
            tracing::debug!(%error, path = %self.path.display(), "schemas were not cached");
        }
    }
}

/// Changes when the declaration or any file does, by its size and time.
pub(super) fn fingerprint(settings: &SourceSettings, objects: &[ObjectMeta]) -> String {
    let by_time = objects.iter().map(|object| {
        let identity = format!("{} {}", object.size, object.last_modified.timestamp_micros());
        (&object.location, identity)
    });
    fingerprint_by(settings, by_time)
}

/// Changes when the declaration does, or what stands for any of the files.
pub(super) fn fingerprint_by<'a>(
    settings: &SourceSettings,
    files: impl Iterator<Item = (&'a object_store::path::Path, String)>,
) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &str| {
        hasher.update(part.as_bytes());
        hasher.update(&[0]);
    };
    add(env!("CARGO_PKG_VERSION"));
    add(&settings.path);
    add(settings.format.name());
    add(&format!(
        "{:?} {} {} {} {}",
        settings.compression,
        settings.delimiter,
        settings.quote,
        settings.header,
        settings.infer_rows
    ));
    for null in &settings.nulls {
        add(null);
    }
    for (location, identity) in files {
        add(location.as_ref());
        add(&identity);
    }
    hasher.finalize().to_hex().to_string()
}
