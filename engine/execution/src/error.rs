//! Errors of planning and execution.

use std::error::Error as StdError;

use arrowsmith_definitions::{BoxError, Diagnostic, SelectionError};
use arrowsmith_io_manager::ErrorKind;
use datafusion::error::DataFusionError;

/// The result of an engine operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. `Display` does not repeat the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The instance failed.
    #[error(transparent)]
    Instance {
        /// Its error.
        #[from]
        source: arrowsmith_instance::Error,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage {
        /// Its error.
        #[from]
        source: arrowsmith_io_manager::Error,
    },
    /// The selection cannot be used.
    #[error("{}", .source.message)]
    Selection {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        source: SelectionError,
    },
    /// The plan cannot be carried out as things stand; every reason is told.
    #[error("the plan cannot be carried out")]
    Unplannable {
        /// One for each asset that is in the way.
        problems: Vec<Diagnostic>,
    },
    /// The run config does not fit; every error is told.
    #[error("the run config does not fit")]
    Config {
        /// One for each error.
        problems: Vec<Diagnostic>,
    },
    /// The session or runtime could not be made.
    #[error("the query engine could not be started")]
    Session {
        /// DataFusion's error.
        #[source]
        source: DataFusionError,
    },
    /// The home could not be made.
    #[error("the home of the run could not be made")]
    Home {
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// An asset has no current version.
    #[error("`{asset}` has not been materialized; run `arrowsmith materialize {asset}`")]
    NotMaterialized {
        /// The asset.
        asset: String,
    },
    /// A version was stored by a manager that is no longer there, or elsewhere.
    #[error("`{asset}` was stored by `{manager}` in `{store}`, which is not configured any more")]
    Unreachable {
        /// The asset.
        asset: String,
        /// The name of the manager.
        manager: String,
        /// The store's URL.
        store: String,
    },
    /// A manager that was used is no longer configured.
    #[error("there is no IO manager `{io_manager}`")]
    NoIoManager {
        /// Its name.
        io_manager: String,
    },
    /// There is no such job.
    #[error("there is no job `{job}`{}", did_you_mean(nearest.as_deref()))]
    NoJob {
        /// The name as given.
        job: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// There is no such step.
    #[error("there is no step `{step}`{}", did_you_mean(nearest.as_deref()))]
    NoStep {
        /// The key as given.
        step: String,
        /// The nearest key.
        nearest: Option<String>,
    },
    /// A step that is not run was never run before, so that what reads it has no input.
    #[error("`{step}` is not selected, and no earlier run has stored its output `{output}`")]
    NotStored {
        /// The step.
        step: String,
        /// The output.
        output: String,
    },
    /// An asset has no such version, or it was removed.
    #[error(
        "`{asset}` has no stored version {version}; `arrowsmith asset versions {asset}` lists them"
    )]
    NoVersion {
        /// The asset.
        asset: String,
        /// The version.
        version: String,
    },
    /// A version cannot become current again.
    #[error("`{asset}` was not rolled back: {reason}")]
    NotRolledBack {
        /// The asset.
        asset: String,
        /// Why.
        reason: String,
    },
    /// A backfill is carried out by another process.
    #[error("backfill {backfill} is running; `arrowsmith backfill cancel {backfill}` stops it")]
    BackfillRuns {
        /// Its short id.
        backfill: String,
    },
    /// A backfill has come to its end.
    #[error("backfill {backfill} has already ended as {status}")]
    BackfillEnded {
        /// Its short id.
        backfill: String,
        /// How it ended.
        status: arrowsmith_instance::BackfillStatus,
    },
    /// A set of partitions cannot be used.
    #[error("partitions of `{asset}`: {message}{}", did_you_mean(nearest.as_deref()))]
    Partitions {
        /// The asset.
        asset: String,
        /// What is wrong with it.
        message: String,
        /// The nearest key.
        nearest: Option<String>,
    },
    /// What other programs see of an asset could not be brought up to date in time.
    #[error("the mirror of `{asset}` took longer than its limit of {} s", limit.as_secs())]
    MirrorTimeout {
        /// The asset.
        asset: String,
        /// How long it may take.
        limit: std::time::Duration,
    },
    /// A source cannot be read.
    #[error("source `{asset}` cannot be read")]
    Source {
        /// The asset.
        asset: String,
        /// Why.
        #[source]
        source: BoxError,
    },
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Instance { source } => source.kind(),
            Self::Storage { source } => source.kind(),
            Self::Selection { .. }
            | Self::Config { .. }
            | Self::Unplannable { .. }
            | Self::Partitions { .. }
            | Self::BackfillRuns { .. }
            | Self::NotRolledBack { .. }
            | Self::BackfillEnded { .. }
            | Self::Unreachable { .. } => ErrorKind::Invalid,
            Self::Session { .. } => ErrorKind::Internal,
            Self::NotMaterialized { .. }
            | Self::NoIoManager { .. }
            | Self::NoJob { .. }
            | Self::NoStep { .. }
            | Self::NoVersion { .. }
            | Self::NotStored { .. } => ErrorKind::NotFound,
            Self::Home { .. } | Self::Source { .. } | Self::MirrorTimeout { .. } => {
                ErrorKind::Unavailable
            }
        }
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// An error with all its causes, one sentence each.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = first_line(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = first_line(&cause.to_string());
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What was told when the pool of memory that queries share had not enough for one, if that is why.
pub(crate) fn out_of_memory(error: &(dyn StdError + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(query) = error.downcast_ref::<DataFusionError>()
            && let root @ DataFusionError::ResourcesExhausted(_) = query.find_root()
        {
            return Some(first_line(&root.to_string()));
        }
        next = error.source();
    }
    None
}

fn first_line(text: &str) -> String {
    text.split("\n\nbacktrace:").next().unwrap_or_default().trim().replace('\n', " ")
}
