//! Store URLs: where versions are kept.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use datafusion::common::runtime::SpawnedTask;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use url::Url;
use uuid::Uuid;

use crate::whole::WholeReads;
use crate::{DurableLocal, Error, Result, TablePath, VersionEntry};

/// Whether an acknowledged write must survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// Files and directories are synced before a write is acknowledged.
    #[default]
    Fsync,
    /// The operating system writes when it likes; a power cut may lose acknowledged data.
    None,
}

/// A root for tables in an object store.
///
/// | URL | store |
/// |---|---|
/// | `warehouse`, `/data/warehouse`, `file:///data/warehouse` | a directory, relative to the project |
/// | `memory:` | the memory of this process; each one that is opened is a new one |
/// | `s3://bucket/prefix` | S3 and what speaks its protocol; credentials and `AWS_ENDPOINT` from the environment |
/// | `gs://bucket/prefix` | Google Cloud Storage, with feature `gcp` |
/// | `az://container/prefix` | Azure Blob Storage, with feature `azure` |
#[derive(Debug, Clone)]
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    registry_url: Url,
    root: Path,
    shown: String,
    directory: Option<PathBuf>,
}

/// One place in a store that can be shown to people and other programs.
pub type StoreLocation = String;

impl Store {
    /// Opens the store at `url`; local paths are relative to `base`.
    ///
    /// `settings` are options of the object store, such as `endpoint` or `region`; what they leave
    /// open comes from the environment. Nothing is requested yet.
    ///
    /// # Errors
    /// [`Error::Url`] if the URL has an unknown scheme or settings do not fit.
    pub fn open(
        url: &str,
        base: &FsPath,
        durability: Durability,
        settings: &BTreeMap<String, String>,
    ) -> Result<Self> {
        if url == "memory:" || url.starts_with("memory://") {
            return Self::memory();
        }
        match Url::parse(url) {
            Ok(parsed) if parsed.scheme() == "file" => {
                let path = parsed.to_file_path().map_err(|()| bad(url, "it has a host"))?;
                Self::local(&path, durability)
            }
            Ok(parsed) if parsed.has_host() => Self::remote(url, &parsed, settings),
            _ if url.contains("://") => Err(bad(url, "it has no bucket")),
            _ => Self::local(&base.join(url), durability),
        }
    }

    /// A store in the memory of this process.
    pub fn memory() -> Result<Self> {
        let shown = format!("memory://{}", Uuid::now_v7());
        let registry_url = Url::parse(&shown).map_err(|e| bad(&shown, e))?;
        let objects = Arc::new(InMemory::new());
        Ok(Self { objects, registry_url, root: Path::default(), shown, directory: None })
    }

    fn local(directory: &FsPath, durability: Durability) -> Result<Self> {
        let shown = directory.display().to_string();
        let absolute = std::path::absolute(directory).map_err(|e| bad(&shown, e))?;
        let absolute = normalized(&absolute);
        let root = Path::from_absolute_path(&absolute).map_err(|e| bad(&shown, e))?;
        let objects: Arc<dyn ObjectStore> = match durability {
            Durability::Fsync => Arc::new(DurableLocal::new()),
            Durability::None => Arc::new(LocalFileSystem::new()),
        };
        let registry_url = Url::parse("file:///").map_err(|e| bad(&shown, e))?;
        let shown = absolute.display().to_string();
        Ok(Self { objects, registry_url, root, shown, directory: Some(absolute) })
    }

    fn remote(url: &str, parsed: &Url, settings: &BTreeMap<String, String>) -> Result<Self> {
        let (objects, root): (Arc<dyn ObjectStore>, Path) = match parsed.scheme() {
            "s3" | "s3a" => {
                let mut builder =
                    object_store::aws::AmazonS3Builder::from_env().with_url(url.to_owned());
                for (key, value) in settings {
                    let key = key.parse().map_err(|e| bad(url, e))?;
                    builder = builder.with_config(key, value);
                }
                (Arc::new(builder.build().map_err(|e| bad(url, e))?), url_path(url, parsed)?)
            }
            #[cfg(feature = "gcp")]
            "gs" => {
                let mut builder = object_store::gcp::GoogleCloudStorageBuilder::from_env()
                    .with_url(url.to_owned());
                for (key, value) in settings {
                    let key = key.parse().map_err(|e| bad(url, e))?;
                    builder = builder.with_config(key, value);
                }
                (Arc::new(builder.build().map_err(|e| bad(url, e))?), url_path(url, parsed)?)
            }
            #[cfg(feature = "azure")]
            "az" | "abfs" | "abfss" => {
                let mut builder =
                    object_store::azure::MicrosoftAzureBuilder::from_env().with_url(url.to_owned());
                for (key, value) in settings {
                    let key = key.parse().map_err(|e| bad(url, e))?;
                    builder = builder.with_config(key, value);
                }
                (Arc::new(builder.build().map_err(|e| bad(url, e))?), url_path(url, parsed)?)
            }
            "gs" => return Err(bad(url, "this binary was built without the feature `gcp`")),
            "az" | "abfs" | "abfss" => {
                return Err(bad(url, "this binary was built without the feature `azure`"));
            }
            other => {
                return Err(bad(
                    url,
                    format!("the scheme `{other}` is none of file, memory, s3, gs, az"),
                ));
            }
        };
        let host = parsed.host_str().unwrap_or_default();
        let registry_url =
            Url::parse(&format!("{}://{host}/", parsed.scheme())).map_err(|e| bad(url, e))?;
        let shown = format!("{}://{host}/{root}", parsed.scheme());
        Ok(Self { objects, registry_url, root, shown, directory: None })
    }

    /// The same store behind another, which may limit, count, cache or fail its calls.
    #[must_use]
    pub fn wrapped(self, wrap: impl FnOnce(Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore>) -> Self {
        Self { objects: wrap(self.objects), ..self }
    }

    /// The URL without credentials and query, for people and manifests.
    pub fn url(&self) -> &str {
        &self.shown
    }

    /// The underlying object store, whose paths are made by [`path`](Self::path).
    pub fn objects(&self) -> &Arc<dyn ObjectStore> {
        &self.objects
    }

    /// The same for reading: an answer that is cut off is an error.
    pub fn readable(&self) -> Arc<dyn ObjectStore> {
        Arc::new(WholeReads(Arc::clone(&self.objects)))
    }

    /// The full object path of something below the root; `relative` is percent-encoded.
    pub fn path(&self, relative: &str) -> Result<Path> {
        Path::parse(format!("{}/{relative}", self.root))
            .map_err(|e| Error::storage(relative, e.into()))
    }

    /// The URL of the directory of a table, whose path is that of its objects.
    ///
    /// # Errors
    /// `Url` if the store has none.
    pub fn table_url(&self, table: &TablePath) -> Result<Url> {
        let mut url = self.registry_url.clone();
        let path = self.path(&table.to_string())?;
        url.path_segments_mut()
            .map_err(|()| bad(&self.shown, "it has no directories"))?
            .pop_if_empty()
            .extend(path.parts().map(|part| part.as_ref().to_owned()))
            // A directory ends with a slash.
            .push("");
        Ok(url)
    }

    /// Makes the store known to a DataFusion runtime and returns the URL to scan with.
    pub fn register(&self, runtime: &RuntimeEnv) -> Result<ObjectStoreUrl> {
        runtime.register_object_store(&self.registry_url, self.readable());
        ObjectStoreUrl::parse(self.registry_url.as_str()).map_err(Error::query)
    }

    /// What another program would open: an absolute path or a URL.
    pub fn locate(&self, relative: &str) -> StoreLocation {
        match &self.directory {
            Some(directory) => directory.join(relative).display().to_string(),
            None => format!("{}/{relative}", self.shown.trim_end_matches('/')),
        }
    }

    /// Reads a whole object; `None` if it is not there.
    pub async fn read(&self, relative: &str) -> Result<Option<bytes::Bytes>> {
        let path = self.path(relative)?;
        match self.objects.get(&path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(|e| Error::storage(&path, e))?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(Error::storage(&path, e)),
        }
    }

    /// Writes a whole object, durably if the store is durable.
    pub async fn write(&self, relative: &str, bytes: impl Into<PutPayload>) -> Result<()> {
        let path = self.path(relative)?;
        self.objects.put(&path, bytes.into()).await.map_err(|e| Error::storage(&path, e))?;
        Ok(())
    }

    /// Length of an object; `None` if it is not there.
    pub async fn size(&self, relative: &str) -> Result<Option<u64>> {
        let path = self.path(relative)?;
        match self.objects.head(&path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(Error::storage(&path, e)),
        }
    }

    /// All directories of the form `<table>/<uuid>`, finished or not.
    pub async fn versions(&self) -> Result<Vec<VersionEntry>> {
        match &self.directory {
            Some(directory) => {
                let directory = directory.clone();
                let walk = SpawnedTask::spawn_blocking(move || local_versions(&directory));
                walk.await.map_err(|e| Error::storage(&self.shown, join_error(e)))?
            }
            None => self.listed_versions().await,
        }
    }

    async fn listed_versions(&self) -> Result<Vec<VersionEntry>> {
        let mut found = BTreeMap::new();
        let mut objects = self.objects.list(Some(&self.root));
        while let Some(meta) =
            objects.try_next().await.map_err(|e| Error::storage(&self.shown, e))?
        {
            let path = meta.location.as_ref();
            let relative = path.strip_prefix(self.root.as_ref()).unwrap_or(path);
            note_file(
                &mut found,
                relative.trim_start_matches('/'),
                meta.last_modified.into(),
                meta.size,
            );
        }
        Ok(found.into_values().collect())
    }

    /// Removes a directory with everything in it, unfinished uploads included where they are
    /// files; returns the bytes that were freed.
    pub async fn remove_directory(&self, relative: &str) -> Result<u64> {
        if let Some(directory) = &self.directory {
            let target = directory.join(relative);
            let shown = target.display().to_string();
            let work = SpawnedTask::spawn_blocking(move || remove_local(&target));
            let removed = work.await.map_err(|e| Error::storage(&shown, join_error(e)))?;
            return removed.map_err(|source| Error::File { action: "remove", path: shown, source });
        }
        let prefix = self.path(relative)?;
        let objects: Vec<_> = self
            .objects
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(|e| Error::storage(&prefix, e))?;
        let mut freed = 0;
        for meta in objects {
            self.objects
                .delete(&meta.location)
                .await
                .map_err(|e| Error::storage(&meta.location, e))?;
            freed += meta.size;
        }
        Ok(freed)
    }

    /// Writes, reads and removes a small object.
    pub async fn probe(&self) -> Result<()> {
        let name = format!("_probe-{}", Uuid::now_v7());
        self.write(&name, bytes::Bytes::from_static(b"arrowsmith")).await?;
        let path = self.path(&name)?;
        self.objects.delete(&path).await.map_err(|e| Error::storage(&path, e))
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

fn bad(url: &str, reason: impl fmt::Display) -> Error {
    let url = url.split('?').next().unwrap_or_default().to_owned();
    Error::Url { url, reason: reason.to_string() }
}

fn url_path(url: &str, parsed: &Url) -> Result<Path> {
    Path::from_url_path(parsed.path()).map_err(|e| bad(url, e))
}

fn join_error(source: tokio::task::JoinError) -> object_store::Error {
    object_store::Error::JoinError { source }
}

/// Resolves `.` and `..` without asking the disk, since the directory may not exist yet.
fn normalized(path: &FsPath) -> PathBuf {
    let mut parts = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                parts.pop();
            }
            std::path::Component::CurDir => {}
            other => parts.push(other),
        }
    }
    parts
}

fn note_file(
    found: &mut BTreeMap<(String, Uuid), VersionEntry>,
    relative: &str,
    modified: SystemTime,
    size: u64,
) {
    let segments: Vec<&str> = relative.split('/').collect();
    let Some((at, version)) = segments
        .iter()
        .enumerate()
        .find_map(|(at, segment)| Uuid::parse_str(segment).ok().map(|uuid| (at, uuid)))
    else {
        return;
    };
    let table = segments[..at].join("/");
    let entry = found.entry((table.clone(), version)).or_insert_with(|| VersionEntry {
        table,
        version: crate::Version(version),
        last_modified: modified,
        size_bytes: 0,
    });
    entry.last_modified = entry.last_modified.max(modified);
    entry.size_bytes += size;
}

/// Walks the disk itself, because a listing of the object store hides staging files and empty
/// directories that an interrupted write leaves behind.
fn local_versions(root: &FsPath) -> Result<Vec<VersionEntry>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    let failed = |path: &FsPath, source| Error::File {
        action: "list",
        path: path.display().to_string(),
        source,
    };
    while let Some(directory) = pending.pop() {
        let entries = match std::fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(failed(&directory, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| failed(&directory, e))?;
            let meta = match entry.metadata() {
                Ok(meta) => meta,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
                Err(e) => return Err(failed(&entry.path(), e)),
            };
            let path = entry.path();
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
            let modified = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            if meta.is_dir() {
                pending.push(path);
            }
            let size = if meta.is_file() { meta.len() } else { 0 };
            note_file(&mut found, &relative, modified, size);
        }
    }
    Ok(found.into_values().collect())
}

fn remove_local(directory: &FsPath) -> std::io::Result<u64> {
    let mut freed = 0;
    let mut pending = vec![directory.to_owned()];
    while let Some(current) = pending.pop() {
        for entry in std::fs::read_dir(&current)? {
            let entry = entry?;
            let meta = entry.metadata()?;
            if meta.is_dir() {
                pending.push(entry.path());
            } else {
                freed += meta.len();
            }
        }
    }
    std::fs::remove_dir_all(directory)?;
    // The table's own directory goes when its last version does; one that is in use stays.
    if let Some(table) = directory.parent() {
        drop(std::fs::remove_dir(table));
    }
    Ok(freed)
}
