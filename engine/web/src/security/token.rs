//! The token: 256 random bits in a file that only its owner reads, or what the operator has set.

use std::fmt;
use std::io::Write;
use std::path::Path;

use uuid::Uuid;

use crate::{Error, Result};

/// Shorter ones could be guessed.
const LENGTH_MIN: usize = 24;

/// What lets in. It is shown by nothing but [`reveal`](Self::reveal).
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// A token that the operator has set.
    ///
    /// # Errors
    /// `ShortToken` if it has fewer than 24 characters.
    pub fn new(text: &str) -> Result<Self> {
        let text = text.trim();
        if text.len() < LENGTH_MIN {
            return Err(Error::ShortToken { length: text.len(), minimum: LENGTH_MIN });
        }
        Ok(Self(text.to_owned()))
    }

    /// The token of a file, which is made with a random one and mode 0600 if it is not there.
    ///
    /// # Errors
    /// `TokenFile`; `ReadableToken` if others can read it; `ShortToken`.
    pub fn of_file(path: &Path) -> Result<Self> {
        let failed = |source| Error::TokenFile { path: path.to_owned(), source };
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(path) {
            Ok(mut file) => {
                let token = Self::random();
                file.write_all(token.0.as_bytes()).map_err(failed)?;
                file.sync_all().map_err(failed)?;
                Ok(token)
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                private(path)?;
                Self::new(&std::fs::read_to_string(path).map_err(failed)?)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// 256 bits out of four random UUIDs.
    pub(crate) fn random() -> Self {
        let mut hasher = blake3::Hasher::new();
        for _ in 0..4 {
            hasher.update(Uuid::new_v4().as_bytes());
        }
        Self(hasher.finalize().to_hex().to_string())
    }

    /// The token itself, for whoever is to log in.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether a text is the token; takes as long whatever is wrong with it.
    pub(crate) fn is(&self, text: &str) -> bool {
        // Hashes are compared in constant time.
        blake3::hash(text.as_bytes()) == blake3::hash(self.0.as_bytes())
    }

    /// What a cookie holds in the place of the token.
    pub(crate) fn session(&self) -> String {
        self.derived("arrowsmith web session")
    }

    /// What a page has to send with whatever changes something.
    pub(crate) fn csrf(&self) -> String {
        self.derived("arrowsmith web csrf")
    }

    fn derived(&self, context: &str) -> String {
        let key = blake3::derive_key(context, self.0.as_bytes());
        blake3::Hash::from_bytes(key).to_hex().to_string()
    }
}

#[cfg(unix)]
fn private(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let found = std::fs::metadata(path);
    let found = found.map_err(|source| Error::TokenFile { path: path.to_owned(), source })?;
    let mode = found.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Error::ReadableToken { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn private(_: &Path) -> Result<()> {
    Ok(())
}

/// Whether two texts are the same; takes as long whatever is wrong.
pub(super) fn same(one: &str, other: &str) -> bool {
    blake3::hash(one.as_bytes()) == blake3::hash(other.as_bytes())
}
