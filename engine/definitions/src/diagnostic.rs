//! Problems of definitions, each with a stable code and a place.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $text:literal;)+) => {
        /// The stable identity of a kind of problem; `arrowsmith explain CODE` shows its page.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The code as it is printed.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// The project file cannot be read, or has an unknown key or a wrong value.
    Project = "AS0101";
    /// The front matter of a SQL file is wrong.
    FrontMatter = "AS0102";
    /// A file name or text is no asset key.
    Key = "AS0103";
    /// Two definitions have the same key.
    DuplicateKey = "AS0104";
    /// A source has no file, or its files cannot be read.
    Source = "AS0105";
    /// An asset names an IO manager that is not there, or gives it a wrong option.
    IoManager = "AS0106";
    /// A variable is not defined, or its value has another type.
    Variable = "AS0107";
    /// An attribute of an asset has a value that is not allowed.
    Attribute = "AS0108";
    /// A template cannot be rendered.
    Template = "AS0109";
    /// A job, op or resource is defined wrongly.
    Job = "AS0110";
    /// A unit test is of no asset, or its rows do not fit.
    UnitTest = "AS0111";
    /// A schedule, sensor or setting of the daemon is wrong.
    Schedule = "AS0112";
    /// The SQL text cannot be parsed.
    Syntax = "AS0201";
    /// The file is not exactly one query.
    Statement = "AS0202";
    /// The query is too large or too deep.
    TooLarge = "AS0203";
    /// No asset has the name that a query or parameter refers to.
    UnknownTable = "AS0204";
    /// A name refers to several assets.
    AmbiguousTable = "AS0205";
    /// No table in scope has the column.
    UnknownColumn = "AS0206";
    /// Several tables in scope have the column.
    AmbiguousColumn = "AS0207";
    /// A function does not exist, or does not take these arguments.
    Function = "AS0208";
    /// The types of an expression do not fit.
    Type = "AS0209";
    /// A column is neither grouped nor aggregated, or an aggregate stands where none may.
    Grouping = "AS0210";
    /// Two columns of the result have the same name.
    DuplicateColumn = "AS0211";
    /// Another reason why the query cannot be planned.
    Query = "AS0212";
    /// Assets depend on each other in a circle.
    Cycle = "AS0301";
    /// A typed input does not fit the table that it reads.
    Contract = "AS0302";
    /// The columns of an asset are not known before it runs.
    UnknownSchema = "AS0303";
    /// A graph of ops is wired wrongly.
    Graph = "AS0304";
    /// The run config does not fit what is run.
    Config = "AS0305";
    /// Partitions are defined or mapped wrongly, or an IO manager cannot store them.
    Partitions = "AS0306";
    /// Older rows of an incremental asset have other columns than it has now.
    SchemaChange = "AS0307";
    /// A selection cannot be parsed, or selects nothing.
    Selection = "AS0401";
    /// An upstream asset has not been materialized.
    NotMaterialized = "AS0402";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Whether a problem keeps the project from running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing runs.
    Error,
    /// It runs, but probably not as meant.
    Warning,
}

/// A point in a text: line and column from one, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, counted in characters.
    pub column: usize,
}

impl Position {
    /// The point at a byte offset of `text`; one that is beyond the end is the end.
    pub fn at(text: &str, offset: usize) -> Self {
        let offset = (0..=offset.min(text.len())).rev().find(|i| text.is_char_boundary(*i));
        let before = &text[..offset.unwrap_or(0)];
        let line_start = before.rfind('\n').map_or(0, |i| i + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }

    /// The byte offset of this point in `text`.
    pub fn offset(self, text: &str) -> usize {
        let mut start = 0;
        for _ in 1..self.line {
            match text[start..].find('\n') {
                Some(at) => start += at + 1,
                None => return text.len(),
            }
        }
        let line = text[start..].split('\n').next().unwrap_or_default();
        let within = line.char_indices().nth(self.column.saturating_sub(1));
        start + within.map_or(line.len(), |(at, _)| at)
    }
}

/// A range of a file. `end` is the point behind the last character.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The file, as it is to be shown.
    pub file: Arc<Path>,
    /// Where it begins.
    pub start: Position,
    /// The point behind it.
    pub end: Position,
}

impl Place {
    /// The range between two byte offsets of `text`, which is the content of `file`.
    pub fn in_text(file: &Arc<Path>, text: &str, range: std::ops::Range<usize>) -> Self {
        Self {
            file: Arc::clone(file),
            start: Position::at(text, range.start),
            end: Position::at(text, range.end),
        }
    }

    /// A single point of a file, such as the place of a Rust definition.
    pub fn point(file: impl AsRef<Path>, line: usize, column: usize) -> Self {
        let start = Position { line, column };
        Self { file: file.as_ref().into(), start, end: start }
    }

    /// The place in the source of a program that calls this, or the tracked caller of it.
    #[track_caller]
    pub fn caller() -> Self {
        let caller = std::panic::Location::caller();
        Self::point(caller.file(), caller.line() as usize, caller.column() as usize)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file.display(), self.start.line, self.start.column)
    }
}

/// A further place that explains a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is to be seen there.
    pub text: String,
}

/// One problem: what, where, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The stable code.
    pub code: Code,
    /// Whether it keeps the project from running.
    pub severity: Severity,
    /// One sentence without full stop; names stand in backticks.
    pub message: String,
    /// Where it is, if it is anywhere.
    pub place: Option<Place>,
    /// What the marked place is; shown beside the mark.
    pub mark: Option<String>,
    /// Other places.
    pub labels: Vec<Label>,
    /// What may be done.
    pub helps: Vec<String>,
    /// Text that would be right in the marked place.
    pub replacement: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            mark: None,
            labels: Vec::new(),
            helps: Vec::new(),
            replacement: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same problem at a place.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Place>>) -> Self {
        self.place = place.into();
        self
    }

    /// The same problem with a word beside its mark.
    #[must_use]
    pub fn marked(mut self, text: impl Into<String>) -> Self {
        self.mark = Some(text.into());
        self
    }

    /// The same problem with another place that explains it.
    #[must_use]
    pub fn label(mut self, place: impl Into<Option<Place>>, text: impl Into<String>) -> Self {
        if let Some(place) = place.into() {
            self.labels.push(Label { place, text: text.into() });
        }
        self
    }

    /// The same problem with a hint.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }

    /// The same problem with the nearest name, if there is one.
    #[must_use]
    pub fn did_you_mean(mut self, name: Option<impl Into<String>>) -> Self {
        if let Some(name) = name {
            let name = name.into();
            self.helps.push(format!("did you mean `{name}`?"));
            self.replacement = Some(name);
        }
        self
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]: {}", self.code, self.message)?;
        for help in &self.helps {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}

/// All problems of a repository, sorted by place; at least one is an error.
#[derive(Debug, Clone, Default)]
pub struct Problems(pub Vec<Diagnostic>);

impl Problems {
    /// Sorts by file, position and code, so that output is the same each time.
    pub fn sort(&mut self) {
        self.0.sort_by(|a, b| sort_key(a).cmp(&sort_key(b)));
        self.0.dedup();
    }

    /// Whether any of them keeps the project from running.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|d| d.severity == Severity::Error)
    }
}

fn sort_key(d: &Diagnostic) -> (Option<(&Path, Position)>, Code, &str) {
    (d.place.as_ref().map(|p| (&*p.file, p.start)), d.code, &d.message)
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, diagnostic) in self.0.iter().enumerate() {
            write!(f, "{}{diagnostic}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_come_back() {
        let text = "ab\nüx y\n";
        for (offset, line, column) in [(0, 1, 1), (3, 2, 1), (5, 2, 2), (7, 2, 4), (9, 3, 1)] {
            let position = Position::at(text, offset);
            assert_eq!(position, Position { line, column }, "offset {offset}");
            assert_eq!(position.offset(text), offset);
        }
    }
}
