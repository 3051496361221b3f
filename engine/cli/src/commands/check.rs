//! `check`: the whole project, without running anything.

use std::collections::BTreeMap;

use arrowsmith_definitions::{Diagnostic, Resolved, Severity};
use arrowsmith_execution::Engine;
use serde_json::json;

use crate::Exit;
use crate::args::Format;
use crate::context::{CommandResult, Context};
use crate::diagnostics::{report, summary};
use crate::output::{Rows, complain, print_document, say};

pub(crate) fn check(context: &Context, format: Format) -> CommandResult {
    let (repository, options) = context.repository()?;
    let (resolved, problems) = match Engine::check(&repository, &options) {
        Ok(resolved) => {
            let warnings = resolved.warnings.clone();
            (Some(resolved), warnings)
        }
        Err(problems) => (None, problems.0),
    };
    match format {
        Format::Table => report(&problems),
        Format::Json => print_document("arrowsmith.check.v1", "problems", &problems)?,
        Format::Ndjson | Format::Csv => listed(&problems).print(format)?,
    }
    if std::env::var_os("GITHUB_ACTIONS").is_some() {
        annotate(&problems);
    }
    let Some(resolved) = resolved else {
        complain(&summary(&problems));
        return Ok(Exit::Invalid);
    };
    if !context.quiet && format == Format::Table {
        for line in inferred(&resolved) {
            say(&line);
        }
        let assets = resolved.assets.values();
        let sources = assets.clone().filter(|asset| asset.asset.is_external()).count();
        let computed = assets.len() - sources;
        say(&format!("{}: {computed} assets and {sources} sources are fine", resolved.name));
    }
    Ok(Exit::Ok)
}

/// The columns of sources, since nobody may have written them down.
fn inferred(resolved: &Resolved) -> Vec<String> {
    let mut lines = BTreeMap::new();
    for (key, asset) in &resolved.assets {
        if let (true, Some(schema)) = (asset.asset.is_external(), &asset.schema) {
            let columns = schema.fields().iter().map(|f| format!("{} {}", f.name(), f.data_type()));
            let columns = columns.collect::<Vec<_>>().join(", ");
            lines.insert(key.clone(), format!("source {key}: {columns}"));
        }
    }
    lines.into_values().collect()
}

fn listed(problems: &[Diagnostic]) -> Rows {
    let columns = &["severity", "code", "file", "line", "column", "message", "help"];
    let mut rows = Rows::new("arrowsmith.check.v1", columns);
    for problem in problems {
        let place = problem.place.as_ref();
        rows.push(vec![
            json!(problem.severity),
            json!(problem.code),
            json!(place.map(|p| p.file.display().to_string())),
            json!(place.map(|p| p.start.line)),
            json!(place.map(|p| p.start.column)),
            json!(problem.message),
            json!(problem.helps.join("; ")),
        ]);
    }
    rows
}

/// Marks in the diff of a pull request.
fn annotate(problems: &[Diagnostic]) {
    for problem in problems {
        let level = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = problem.place.as_ref().map(|place| {
            let (file, at) = (place.file.display(), place.start);
            format!(" file={file},line={},col={}", at.line, at.column)
        });
        say(&format!("::{level}{}::{}", place.unwrap_or_default(), problem.message));
    }
}
