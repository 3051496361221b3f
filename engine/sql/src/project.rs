//! A project folder: `arrowsmith.toml` and `assets/**/*.sql`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrowsmith_definitions::{
    Asset, AssetKey, Code, Definitions, Diagnostic, IoManagerChoice, LoadOptions, Loader, Place,
    Repository,
};
use ignore::WalkBuilder;

use crate::Variables;
use crate::query::{add_asset, add_unparsed};
use crate::settings::{self, Settings};
use crate::source::{FileSource, SchemaCache};
use crate::template::{compiled_path, render, write_compiled};
use crate::unit_test;

/// The name of the project file.
pub const PROJECT_FILE: &str = "arrowsmith.toml";

/// The nearest folder with a project file, from `start` upward.
pub fn find_project(start: &Path) -> Option<PathBuf> {
    let start = std::path::absolute(start).ok()?;
    start.ancestors().find(|folder| folder.join(PROJECT_FILE).is_file()).map(Path::to_owned)
}

/// Where the instance of a project is: `ARROWSMITH_HOME`, else `.arrowsmith` beside its file.
pub fn home_of(root: &Path) -> PathBuf {
    let given = std::env::var_os("ARROWSMITH_HOME").filter(|home| !home.is_empty());
    given.map_or_else(|| root.join(".arrowsmith"), PathBuf::from)
}

/// A project folder: `arrowsmith.toml` and `assets/**/*.sql`.
///
/// It is read when the repository is loaded, not when it is added to it: so a program picks up
/// changed files, and `--var` and `--project` are known by then.
///
/// ```
/// use arrowsmith_definitions::Repository;
/// let repository = Repository::new("shop").with(arrowsmith_sql::sql_project("shop"));
/// assert!(repository.assets.is_empty() && repository.root.is_some());
/// ```
pub fn sql_project(root: impl AsRef<Path>) -> SqlProject {
    SqlProject { root: root.as_ref().to_owned() }
}

/// The folder of [`sql_project`].
#[derive(Debug, Clone)]
pub struct SqlProject {
    root: PathBuf,
}

impl Definitions for SqlProject {
    fn add_to(self, repository: &mut Repository) {
        repository.root.get_or_insert_with(|| self.root.clone());
        repository.loaders.push(Arc::new(self));
    }
}

impl Loader for SqlProject {
    /// Reads the project file, the SQL files, and of source files what is needed to know their
    /// columns. May be called inside and outside of a tokio runtime.
    fn load(&self, options: &LoadOptions) -> Repository {
        load(options.root.as_ref().unwrap_or(&self.root), options)
    }
}

fn load(root: &Path, options: &LoadOptions) -> Repository {
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let mut repository = Repository::new("");
    repository.root = Some(root.clone());
    let file = shown(&root.join(PROJECT_FILE));
    let settings = match std::fs::read_to_string(root.join(PROJECT_FILE)) {
        Ok(text) => settings::read(&file, &text.into(), &mut repository.problems),
        Err(error) => {
            let message = format!("the project file cannot be read: {error}");
            let problem = Diagnostic::error(Code::Project, message)
                .at(Place::point(&*file, 1, 1))
                .help("`arrowsmith init` makes a project");
            repository.problems.push(problem);
            Settings::default()
        }
    };
    let Settings { name, default_io_manager, limits, mut variables, io_managers, sources, .. } =
        settings;
    let folder = root.file_name().and_then(OsStr::to_str).unwrap_or("project");
    repository.name = name.unwrap_or_else(|| folder.to_owned());
    repository.default_io_manager = default_io_manager;
    repository.limits = limits;
    repository.jobs = settings.jobs;
    repository.schedules = settings.schedules;
    repository.sensors = settings.sensors;
    repository.operations = settings.operations;
    for (name, manager) in io_managers {
        repository.io_managers.insert(name, IoManagerChoice::Settings(manager));
    }
    set_variables(&mut variables, options, &mut repository);
    open_sources(sources, &root, &options.home, &mut repository);
    load_queries(&root, &options.home, &variables, &mut repository);
    load_tests(&root, &mut repository);
    repository
}

fn set_variables(variables: &mut Variables, options: &LoadOptions, repository: &mut Repository) {
    let names: Vec<String> = variables.names().map(str::to_owned).collect();
    let from_environment = names.into_iter().filter_map(|name| {
        let value = std::env::var(format!("ARROWSMITH_VAR_{}", name.to_uppercase())).ok()?;
        Some((name, value))
    });
    let given = from_environment.collect::<Vec<_>>().into_iter().chain(options.variables.clone());
    for (name, text) in given {
        if let Err((message, near)) = variables.set(&name, &text) {
            let problem = Diagnostic::error(Code::Variable, message).did_you_mean(near);
            repository.problems.push(problem);
        }
    }
}

/// Opens sources on a runtime of their own, so that loading can be called from anywhere.
fn open_sources(
    sources: Vec<crate::source::SourceSettings>,
    root: &Path,
    home: &Path,
    repository: &mut Repository,
) {
    if sources.is_empty() {
        return;
    }
    let opened = std::thread::scope(|scope| {
        let work = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let mut cache = SchemaCache::open(home);
            let mut opened = Vec::new();
            for source in sources {
                opened.push((
                    source.clone(),
                    runtime.block_on(FileSource::open(source, root, &mut cache)),
                ));
            }
            cache.save();
            Ok::<_, std::io::Error>(opened)
        });
        work.join()
    });
    let opened = match opened {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            let message = format!("sources cannot be opened: {error}");
            repository.problems.push(Diagnostic::error(Code::Source, message));
            return;
        }
        Err(panic) => std::panic::resume_unwind(panic),
    };
    for (settings, source) in opened {
        match source {
            Ok(source) => {
                let mut asset = Asset::external(settings.key, Arc::new(source));
                asset.attributes = settings.attributes;
                asset.partitions = settings.partitions;
                asset.attributes.kinds.insert(settings.format.name().to_owned());
                asset.place = Some(settings.place);
                repository.assets.push(asset);
            }
            Err(problem) => {
                repository.problems.push(problem);
                repository.broken.insert(settings.key.clone());
                let mut asset = Asset::external(settings.key, Arc::new(Broken));
                asset.place = Some(settings.place);
                repository.assets.push(asset);
            }
        }
    }
}

/// The file names of SQL assets; the second is rendered first.
const SQL: &str = ".sql";
const TEMPLATE: &str = ".sql.jinja";

fn load_queries(root: &Path, home: &Path, variables: &Variables, repository: &mut Repository) {
    let folder = root.join("assets");
    for path in files_below(&folder, &mut repository.problems) {
        let relative = path.strip_prefix(&folder).unwrap_or(&path).to_string_lossy();
        let stem = relative.strip_suffix(TEMPLATE).or_else(|| relative.strip_suffix(SQL));
        if let Some(stem) = stem
            && let Err(problem) = load_query(&path, stem, home, variables, repository)
        {
            repository.problems.push(problem);
        }
    }
}

fn load_tests(root: &Path, repository: &mut Repository) {
    for path in files_below(&root.join("tests"), &mut repository.problems) {
        if path.extension() != Some(OsStr::new("toml")) {
            continue;
        }
        let file = shown(&path);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let tests = unit_test::read(&file, &text.into(), &mut repository.problems);
                repository.unit_tests.extend(tests);
            }
            Err(error) => {
                let message = format!("the file cannot be read: {error}");
                let problem = Diagnostic::error(Code::UnitTest, message);
                repository.problems.push(problem.at(Place::point(&*file, 1, 1)));
            }
        }
    }
}

/// The files below a folder that need not be there, in order, without those that git ignores by files of
/// the project.
fn files_below(folder: &Path, problems: &mut Vec<Diagnostic>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut walk = WalkBuilder::new(folder);
    walk.require_git(false).git_global(false).sort_by_file_path(Path::cmp);
    for entry in walk.build() {
        match entry {
            Ok(entry) => files.push(entry.into_path()),
            Err(error) if folder.exists() => {
                let message = format!("`{}` cannot be read: {error}", folder.display());
                problems.push(Diagnostic::error(Code::Project, message));
            }
            Err(_) => {}
        }
    }
    files
}

/// Adds the asset of one file; `stem` is its path below `assets` without the ending.
fn load_query(
    path: &Path,
    stem: &str,
    home: &Path,
    variables: &Variables,
    repository: &mut Repository,
) -> Result<(), Diagnostic> {
    let file = shown(path);
    let start = Place::point(&*file, 1, 1);
    let key = AssetKey::from_segments(stem.split(std::path::MAIN_SEPARATOR)).map_err(|error| {
        let message = format!("the path below `assets` is the key, but {error}");
        Diagnostic::error(Code::Key, message).at(start.clone())
    })?;
    let refuse = |what: &str, error: std::io::Error| {
        Diagnostic::error(Code::Project, format!("{what}: {error}")).at(start.clone())
    };
    let text = std::fs::read_to_string(path).map_err(|e| refuse("the file cannot be read", e))?;
    if !path.to_string_lossy().ends_with(TEMPLATE) {
        add_asset(repository, key, &file, &text.into(), variables);
        return Ok(());
    }
    let compiled = compiled_path(home, &key);
    let rendered = render(&file, &text, variables).inspect_err(|_| {
        add_unparsed(repository, key.clone(), start.clone());
    })?;
    write_compiled(&compiled, &rendered)
        .map_err(|e| refuse("the rendered template cannot be written", e))?;
    add_asset(repository, key, &shown(&compiled), &rendered.into(), variables);
    Ok(())
}

/// A path as a user would type it: relative to the working directory where it is below it.
fn shown(path: &Path) -> Arc<Path> {
    let current = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(&current).unwrap_or(path).into()
}

/// Stands for a source whose problem is told elsewhere.
#[derive(Debug)]
struct Broken;

#[async_trait::async_trait]
impl arrowsmith_definitions::Source for Broken {
    fn schema(&self) -> arrow::datatypes::SchemaRef {
        Arc::new(arrow::datatypes::Schema::empty())
    }

    async fn provider(
        &self,
    ) -> Result<Arc<dyn datafusion::catalog::TableProvider>, arrowsmith_definitions::BoxError> {
        Err("the source cannot be read".into())
    }

    fn location(&self) -> String {
        String::new()
    }

    fn kind(&self) -> &'static str {
        "broken"
    }
}
