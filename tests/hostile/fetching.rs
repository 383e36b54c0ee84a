//! Providers that misbehave in a fetch, at every point of it.

use super::every_point::{
    fetches, fetches_over_imap, honest_fetch, honest_fetch_over_imap, pop3, pop3_over_imap, signed_in,
};
use super::honest::{
    HASTY, Heard, MESSAGE, contains, cut, fetch_answer, fetch_part, maildrop_part, message_answer, shown,
};
use crate::support::provider::{Part, Step, expect, say};

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

/// The same where the mail is in an IMAP mailbox: what is said is true, and nothing is removed before the client wants it.
fn honest_answers_over_imap(at: usize, heard: &Heard, received: &[u8]) {
    for (line, step) in [("PASS x", 7), ("RETR 1", 9), ("QUIT", 15)] {
        if let Some((_, answer)) = heard.iter().find(|(said, _)| *said == line) {
            assert_eq!(answer.starts_with(b"+OK"), at >= step, "cut at {at}, {line}: {}", shown(heard));
            if !answer.starts_with(b"+OK") {
                assert!(answer.starts_with(b"-ERR [SYS/TEMP]"), "cut at {at}: {}", shown(heard));
                assert!(!String::from_utf8_lossy(answer).to_lowercase().contains("password"), "{}", shown(heard));
            }
        }
    }
    let has_quit = heard.iter().any(|(line, _)| *line == "QUIT");
    assert!(has_quit || !contains(received, "STORE"), "cut at {at}: {}", shown(heard));
    // Removed only after it was marked, and marked only in the folder that the client has seen.
    assert!(at > 12 || !contains(received, "EXPUNGE"), "cut at {at}");
    assert!(at > 10 || !contains(received, "STORE"), "cut at {at}");
}

#[test]
fn an_imap_provider_that_drops_a_fetch_at_any_point_is_never_made_to_look_well() {
    let points = maildrop_part().len();
    let cases: Vec<Part> = [Step::Close, Step::Reset]
        .into_iter()
        .flat_map(|last| (0..points).map(move |at| cut(maildrop_part(), at, last.clone())))
        .collect();
    fetches_over_imap(&cases, "", |number, heard, received| {
        honest_answers_over_imap(number % points, heard, received);
    });
}

#[test]
fn an_imap_provider_that_stalls_or_refuses_at_any_point_is_told_in_time() {
    let points = maildrop_part().len();
    let stalls = (0..points).map(|at| cut(maildrop_part(), at, Step::Stall));
    // A refusal of whatever was asked, by the tag that is due.
    let tags = ["*", "", "o1", "", "f1", "", "f2", "", "p1", "", "p2", "", "p3", "", "p4", "", "p5"];
    let refusals = (2..points).step_by(2).map(|at| {
        let mut part = cut(maildrop_part(), at, say(&format!("{} NO [UNAVAILABLE] not now", tags[at])));
        part.push(Step::Stall);
        part
    });
    let cases: Vec<Part> = stalls.chain(refusals).collect();
    fetches_over_imap(&cases, HASTY, |number, heard, received| {
        let at = if number < points { number } else { 2 + 2 * (number - points) };
        if number < points {
            honest_answers_over_imap(at, heard, received);
        } else if at == 8 {
            assert_eq!(heard.last().unwrap().0, "RETR 1", "{}", shown(heard));
            assert!(
                heard.last().unwrap().1.starts_with(b"-ERR localhost does not give message 1: not now"),
                "{}",
                shown(heard)
            );
        } else {
            let (_, answer) = heard.last().unwrap();
            assert_eq!(answer.starts_with(b"-ERR [SYS/TEMP]"), at < 16, "refused at {at}: {}", shown(heard));
            assert!(at >= 14 || !contains(received, "EXPUNGE"), "{at}");
        }
    });
}

#[test]
fn an_imap_message_that_is_cut_or_stalls_anywhere_never_looks_whole() {
    let whole = fetch_answer("UID 10 ", "");
    let mut cases = Vec::new();
    let mut lengths = Vec::new();
    for length in (1..whole.len()).step_by(8).chain(whole.len() - 10..whole.len()) {
        for last in [Step::Close, Step::Stall] {
            let mut part = cut(maildrop_part(), 8, Step::Send(whole[..length].to_vec()));
            part.push(last);
            cases.push(part);
            lengths.push(length);
        }
    }
    fetches_over_imap(&cases, HASTY, |number, heard, received| {
        let (line, answer) = heard.last().unwrap();
        let text = String::from_utf8_lossy(answer);
        match *line {
            "RETR 1" => assert!(text.starts_with("-ERR [SYS/TEMP]"), "{} octets: {}", lengths[number], shown(heard)),
            "cut" => {
                assert!(!text.ends_with("\r\n.\r\n"), "{} octets: {}", lengths[number], shown(heard));
                assert!(!text.contains("SYS/TEMP"), "inside the message: {}", shown(heard));
            }
            other => panic!("{} octets: {other}: {}", lengths[number], shown(heard)),
        }
        assert!(!contains(received, "STORE"));
    });
}

/// A provider without UIDPLUS, with messages 10 and 11 in a folder of this UIDVALIDITY, one of which the client deletes; up to
/// its search for all that is marked.
fn up_to_the_search(validity: u32, deleted: u32) -> Part {
    let opened = |tag: &str| say(&format!("* 2 EXISTS\r\n* OK [UIDVALIDITY {validity}] ok\r\n{tag} OK done"));
    vec![
        say("* OK [CAPABILITY IMAP4rev1] ready"),
        expect("o1 LOGIN"),
        say("o1 OK [CAPABILITY IMAP4rev1] in"),
        expect("f1 EXAMINE"),
        opened("f1"),
        expect("f2 FETCH 1:2"),
        say("* 1 FETCH (UID 10 RFC822.SIZE 30)\r\n* 2 FETCH (UID 11 RFC822.SIZE 30)\r\nf2 OK done"),
        expect("p1 SELECT"),
        opened("p1"),
        expect(&format!("p2 UID STORE {deleted} +FLAGS.SILENT (\\Deleted)")),
        say("p2 OK done"),
        expect("p3 UID SEARCH DELETED"),
    ]
}

/// What QUIT is answered, after this message was deleted.
fn quit_behind(port: u16, deleted: u32) -> String {
    let mut client = signed_in(port, "home");
    client.ask(&format!("DELE {deleted}"), "+OK");
    client.say("QUIT");
    String::from_utf8_lossy(&client.rest()).into_owned()
}

#[test]
fn marks_that_a_broken_session_has_left_are_taken_off_by_the_next_in_that_folder_and_no_other() {
    let mut broken = up_to_the_search(7, 10);
    broken.push(Step::Close);
    let mut next = up_to_the_search(7, 11);
    let steps = [
        ("* SEARCH 10 11\r\np3 OK done", "p4 UID STORE 10 -FLAGS.SILENT (\\Deleted)"),
        ("p4 OK done", "p5 UID SEARCH DELETED"),
        ("* SEARCH 11\r\np5 OK done", "p6 EXPUNGE"),
        ("* 2 EXPUNGE\r\np6 OK done", "p7 LOGOUT"),
    ];
    next.extend(steps.into_iter().flat_map(|(said, asked)| [say(said), expect(asked)]));
    let (_peer, ostler) = pop3_over_imap(vec![broken.clone(), next], "");
    let said = quit_behind(ostler.pop3, 1);
    assert!(said.starts_with("-ERR [SYS/TEMP]") && said.contains("its word that the messages are deleted"), "{said}");
    assert_eq!(quit_behind(ostler.pop3, 2), "+OK bye, 1 message deleted\r\n");
    // A folder that has come in its place has a message 10 of its own, which another program has marked.
    let mut replaced = up_to_the_search(8, 11);
    replaced.extend([say("* SEARCH 10 11\r\np3 OK done"), expect("p4 LOGOUT")]);
    let (peer, ostler) = pop3_over_imap(vec![broken, replaced], "");
    assert!(quit_behind(ostler.pop3, 1).starts_with("-ERR"));
    let said = quit_behind(ostler.pop3, 2);
    assert!(said.contains("other messages there are marked as deleted"), "{said}");
    assert!(!contains(&peer.finished(1), "-FLAGS"));
}

#[test]
fn nothing_is_said_inside_a_message_over_imap_that_breaks_off_however_much_is_asked() {
    let whole = fetch_answer("UID 10 ", "");
    for how in [Step::Close, Step::Reset, Step::Stall] {
        let mut part = cut(maildrop_part(), 8, Step::Send(whole[..45].to_vec()));
        part.push(how);
        let (_peer, ostler) = pop3_over_imap(vec![part], HASTY);
        let mut client = signed_in(ostler.pop3, "home");
        client.send("RETR 1\r\nDELE 1\r\nQUIT\r\n");
        let heard = client.rest();
        let text = heard.strip_prefix(b"+OK 30 octets\r\n").unwrap_or_else(|| panic!("{}", heard.escape_ascii()));
        assert!(text.len() < MESSAGE.len() && MESSAGE.starts_with(text), "{}", text.escape_ascii());
        honest_fetch_over_imap(ostler.pop3);
    }
}
