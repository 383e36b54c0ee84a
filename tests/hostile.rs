//! Providers and clients that misbehave, at every point of a session. After each case the same ostler serves an honest
//! session.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use support::ca::TestCa;
use support::client::Client;
use support::ostler::{Account, Home, Ostler, Server};
use support::provider::{Marks, Part, Provider, Step, expect, say};
use support::{mail, unique, wait_for};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

/// Small limits, so that whatever hangs is found out soon.
const HASTY: &str = "\n[timeouts]\nconnect = \"1s\"\ntls = \"1s\"\ngreeting = \"600ms\"\nreply = \"600ms\"\ndata = \"600ms\"\nfinal = \"600ms\"\n";
/// More than all the limits above one after the other, on a busy machine.
const AT_MOST: Duration = Duration::from_secs(20);

const MESSAGE: &[u8] = b"Subject: hello\r\n\r\n.dot\r\nbody\r\n";

fn send_part() -> Part {
    vec![
        say("220 ready"),
        expect("EHLO"),
        say("250-mx\r\n250-8BITMIME\r\n250 AUTH PLAIN"),
        expect("AUTH PLAIN"),
        say("235 2.7.0 in"),
        expect("MAIL FROM:<ann@example.org>"),
        say("250 2.1.0 ok"),
        expect("RCPT TO:<bob@example.com>"),
        say("250 2.1.5 ok"),
        expect("DATA"),
        say("354 go on"),
        Step::ExpectMessage,
        say("250 2.0.0 queued"),
        expect("QUIT"),
        say("221 bye"),
    ]
}

/// Where in [`send_part`] the message is read.
const BODY: usize = 11;

fn fetch_part() -> Part {
    let mut message = b"+OK\r\n".to_vec();
    message.extend(mail::stuffed(MESSAGE));
    vec![
        say("+OK ready"),
        expect("USER ann@example.org"),
        say("+OK"),
        expect("PASS"),
        say("+OK in"),
        expect("STAT"),
        say("+OK 1 30"),
        expect("RETR 1"),
        Step::Send(message),
        expect("DELE 1"),
        say("+OK deleted"),
        expect("QUIT"),
        say("+OK committed"),
    ]
}

/// An SMTP provider in clear that plays these parts, and then honest ones; and ostler before it.
fn smtp(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    let peer = Provider::always(send_part());
    cases.into_iter().for_each(|case| peer.next(case));
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", peer.port));
    let ostler = Home::with_settings(&TestCa::new(), &[account], "", more).run_as(&["run", "-v"]);
    (peer, ostler)
}

fn pop3(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    let peer = Provider::always(fetch_part());
    cases.into_iter().for_each(|case| peer.next(case));
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", peer.port));
    let ostler = Home::with_settings(&TestCa::new(), &[account], "", more).run_as(&["run", "-v"]);
    (peer, ostler)
}

/// Sends as an old client does, as far as it gets; the answer to the end of the message, if it came so far, and the last
/// answer of all.
fn try_send(port: u16, message: &[u8]) -> (Option<String>, Option<String>) {
    let mut client = Client::greeted(port, "220 ");
    let mut last = None;
    for (line, good) in [
        ("EHLO old-pc".to_owned(), "250"),
        (format!("MAIL FROM:<{ANN}>"), "250"),
        (format!("RCPT TO:<{BOB}>"), "250"),
        ("DATA".to_owned(), "354"),
    ] {
        last = client.try_ask(&line);
        if last.as_ref().is_none_or(|answer| !answer.starts_with(good)) {
            return (None, last);
        }
    }
    // A provider that hung up need not be sent all of it.
    client.try_send(mail::stuffed(message));
    let verdict = client.try_reply();
    if verdict.is_some() {
        last = client.try_ask("QUIT");
    }
    (verdict, last)
}

fn honest_send(port: u16) {
    let (verdict, last) = try_send(port, MESSAGE);
    assert_eq!(verdict.as_deref(), Some("250 2.0.0 queued"), "the session after it: {last:?}");
}

fn honest_fetch(port: u16) {
    let mut client = Client::greeted(port, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS x", "+OK");
    client.ask("STAT", "+OK 1 30");
    client.say("RETR 1");
    assert_eq!(client.expect_body(), MESSAGE);
    client.ask("DELE 1", "+OK");
    client.ask("QUIT", "+OK committed");
}

fn up_to_data(client: &mut Client) {
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
}

/// How many messages a provider has got to their end.
fn completed(received: &[u8]) -> usize {
    memchr::memmem::find_iter(received, b"\r\n.\r\n").count()
}

/// Plays the cases against a sending client, each followed by an honest session. The judge hears the number of the case,
/// the verdict on the message, the last answer, and what the provider got.
fn sends(
    cases: &[Part],
    more: &str,
    message: &[u8],
    mut judge: impl FnMut(usize, Option<String>, Option<String>, &[u8]),
) {
    let (peer, ostler) = smtp(vec![], more);
    for (number, case) in cases.iter().enumerate() {
        let first = peer.connections();
        peer.next(case.clone());
        let asked = Instant::now();
        let (verdict, last) = try_send(ostler.smtp, message);
        assert!(asked.elapsed() < AT_MOST, "case {number} took {:?}", asked.elapsed());
        let received = peer.over(first).received;
        let again = peer.connections() - first - 1;
        // Where it is seen to have hung up before the next command, that is said to a new one; never after DATA.
        let said_data = memchr::memmem::find(&received, b"DATA").is_some();
        assert!(again == 0 || (again == 1 && !said_data), "case {number}: {again} more connections");
        if again == 0 {
            judge(number, verdict, last, &received);
        }
        let next = peer.connections();
        honest_send(ostler.smtp);
        assert_eq!(completed(&peer.finished(next)), 1);
    }
}

/// A reply that says trouble of the moment, or a closed connection; never "sent", never a wrong password.
fn is_trouble(answer: Option<&String>) -> bool {
    answer.is_none_or(|answer| {
        (answer.starts_with("45") || answer.starts_with("421 ")) && answer.is_ascii() && answer.len() <= 510
    })
}

fn cut(part: Part, at: usize, last: Step) -> Part {
    let mut part: Part = part.into_iter().take(at).collect();
    part.push(last);
    part
}

#[test]
fn a_provider_that_drops_a_send_at_any_point_never_makes_a_250_and_is_not_asked_again() {
    let cases: Vec<Part> = [Step::Close, Step::Reset]
        .into_iter()
        .flat_map(|last| (0..BODY + 2).map(move |at| cut(send_part(), at, last.clone())))
        .collect();
    let points = cases.len() / 2;
    sends(&cases, "", MESSAGE, |number, verdict, last, received| {
        let at = number % points;
        let said_250 = verdict.as_ref().is_some_and(|verdict| verdict.starts_with("250"));
        assert!(completed(received) <= 1, "case {number}");
        assert!(!said_250, "case {number} {verdict:?}");
        assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
        if at == BODY + 1 {
            assert_eq!(completed(received), 1);
            assert!(verdict.unwrap().contains("unknown"), "case {number}");
        }
    });
}

#[test]
fn a_provider_that_hangs_up_after_its_250_has_said_it() {
    sends(&[cut(send_part(), BODY + 2, Step::Close)], "", MESSAGE, |_, verdict, last, received| {
        assert_eq!(verdict.as_deref(), Some("250 2.0.0 queued"));
        assert!(last.unwrap().starts_with("221"));
        assert_eq!(completed(received), 1);
    });
}

/// A message cut off after every 64 KB, with and without a reset.
fn cut_every_64_kilobytes() -> Vec<Part> {
    (0..7)
        .flat_map(|block| {
            [Step::Close, Step::Reset].map(|last| {
                let mut part = cut(send_part(), BODY, Step::Until(400 + block * 65_536));
                part.push(last);
                part
            })
        })
        .collect()
}

#[test]
fn a_provider_that_drops_every_64_kilobytes_of_a_body_gets_no_end_of_message() {
    // The small limits are for what the test below is about.
    sends(&cut_every_64_kilobytes(), HASTY, &large(448 * 1024), |number, verdict, _, received| {
        assert!(is_trouble(verdict.as_ref()), "case {number}: {verdict:?}");
        // The end may have been on its way when the provider left; then nobody knows, and it says so.
        let verdict = verdict.unwrap_or_default();
        assert!(completed(received) == 0 || verdict.contains("unknown"), "case {number}: {verdict}");
    });
}

#[test]
fn a_provider_lost_in_a_body_is_told_behind_the_final_dot_and_not_when_time_is_up() {
    for _ in 0..5 {
        sends(&cut_every_64_kilobytes(), "", &large(448 * 1024), |number, verdict, _, _| {
            assert!(verdict.is_some_and(|verdict| verdict.starts_with("451 ")), "case {number}");
        });
    }
}

fn large(size: usize) -> Vec<u8> {
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    while message.len() < size {
        message.extend_from_slice(b"0123456789012345678901234567890123456789012345678901234567890123456789\r\n");
    }
    message
}

#[test]
fn a_provider_that_stalls_a_send_at_any_point_is_given_up_in_time() {
    let cases: Vec<Part> = (0..BODY + 2).map(|at| cut(send_part(), at, Step::Stall)).collect();
    sends(&cases, HASTY, MESSAGE, |number, verdict, last, received| {
        assert!(completed(received) <= 1, "case {number}");
        if number < BODY + 2 {
            assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
        }
        if number == BODY || number == BODY + 1 {
            assert!(verdict.unwrap().contains("unknown"), "case {number}");
        }
    });
}

#[test]
fn a_provider_that_takes_no_more_of_a_body_is_given_up_in_time() {
    let mut deaf = cut(send_part(), BODY, Step::Until(70_000));
    deaf.push(Step::Deaf);
    sends(&[deaf], HASTY, &large(20_000_000), |_, verdict, _, received| {
        assert!(verdict.unwrap().starts_with("451"));
        assert_eq!(completed(received), 0);
    });
}

#[test]
fn replies_that_drip_are_given_up_by_the_line_and_not_by_the_byte() {
    let drip =
        |text: &str| Step::Drip(format!("{text} {}\r\n", "x".repeat(200)).into_bytes(), Duration::from_millis(50));
    let drips = [(0, "220"), (2, "250-mx"), (4, "235"), (6, "250"), (8, "250"), (10, "354"), (12, "250")];
    let cases: Vec<Part> = drips.iter().map(|(at, text)| cut(send_part(), *at, drip(text))).collect();
    sends(&cases, HASTY, MESSAGE, |number, verdict, last, _| {
        assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
    });
}

/// Replies that are none, at each place where one is due.
#[test]
fn replies_that_are_none_lead_to_no_250() {
    let long = format!("250 {}", "x".repeat(10_000));
    let endless = "250-more\r\n".repeat(5_000);
    let replies = [
        "hello",
        "",
        "99 two",
        "250_ok",
        "250-ok\r\n550 no",
        "999 no",
        "100 continue",
        "+OK",
        &long,
        &endless,
        "\0\0\0",
        "\u{16}\u{3}\u{1}",
    ];
    let mut cases = Vec::new();
    for reply in replies {
        for at in [0, 2, 4, 6, 8, 10, 12] {
            let mut part = cut(send_part(), at, say(reply));
            part.push(Step::Stall);
            cases.push(part);
        }
    }
    sends(&cases, HASTY, MESSAGE, |number, verdict, last, received| {
        assert!(completed(received) <= 1, "case {number}");
        assert!(is_trouble(verdict.as_ref().or(last.as_ref())), "case {number}: {verdict:?} {last:?}");
    });
}

#[test]
fn odd_replies_reach_the_client_as_one_clean_line() {
    let odd = [
        ("550-5.1.1 no such\r\n550 5.1.1 user", "550 5.1.1 no such user"),
        ("550", "550"),
        ("552 5.2.2 caf\u{e9} \0full\u{1b}[31m", "552 5.2.2 caf?? ?full?[31m"),
        ("550\tno tab", "550 no tab"),
    ];
    let cases: Vec<Part> = odd
        .iter()
        .map(|(reply, _)| {
            let mut part = cut(send_part(), 8, say(reply));
            part.push(Step::Stall);
            part
        })
        .collect();
    sends(&cases, "", MESSAGE, |number, _, last, _| assert_eq!(last.as_deref(), Some(odd[number].1)));
}

#[test]
fn a_421_anywhere_is_passed_on_and_closes() {
    let cases: Vec<Part> = [6, 8, 10, 12]
        .map(|at| {
            let mut part = cut(send_part(), at, say("421 4.3.2 closing down"));
            part.push(Step::Close);
            part
        })
        .to_vec();
    sends(&cases, "", MESSAGE, |number, verdict, last, _| {
        let told = verdict.clone().or(last.clone());
        assert_eq!(told.as_deref(), Some("421 4.3.2 closing down"), "case {number}");
        if verdict.is_some() {
            assert_eq!(last, None, "421 closes");
        }
    });
}

#[test]
fn a_421_or_a_refusal_in_place_of_the_greeting_is_trouble_of_the_moment() {
    let cases: Vec<Part> =
        ["421 too busy", "554 go away", "450 later"].map(|greeting| vec![say(greeting), Step::Close]).to_vec();
    sends(&cases, "", MESSAGE, |_, _, last, _| assert!(last.unwrap().starts_with("451 4.3.0 ")));
}

#[test]
fn an_answer_before_the_final_dot_is_no_answer_to_it() {
    for (early, wanted) in [
        ("250 2.0.0 queued", "451 "),
        ("354 again", "451 "),
        ("552 5.3.4 too big", "552 5.3.4 too big"),
        ("421 bye", "421 bye"),
    ] {
        let marks = Marks::default();
        let mut part = cut(send_part(), BODY, Step::Until(70_000));
        part.extend([say(early), Step::Mark(marks.clone(), "early"), Step::Stall]);
        let (peer, ostler) = smtp(vec![part], "");
        let mut client = Client::greeted(ostler.smtp, "220 ");
        up_to_data(&mut client);
        client.send(large(100_000));
        wait_for("the early answer", || marks.all().first().copied());
        client.send(mail::stuffed(&large(1000)));
        let verdict = client.try_reply().unwrap();
        assert!(verdict.starts_with(wanted), "{early}: {verdict}");
        assert_eq!(completed(&peer.over(0).received), 0, "{early}");
        honest_send(ostler.smtp);
    }
    // In the same segment as the 354, and in two lines around the dot.
    let mut part = cut(send_part(), BODY - 1, say("354 go on\r\n250 2.0.0 queued"));
    part.push(Step::Stall);
    sends(&[part], "", MESSAGE, |_, verdict, _, received| {
        assert!(verdict.unwrap().starts_with("451 "));
        assert_eq!(completed(received), 0);
    });
}

#[test]
fn a_reply_nobody_asked_for_is_never_taken_for_an_answer() {
    // One more 250 behind the answer to MAIL: the refusal of RCPT must not be hidden by it.
    let mut part = cut(send_part(), 6, say("250 2.1.0 ok\r\n250 2.1.5 ok"));
    part.extend([expect("RCPT"), say("550 5.1.1 no"), Step::Stall]);
    let (peer, ostler) = smtp(vec![part], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    // Either trouble is reported, or another connection was asked (which plays the honest part).
    let answer = client.try_ask(&format!("RCPT TO:<{BOB}>")).unwrap();
    if answer.starts_with("250") {
        peer.received(1, "RCPT TO:<bob@example.com>");
    } else {
        assert!(answer.starts_with('4'), "{answer}");
    }
}

#[test]
fn an_endless_sign_in_is_given_up() {
    let mut loops = cut(send_part(), 4, say("334 UGFzc3dvcmQ6"));
    for _ in 0..50 {
        loops.extend([expect(""), say("334 UGFzc3dvcmQ6")]);
    }
    let mut login = vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH LOGIN"), expect("AUTH LOGIN")];
    for _ in 0..50 {
        login.extend([say("334 UGFzc3dvcmQ6"), expect("")]);
    }
    let mut cram = vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH CRAM-MD5"), expect("AUTH CRAM-MD5")];
    cram.extend([say("334 !!not base64!!"), Step::Stall]);
    let unknown = vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH NTLM GSSAPI"), Step::Stall];
    sends(&[loops, login, cram, unknown], HASTY, MESSAGE, |number, _, last, _| {
        assert!(is_trouble(last.as_ref()), "case {number}: {last:?}");
    });
}

#[test]
fn a_password_that_comes_back_is_starred_in_every_form_at_every_place() {
    use base64::Engine;
    let secret = unique("echo");
    let encoded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let forms = [secret.clone(), encoded(secret.clone()), encoded(format!("\0{ANN}\0{secret}"))];
    for form in &forms {
        for (at, part) in [
            (4, say(&format!("535 5.7.8 no: {form}"))),
            (4, say(&format!("535-5.7.8 no\r\n535-{form}\r\n535 5.7.8 end"))),
            (4, say(&format!("454 4.7.0 later: {form}"))),
            (4, say(&format!("{form} is not it"))),
            (4, say(&format!("334 {form}"))),
            (4, say(&format!("250 {form}"))),
            (4, say(&format!("421 {form}"))),
            (6, say(&format!("550 5.7.1 not from you: {form}"))),
            (8, say(&format!("451-4.7.1 not to them\r\n451 {form}"))),
            (10, say(&format!("554 {form}"))),
        ] {
            let mut played = cut(send_part(), at, part);
            played.push(Step::Stall);
            let peer = Provider::start(vec![played]);
            let account = Account::new("home", ANN, &secret).smtp(Server::new("none", peer.port));
            let ostler = Home::with_settings(&TestCa::new(), &[account], "", HASTY).run_as(&["run", "-vv"]);
            let (_, last) = try_send(ostler.smtp, MESSAGE);
            let last = last.unwrap();
            assert!(forms.iter().all(|form| !last.contains(form.trim_end_matches('='))), "{last}");
            assert!(!last.starts_with("535"), "{last}");
        }
        for reply in ["-ERR [AUTH] no: ", "-ERR [SYS/TEMP] later: ", "-ERR [IN-USE] ", "", "+OK welcome ", "* "] {
            let mut played = cut(fetch_part(), 4, say(&format!("{reply}{form}")));
            played.push(Step::Stall);
            let peer = Provider::start(vec![played]);
            let account = Account::new("home", ANN, &secret).pop3(Server::new("none", peer.port));
            let ostler = Home::with_settings(&TestCa::new(), &[account], "", HASTY).run_as(&["run", "-vv"]);
            let mut client = Client::greeted(ostler.pop3, "+OK");
            client.ask("USER home", "+OK");
            let answer = client.try_ask("PASS x").unwrap();
            assert!(!answer.contains(form.trim_end_matches('=')), "{answer}");
            // What the log and the status hold is looked at when ostler ends.
            let status = ostler.home.ostler(&["status", "--json"], "");
            assert!(status.status.success());
        }
    }
}

/// As a client of the time fetches, as far as it gets: what it heard to each command.
fn try_fetch(port: u16) -> Vec<(&'static str, Vec<u8>)> {
    let mut client = Client::greeted(port, "+OK");
    let mut heard = Vec::new();
    for line in ["USER home", "PASS x", "STAT", "RETR 1", "DELE 1", "QUIT"] {
        if !client.try_send(format!("{line}\r\n")) {
            break;
        }
        let Some(mut answer) = client.raw_line() else { break };
        let ok = answer.starts_with(b"+OK");
        if line == "RETR 1" && ok {
            loop {
                let Some(more) = client.part_of_line() else {
                    heard.push(("cut", answer));
                    return heard;
                };
                answer.extend_from_slice(&more);
                if more == b".\r\n" {
                    break;
                }
            }
        }
        heard.push((line, answer));
        if !ok {
            break;
        }
    }
    heard
}

fn fetches(cases: &[Part], more: &str, mut judge: impl FnMut(usize, &[(&'static str, Vec<u8>)], &[u8])) {
    let (peer, ostler) = pop3(vec![], more);
    for (number, case) in cases.iter().enumerate() {
        let first = peer.connections();
        peer.next(case.clone());
        let asked = Instant::now();
        let heard = try_fetch(ostler.pop3);
        assert!(asked.elapsed() < AT_MOST, "case {number} took {:?}", asked.elapsed());
        let received = peer.over(first).received;
        let again = peer.connections() - first - 1;
        let knows_secret = memchr::memmem::find(&received, b"PASS").is_some();
        assert!(again == 0 || (again == 1 && !knows_secret), "case {number}: {again} more connections");
        if again == 0 {
            judge(number, &heard, &received);
        }
        let next = peer.connections();
        honest_fetch(ostler.pop3);
        peer.finished(next);
    }
}

fn shown(heard: &[(&'static str, Vec<u8>)]) -> String {
    heard.iter().map(|(line, answer)| format!("{line} -> {:?}\n", String::from_utf8_lossy(answer))).collect()
}

/// Nothing was said to the client that the provider had not said, and trouble has its own words.
fn honest_answers(at: usize, heard: &[(&'static str, Vec<u8>)]) {
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
    let mut whole = b"+OK\r\n".to_vec();
    whole.extend(mail::stuffed(MESSAGE));
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
fn an_answer_too_many_never_becomes_the_answer_to_dele_or_quit() {
    for at in [6, 8, 10] {
        let mut part: Part = fetch_part().into_iter().take(at + 1).collect();
        let Step::Send(answer) = part.last_mut().unwrap() else { panic!("no answer there") };
        answer.extend_from_slice(b"+OK too many\r\n");
        part.push(Step::Stall);
        fetches(&[part], HASTY, |_, heard, received| {
            assert!(
                heard.iter().all(|(_, answer)| !String::from_utf8_lossy(answer).contains("too many")),
                "{}",
                shown(heard)
            );
            assert!(memchr::memmem::find(received, b"QUIT").is_none(), "{}", shown(heard));
        });
    }
}

#[test]
fn a_status_line_with_bad_octets_comes_clean() {
    let mut part = cut(fetch_part(), 6, Step::Send(b"+OK 1 30 \0\x1b[31m\xe4\r\n".to_vec()));
    part.push(Step::Stall);
    fetches(&[part], HASTY, |_, heard, _| {
        let (_, stat) = heard.iter().find(|(line, _)| *line == "STAT").unwrap();
        assert_eq!(stat, b"+OK 1 30 ??[31m?\r\n");
    });
}

// Clients.

/// A provider for as many honest sends as are asked, each closed by QUIT or not.
fn patient(count: usize) -> Vec<Part> {
    vec![send_part(); count]
}

#[test]
fn no_sequence_of_cr_lf_and_dot_smuggles_a_second_message() {
    let sequences: [&[u8]; 14] = [
        b"\n.\n",
        b"\n.\r\n",
        b"\n.\r",
        b"\r.\r",
        b"\r.\n",
        b"\r.\r\n",
        b"\r\n.\n",
        b"\r\n.\r",
        b"\r\r\n.\r\r\n",
        b"\n\n.\n\n",
        b"\r\n.\r\r\n",
        b"\r\n\0.\r\n",
        b"\r\n.\0\r\n",
        b"\n\r.\n\r",
    ];
    let peer = Provider::start(patient(sequences.len() * 2 + 1));
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", peer.port));
    let ostler = Home::with_settings(&TestCa::new(), &[account], "", "").run();
    for (number, sequence) in sequences.into_iter().enumerate() {
        for slowly in [false, true] {
            let mut client = Client::greeted(ostler.smtp, "220 ");
            for (line, good) in [
                ("EHLO old-pc", "250"),
                (&format!("MAIL FROM:<{ANN}>"), "250"),
                (&format!("RCPT TO:<{BOB}>"), "250"),
                ("DATA", "354"),
            ] {
                client.ask_reply(line, good);
            }
            let mut body = b"Subject: smuggle\r\n\r\nbefore".to_vec();
            body.extend_from_slice(sequence);
            body.extend_from_slice(b"MAIL FROM:<evil@example.org>\r\nafter\r\n.\r\n");
            if slowly {
                client.send_slowly(&body)
            } else {
                client.send(&body)
            }
            client.expect_reply("250 2.0.0 queued");
            client.ask_reply("QUIT", "221");
            let received = peer.finished(2 * number + usize::from(slowly));
            let start = memchr::memmem::find(&received, b"DATA\r\n").unwrap() + 6;
            let end = memchr::memmem::rfind(&received, b"QUIT\r\n").unwrap();
            let body = &received[start..end];
            let shown = format!("{sequence:?}: {:?}", String::from_utf8_lossy(body));
            assert!(body.ends_with(b"after\r\n.\r\n"), "{shown}");
            let line_end = |byte: u8| byte == b'\r' || byte == b'\n';
            let ends = body.windows(3).filter(|w| line_end(w[0]) && w[1] == b'.' && line_end(w[2])).count();
            assert_eq!(ends, 1, "{shown}");
            for (at, byte) in body.iter().enumerate() {
                match byte {
                    b'\r' => assert_eq!(body.get(at + 1), Some(&b'\n'), "{shown}"),
                    b'\n' => assert_eq!(body[at - 1], b'\r', "{shown}"),
                    _ => {}
                }
            }
        }
    }
    honest_send(ostler.smtp);
}

#[test]
fn a_body_comes_byte_for_byte_whatever_is_in_it() {
    let mut message = mail::tricky("bytes");
    message.extend((0..=255u8).filter(|byte| !matches!(byte, b'\r' | b'\n')));
    message.extend_from_slice(b"\r\n");
    message.extend(std::iter::repeat_n(b'y', 100_000));
    message.extend_from_slice(b"\r\n");
    let peer = Provider::start(patient(2));
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", peer.port));
    let ostler = Home::with_settings(&TestCa::new(), &[account], "", "").run();
    let (verdict, _) = try_send(ostler.smtp, &message);
    assert_eq!(verdict.as_deref(), Some("250 2.0.0 queued"));
    let received = peer.finished(0);
    assert!(memchr::memmem::find(&received, &mail::stuffed(&message)).is_some());
    honest_send(ostler.smtp);
}

#[test]
fn body_sent_before_data_is_answered_ends_the_connection_and_sends_nothing() {
    let mut refused = cut(send_part(), 10, say("554 5.7.1 not today"));
    refused.push(Step::Stall);
    let no_recipient = {
        let mut part = cut(send_part(), 8, say("550 5.1.1 nobody"));
        part.push(Step::Stall);
        part
    };
    let mut taken = cut(send_part(), 11, Step::Stall);
    taken.truncate(12);
    // Whether DATA is taken or refused: the body must never be heard as commands.
    for (case, part) in [taken, refused, no_recipient].into_iter().enumerate() {
        let (peer, ostler) = smtp(vec![part], "");
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.send(format!(
            "EHLO x\r\nMAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\nRSET\r\nMAIL FROM:<{ANN}>\r\nVRFY smuggled\r\n.\r\nQUIT\r\n"
        ));
        let heard = String::from_utf8(client.rest()).unwrap();
        assert!(heard.lines().last().unwrap().starts_with("421 4.7.0 "), "case {case}: {heard}");
        assert!(!heard.contains("252 "), "case {case}: {heard}");
        let received = peer.over(0).received;
        assert_eq!(completed(&received), 0, "case {case}");
        assert_eq!(memchr::memmem::find_iter(&received, b"MAIL FROM").count(), 1, "case {case}");
        honest_send(ostler.smtp);
        wait_for("the misuse in the log", || ostler.log().contains("before DATA was answered").then_some(()));
    }
}

#[test]
fn lines_that_no_mail_program_sends_end_the_connection() {
    let long = "x".repeat(70_000);
    for (line, words) in [("NOOP a\rb", "lone CR"), ("NOOP a\0b", "NUL"), (long.as_str(), "longer than")] {
        let (_peer, ostler) = smtp(vec![], "");
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO x", "250");
        client.try_send(format!("{line}\r\n"));
        let heard = String::from_utf8_lossy(&client.rest()).into_owned();
        assert!(heard.starts_with("421 ") && heard.contains(words) && heard.lines().count() == 1, "{heard}");
        wait_for("its name in the log", || ostler.log().contains(words).then_some(()));
    }
    for signed_in in [false, true] {
        for (line, words) in [("NOOP a\rb", "lone CR"), ("NOOP a\0b", "NUL"), (long.as_str(), "longer than")] {
            let mut part = cut(fetch_part(), 5, Step::Stall);
            if !signed_in {
                part.clear();
            }
            let (_peer, ostler) = pop3(vec![part], "");
            let mut client = Client::greeted(ostler.pop3, "+OK");
            if signed_in {
                client.ask("USER home", "+OK");
                client.ask("PASS x", "+OK");
            }
            client.try_send(format!("{line}\r\n"));
            let heard = String::from_utf8_lossy(&client.rest()).into_owned();
            assert!(heard.starts_with("-ERR ") && heard.contains(words) && heard.lines().count() == 1, "{heard}");
            wait_for("its name in the log", || ostler.log().contains(words).then_some(()));
        }
    }
}

#[test]
fn sixty_four_kilobytes_without_a_line_end_are_refused_before_the_end_comes() {
    let (_peer, ostler) = smtp(vec![], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.try_send(vec![b'x'; 65_536]);
    assert!(String::from_utf8_lossy(&client.rest()).starts_with("421 "));
    honest_like(&ostler);
}

/// The door still answers.
fn honest_like(ostler: &Ostler) {
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    client.ask_reply("QUIT", "221");
}

#[test]
fn every_byte_may_come_in_a_segment_of_its_own() {
    let (peer, ostler) = smtp(vec![send_part()], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    for (line, good) in [
        ("EHLO old-pc", "250"),
        (&format!("MAIL FROM:<{ANN}>"), "250"),
        (&format!("RCPT TO:<{BOB}>"), "250"),
        ("DATA", "354"),
    ] {
        client.send_slowly(format!("{line}\r\n").as_bytes());
        client.expect_reply(good);
    }
    client.send_slowly(&mail::stuffed(MESSAGE));
    client.expect_reply("250");
    client.send_slowly(b"QUIT\r\n");
    client.expect_reply("221");
    let received = peer.finished(0);
    assert!(memchr::memmem::find(&received, &mail::stuffed(MESSAGE)).is_some());
    honest_send(ostler.smtp);
}

#[test]
fn a_sending_client_that_goes_at_any_point_leaves_no_half_message() {
    #[derive(Clone, Copy, Debug)]
    enum Going {
        Close,
        Reset,
        HalfClose,
    }
    let lines = ["EHLO x\r\n", "MAIL FROM:<ann@example.org>\r\n", "RCPT TO:<bob@example.com>\r\n", "DATA\r\n"];
    let bodies =
        ["", "Subject: x\r\n\r\nhalf", "Subject: x\r\n\r\nline\r\n", "x\r\n.", "x\r\n.\r", "x\n.\n", "x\r\n..\r\n"];
    for going in [Going::Close, Going::Reset, Going::HalfClose] {
        for (count, body) in (0..=3).map(|count| (count, "")).chain(bodies.map(|body| (4, body))) {
            let peer = Provider::always(send_part());
            let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", peer.port));
            let ostler = Home::with_settings(&TestCa::new(), &[account], "", "").run();
            let mut client = Client::greeted(ostler.smtp, "220 ");
            for line in &lines[..count] {
                client.send(line);
                client.reply();
            }
            client.send(body);
            match going {
                Going::Close => drop(client),
                Going::Reset => client.reset(),
                Going::HalfClose => {
                    client.half_close();
                    assert!(!String::from_utf8_lossy(&client.rest()).contains("250 2.0.0"));
                }
            }
            if count > 1 {
                let asked = Instant::now();
                let received = peer.over(0).received;
                assert!(asked.elapsed() < Duration::from_secs(8), "{going:?} {count} {body:?}: {:?}", asked.elapsed());
                assert_eq!(completed(&received), 0, "{going:?} after {count}, {body:?}");
            }
            honest_send(ostler.smtp);
        }
    }
}

#[test]
fn a_client_that_half_closes_behind_its_last_command_hears_every_answer() {
    let (peer, ostler) = smtp(vec![send_part()], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    for (line, good) in [
        ("EHLO old-pc", "250"),
        (&format!("MAIL FROM:<{ANN}>"), "250"),
        (&format!("RCPT TO:<{BOB}>"), "250"),
        ("DATA", "354"),
    ] {
        client.ask_reply(line, good);
    }
    client.send(mail::stuffed(MESSAGE));
    client.send("QUIT\r\n");
    client.half_close();
    client.expect_reply("250 2.0.0 queued");
    client.expect_reply("221");
    peer.finished(0);
    drop((peer, ostler));

    for quit in ["QUIT\r\n", "QUIT"] {
        let mut slow = fetch_part();
        slow.insert(12, Step::Pause(Duration::from_millis(300)));
        slow.insert(8, Step::Pause(Duration::from_millis(300)));
        let (peer, ostler) = pop3(vec![slow], "");
        let mut client = Client::greeted(ostler.pop3, "+OK");
        client.ask("USER home", "+OK");
        client.ask("PASS x", "+OK");
        client.send(format!("STAT\r\nRETR 1\r\nDELE 1\r\n{quit}"));
        client.half_close();
        client.expect("+OK 1 30");
        assert_eq!(client.expect_body(), MESSAGE);
        client.expect("+OK deleted");
        client.expect("+OK committed");
        client.expect_end();
        peer.finished(0);
    }
}

#[test]
fn a_fetching_client_that_goes_at_any_point_without_quit_commits_nothing() {
    let lines = ["USER home", "PASS x", "STAT", "RETR 1", "DELE 1"];
    for reset in [false, true] {
        for (count, waits) in (1..=lines.len()).flat_map(|count| [(count, true), (count, false)]) {
            let (peer, ostler) = pop3(vec![fetch_part()], "");
            let mut client = Client::greeted(ostler.pop3, "+OK");
            for (number, line) in lines[..count].iter().enumerate() {
                client.say(line);
                if waits || number + 1 < count {
                    if line.starts_with("RETR") {
                        client.expect_body();
                    } else {
                        client.expect("+OK");
                    }
                }
            }
            if reset {
                client.reset()
            } else {
                drop(client)
            }
            if peer.connections() > 0 || count > 1 {
                let asked = Instant::now();
                let received = peer.over(0).received;
                assert!(asked.elapsed() < Duration::from_secs(5), "{count}: {:?}", asked.elapsed());
                assert!(memchr::memmem::find(&received, b"QUIT").is_none(), "{count} {waits} {reset}");
                honest_fetch(ostler.pop3);
            }
        }
    }
}

#[test]
fn a_client_that_never_reads_holds_up_nobody_else() {
    let mut big = b"+OK\r\n".to_vec();
    big.extend(mail::stuffed(&large(10_000_000)));
    let mut part = cut(fetch_part(), 5, expect("RETR 1"));
    part.extend([Step::Send(big), Step::Stall]);
    let (peer, ostler) = pop3(vec![part], "\n[timeouts]\ndata = \"2s\"\n");
    let mut deaf = Client::greeted(ostler.pop3, "+OK");
    deaf.ask("USER home", "+OK");
    deaf.ask("PASS x", "+OK");
    deaf.say("RETR 1");
    peer.received(0, "RETR 1");
    honest_fetch(ostler.pop3);
    // And it is not waited for without end.
    peer.over(0);
    drop(deaf);
}

#[test]
fn two_hundred_idle_clients_do_not_stop_the_next() {
    let (_peer, ostler) = smtp(vec![send_part()], "");
    let idle: Vec<_> = (0..200).map(|_| Client::greeted(ostler.smtp, "220 ")).collect();
    honest_send(ostler.smtp);
    drop(idle);
    honest_send(ostler.smtp);
}

#[test]
fn clients_that_drip_are_ended_by_the_clock() {
    let (_peer, ostler) = smtp(vec![send_part()], "\n[timeouts]\nlogin = \"2s\"\n");
    let started = Instant::now();
    let ended = std::thread::scope(|scope| {
        let dripping: Vec<_> = (0..20)
            .map(|_| {
                scope.spawn(|| {
                    let mut client = Client::greeted(ostler.smtp, "220 ");
                    while client.try_send("N") && started.elapsed() < AT_MOST {
                        std::thread::sleep(Duration::from_millis(50));
                    }
                })
            })
            .collect();
        honest_send(ostler.smtp);
        dripping.into_iter().map(|thread| thread.join().unwrap()).count()
    });
    assert_eq!(ended, 20);
    assert!(started.elapsed() < AT_MOST, "{:?}", started.elapsed());
}

#[test]
fn a_pipelined_send_is_served_as_far_as_data() {
    let (peer, ostler) = smtp(vec![send_part()], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.send(format!("EHLO x\r\nMAIL FROM:<{ANN}>\r\nRCPT TO:<{BOB}>\r\nDATA\r\n"));
    for code in ["250", "250", "250", "354"] {
        client.expect_reply(code);
    }
    client.send(mail::stuffed(MESSAGE));
    client.send("QUIT\r\n");
    client.expect_reply("250 2.0.0 queued");
    client.expect_reply("221");
    peer.finished(0);
}

#[test]
fn a_provider_that_hangs_up_between_two_messages_is_reached_again_unseen() {
    for goodbye in [vec![Step::Close], vec![Step::Reset], vec![say("421 4.4.2 idle too long"), Step::Close]] {
        let mut first: Part = send_part().into_iter().take(BODY + 2).collect();
        first.extend(goodbye);
        let peer = Provider::start(vec![first, send_part()]);
        let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", peer.port));
        let ostler = Home::with_settings(&TestCa::new(), &[account], "", "").run();
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO x", "250");
        for _ in 0..2 {
            for (line, good) in
                [(&*format!("MAIL FROM:<{ANN}>"), "250"), (&format!("RCPT TO:<{BOB}>"), "250"), ("DATA", "354")]
            {
                client.ask_reply(line, good);
            }
            client.send(mail::stuffed(MESSAGE));
            client.expect_reply("250 2.0.0 queued");
        }
        client.ask_reply("QUIT", "221");
        assert_eq!(completed(&peer.finished(1)), 1);
        assert_eq!(peer.connections(), 2);
    }
}

#[test]
fn two_messages_on_one_connection_share_the_providers_session() {
    let mut part: Part = send_part().into_iter().take(BODY + 2).collect();
    part.extend(send_part().into_iter().skip(5));
    let (peer, ostler) = smtp(vec![part], "");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO x", "250");
    for _ in 0..2 {
        for (line, good) in
            [(&*format!("MAIL FROM:<{ANN}>"), "250"), (&format!("RCPT TO:<{BOB}>"), "250"), ("DATA", "354")]
        {
            client.ask_reply(line, good);
        }
        client.send(mail::stuffed(MESSAGE));
        client.expect_reply("250 2.0.0 queued");
    }
    client.ask_reply("QUIT", "221");
    assert_eq!(completed(&peer.finished(0)), 2);
    assert_eq!(peer.connections(), 1);
}
