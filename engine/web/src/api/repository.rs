//! What is in the repository, and what is wrong with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use arrowsmith_definitions::{Diagnostic, Severity};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use super::Answer;
use crate::Web;

/// Lines of a file that are shown around a problem, before it and behind it.
const AROUND: usize = 2;
/// A duty that was not done for so long is done by nobody, in microseconds.
const SILENCE_US: i64 = 90_000_000;

/// The repository as it is served.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RepositoryInfo {
    /// Its name; none if it was never loaded without problems.
    name: Option<String>,
    /// The project folder, if there is one.
    root: Option<String>,
    /// Whose pointers are read and moved.
    environment: Option<String>,
    /// How many assets there are.
    assets: usize,
    /// Names of jobs.
    jobs: Vec<String>,
    /// Names of schedules.
    schedules: Vec<String>,
    /// Names of sensors.
    sensors: Vec<String>,
    /// Names of groups.
    groups: Vec<String>,
    /// What is wrong with the newest version of the files; the one before is served meanwhile.
    problems: Vec<Problem>,
    /// Whether a daemon is at work: nothing that is queued begins without one.
    daemon: bool,
}

/// Something that is wrong, with the lines that it is about.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// A stable code, such as `AS0206`.
    code: String,
    /// `error` or `warning`.
    severity: String,
    /// One sentence.
    message: String,
    /// What may be done.
    helps: Vec<String>,
    /// Where it is.
    place: Option<Mark>,
}

impl Problem {
    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// A place in a file with the lines around it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Mark {
    /// The file.
    file: String,
    /// The line, counted from one.
    line: usize,
    /// The column of the first character, counted from one.
    column: usize,
    /// The line and column behind the last character.
    end: [usize; 2],
    /// What the marked place is.
    label: Option<String>,
    /// The number of the first line that is shown.
    first_line: usize,
    /// The lines; none if the file cannot be read.
    lines: Vec<String>,
}

/// What is in the repository, and what is wrong with it.
#[utoipa::path(get, path = "/repository", responses((status = 200, body = RepositoryInfo)))]
pub(crate) async fn repository(State(web): State<Web>) -> Answer<RepositoryInfo> {
    let beats = web.daemon().instance().heartbeats().await?;
    let engine = web.daemon().engine();
    let now = engine.as_ref().map_or(0, |engine| engine.now());
    let newest = beats.iter().map(|beat| beat.at).max();
    let found = web.daemon().problems();
    let of = engine.as_ref().map(|engine| &engine.resolved);
    let names = |of: Option<Vec<&String>>| of.into_iter().flatten().cloned().collect();
    let groups = of.into_iter().flat_map(|of| of.assets.values());
    let groups: std::collections::BTreeSet<&String> =
        groups.filter_map(|asset| asset.asset.attributes.group.as_ref()).collect();
    Ok(Json(RepositoryInfo {
        name: of.map(|of| of.name.clone()),
        root: of.and_then(|of| of.root.as_ref()).map(|root| root.display().to_string()),
        environment: engine.as_ref().map(|engine| engine.environment.clone()),
        assets: of.map_or(0, |of| of.assets.len()),
        jobs: names(of.map(|of| of.jobs.keys().collect())),
        schedules: names(of.map(|of| of.schedules.keys().collect())),
        sensors: names(of.map(|of| of.sensors.keys().collect())),
        groups: groups.into_iter().cloned().collect(),
        problems: found.map(|found| problems(&found.0)).unwrap_or_default(),
        daemon: web.daemon().leads() || newest.is_some_and(|at| now - at < SILENCE_US),
    }))
}

/// Diagnostics with the lines that they are about.
pub(super) fn problems(of: &[Diagnostic]) -> Vec<Problem> {
    let mut texts: BTreeMap<PathBuf, Option<String>> = BTreeMap::new();
    let mut text = |path: &Path| {
        let read = || std::fs::read_to_string(path).ok();
        texts.entry(path.to_owned()).or_insert_with(read).clone()
    };
    of.iter().map(|diagnostic| problem(diagnostic, &mut text)).collect()
}

/// The same of problems with a text that is no file.
pub(super) fn problems_in(of: &[Diagnostic], text: &str) -> Vec<Problem> {
    of.iter().map(|diagnostic| problem(diagnostic, &mut |_| Some(text.to_owned()))).collect()
}

fn problem(of: &Diagnostic, text: &mut dyn FnMut(&Path) -> Option<String>) -> Problem {
    let place = of.place.as_ref().map(|place| {
        let text = text(&place.file).unwrap_or_default();
        let first_line = place.start.line.saturating_sub(AROUND).max(1);
        let last = place.start.line + AROUND;
        let lines = text.lines().skip(first_line - 1).take(last + 1 - first_line);
        Mark {
            file: place.file.display().to_string(),
            line: place.start.line,
            column: place.start.column,
            end: [place.end.line, place.end.column],
            label: of.mark.clone(),
            first_line,
            lines: lines.map(str::to_owned).collect(),
        }
    });
    let severity = if of.severity == Severity::Error { "error" } else { "warning" };
    Problem {
        code: of.code.to_string(),
        severity: severity.to_owned(),
        message: of.message.clone(),
        helps: of.helps.clone(),
        place,
    }
}
