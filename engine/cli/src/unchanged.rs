//! Whether anything has changed since it was found that there is nothing to do.
//!
//! Whether something is to be done follows from the program, the project's files, the files of its
//! sources, the environment, what the instance holds, and the time at which the next partition comes to
//! be. As long as all of that is as it was, so is the answer, and neither is the project loaded nor a
//! query planned. A file is as it was if its inode, its size and the time of its last change are
//! (`ctime`, which nobody can set); as in git, files that were changed a moment ago are not trusted.
//! Whatever cannot be seen from outside, such as objects of a cloud, means that the project is loaded.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use arrowsmith_definitions::{Body, DimensionKind};
use arrowsmith_execution::{Clock, Engine, Plan, PlanRequest, SystemClock};
use arrowsmith_instance::Instance;
use arrowsmith_sql::PROJECT_FILE;
use serde::{Deserialize, Serialize};

use crate::context::Context;

/// Files that changed later than this before the program began may change again within the same tick of
/// the file system's clock.
const RACY_MICROS: i64 = 50_000;
/// More files than these are not looked at one by one.
const FILES_MAX: usize = 50_000;

/// What is there before the project is loaded.
#[derive(Debug)]
pub(crate) struct Unchanged {
    root: PathBuf,
    home: PathBuf,
    began: i64,
    /// How often the instance has changed, if there is one yet.
    pub(crate) changes: Option<i64>,
    request: String,
}

/// What was found by an earlier process.
#[derive(Debug, Serialize, Deserialize)]
struct Memo {
    /// A hash of everything that the answer follows from.
    state: String,
    /// Files and folders of sources.
    sources: Vec<PathBuf>,
    /// When the next partition comes to be, in microseconds since 1970.
    until: Option<i64>,
    /// How many tables and partitions are fresh.
    fresh: u64,
}

impl Unchanged {
    /// `None` where it does not matter, or where nothing can be known from outside: a compiled
    /// repository may read anything.
    pub(crate) async fn look(context: &Context, request: &PlanRequest) -> Option<Self> {
        if !request.only_needed || request.full_refresh {
            return None;
        }
        let (root, home) = context.project_folder()?;
        let changes = Instance::changes(&home).await;
        let request = format!("{request:?} {:?}", context.variables());
        Some(Self { root, home, began: SystemClock.now(), changes, request })
    }

    /// How many tables and partitions are fresh, if it is known that there is nothing to do.
    pub(crate) fn nothing_to_do(&self) -> Option<u64> {
        let memo: Memo = serde_json::from_slice(&fs::read(self.path()).ok()?).ok()?;
        let is_over = memo.until.is_some_and(|until| until <= self.began);
        let state = self.state(&memo.sources, self.changes?).ok()?;
        (!is_over && state.hash == memo.state).then_some(memo.fresh)
    }

    /// Remembers that a plan of the request has nothing to do, which was put together when the instance
    /// had changed `since` times.
    pub(crate) async fn remember(&self, engine: &Engine, plan: &Plan, since: Option<i64>) {
        // What a project warns of is told each time.
        if !plan.is_empty() || plan.fresh == 0 || !engine.resolved.warnings.is_empty() {
            return;
        }
        let Some(changes) = Instance::changes(&self.home).await else { return };
        let Some((sources, until)) = outside(engine, self.began) else { return };
        let Ok(state) = self.state(&sources, changes) else { return };
        if since != Some(changes) || state.newest > self.began - RACY_MICROS {
            return;
        }
        let memo = Memo { state: state.hash, sources, until, fresh: plan.fresh };
        // Without it the next process is slower, and no less right.
        if let Ok(text) = serde_json::to_vec(&memo) {
            let beside = self.path().with_extension(std::process::id().to_string());
            drop(fs::write(&beside, text).and_then(|()| fs::rename(&beside, self.path())));
        }
    }

    /// The same after a run, which may have left nothing to do.
    pub(crate) async fn remember_after_run(&self, engine: &Engine, request: &PlanRequest) {
        let since = Instance::changes(&self.home).await;
        if let Ok(plan) = engine.plan_request(request).await {
            self.remember(engine, &plan, since).await;
        }
    }

    fn path(&self) -> PathBuf {
        self.home.join("unchanged.json")
    }

    fn state(&self, sources: &[PathBuf], changes: i64) -> io::Result<State> {
        let mut state = State::default();
        let project = self.root.join(PROJECT_FILE);
        let text = fs::read(&project)?;
        state.add(self.request.as_bytes());
        state.add(&changes.to_le_bytes());
        for (name, value) in environment(&String::from_utf8_lossy(&text)) {
            state.add(name.as_encoded_bytes());
            state.add(value.as_encoded_bytes());
        }
        state.add_file(&std::env::current_exe()?)?;
        state.add_file(&project)?;
        // What git ignores is no asset, and may be said in any folder above.
        for folder in self.root.ancestors() {
            for name in [".gitignore", ".ignore", ".git/info/exclude"] {
                state.add_if_there(&folder.join(name))?;
            }
        }
        for folder in ["assets", "tests"] {
            state.add_if_there(&self.root.join(folder))?;
        }
        for path in sources {
            state.add_all(path)?;
        }
        state.hash = state.hasher.finalize().to_hex().to_string();
        Ok(state)
    }
}

/// Files of sources, and when the next partition after a moment comes to be; `None` if what a source
/// holds cannot be seen from outside.
fn outside(engine: &Engine, began: i64) -> Option<(Vec<PathBuf>, Option<i64>)> {
    let (mut sources, mut until) = (Vec::new(), None::<i64>);
    let began = jiff::Timestamp::from_microsecond(began).ok()?;
    for resolved in engine.resolved.assets.values() {
        if let Body::External(source) = &resolved.asset.body {
            sources.push(source.local_path()?);
        }
        for dimension in resolved.asset.partitions.iter().flat_map(|of| &of.dimensions) {
            if let DimensionKind::Time(windows) = &dimension.kind {
                let next = windows.next_tick(began).map(jiff::Timestamp::as_microsecond);
                until = match (until, next) {
                    (Some(until), Some(next)) => Some(until.min(next)),
                    (until, next) => until.or(next),
                };
            }
        }
    }
    sources.sort();
    sources.dedup();
    Some((sources, until))
}

/// The variables that the project names, and Arrowsmith's own.
fn environment(project: &str) -> Vec<(OsString, OsString)> {
    let is_named = |name: &str| name.starts_with("ARROWSMITH_") || project.contains(name);
    let mut named: Vec<_> =
        std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_named)).collect();
    named.sort();
    named
}

/// A hash of what was looked at, and when the newest of it was changed.
#[derive(Debug, Default)]
struct State {
    hasher: blake3::Hasher,
    hash: String,
    newest: i64,
    files: usize,
}

impl State {
    fn add(&mut self, part: &[u8]) {
        self.hasher.update(&(part.len() as u64).to_le_bytes());
        self.hasher.update(part);
    }

    fn add_if_there(&mut self, path: &Path) -> io::Result<()> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.add(b"not there");
                Ok(())
            }
            _ => self.add_all(path),
        }
    }

    /// A file, or a folder with all that is in it.
    fn add_all(&mut self, path: &Path) -> io::Result<()> {
        let is_folder = self.add_file(path)?;
        if !is_folder {
            return Ok(());
        }
        let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
        let mut entries = entries.collect::<io::Result<Vec<PathBuf>>>()?;
        entries.sort();
        entries.iter().try_for_each(|path| self.add_all(path))
    }

    /// Whether it is a folder.
    fn add_file(&mut self, path: &Path) -> io::Result<bool> {
        self.files += 1;
        if self.files > FILES_MAX {
            return Err(io::Error::other("too many files"));
        }
        // A link that points nowhere, such as an editor's lock, is all that there is of it.
        let found = fs::metadata(path).or_else(|_| fs::symlink_metadata(path))?;
        let changed = changed_micros(&found);
        self.newest = self.newest.max(changed);
        self.add(path.as_os_str().as_encoded_bytes());
        self.add(&identity(&found));
        Ok(found.is_dir())
    }
}

#[cfg(unix)]
fn identity(found: &fs::Metadata) -> Vec<u8> {
    use std::os::unix::fs::MetadataExt;
    let numbers = [found.ctime(), found.ctime_nsec(), found.size().cast_signed()];
    let inode = [found.ino().cast_signed(), found.dev().cast_signed()];
    numbers.iter().chain(&inode).flat_map(|number| number.to_le_bytes()).collect()
}

#[cfg(unix)]
fn changed_micros(found: &fs::Metadata) -> i64 {
    use std::os::unix::fs::MetadataExt;
    found.ctime() * 1_000_000 + found.ctime_nsec() / 1000
}

/// Elsewhere nothing is known that cannot be set.
#[cfg(not(unix))]
fn identity(_: &fs::Metadata) -> Vec<u8> {
    Vec::new()
}

#[cfg(not(unix))]
fn changed_micros(_: &fs::Metadata) -> i64 {
    i64::MAX
}
