//! Versions as files of a store: sealing, finding and checking them, whatever their format.

use futures::TryStreamExt;
use object_store::ObjectStoreExt;

use crate::{
    Damage, Depth, Error, MANIFEST_NAME, Result, Store, StoreLocation, StoredTable, VersionEntry,
};

impl Store {
    /// Checks that every file has the length that was hashed, then writes the manifest: a version
    /// without one was never finished.
    ///
    /// # Errors
    /// `Damaged` if a file is not what was written, `Storage` if the store cannot be asked.
    pub async fn seal(&self, stored: &StoredTable) -> Result<()> {
        if let Some(damage) = self.verify(stored, Depth::Size).await?.into_iter().next() {
            return Err(Error::Damaged {
                table: stored.table.clone(),
                version: stored.version.to_string(),
                path: damage.path,
                reason: damage.reason,
            });
        }
        let manifest = serde_json::to_vec_pretty(stored)
            .map_err(|e| Error::query(datafusion::error::DataFusionError::External(e.into())))?;
        self.write(&format!("{}/{MANIFEST_NAME}", stored.directory()), manifest).await
    }

    /// Compares what is stored of a version with what is known of it: its files and, in full depth, the
    /// manifest, from which it is found again if the catalog is lost.
    ///
    /// # Errors
    /// Only when the store cannot be asked; damage is an answer.
    pub async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        let mut damages = Vec::new();
        for file in &stored.files {
            let relative = format!("{}/{}", stored.directory(), file.path);
            let reason = match self.size(&relative).await? {
                None => "the file is missing".to_owned(),
                Some(size) if size != file.size_bytes => {
                    format!("the file has {size} bytes, not {}", file.size_bytes)
                }
                Some(_) if depth == Depth::Size => continue,
                Some(_) => {
                    let found = self.checksum(&relative).await?;
                    if found == file.blake3 {
                        continue;
                    }
                    format!("its checksum is {found}, not {}", file.blake3)
                }
            };
            damages.push(Damage { path: file.path.clone(), reason });
        }
        if depth == Depth::Full {
            damages.extend(self.verify_manifest(stored).await?);
        }
        Ok(damages)
    }

    async fn verify_manifest(&self, stored: &StoredTable) -> Result<Option<Damage>> {
        let bytes = self.read(&format!("{}/{MANIFEST_NAME}", stored.directory())).await?;
        let reason = match bytes.map(|bytes| serde_json::from_slice::<StoredTable>(&bytes)) {
            None => "the manifest is missing".to_owned(),
            Some(Err(error)) => format!("the manifest cannot be read: {error}"),
            Some(Ok(found)) if found != *stored => "the manifest is not what was sealed".to_owned(),
            Some(Ok(_)) => return Ok(None),
        };
        Ok(Some(Damage { path: MANIFEST_NAME.to_owned(), reason }))
    }

    /// The BLAKE3 hash of an object, read in chunks.
    async fn checksum(&self, relative: &str) -> Result<String> {
        let path = self.path(relative)?;
        let failed = |e| Error::storage(&path, e);
        let mut chunks = self.objects().get(&path).await.map_err(failed)?.into_stream();
        let mut hasher = blake3::Hasher::new();
        while let Some(chunk) = chunks.try_next().await.map_err(failed)? {
            hasher.update(&chunk);
        }
        Ok(hasher.finalize().to_hex().to_string())
    }

    /// The manifest of a version; `None` if it was never finished.
    ///
    /// # Errors
    /// `Damaged` if it cannot be read.
    pub async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        let path = format!("{}/{}/{MANIFEST_NAME}", entry.table, entry.version);
        let Some(bytes) = self.read(&path).await? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::Damaged {
            table: entry.table.clone(),
            version: entry.version.to_string(),
            path: MANIFEST_NAME.to_owned(),
            reason: e.to_string(),
        })
    }

    /// What other programs would open, for each file of a version.
    pub fn locate_files(&self, stored: &StoredTable) -> Vec<StoreLocation> {
        let directory = stored.directory();
        stored.files.iter().map(|f| self.locate(&format!("{directory}/{}", f.path))).collect()
    }
}
