//! Clients that go, wait, hurry or never read, at every point of a session.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::every_point::{honest_fetch, honest_send, ostler_before, pop3, send, signed_in, smtp, up_to_data};
use super::honest::{ANN, BOB, MESSAGE, Speaks, completed, cut, fetch_part, large, send_part};
use crate::support::client::Client;
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::{mail, wait_for};

// Clients.

/// A provider for as many honest sends as are asked, each closed by QUIT or not.
fn patient(count: usize) -> Vec<Part> {
    vec![send_part(); count]
}

#[test]
fn a_body_comes_byte_for_byte_whatever_is_in_it() {
    let mut message = mail::tricky("bytes");
    // Mail has no NUL; what becomes of one is in tests/field.
    message.extend((1..=255u8).filter(|byte| !matches!(byte, b'\r' | b'\n')));
    message.extend_from_slice(b"\r\n");
    message.extend(std::iter::repeat_n(b'y', 100_000));
    message.extend_from_slice(b"\r\n");
    let peer = Provider::start(patient(2));
    let ostler = ostler_before(Speaks::Smtp, &peer, "");
    let (verdict, _) = send(ostler.smtp, &message);
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
            let (peer, ostler) = smtp(Vec::new(), "");
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
    up_to_data(&mut client);
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
        let mut client = signed_in(ostler.pop3, "home");
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
                assert!(asked.elapsed() < Duration::from_secs(20), "{count}: {:?}", asked.elapsed());
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
    let mut deaf = signed_in(ostler.pop3, "home");
    deaf.say("RETR 1");
    peer.received(0, "RETR 1");
    honest_fetch(ostler.pop3);
    // And it is not waited for without end.
    peer.over(0);
    drop(deaf);
}

/// The system takes megabytes in advance if it is let, and then none for as long as a third of them lasts: at this speed,
/// longer than the time limit.
#[test]
fn a_client_that_reads_slowly_but_steadily_gets_all_of_it() {
    let message = mail::stuffed(&large(8_000_000));
    let mut part = cut(fetch_part(), 5, expect("RETR 1"));
    part.extend([Step::Send([b"+OK\r\n", message.as_slice()].concat()), Step::Stall]);
    let (_peer, ostler) = pop3(vec![part], "\n[timeouts]\ndata = \"2s\"\n");
    let stream = TcpStream::connect(("127.0.0.1", ostler.pop3)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut client = BufReader::new(stream);
    for said in ["", "USER home\r\n", "PASS x\r\n", "RETR 1\r\n"] {
        client.get_mut().write_all(said.as_bytes()).unwrap();
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        assert!(line.starts_with("+OK"), "{line}");
    }
    let (began, mut got, mut block) = (Instant::now(), 0, [0; 16 * 1024]);
    while got < message.len() {
        let count = client.read(&mut block).unwrap();
        assert!(count > 0, "cut off after {got} octets, {:?}", began.elapsed());
        got += count;
        // Slow for six seconds, which is what it is about.
        if began.elapsed() < Duration::from_secs(6) {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(got, message.len());
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
