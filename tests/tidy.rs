//! The house stays as it was drawn: layers, names, the visible top level, no unsafe code.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Each crate and what of ours it may depend on. A new edge belongs into a decision record.
const LAYERS: &[(&str, &[&str])] = &[
    ("arrowsmith-macros", &[]),
    ("arrowsmith-io-manager", &[]),
    ("arrowsmith-io-csv", &["io-manager"]),
    ("arrowsmith-io-delta", &["io-manager", "io-parquet"]),
    ("arrowsmith-io-ipc", &["io-manager"]),
    ("arrowsmith-io-parquet", &["io-manager"]),
    ("arrowsmith-io-postgres", &["io-manager"]),
    ("arrowsmith-definitions", &["io-manager"]),
    ("arrowsmith-sql", &["definitions", "io-manager"]),
    ("arrowsmith-instance", &["definitions", "io-manager"]),
    (
        "arrowsmith-execution",
        &[
            "definitions",
            "instance",
            "io-csv",
            "io-delta",
            "io-ipc",
            "io-manager",
            "io-parquet",
            "io-postgres",
        ],
    ),
    ("arrowsmith-daemon", &["definitions", "execution", "instance", "io-manager"]),
    ("arrowsmith-web", &["daemon", "definitions", "execution", "instance", "sql", "io-manager"]),
    ("arrowsmith-resources", &["definitions", "io-manager"]),
    (
        "arrowsmith-cli",
        &[
            "daemon",
            "definitions",
            "execution",
            "instance",
            "sql",
            "web",
            "io-manager",
            "io-parquet",
        ],
    ),
    (
        "arrowsmith",
        &[
            "cli",
            "daemon",
            "definitions",
            "execution",
            "instance",
            "macros",
            "resources",
            "sql",
            "io-csv",
            "io-delta",
            "io-ipc",
            "io-manager",
            "io-parquet",
            "io-postgres",
        ],
    ),
];

#[test]
fn crates_depend_downward_only() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let layers: BTreeMap<&str, &[&str]> = LAYERS.iter().copied().collect();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = package["name"].as_str().expect("a name");
        let allowed = layers.get(name).unwrap_or_else(|| panic!("{name} has no layer"));
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let on = dependency["name"].as_str().expect("a name");
            let is_dev = dependency["kind"].as_str() == Some("dev");
            let Some(ours) = on.strip_prefix("arrowsmith-") else { continue };
            assert!(is_dev || allowed.contains(&ours), "{name} must not depend on {on}");
        }
        let folder = Path::new(package["manifest_path"].as_str().expect("a path"));
        let folder = folder.parent().and_then(Path::file_name).expect("a folder");
        let last = name.rsplit('-').next().unwrap_or(name);
        let is_root = name == "arrowsmith";
        assert!(is_root || folder.to_str() == Some(last), "{name} is not in a folder `{last}`");
    }
}

#[test]
fn the_visible_top_level_is_what_its_owner_wants() {
    let mut visible: Vec<String> = std::fs::read_dir(root())
        .expect("the repository")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target")
        .collect();
    visible.sort();
    let wanted =
        ["Cargo.lock", "Cargo.toml", "README.md", "benches", "engine", "examples", "io", "tests"];
    assert_eq!(visible, wanted);
}

fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut pending: Vec<PathBuf> =
        ["benches", "engine", "examples", "io", "tests"].map(|folder| root().join(folder)).into();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            let skipped = path.ends_with("target") || path.ends_with(".arrowsmith");
            if !skipped {
                let entries = std::fs::read_dir(&path).expect("a folder").flatten();
                pending.extend(entries.map(|entry| entry.path()));
            }
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = std::fs::read_to_string(&path).expect("a text");
            found.push((path, text));
        }
    }
    found
}

#[test]
fn files_say_what_they_are_and_are_named_without_mod_rs() {
    for (path, text) in sources() {
        let shown = path.display();
        let is_ui = path.components().any(|part| part.as_os_str() == "ui");
        assert!(is_ui || text.starts_with("//!"), "{shown} does not begin with `//!`");
        assert!(
            path.file_name() != Some("mod.rs".as_ref()),
            "{shown}: write `foo.rs` beside `foo/`"
        );
        for (i, line) in text.lines().enumerate() {
            assert!(line.trim_end() == line, "{shown}:{} ends with a space", i + 1);
        }
    }
}

#[test]
fn invariants_that_are_told_as_absences_hold() {
    let ours = |path: &Path, folder: &str| path.starts_with(root().join(folder));
    for (path, text) in sources() {
        let shown = path.display();
        if path.ends_with("tests/tidy.rs") {
            continue;
        }
        assert!(!text.contains(concat!("unsafe", " {")), "{shown} has unsafe code");
        if ours(&path, "engine/definitions") {
            for word in ["tokio::", "std::fs", "SystemTime", "sqlparser"] {
                assert!(!text.contains(word), "{shown}: definitions know no `{word}`");
            }
        }
        if (ours(&path, "engine") || ours(&path, "io")) && !ours(&path, "engine/cli") {
            let prints = text.lines().any(|line| {
                let code = line.trim_start();
                !code.starts_with("//") && (code.contains("println!(") || code.contains("eprint!("))
            });
            assert!(!prints, "{shown}: only the command line prints");
        }
        // Tables may be stored in a database; what is known of runs and versions is in that of the
        // instance.
        if !ours(&path, "engine/instance") && !ours(&path, "io/postgres") {
            assert!(!text.contains("sqlx::"), "{shown}: only the instance speaks to its database");
        }
        if ours(&path, "io") {
            assert!(!text.contains("RunId"), "{shown}: storage knows no run");
        }
    }
}
