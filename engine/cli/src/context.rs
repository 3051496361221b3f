//! What every command works with: the project, its home, and an open engine.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use arrowsmith_definitions::{Diagnostic, LoadOptions, Repository};
use arrowsmith_execution::{
    Clock, Engine, EngineOptions, Error, ProjectError, RunLogs, SystemClock,
};
use arrowsmith_instance::{Instance, RunId};
use arrowsmith_sql::{PROJECT_FILE, find_project, home_of, sql_project};

use crate::args::{Arguments, Command, DaemonCommand};
use crate::diagnostics::{report, summary};
use crate::exit::exit_of;
use crate::telemetry::Telemetry;
use crate::{Exit, output};

/// A command that could not do its work has said why; this is what is left to say.
pub(crate) type CommandResult<T = Exit> = Result<T, Exit>;

/// What the user said before the command.
#[derive(Debug)]
pub(crate) struct Context {
    project: Option<PathBuf>,
    variables: Vec<(String, String)>,
    repository: Option<Repository>,
    logs: RunLogs,
    pub(crate) telemetry: Telemetry,
    /// Say only what went wrong.
    pub(crate) quiet: bool,
}

impl Context {
    pub(crate) fn new(arguments: &mut Arguments, repository: Option<Repository>) -> Self {
        let logs = RunLogs::default();
        let is_daemon = matches!(
            arguments.command,
            Command::Daemon(DaemonCommand::Run { .. }) | Command::Web(_) | Command::Dev(_)
        );
        let level = arguments.verbose + u8::from(is_daemon && !arguments.quiet);
        let telemetry = Telemetry::start(level, is_daemon, arguments.log_format, &logs);
        Self {
            project: arguments.project.take(),
            variables: std::mem::take(&mut arguments.variables),
            repository,
            logs,
            telemetry,
            quiet: arguments.quiet,
        }
    }

    /// The repository, not loaded yet, and what its loading is to know.
    pub(crate) fn repository(&self) -> CommandResult<(Repository, LoadOptions)> {
        let repository = match &self.repository {
            Some(repository) => repository.clone(),
            None => Repository::new("").with(sql_project(self.find_project()?)),
        };
        let root = self.project.clone().or_else(|| repository.root.clone());
        let root = root.or_else(|| std::env::current_dir().ok()).unwrap_or_default();
        let options = LoadOptions {
            home: home_of(&root),
            root: self.project.clone(),
            variables: self.variables.clone(),
        };
        Ok((repository, options))
    }

    /// The folder and the home of a project that is nothing but a folder.
    pub(crate) fn project_folder(&self) -> Option<(PathBuf, PathBuf)> {
        if self.repository.is_some() {
            return None;
        }
        let start = std::env::current_dir().ok()?;
        let root = self.project.clone().or_else(|| find_project(&start))?;
        let root = std::path::absolute(root).ok()?;
        let home = home_of(&root);
        Some((root, home))
    }

    /// What another process of this program has to be told to see the same project.
    pub(crate) fn again(&self) -> Vec<OsString> {
        let variables = self.variables.iter();
        let variables =
            variables.flat_map(|(name, value)| ["--var".into(), format!("{name}={value}").into()]);
        if self.repository.is_some() && self.project.is_none() {
            return variables.collect();
        }
        let root = self.project.clone().or_else(|| self.find_project().ok());
        let root = root.and_then(|root| std::path::absolute(root).ok());
        let project = root.into_iter().flat_map(|root| ["--project".into(), root.into_os_string()]);
        project.chain(variables).collect()
    }

    /// The variables that were given.
    pub(crate) fn variables(&self) -> &[(String, String)] {
        &self.variables
    }

    /// The project folder that is named, or the nearest upward.
    fn find_project(&self) -> CommandResult<PathBuf> {
        if let Some(folder) = &self.project {
            if folder.join(PROJECT_FILE).is_file() {
                return Ok(folder.clone());
            }
            output::complain(&format!("there is no `{PROJECT_FILE}` in `{}`", folder.display()));
            return Err(Exit::Usage);
        }
        let start = std::env::current_dir().unwrap_or_default();
        find_project(&start).ok_or_else(|| {
            output::complain(
                "there is no `arrowsmith.toml` here or in any folder above\n\
                 help: `arrowsmith init DIR` makes a project, `--project DIR` names one",
            );
            Exit::Usage
        })
    }

    /// The engine, with warnings shown; problems of the project end the command.
    pub(crate) async fn engine(&self) -> CommandResult<Arc<Engine>> {
        self.open(|options| options).await
    }

    /// The engine of a process that carries out one run of the queue.
    pub(crate) async fn engine_of_run(&self) -> CommandResult<Arc<Engine>> {
        self.open(|options| EngineOptions { has_own_process: true, ..options }).await
    }

    /// The instance alone, of a project that need not be sound.
    pub(crate) async fn instance(&self) -> CommandResult<Instance> {
        let (_, options) = self.repository()?;
        let told = |error: arrowsmith_instance::Error| fail(&error.into());
        let instance = Instance::open(&options.home).await.map_err(told)?;
        tell_recovered(&instance.recover(SystemClock.now()).await.map_err(told)?);
        Ok(instance)
    }

    /// The repository, and what its engine is opened with.
    pub(crate) fn engine_options(&self) -> CommandResult<(Repository, EngineOptions)> {
        let (repository, load) = self.repository()?;
        let home = load.home.clone();
        let options = EngineOptions { load, logs: self.logs.clone(), ..EngineOptions::new(home) };
        Ok((repository, options))
    }

    /// The engine of a command that runs nothing that is to be remembered.
    pub(crate) async fn engine_without_instance(&self) -> CommandResult<Arc<Engine>> {
        self.open(EngineOptions::without_instance).await
    }

    /// The engine of a command that needs no project.
    pub(crate) async fn engine_without_project(&self) -> CommandResult<Arc<Engine>> {
        let home = std::env::current_dir().unwrap_or_default();
        let options = EngineOptions::new(home).without_instance();
        let opened = Engine::open(&Repository::new("none"), options).await;
        opened.map(Arc::new).map_err(|error| match error {
            ProjectError::Problems(problems) => {
                report(&problems.0);
                Exit::Invalid
            }
            ProjectError::Engine(error) => fail(&error),
        })
    }

    async fn open(
        &self,
        adjust: impl FnOnce(EngineOptions) -> EngineOptions,
    ) -> CommandResult<Arc<Engine>> {
        let (repository, options) = self.engine_options()?;
        let options = adjust(options);
        match Engine::open(&repository, options).await {
            Ok(engine) => {
                if !self.quiet {
                    report(&engine.resolved.warnings);
                }
                tell_recovered(&engine.recovered);
                Ok(Arc::new(engine))
            }
            Err(ProjectError::Problems(problems)) => {
                report(&problems.0);
                output::complain(&summary(&problems.0));
                Err(Exit::Invalid)
            }
            Err(ProjectError::Engine(error)) => Err(fail(&error)),
        }
    }
}

fn tell_recovered(runs: &[RunId]) {
    for run in runs {
        output::note(&format!(
            "run {} ended without a word and now counts as failed; what it had published stays",
            run.short()
        ));
    }
}

/// Tells an error with its causes, and what exit code it means.
pub(crate) fn fail(error: &Error) -> Exit {
    match error {
        Error::Unplannable { problems } => {
            report(problems);
            output::complain(&summary(problems));
            Exit::Failed
        }
        Error::Config { problems } => {
            report(problems);
            output::complain(&summary(problems));
            Exit::Usage
        }
        Error::Selection { text, source } => {
            let marked = source.marked(text).replace('\n', "\n  ");
            let diagnostic =
                Diagnostic::error(arrowsmith_definitions::Code::Selection, &source.message)
                    .did_you_mean(source.nearest.clone());
            report(&[diagnostic]);
            output::say(&format!("  {marked}"));
            Exit::Usage
        }
        _ => {
            output::complain(&output::chain(error));
            exit_of(error.kind())
        }
    }
}
