//! [`Daemon`]: one repository that is looked after.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrowsmith_definitions::{Problems, Repository};
use arrowsmith_execution::{Clock, Engine, EngineOptions, ProjectError};
use arrowsmith_instance::{Instance, Leader, RunId, TimeMicros};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::lead::new_owner;
use crate::{Error, Result, RunLauncher};

/// What a daemon is opened with.
#[derive(Debug, Clone)]
pub struct DaemonOptions {
    /// How the repository is loaded; its instance is on disk.
    pub engine: EngineOptions,
    /// Who carries out runs; what the repository says if it is open.
    pub launcher: Option<Arc<dyn RunLauncher>>,
}

/// Looks after one repository. Clones are the same daemon.
#[derive(Debug, Clone)]
pub struct Daemon {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) repository: Repository,
    pub(crate) options: DaemonOptions,
    pub(crate) instance: Instance,
    pub(crate) clock: Arc<dyn Clock>,
    /// This daemon, told apart from all others.
    pub(crate) owner: String,
    /// A run has ended, so that another may begin.
    pub(crate) run_ended: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The last version of the repository without errors.
    pub(crate) engine: Option<Arc<Engine>>,
    /// What is wrong with the newest version.
    pub(crate) problems: Option<Arc<Problems>>,
    pub(crate) leader: Option<(Leader, TimeMicros)>,
    /// When each sensor was looked at.
    pub(crate) looked_at: HashMap<String, TimeMicros>,
    /// Runs that this process has launched, and what stops them.
    pub(crate) launched: HashMap<RunId, CancellationToken>,
    /// A hash of the files of the project as they were loaded, if there is a folder.
    pub(crate) files: Option<[u8; 32]>,
    /// Sensors that are being looked at.
    pub(crate) looking: HashSet<String>,
    /// When each duty did its work, and what went wrong the last time.
    pub(crate) duties: HashMap<&'static str, (TimeMicros, Option<String>)>,
}

impl Daemon {
    /// Opens the instance and loads the repository; problems of it are kept, and it is looked at again
    /// whenever its files change.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn open(repository: Repository, mut options: DaemonOptions) -> Result<Self> {
        let instance = match options.engine.instance.clone() {
            Some(instance) => instance,
            None => Instance::open(&options.engine.load.home).await?,
        };
        options.engine.instance = Some(instance.clone());
        let clock = Arc::clone(&options.engine.clock);
        let owner = new_owner();
        let state = Mutex::default();
        let run_ended = Notify::new();
        let shared = Shared { repository, options, instance, clock, owner, run_ended, state };
        let daemon = Self { shared: Arc::new(shared) };
        daemon.load().await?;
        Ok(daemon)
    }

    /// Loads the repository anew; with problems, the last version without any stays.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn load(&self) -> Result<()> {
        let options = self.shared.options.engine.clone();
        // What changes while it is loaded is loaded anew.
        let files = self.files().await;
        self.state().files = files;
        let (repository, runtime) = (self.shared.repository.clone(), Handle::current());
        // Reading files and planning queries keep a thread busy.
        let open = move || runtime.block_on(Engine::open(&repository, options));
        let opened = match tokio::task::spawn_blocking(open).await {
            Ok(opened) => opened,
            Err(error) => return Err(Error::Loading(error.to_string())),
        };
        match opened {
            Ok(engine) => {
                let mut state = self.state();
                state.engine = Some(Arc::new(engine));
                state.problems = None;
                Ok(())
            }
            Err(ProjectError::Problems(problems)) => {
                self.state().problems = Some(Arc::new(problems));
                Ok(())
            }
            Err(ProjectError::Engine(error)) => Err(error.into()),
        }
    }

    /// The last version of the repository without errors.
    pub fn engine(&self) -> Option<Arc<Engine>> {
        self.state().engine.clone()
    }

    /// What is wrong with the newest version of the repository.
    pub fn problems(&self) -> Option<Arc<Problems>> {
        self.state().problems.clone()
    }

    /// The instance.
    pub fn instance(&self) -> &Instance {
        &self.shared.instance
    }

    /// The time by its clock.
    pub fn now(&self) -> TimeMicros {
        self.shared.clock.now()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
