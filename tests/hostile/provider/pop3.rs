//! POP3 providers.

use std::time::Duration;

use super::super::honest::{cut, fetch_part, message_answer};
use super::{Case, Ends, Speaks, case, play};
use crate::support::ca::TestCa;
use crate::support::provider::{Step, expect, say};
use Ends::{ClosedAfter, Cut, Told, Well};

/// Where [`fetch_part`] says the answer to what; the greeting answers nothing.
const GREETING: usize = 0;
const USER: usize = 2;
const PASS: usize = 4;
const STAT: usize = 6;
const RETR: usize = 8;
const DELE: usize = 10;
const QUIT: usize = 12;

const TROUBLE: &[&str] = &["-ERR [SYS/TEMP] "];
const REFUSED: &[&str] = &["-ERR [AUTH] "];

/// Honest up to here; then this, and silence.
fn at(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = cut(fetch_part(), place, said);
    part.push(Step::Stall);
    case(name, part, ends)
}

/// As [`at`], with a line.
fn line(name: &str, place: usize, said: &str, ends: Ends) -> Case {
    at(name, place, say(said), ends)
}

/// Honest up to here; then the end.
fn drops(name: &str, place: usize, how: Step, ends: Ends) -> Case {
    case(name, cut(fetch_part(), place, how), ends)
}

/// A message that breaks off like this.
fn breaks(name: &str, text: &[u8], how: Step) -> Case {
    let mut part = cut(fetch_part(), RETR, Step::Send(text.to_vec()));
    part.push(how);
    case(name, part, Cut).never(&["QUIT", "DELE"])
}

/// A list of abilities.
fn capa(name: &str, said: Step, ends: Ends) -> Case {
    case(name, vec![say("+OK ready"), expect("CAPA"), said, Step::Stall], ends)
}

fn drip(text: &str) -> Step {
    Step::Drip(format!("{text}{}\r\n", "x".repeat(300)).into_bytes(), Duration::from_millis(50))
}

fn pass(starts: &'static [&'static str]) -> Ends {
    Told("PASS x", starts)
}

#[test]
fn before_the_password() {
    let early = &["PASS"];
    let nothing = &["PASS", "USER", "CAPA"];
    let cases = [
        at("pop-greeting-never", GREETING, Step::Stall, pass(TROUBLE))
            .words(&["localhost", "did not answer in time", "greeting"])
            .never(nothing),
        drops("pop-close-at-once", GREETING, Step::Close, pass(TROUBLE)).words(&["closed the connection"]),
        drops("pop-reset-at-once", GREETING, Step::Reset, pass(TROUBLE)),
        case("pop-greeting-cut", vec![Step::Send(b"+OK rea".to_vec()), Step::Close], pass(TROUBLE)).never(nothing),
        line("greeting-error", GREETING, "-ERR too many connections", pass(TROUBLE))
            .words(&["too many connections"])
            .never(nothing),
        line("pop-greeting-smtp", GREETING, "220 ready", pass(TROUBLE)).words(&["does not speak POP3"]).never(nothing),
        line("pop-greeting-imap", GREETING, "* PREAUTH IMAP4rev1", pass(TROUBLE))
            .words(&["does not speak POP3"])
            .never(nothing),
        line("pop-greeting-http", GREETING, "HTTP/1.1 400 Bad Request", pass(TROUBLE))
            .words(&["does not speak POP3"])
            .never(nothing),
        line("pop-greeting-okay", GREETING, "+OKAY", pass(TROUBLE)).never(nothing),
        line("pop-greeting-small-letters", GREETING, "+ok ready", pass(TROUBLE)).never(nothing),
        at("pop-greeting-binary", GREETING, Step::Send((0..=255).collect()), pass(TROUBLE)).never(nothing),
        at(
            "pop-greeting-line-64k",
            GREETING,
            Step::Send([b"+OK ".as_slice(), &[b'x'; 65_536]].concat()),
            pass(TROUBLE),
        )
        .never(nothing),
        at("pop-greeting-drip-forever", GREETING, drip("+OK "), pass(TROUBLE)).never(nothing),
        line("pop-greeting-twice", GREETING, "+OK ready\r\n+OK ready", pass(TROUBLE)).never(nothing),
        line(
            "pop-greeting-everything-at-once",
            GREETING,
            "+OK\r\n-ERR no CAPA\r\n+OK user\r\n+OK in\r\n+OK 1 30",
            pass(TROUBLE),
        )
        .never(nothing),
        capa("capa-never", Step::Stall, pass(TROUBLE)).words(&["did not answer in time"]).never(early),
        capa("capa-no-end", say("+OK\r\nUSER\r\nTOP"), pass(TROUBLE)).words(&["did not answer in time"]).never(early),
        capa("capa-endless", say(&("+OK\r\n".to_owned() + &"X-LIE\r\n".repeat(5000))), pass(TROUBLE)).never(early),
        capa("capa-line-64k", Step::Send([b"+OK\r\n".as_slice(), &[b'x'; 65_536]].concat()), pass(TROUBLE))
            .never(early),
        capa("capa-no-status", say("USER\r\nTOP\r\n."), pass(TROUBLE)).never(early),
        capa("capa-only-unknown-mech", say("+OK\r\nSASL NTLM GSSAPI\r\nTOP\r\n."), pass(TROUBLE))
            .words(&["NTLM"])
            .never(early),
        capa("capa-and-more", say("+OK\r\nUSER\r\n.\r\n+OK name\r\n+OK in"), pass(TROUBLE)).never(early),
        capa("capa-drip-forever", drip("+OK "), pass(TROUBLE)).never(early),
        {
            let lines = format!("+OK\r\n{}.\r\n", "USER\r\n".repeat(20)).into_bytes();
            let mut part = vec![say("+OK ready"), expect("CAPA"), Step::Drip(lines, Duration::from_millis(50))];
            part.extend(fetch_part().into_iter().skip(1));
            case("capa-lines-drip-forever", part, pass(TROUBLE)).never(early)
        },
        line("user-refused", USER, "-ERR [AUTH] never heard of her", pass(REFUSED))
            .words(&["never heard of her"])
            .never(early),
        at("user-never", USER, Step::Stall, pass(TROUBLE)).never(early),
        drops("user-drop", USER, Step::Close, pass(TROUBLE)).never(early),
        line("user-smtp-code", USER, "331 password please", pass(TROUBLE)).never(early),
        line("user-answered-twice", USER, "+OK\r\n+OK in", pass(TROUBLE)).never(early),
        line("user-answered-thrice", USER, "+OK\r\n+OK in\r\n+OK 1 30", pass(TROUBLE)).never(early),
    ];
    play(Speaks::Pop3, &TestCa::new(), &cases);
}

#[test]
fn at_the_password() {
    let wordy = "words ".repeat(670);
    let never = &["STAT", "QUIT"];
    let cases = [
        at("pass-never", PASS, Step::Stall, pass(TROUBLE)).words(&["did not answer in time", "sign-in"]).never(never),
        drops("pass-drop", PASS, Step::Close, pass(TROUBLE)).never(never),
        drops("pass-reset", PASS, Step::Reset, pass(TROUBLE)).never(never),
        at("pass-drip-forever", PASS, drip("+OK "), pass(TROUBLE)).never(never),
        line("pass-garbage", PASS, "welcome", pass(TROUBLE)).never(never),
        line("pass-smtp-code", PASS, "235 in", pass(TROUBLE)).never(never),
        line("pass-okay", PASS, "+OKAY", pass(TROUBLE)).never(never),
        line("pass-continues", PASS, "+ ", pass(TROUBLE)).never(never),
        at("pass-line-64k", PASS, Step::Send([b"+OK ".as_slice(), &[b'x'; 65_536]].concat()), pass(TROUBLE)).never(never),
        line("auth-app-password-text-pop", PASS, "-ERR [AUTH] Application-specific password required: https://support.example.com/accounts/answer/185833 (Failure)", pass(REFUSED))
            .words(&["Application-specific password required: https://support.example.com/accounts/answer/185833", "in the file that the settings name"]).never(never),
        line("pass-refused-bare", PASS, "-ERR", pass(REFUSED)).words(&["localhost"]).never(never),
        at("pass-refused-8-bit", PASS, Step::Send(b"-ERR [AUTH] \xfcbel \0\x1b[31m\r\n".to_vec()), pass(REFUSED)).never(never),
        line("pass-refused-4k", PASS, &format!("-ERR [AUTH] {wordy}"), pass(REFUSED)).words(&["words", "in the file that the settings name"]).never(never),
        line("pass-in-use", PASS, "-ERR [IN-USE] mailbox locked", pass(&["-ERR [IN-USE] "])).words(&["mailbox locked"]).never(never),
        line("pass-login-delay", PASS, "-ERR [LOGIN-DELAY] wait 60 s", pass(&["-ERR [LOGIN-DELAY] "])).words(&["wait 60 s"]).never(never),
        line("pass-sys-temp", PASS, "-ERR [SYS/TEMP] out of order", pass(TROUBLE)).words(&["out of order"]).never(never),
        line("pass-ok-and-more", PASS, "+OK in\r\n+OK 1 30", ClosedAfter("PASS x")).never(never),
        line("pass-ok-and-goodbye", PASS, "+OK in\r\n-ERR autologout", ClosedAfter("PASS x")).never(never),
        {
            let mut part = fetch_part();
            part[PASS] = say(&format!("+OK {wordy}"));
            case("pass-ok-4k", part, Well)
        },
        {
            let mut part = fetch_part();
            part[PASS] = Step::Send(b"+OK \xfcbel \0\x1b[31m\r\n".to_vec());
            case("pass-ok-8-bit", part, Well)
        },
    ];
    play(Speaks::Pop3, &TestCa::new(), &cases);
}

#[test]
fn in_the_session() {
    let whole = message_answer();
    let with = |place: usize, said: Step| {
        let mut part = fetch_part();
        part[place] = said;
        part
    };
    let told = |said, starts| Told(said, starts);
    // A reply comes while nothing is owed.
    let mut between = cut(fetch_part(), STAT + 1, say("+OK unasked"));
    between.push(Step::Stall);
    let cases = [
        at("stat-never", STAT, Step::Stall, told("STAT", TROUBLE)).words(&["did not answer in time"]).never(&["QUIT"]),
        drops("stat-drop", STAT, Step::Close, told("STAT", TROUBLE)).never(&["QUIT"]),
        drops("stat-reset", STAT, Step::Reset, told("STAT", TROUBLE)),
        line("reply-not-a-code-pop", STAT, "1 30", told("STAT", TROUBLE)).never(&["QUIT"]),
        line("stat-smtp-code", STAT, "250 1 30", told("STAT", TROUBLE)).never(&["QUIT"]),
        line("stat-imap", STAT, "* 1 EXISTS", told("STAT", TROUBLE)).never(&["QUIT"]),
        line("stat-okay", STAT, "+OKAY 1 30", told("STAT", TROUBLE)).never(&["QUIT"]),
        line("stat-empty-line", STAT, "", told("STAT", TROUBLE)).never(&["QUIT"]),
        at("stat-line-64k", STAT, Step::Send([b"+OK ".as_slice(), &[b'x'; 65_536]].concat()), told("STAT", TROUBLE)),
        at("stat-drip-forever", STAT, drip("+OK "), told("STAT", TROUBLE)).words(&["did not answer in time"]),
        case("stat-4k", with(STAT, say(&format!("+OK 1 30 {}", "x".repeat(4000)))), Well),
        case("reply-nul-8bit-pop", with(STAT, Step::Send(b"+OK 1 30 \0\x1b[31m\xe4\r\n".to_vec())), Well),
        case("stat-bare-lf", with(STAT, Step::Send(b"+OK 1 30\n".to_vec())), Well),
        line("stat-answered-twice", STAT, "+OK 1 30\r\n+OK 2 60", ClosedAfter("STAT")).never(&["QUIT", "DELE"]),
        case("reply-unsolicited-pop", between, ClosedAfter("STAT")).never(&["QUIT", "DELE"]),
        at("retr-never", RETR, Step::Stall, told("RETR 1", TROUBLE)).never(&["QUIT"]),
        line("retr-without-status", RETR, "Subject: hello\r\n\r\nbody\r\n.", told("RETR 1", TROUBLE)).never(&["QUIT"]),
        line("retr-refused", RETR, "-ERR no such message", told("RETR 1", &["-ERR no such message\r\n"])),
        breaks("retr-drop-after-status", &whole[..5], Step::Close),
        breaks("retr-drop-mid-line", &whole[..12], Step::Close),
        breaks("retr-drop-after-line", &whole[..21], Step::Close),
        breaks("retr-drop-before-dot", &whole[..whole.len() - 3], Step::Close),
        breaks("retr-drop-on-dot", &whole[..whole.len() - 2], Step::Close),
        breaks("retr-drop-in-dot-cr", &whole[..whole.len() - 1], Step::Close),
        breaks("retr-reset-mid-line", &whole[..12], Step::Reset),
        breaks("retr-reset-before-dot", &whole[..whole.len() - 3], Step::Reset),
        breaks("retr-stall", &whole[..12], Step::Stall),
        breaks("retr-stall-on-dot", &whole[..whole.len() - 2], Step::Stall),
        breaks("retr-lf-dot-lf-is-no-end", b"+OK\r\na\n.\nb\n.\r\n", Step::Close),
        breaks("retr-cr-dot-cr-is-no-end", b"+OK\r\na\r.\rb\r.\r\n", Step::Close),
        {
            let mut part = cut(fetch_part(), RETR, Step::Send(whole[..12].to_vec()));
            part.extend([Step::Drip(vec![b'x'; 200], Duration::from_millis(50)), Step::Stall]);
            case("retr-drip-forever", part, Cut).never(&["QUIT", "DELE"])
        },
        at(
            "retr-answered-and-more",
            RETR,
            Step::Send([&whole, b"+OK deleted\r\n".as_slice()].concat()),
            ClosedAfter("RETR 1"),
        )
        .never(&["QUIT", "DELE"]),
        at("retr-dot-twice", RETR, Step::Send([&whole, b".\r\n".as_slice()].concat()), ClosedAfter("RETR 1"))
            .never(&["QUIT", "DELE"]),
        case("retr-lf-dot-crlf-inside", with(RETR, Step::Send(b"+OK\r\na\n.\r\nb\r\n.\r\n".to_vec())), Well),
        case("retr-cr-dot-crlf-inside", with(RETR, Step::Send(b"+OK\r\na\r.\r\nb\r\n.\r\n".to_vec())), Well),
        at("dele-never", DELE, Step::Stall, told("DELE 1", TROUBLE)).never(&["QUIT"]),
        drops("dele-drop", DELE, Step::Close, told("DELE 1", TROUBLE)).never(&["QUIT"]),
        line("dele-refused", DELE, "-ERR no", told("DELE 1", &["-ERR no\r\n"])),
        line("dele-answered-twice", DELE, "+OK deleted\r\n+OK bye", ClosedAfter("DELE 1")).never(&["QUIT"]),
        at("quit-no-answer", QUIT, Step::Stall, told("QUIT", TROUBLE)),
        drops("quit-drop", QUIT, Step::Close, told("QUIT", TROUBLE)),
        drops("quit-reset", QUIT, Step::Reset, told("QUIT", TROUBLE)),
        line("quit-garbage", QUIT, "bye", told("QUIT", TROUBLE)),
        line("quit-err", QUIT, "-ERR some messages not removed", told("QUIT", &["-ERR some messages not removed\r\n"])),
        line("quit-answered-twice", QUIT, "+OK committed\r\n+OK really", Well),
    ];
    play(Speaks::Pop3, &TestCa::new(), &cases);
    play(Speaks::Pop3Ahead, &TestCa::new(), &cases);
}
