//! Errors of DataFusion's parser and planner as diagnostics with a place.
//!
//! DataFusion gives a message and a span for most mistakes. Where it gives no span, the expression
//! that it speaks of is looked up in the syntax tree by what the message names.

mod classify;
mod locate;
mod syntax;

use arrowsmith_definitions::{Code, Diagnostic, Place};
use datafusion::common::{DFSchema, Diagnostic as PlannerNote, Span};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::tokenizer::{Location, Span as ParserSpan};

use crate::parse::{Query, span_place};

pub(crate) use syntax::syntax_problem;

/// Every problem that an error of the planner tells of, each with a place.
pub fn diagnose(query: &Query, error: &DataFusionError) -> Vec<Diagnostic> {
    error.iter().map(|error| diagnose_one(query, error)).collect()
}

fn diagnose_one(query: &Query, error: &DataFusionError) -> Diagnostic {
    let root = error.find_root();
    let text = classify::plain_text(&root.to_string());
    let note = error.diagnostic();
    let finding = classify::classify(query, root, &text, note);
    let place = note
        .and_then(|note| note.span)
        .map(|span| place(query, span))
        .or(finding.place)
        .unwrap_or_else(|| query.beginning());
    let mut diagnostic = Diagnostic::error(finding.code, finding.message).at(place);
    diagnostic.mark = finding.mark;
    for help in finding.helps {
        diagnostic = diagnostic.help(help);
    }
    if let Some(note) = note {
        for other in &note.notes {
            if let Some(span) = other.span {
                diagnostic = diagnostic.label(place_of(query, span), lower_first(&other.message));
            }
        }
    }
    match finding.replacement {
        Some(near) => diagnostic.did_you_mean(Some(near)),
        None => diagnostic,
    }
}

/// What the planner only warns of.
pub(crate) fn planner_note(query: &Query, note: &PlannerNote) -> Diagnostic {
    let place = note.span.map_or_else(|| query.beginning(), |span| place(query, span));
    let mut diagnostic = Diagnostic::warning(Code::Query, lower_first(&note.message)).at(place);
    for help in &note.helps {
        diagnostic = diagnostic.help(lower_first(&help.message));
    }
    diagnostic
}

/// Columns of the result that share a name, which no file could tell apart.
pub(crate) fn duplicate_columns(query: &Query, schema: &DFSchema) -> Vec<Diagnostic> {
    let mut seen = std::collections::HashSet::new();
    let fields = schema.fields().iter().enumerate();
    fields
        .filter(|(_, field)| !seen.insert(field.name().clone()))
        .map(|(at, field)| {
            let name = field.name();
            let message = format!("two columns of the result are named `{name}`");
            Diagnostic::error(Code::DuplicateColumn, message)
                .at(locate::select_item(query, at, name).unwrap_or_else(|| query.beginning()))
                .help(format!("give one of them another name: `… as other_{name}`"))
        })
        .collect()
}

fn place(query: &Query, span: Span) -> Place {
    let location = |l: datafusion::common::Location| Location { line: l.line, column: l.column };
    let span = ParserSpan { start: location(span.start), end: location(span.end) };
    span_place(&query.file, span)
}

fn place_of(query: &Query, span: Span) -> Place {
    place(query, span)
}

fn lower_first(text: &str) -> String {
    let text = text.trim().trim_end_matches('.');
    // An acronym or a quoted name at the beginning keeps its letters.
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), Some(second)) if second.is_lowercase() => {
            first.to_lowercase().chain(text[first.len_utf8()..].chars()).collect()
        }
        _ => text.to_owned(),
    }
}
