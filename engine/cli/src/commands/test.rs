//! `test`: unit tests of assets on a few rows.

use anstyle::{AnsiColor, Style};
use arrowsmith_definitions::ResolvedUnitTest;
use arrowsmith_execution::TestOutcome;
use serde_json::{Map, Value, json};

use crate::Exit;
use crate::args::Format;
use crate::context::{CommandResult, Context};
use crate::output::{Rows, complain, elapsed, print, say};

const OK: Style = AnsiColor::Green.on_default();
const FAILED: Style = AnsiColor::Red.on_default().bold();
/// Rows of a difference that are shown.
const SHOWN_ROWS: usize = 20;

pub(crate) async fn test(context: &Context, filter: Option<&str>, format: Format) -> CommandResult {
    let engine = context.engine_without_instance().await?;
    let tests = &engine.resolved.unit_tests;
    let wanted = |test: &&ResolvedUnitTest| {
        filter.is_none_or(|text| test.name.contains(text) || test.asset.as_str().contains(text))
    };
    let chosen: Vec<&ResolvedUnitTest> = tests.iter().filter(wanted).collect();
    if let (Some(filter), true) = (filter, chosen.is_empty()) {
        complain(&format!(
            "none of {} tests has `{filter}` in its name or in that of its asset",
            tests.len()
        ));
        return Ok(Exit::Usage);
    }
    let mut rows = Rows::new("arrowsmith.tests.v1", &["test", "asset", "passed", "place", "why"]);
    let mut failed = 0;
    for test in &chosen {
        let (outcome, took) = engine.unit_test(test).await;
        failed += usize::from(outcome != TestOutcome::Passed);
        let place = &test.place;
        let place = format!("{}:{}", place.file.display(), place.start.line);
        let why = told(&outcome);
        if format == Format::Table {
            let (name, asset) = (&test.name, &test.asset);
            match outcome {
                TestOutcome::Passed if context.quiet => {}
                TestOutcome::Passed => {
                    let took = elapsed(took);
                    print(&format!("{OK}{:>8}{OK:#}  {name}  {asset}  {took}", "ok"))?;
                }
                _ => print(&format!(
                    "{FAILED}{:>8}{FAILED:#}  {name}  {asset}  {place}\n{}",
                    "failed",
                    why.trim_end()
                ))?,
            }
        } else {
            let passed = json!(outcome == TestOutcome::Passed);
            let why = if why.is_empty() { Value::Null } else { json!(why) };
            rows.push(vec![
                json!(test.name),
                json!(test.asset.as_str()),
                passed,
                json!(place),
                why,
            ]);
        }
    }
    if format != Format::Table {
        rows.print(format)?;
    } else if chosen.is_empty() {
        say("there are no tests; they are written in `tests/*.toml`");
    } else if !context.quiet {
        say(&format!("{} passed, {failed} failed", chosen.len() - failed));
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

/// Why a test did not pass, as lines.
fn told(outcome: &TestOutcome) -> String {
    match outcome {
        TestOutcome::Passed => String::new(),
        TestOutcome::Failed(error) => format!("          {error}\n"),
        TestOutcome::Different { columns, missing, unexpected, same } if columns.is_empty() => {
            let (expected, found) = (same + missing.len(), same + unexpected.len());
            format!("          {expected} rows were expected, {found} found\n")
        }
        TestOutcome::Different { columns, missing, unexpected, same } => {
            let mut lines = difference(columns, missing, unexpected);
            if *same > 0 {
                lines.push_str(&format!("            and {same} as expected\n"));
            }
            lines
        }
    }
}

/// `-` before what is expected and not there, `+` before what is there and not expected.
fn difference(
    columns: &[String],
    missing: &[Map<String, Value>],
    unexpected: &[Map<String, Value>],
) -> String {
    let cells = |row: &Map<String, Value>| -> Vec<String> {
        let cell = |column: &String| match row.get(column) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "null".to_owned(),
        };
        columns.iter().map(cell).collect()
    };
    let marked = missing.iter().map(|row| ('-', row)).chain(unexpected.iter().map(|r| ('+', r)));
    let mut lines = vec![(' ', columns.to_vec())];
    lines.extend(marked.take(SHOWN_ROWS).map(|(mark, row)| (mark, cells(row))));
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| lines.iter().map(|(_, row)| row[i].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (mark, row) in lines {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        let line = padded.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("          {mark} {}\n", line.trim_end()));
    }
    let left = (missing.len() + unexpected.len()).saturating_sub(SHOWN_ROWS);
    if left > 0 {
        text.push_str(&format!("            and {left} more\n"));
    }
    text
}
