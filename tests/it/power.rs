//! T3: the power goes. A project lies on a file system of its own, in a file; in the middle of a run
//! the process is stopped, and the file is copied as it is. The copy holds what had reached the disk,
//! and takes the place of the disk: everything that was acknowledged must be there, and whole.
//!
//! It needs to be root, since it mounts; elsewhere it says that it was left out.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::Project;

const DISK_MIB: u64 = 96;
const ROWS: u32 = 20_000;

fn cuts() -> u32 {
    std::env::var("ARROWSMITH_POWER_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(5)
}

/// A file system in a file.
struct Disk {
    folder: TempDir,
    image: PathBuf,
}

impl Disk {
    /// `None` where nothing can be mounted.
    fn new() -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let image = folder.path().join("disk");
        let file = std::fs::File::create(&image).expect("a file");
        file.set_len(DISK_MIB << 20).expect("room");
        std::fs::create_dir(folder.path().join("mounted")).expect("a folder");
        let disk = Self { folder, image };
        let made = ran("mkfs.ext4", &["-q".as_ref(), &disk.image]);
        (made && disk.mount()).then_some(disk)
    }

    fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&self) -> bool {
        ran("mount", &["-o".as_ref(), "loop".as_ref(), &self.image, &self.mounted()])
    }

    /// What has reached the disk is all that is left.
    fn lose_power(&mut self, writer: &mut std::process::Child) {
        let pid = writer.id().to_string();
        // It may have come to its end already.
        ran("kill", &["-STOP".as_ref(), pid.as_ref()]);
        let copy = self.image.with_extension("copy");
        assert!(ran("cp", &["--sparse=always".as_ref(), &self.image, &copy]));
        drop(writer.kill());
        writer.wait().expect("gone");
        assert!(ran("umount", &[&self.mounted()]), "it is not used any more");
        std::fs::rename(&copy, &self.image).expect("in its place");
        assert!(self.mount(), "a journal that is replayed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        ran("umount", &[&self.mounted()]);
    }
}

fn ran(program: &str, arguments: &[&Path]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Cuts the power now and then; what was lost of what had been acknowledged.
fn lost(fsync: bool) -> Option<Vec<String>> {
    let mut disk = Disk::new()?;
    let project = Project::within(
        &disk.mounted(),
        &format!(
            "== arrowsmith.toml\n[project]\nname = \"power\"\n[vars]\ngeneration = 0\n\
             [io_managers.default]\nfsync = {fsync}\n== assets/rows.sql\n\
             select v.value as n, $var_generation as g from generate_series(1, {ROWS}) as v(value)\n\
             == assets/sums.sql\nselect g, count(*) as n from rows group by g\n"
        ),
    );
    project.ok(&["materialize", "-q"]);
    let began = Instant::now();
    project.ok(&["materialize", "-q", "--var", "generation=1"]);
    let (whole, mut acknowledged) = (began.elapsed(), 1);
    assert!(ran("sync", &[]), "the state before the first cut is on the disk");
    let (mut random, mut lost) = (fastrand::Rng::new(), Vec::new());
    for cut in 0..cuts() {
        // One that is acknowledged, and one that is cut off somewhere between its begin and a little
        // after its end.
        project.ok(&["materialize", "-q", "--var", &format!("generation={}", acknowledged + 1)]);
        acknowledged += 1;
        let mut command = project.command(&["materialize", "-q"]);
        command.args(["--var", &format!("generation={}", acknowledged + 1)]);
        let mut writer = command.stderr(Stdio::null()).spawn().expect("a process");
        std::thread::sleep(whole.mul_f64(random.f64() * 1.3) + Duration::from_millis(1));
        if writer.try_wait().expect("a state").is_some_and(|status| status.success()) {
            acknowledged += 1;
        }
        disk.lose_power(&mut writer);
        let mut problems = Vec::new();
        for sql in [
            "select min(g + 0) as l, max(g + 0) as g, count(*) as n from rows",
            "select min(g + 0) as l, max(g + 0) as g, max(n + 0) as n from sums",
        ] {
            let ran = project.run(&["query", sql, "-f", "csv"]);
            let is_whole = |g: i32| ran.code == 0 && ran.out == format!("l,g,n\n{g},{g},{ROWS}\n");
            if !is_whole(acknowledged) && !is_whole(acknowledged + 1) {
                problems.push(format!(
                    "cut {cut}: {acknowledged} was acknowledged\n{}{}",
                    ran.out, ran.err
                ));
            }
        }
        let ran = project.run(&["fsck"]);
        if ran.code != 0 {
            problems.push(format!("cut {cut}: {}{}", ran.out, ran.err));
        }
        lost.extend(problems);
        if !lost.is_empty() {
            break;
        }
        // Whoever goes on finds a sound place, and one in which nothing is left over.
        let next = format!("generation={}", acknowledged + 2);
        project.ok(&["materialize", "-q", "--var", &next]);
        acknowledged += 2;
        project.ok(&["vacuum", "-q", "--retention", "0"]);
        let runs = project.ok(&["run", "list", "-n", "100", "-f", "csv"]);
        assert!(!runs.contains(",started,"), "{runs}");
    }
    Some(lost)
}

#[test]
fn what_was_acknowledged_survives_a_power_cut() {
    match lost(true) {
        Some(lost) => assert!(lost.is_empty(), "{}", lost.join("\n")),
        None => left_out(),
    }
}

/// The harness can fail: without fsync something is lost.
#[test]
fn without_fsync_a_power_cut_loses_what_was_acknowledged() {
    match lost(false) {
        Some(lost) => assert!(!lost.is_empty(), "nothing was lost in {} cuts", cuts()),
        None => left_out(),
    }
}

#[expect(clippy::print_stderr, reason = "whoever reads the log is to know")]
fn left_out() {
    eprintln!("left out: nothing can be mounted here");
}
