//! Other programs that read what is stored. They come from PyPI into a folder of their own. Without
//! Python, or where they cannot be installed, a test says so and passes; `ARROWSMITH_INTEROP=require`
//! makes that a failure.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

/// A Python with the packages, kept from one test run to the next; `None` after it was told why not.
pub(crate) fn python() -> Option<PathBuf> {
    match installed() {
        Ok(python) => Some(python),
        Err(why) => {
            let required = std::env::var("ARROWSMITH_INTEROP").is_ok_and(|v| v == "require");
            assert!(!required, "Python with DuckDB, polars and delta-rs is required: {why}");
            let mut out = std::io::stderr();
            writeln!(out, "skipped: Python with DuckDB, polars and delta-rs is not there: {why}")
                .expect("written");
            None
        }
    }
}

fn installed() -> Result<PathBuf, String> {
    let cache = std::env::var_os("CARGO_TARGET_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = cache.join("interop-python");
    // Tests are processes: who comes while another installs would see half of a package.
    let lock = std::fs::File::create(cache.join("interop-python.lock"));
    let lock = lock.map_err(|error| error.to_string())?;
    lock.lock().map_err(|error| error.to_string())?;
    let python = folder.join("bin/python");
    let has_all = |python: &PathBuf| {
        let imported =
            Command::new(python).args(["-c", "import deltalake, duckdb, polars"]).output();
        imported.is_ok_and(|output| output.status.success())
    };
    if has_all(&python) {
        return Ok(python);
    }
    let run = |program: &std::ffi::OsStr, arguments: &[&str]| match Command::new(program)
        .args(arguments)
        .output()
    {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    };
    let shown = folder.display().to_string();
    run("python3".as_ref(), &["-m", "venv", &shown])?;
    let packages = ["-m", "pip", "install", "-q", "duckdb==1.5.*", "polars==1.*", "deltalake==1.*"];
    run(python.as_os_str(), &packages).or_else(|_| {
        run(python.as_os_str(), &["-m", "pip", "install", "-q", "duckdb", "polars", "deltalake"])
    })?;
    if has_all(&python) { Ok(python) } else { Err("the packages cannot be imported".to_owned()) }
}
