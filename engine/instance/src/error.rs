//! Errors of the instance.

use std::path::PathBuf;

use arrowsmith_io_manager::ErrorKind;

/// The result of an instance operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong with the instance. `Display` does not repeat the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The home directory cannot be used.
    #[error("the instance cannot be kept in `{path}`: {reason}")]
    Home {
        /// The directory.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The database was made by a later version.
    #[error(
        "`{database}` was written by a newer version of Arrowsmith (its migration {migration} is not known here)"
    )]
    Newer {
        /// Its file or URL.
        database: String,
        /// The unknown migration.
        migration: i64,
    },
    /// The database cannot be connected to.
    #[error("the instance database at `{database}` cannot be used")]
    Unreachable {
        /// Its URL, without credentials.
        database: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The connection broke while something was being changed, which may have been kept or not.
    #[error("the connection to the instance database broke before it has answered")]
    Lost,
    /// The database does not answer as it should.
    #[error("the instance database failed")]
    Database {
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The tables could not be made or brought up to date.
    #[error("the instance database could not be migrated")]
    Migration {
        /// The driver's error.
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    /// Something stored cannot be read.
    #[error("`{what}` in the instance database cannot be read: {reason}")]
    Stored {
        /// Table and row.
        what: String,
        /// Why.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no run `{run}`")]
    NoRun {
        /// The id or prefix as given.
        run: String,
    },
    /// There is no newest run, since there is none.
    #[error("there is no run yet; `arrowsmith materialize` makes one")]
    NoRuns,
    /// A prefix fits several runs.
    #[error("`{run}` could be any of {count} runs; write more of its id")]
    AmbiguousRun {
        /// The prefix as given.
        run: String,
        /// How many fit.
        count: usize,
    },
    /// There is no such backfill, or more than one.
    #[error("`{backfill}` is no backfill, or not one alone; `arrowsmith backfill list` shows them")]
    NoBackfill {
        /// The id or prefix as given.
        backfill: String,
    },
    /// The instance is in memory, where nothing waits for another process.
    #[error("an instance in memory has no run queue")]
    NoDatabase,
    /// The run has begun before, or has come to its end.
    #[error("run {run} has begun or ended already")]
    NotWaiting {
        /// Its id.
        run: String,
    },
    /// The writer has ended, because the process is shutting down.
    #[error("the instance is closed")]
    Closed,
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Home { .. }
            | Self::Newer { .. }
            | Self::NoDatabase
            | Self::NotWaiting { .. }
            | Self::AmbiguousRun { .. } => ErrorKind::Invalid,
            Self::Unreachable { .. }
            | Self::Lost
            | Self::Database { .. }
            | Self::Migration { .. } => ErrorKind::Unavailable,
            Self::Stored { .. } => ErrorKind::Data,
            Self::NoRun { .. } | Self::NoRuns | Self::NoBackfill { .. } => ErrorKind::NotFound,
            Self::Closed => ErrorKind::Cancelled,
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(source: sqlx::Error) -> Self {
        Self::Database { source }
    }
}
