//! SMTP providers.

use std::time::Duration;

use super::super::honest::{BODY, cut, send_part};
use super::{Case, Ends, Speaks, case, play};
use crate::support::ca::TestCa;
use crate::support::provider::{Step, expect, say};
use Ends::{Told, Well};

/// Where [`send_part`] says the answer to what; the greeting answers nothing.
const GREETING: usize = 0;
const EHLO: usize = 2;
const AUTH: usize = 4;
const MAIL: usize = 6;
const RCPT: usize = 8;
const DATA: usize = 10;
const DOT: usize = BODY + 1;

pub(super) const TROUBLE: &[&str] = &["451 4."];

/// Honest up to here; then this, and silence.
fn at(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = cut(send_part(), place, said);
    part.push(Step::Stall);
    case(name, part, ends)
}

/// As [`at`], with a line.
fn line(name: &str, place: usize, said: &str, ends: Ends) -> Case {
    at(name, place, say(said), ends)
}

/// Honest up to here; then the end.
fn drops(name: &str, place: usize, how: Step, ends: Ends) -> Case {
    case(name, cut(send_part(), place, how), ends)
}

/// Honest but for this.
fn instead(name: &str, place: usize, said: Step, ends: Ends) -> Case {
    let mut part = send_part();
    part[place] = said;
    case(name, part, ends)
}

pub(super) fn drip(text: &str) -> Step {
    Step::Drip(format!("{text}{}\r\n", "x".repeat(300)).into_bytes(), Duration::from_millis(50))
}

/// Every line in good time, the whole not.
fn drip_lines(line: &str, last: &str) -> Step {
    Step::Drip(format!("{}{last}\r\n", format!("{line}\r\n").repeat(20)).into_bytes(), Duration::from_millis(50))
}

fn mail(starts: &'static [&'static str]) -> Ends {
    Told("MAIL", starts)
}

#[test]
fn before_the_sign_in() {
    let early = &["AUTH", "MAIL"];
    let cases = [
        at("greeting-never", GREETING, Step::Stall, mail(TROUBLE))
            .words(&["localhost", "did not answer in time", "greeting"])
            .never(&["EHLO"]),
        drops("close-at-once", GREETING, Step::Close, mail(TROUBLE)).words(&["closed the connection"]),
        drops("reset-at-once", GREETING, Step::Reset, mail(TROUBLE)),
        case("greeting-cut", vec![Step::Send(b"220 rea".to_vec()), Step::Close], mail(TROUBLE)).never(&["EHLO"]),
        line("greeting-421", GREETING, "421 4.7.0 too busy", mail(TROUBLE))
            .words(&["421 4.7.0 too busy"])
            .never(&["EHLO"]),
        line("greeting-554", GREETING, "554 5.7.1 no mail here", mail(TROUBLE))
            .words(&["554 5.7.1 no mail here"])
            .never(&["EHLO"]),
        line("greeting-250", GREETING, "250 hello", mail(TROUBLE)).never(&["EHLO"]),
        line("greeting-pop3", GREETING, "+OK ready", mail(TROUBLE)).words(&["does not speak SMTP"]).never(&["EHLO"]),
        line("greeting-imap", GREETING, "* OK IMAP4rev1", mail(TROUBLE))
            .words(&["does not speak SMTP"])
            .never(&["EHLO"]),
        line("greeting-http", GREETING, "HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n<html>", mail(TROUBLE))
            .words(&["does not speak SMTP"]),
        line("greeting-ssh", GREETING, "SSH-2.0-OpenSSH_9.2", mail(TROUBLE))
            .words(&["does not speak SMTP"])
            .never(&["EHLO"]),
        at("greeting-binary", GREETING, Step::Send((0..=255).collect()), mail(TROUBLE)).never(&["EHLO"]),
        at("greeting-nul", GREETING, Step::Send(vec![0; 300]), mail(TROUBLE)).never(&["EHLO"]),
        line("greeting-endless-lines", GREETING, &"220-more\r\n".repeat(5000), mail(TROUBLE)).never(&["EHLO"]),
        at("greeting-line-64k", GREETING, Step::Send(vec![b'x'; 65_536]), mail(TROUBLE)).never(&["EHLO"]),
        at("greeting-drip-forever", GREETING, drip("220 "), mail(TROUBLE))
            .words(&["did not answer in time"])
            .never(early),
        line("greeting-twice", GREETING, "220 ready\r\n220 ready", mail(TROUBLE)).never(early),
        line(
            "greeting-ehlo-auth-at-once",
            GREETING,
            "220 ready\r\n250-mx\r\n250 AUTH PLAIN\r\n235 in\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued",
            mail(TROUBLE),
        )
        .never(early),
        line("ehlo-and-helo-refused", EHLO, "502 what\r\n502 what", mail(TROUBLE)).never(early),
        line("ehlo-550", EHLO, "550 5.7.1 not you", mail(TROUBLE)).words(&["not you"]).never(early),
        line("ehlo-421", EHLO, "421 4.3.2 shutting down", mail(TROUBLE)).words(&["shutting down"]).never(early),
        line("ehlo-354", EHLO, "354 go on", mail(TROUBLE)).never(early),
        line("ehlo-235", EHLO, "235 in already", mail(TROUBLE)).never(early),
        line("ehlo-endless", EHLO, &"250-more\r\n".repeat(5000), mail(TROUBLE)).never(early),
        line("ehlo-no-end", EHLO, "250-mx\r\n250-AUTH PLAIN", mail(TROUBLE))
            .words(&["did not answer in time"])
            .never(early),
        line("ehlo-mixed-codes", EHLO, "250-mx\r\n550 AUTH PLAIN", mail(TROUBLE)).never(early),
        at("ehlo-drip-forever", EHLO, drip("250-"), mail(TROUBLE)).never(early),
        instead("ehlo-lines-drip-forever", EHLO, drip_lines("250-x", "250 AUTH PLAIN"), mail(TROUBLE)).never(early),
        line("ehlo-answered-twice", EHLO, "250-mx\r\n250 AUTH PLAIN\r\n250-mx\r\n250 AUTH PLAIN", mail(TROUBLE))
            .never(early),
        line("ehlo-no-auth", EHLO, "250-mx\r\n250 SIZE 1000", mail(&["454 4.7.0 "])).never(early),
        line(
            "auth-only-unknown-mech",
            EHLO,
            "250-mx\r\n250 AUTH NTLM GSSAPI SCRAM-SHA-1 ANONYMOUS",
            mail(&["454 4.7.0 "]),
        )
        .words(&["NTLM"])
        .never(early),
        line(
            "ehlo-thousand-mechanisms",
            EHLO,
            &format!("250-mx\r\n250 AUTH {}", "XYZ ".repeat(1000)),
            mail(&["454 4.7.0 "]),
        )
        .never(early),
        instead(
            "ehlo-size-lie-huge",
            EHLO,
            say("250-mx\r\n250-SIZE 99999999999999999999999999\r\n250 AUTH PLAIN"),
            Well,
        ),
        instead("ehlo-size-lie-words", EHLO, say("250-mx\r\n250-SIZE -1 banana\r\n250 AUTH=PLAIN"), Well),
        instead(
            "ehlo-8-bit-and-nul",
            EHLO,
            Step::Send(b"250-\xe4\0mx\r\n250-\xff\xfe\r\n250 AUTH PLAIN\r\n".to_vec()),
            Well,
        ),
    ];
    play(Speaks::Smtp, &TestCa::new(), &cases);
}

#[test]
fn at_the_sign_in() {
    let gmail = "534-5.7.9 Application-specific password required. For more information, go to\r\n534-5.7.9  https://support.example.com/mail/?p=InvalidSecondFactor\r\n534 5.7.9 d9443c01a7336-1f1\r\n";
    let wordy = format!("535-5.7.8 {0}\r\n535-5.7.8 {0}\r\n535 5.7.8 {0}\r\n", "words ".repeat(660));
    let refused = &["550 5.7.8 "];
    let never = &["MAIL", "DATA"];
    let mut login = vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH LOGIN"), expect("AUTH LOGIN")];
    let mut looping = cut(send_part(), AUTH, say("334 UGFzc3dvcmQ6"));
    for _ in 0..20 {
        login.extend([say("334 UGFzc3dvcmQ6"), expect("")]);
        looping.extend([expect(""), say("334 UGFzc3dvcmQ6")]);
    }
    let mut cram = vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH CRAM-MD5"), expect("AUTH CRAM-MD5")];
    cram.extend([say("334 !!not base64!!"), Step::Stall]);
    let cases = [
        at("auth-never", AUTH, Step::Stall, mail(TROUBLE)).words(&["did not answer in time", "sign-in"]).never(never),
        drops("auth-drop", AUTH, Step::Close, mail(TROUBLE)).never(never),
        drops("auth-reset", AUTH, Step::Reset, mail(TROUBLE)).never(never),
        at("auth-app-password-text", AUTH, Step::Send(gmail.into()), mail(refused)).never(never).words(&[
            "localhost",
            "5.7.9 Application-specific password required. For more information, go to",
            "https://support.example.com/mail/?p=InvalidSecondFactor",
            "d9443c01a7336-1f1",
        ]),
        line("auth-always-fails", AUTH, "535 5.7.8 bad credentials", mail(refused))
            .words(&["bad credentials", "in the file that the settings name"])
            .never(never),
        at("auth-535-8-bit", AUTH, Step::Send(b"535 5.7.8 \xfcbel \0\x1b[31m\r\n".to_vec()), mail(refused))
            .never(never),
        at("auth-535-three-lines-of-4k", AUTH, Step::Send(wordy.into_bytes()), mail(refused))
            .words(&["words", "in the file that the settings name"])
            .never(never),
        line("auth-530-wants-tls", AUTH, "530 5.7.0 Must issue a STARTTLS command first", mail(&["454 4.7.0 "]))
            .words(&["530 5.7.0 Must issue a STARTTLS command first", "security = \"starttls\" or \"tls\""])
            .never(never),
        line("auth-538-wants-tls", AUTH, "538 5.7.11 Encryption required", mail(&["454 4.7.0 "]))
            .words(&["538 5.7.11 Encryption required", "security = \"starttls\" or \"tls\""])
            .never(never),
        line("auth-454", AUTH, "454 4.7.0 temporary failure", mail(&["454 4.7.0 "]))
            .words(&["temporary failure"])
            .never(never),
        line("auth-421", AUTH, "421 4.7.0 try again later", mail(&["454 4.7.0 "]))
            .words(&["try again later"])
            .never(never),
        line("auth-250", AUTH, "250 ok", mail(TROUBLE)).never(never),
        line("auth-354", AUTH, "354 go on", mail(TROUBLE)).never(never),
        line("auth-pop3", AUTH, "+OK", mail(TROUBLE)).never(never),
        line("auth-no-code", AUTH, "yes, of course", mail(TROUBLE)).never(never),
        at("auth-line-64k", AUTH, Step::Send([b"334 ".as_slice(), &[b'A'; 65_536]].concat()), mail(TROUBLE))
            .never(never),
        line("auth-endless-lines", AUTH, &"535-more\r\n".repeat(5000), mail(TROUBLE)).never(never),
        at("auth-drip-forever", AUTH, drip("235 "), mail(TROUBLE)).never(never),
        line("auth-235-and-more", AUTH, "235 in\r\n250 ok\r\n250 ok\r\n354 go on\r\n250 queued", mail(TROUBLE))
            .never(never),
        line("auth-235-then-535", AUTH, "235 in\r\n535 out", mail(TROUBLE)).never(never),
        case("auth-challenge-loop", looping, mail(TROUBLE)).never(never),
        case("auth-login-loop", login, mail(TROUBLE)).never(never),
        case("auth-cram-garbage", cram, mail(TROUBLE)).never(never),
    ];
    play(Speaks::Smtp, &TestCa::new(), &cases);
}

#[test]
fn in_the_envelope() {
    let wordy = format!("550-5.1.1 {0}\r\n550-5.1.1 {0}\r\n550 5.1.1 {0}\r\n", "no ".repeat(1300));
    let rcpt = |starts| Told("RCPT", starts);
    let data = |starts| Told("DATA", starts);
    let (no_rcpt, no_data) = (&["RCPT"], &["DATA"]);
    let mut unasked = cut(send_part(), MAIL + 1, say("250 2.1.5 unasked"));
    unasked.extend([expect("RCPT"), say("550 5.1.1 nobody"), Step::Stall]);
    let mut after_refusal = cut(send_part(), RCPT, say("550 5.1.1 nobody\r\n250 2.1.5 or perhaps"));
    after_refusal.push(Step::Stall);
    let cases = [
        at("mail-never", MAIL, Step::Stall, mail(TROUBLE)).words(&["did not answer in time"]).never(no_rcpt),
        line("mail-550-two-lines", MAIL, "550-5.7.1 not\r\n550 5.7.1 from here", mail(&["550 5.7.1 not from here\r"]))
            .never(no_rcpt),
        line("mail-451", MAIL, "451 4.3.0 later", mail(&["451 4.3.0 later\r"])).never(no_rcpt),
        line("mail-354", MAIL, "354 go on", mail(TROUBLE)).never(no_rcpt),
        line("mail-334", MAIL, "334 ", mail(TROUBLE)).never(no_rcpt),
        line("mail-221", MAIL, "221 bye", mail(TROUBLE)).never(no_rcpt),
        line("mail-235", MAIL, "235 in", mail(TROUBLE)).never(no_rcpt),
        line("mail-099", MAIL, "099 ok", mail(TROUBLE)).never(no_rcpt),
        line("mail-600", MAIL, "600 ok", mail(TROUBLE)).never(no_rcpt),
        line("mail-25", MAIL, "25 ok", mail(TROUBLE)).never(no_rcpt),
        line("mail-2500", MAIL, "2500 ok", mail(TROUBLE)).never(no_rcpt),
        line("mail-no-code", MAIL, "OK", mail(TROUBLE)).never(no_rcpt),
        line("mail-mixed-codes", MAIL, "250-ok\r\n550 no", mail(TROUBLE)).never(no_rcpt),
        at("mail-drip-forever", MAIL, drip("250 "), mail(TROUBLE)).never(no_rcpt),
        instead("mail-lines-drip-forever", MAIL, drip_lines("250-x", "250 2.1.0 ok"), mail(TROUBLE)).never(no_rcpt),
        line("mail-and-rcpt-answered-together", MAIL, "250 2.1.0 ok\r\n250 2.1.5 ok", rcpt(TROUBLE)).never(no_rcpt),
        case("reply-unsolicited-smtp", unasked, rcpt(&["451 4.", "550 5.1.1 nobody"])).never(no_data),
        line("rcpt-one-refused", RCPT, "550 5.1.1 no such user", rcpt(&["550 5.1.1 no such user\r"])).never(no_data),
        line("rcpt-450", RCPT, "450 4.2.1 greylisted", rcpt(&["450 4.2.1 greylisted\r"])).never(no_data),
        line("rcpt-421", RCPT, "421 4.3.2 closing down", rcpt(&["421 4.3.2 closing down\r"])).never(no_data),
        at(
            "reply-nul-8bit",
            RCPT,
            Step::Send(b"552 5.2.2 caf\xe9 \0full\x1b[31m\r\n".to_vec()),
            rcpt(&["552 5.2.2 caf? ?full?[31m\r"]),
        )
        .never(no_data),
        at("reply-three-lines-of-4k", RCPT, Step::Send(wordy.into_bytes()), rcpt(&["550 5.1.1 no no no"]))
            .never(no_data),
        line("rcpt-334", RCPT, "334 more", rcpt(TROUBLE)).never(no_data),
        line("rcpt-354", RCPT, "354 go on", rcpt(TROUBLE)).never(no_data),
        line("rcpt-235", RCPT, "235 in", rcpt(TROUBLE)).never(no_data),
        line("rcpt-pop3", RCPT, "+OK", rcpt(TROUBLE)).never(no_data),
        line("rcpt-two-hundred-and-one-lines", RCPT, &("550-no\r\n".repeat(201) + "550 no"), rcpt(TROUBLE))
            .never(no_data),
        at("rcpt-bare-cr", RCPT, Step::Send(b"550 no\r250 ok\r\n".to_vec()), rcpt(&["550 no?250 ok\r"])).never(no_data),
        drops("rcpt-drop", RCPT, Step::Close, rcpt(TROUBLE)).never(no_data),
        case("rcpt-refused-and-more", after_refusal, rcpt(&["550 5.1.1 nobody\r"])).never(no_data),
        line("data-250", DATA, "250 ok", data(TROUBLE)),
        line("data-221", DATA, "221 bye", data(TROUBLE)),
        line("data-550", DATA, "550 5.7.1 not today", data(&["550 5.7.1 not today\r"])),
        line("data-no-code", DATA, "go ahead", data(TROUBLE)),
        at("data-never", DATA, Step::Stall, data(TROUBLE)),
        instead("data-354-in-lines", DATA, say("354-go\r\n354 on"), Well),
    ];
    play(Speaks::Smtp, &TestCa::new(), &cases);
}

#[test]
fn in_and_after_the_body() {
    let dot = |starts| Told(".", starts);
    let unknown: &[&str] = &["451 4.4.2 "];
    let wordy = format!("250-2.0.0 {0}\r\n250-2.0.0 {0}\r\n250 2.0.0 {0}\r\n", "ok ".repeat(1300));
    let words = &["unknown", "localhost", "may have been sent"];
    // The answer begins before the message has ended, and ends behind it.
    let mut begun = cut(send_part(), BODY, say("250-2.0.0 queued"));
    begun.extend([Step::ExpectMessage, say("250 2.0.0 queued"), Step::Stall]);
    let mut half = cut(send_part(), BODY, Step::Send(b"250 2.0".to_vec()));
    half.extend([Step::ExpectMessage, say(".0 queued"), Step::Stall]);
    let early = |name: &str, said: &str, starts| {
        line(name, DATA, &format!("354 go on\r\n{said}"), dot(starts)).not_delivered().whole()
    };
    let cases = [
        early("250-before-dot", "250 2.0.0 queued", &["451 "]),
        early("354-twice", "354 go on", &["451 "]),
        early("421-in-data", "421 4.3.2 closing down", &["421 4.3.2 closing down\r"]),
        early("552-in-data", "552-5.3.4 too\r\n552 5.3.4 big", &["552 5.3.4 too big\r"]),
        early("no-code-in-data", "hello", &["451 "]),
        early("lines-flood-in-data", &"250-more\r\n".repeat(5000), &["451 "]),
        case("250-begun-before-dot", begun, dot(unknown)).words(&["unknown"]),
        case("250-cut-around-dot", half, dot(unknown)).words(&["unknown"]),
        at("stall-after-dot", DOT, Step::Stall, dot(unknown)).words(words),
        drops("drop-after-dot", DOT, Step::Close, dot(unknown)).words(words),
        drops("reset-after-dot", DOT, Step::Reset, dot(unknown)).words(words),
        case(
            "drop-in-the-answer",
            {
                let mut part = cut(send_part(), DOT, Step::Send(b"250 2.0.0 que".to_vec()));
                part.push(Step::Close);
                part
            },
            dot(unknown),
        )
        .words(words),
        at("drip-after-dot", DOT, drip("250 "), dot(unknown)).words(words),
        instead("lines-drip-after-dot", DOT, drip_lines("250-x", "250 2.0.0 queued"), dot(unknown)).words(words),
        line("reply-354-after-dot", DOT, "354 more", dot(unknown)).words(words),
        line("reply-334-after-dot", DOT, "334 more", dot(unknown)).words(words),
        line("reply-221-after-dot", DOT, "221 bye", dot(unknown)).words(words),
        line("reply-235-after-dot", DOT, "235 in", dot(unknown)).words(words),
        line("reply-pop3-after-dot", DOT, "+OK queued", dot(unknown)).words(words),
        line("reply-not-a-code-after-dot", DOT, "queued as 1234", dot(unknown)).words(words),
        line("reply-mixed-after-dot", DOT, "250-queued\r\n550 not queued", dot(unknown)).words(words),
        line("reply-endless-after-dot", DOT, &"250-more\r\n".repeat(5000), dot(unknown)).words(words),
        at("reply-line-64k-after-dot", DOT, Step::Send([b"250 ".as_slice(), &[b'x'; 65_536]].concat()), dot(unknown))
            .words(words),
        line("reply-550-after-dot", DOT, "550-5.7.1 spam\r\n550 5.7.1 it is", dot(&["550 5.7.1 spam it is\r"])),
        line("reply-452-after-dot", DOT, "452 4.3.1 disk full", dot(&["452 4.3.1 disk full\r"])),
        line("reply-421-after-dot", DOT, "421 4.3.2 closing down", dot(&["421 4.3.2 closing down\r"])),
        at("reply-8-bit-after-dot", DOT, Step::Send(b"250 2.0.0 \xfc\0ok\r\n".to_vec()), dot(&["250 2.0.0 ??ok\r"])),
        at("reply-three-lines-of-4k-after-dot", DOT, Step::Send(wordy.into_bytes()), dot(&["250 2.0.0 ok ok"])),
        line("250-twice-after-dot", DOT, "250 2.0.0 queued\r\n250 2.0.0 queued", dot(&["250 2.0.0 queued\r"])),
        at("quit-no-answer-smtp", DOT + 2, Step::Stall, Well),
        drops("drop-after-250", DOT + 1, Step::Close, Well),
    ];
    play(Speaks::Smtp, &TestCa::new(), &cases);
}
