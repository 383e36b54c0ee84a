//! The tests that `docs/promises.md` names exist, and the files that `docs/field.md` names.

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

/// Whether a file of the repository is named: as it is, or in short below the sources.
fn exists(name: &str) -> bool {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["", "src", "crates/ostler-mail/src"].iter().any(|folder| root.join(folder).join(name).exists())
}

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('{') else { return vec![name.to_owned()] };
    let (middle, after) = rest.split_once('}').expect("a closing brace");
    middle.split(',').map(|one| format!("{before}{one}{after}")).collect()
}

#[test]
fn every_file_that_the_page_of_the_field_names_exists() {
    let page = include_str!("../docs/field.md");
    let files: Vec<String> =
        quoted(page).filter(|word| word.contains('/') && word.contains('.')).flat_map(expanded).collect();
    assert!(files.len() > 40, "only {} files were understood", files.len());
    let missing: Vec<_> = files.iter().filter(|file| !exists(file)).collect();
    assert!(missing.is_empty(), "{missing:#?}");
    for module in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/field")).unwrap() {
        let name = module.unwrap().file_name().into_string().unwrap();
        let is_case = name.starts_with('f') && name[1..].starts_with(|c: char| c.is_ascii_digit());
        assert!(!is_case || files.contains(&format!("tests/field/{name}")), "the page does not name {name}");
    }
}
