//! The asset selection language, as Dagster's grammar has it.
//!
//! ```text
//! expr  := trav | not expr | expr and expr | expr or expr | *
//! trav  := [up] (attr | sinks(expr) | roots(expr) | (expr)) [down]
//! up    := [DIGITS] +           down := + [DIGITS]
//! attr  := key:V | tag:V[=V] | owner:V | group:V | kind:V | is:V | V
//! V     := <null> | "quoted" | name
//! ```
//!
//! `not` binds tighter than `and`, and `and` tighter than `or`. A bare name means `key:name`.

mod evaluate;
mod parse;

use std::ops::Range;

/// A parsed selection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection(pub(crate) Expr);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expr {
    All,
    Attribute(Attribute, Range<usize>),
    Sinks(Box<Self>),
    Roots(Box<Self>),
    /// Levels upstream and downstream; `None` stays, `usize::MAX` goes to the end.
    Traverse {
        of: Box<Self>,
        up: usize,
        down: usize,
    },
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attribute {
    Key(String),
    Tag(String, Option<String>),
    Owner(String),
    /// `None` selects assets without a group.
    Group(Option<String>),
    Kind(String),
    Is(State),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    External,
    Materializable,
}

/// Why a selection cannot be used, and where in its text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectionError {
    /// One sentence.
    pub message: String,
    /// The byte range in the selection.
    pub range: Range<usize>,
    /// The nearest valid name.
    pub nearest: Option<String>,
}

impl SelectionError {
    pub(crate) fn new(message: impl Into<String>, range: Range<usize>) -> Self {
        Self { message: message.into(), range, nearest: None }
    }

    /// The selection with the wrong part marked below it.
    pub fn marked(&self, text: &str) -> String {
        let before = text[..self.range.start.min(text.len())].chars().count();
        let end = self.range.end.min(text.len()).max(self.range.start);
        let width = text.get(self.range.start..end).map_or(0, |t| t.chars().count()).max(1);
        format!("{text}\n{}{}", " ".repeat(before), "^".repeat(width))
    }
}
