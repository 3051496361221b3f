//! Errors of storage, each with a kind that says what the caller can do.

use std::fmt;

use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

use crate::SchemaDifference;

/// The result of a storage operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error; shared by every crate of Arrowsmith.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorKind {
    /// The definition, query or configuration is wrong: correct it.
    Invalid,
    /// The named thing does not exist.
    NotFound,
    /// Somebody else was faster: look again, then repeat the transaction.
    Conflict,
    /// The service does not answer now: repeat later. The only kind that is retried by itself.
    Unavailable,
    /// Stored bytes or rows are not what they should be.
    Data,
    /// The work was cancelled on request.
    Cancelled,
    /// A fault of Arrowsmith: report it.
    Internal,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not found",
            Self::Conflict => "conflict",
            Self::Unavailable => "unavailable",
            Self::Data => "data",
            Self::Cancelled => "cancelled",
            Self::Internal => "internal",
        })
    }
}

/// What went wrong in storage.
///
/// `Display` is one sentence without its cause; walk [`source`](std::error::Error::source) for
/// the rest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL of a store cannot be used.
    #[error("`{url}` is not a usable store: {reason}")]
    Url {
        /// The URL as given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A table name cannot be a path.
    #[error("`{segment}` cannot be part of a table path: {reason}")]
    TablePath {
        /// The offending segment.
        segment: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An option of the manager is unknown or has a bad value.
    #[error("IO manager `{manager}`: {problem}")]
    Option {
        /// The name of the manager.
        manager: String,
        /// Which option, and why.
        problem: String,
    },
    /// A request to the store failed.
    #[error("storage request for `{path}` failed")]
    Storage {
        /// The object or directory.
        path: String,
        /// The store's answer.
        #[source]
        source: object_store::Error,
    },
    /// A file could not be handled on the local disk.
    #[error("cannot {action} `{path}`")]
    File {
        /// A verb: `write`, `sync`, `remove`.
        action: &'static str,
        /// The file or directory.
        path: String,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The rows could not be computed; this is a failure of the query, not of storage.
    #[error("the query failed while its rows were written")]
    Query {
        /// DataFusion's error.
        #[source]
        source: DataFusionError,
    },
    /// The rows do not have the schema that was promised.
    #[error("`{table}` was promised another schema: {difference}")]
    Schema {
        /// The table.
        table: String,
        /// Column by column.
        difference: SchemaDifference,
    },
    /// A stored file or manifest is not what was written.
    #[error("`{path}` of `{table}` version {version} is damaged: {reason}")]
    Damaged {
        /// The table.
        table: String,
        /// The version.
        version: String,
        /// The file, relative to the store.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The version is gone, or was never in this store.
    #[error("version {version} of `{table}` is not in `{store}`")]
    Missing {
        /// The table.
        table: String,
        /// The version.
        version: String,
        /// The store's URL.
        store: String,
    },
    /// What a manager is built on, such as a database or a table log, has refused.
    #[error("cannot {action} `{table}`")]
    Backend {
        /// A verb: `write`, `mirror`, `read`.
        action: &'static str,
        /// The table.
        table: String,
        /// What the caller can do.
        kind: ErrorKind,
        /// Its answer.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The rows cannot be stored as asked.
    #[error("`{table}` cannot be written: {reason}")]
    Unwritable {
        /// The table.
        table: String,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// What the caller can do.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Url { .. }
            | Self::TablePath { .. }
            | Self::Option { .. }
            | Self::Unwritable { .. } => ErrorKind::Invalid,
            Self::Storage { source, .. } => storage_kind(source),
            Self::File { source, .. } => file_kind(source),
            Self::Query { source } => query_kind(source),
            Self::Schema { .. } | Self::Damaged { .. } => ErrorKind::Data,
            Self::Missing { .. } => ErrorKind::NotFound,
            Self::Backend { kind, .. } => *kind,
        }
    }

    /// An error of the store at `path`.
    pub fn storage(path: impl fmt::Display, source: object_store::Error) -> Self {
        Self::Storage { path: path.to_string(), source }
    }

    /// An error of the query that computes the rows.
    pub fn query(source: impl Into<DataFusionError>) -> Self {
        Self::Query { source: source.into() }
    }
}

fn storage_kind(error: &object_store::Error) -> ErrorKind {
    use object_store::Error as E;
    match error {
        E::NotFound { .. } => ErrorKind::NotFound,
        E::AlreadyExists { .. } | E::Precondition { .. } => ErrorKind::Conflict,
        E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::NotImplemented { .. }
        | E::PermissionDenied { .. }
        | E::Unauthenticated { .. }
        | E::UnknownConfigurationKey { .. } => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

fn file_kind(error: &std::io::Error) -> ErrorKind {
    use std::io::ErrorKind as K;
    match error.kind() {
        K::NotFound => ErrorKind::NotFound,
        K::PermissionDenied | K::ReadOnlyFilesystem | K::NotADirectory => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    }
}

fn query_kind(error: &DataFusionError) -> ErrorKind {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => ErrorKind::Unavailable,
        DataFusionError::ObjectStore(source) => storage_kind(source),
        DataFusionError::IoError(source) => file_kind(source),
        DataFusionError::Internal(_) => ErrorKind::Internal,
        DataFusionError::Plan(_) | DataFusionError::SchemaError(..) => ErrorKind::Invalid,
        _ => ErrorKind::Data,
    }
}
