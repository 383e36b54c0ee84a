//! IMAP providers.

use std::time::Duration;

use super::super::honest::{MESSAGE, body_answer, cut, read_part};
use super::{Case, Ends, Speaks, case, play};
use crate::support::ca::TestCa;
use crate::support::provider::{Part, Step, expect, say};
use Ends::{Bye, Cut, Told, Well};

/// Where [`read_part`] says the answer to what; the greeting answers nothing.
const GREETING: usize = 0;
const LOGIN: usize = 2;
const SELECT: usize = 4;
const FETCH: usize = 6;
const STORE: usize = 8;
const EXPUNGE: usize = 10;
const LOGOUT: usize = 12;

/// Trouble is told at the command behind LOGIN, which costs no password.
const TROUBLE: Ends = Told("SELECT", &["2 NO [UNAVAILABLE] ostler: "]);
const REFUSED: Ends = Told("LOGIN", &["1 NO [AUTHENTICATIONFAILED] ostler: localhost refused the sign-in"]);

/// Honest up to here; then this, and silence.
fn at(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = cut(read_part(), place, said);
    part.push(Step::Stall);
    case(name, part, ends)
}

/// As [`at`], with a line.
fn line(name: &str, place: usize, said: &str, ends: Ends) -> Case {
    at(name, place, say(said), ends)
}

/// Honest up to here; then the end.
fn drops(name: &str, place: usize, how: Step, ends: Ends) -> Case {
    case(name, cut(read_part(), place, how), ends)
}

/// Honest but for what is said here.
fn says(name: &str, place: usize, said: &str, ends: Ends) -> Case {
    let mut part = read_part();
    part[place] = say(said);
    case(name, part, ends)
}

/// An answer to FETCH that breaks off like this.
fn breaks(name: &str, text: &[u8], how: Step) -> Case {
    let mut part = cut(read_part(), FETCH, Step::Send(text.to_vec()));
    part.push(how);
    case(name, part, Cut).never(&["STORE", "EXPUNGE", "LOGOUT"])
}

/// A provider that does not say in its greeting what it has: the answer to CAPABILITY, and silence.
fn capability(name: &str, said: Step, ends: Ends) -> Case {
    case(name, vec![say("* OK ready"), expect("o1 CAPABILITY"), said, Step::Stall], ends).never(&["LOGIN"])
}

/// A provider that does not say what it has, before the sign-in or behind it.
fn silent_about_itself(answer: &str) -> Part {
    let asked = |number: usize| [expect(&format!("o{number} CAPABILITY")), say(&format!("o{number} {answer}"))];
    let login = [expect("o2 LOGIN"), say("o2 OK in")];
    let mut part = vec![say("* OK ready")];
    part.extend(asked(1).into_iter().chain(login).chain(asked(3)).chain(read_part().into_iter().skip(3)));
    part
}

/// Honest, but the greeting comes with half a line, and the rest of it with the answer to LOGIN.
fn half_a_line_early(half: &str, rest: &str) -> Part {
    let mut part = read_part();
    part[GREETING] = Step::Send(format!("* OK [CAPABILITY IMAP4rev1] a\r\n{half}").into_bytes());
    part[LOGIN] = say(&format!("{rest}\r\no1 OK [CAPABILITY IMAP4rev1] in"));
    part
}

fn drip(text: &str) -> Step {
    Step::Drip(format!("{text}{}\r\n", "x".repeat(300)).into_bytes(), Duration::from_millis(50))
}

fn long(start: &str) -> Step {
    Step::Send([start.as_bytes(), &[b'x'; 65_536]].concat())
}

#[test]
fn before_the_sign_in() {
    let early = &["LOGIN"];
    let cases = [
        at("imap-greeting-never", GREETING, Step::Stall, TROUBLE)
            .words(&["did not answer in time", "greeting"])
            .never(early),
        drops("imap-close-at-once", GREETING, Step::Close, TROUBLE).words(&["closed the connection"]),
        drops("imap-reset-at-once", GREETING, Step::Reset, TROUBLE),
        case("imap-greeting-cut", vec![Step::Send(b"* OK rea".to_vec()), Step::Close], TROUBLE).never(early),
        line("imap-greeting-bye", GREETING, "* BYE too many connections", TROUBLE)
            .words(&["too many connections"])
            .never(early),
        line("imap-greeting-preauth", GREETING, "* PREAUTH [CAPABILITY IMAP4rev1] hello", TROUBLE)
            .words(&["someone has signed in already"])
            .never(early),
        line("imap-greeting-no", GREETING, "* NO go away", TROUBLE).never(early),
        line("imap-greeting-tagged", GREETING, "o1 OK in", TROUBLE).never(early),
        line("imap-greeting-smtp", GREETING, "220 ready", TROUBLE).words(&["does not speak IMAP"]).never(early),
        line("imap-greeting-pop", GREETING, "+OK ready", TROUBLE).words(&["does not speak IMAP"]).never(early),
        line("imap-greeting-http", GREETING, "HTTP/1.1 400 Bad Request", TROUBLE).never(early),
        at("imap-greeting-binary", GREETING, Step::Send((0..=255).collect()), TROUBLE).never(early),
        at("imap-greeting-line-64k", GREETING, long("* OK "), TROUBLE).never(early),
        at("imap-greeting-drip-forever", GREETING, drip("* OK "), TROUBLE).never(early),
        says("imap-greeting-small-letters", GREETING, "* ok [capability IMAP4REV1] ready", Well),
        // In pieces, the second line comes before LOGIN, behind it, or on both sides of it.
        says("imap-greeting-twice", GREETING, "* OK [CAPABILITY IMAP4rev1] a\r\n* OK [ALERT] b", Well)
            .heard(&["[ALERT] b"])
            .once(),
        case("imap-greeting-and-half-a-line", half_a_line_early("* OK [AL", "ERT] b"), Well)
            .heard(&["[ALERT] b"])
            .once(),
        case("imap-greeting-and-half-an-answer", half_a_line_early("o1 O", "K in"), TROUBLE).whole().never(early),
        line("imap-greeting-and-goodbye", GREETING, "* OK [CAPABILITY IMAP4rev1] a\r\n* BYE too many", TROUBLE)
            .words(&["too many"])
            .whole()
            .never(early),
        line(
            "imap-greeting-and-more-than-enough",
            GREETING,
            &format!("* OK [CAPABILITY IMAP4rev1] a\r\n{}", "* OK b\r\n".repeat(5000)),
            TROUBLE,
        )
        .words(&["does not stop speaking unasked"])
        .never(early),
        says("imap-greeting-and-a-stray-line", GREETING, "* OK [CAPABILITY IMAP4rev1] a\r\nstray", Well).whole().once(),
        line(
            "imap-greeting-everything-at-once",
            GREETING,
            "* OK [CAPABILITY IMAP4rev1] a\r\no1 OK in\r\n2 OK selected",
            TROUBLE,
        )
        .whole()
        .never(early),
        capability("imap-capability-never", Step::Stall, TROUBLE).words(&["did not answer in time"]),
        capability("imap-capability-drip-forever", drip("* CAPABILITY "), TROUBLE),
        capability(
            "imap-capability-endless",
            say(&("* CAPABILITY IMAP4rev1\r\n".repeat(5000) + "o1 OK done")),
            TROUBLE,
        ),
        capability("imap-capability-line-64k", long("* CAPABILITY "), TROUBLE),
        capability("imap-capability-of-another", say("o9 OK done"), TROUBLE),
        capability("imap-capability-without-a-status", say("o1 FINE done"), TROUBLE),
        capability("imap-capability-bye", say("* BYE going down"), TROUBLE).words(&["going down"]),
        capability("imap-capability-asks-to-go-on", say("+ go on"), TROUBLE),
        capability("imap-capability-and-more", say("* CAPABILITY IMAP4rev1\r\no1 OK\r\no2 OK in"), TROUBLE).whole(),
        capability("imap-login-disabled", say("* CAPABILITY IMAP4rev1 LOGINDISABLED\r\no1 OK"), TROUBLE)
            .words(&["no way to sign in"]),
        capability("imap-only-strange-ways", say("* CAPABILITY IMAP4rev1 LOGINDISABLED AUTH=NTLM\r\no1 OK"), TROUBLE)
            .words(&["NTLM"]),
        case("imap-does-not-say-what-it-has", silent_about_itself("OK"), Well),
        case("imap-does-not-know-capability", silent_about_itself("BAD what?"), Well),
    ];
    play(Speaks::Imap, &TestCa::new(), &cases);
}

#[test]
fn at_the_sign_in() {
    let wordy = format!("o1 NO [AUTHENTICATIONFAILED] {}", "words ".repeat(600));
    let in_session = &["SELECT", "LOGOUT"];
    let cases = [
        at("imap-login-never", LOGIN, Step::Stall, TROUBLE).words(&["did not answer in time", "sign-in"]),
        drops("imap-login-drop", LOGIN, Step::Close, TROUBLE).words(&["instead of answering the sign-in"]),
        drops("imap-login-reset", LOGIN, Step::Reset, TROUBLE),
        at("imap-login-drip-forever", LOGIN, drip("o1 OK "), TROUBLE),
        at("imap-login-line-64k", LOGIN, long("o1 OK "), TROUBLE),
        line("imap-login-garbage", LOGIN, "welcome", TROUBLE),
        line("imap-login-pop", LOGIN, "+OK in", TROUBLE),
        line("imap-login-asks-to-go-on", LOGIN, "+ go on", TROUBLE),
        line("imap-login-of-another", LOGIN, "o7 OK in", TROUBLE),
        line("imap-login-without-a-tag", LOGIN, "OK in", TROUBLE),
        line("imap-login-without-a-status", LOGIN, "o1 FINE", TROUBLE),
        line("imap-login-bye", LOGIN, "* BYE overloaded, sorry", TROUBLE).words(&["overloaded, sorry"]),
        at("imap-login-flood", LOGIN, say(&("* OK wait\r\n".repeat(5000) + "o1 OK in")), TROUBLE),
        line("imap-login-refused", LOGIN, "o1 NO [AUTHENTICATIONFAILED] never heard of her", REFUSED)
            .words(&["never heard of her"]),
        line("imap-login-refused-without-a-code", LOGIN, "o1 NO Invalid credentials (Failure)", REFUSED)
            .words(&["Invalid credentials"]),
        line("imap-login-refused-at-length", LOGIN, &wordy, REFUSED),
        line("imap-login-refused-by-the-expired", LOGIN, "o1 NO [EXPIRED] make a new one", REFUSED),
        at(
            "imap-login-refused-with-escapes",
            LOGIN,
            Step::Send(b"o1 NO [AUTHENTICATIONFAILED] \x1b[2J\xff\x07 no\r\n".to_vec()),
            REFUSED,
        ),
        line("imap-login-unavailable", LOGIN, "o1 NO [UNAVAILABLE] try later", TROUBLE).words(&["try later"]),
        line("imap-login-in-use", LOGIN, "o1 NO [INUSE] somebody is there", TROUBLE).words(&["somebody is there"]),
        line("imap-login-limit", LOGIN, "o1 NO [LIMIT] Too many simultaneous connections", TROUBLE),
        line("imap-login-wants-tls", LOGIN, "o1 NO [PRIVACYREQUIRED] Plaintext authentication disallowed", TROUBLE),
        line("imap-login-bad", LOGIN, "o1 BAD unknown command", TROUBLE).words(&["refuses every way"]),
        says(
            "imap-login-tells-more-than-it-may",
            LOGIN,
            "o1 OK [CAPABILITY IMAP4rev1 STARTTLS AUTH=PLAIN COMPRESS=DEFLATE ENABLE XSENDER LOGINDISABLED] in",
            Well,
        )
        .unheard(&["STARTTLS", "AUTH=", "COMPRESS", "ENABLE", "XSENDER", "LOGINDISABLED"]),
        says("imap-login-tells-it-before", LOGIN, "* CAPABILITY IMAP4rev1 ID\r\n* OK hello\r\no1 OK in", Well)
            .unheard(&[" ID"]),
    ];
    let cases = cases.map(|case| case.never(in_session)).into_iter();
    // Where all goes well, the session follows.
    let cases: Vec<Case> = cases.map(|case| if matches!(case.ends, Well) { case.never(&[]) } else { case }).collect();
    play(Speaks::Imap, &TestCa::new(), &cases);
}

#[test]
fn in_the_session() {
    let told = |said, starts| Told(said, starts);
    let fetch: Ends = told("FETCH", &["3 NO [UNAVAILABLE] ostler: localhost"]);
    // What was asked for may have been done.
    let store = told("STORE", &["4 NO [UNAVAILABLE] ostler: the outcome is unknown: localhost"]);
    let expunge = told("EXPUNGE", &["5 NO [UNAVAILABLE] ostler: the outcome is unknown: localhost"]);
    let selected = "* 1 EXISTS\r\n2 OK [READ-WRITE] selected";
    let cases = [
        at("imap-select-never", SELECT, Step::Stall, TROUBLE).words(&["did not answer in time"]),
        drops("imap-select-drop", SELECT, Step::Close, TROUBLE).words(&["closed the connection"]),
        drops("imap-select-reset", SELECT, Step::Reset, TROUBLE),
        at("imap-select-drip-forever", SELECT, drip("2 OK "), TROUBLE),
        at("imap-select-line-64k", SELECT, long("* OK "), TROUBLE),
        line("imap-select-no", SELECT, "2 NO no such folder", told("SELECT", &["2 NO no such folder"])),
        line("imap-select-bad", SELECT, "2 BAD what?", told("SELECT", &["2 BAD what?"])),
        line("imap-select-of-another", SELECT, "9 OK selected", TROUBLE).unheard(&["9 OK"]),
        line("imap-select-without-a-status", SELECT, "2 FINE", TROUBLE).unheard(&["FINE"]),
        at("imap-select-nul", SELECT, Step::Send(b"2 OK a\0b\r\n".to_vec()), TROUBLE),
        at("imap-select-lone-cr", SELECT, Step::Send(b"* OK a\r2 OK b\r\n".to_vec()), TROUBLE).unheard(&["2 OK b"]),
        case("imap-select-bye", cut(read_part(), SELECT, say("* BYE idle for too long")), Bye("idle for too long")),
        says("imap-select-preauth", SELECT, &format!("* PREAUTH hello\r\n{selected}"), Well).unheard(&["PREAUTH"]),
        says(
            "imap-select-with-what-nobody-asked-for",
            SELECT,
            &format!(
                "* ENABLED CONDSTORE\r\n* VANISHED (EARLIER) 1:9\r\n* ESEARCH (TAG \"2\") ALL 1\r\n* ID NIL\r\n\
                 * METADATA \"\" /x\r\n* 1 MODSEQ 5\r\n{selected}"
            ),
            Well,
        )
        .unheard(&["ENABLED", "VANISHED", "ESEARCH", "ID NIL", "METADATA", "MODSEQ"]),
        says(
            "imap-select-with-a-hidden-literal",
            SELECT,
            &format!("* ID (\"name\" {{14}}\r\n2 OK selected\r\n)\r\n* XSTRANGE {{0}}\r\n\r\n{selected}"),
            Well,
        )
        .unheard(&["ID (", "XSTRANGE"]),
        says("imap-select-lines-without-a-tag", SELECT, &format!("CAPABILITY completed.\r\n\r\n{selected}"), Well)
            .unheard(&["completed"]),
        says("imap-select-asks-to-go-on", SELECT, &format!("+ go on\r\n{selected}"), Well).unheard(&["go on"]),
        says(
            "imap-select-words-like-a-literal",
            SELECT,
            &format!("* OK this ends in {{5}}\r\n{selected} {{99}}"),
            Well,
        ),
        says(
            "imap-select-tells-more-than-it-may",
            SELECT,
            "* 1 EXISTS\r\n* CAPABILITY IMAP4rev1 STARTTLS MOVE\r\n2 OK [CAPABILITY AUTH=PLAIN LOGINDISABLED] in",
            Well,
        )
        .unheard(&["STARTTLS", "MOVE", "AUTH=", "LOGINDISABLED"]),
        says("imap-select-answered-twice", SELECT, &format!("{selected}\r\n2 OK again"), Well).unheard(&["again"]),
        at("imap-fetch-never", FETCH, Step::Stall, fetch).words(&["did not answer in time"]),
        drops("imap-fetch-drop", FETCH, Step::Close, fetch),
        line("imap-fetch-no", FETCH, "3 NO not now", told("FETCH", &["3 NO not now"])),
        breaks("imap-fetch-drop-in-the-message", &body_answer()[..35], Step::Close),
        breaks("imap-fetch-reset-in-the-message", &body_answer()[..35], Step::Reset),
        breaks("imap-fetch-stall-in-the-message", &body_answer()[..35], Step::Stall),
        breaks("imap-fetch-drop-behind-the-length", b"* 1 FETCH (BODY[] {30}\r\n", Step::Close),
        breaks("imap-fetch-stall-behind-the-length", b"* 1 FETCH (BODY[] {30}\r\n", Step::Stall),
        breaks("imap-fetch-message-shorter-than-told", b"* 1 FETCH (BODY[] {99}\r\nabc\r\n)\r\n3 OK\r\n", Step::Stall),
        breaks("imap-fetch-endless-length", b"* 1 FETCH (BODY[] {999999999999999999}\r\nabc", Step::Close),
        breaks("imap-fetch-drop-behind-the-message", &body_answer()[..24 + MESSAGE.len()], Step::Close),
        breaks(
            "imap-fetch-line-that-stalls",
            b"* 1 FETCH (ENVELOPE (\"and so on, and on, and on, and on, and on",
            Step::Stall,
        ),
        at("imap-fetch-answer-of-another", FETCH, say("* 1 FETCH (UID 7)\r\n9 OK"), fetch).unheard(&["9 OK"]),
        at("imap-store-never", STORE, Step::Stall, store),
        drops("imap-store-drop", STORE, Step::Close, store),
        line("imap-store-no", STORE, "4 NO read-only", told("STORE", &["4 NO read-only"])),
        at("imap-expunge-never", EXPUNGE, Step::Stall, expunge),
        drops("imap-expunge-drop", EXPUNGE, Step::Close, expunge),
        drops("imap-expunge-reset", EXPUNGE, Step::Reset, expunge),
        at("imap-logout-never", LOGOUT, Step::Stall, told("LOGOUT", &["6 OK"])),
        drops("imap-logout-drop", LOGOUT, Step::Close, told("LOGOUT", &["6 OK"])),
        drops("imap-logout-bye-and-drop", LOGOUT, say("* BYE bye"), told("LOGOUT", &["6 OK"])),
    ];
    play(Speaks::Imap, &TestCa::new(), &cases);
}
