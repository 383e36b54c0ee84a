//! Mail made readable: a corpus of messages with what becomes of each (`readable/messages`), the same through the built ostler
//! in front of a real server, and judged by a reader that shares no code with ostler (`readable/judge`).

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};

use ostler_mail::readable::{Converter, Extent, Readable};
use support::process::{command, run};
use support::require;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readable")
}

/// A message of the corpus.
struct Message {
    name: String,
    octets: Vec<u8>,
    /// What `readable` is for it.
    program: String,
    /// What becomes of it.
    expected: Vec<u8>,
}

/// All of them. A message without a result in the folder passes as it is.
fn corpus() -> Vec<Message> {
    let messages = folder().join("messages");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(&messages).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "eml") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let octets = std::fs::read(&path).unwrap();
        let program = name.split_once('@').map_or("windows-1252", |(_, program)| program).to_owned();
        let expected = std::fs::read(path.with_extension("expected")).unwrap_or_else(|_| octets.clone());
        all.push(Message { name, octets, program, expected });
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// What becomes of a message that arrives in pieces of this size.
fn converted(octets: &[u8], program: &str, size: usize) -> Vec<u8> {
    beginning(octets, program, Extent::Whole, size)
}

/// The same of so much of it.
fn beginning(octets: &[u8], program: &str, extent: Extent, size: usize) -> Vec<u8> {
    let mut converter = Converter::new(Readable::find(program).unwrap(), extent);
    let mut out = Vec::new();
    octets.chunks(size).for_each(|piece| converter.push(piece, &mut out));
    converter.finish(&mut out);
    out
}

#[test]
fn every_message_becomes_what_it_should_in_any_pieces_and_only_once() {
    let is_blessing = std::env::var_os("OSTLER_BLESS").is_some();
    let mut failing = Vec::new();
    let corpus = corpus();
    assert!(corpus.len() >= 150, "{}", corpus.len());
    for message in &corpus {
        let result = converted(&message.octets, &message.program, usize::MAX);
        if is_blessing {
            let file = folder().join("messages").join(format!("{}.expected", message.name));
            let _ = std::fs::remove_file(&file);
            if result != message.octets {
                std::fs::write(file, &result).unwrap();
            }
            continue;
        }
        let in_pieces =
            [1, 7, 1000].into_iter().all(|size| converted(&message.octets, &message.program, size) == result);
        let again = converted(&result, &message.program, 100);
        if result != message.expected || !in_pieces || again != result {
            failing.push(&message.name);
        }
    }
    assert!(failing.is_empty(), "{failing:#?}");
}

#[test]
fn the_beginning_of_every_message_is_the_beginning_of_what_becomes_of_it() {
    for message in corpus() {
        let lines = message.octets.iter().filter(|octet| **octet == b'\n').count() as u64;
        for wanted in 0..=lines {
            let top = beginning(&message.octets, &message.program, Extent::Lines(wanted), 333);
            assert!(message.expected.starts_with(&top), "{} {wanted}", message.name);
        }
        let all = beginning(&message.octets, &message.program, Extent::Lines(lines), 333);
        assert!(all == message.expected, "{}", message.name);
    }
}

#[test]
fn a_reader_of_its_own_finds_the_same_parts_words_and_files() {
    require!("python3");
    let at = |name: &str| folder().join(name).display().to_string();
    for arguments in [vec![at("judge"), at("messages")], vec![at("generate"), "--check".into()]] {
        let output = run(&mut command("python3", arguments.iter().map(String::as_str)), "");
        assert!(output.status.success(), "{output:?}");
    }
}
