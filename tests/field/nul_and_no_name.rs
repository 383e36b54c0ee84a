//! Seen beside the reports: NUL in an outgoing message, and a client that gives no user name.

use crate::sign_in::{ANN, BOB, Desk, b64, greet, plain_said, secret, takes_a_message};
use crate::support::client::Client;
use crate::support::wait_for;

/// What the provider gets of a message.
fn carried(desk: &Desk, number: usize) -> Vec<u8> {
    let received = desk.provider.finished(number);
    let start = memchr::memmem::find(&received, b"DATA\r\n").unwrap() + 6;
    let end = memchr::memmem::find(&received, b"QUIT\r\n").unwrap();
    received[start..end].to_vec()
}

fn send(desk: &Desk, pieces: &[&[u8]]) {
    let mut client = desk.writer();
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
    for piece in pieces {
        client.send(piece);
    }
    client.expect_reply("250 2.0.0 queued");
    client.ask_reply("QUIT", "221 ");
}

fn desk(messages: usize) -> Desk {
    let secret = secret();
    let part = [greet("PLAIN"), plain_said(&secret, "235 in"), takes_a_message()].concat();
    Desk::to_send(&secret, vec![part; messages])
}

#[test]
fn a_nul_ends_no_message_and_is_taken_out_with_a_word_in_the_log() {
    let cases: [(&[u8], &[u8]); 5] = [
        (b"a\r\n\0.\r\nMAIL FROM:<eve@example.com>\r\n.\r\n", b"a\r\n..\r\nMAIL FROM:<eve@example.com>\r\n.\r\n"),
        (b"a\r\n.\0\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n.\r\n"),
        (b"a\r\n.\r\0\nb\r\n.\r\n", b"a\r\n\r\n\r\nb\r\n.\r\n"),
        (b"\0\0a\0b\0\r\n\0\0.\0\r\n.\r\n", b"ab\r\n..\r\n.\r\n"),
        (b"a\r\n..\0\r\n.\r\n", b"a\r\n..\r\n.\r\n"),
    ];
    let desk = desk(2 * cases.len());
    for (n, (sent, wanted)) in cases.iter().enumerate() {
        send(&desk, &[sent]);
        assert_eq!(carried(&desk, 2 * n).escape_ascii().to_string(), wanted.escape_ascii().to_string());
        // However it is cut.
        let octets: Vec<&[u8]> = sent.chunks(1).collect();
        send(&desk, &octets);
        assert_eq!(carried(&desk, 2 * n + 1).escape_ascii().to_string(), wanted.escape_ascii().to_string());
    }
    let lines = || desk.ostler.log().lines().filter(|line| line.contains("NUL octet")).count();
    wait_for("a line for each message", || (lines() == 2 * cases.len()).then_some(()));
}

#[test]
fn a_message_without_nul_passes_as_it_is_and_without_a_word() {
    let desk = desk(1);
    let body = [
        b"Subject: x\r\n\r\n".as_slice(),
        &b"8-bit \xe4\xff and \x1b and \x7f, a long line ".repeat(100),
        b"\r\n..\r\n.\r\n",
    ]
    .concat();
    send(&desk, &[&body]);
    assert_eq!(carried(&desk, 0), body);
    assert!(!desk.ostler.log().contains("NUL"), "{}", desk.ostler.log());
}

#[test]
fn a_big_message_full_of_nul_comes_through_without_them() {
    let desk = desk(1);
    let line = [&b"x".repeat(70)[..], b"\0\r\n"].concat();
    let body = [line.repeat(5_000), b".\r\n".to_vec()].concat();
    let pieces: Vec<&[u8]> = body.chunks(1500).collect();
    send(&desk, &pieces);
    let wanted: Vec<u8> = body.iter().copied().filter(|octet| *octet != 0).collect();
    assert!(carried(&desk, 0) == wanted);
    wait_for("the line in the log", || desk.ostler.log().contains("account home: 5000 NUL octets").then_some(()));
}

#[test]
fn no_user_name_is_told_the_names_there_are() {
    let desk = Desk::to_fetch(&secret(), vec![]);
    let names = "-ERR [AUTH] ostler has no account without a user name; it has: home; use one of these";
    for line in ["USER", "USER ", "user   ", "USER \t"] {
        Client::greeted(desk.ostler.pop3, "+OK").ask(line, names);
    }
    let mut client = Client::greeted(desk.ostler.pop3, "+OK");
    client.ask("AUTH PLAIN", "+ ");
    client.ask(&b64("\0\0typed"), names);
    client.ask("AUTH LOGIN", "+ ");
    client.ask("", "+ ");
    client.ask(&b64("typed"), names);
    client.ask("PASS typed", "-ERR USER comes first");
    assert_eq!(desk.provider.connections(), 0);
    let explained = desk.ostler.home.ostler(&["check", "--explain", names], "");
    assert!(String::from_utf8_lossy(&explained.stdout).contains("belongs to no account"), "{explained:?}");
}

#[test]
fn no_user_name_at_the_sending_door_is_as_good_as_none() {
    let desk = desk(1);
    let mut client = desk.writer();
    client.ask_reply(&format!("AUTH PLAIN {}", b64("\0\0typed")), "235 ");
    client.ask("AUTH LOGIN", "334 ");
    client.ask("", "334 ");
    client.ask_reply(&b64("typed"), "235 ");
    crate::sign_in::send_on(&mut client);
    client.ask_reply("QUIT", "221 ");
}
