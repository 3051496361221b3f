//! A local store whose acknowledged writes survive a power cut.

use std::fmt;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use datafusion::common::runtime::SpawnedTask;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart,
};

/// The whole local file system as an object store, with the guarantees that
/// [`LocalFileSystem`] does not give.
///
/// - A put or a completed upload returns after the file *and* every directory that it made are
///   on stable storage.
/// - An upload of which a part failed cannot be completed: on a full disk `LocalFileSystem` would
///   publish the truncated file as a success.
#[derive(Debug)]
pub struct DurableLocal {
    inner: LocalFileSystem,
}

impl DurableLocal {
    /// The store whose paths are absolute paths of this machine.
    pub fn new() -> Self {
        Self { inner: LocalFileSystem::new() }
    }

    fn filesystem_path(&self, location: &Path) -> Result<PathBuf> {
        self.inner.path_to_filesystem(location)
    }
}

impl Default for DurableLocal {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DurableLocal")
    }
}

/// The deepest ancestor that is there before a write; all below it will have been made by it.
fn existing_ancestor(path: &FsPath) -> PathBuf {
    let ancestor = path.ancestors().skip(1).find(|ancestor| ancestor.exists());
    ancestor.unwrap_or(FsPath::new("/")).to_owned()
}

/// Syncs the file, then its directories up to and including `existing`.
async fn sync(file: PathBuf, existing: PathBuf) -> Result<()> {
    let work = move || -> std::io::Result<()> {
        std::fs::File::open(&file)?.sync_all()?;
        for directory in file.ancestors().skip(1) {
            std::fs::File::open(directory)?.sync_all()?;
            if directory == existing {
                break;
            }
        }
        Ok(())
    };
    SpawnedTask::spawn_blocking(work).await.map_err(generic)?.map_err(generic)
}

fn generic(source: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic { store: "DurableLocal", source: Box::new(source) }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let path = self.filesystem_path(location)?;
        let existing = existing_ancestor(&path);
        let result = self.inner.put_opts(location, payload, opts).await?;
        sync(path, existing).await?;
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.filesystem_path(location)?;
        let existing = existing_ancestor(&path);
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        Ok(Box::new(DurableUpload { inner, path, existing, failed: Arc::default() }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[std::ops::Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        let path = self.filesystem_path(to)?;
        let existing = existing_ancestor(&path);
        self.inner.copy_opts(from, to, options).await?;
        sync(path, existing).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        let path = self.filesystem_path(to)?;
        let existing = existing_ancestor(&path);
        self.inner.rename_opts(from, to, options).await?;
        sync(path, existing).await
    }
}

#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
    existing: PathBuf,
    failed: Arc<AtomicBool>,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let part = self.inner.put_part(data);
        let failed = Arc::clone(&self.failed);
        Box::pin(async move {
            let result = part.await;
            if result.is_err() {
                failed.store(true, Ordering::Release);
            }
            result
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        if self.failed.load(Ordering::Acquire) {
            return Err(generic(std::io::Error::other(
                "a part of the upload failed, so it cannot be completed",
            )));
        }
        let result = self.inner.complete().await?;
        sync(self.path.clone(), self.existing.clone()).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
