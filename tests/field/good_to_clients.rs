//! What users of old programs met and ostler gets right, as the clients see it: it stays so. What providers say at a sign-in,
//! in odd forms, is in `tests/transcripts/providers`.

use std::io::Read;
use std::time::Duration;

use crate::sign_in::{ANN, BOB, Desk, b64, plain_said, secret, takes_a_message, takes_mail_of_anyone};
use crate::support::client::Client;
use crate::support::provider::{Part, Step, expect, say};
use crate::support::wait_for;

/// A mailbox that is signed in to, and what follows.
fn mailbox(secret: &str, after: &[Step]) -> Part {
    let sign_in = [say("+OK ready"), expect("USER"), say("+OK"), expect(&format!("PASS {secret}")), say("+OK in")];
    [&sign_in, after].concat()
}

fn signed_in(desk: &Desk) -> Client {
    let mut client = Client::greeted(desk.ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.ask("PASS typed", "+OK");
    client
}

#[test]
fn good_a_greeting_in_parts_is_waited_for_and_the_client_has_its_own_meanwhile() {
    let secret = secret();
    let in_parts = |text: &str| Step::Drip(text.as_bytes().to_vec(), Duration::from_millis(40));
    let mut smtp = vec![in_parts("220-mx\r\n220 ready\r\n"), expect("EHLO"), say("250-mx\r\n250 AUTH PLAIN")];
    smtp.extend([plain_said(&secret, "235 in"), takes_a_message()].concat());
    let desk = Desk::to_send(&secret, vec![smtp]);
    desk.send();
    desk.provider.finished(0);

    let mut pop3 = mailbox(&secret, &[expect("QUIT"), say("+OK bye")]);
    pop3[0] = in_parts("+OK the post office is opening\r\n");
    // Nothing is said before the greeting's end.
    pop3.insert(0, Step::Pause(Duration::from_millis(300)));
    let desk = Desk::to_fetch(&secret, vec![pop3]);
    signed_in(&desk).ask("QUIT", "+OK");
    desk.provider.finished(0);
}

#[test]
fn good_every_answer_of_the_doors_is_one_segment() {
    let desk = Desk::to_send(&secret(), Vec::new());
    let whole = |port: u16, ask: &[(&str, &str)]| {
        let mut stream = Client::connect(port).into_stream();
        stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
        for (line, last) in ask {
            std::io::Write::write_all(&mut stream, line.as_bytes()).unwrap();
            let mut block = [0; 8192];
            let count = stream.read(&mut block).unwrap();
            let answer = String::from_utf8_lossy(&block[..count]).into_owned();
            assert!(answer.ends_with("\r\n") && answer.contains(last), "{line:?}: {answer:?}");
        }
    };
    let smtp = [("", "220 "), ("EHLO old-pc\r\n", "\r\n250 "), ("HELP\r\n", "\r\n"), ("XYZZY\r\n", "50")];
    whole(desk.ostler.smtp, &smtp);
    let desk = Desk::to_fetch(&secret(), Vec::new());
    whole(desk.ostler.pop3, &[("", "+OK"), ("CAPA\r\n", "\r\n.\r\n"), ("HELP\r\n", "-ERR"), ("STAT\r\n", "-ERR")]);
}

#[test]
fn good_auth_lines_in_every_form_are_taken() {
    let (name, word) = (b64("home"), b64("typed"));
    let plain = b64("\0home\0typed");
    let with_authzid = b64(format!("{ANN}\0home\0typed"));
    let dialogues: [&[(&str, &str)]; 9] = [
        &[(&format!("AUTH PLAIN  {plain}"), "235")],
        &[(&format!("AUTH PLAIN {plain}  "), "235")],
        &[(&format!("AUTH\tPLAIN\t{plain}"), "235")],
        &[(&format!("auth plain {plain}\t"), "235")],
        &[(&format!("AUTH PLAIN {with_authzid}"), "235")],
        &[("AUTH PLAIN", "334"), (&plain, "235")],
        &[("AUTH LOGIN ", "334"), (&name, "334"), (&word, "235")],
        &[("AUTH  LOGIN", "334"), (&format!("{name} "), "334"), (&format!("{word} "), "235")],
        &[(&format!("AUTH LOGIN {name}"), "334"), (&word, "235")],
    ];
    let desk = Desk::to_send("pw", Vec::new());
    for hello in ["EHLO old-pc", "HELO old-pc"] {
        for dialogue in dialogues {
            let mut client = Client::greeted(desk.ostler.smtp, "220 ");
            client.ask_reply(hello, "250");
            for (line, answer) in dialogue {
                client.ask_reply(line, answer);
            }
            client.ask_reply("QUIT", "221");
        }
    }
}

#[test]
fn good_commands_with_a_blank_behind_are_understood() {
    let secret = secret();
    let steps = [expect("STAT"), say("+OK 1 10"), expect("RETR 1"), say("+OK\r\nSubject: x\r\n\r\n."), expect("QUIT")];
    let desk = Desk::to_fetch(&secret, vec![mailbox(&secret, &[&steps[..], &[say("+OK bye")]].concat())]);
    let mut client = Client::greeted(desk.ostler.pop3, "+OK");
    client.ask("USER home ", "+OK");
    client.ask("PASS typed", "+OK");
    client.ask("STAT ", "+OK 1 10");
    client.say("RETR 1 ");
    assert_eq!(client.expect_body(), b"Subject: x\r\n\r\n");
    client.ask("QUIT ", "+OK");
    desk.provider.finished(0);
}

#[test]
fn good_the_empty_sender_is_the_only_accounts_or_the_signed_in_ones() {
    let secret = secret();
    let desk = Desk::to_send(&secret, vec![takes_mail_of_anyone(), takes_mail_of_anyone()]);
    for signs_in in [false, true] {
        let mut client = desk.writer();
        if signs_in {
            client.ask_reply(&format!("AUTH PLAIN {}", b64("\0home\0typed")), "235");
        }
        client.ask_reply("MAIL FROM:<>", "250");
        client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        client.ask_reply("DATA", "354");
        client.send("Subject: read\r\n\r\n.\r\n");
        client.expect_reply("250");
        client.ask_reply("QUIT", "221");
    }
    assert_eq!(desk.heard("MAIL").len(), 2);
    assert!(desk.heard("MAIL").iter().all(|line| line.starts_with("MAIL FROM:<>")), "{:?}", desk.heard("MAIL"));
}

#[test]
fn good_lists_of_ids_pass_untouched_where_nothing_was_said_of_them() {
    for (asked, list) in [
        ("UIDL", "+OK 3 ids\r\n1 a\r\n2\r\n3 a\r\n."),
        ("UIDL", "+OK\r\n2 zz  \r\n1 \u{e4}\r\n."),
        ("UIDL 1", "+OK 1 a"),
        ("UIDL", "-ERR what?"),
    ] {
        let secret = secret();
        // The provider has refused CAPA.
        let after = [expect(asked), say(list), expect("QUIT"), say("+OK bye")];
        let desk = Desk::to_fetch(&secret, vec![mailbox(&secret, &after)]);
        let mut client = signed_in(&desk);
        client.say(asked);
        let wanted = format!("{list}\r\n");
        for line in wanted.split_inclusive("\r\n") {
            assert_eq!(String::from_utf8_lossy(&client.raw_line().unwrap()), line, "{asked}");
        }
        client.ask("QUIT", "+OK");
        desk.provider.finished(0);
    }
}

#[test]
fn good_a_list_to_a_question_about_one_message_ends_the_session() {
    let secret = secret();
    let desk = Desk::to_fetch(
        &secret,
        vec![mailbox(&secret, &[expect("UIDL 1"), say("+OK\r\n1 a\r\n2 b\r\n."), Step::Stall])],
    );
    let mut client = signed_in(&desk);
    // The lines behind it would be taken for the answers to what the client asks next.
    client.ask("UIDL 1", "+OK");
    client.expect_end();
    wait_for("the reason in the log", || desk.ostler.log().contains("it said \"1 a\" unasked").then_some(()));
}

#[test]
fn good_a_dot_that_is_not_stuffed_does_not_end_what_top_shows() {
    let secret = secret();
    let after =
        [expect("TOP 1 2"), say("+OK\r\nSubject: x\r\n\r\n.signature\r\n.."), say("."), expect("QUIT"), say("+OK")];
    let desk = Desk::to_fetch(&secret, vec![mailbox(&secret, &after)]);
    let mut client = signed_in(&desk);
    client.say("TOP 1 2");
    let mut lines = Vec::new();
    while lines.last().is_none_or(|line| line != b".\r\n") {
        lines.push(client.raw_line().unwrap());
    }
    assert_eq!(lines.concat(), b"+OK\r\nSubject: x\r\n\r\n.signature\r\n..\r\n.\r\n");
    client.ask("QUIT", "+OK");
}

#[test]
fn good_an_empty_line_to_dele_ends_the_session_in_words() {
    let secret = secret();
    let after = [expect("DELE 1"), say(""), Step::Stall];
    let desk = Desk::to_fetch(&secret, vec![mailbox(&secret, &after)]);
    let mut client = signed_in(&desk);
    let answer = client.ask("DELE 1", "-ERR ");
    assert!(answer.contains("localhost") && answer.contains("rules"), "{answer}");
    client.expect_end();
    assert!(
        !desk.heard("QUIT").iter().any(|line| line == "QUIT"),
        "a QUIT would delete what the client was not told of"
    );
}
