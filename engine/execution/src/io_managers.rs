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

/// The types of IO managers; `delta` and `postgres` are those of features.
pub const IO_MANAGER_KINDS: [&str; 6] = ["parquet", "delta", "ipc", "csv", "postgres", "memory"];

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
    // A path below a relative home would be taken for one below the root.
    let home = &std::path::absolute(home).unwrap_or_else(|_| home.to_owned());
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
    let home = std::path::absolute(base).unwrap_or_else(|_| base.to_owned());
    open_one(name, settings, base, &home)
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
    let told = |w: OptionProblem| problem(w.message).did_you_mean(w.suggestion);
    let store = || open_store(settings, base, home).map_err(|e| vec![problem(e)]);
    let parquet = || -> Result<_, Vec<Diagnostic>> {
        let options = ParquetOptions::default().with(&settings.options);
        options.map_err(|wrong| wrong.into_iter().map(told).collect())
    };
    let manager: Arc<dyn IoManager> = match settings.kind.as_str() {
        "parquet" | "" => Arc::new(ParquetIoManager::new(store()?, parquet()?)),
        #[cfg(feature = "delta")]
        "delta" => Arc::new(arrowsmith_io_delta::DeltaIoManager::new(store()?, parquet()?)),
        #[cfg(feature = "postgres")]
        "postgres" => Arc::new(open_postgres(settings).map_err(|e| vec![problem(e)])?),
        "ipc" => Arc::new(IpcIoManager::new(store()?)),
        "csv" => Arc::new(CsvIoManager::new(store()?)),
        "memory" => Arc::new(MemoryIoManager::new()),
        other if IO_MANAGER_KINDS.contains(&other) => {
            let message = format!("this binary was built without the feature `{other}`");
            let hint = format!("`cargo build --features {other}` makes one with it");
            return Err(vec![problem(message).help(hint)]);
        }
        other => {
            let listed = IO_MANAGER_KINDS.map(|kind| format!("`{kind}`")).join(", ");
            let message = format!("its type is one of {listed}, not `{other}`");
            return Err(vec![problem(message).did_you_mean(nearest(other, IO_MANAGER_KINDS))]);
        }
    };
    let wrong = manager.check_options(&settings.options);
    if wrong.is_empty() { Ok(manager) } else { Err(wrong.into_iter().map(told).collect()) }
}

#[cfg(feature = "postgres")]
fn open_postgres(
    settings: &IoManagerSettings,
) -> Result<arrowsmith_io_postgres::PostgresIoManager, String> {
    let missing = "it needs `store = \"postgres://user@host/database\"`";
    let url = settings.store.as_deref().ok_or(missing)?;
    arrowsmith_io_postgres::PostgresIoManager::open(url, &settings.store_settings)
        .map_err(|e| e.to_string())
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
