//! What others give, as bytes: the targets of `tests/fuzz` on their corpus and on mutations of it.
//!
//! The mutations are those of a fuzzer without its eyes: it does not see which code ran. What one that
//! sees has found is in the corpus.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::targets::{TARGETS, Target};

/// How many mutations of each target.
fn cases() -> usize {
    std::env::var("ARROWSMITH_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name);
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a corpus").flatten().map(|file| file.path()).collect();
    files.sort_unstable();
    files.iter().map(|file| std::fs::read(file).expect("a file")).collect()
}

/// One text or file made of others.
fn mutated(random: &mut Rng, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = random.choice(corpus).expect("a corpus").clone();
    for _ in 0..random.usize(1..=4) {
        let length = bytes.len();
        let at = random.usize(..=length);
        match random.u32(..6) {
            // A bit, a sign, or nothing in the place of something.
            0 if at < length => bytes[at] ^= 1 << random.u32(..8),
            1 => bytes.insert(at, *random.choice(SIGNS).expect("signs")),
            2 => drop(bytes.drain(at..(at + random.usize(1..=16)).min(length))),
            // A piece of another, or the same once more.
            3 => {
                let other = random.choice(corpus).expect("a corpus");
                let from = random.usize(..=other.len());
                let until = (from + random.usize(1..=64)).min(other.len());
                drop(bytes.splice(at..at, other[from..until].iter().copied()));
            }
            4 => {
                let piece = bytes[at..(at + random.usize(1..=32)).min(length)].to_vec();
                let times = random.usize(1..=40);
                drop(bytes.splice(at..at, piece.repeat(times)));
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

const SIGNS: &[u8] = b"\0\n\t '\"()[]{}.,:;|!*+-=<>/\\%$#@^~_0159azAZ\x80\xc3\xff";

/// What is wrong with an input, if something is. What takes the process with it is found in the file
/// that `ARROWSMITH_FUZZ_LAST` names.
fn tried(target: Target, data: &[u8]) -> Option<String> {
    if let Ok(path) = std::env::var("ARROWSMITH_FUZZ_LAST") {
        std::fs::write(path, data).expect("a file");
    }
    let outcome = catch_unwind(AssertUnwindSafe(|| target(data)));
    outcome.err().map(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default()
    })
}

/// What of a target's corpus and of mutations of it breaks a promise.
fn broken(name: &str, target: Target, cases: usize) -> Vec<String> {
    let corpus = corpus(name);
    let seed = std::env::var("ARROWSMITH_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(42);
    let mut random = Rng::with_seed(seed);
    let mutations = (0..cases).map(|_| mutated(&mut random, &corpus)).collect::<Vec<_>>();
    let all = corpus.iter().chain(&mutations);
    all.filter_map(|data| {
        tried(target, data).map(|why| format!("{name}: {:?}: {why}", String::from_utf8_lossy(data)))
    })
    .collect()
}

fn holds(name: &str) {
    let (_, target) = TARGETS.into_iter().find(|(known, _)| *known == name).expect("a target");
    let broken = broken(name, target, cases());
    assert!(broken.is_empty(), "{} of them:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn project_files_and_front_matter_are_read_or_refused_with_a_reason() {
    holds("project");
}

#[test]
fn selections_are_read_or_refused_with_a_place() {
    holds("selection");
}

#[test]
fn partition_keys_and_paths_come_back_as_they_were() {
    holds("partition");
}

#[test]
fn cron_expressions_tick_forward() {
    holds("cron");
}

#[test]
fn run_config_is_read_or_refused() {
    holds("run_config");
}

#[test]
fn manifests_name_no_file_of_others() {
    holds("manifest");
}

#[test]
fn files_in_the_place_of_parquet_files_are_read_or_refused() {
    holds("parquet");
}

/// The harness can fail: a target that breaks at some of its inputs is caught.
#[test]
fn a_broken_promise_is_found() {
    let refuses_stars = |data: &[u8]| assert!(!data.contains(&b'*'), "a star");
    assert!(!broken("selection", refuses_stars, 200).is_empty());
}
