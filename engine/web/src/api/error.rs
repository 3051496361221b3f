//! What a request that cannot be answered is told.

use std::error::Error as StdError;

use arrowsmith_definitions::Diagnostic;
use arrowsmith_execution::Error;
use arrowsmith_io_manager::ErrorKind;
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::repository::{Problem, problems};

/// The answer to a request: a document, or what is wrong.
pub(crate) type Answer<T> = Result<Json<T>, ApiError>;

/// What is wrong with a request, or with the server.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ApiError {
    #[serde(skip)]
    status: StatusCode,
    /// One sentence.
    message: String,
    /// Each thing that is wrong, where there are several or they have a place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<Problem>,
}

impl ApiError {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), problems: Vec::new() }
    }

    /// The request says something that does not fit.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, message)
    }

    /// There is nothing of this name; the nearest name is told.
    pub(crate) fn unknown<'a>(
        what: &str,
        name: &str,
        of: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let near = arrowsmith_definitions::nearest(name, of);
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        Self::new(StatusCode::NOT_FOUND, format!("there is no {what} `{name}`{near}"))
    }

    /// Several things are wrong.
    pub(crate) fn problems(message: impl Into<String>, of: &[Diagnostic]) -> Self {
        let message = match of {
            [only] => only.message.clone(),
            _ => message.into(),
        };
        Self { problems: problems(of), ..Self::invalid(message) }
    }
}

impl ApiError {
    /// The same with problems that are at hand; a single one is the message.
    #[must_use]
    pub(super) fn with(mut self, problems: Vec<Problem>) -> Self {
        if let [only] = problems.as_slice() {
            only.message().clone_into(&mut self.message);
        }
        self.problems = problems;
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(self)).into_response()
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Unplannable { problems } => {
                return Self::problems(error.to_string(), problems);
            }
            Error::Config { problems } => return Self::problems(error.to_string(), problems),
            Error::Selection { source, .. } => {
                let near = source.nearest.as_deref();
                let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                return Self::invalid(format!("{}{near}", source.message));
            }
            _ => {}
        }
        Self::of_kind(error.kind(), &error)
    }
}

impl From<arrowsmith_instance::Error> for ApiError {
    fn from(error: arrowsmith_instance::Error) -> Self {
        Self::of_kind(error.kind(), &error)
    }
}

impl From<arrowsmith_daemon::Error> for ApiError {
    fn from(error: arrowsmith_daemon::Error) -> Self {
        let status = match error {
            arrowsmith_daemon::Error::Unknown { .. } => StatusCode::NOT_FOUND,
            _ => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, chain(&error))
    }
}

impl ApiError {
    fn of_kind(kind: ErrorKind, error: &(dyn StdError + 'static)) -> Self {
        let status = match kind {
            ErrorKind::NotFound => StatusCode::NOT_FOUND,
            ErrorKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, chain(error))
    }
}

/// An error with all its causes, one sentence each.
pub(crate) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        source = cause.source();
    }
    text
}
