//! Hot reload: a project folder whose files have changed is loaded anew.

use std::path::Path;
use std::time::SystemTime;

use crate::{Daemon, Result};

impl Daemon {
    /// Loads the repository anew if its files have changed; whether they have.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn reload(&self) -> Result<bool> {
        if self.files().await == self.state().files {
            return Ok(false);
        }
        self.load().await?;
        match self.problems() {
            None => tracing::info!("the project has changed and is loaded anew"),
            Some(problems) => {
                tracing::error!(
                    problems = problems.0.len(),
                    "the project has changed and has problems"
                );
            }
        }
        Ok(true)
    }

    /// A hash of the files of the project as they are now; none if there is no folder.
    pub(crate) async fn files(&self) -> Option<[u8; 32]> {
        let load = &self.shared.options.engine.load;
        let root = load.root.clone().or_else(|| self.shared.repository.root.clone())?;
        tokio::task::spawn_blocking(move || print_of(&root)).await.ok()
    }
}

/// A hash of the files of a project: their names, sizes and times of change.
fn print_of(root: &Path) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for name in ["arrowsmith.toml", "assets", "tests"] {
        add(&root.join(name), &mut hasher);
    }
    *hasher.finalize().as_bytes()
}

fn add(path: &Path, hasher: &mut blake3::Hasher) {
    let Ok(found) = std::fs::metadata(path) else { return };
    hasher.update(path.as_os_str().as_encoded_bytes());
    if found.is_dir() {
        let Ok(entries) = std::fs::read_dir(path) else { return };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for entry in &entries {
            add(entry, hasher);
        }
        return;
    }
    let changed =
        found.modified().ok().and_then(|at| at.duration_since(SystemTime::UNIX_EPOCH).ok());
    hasher.update(&found.len().to_le_bytes());
    hasher.update(&changed.map_or(0, |since| since.as_nanos()).to_le_bytes());
}
