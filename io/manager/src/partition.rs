//! Table paths and hive partition paths: percent-encoded and injective.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{Error, Result};

/// The directory value that stands for a null, as Hive, Spark, DuckDB and polars read it.
pub const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Encodes one partition value as the right-hand side of a `column=value` directory.
///
/// | value | encoded |
/// |---|---|
/// | `a/b` | `a%2Fb` |
/// | `ü` | `%C3%BC` |
/// | null | `__HIVE_DEFAULT_PARTITION__` |
/// | the text `__HIVE_DEFAULT_PARTITION__` | `%5F_HIVE_DEFAULT_PARTITION__` |
///
/// ```
/// use arrowsmith_io_manager::{decode_value, encode_value};
/// for value in [Some("a/b"), Some("ü"), Some("__HIVE_DEFAULT_PARTITION__"), Some(""), None] {
///     let encoded = encode_value(value);
///     assert!(!encoded.contains('/'));
///     assert_eq!(decode_value(&encoded).as_deref(), value);
/// }
/// ```
pub fn encode_value(value: Option<&str>) -> String {
    match value {
        None => NULL_PARTITION.to_owned(),
        Some(NULL_PARTITION) => format!("%5F{}", &NULL_PARTITION[1..]),
        Some(text) => utf8_percent_encode(text, ENCODED).to_string(),
    }
}

/// Encodes a partition key as a directory of its own. What begins with `.` or `_` is hidden for
/// other programs, and is the manifest's own name, so neither stands at the beginning.
///
/// ```
/// use arrowsmith_io_manager::{decode_value, encode_key};
/// assert_eq!(encode_key("_manifest.json"), "%5Fmanifest.json");
/// for key in ["2013-01-01", "..", "_hidden", "a/b|ü"] {
///     assert!(!encode_key(key).starts_with(['.', '_']));
///     assert_eq!(decode_value(&encode_key(key)).as_deref(), Some(key));
/// }
/// ```
pub fn encode_key(key: &str) -> String {
    let encoded = encode_value(Some(key));
    match encoded.as_bytes() {
        [b'.', ..] => format!("%2E{}", &encoded[1..]),
        [b'_', ..] => format!("%5F{}", &encoded[1..]),
        _ => encoded,
    }
}

/// The inverse of [`encode_value`]; bytes that are no UTF-8 become replacement characters.
pub fn decode_value(encoded: &str) -> Option<String> {
    (encoded != NULL_PARTITION)
        .then(|| percent_decode_str(encoded).decode_utf8_lossy().into_owned())
}

/// Where the rows of one file belong: its partition, and the values of its hive columns in the
/// order of the columns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct HivePath {
    /// The partition, if the version has any. Its directory has no name, since its key is no value
    /// of a column.
    pub key: Option<String>,
    /// Column name and value in its text form; `None` is null.
    pub values: Vec<(String, Option<String>)>,
}

impl fmt::Display for HivePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            f.write_str(&encode_key(key))?;
        }
        for (i, (column, value)) in self.values.iter().enumerate() {
            let separator = if i == 0 && self.key.is_none() { "" } else { "/" };
            let column = encode_value(Some(column));
            write!(f, "{separator}{column}={}", encode_value(value.as_deref()))?;
        }
        Ok(())
    }
}

/// The place of a table in a store: one directory a segment, each percent-encoded.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TablePath {
    encoded: String,
}

impl TablePath {
    /// Makes a path of readable segments.
    ///
    /// # Errors
    /// [`Error::TablePath`] if there is no segment, or one is empty or has a `/`, a `.` or a
    /// control character.
    pub fn new<S: AsRef<str>>(segments: impl IntoIterator<Item = S>) -> Result<Self> {
        let mut encoded = String::new();
        for segment in segments {
            let segment = segment.as_ref();
            let reason = if segment.is_empty() {
                "it is empty"
            } else if segment.contains(['/', '.']) {
                "`/` and `.` separate segments"
            } else if segment.contains(char::is_control) {
                "it has a control character"
            } else {
                ""
            };
            if !reason.is_empty() {
                return Err(Error::TablePath { segment: segment.to_owned(), reason });
            }
            if !encoded.is_empty() {
                encoded.push('/');
            }
            encoded.push_str(&encode_value(Some(segment)));
        }
        if encoded.is_empty() {
            return Err(Error::TablePath { segment: encoded, reason: "it is empty" });
        }
        Ok(Self { encoded })
    }

    /// The readable name: segments joined by dots.
    pub fn table_name(&self) -> String {
        let decoded = self.encoded.split('/').map(|s| decode_value(s).unwrap_or_default());
        decoded.collect::<Vec<_>>().join(".")
    }
}

impl fmt::Display for TablePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.encoded)
    }
}
