//! Everything that is loaded as a unit.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_io_manager::{IoManager, Options};

use crate::{
    Asset, AssetKey, Code, Diagnostic, Job, Operations, Place, ResourceDefinition, Schedule,
    Sensor, UnitTest,
};

/// A collection of definitions, loaded as a unit by the command line, the web UI and the daemon.
///
/// Adding never fails; what is wrong is found, all at once, by [`resolve`](Self::resolve).
#[derive(Debug, Clone, Default)]
pub struct Repository {
    /// Its name, for people.
    pub name: String,
    /// The project folder, if there is one; relative store paths begin here.
    pub root: Option<PathBuf>,
    /// In the order of definition.
    pub assets: Vec<Asset>,
    /// What is read anew at each [`load`](Self::load).
    pub loaders: Vec<Arc<dyn Loader>>,
    /// In the order of definition.
    pub jobs: Vec<Job>,
    /// In the order of definition.
    pub schedules: Vec<Schedule>,
    /// In the order of definition.
    pub sensors: Vec<Sensor>,
    /// How its daemon works.
    pub operations: Option<Operations>,
    /// In the order of definition.
    pub unit_tests: Vec<UnitTest>,
    /// By name.
    pub resources: BTreeMap<String, ResourceDefinition>,
    /// By name.
    pub io_managers: BTreeMap<String, IoManagerChoice>,
    /// The manager of assets that name none.
    pub default_io_manager: Option<String>,
    /// Limits of runs.
    pub limits: Limits,
    /// What was already found wrong while loading.
    pub problems: Vec<Diagnostic>,
    /// Assets that a problem of loading left without inputs or columns; what reads them is not
    /// checked, since it would only repeat the problem.
    pub broken: BTreeSet<AssetKey>,
}

/// An IO manager that is at hand, or what is needed to make it.
#[derive(Debug, Clone)]
pub enum IoManagerChoice {
    /// Given by Rust code.
    Ready(Arc<dyn IoManager>),
    /// Described by a project file.
    Settings(IoManagerSettings),
}

/// An IO manager as a project file describes it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct IoManagerSettings {
    /// `parquet`, `memory`, …
    pub kind: String,
    /// The URL of its store; the home's own warehouse if it is open.
    pub store: Option<String>,
    /// Whether acknowledged writes survive a power cut.
    pub fsync: Option<bool>,
    /// Settings of the object store, such as `endpoint`.
    pub store_settings: BTreeMap<String, String>,
    /// Options of the manager.
    pub options: Options,
    /// Where it is described.
    pub place: Option<Place>,
}

/// Limits of a run; what is open gets a default that suits the machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Limits {
    /// Steps that run at the same time.
    pub max_concurrent: Option<usize>,
    /// Bytes of memory for all queries of a run together.
    pub memory_bytes: Option<usize>,
    /// How long one attempt of one step may take.
    pub step_timeout: Option<Duration>,
    /// How long a run may take.
    pub run_timeout: Option<Duration>,
    /// Slots of each pool, shared by all runs of a process.
    pub pools: BTreeMap<String, usize>,
}

/// Definitions that stand outside of the program and are read each time a repository is loaded,
/// such as the files of a project folder.
pub trait Loader: fmt::Debug + Send + Sync {
    /// Reads them as they are now; what is wrong with them is in the problems of the result.
    fn load(&self, options: &LoadOptions) -> Repository;
}

/// What is said about a repository from outside of its definitions.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// Where the instance and caches are, and the warehouse unless the project says otherwise.
    pub home: PathBuf,
    /// The project folder, in the place of the one that the program names.
    pub root: Option<PathBuf>,
    /// Values of variables by name.
    pub variables: Vec<(String, String)>,
}

impl LoadOptions {
    /// A home, and nothing else.
    pub fn new(home: impl AsRef<Path>) -> Self {
        Self { home: home.as_ref().to_owned(), ..Self::default() }
    }
}

/// What can be added to a repository.
pub trait Definitions {
    /// Adds it.
    fn add_to(self, repository: &mut Repository);
}

impl Repository {
    /// An empty repository.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// The repository with more definitions: an asset, several, or all of another repository.
    #[must_use]
    pub fn with(mut self, definitions: impl Definitions) -> Self {
        definitions.add_to(&mut self);
        self
    }

    /// The repository with what its loaders read, as it is now.
    #[must_use]
    pub fn load(&self, options: &LoadOptions) -> Self {
        let mut loaded = self.clone();
        if loaded.root.is_some() && options.root.is_some() {
            loaded.root.clone_from(&options.root);
        }
        for loader in std::mem::take(&mut loaded.loaders) {
            loaded = loaded.with(loader.load(options));
        }
        if self.loaders.is_empty() {
            loaded.problems.extend(options.variables.iter().map(|(name, _)| {
                let message = format!("there is no variable `{name}`");
                Diagnostic::error(Code::Variable, message)
                    .help("variables are those of `[vars]` in a project folder")
            }));
        }
        loaded
    }

    /// The repository with an IO manager; the first one is the default until another is named.
    #[must_use]
    pub fn with_io_manager(mut self, name: impl Into<String>, manager: Arc<dyn IoManager>) -> Self {
        let name = name.into();
        self.default_io_manager.get_or_insert_with(|| name.clone());
        self.io_managers.insert(name, IoManagerChoice::Ready(manager));
        self
    }

    /// The repository whose assets are stored by the IO manager of this name, unless they name
    /// another; `default` is a Parquet one in the home, which needs no definition.
    #[must_use]
    pub fn with_default_io_manager(mut self, name: impl Into<String>) -> Self {
        self.default_io_manager = Some(name.into());
        self
    }

    /// The repository with a resource.
    #[must_use]
    pub fn with_resource(mut self, name: impl Into<String>, resource: ResourceDefinition) -> Self {
        self.resources.insert(name.into(), resource);
        self
    }

    /// The repository with settings for its daemon.
    #[must_use]
    pub fn with_operations(mut self, operations: Operations) -> Self {
        self.operations = Some(operations);
        self
    }

    /// The repository with limits for its runs.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

impl Definitions for Asset {
    fn add_to(self, repository: &mut Repository) {
        repository.assets.push(self);
    }
}

impl Definitions for Job {
    fn add_to(self, repository: &mut Repository) {
        repository.jobs.push(self);
    }
}

impl Definitions for Schedule {
    fn add_to(self, repository: &mut Repository) {
        repository.schedules.push(self);
    }
}

impl Definitions for Sensor {
    fn add_to(self, repository: &mut Repository) {
        repository.sensors.push(self);
    }
}

impl<D: Definitions> Definitions for Vec<D> {
    fn add_to(self, repository: &mut Repository) {
        for definition in self {
            definition.add_to(repository);
        }
    }
}

impl<D: Definitions, const N: usize> Definitions for [D; N] {
    fn add_to(self, repository: &mut Repository) {
        for definition in self {
            definition.add_to(repository);
        }
    }
}

impl Definitions for Repository {
    fn add_to(self, repository: &mut Repository) {
        repository.assets.extend(self.assets);
        repository.loaders.extend(self.loaders);
        repository.jobs.extend(self.jobs);
        repository.schedules.extend(self.schedules);
        repository.sensors.extend(self.sensors);
        repository.unit_tests.extend(self.unit_tests);
        repository.resources.extend(self.resources);
        repository.io_managers.extend(self.io_managers);
        repository.problems.extend(self.problems);
        repository.broken.extend(self.broken);
        if repository.default_io_manager.is_none() {
            repository.default_io_manager = self.default_io_manager;
        }
        if repository.root.is_none() {
            repository.root = self.root;
        }
        if repository.name.is_empty() {
            repository.name = self.name;
        }
        if repository.operations.is_none() {
            repository.operations = self.operations;
        }
        if repository.limits == Limits::default() {
            repository.limits = self.limits;
        }
    }
}
