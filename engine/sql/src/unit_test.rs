//! Unit tests of a project: `tests/**/*.toml`.
//!
//! ```toml
//! [open_orders_do_not_count]
//! asset = "marts.revenue"
//! given."staging.orders" = [
//!   { customer = "ada", state = "paid", amount = 10 },
//!   { customer = "ada", state = "open", amount = 20 },
//! ]
//! expect = [{ customer = "ada", revenue = 10 }]
//! ```

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, AssetReference, Code, Diagnostic, Given, UnitTest};
use serde_json::Value;

use crate::document::{Reader, Text};

/// Reads the tests of a file.
pub(crate) fn read(
    file: &Arc<Path>,
    text: &Arc<str>,
    problems: &mut Vec<Diagnostic>,
) -> Vec<UnitTest> {
    let document =
        Text { file: Arc::clone(file), text: Arc::clone(text), start: 0, code: Code::UnitTest };
    let table = document.parse(text, problems);
    let mut reader = Reader::new(&document, "a file of tests", table);
    let mut tests = Vec::new();
    for (name, span, test) in reader.tables() {
        tests.extend(read_test(&document, name, span, test, problems));
    }
    problems.extend(reader.finish());
    tests
}

fn read_test(
    text: &Text,
    name: String,
    span: Range<usize>,
    mut reader: Reader<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<UnitTest> {
    // What it is for is for the reader of the file alone.
    reader.string("description");
    let asset = reader.text("asset");
    let asset = match &asset {
        Some((asset, span)) => reference(asset, span, &mut reader),
        None => missing("asset", &name, &span, &mut reader),
    };
    let mut given = Vec::new();
    if let Some(mut tables) = reader.table("given") {
        for (table, span, value) in tables.rest() {
            let asset = reference(&table, &span, &mut tables);
            if let (Some(asset), Some(rows)) = (asset, rows(&table, value, &span, &mut tables)) {
                given.push(Given { asset, rows, place: text.place(span) });
            }
        }
        problems.extend(tables.finish());
    }
    let expect = match reader.value("expect") {
        Some((value, span)) => {
            rows("expect", value, &span, &mut reader).map(|rows| (rows, text.place(span)))
        }
        None => missing("expect", &name, &span, &mut reader),
    };
    problems.extend(reader.finish());
    let (expect, expect_place) = expect?;
    Some(UnitTest { name, asset: asset?, given, expect, expect_place, place: text.place(span) })
}

fn missing<T>(key: &str, test: &str, span: &Range<usize>, reader: &mut Reader<'_>) -> Option<T> {
    if !reader.problems.iter().any(|problem| problem.message.contains(key)) {
        reader.refuse(span.clone(), format!("test `{test}` has no `{key}`"));
    }
    None
}

fn reference(text: &str, span: &Range<usize>, reader: &mut Reader<'_>) -> Option<AssetReference> {
    match text.parse::<AssetKey>() {
        Ok(key) => Some(AssetReference::to(&key)),
        Err(error) => {
            reader.refuse(span.clone(), error.to_string());
            None
        }
    }
}

fn rows(
    name: &str,
    value: Value,
    span: &Range<usize>,
    reader: &mut Reader<'_>,
) -> Option<Vec<Value>> {
    match value {
        Value::Array(rows) => Some(rows),
        _ => {
            let message = format!("`{name}` is a list of rows such as `[{{ n = 1 }}]`");
            reader.refuse(span.clone(), message);
            None
        }
    }
}
