//! Options of a SQL file: TOML between `+++` lines inside its leading comment.

use std::ops::Range;
use std::sync::Arc;

use arrow::datatypes::Schema;
use arrowsmith_definitions::{Asset, Code, Diagnostic, nearest};

use serde_json::Value;

use crate::attributes::{read_attributes, read_storage_and_policy};
use crate::check::{add_key_check, read_checks};
use crate::document::{Reader, Text};
use crate::partitions::{read_mapping, read_partitions};
use crate::source::read_columns;

/// The byte range of the TOML in the text of a SQL file, if it has front matter.
///
/// # Errors
/// The byte range of an opening `+++` that is never closed.
pub(crate) fn find(text: &str) -> Result<Option<Range<usize>>, Range<usize>> {
    let trimmed = text.trim_start();
    let Some(comment) = trimmed.strip_prefix("/*") else { return Ok(None) };
    let inside = comment.trim_start();
    if !inside.starts_with("+++") {
        return Ok(None);
    }
    let open = text.len() - inside.len();
    let start = open + "+++".len();
    // A closing mark begins a line or stands directly before the end of the comment.
    let end_of_comment = text[start..].find("*/").map_or(text.len(), |at| start + at);
    match text[start..end_of_comment].rfind("+++") {
        Some(at) => Ok(Some(start..start + at)),
        None => Err(open..start),
    }
}

/// The `---` line that opens front matter elsewhere, if a file's leading comment begins with it.
fn foreign_marks(text: &str) -> Option<Range<usize>> {
    let inside = text.trim_start().strip_prefix("/*")?.trim_start();
    let at = text.len() - inside.len();
    (inside.lines().next()?.trim_end() == "---").then_some(at..at + 3)
}

/// Reads the front matter of a file into its asset.
pub(crate) fn read(text: &Text, asset: &mut Asset) -> Vec<Diagnostic> {
    let whole = Text { start: 0, code: Code::FrontMatter, ..text.clone() };
    let range = match find(&text.text) {
        Ok(None) => {
            let message = "front matter is TOML between `+++` lines, not between `---` lines";
            let marks = foreign_marks(&text.text);
            return marks.map(|range| whole.problem(range, message)).into_iter().collect();
        }
        Ok(Some(range)) => range,
        Err(range) => {
            let message = "the front matter is not closed by `+++` before the comment ends";
            return vec![whole.problem(range, message)];
        }
    };
    let text = Text { start: range.start, code: Code::FrontMatter, ..text.clone() };
    let mut problems = Vec::new();
    let source = text.text.clone();
    let table = text.parse(&source[range], &mut problems);
    if !problems.is_empty() {
        return problems;
    }
    let mut reader = Reader::new(&text, "the front matter", table);
    asset.attributes = read_attributes(&mut reader);
    read_storage_and_policy(&mut reader, asset);
    asset.partitions = read_partitions(&mut reader).map(Arc::new);
    if let Some(columns) = reader.table("columns") {
        let fields = read_columns(columns, &mut problems);
        asset.columns = Some(Arc::new(Schema::new(fields)));
    }
    read_inputs(&mut reader, asset);
    read_checks(&mut reader, &text, asset);
    add_key_check(asset);
    problems.extend(reader.finish());
    problems
}

/// `[inputs]`: which partitions of which input are read.
fn read_inputs(reader: &mut Reader<'_>, asset: &mut Asset) {
    let Some(mut table) = reader.table("inputs") else { return };
    for (name, span, mut value) in table.rest() {
        let names = asset.inputs.iter().map(|input| input.reference.to_string());
        let names: Vec<String> = names.collect();
        let Some(at) = names.iter().position(|known| *known == name) else {
            let near = nearest(&name, names.iter().map(String::as_str)).map(str::to_owned);
            table.refuse_near(span, format!("the query reads no table `{name}`"), near);
            continue;
        };
        let input = &mut asset.inputs[at];
        let given = value.as_object_mut().and_then(|entry| entry.remove("allow_missing"));
        match given.as_ref().map(Value::as_bool) {
            Some(None) => table.refuse(span.clone(), "`allow_missing` is true or false"),
            Some(Some(allowed)) => input.allow_missing = allowed,
            None => {}
        }
        // Alone it leaves open which partitions are read.
        if given.is_none() || value.as_object().is_some_and(|entry| !entry.is_empty()) {
            input.mapping = read_mapping(&mut table, &value, span);
        }
    }
    reader.problems.extend(table.finish());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_stands_in_the_first_comment_only() {
        let text = "/* +++\na = 1\n+++ */\nselect 1";
        assert_eq!(find(text).map(|r| r.map(|r| &text[r])), Ok(Some("\na = 1\n")));
        assert_eq!(find("select 1 /* +++ a = 1 +++ */"), Ok(None));
        assert_eq!(find("/* a comment */ select 1"), Ok(None));
        assert_eq!(find("/* +++\na = 1\n*/ select 1"), Err(3..6));
    }
}
