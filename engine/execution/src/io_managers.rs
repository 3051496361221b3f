//! From settings to open IO managers.

use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{
    Code, Diagnostic, IoManagerChoice, IoManagerSettings, IoManagers, Repository, nearest,
};
use arrowsmith_io_csv::CsvIoManager;
use arrowsmith_io_ipc::IpcIoManager;
use arrowsmith_io_manager::{Durability, IoManager, MemoryIoManager, OptionProblem, Store};
use arrowsmith_io_parquet::{ParquetIoManager, ParquetOptions};

const KINDS: [&str; 4] = ["parquet", "ipc", "csv", "memory"];

/// The manager of op outputs that name none.
pub(crate) const OUTPUTS: &str = "outputs";

/// Opens every manager of a repository, and a Parquet one named `default` in the home's own
/// warehouse unless the repository names its default.
///
/// Nothing is requested from a store yet. What is wrong is told with the place of its settings.
pub fn open_io_managers(
    repository: &Repository,
    home: &Path,
    problems: &mut Vec<Diagnostic>,
) -> IoManagers {
    let base = repository.root.as_deref().unwrap_or(home);
    let mut open = IoManagers::new();
    for (name, choice) in &repository.io_managers {
        match choice {
            IoManagerChoice::Ready(manager) => {
                open.insert(name.clone(), Arc::clone(manager));
            }
            IoManagerChoice::Settings(settings) => match open_one(name, settings, base, home) {
                Ok(manager) => {
                    open.insert(name.clone(), manager);
                }
                Err(found) => problems.extend(found),
            },
        }
    }
    let is_default = repository.default_io_manager.as_deref().is_none_or(|name| name == "default");
    if is_default && !open.contains_key("default") {
        match open_one("default", &IoManagerSettings::default(), base, home) {
            Ok(manager) => {
                open.insert("default".to_owned(), manager);
            }
            Err(found) => problems.extend(found),
        }
    }
    if !open.contains_key(OUTPUTS) {
        let store = Some(home.join(OUTPUTS).display().to_string());
        let kind = "ipc".to_owned();
        let settings = IoManagerSettings { kind, store, ..IoManagerSettings::default() };
        match open_one(OUTPUTS, &settings, base, home) {
            Ok(manager) => {
                open.insert(OUTPUTS.to_owned(), manager);
            }
            Err(found) => problems.extend(found),
        }
    }
    open
}

/// Opens one manager by its settings, relative to a folder, which is also its home.
///
/// # Errors
/// Everything that is wrong with the settings.
pub fn open_io_manager(
    name: &str,
    settings: &IoManagerSettings,
    base: &Path,
) -> Result<Arc<dyn IoManager>, Vec<Diagnostic>> {
    open_one(name, settings, base, base)
}

fn open_one(
    name: &str,
    settings: &IoManagerSettings,
    base: &Path,
    home: &Path,
) -> Result<Arc<dyn IoManager>, Vec<Diagnostic>> {
    let problem = |message: String| {
        let message = format!("IO manager `{name}`: {message}");
        Diagnostic::error(Code::IoManager, message).at(settings.place.clone())
    };
    match settings.kind.as_str() {
        "memory" => {
            let manager = MemoryIoManager::new();
            let wrong = manager.check_options(&settings.options);
            if wrong.is_empty() {
                Ok(Arc::new(manager))
            } else {
                Err(wrong.into_iter().map(|w| problem(w.message)).collect())
            }
        }
        "ipc" | "csv" => {
            let store = open_store(settings, base, home).map_err(|e| vec![problem(e)])?;
            let manager: Arc<dyn IoManager> = match settings.kind.as_str() {
                "csv" => Arc::new(CsvIoManager::new(store)),
                _ => Arc::new(IpcIoManager::new(store)),
            };
            let wrong = manager.check_options(&settings.options);
            if wrong.is_empty() {
                return Ok(manager);
            }
            let told = |w: OptionProblem| problem(w.message).did_you_mean(w.suggestion);
            Err(wrong.into_iter().map(told).collect())
        }
        "parquet" | "" => {
            let store = open_store(settings, base, home).map_err(|e| vec![problem(e)])?;
            let options = ParquetOptions::default().with(&settings.options).map_err(|wrong| {
                let told = |w: OptionProblem| problem(w.message).did_you_mean(w.suggestion);
                wrong.into_iter().map(told).collect::<Vec<_>>()
            })?;
            Ok(Arc::new(ParquetIoManager::new(store, options)))
        }
        other => {
            let listed = KINDS.map(|kind| format!("`{kind}`")).join(" or ");
            let message = format!("its type is {listed}, not `{other}`");
            Err(vec![problem(message).did_you_mean(nearest(other, KINDS))])
        }
    }
}

fn open_store(settings: &IoManagerSettings, base: &Path, home: &Path) -> Result<Store, String> {
    let warehouse = || home.join("warehouse").display().to_string();
    let url = settings.store.clone().unwrap_or_else(warehouse);
    let durability = match settings.fsync {
        Some(false) => Durability::None,
        _ => Durability::Fsync,
    };
    Store::open(&url, base, durability, &settings.store_settings).map_err(|e| e.to_string())
}
