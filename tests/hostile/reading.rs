//! Providers that misbehave while mail is read by IMAP, at every point of it.

use super::every_point::reads;
use super::honest::{HASTY, Heard, body_answer, contains, cut, read_part, shown};
use crate::support::provider::{Part, Step, say};

/// Nothing was said to the client that the provider had not said, trouble has its own words, and no LOGIN fails for it.
fn honest_answers(at: usize, heard: &Heard) {
    // Which step of the part answers which command.
    for (line, step) in [("SELECT", 5), ("FETCH", 7), ("STORE", 9), ("EXPUNGE", 11)] {
        if let Some((_, answer)) = heard.iter().find(|(said, _)| *said == line) {
            assert_eq!(contains(answer, " OK "), at >= step, "cut at {at}, {line}: {}", shown(heard));
            let is_trouble = contains(answer, " NO [UNAVAILABLE] ostler: ");
            assert!(at >= step || is_trouble, "cut at {at}: {}", shown(heard));
        }
    }
    let login = heard.iter().find(|(said, _)| *said == "LOGIN");
    assert!(login.is_none_or(|(_, answer)| answer.starts_with(b"1 OK")), "cut at {at}: {}", shown(heard));
}

#[test]
fn a_provider_that_drops_a_reader_at_any_point_is_never_made_to_look_well() {
    let points = read_part().len();
    let cases: Vec<Part> = [Step::Close, Step::Reset]
        .into_iter()
        .flat_map(|last| (0..points).map(move |at| cut(read_part(), at, last.clone())))
        .collect();
    reads(&cases, "", |number, heard, received| {
        honest_answers(number % points, heard);
        assert!(memchr::memmem::find_iter(received, b"LOGIN").count() <= 1, "one sign-in is one sign-in");
    });
}

#[test]
fn a_provider_that_stalls_a_reader_at_any_point_is_given_up_in_time() {
    let cases: Vec<Part> = (0..read_part().len()).map(|at| cut(read_part(), at, Step::Stall)).collect();
    reads(&cases, HASTY, |number, heard, _| honest_answers(number, heard));
}

#[test]
fn a_message_that_is_cut_or_stalls_anywhere_is_never_followed_by_a_word_of_ostlers() {
    let whole = body_answer();
    // The answer to the command is whole only with its last line.
    let lengths: Vec<usize> = (1..whole.len() - 14).step_by(3).collect();
    let cases: Vec<Part> = lengths
        .iter()
        .flat_map(|length| {
            [Step::Close, Step::Stall].map(|last| {
                let mut part = cut(read_part(), 6, Step::Send(whole[..*length].to_vec()));
                part.push(last);
                part
            })
        })
        .collect();
    reads(&cases, HASTY, |number, heard, _| {
        let (line, answer) = heard.last().unwrap();
        let octets = lengths[number / 2];
        // Before the line can be told for what it is, nothing of it has passed.
        let nothing_passed = *line == "FETCH" && contains(answer, "3 NO [UNAVAILABLE] ostler: ");
        let is_cut = *line == "cut" && !contains(answer, "ostler");
        assert!(nothing_passed || is_cut, "{octets} octets: {}", shown(heard));
    });
}

#[test]
fn lines_at_every_point_that_nobody_asked_for_change_nothing() {
    let strays = ["* ENABLED X", "9 OK stray", "+ stray", "* 1 MODSEQ 3", "stray"];
    let cases: Vec<Part> = strays
        .iter()
        .flat_map(|stray| {
            [4, 6, 8, 10, 12].map(|at| {
                let mut part = read_part();
                part.insert(at, say(stray));
                part
            })
        })
        .collect();
    reads(&cases, "", |_, heard, _| {
        assert!(
            heard.last().is_some_and(|(line, said)| *line == "LOGOUT" && said.starts_with(b"6 OK")),
            "{}",
            shown(heard)
        );
        assert!(!heard.iter().any(|(_, said)| contains(said, "stray") || contains(said, "MODSEQ")), "{}", shown(heard));
    });
}
