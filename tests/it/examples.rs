//! The example programs do what their comments say.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use crate::support::folder;

/// The program of an example, which cargo builds beside the tests.
pub(crate) fn program(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("this program");
    let profile = tests.parent().and_then(|deps| deps.parent()).expect("the profile's folder");
    profile.join("examples").join(name)
}

#[track_caller]
fn ok(name: &str, home: &TempDir, arguments: &[&str]) -> String {
    let output = Command::new(program(name))
        .args(arguments)
        .env("ARROWSMITH_HOME", home.path())
        .output()
        .expect("an example that is built");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name} {arguments:?}: {told}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_program_of_rust_and_sql_assets_is_its_own_command_line() {
    let home = folder();
    ok("rust_assets", &home, &["check"]);
    ok("rust_assets", &home, &["materialize"]);
    let query = "select station, celsius, rank from hottest order by rank";
    let hottest = ok("rust_assets", &home, &["query", query, "-f", "csv"]);
    assert_eq!(hottest, "station,celsius,rank\nhill,28.0,1\nharbour,27.0,2\nairport,22.0,3\n");
    let shown = ok("rust_assets", &home, &["asset", "show", "maxima", "-f", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert_eq!(shown["asset"]["current"]["metadata"]["stations"], 3);
    assert_eq!(shown["asset"]["owners"][0], "team:climate");
}

#[test]
fn a_compiled_repository_is_its_own_daemon_and_one_of_a_workspace() {
    let (folder, home) = (folder(), folder());
    let preview =
        ok("rust_assets", &home, &["schedule", "preview", "nightly", "-n", "7", "-f", "csv"]);
    assert_eq!(preview.matches("the stations are read by hand").count(), 1, "{preview}");
    assert_eq!(preview.matches("assets *").count(), 6, "{preview}");
    let file = folder.path().join("workspace.toml");
    let program = program("rust_assets");
    let text = format!("[repositories.climate]\nprogram = {program:?}\nhome = {:?}\n", home.path());
    std::fs::write(&file, text).expect("written");
    let arrowsmith = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_arrowsmith"));
        command.args(arguments).current_dir(folder.path());
        command
    };
    let listed = arrowsmith(&["workspace", "list", "-f", "csv"]).output().expect("a list");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains("climate,sound,3,0,1,1\n"), "{listed}");
    let mut daemons = arrowsmith(&["daemon", "run", "--workspace", "workspace.toml"]);
    let mut daemons = daemons.stderr(std::process::Stdio::null()).spawn().expect("daemons");
    // The sensor has seen nothing yet, so it asks for a run at once.
    let runs = || ok("rust_assets", &home, &["run", "list", "-f", "csv"]);
    let began = std::time::Instant::now();
    while !runs().contains(",success,") {
        assert!(began.elapsed() < std::time::Duration::from_mins(1), "{}", runs());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let stopped = Command::new("kill").arg(daemons.id().to_string()).status();
    assert!(stopped.expect("kill runs").success());
    assert_eq!(daemons.wait().expect("an end").code(), Some(0));
}

#[test]
fn a_users_own_package_mixes_sql_files_and_rust() {
    let home = folder();
    // The program names the folder that it was built in; `--project` says where it is now.
    let folder = crate::support::examples().join("user_project").display().to_string();
    let run = |arguments: &[&str]| {
        ok("user_project", &home, &[arguments, &["--project", &folder]].concat())
    };
    run(&["materialize"]);
    let tiers = run(&["query", "select * from tiers order by tier", "-f", "csv"]);
    assert_eq!(tiers, "tier,customers,points\nbronze,1,8.0\nsilver,3,115.0\n");
}
