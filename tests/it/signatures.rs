//! Wrong signatures of Rust assets and ops: what the compiler says about each file of `tests/ui`.
//!
//! The files are checked against the very libraries that this binary is linked with. A build of
//! their own, as trybuild makes it, checks every dependency once more, which takes longer than all
//! other tests together.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The library `arrowsmith` that was built last beside this binary.
fn library(deps: &Path) -> PathBuf {
    let files = deps.read_dir().expect("the folder of this binary").flatten();
    let built = files.filter_map(|file| {
        let path = file.path();
        let name = path.file_stem()?.to_str()?;
        let is_ours = name.starts_with("libarrowsmith-") && path.extension()? == "rlib";
        is_ours.then_some((file.metadata().ok()?.modified().ok()?, path))
    });
    built.max().expect("a library beside this binary").1
}

#[test]
fn wrong_signatures_are_told_in_words() {
    let binary = std::env::current_exe().expect("this binary");
    let deps = binary.parent().expect("its folder");
    let library = library(deps);
    let files = Path::new("tests/ui").read_dir().expect("the files").flatten();
    let mut files: Vec<_> = files.map(|file| file.path()).collect();
    files.sort();
    assert!(!files.is_empty());

    insta::with_settings!({filters => vec![
        // Where the lines of this project stand in their files is not told, since they move.
        (r"(engine/\S+\.rs):\d+:\d+", "$1"),
        // The margin is as wide as the largest number of a line.
        (r"(?m)^ *\d+ \|", "LL |"),
        (r"(?m)^ +(\||=|-->|:::)", "   $1"),
    ]}, {
        for file in files {
            let compiler = Command::new("rustc")
                .args(["--edition=2024", "--crate-type=bin", "--emit=metadata", "-Awarnings"])
                .arg("-L").arg(deps)
                .arg("--extern").arg(format!("arrowsmith={}", library.display()))
                .arg("--out-dir").arg(tempfile::tempdir().expect("a folder").path())
                .arg(&file)
                .output()
                .expect("rustc");
            assert!(!compiler.status.success(), "{} compiles", file.display());
            let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name");
            let told = String::from_utf8_lossy(&compiler.stderr).into_owned();
            insta::assert_snapshot!(name, told);
        }
    });
}
