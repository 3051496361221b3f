//! Errors of the tokenizer and parser, which carry their place in their text.

use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{Code, Diagnostic, Place, Position};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::parse::{first_word, span_place, unmatched_parenthesis};

/// A problem of the parser: `… at Line: 3, Column: 7`.
pub(crate) fn syntax_problem(file: &Arc<Path>, text: &Arc<str>, error: &str) -> Diagnostic {
    let plain = super::classify::plain_text(error);
    if plain.contains("recursion limit") || plain.contains("RecursionLimitExceeded") {
        return Diagnostic::error(Code::TooLarge, "the query is nested too deeply to be planned")
            .at(first_word(file, text))
            .help("split the query into several assets");
    }
    if plain.contains("EOF")
        && let Some(span) = unmatched_parenthesis(text)
    {
        return Diagnostic::error(Code::Syntax, "this parenthesis is never closed")
            .at(span_place(file, span));
    }
    let (message, place) = match plain.rsplit_once(" at Line: ") {
        Some((message, at)) => (message.to_owned(), position(at)),
        None => (plain, None),
    };
    let place = match place {
        Some(start) => token_place(file, text, start),
        None => last_character(file, text),
    };
    Diagnostic::error(Code::Syntax, readable(&message)).at(place)
}

fn position(text: &str) -> Option<Position> {
    let (line, column) = text.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Position { line: line.trim().parse().ok()?, column: digits.parse().ok()? })
}

/// The whole token at a position.
fn token_place(file: &Arc<Path>, text: &str, start: Position) -> Place {
    let dialect = datafusion::sql::sqlparser::dialect::GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().unwrap_or_default();
    let found = tokens.into_iter().find(|token| {
        token.span.start.line == start.line as u64
            && token.span.start.column == start.column as u64
            && !matches!(token.token, Token::Whitespace(_))
    });
    match found {
        Some(token) => span_place(file, token.span),
        None => Place::point(file, start.line, start.column),
    }
}

fn last_character(file: &Arc<Path>, text: &str) -> Place {
    let end = text.trim_end().len();
    Place::in_text(file, text, end.saturating_sub(1)..end)
}

/// `Expected: an expression, found: from` reads as a sentence.
fn readable(message: &str) -> String {
    let message = message.trim();
    match message.strip_prefix("Expected: ").and_then(|m| m.rsplit_once(", found: ")) {
        Some((expected, "EOF")) => format!("the query ends where {expected} should be"),
        Some((expected, found)) => format!("`{found}` stands where {expected} should be"),
        None => super::lower_first(message),
    }
}
