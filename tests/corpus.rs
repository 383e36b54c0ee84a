//! Replays what fuzzing has kept: every file under `fuzz/corpus/` through the body of its fuzz target, on stable Rust.
//! Findings have a name that says what they found; the others are what reaches the most code.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[allow(unreachable_pub)]
#[path = "../fuzz/src/lib.rs"]
mod targets;

#[allow(unreachable_pub)]
#[path = "../fuzz/src/program.rs"]
mod program;

use std::path::{Path, PathBuf};

/// All targets: of the protocols, and of the program.
fn targets() -> impl Iterator<Item = (&'static str, targets::Target)> {
    targets::TARGETS.into_iter().chain(program::TARGETS)
}

/// The files of a target, and at least one.
fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

#[test]
fn every_corpus_file_passes_its_target() {
    let mut failing = Vec::new();
    for (name, target) in targets() {
        for file in corpus(name) {
            let data = std::fs::read(&file).unwrap();
            if std::panic::catch_unwind(|| target(&data)).is_err() {
                failing.push(file);
            }
        }
    }
    assert!(failing.is_empty(), "{failing:#?}");
}

#[test]
fn every_corpus_folder_has_a_target() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(targets().any(|(target, _)| target == name), "{name}");
    }
}
