//! [`Engine`]: a resolved repository with everything that it needs to run.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use arrowsmith_definitions::{LoadOptions, Problems, Repository, Resolved};
use arrowsmith_instance::{Instance, RunId};
use arrowsmith_io_manager::IoManager;
use datafusion::execution::SessionState;
use tokio::sync::{RwLock, Semaphore};

use crate::fresh::Scanned;
use crate::memory::{default_memory_bytes, queries_share};
use crate::session::Session;
use crate::{Clock, Error, Result, RunLogs, SystemClock, open_io_managers};

/// Stack of the thread on which a repository is checked: the planner recurses with the query.
const CHECK_STACK_BYTES: usize = 64 * 1024 * 1024;

/// A repository that is ready to run.
#[derive(Debug)]
pub struct Engine {
    /// The checked repository.
    pub resolved: Arc<Resolved>,
    /// Where runs and pointers are kept.
    pub instance: Instance,
    /// Whose pointers are read and moved.
    pub environment: String,
    /// Runs that were found dead when the engine was opened, and are ended now.
    pub recovered: Vec<RunId>,
    pub(crate) session: Session,
    /// For steps for which there was not enough memory; made when the first one needs it.
    frugal: OnceLock<Session>,
    /// Attempts that compute share it; one that is to need little memory has it to itself.
    pub(crate) computing: RwLock<()>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: arrowsmith_definitions::Limits,
    pub(crate) logs: RunLogs,
    /// What is read of each asset.
    pub(crate) scanned: Scanned,
    pub(crate) pools: BTreeMap<String, Arc<Semaphore>>,
}

/// What an engine is opened with.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// The home, and what the loading of the repository is to know.
    pub load: LoadOptions,
    /// The instance, in the place of the one in the home.
    pub instance: Option<Instance>,
    /// Whose pointers are read and moved.
    pub environment: String,
    /// Where log lines of runs go.
    pub logs: RunLogs,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Whether the process is there for one run of the queue, whose memory is limited.
    pub has_own_process: bool,
}

impl EngineOptions {
    /// The main environment of a home, on the machine's clock.
    pub fn new(home: impl AsRef<Path>) -> Self {
        Self {
            load: LoadOptions::new(home),
            instance: None,
            environment: "main".to_owned(),
            logs: RunLogs::default(),
            clock: Arc::new(SystemClock),
            has_own_process: false,
        }
    }

    /// The same, with an instance that is gone with the engine.
    #[must_use]
    pub fn without_instance(self) -> Self {
        Self { instance: Some(Instance::in_memory()), ..self }
    }
}

/// Why a repository could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Definitions are wrong.
    #[error("the project has problems")]
    Problems(Problems),
    /// Its surroundings are.
    #[error(transparent)]
    Engine(#[from] Error),
}

impl Engine {
    /// Loads and checks a repository without opening its instance.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(repository: &Repository, options: &LoadOptions) -> Result<Resolved, Problems> {
        check_loaded(&repository.load(options), &options.home)
    }

    /// Loads and checks a repository and opens its instance; runs whose process is gone are ended.
    ///
    /// # Errors
    /// Problems of definitions, or of the instance.
    pub async fn open(
        repository: &Repository,
        options: EngineOptions,
    ) -> std::result::Result<Self, ProjectError> {
        let (repository, home) = (repository.load(&options.load), &options.load.home);
        let resolved = check_loaded(&repository, home).map_err(ProjectError::Problems)?;
        let limits = repository.limits;
        let mut memory = limits.memory_bytes.unwrap_or_else(default_memory_bytes);
        if let Some(limit) =
            resolved.operations.run_memory_bytes.filter(|_| options.has_own_process)
        {
            memory = memory.min(queries_share(limit));
        }
        let session = Session::with_memory(memory).map_err(|source| Error::Session { source })?;
        let instance = match options.instance {
            Some(instance) => instance,
            None => Instance::open(home).await.map_err(Error::from)?,
        };
        let recovered = instance.recover(options.clock.now()).await.map_err(Error::from)?;
        let slots =
            |(name, count): (&String, &usize)| (name.clone(), Arc::new(Semaphore::new(*count)));
        Ok(Self {
            pools: limits.pools.iter().map(slots).collect(),
            resolved: Arc::new(resolved),
            scanned: Scanned::default(),
            instance,
            environment: options.environment,
            recovered,
            session,
            frugal: OnceLock::new(),
            computing: RwLock::default(),
            clock: options.clock,
            limits,
            logs: options.logs,
        })
    }

    /// The IO manager of a name.
    pub(crate) fn manager(&self, name: &str) -> Result<&Arc<dyn IoManager>> {
        let manager = self.resolved.io_managers.get(name);
        manager.ok_or_else(|| Error::NoIoManager { io_manager: name.to_owned() })
    }

    /// The time by the engine's clock, in microseconds since 1970-01-01 UTC.
    pub fn now(&self) -> arrowsmith_instance::TimeMicros {
        self.clock.now()
    }

    /// Its clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The pools of the repository with their slots, by name.
    pub fn pools(&self) -> BTreeMap<String, usize> {
        self.limits.pools.clone()
    }

    /// The session in which steps plan and execute; its memory is shared by all of them.
    pub fn session(&self) -> &Arc<SessionState> {
        &self.session.state
    }

    /// The session of an attempt.
    pub(crate) fn session_of(&self, frugal: bool) -> &Session {
        if frugal { self.frugal.get_or_init(|| self.session.frugal()) } else { &self.session }
    }
}

fn check_loaded(repository: &Repository, home: &Path) -> Result<Resolved, Problems> {
    let mut problems = Vec::new();
    let managers = open_io_managers(repository, home, &mut problems);
    let checked = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(CHECK_STACK_BYTES);
        let work = thread.spawn_scoped(scope, || repository.resolve(&managers));
        work.map(std::thread::ScopedJoinHandle::join)
    });
    let resolved = match checked {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        Err(_) => repository.resolve(&managers),
    };
    if problems.is_empty() {
        return resolved;
    }
    if let Err(found) = resolved {
        problems.extend(found.0);
    }
    let mut problems = Problems(problems);
    problems.sort();
    Err(problems)
}
