//! Errors of the daemon.

/// The result of a duty.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a duty could not do its work. `Display` does not repeat the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The instance does not do what it is asked to.
    #[error(transparent)]
    Instance(#[from] arrowsmith_instance::Error),
    /// The engine does not.
    #[error(transparent)]
    Execution(#[from] arrowsmith_execution::Error),
    /// There is no schedule or sensor of this name.
    #[error("there is no {what} `{name}`{}", near(nearest.as_deref()))]
    Unknown {
        /// `schedule` or `sensor`.
        what: &'static str,
        /// The name as given.
        name: String,
        /// The nearest name.
        nearest: Option<String>,
    },
    /// The repository could not be loaded because of a fault of this program.
    #[error("the repository could not be loaded: {0}")]
    Loading(String),
    /// The address cannot be listened on.
    #[error("the daemon cannot answer on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A process could not be started.
    #[error("the process of a run could not be started")]
    Spawn(#[source] std::io::Error),
}

fn near(name: Option<&str>) -> String {
    name.map_or(String::new(), |near| format!("; did you mean `{near}`?"))
}

/// An error with all its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text.replace('\n', " ")
}
