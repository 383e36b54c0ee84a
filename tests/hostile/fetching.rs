//! Providers that misbehave in a fetch, at every point of it.

use super::every_point::{fetches, honest_fetch, pop3, signed_in};
use super::honest::{HASTY, Heard, cut, fetch_part, message_answer, shown};
use crate::support::provider::{Part, Step, say};

/// Nothing was said to the client that the provider had not said, and trouble has its own words.
fn honest_answers(at: usize, heard: &Heard) {
    // Which step of the part answers which command.
    for (line, step) in [("PASS x", 5), ("STAT", 7), ("RETR 1", 9), ("DELE 1", 11), ("QUIT", 13)] {
        if let Some((_, answer)) = heard.iter().find(|(said, _)| *said == line) {
            assert_eq!(answer.starts_with(b"+OK"), at >= step, "cut at {at}, {line}: {}", shown(heard));
            if !answer.starts_with(b"+OK") {
                assert!(answer.starts_with(b"-ERR [SYS/TEMP]"), "cut at {at}: {}", shown(heard));
                assert!(!String::from_utf8_lossy(answer).to_lowercase().contains("password"), "{}", shown(heard));
            }
        }
    }
}

#[test]
fn a_provider_that_drops_a_fetch_at_any_point_is_never_made_to_look_well() {
    let points = fetch_part().len();
    let cases: Vec<Part> = [Step::Close, Step::Reset]
        .into_iter()
        .flat_map(|last| (0..points).map(move |at| cut(fetch_part(), at, last.clone())))
        .collect();
    fetches(&cases, "", |number, heard, received| {
        honest_answers(number % points, heard);
        assert!(memchr::memmem::find_iter(received, b"QUIT").count() <= 1);
    });
}

#[test]
fn a_provider_that_stalls_a_fetch_at_any_point_is_given_up_in_time() {
    let cases: Vec<Part> = (0..fetch_part().len()).map(|at| cut(fetch_part(), at, Step::Stall)).collect();
    fetches(&cases, HASTY, |number, heard, _| honest_answers(number, heard));
}

#[test]
fn a_message_that_is_cut_or_stalls_anywhere_never_looks_whole() {
    let whole = message_answer();
    let mut cases = Vec::new();
    let mut lengths = Vec::new();
    for length in (1..whole.len()).step_by(3).chain(whole.len() - 6..whole.len()) {
        for last in [Step::Close, Step::Reset, Step::Stall] {
            let mut part = cut(fetch_part(), 8, Step::Send(whole[..length].to_vec()));
            part.push(last);
            cases.push(part);
            lengths.push(length);
        }
    }
    fetches(&cases, HASTY, |number, heard, _| {
        let (line, answer) = heard.last().unwrap();
        let text = String::from_utf8_lossy(answer);
        if *line == "RETR 1" {
            assert!(text.starts_with("-ERR [SYS/TEMP]"), "{} octets: {}", lengths[number], shown(heard));
        } else if *line == "cut" {
            assert!(!text.ends_with("\r\n.\r\n"), "{} octets: {}", lengths[number], shown(heard));
            assert!(!text.contains("SYS/TEMP"), "inside the message: {}", shown(heard));
            assert!(whole.starts_with(answer), "{} octets: {}", lengths[number], shown(heard));
        }
    });
}

#[test]
fn pop3_answers_that_are_none_lead_to_no_ok() {
    let long = format!("+OK {}", "x".repeat(10_000));
    let replies = ["hello", "", "220 hello", "+OKAY", "ok", "-ERROR", &long, "\0", "\u{16}\u{3}\u{1}\u{2}", "* OK"];
    let mut cases = Vec::new();
    let places = [0, 2, 4, 6, 8, 10, 12];
    for reply in replies {
        for at in places {
            let mut part = cut(fetch_part(), at, say(reply));
            part.push(Step::Stall);
            cases.push(part);
        }
    }
    fetches(&cases, HASTY, |number, heard, _| honest_answers(places[number % places.len()], heard));
}

#[test]
fn nothing_is_said_inside_a_message_that_breaks_off_however_much_is_owed() {
    let whole = message_answer();
    for how in [Step::Close, Step::Reset, Step::Stall] {
        let mut part: Part = fetch_part().into_iter().take(5).chain(fetch_part().into_iter().skip(7).take(1)).collect();
        part.extend([Step::Send(whole[..12].to_vec()), how]);
        let (_peer, ostler) = pop3(vec![part], HASTY);
        let mut client = signed_in(ostler.pop3, "home");
        client.send("RETR 1\r\nDELE 1\r\nQUIT\r\n");
        let heard = client.rest();
        assert!(whole[..12].starts_with(&heard), "{:?}", String::from_utf8_lossy(&heard));
        honest_fetch(ostler.pop3);
    }
}
