//! Providers that break off, stall or say what they should not, played by a written part.

use std::time::Duration;

use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::mail;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::{unique, wait_for};
use crate::{ANN, BOB};

/// A POP3 server up to the end of sign-in; ostler may ask for its abilities on the way.
fn signed_in() -> Part {
    vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), say("+OK")]
}

fn pop3(parts: Vec<Part>) -> (TestCa, Provider, Ostler) {
    let ca = TestCa::new();
    let peer = Provider::start_tls(&ca.localhost(), parts);
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", peer.port));
    let ostler = Ostler::start(&ca, &[account]);
    (ca, peer, ostler)
}

fn smtp(security: &str, parts: Vec<Part>) -> (TestCa, Provider, Ostler) {
    let ca = TestCa::new();
    let cert = ca.localhost();
    let peer = match security {
        "tls" => Provider::start_tls(&cert, parts),
        _ => Provider::start_starttls(&cert, parts),
    };
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new(security, peer.port));
    let ostler = Ostler::start(&ca, &[account]);
    (ca, peer, ostler)
}

/// A submission server (TLS from the first byte) up to the answer to DATA.
fn takes_a_message() -> Part {
    vec![
        say("220 ready"),
        expect("EHLO"),
        say("250-mx\r\n250 AUTH PLAIN"),
        expect("AUTH PLAIN"),
        say("235 2.7.0 in"),
        expect("MAIL FROM:<ann@example.org>"),
        say("250 2.1.0 ok"),
        expect("RCPT TO:<bob@example.com>"),
        say("250 2.1.5 ok"),
        expect("DATA"),
        say("354 go on"),
    ]
}

fn up_to_data(port: u16) -> Client {
    let mut smtp = Client::greeted(port, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    smtp.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    smtp.ask_reply("DATA", "354");
    smtp
}

#[test]
fn a_provider_that_breaks_off_in_a_message_never_looks_like_its_end() {
    for last in [Step::Close, Step::Reset] {
        for cut in
            [&b"+OK\r\nSubject: cut\r\n\r\nhalf"[..], b"+OK\r\nSubject: cut\r\n\r\nhalf\r\n", b"+OK\r\nhalf\r\n."]
        {
            let mut part = signed_in();
            part.extend([expect("RETR 1"), Step::Send(cut.to_vec()), last.clone()]);
            let (_ca, _peer, ostler) = pop3(vec![part]);
            let mut pop = Client::greeted(ostler.pop3, "+OK");
            pop.ask("USER home", "+OK");
            pop.ask("PASS x", "+OK");
            pop.say("RETR 1");
            let rest = pop.rest();
            assert!(!rest.ends_with(b"\r\n.\r\n"), "{:?}", String::from_utf8_lossy(&rest));
            let told = || {
                ostler.log().contains("closed the connection while ostler was waiting for the next part of the message")
            };
            wait_for("what was cut, in the log", || told().then_some(()));
        }
    }
}

#[test]
fn an_answer_nobody_asked_for_ends_the_session() {
    let mut part = signed_in();
    part.extend([expect("STAT"), say("+OK 0 0\r\n+OK and one more"), Step::Stall]);
    let (_ca, _peer, ostler) = pop3(vec![part]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK");
    pop.ask("STAT", "+OK 0 0");
    let rest = String::from_utf8(pop.rest()).unwrap();
    assert!(!rest.contains("one more"), "{rest}");
}

#[test]
fn pop3_trouble_is_never_a_wrong_password() {
    for part in [
        vec![Step::Close],
        vec![say("-ERR [SYS/TEMP] closed for repairs"), Step::Close],
        vec![say("+OK ready"), Step::Close],
        vec![say("HTTP/1.1 400 Bad Request"), Step::Close],
        vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), Step::Close],
        vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), say("-ERR [SYS/TEMP] try later")],
    ] {
        let (_ca, _peer, ostler) = pop3(vec![part.clone(), part]);
        let mut pop = Client::greeted(ostler.pop3, "+OK");
        pop.ask("USER home", "+OK");
        let refusal = pop.ask("PASS x", "-ERR [SYS/TEMP]");
        assert!(refusal.len() <= 510 && refusal.is_ascii(), "{refusal}");
        assert!(!refusal.to_lowercase().contains("password"), "{refusal}");
    }
}

#[test]
fn a_provider_lost_after_the_final_dot_is_an_unknown_outcome_and_nothing_is_sent_again() {
    for last in [Step::Close, Step::Reset] {
        let mut part = takes_a_message();
        part.extend([Step::ExpectMessage, last]);
        let (_ca, peer, ostler) = smtp("tls", vec![part, takes_a_message()]);
        let mut client = up_to_data(ostler.smtp);
        client.send(mail::stuffed(&mail::tricky("unknown")));
        let answer = client.expect_reply("451");
        assert!(answer.contains("unknown"), "{answer}");
        drop(client);
        let received = peer.finished(0);
        assert!(received.ends_with(b"\r\n.\r\n"));
        drop(ostler);
        assert_eq!(peer.connections(), 1, "sent again");
    }
}

#[test]
fn the_providers_last_word_is_passed_on() {
    for verdict in ["250 2.0.0 queued as 4711", "554 5.7.1 looks like spam", "452 4.3.1 disk full"] {
        let mut part = takes_a_message();
        part.extend([Step::ExpectMessage, say(verdict), expect("QUIT"), say("221 bye")]);
        let (_ca, peer, ostler) = smtp("tls", vec![part]);
        let mut client = up_to_data(ostler.smtp);
        let message = mail::tricky("verdict");
        client.send(mail::stuffed(&message));
        let answer = client.expect_reply(&verdict[..9]);
        assert!(answer.contains(&verdict[10..]), "{answer}");
        client.ask_reply("QUIT", "221");
        let received = peer.over(0).received;
        let wire = mail::stuffed(&message);
        assert!(memchr::memmem::find(&received, &wire).is_some(), "{:?}", String::from_utf8_lossy(&received));
        drop(ostler);
        assert_eq!(peer.connections(), 1);
    }
}

#[test]
fn a_client_that_goes_away_in_a_message_sends_none() {
    let mut part = takes_a_message();
    part.push(Step::Stall);
    let (_ca, peer, ostler) = smtp("tls", vec![part]);
    let mut client = up_to_data(ostler.smtp);
    client.send("Subject: half\r\n\r\na line\r\n");
    drop(client);
    let received = peer.over(0).received;
    assert!(memchr::memmem::find(&received, b"\r\n.\r\n").is_none(), "{:?}", String::from_utf8_lossy(&received));
}

#[test]
fn starttls_that_is_not_offered_or_answered_with_too_much_gets_no_password() {
    let parts = [
        vec![say("220 ready"), expect("EHLO"), say("250-mx\r\n250 AUTH PLAIN"), Step::Stall],
        vec![
            say("220 ready"),
            expect("EHLO"),
            say("250-mx\r\n250 STARTTLS"),
            expect("STARTTLS"),
            say("454 not now"),
            Step::Stall,
        ],
        vec![
            say("220 ready"),
            expect("EHLO"),
            say("250-mx\r\n250 STARTTLS"),
            expect("STARTTLS"),
            say("220 go\r\n250 smuggled"),
            Step::Stall,
        ],
    ];
    for part in parts {
        let (_ca, peer, ostler) = smtp("starttls", vec![part]);
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO old-pc", "250");
        let refusal = client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "4");
        assert!(refusal.contains("STARTTLS"), "{refusal}");
        drop(ostler);
        let received = peer.over(0).received;
        assert!(memchr::memmem::find(&received, b"AUTH").is_none(), "{:?}", String::from_utf8_lossy(&received));
        assert!(memchr::memmem::find(&received, b"MAIL").is_none());
    }
}

#[test]
fn a_provider_that_says_nothing_is_given_up_within_the_time_limit() {
    let ca = TestCa::new();
    let peer = Provider::start_tls(&ca.localhost(), vec![vec![Step::Stall], vec![Step::Stall]]);
    let account = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::new("tls", peer.port))
        .smtp(Server::new("tls", peer.port));
    let ostler = Home::with_settings(&ca, &[account], "", "\n[timeouts]\ngreeting = \"500ms\"\n").run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [SYS/TEMP]");
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "4");
}

#[test]
fn one_stalled_provider_disturbs_no_other() {
    let ca = TestCa::new();
    let stalled = Provider::start_tls(&ca.localhost(), vec![vec![Step::Stall]; 8]);
    let mut part = signed_in();
    part.extend([expect("STAT"), say("+OK 0 0"), expect("QUIT"), say("+OK")]);
    let well = Provider::start_tls(&ca.localhost(), vec![part]);
    let accounts = [
        Account::new("bad", BOB, &unique("pw")).pop3(Server::new("tls", stalled.port)),
        Account::new("good", ANN, &unique("pw")).pop3(Server::new("tls", well.port)),
    ];
    let ostler = Ostler::start(&ca, &accounts);
    let waiting: Vec<_> = (0..8)
        .map(|_| {
            let mut pop = Client::greeted(ostler.pop3, "+OK");
            pop.ask("USER bad", "+OK");
            pop.say("PASS x");
            pop
        })
        .collect();
    assert!(client::fetch(ostler.pop3, "good", "x").is_empty());
    drop(waiting);
}

#[test]
fn secrets_a_provider_echoes_reach_neither_client_nor_log() {
    let ca = TestCa::new();
    let secret = unique("echoed");
    let refusal = format!("-ERR [AUTH] no, {secret} is not it");
    let part = vec![say("+OK ready"), expect("USER"), say("+OK"), expect("PASS"), say(&refusal)];
    let peer = Provider::start_tls(&ca.localhost(), vec![part]);
    let ostler = Ostler::start(&ca, &[Account::new("home", ANN, &secret).pop3(Server::new("tls", peer.port))]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let answer = pop.ask("PASS x", "-ERR [AUTH]");
    assert!(!answer.contains(&secret) && answer.contains("***"), "{answer}");
    // That the log has it in no form is checked when ostler ends.
    let (yes, no) = ("* OK [CAPABILITY IMAP4rev1] hi", format!("o1 NO [AUTHENTICATIONFAILED] {secret} is not it"));
    let peer = Provider::start_tls(&ca.localhost(), vec![vec![say(yes), expect("o1 LOGIN"), say(&no)]]);
    let ostler = Ostler::start(&ca, &[Account::new("home", ANN, &secret).imap(Server::new("tls", peer.port))]);
    let mut imap = Client::greeted(ostler.imap, "* OK");
    for line in [imap.ask("1 LOGIN home x", "* OK [ALERT]"), imap.expect("1 NO")] {
        assert!(!line.contains(&secret) && line.contains("***"), "{line}");
    }
}

#[test]
fn a_client_that_has_left_before_its_body_is_wanted_leaves_no_word_of_ostlers_in_a_body() {
    let mut part = takes_a_message();
    let wanted = part.split_off(part.len() - 1);
    let (_ca, peer, ostler) =
        smtp("tls", vec![[part, vec![Step::Pause(Duration::from_millis(500))], wanted, vec![Step::Stall]].concat()]);
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.say("DATA");
    peer.received(0, "DATA\r\n");
    client.reset();
    let received = String::from_utf8(peer.over(0).received).unwrap();
    assert!(received.ends_with("DATA\r\n"), "{received}");
}

/// How often the log says this.
fn logged(ostler: &Ostler, words: &str) -> usize {
    ostler.log().matches(words).count()
}

#[test]
fn a_body_that_stops_is_in_the_log_as_a_message_that_was_not_sent() {
    let ca = TestCa::new();
    let peer = Provider::start_tls(&ca.localhost(), vec![[takes_a_message(), vec![Step::Stall]].concat()]);
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("tls", peer.port));
    let ostler = Home::with_settings(&ca, &[account], "", "\n[timeouts]\ndata = \"2s\"\n").run();
    let mut client = up_to_data(ostler.smtp);
    client.send("Subject: x\r\n\r\nhalf");
    client.expect_reply("421 4.4.2 the message stopped arriving");
    ostler.expect_log("account home: not sent: 421 4.4.2 the message stopped arriving");
    assert_eq!(logged(&ostler, ": not sent: "), 1);
}

#[test]
fn a_body_refused_before_its_end_is_in_the_log_though_the_client_has_left() {
    let refused = vec![expect("Subject: x"), say("552 5.3.4 too big")];
    for leaves in [true, false] {
        let (_ca, _peer, ostler) = smtp("tls", vec![[takes_a_message(), refused.clone(), vec![Step::Stall]].concat()]);
        let mut client = up_to_data(ostler.smtp);
        client.send("Subject: x\r\n\r\nhalf");
        ostler.expect_log("account home: not sent: 552 5.3.4 too big");
        if leaves {
            client.reset();
        } else {
            client.send("\r\n.\r\n");
            client.expect_reply("552 5.3.4");
        }
        assert_eq!(logged(&ostler, ": not sent: "), 1, "{leaves}");
    }
}
