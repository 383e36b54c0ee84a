//! SMTP providers that offer CHUNKING and PIPELINING.

use super::super::every_point::{ostler_before, sends};
use super::super::honest::{ANN, BOB, HASTY, completed, contains, cut, pieces_part};
use super::smtp::{TROUBLE, drip};
use super::{Case, Ends, Speaks, case, play};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::provider::{Part, Provider, Step, expect, say};
use Ends::{Told, Well};

/// Where [`pieces_part`] says the answers to RCPT, to the first piece and to the last.
const RCPT: usize = 8;
const FIRST: usize = 10;
const LAST: usize = 12;

/// Honest up to here; then this, and silence.
fn at(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = cut(pieces_part(), place, said);
    part.push(Step::Stall);
    case(name, part, ends)
}

fn line(name: &str, place: usize, said: &str, ends: Ends) -> Case {
    at(name, place, say(said), ends)
}

/// Honest up to here; then the end.
fn drops(name: &str, place: usize, how: Step, ends: Ends) -> Case {
    case(name, cut(pieces_part(), place, how), ends)
}

/// A provider that trips over BDAT, and gets the message by DATA.
fn trips(name: &str, said: Step) -> Case {
    at(name, FIRST, said, Well).may_trip().never(&["LAST"])
}

fn dot(starts: &'static [&'static str]) -> Ends {
    Told(".", starts)
}

#[test]
fn at_the_first_piece() {
    let no = |name: &str, said: &str, starts| line(name, FIRST, said, dot(starts)).not_delivered().never(&["LAST"]);
    let odd = |name: &str, said: &str| no(name, said, &["451 4."]);
    let cases = [
        trips("bdat-502", say("502 5.5.1 command not implemented")),
        trips("bdat-500-for-every-line", Step::Send(b"500 5.5.1 what?\r\n".repeat(5))),
        trips("bdat-503", say("503 5.5.1 bad sequence of commands")),
        trips("bdat-555", say("555 5.5.4 no")),
        drops("bdat-421-and-out", FIRST, say("421 4.7.0 too many errors"), Well).may_trip().never(&["LAST"]),
        drops("bdat-drop", FIRST, Step::Close, Well).may_trip().never(&["LAST"]),
        drops("bdat-reset", FIRST, Step::Reset, Well).may_trip().never(&["LAST"]),
        no("bdat-552", "552-5.3.4 too\r\n552 5.3.4 big", &["552 5.3.4 too big\r"]),
        no("bdat-451", "451 4.3.0 no room", &["451 4.3.0 no room\r"]),
        no("bdat-554", "554 5.7.1 no valid recipients", &["554 5.7.1 no valid recipients\r"]),
        at("bdat-never", FIRST, Step::Stall, dot(TROUBLE)).not_delivered().words(&["did not"]).never(&["LAST"]),
        odd("bdat-354", "354 go on"),
        odd("bdat-235", "235 in"),
        odd("bdat-no-code", "received"),
        odd("bdat-mixed-codes", "250-on\r\n550 no"),
        odd("bdat-250-twice", "250 on\r\n250 2.0.0 queued").whole(),
        odd("bdat-250-and-a-half", "250 on\r\n250-2.0.0 queued").whole(),
        odd("bdat-endless-lines", &"250-more\r\n".repeat(5000)),
        at("bdat-line-64k", FIRST, Step::Send(vec![b'x'; 65_536]), dot(TROUBLE)).not_delivered().never(&["LAST"]),
        at("bdat-drip-forever", FIRST, drip("250 "), dot(TROUBLE)).not_delivered().never(&["LAST"]),
        line("bdat-answered-before-it-is-said", RCPT, "250 ok\r\n250 on\r\n250 2.0.0 queued", Told("DATA", TROUBLE))
            .whole()
            .never(&["BDAT"]),
    ];
    play(Speaks::Smtp, &TestCa::new(), &cases);
}

#[test]
fn at_the_last_piece() {
    let unknown: &[&str] = &["451 4.4.2 "];
    let words = &["unknown", "localhost", "may have been sent"];
    let odd = |name: &str, said: &str| line(name, LAST, said, dot(unknown)).words(words);
    let mut binary = pieces_part();
    binary[2] = say("250-mx\r\n250-BINARYMIME\r\n250-8BITMIME\r\n250-PIPELINING\r\n250-CHUNKING\r\n250 AUTH PLAIN");
    let cases = [
        drops("last-drop", LAST, Step::Close, dot(unknown)).words(words),
        drops("last-reset", LAST, Step::Reset, dot(unknown)).words(words),
        at("last-never", LAST, Step::Stall, dot(unknown)).words(words),
        odd("last-354", "354 more"),
        odd("last-235", "235 in"),
        odd("last-no-code", "queued"),
        odd("last-mixed-codes", "250-queued\r\n550 not queued"),
        line("last-550", LAST, "550-5.7.1 spam\r\n550 5.7.1 it is", dot(&["550 5.7.1 spam it is\r"])),
        line("last-452", LAST, "452 4.3.1 disk full", dot(&["452 4.3.1 disk full\r"])),
        // It took the first piece, so it may mean anything. Nothing is said again.
        line("last-502", LAST, "502 5.5.1 what?", dot(&["502 5.5.1 what?\r"])),
        line("last-421", LAST, "421 4.3.2 closing down", dot(&["421 4.3.2 closing down\r"])),
        case("binarymime-offered", binary, Well).never(&["BINARYMIME"]),
    ];
    play(Speaks::Smtp, &TestCa::new(), &cases);
}

/// A message of several pieces.
fn several_pieces() -> Vec<u8> {
    super::super::honest::large(300_000)
}

#[test]
fn a_provider_that_leaves_or_stalls_anywhere_is_never_made_to_look_well() {
    let points: Vec<usize> = (0..LAST + 1).collect();
    let cases: Vec<Part> = [Step::Close, Step::Reset, Step::Stall]
        .into_iter()
        .flat_map(|last| points.iter().map(move |at| cut(pieces_part(), *at, last.clone())).collect::<Vec<_>>())
        .collect();
    sends(&cases, HASTY, super::super::honest::MESSAGE, |number, verdict, _, received| {
        assert!(completed(received) <= 1, "case {number}");
        let said_250 = verdict.as_ref().is_some_and(|verdict| verdict.starts_with("250"));
        assert!(!said_250, "case {number}: {verdict:?}");
        if contains(received, " LAST\r\n") {
            assert!(verdict.is_some_and(|verdict| verdict.contains("unknown")), "case {number}");
        }
    });
    // Between the pieces of a large message no end of it is said, and a refusal of any is the message's.
    let ended = |taken: usize, how: &[Step]| {
        let mut part = cut(pieces_part(), FIRST - 1, Step::ExpectPiece(false));
        for _ in 0..taken {
            part.extend([say("250 on"), Step::ExpectPiece(false)]);
        }
        part.extend_from_slice(how);
        part
    };
    let cases = [0, 1, 2].map(|taken| ended(taken, &[say("552 5.3.4 too big"), Step::Stall]));
    sends(&cases, HASTY, &several_pieces(), |number, verdict, _, received| {
        assert_eq!(verdict.as_deref(), Some("552 5.3.4 too big"), "case {number}");
        assert_eq!(completed(received), 0, "case {number}");
    });
    // What the provider has accepted is not kept, so the rest alone must not go by DATA.
    let hows = [vec![Step::Close], vec![Step::Reset], vec![say("421 4.3.2 closing down"), Step::Close]];
    let cases: Vec<Part> = hows.iter().flat_map(|how| [1, 2].map(|taken| ended(taken, how))).collect();
    sends(&cases, HASTY, &several_pieces(), |number, verdict, _, received| {
        assert!(verdict.is_none_or(|verdict| verdict.starts_with('4')), "case {number}");
        assert!(completed(received) == 0 && !contains(received, "\r\nDATA\r\n"), "case {number}");
    });
}

/// A client that sends its envelope in one go, and what it hears. The provider plays these parts, then honest ones.
fn pipelined(parts: Vec<Part>, answers: &[&str]) -> (Provider, Vec<String>) {
    let peer = Provider::always(Speaks::Smtp.provider_part());
    parts.into_iter().for_each(|part| peer.next(part));
    let ostler = ostler_before(Speaks::Smtp, &peer, HASTY);
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.send(format!("MAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<eve@example.com>\r\nDATA\r\n"));
    let heard: Vec<String> = (0..4).map_while(|_| client.try_reply()).collect();
    assert!(answers.iter().zip(&heard).all(|(wanted, said)| said.starts_with(wanted)), "{heard:?}");
    // An honest message on the same connection, if it is still there.
    if heard.last().is_some_and(|last| !last.starts_with("354") && !last.starts_with("421")) {
        client.ask_reply("RSET", "250");
        super::super::every_point::one_message(&mut client);
    }
    (peer, heard)
}

/// An envelope in one flight, and what is said to it.
fn flight(said: &[&str]) -> Part {
    let mut part: Part = pieces_part().into_iter().take(5).collect();
    part[2] = say("250-mx\r\n250-PIPELINING\r\n250 AUTH PLAIN");
    part.extend(["MAIL", "RCPT", "RCPT", "DATA"].map(expect));
    part.extend(said.iter().map(|said| say(said)));
    part
}

fn with(mut part: Part, more: Part) -> Part {
    part.extend(more);
    part
}

#[test]
fn answers_in_one_go_are_told_apart() {
    let honest: Part = super::super::honest::send_part().into_iter().skip(5).collect();
    let reset = vec![expect("RSET"), say("250 ok")];
    let goes_on = || with(reset.clone(), honest.clone());
    let nobody = ["250 ok", "550 no bob", "550 no eve"];
    let told = ["250", "550 no bob", "550 no eve", "554 5.5.1 no recipient"];
    let refused = |data: &str| flight(&[&nobody[..], &[data]].concat());
    let empty = |said: &str| with(refused("354 go on"), vec![expect("."), say(said)]);
    for (name, part, answers, connections) in [
        ("nobody-554", with(refused("554 none"), goes_on()), told, 1),
        ("nobody-354-dot-554", with(empty("554 none"), goes_on()), told, 1),
        ("nobody-354-dot-250", with(empty("250 queued"), vec![Step::Stall]), told, 2),
        ("nobody-354-dot-drop", with(refused("354 go on"), vec![expect("."), Step::Close]), told, 2),
        ("nobody-421", with(refused("421 bye"), vec![Step::Close]), told, 2),
        (
            "mail-refused-all-refused",
            with(flight(&["550 not you", "503 no", "503 no", "503 no"]), honest.clone()),
            ["250", "550 not you", "550 not you", "550 not you"],
            1,
        ),
        (
            "mail-refused-rcpt-taken",
            with(flight(&["550 not you", "250 ok", "503 no", "503 no"]), vec![Step::Stall]),
            ["250", "550 not you", "550 not you", "550 not you"],
            2,
        ),
        (
            "mail-refused-354",
            with(flight(&["550 not you", "503 no", "503 no", "354 go on"]), vec![Step::Stall]),
            ["250", "550 not you", "550 not you", "550 not you"],
            2,
        ),
        (
            "one-answer-is-none",
            with(flight(&["250 ok", "250 bob", "perhaps"]), vec![Step::Stall]),
            ["250", "250 bob", "451 4.4.2", "451 "],
            2,
        ),
        ("dropped-between", with(flight(&["250 ok"]), vec![Step::Close]), ["250", "451 4.4.2", "451 ", "554 "], 2),
    ] {
        println!("{name}");
        let answers =
            if name == "dropped-between" || name == "one-answer-is-none" { &answers[..2] } else { &answers[..] };
        let (peer, heard) = pipelined(vec![part], answers);
        if answers.len() == 4 {
            assert_eq!(peer.connections(), connections, "{name}");
            let ends: usize = peer.sessions().iter().map(|session| completed(&session.received)).sum();
            // The lone dot ends an empty message that goes to nobody.
            assert!(ends <= 2, "{name}: {heard:?}");
        }
    }
}
