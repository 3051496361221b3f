//! Why the server could not be started.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The result of starting the server.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. `Display` does not repeat the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address cannot be listened at.
    #[error("`{address}` cannot be listened at")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Other hosts could reach it, and nobody has said what keeps them out.
    #[error(
        "`{address}` can be reached by other hosts, so a token has to be set on purpose: \
         ARROWSMITH_TOKEN or --token-file FILE (--insecure-no-auth lets everybody in)"
    )]
    Open {
        /// The address.
        address: SocketAddr,
    },
    /// A token that can be guessed.
    #[error("the token has {length} characters, and has to have at least {minimum}")]
    ShortToken {
        /// How long it is.
        length: usize,
        /// How long it has to be.
        minimum: usize,
    },
    /// The file of the token cannot be read or written.
    #[error("the token file `{}` cannot be used", path.display())]
    TokenFile {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Others can read the token.
    #[error(
        "the token file `{}` can be read by others (its mode is {mode:o}); \
         `chmod 600` it and make a new token", path.display()
    )]
    ReadableToken {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
}
