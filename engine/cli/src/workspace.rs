//! A workspace: several repositories, each a project folder or a compiled program, each in a process of
//! its own, so that what is wrong with one is nothing to the others.

use std::ffi::OsString;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use arrowsmith_definitions::{Code, Diagnostic, Place, nearest};
use serde::Deserialize;
use tokio::process::Command;
use toml::Spanned;

use crate::context::CommandResult;
use crate::diagnostics::{report, summary};
use crate::{Exit, output};

const KEYS: &[&str] = &["project", "program", "arguments", "home"];

/// The name of a workspace file, if none is given.
pub(crate) const WORKSPACE_FILE: &str = "workspace.toml";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    repositories: Spanned<toml::Table>,
}

/// One repository of a workspace.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) name: String,
    /// The program that describes, checks and runs it.
    program: PathBuf,
    /// Its first arguments.
    arguments: Vec<OsString>,
    folder: PathBuf,
    /// Where its instance is, unless its folder says it.
    home: Option<PathBuf>,
}

impl Location {
    /// The program with a command of it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(arguments).current_dir(&self.folder);
        command.env_remove("ARROWSMITH_HOME").env_remove("ARROWSMITH_PROJECT");
        if let Some(home) = &self.home {
            command.env("ARROWSMITH_HOME", home);
        }
        command.stdin(Stdio::null());
        command
    }
}

/// Reads a workspace file.
pub(crate) fn read(path: &Path) -> CommandResult<Vec<Location>> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        output::complain(&format!("`{}` cannot be read: {error}", path.display()));
        Exit::Usage
    })?;
    let folder = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned));
    let mut problems = Vec::new();
    let locations = locations(path, &text, &folder.unwrap_or_default(), &mut problems);
    if problems.is_empty() {
        return Ok(locations);
    }
    report(&problems);
    output::complain(&summary(&problems));
    Err(Exit::Invalid)
}

fn locations(
    path: &Path,
    text: &str,
    folder: &Path,
    problems: &mut Vec<Diagnostic>,
) -> Vec<Location> {
    let file = path.into();
    let mut refuse = |range: Range<usize>, message: String, near: Option<String>| {
        let place = Place::in_text(&file, text, range);
        problems.push(Diagnostic::error(Code::Project, message).at(place).did_you_mean(near));
    };
    let parsed: File = match toml::from_str(text) {
        Ok(parsed) => parsed,
        Err(error) => {
            refuse(error.span().unwrap_or_default(), error.message().trim().to_owned(), None);
            return Vec::new();
        }
    };
    let mut locations = Vec::new();
    let whole = parsed.repositories.span();
    for (name, value) in parsed.repositories.into_inner() {
        // The table keeps no places of its own; the name is where the reader looks.
        let at = text.find(&name).map_or(whole.clone(), |at| at..at + name.len());
        let Some(table) = value.as_table() else {
            refuse(at, format!("repository `{name}` is a table"), None);
            continue;
        };
        for key in table.keys().filter(|key| !KEYS.contains(&key.as_str())) {
            let near = nearest(key, KEYS.iter().copied()).map(str::to_owned);
            refuse(at.clone(), format!("repository `{name}` has no key `{key}`"), near);
        }
        let text_of = |key: &str| table.get(key).and_then(toml::Value::as_str);
        match (text_of("project"), text_of("program")) {
            (Some(project), None) => {
                let project = folder.join(project);
                let Ok(program) = std::env::current_exe() else { continue };
                let arguments = vec!["--project".into(), project.clone().into_os_string()];
                if !project.join(arrowsmith_sql::PROJECT_FILE).is_file() {
                    let shown = project.display();
                    refuse(
                        at,
                        format!("repository `{name}`: `{shown}` is no project folder"),
                        None,
                    );
                    continue;
                }
                let (folder, home) = (folder.to_owned(), None);
                locations.push(Location { name, program, arguments, folder, home });
            }
            (None, Some(program)) => {
                let given = table.get("arguments").and_then(toml::Value::as_array);
                let arguments = given.into_iter().flatten();
                let arguments =
                    arguments.filter_map(|word| word.as_str().map(OsString::from)).collect();
                let program = folder.join(program);
                if !program.is_file() {
                    let shown = program.display();
                    refuse(at, format!("repository `{name}`: `{shown}` is no program"), None);
                    continue;
                }
                // Programs of one folder are repositories of their own.
                let home = text_of("home")
                    .map_or_else(|| PathBuf::from(".arrowsmith").join(&name), PathBuf::from);
                let (home, folder) = (Some(folder.join(home)), folder.to_owned());
                locations.push(Location { name, program, arguments, folder, home });
            }
            _ => {
                let message = format!(
                    "repository `{name}` is a `project` folder or a `program`, one of both"
                );
                refuse(at, message, None);
            }
        }
    }
    locations
}
