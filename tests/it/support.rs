//! Projects made of text, and the command line run on them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder that goes with the test, as a home or with one in it. With `ARROWSMITH_TEST_POSTGRES` the
/// instances of both are in a database.
pub(crate) fn folder() -> TempDir {
    let folder = TempDir::new().expect("a temporary folder");
    if let Ok(url) = std::env::var("ARROWSMITH_TEST_POSTGRES") {
        for home in [folder.path().to_owned(), folder.path().join(".arrowsmith")] {
            keep_in_database(&home, &url);
        }
    }
    folder
}

/// Keeps the instance of a home in a schema of its own.
pub(crate) fn keep_in_database(home: &Path, url: &str) {
    let schema = format!("t_{}", uuid::Uuid::now_v7().simple());
    let text = format!("[database]\nurl = \"{url}\"\nschema = \"{schema}\"\n");
    std::fs::create_dir_all(home).expect("a folder");
    std::fs::write(home.join("instance.toml"), text).expect("a file");
}

/// A project folder that goes with the test.
pub(crate) struct Project {
    folder: TempDir,
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Project {
    /// Files of a fixture: a line `== path` begins each.
    pub(crate) fn new(fixture: &str) -> Self {
        let project = Self { folder: folder() };
        project.add(fixture);
        project
    }

    /// The same in a folder of its own within another.
    pub(crate) fn within(parent: &Path, fixture: &str) -> Self {
        let project = Self { folder: TempDir::new_in(parent).expect("a temporary folder") };
        project.add(fixture);
        project
    }

    /// More files.
    pub(crate) fn add(&self, fixture: &str) {
        let mut current: Option<(&str, String)> = None;
        for line in fixture.lines() {
            if let Some(path) = line.strip_prefix("== ") {
                if let Some((path, text)) = current.replace((path.trim(), String::new())) {
                    self.write(path, &text);
                }
            } else if let Some((_, text)) = &mut current {
                text.push_str(line);
                text.push('\n');
            }
        }
        if let Some((path, text)) = current {
            self.write(path, &text);
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a written file");
    }

    /// Takes the instance away, and leaves what else is in the home.
    pub(crate) fn lose_instance(&self) {
        let home = self.path().join(".arrowsmith");
        for file in std::fs::read_dir(&home).expect("a home").flatten() {
            if file.file_name().to_string_lossy().starts_with("instance.db") {
                std::fs::remove_file(file.path()).expect("removed");
            }
        }
        if let Ok(url) = std::env::var("ARROWSMITH_TEST_POSTGRES") {
            keep_in_database(&home, &url);
        }
    }

    /// The command line, with the project as its working directory.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arrowsmith"));
        command.args(arguments).current_dir(self.path());
        for name in ["ARROWSMITH_HOME", "ARROWSMITH_PROJECT", "GITHUB_ACTIONS", "NO_COLOR"] {
            command.env_remove(name);
        }
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::from(self.command(arguments).output().expect("a command that runs"))
    }

    /// Runs a command that must go well; returns its data.
    #[track_caller]
    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!(ran.code, 0, "{arguments:?} failed\n{}\n{}", ran.out, ran.err);
        ran.out
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Materializes assets with the engine of a daemon, without its queue.
pub(crate) async fn materialize(
    daemon: &arrowsmith::daemon::Daemon,
    selection: &str,
    partitions: Option<&str>,
    tags: &[(&str, &str)],
) {
    use arrowsmith::execution::{PlanRequest, RunOptions, Silent};
    let engine = daemon.engine().expect("an engine");
    let mut request = PlanRequest::new(selection);
    request.partitions = partitions.map(|set| set.parse().expect("a set"));
    let plan = engine.plan_request(&request).await.expect("a plan");
    let tags = tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let options = RunOptions { tags, ..RunOptions::default() };
    let cancel = tokio_util::sync::CancellationToken::new();
    engine.run(plan, options, cancel, std::sync::Arc::new(Silent)).await.expect("a run");
}

/// The folder of the examples.
pub(crate) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

/// Copies a folder with everything in it but what begins with a dot.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().starts_with('.') {
            continue;
        }
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to.join(name));
        } else {
            std::fs::copy(entry.path(), to.join(name)).expect("a copied file");
        }
    }
}
