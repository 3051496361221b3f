//! Hooks: what runs after a step has come to its end. Their errors never fail the step.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;

use crate::{BoxError, Logger, Resources};

/// Something that is done after a step succeeded, or after it failed for good.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its name, for people.
    pub name: String,
    /// After which end it runs.
    pub on: HookEvent,
    /// What it does.
    pub action: HookAction,
}

/// What a hook does.
#[derive(Clone)]
pub enum HookAction {
    /// Calls a function.
    Function(Arc<HookFunction>),
    /// Starts a program with these arguments, in the project folder. It is told of the step by
    /// `ARROWSMITH_RUN_ID`, `ARROWSMITH_JOB`, `ARROWSMITH_STEP` and `ARROWSMITH_ERROR`.
    Command(Vec<String>),
}

/// The function of a hook.
pub type HookFunction =
    dyn Fn(HookContext) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync;

/// After which end of a step a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookEvent {
    /// Its outputs are published.
    Success,
    /// It failed, and is not tried again.
    Failure,
}

/// What a hook is told.
#[derive(Debug, Clone)]
pub struct HookContext {
    /// The run.
    pub run_id: String,
    /// The job, if the run is one of a job.
    pub job: Option<String>,
    /// The step.
    pub step_key: String,
    /// Why it failed; `None` after a success.
    pub error: Option<String>,
    /// The resources of the run.
    pub resources: Arc<Resources>,
    /// Writes into the log of the step.
    pub log: Logger,
}

impl Hook {
    /// A hook after a success.
    pub fn on_success<F, R>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn(HookContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self::new(name, HookEvent::Success, run)
    }

    /// A hook after a failure.
    pub fn on_failure<F, R>(name: impl Into<String>, run: F) -> Self
    where
        F: Fn(HookContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        Self::new(name, HookEvent::Failure, run)
    }

    /// A hook that starts a program; the first word is the program and the name of the hook.
    pub fn command(on: HookEvent, words: Vec<String>) -> Self {
        let name = words.first().cloned().unwrap_or_default();
        Self { name, on, action: HookAction::Command(words) }
    }

    fn new<F, R>(name: impl Into<String>, on: HookEvent, run: F) -> Self
    where
        F: Fn(HookContext) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let function: Arc<HookFunction> = Arc::new(move |context| Box::pin(run(context)));
        Self { name: name.into(), on, action: HookAction::Function(function) }
    }
}

impl fmt::Debug for HookAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function(_) => f.write_str("Function"),
            Self::Command(words) => f.debug_tuple("Command").field(words).finish(),
        }
    }
}
