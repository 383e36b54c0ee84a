//! The tests that `docs/promises.md` names exist.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The tests that are named behind a file and are not in it, and how many were looked for.
fn missing(document: &str) -> (Vec<String>, usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut file = None;
    let (mut missing, mut looked) = (Vec::new(), 0);
    for word in quoted(document) {
        if word.ends_with(".rs") && word.contains('/') {
            file = Some((word, fs::read_to_string(root.join(word)).unwrap_or_default()));
        } else if word.contains('_') && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        {
            let (name, text) = file.as_ref().expect("a file before the first test");
            looked += 1;
            if !text.contains(&format!("fn {word}(")) {
                missing.push(format!("{name} {word}"));
            }
        }
    }
    (missing, looked)
}

#[test]
fn every_test_that_is_named_exists() {
    let (missing, looked) = missing(include_str!("../docs/promises.md"));
    assert!(looked > 60, "only {looked} names were understood");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn a_test_that_is_gone_is_missed() {
    let document = "- `tests/promises.rs` `every_test_that_is_named_exists` `a_test_nobody_wrote`";
    assert_eq!(missing(document), (vec!["tests/promises.rs a_test_nobody_wrote".to_owned()], 2));
}
