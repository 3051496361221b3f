//! Asset keys: what one types in SQL.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use arrowsmith_io_manager::TablePath;

/// The name of an asset: one to three segments, written as in SQL.
///
/// | text | segments |
/// |---|---|
/// | `delays` | `delays` |
/// | `marts.delays`, `marts/delays` | `marts`, `delays` |
/// | `marts."daily delays"` | `marts`, `daily delays` |
///
/// A segment is `[A-Za-z_][A-Za-z0-9_]*`, or a quoted name without `/`, `.` and control
/// characters. Clones share their text.
#[derive(Debug, Clone)]
pub struct AssetKey(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    text: String,
    segments: Vec<String>,
}

/// Why a text is no asset key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an asset key: {reason}")]
pub struct InvalidKey {
    /// The text as given.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

impl AssetKey {
    /// Makes a key of segments, of which any may need quotes.
    ///
    /// # Errors
    /// [`InvalidKey`] if there are no segments or more than three, or a segment is not allowed.
    pub fn from_segments<S: AsRef<str>>(
        segments: impl IntoIterator<Item = S>,
    ) -> Result<Self, InvalidKey> {
        let segments: Vec<String> = segments.into_iter().map(|s| s.as_ref().to_owned()).collect();
        let text = segments.iter().map(|s| quoted(s)).collect::<Vec<_>>().join(".");
        let refuse = |reason: &str| InvalidKey { text: text.clone(), reason: reason.to_owned() };
        if segments.is_empty() || segments.len() > 3 {
            return Err(refuse("it has one to three segments"));
        }
        for segment in &segments {
            if segment.is_empty() {
                return Err(refuse("a segment is empty"));
            }
            if segment.contains(['/', '.']) {
                return Err(refuse("`/` and `.` separate segments and cannot be part of one"));
            }
            if segment.contains(char::is_control) {
                return Err(refuse("a segment has a control character"));
            }
        }
        Ok(Self(Arc::new(Parts { text, segments })))
    }

    /// The segments without quotes, outermost first.
    pub fn segments(&self) -> &[String] {
        &self.0.segments
    }

    /// The last segment without quotes.
    pub fn name(&self) -> &str {
        self.0.segments.last().map_or("", String::as_str)
    }

    /// All segments but the last.
    pub fn folder(&self) -> &[String] {
        self.0.segments.split_last().map_or(&[], |(_, folder)| folder)
    }

    /// The key as it is written in SQL.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Where the asset's versions are stored.
    pub fn table_path(&self) -> TablePath {
        TablePath::new(self.segments()).expect("segments of a key are segments of a path")
    }
}

fn is_plain(segment: &str) -> bool {
    let mut chars = segment.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn quoted(segment: &str) -> String {
    if is_plain(segment) {
        segment.to_owned()
    } else {
        format!("\"{}\"", segment.replace('"', "\"\""))
    }
}

impl FromStr for AssetKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason: String| InvalidKey { text: text.to_owned(), reason };
        let mut segments = Vec::new();
        let mut chars = text.chars().peekable();
        loop {
            let mut segment = String::new();
            if chars.next_if_eq(&'"').is_some() {
                loop {
                    match chars.next() {
                        Some('"') if chars.next_if_eq(&'"').is_some() => segment.push('"'),
                        Some('"') => break,
                        Some(c) => segment.push(c),
                        None => return Err(refuse("a quote is not closed".to_owned())),
                    }
                }
            } else {
                while let Some(c) = chars.next_if(|c| !matches!(c, '.' | '/' | '"')) {
                    segment.push(c);
                }
                if !segment.is_empty() && !is_plain(&segment) {
                    return Err(refuse(format!(
                        "`{segment}` needs quotes, since it is not letters, digits and `_`"
                    )));
                }
            }
            segments.push(segment);
            match chars.next() {
                None => break,
                Some('.' | '/') => {}
                Some(c) => return Err(refuse(format!("`{c}` follows a quoted segment"))),
            }
        }
        Self::from_segments(segments).map_err(|e| refuse(e.reason))
    }
}

impl fmt::Display for AssetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.text)
    }
}

impl PartialEq for AssetKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for AssetKey {}

impl Hash for AssetKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl PartialOrd for AssetKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for AssetKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.text.cmp(&other.0.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match text.parse::<AssetKey>() {
            Ok(key) => key.to_string(),
            Err(e) => e.reason,
        };
        assert_eq!(found, expected, "for {text:?}");
    }

    #[test]
    fn keys_are_read_as_they_are_typed() {
        check("a", "a");
        check("a.b.c", "a.b.c");
        check("a/b", "a.b");
        check("\"a\"", "a");
        check("a.\"b c\"", "a.\"b c\"");
        check("\"say \"\"hi\"\"\"", "\"say \"\"hi\"\"\"");
    }

    #[test]
    fn what_is_no_key_is_refused_with_a_reason() {
        check("", "a segment is empty");
        check("a..b", "a segment is empty");
        check("a.b.c.d", "it has one to three segments");
        check("a-b", "`a-b` needs quotes, since it is not letters, digits and `_`");
        check("1a", "`1a` needs quotes, since it is not letters, digits and `_`");
        check("\"a", "a quote is not closed");
        check("\"a.b\"", "`/` and `.` separate segments and cannot be part of one");
        check("\"a\nb\"", "a segment has a control character");
        check("\"a\"b", "`b` follows a quoted segment");
    }
}
