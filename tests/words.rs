//! What a client reads when something goes wrong, through the built program: each failure's own sentence at PASS and at
//! MAIL, in one line a client of the 1990s takes, never dressed as a wrong password, never with a secret in it.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::net::Ipv4Addr;
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::ca::TestCa;
use support::client::Client;
use support::keyring::Keyring;
use support::ostler::{Account, Home, Ostler, Server};
use support::process::{Process, command};
use support::provider::{FullQueue, Part, Provider, Step, expect, say, serve};
use support::{free_port, require, unique, wait_for};

const ANN: &str = "ann@example.org";

/// What a client reads at PASS.
fn at_pass(ostler: &Ostler) -> String {
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    client.say("PASS typed");
    let line = client.raw_line().unwrap();
    // The door is still there for another try, or the goodbye.
    client.ask("QUIT", "+OK");
    one_line(&line)
}

/// What a client reads at MAIL.
fn at_mail(ostler: &Ostler) -> String {
    at_mail_with(ostler, "")
}

fn at_mail_with(ostler: &Ostler, parameters: &str) -> String {
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    client.say(&format!("MAIL FROM:<{ANN}>{parameters}"));
    let line = client.raw_line().unwrap();
    client.ask("QUIT", "221 ");
    one_line(&line)
}

/// One line of printable ASCII that fits; never the code at which clients throw their password away.
fn one_line(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line).into_owned();
    assert!(line.len() <= 512, "{} octets: {text}", line.len());
    let inner = text.strip_suffix("\r\n").unwrap_or_else(|| panic!("no CRLF: {text:?}"));
    assert!(inner.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{inner:?}");
    assert!(!inner.starts_with("535") && inner.as_bytes().get(3) != Some(&b'-'), "{inner}");
    inner.to_owned()
}

/// The line begins like this, has these words, names the host, and ends with advice.
fn assert_says(line: &str, start: &str, words: &[&str]) {
    assert!(line.starts_with(start), "{start:?} is not the start of {line:?}");
    for word in words {
        assert!(line.contains(word), "{word:?} is not in {line:?}");
    }
    let advice = line.rsplit("; ").next().unwrap();
    assert!(advice != line && advice.len() > 10, "no advice: {line}");
    let dressed = line.contains("[AUTH]") || line.contains("5.7.8");
    assert!(dressed || !line.to_lowercase().contains("password"), "Eudora throws its password away at this: {line}");
}

/// An account with both servers, and ostler on it.
fn ostler(ca: &TestCa, pop3: Server, smtp: Server, tables: &str) -> Ostler {
    let account = Account::new("home", ANN, &unique("pw")).pop3(pop3).smtp(smtp);
    Home::with_settings(ca, &[account], "", tables).run()
}

/// Both servers are the same port.
fn both(ca: &TestCa, security: &str, port: u16, tables: &str) -> Ostler {
    ostler(ca, Server::new(security, port), Server::new(security, port), tables)
}

/// The words are at PASS, at MAIL, in the log and in the status.
fn assert_both(ostler: &Ostler, pop3: &str, smtp: &str, words: &[&str]) {
    assert_says(&at_pass(ostler), pop3, words);
    assert_in_status(ostler, words);
    assert_says(&at_mail(ostler), smtp, words);
    assert_in_status(ostler, words);
    for word in words {
        // What it says on stderr arrives a moment later than its answers.
        wait_for(&format!("{word:?} in the log"), || ostler.log().contains(word).then_some(()));
    }
}

fn assert_in_status(ostler: &Ostler, words: &[&str]) {
    let output = ostler.home.ostler(&["status", "--json"], "");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let failure = document["accounts"][0]["last_failure"].as_str().unwrap_or_default();
    for word in words {
        assert!(failure.contains(word), "{word:?} is not in the status: {document:#}");
    }
}

/// The same part for each of some connections.
fn parts(part: &[Step]) -> Vec<Part> {
    vec![part.to_vec(); 8]
}

// Reaching the server

#[test]
fn a_name_that_does_not_exist() {
    let server = || Server::at("nowhere.invalid", "tls", 1);
    let ostler = ostler(&TestCa::new(), server(), server(), "");
    // Without a network nobody can tell that it does not exist.
    let words = if at_pass(&ostler).contains("looked up") { "could not be looked up" } else { "no server named" };
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.3 ", &["nowhere.invalid", words]);
}

#[test]
fn nobody_listens() {
    let port = free_port();
    let ostler = both(&TestCa::new(), "tls", port, "");
    let number = port.to_string();
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.1 ", &["localhost", "nobody listens", &number]);
}

#[test]
fn a_server_that_takes_no_connection_in_time() {
    let full = FullQueue::at((Ipv4Addr::LOCALHOST, 0));
    let server = || Server::at("127.0.0.1", "tls", full.port);
    let ostler = ostler(&TestCa::new(), server(), server(), "\n[timeouts]\nconnect = \"300ms\"\n");
    let words = ["127.0.0.1", "did not answer in time", "300 ms", "a connection"];
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.1 ", &words);
}

#[test]
fn servers_that_say_nothing_in_time() {
    let ca = TestCa::new();
    let limits = "\n[timeouts]\ntls = \"300ms\"\ngreeting = \"300ms\"\nreply = \"300ms\"\n";
    let silent = Provider::start(parts(&[Step::Stall]));
    let tls = Provider::start_tls(&ca.localhost(), parts(&[Step::Stall]));
    for (security, port, words) in [
        ("tls", silent.port, "the TLS handshake"),
        ("none", silent.port, "its greeting"),
        ("tls", tls.port, "its greeting"),
    ] {
        let ostler = both(&ca, security, port, limits);
        let words = ["localhost", "did not answer in time", "300 ms", words];
        assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.1 ", &words);
    }
    // At the sign-in.
    let slow_pop3 = Provider::start(parts(&[say("+OK"), expect("USER"), say("+OK"), expect("PASS"), Step::Stall]));
    let slow_smtp = Provider::start(parts(&[
        say("220 a"),
        expect("EHLO"),
        say("250-a\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        Step::Stall,
    ]));
    let ostler = ostler(&ca, Server::new("none", slow_pop3.port), Server::new("none", slow_smtp.port), limits);
    let words = ["localhost", "did not answer in time", "the sign-in"];
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.1 ", &words);
}

#[test]
fn a_server_that_hangs_up() {
    let ca = TestCa::new();
    for security in ["tls", "none"] {
        let server = Provider::start(parts(&[Step::Close]));
        let ostler = both(&ca, security, server.port, "");
        assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.2 ", &["localhost", "closed the connection"]);
    }
}

// TLS

#[test]
fn a_server_that_does_not_speak_tls() {
    for greeting in ["+OK ready", "220 ready"] {
        let server = Provider::start(parts(&[say(greeting), Step::Stall]));
        let ostler = both(&TestCa::new(), "tls", server.port, "");
        let words = ["localhost", "does not speak TLS", "starttls"];
        assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.5 ", &words);
    }
}

#[test]
fn bad_certificates_each_have_their_own_words() {
    let ca = TestCa::new();
    let stranger = TestCa::new();
    for (cert, words) in [
        (ca.expired(), &["localhost", "expired", "2020"][..]),
        (ca.wrong_name(), &["localhost", "another name", "mail.example.com"]),
        (stranger.localhost(), &["localhost", "issuer", "ostler test authority"]),
        (TestCa::self_signed(), &["localhost", "nobody but itself"]),
    ] {
        let server = Provider::start_tls(&cert, parts(&[Step::Stall]));
        let ostler = both(&ca, "tls", server.port, "");
        assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.5 ", words);
        // Not one octet was said inside.
        assert!((0..server.connections()).all(|n| server.over(n).received.is_empty()));
    }
    // The same behind STLS and STARTTLS.
    let pop3 = Provider::start_starttls(
        &ca.expired(),
        parts(&[say("+OK"), expect("STLS"), say("+OK"), Step::StartTls, Step::Stall]),
    );
    let smtp = Provider::start_starttls(
        &ca.expired(),
        parts(&[
            say("220 a"),
            expect("EHLO"),
            say("250-a\r\n250 STARTTLS"),
            expect("STARTTLS"),
            say("220 go"),
            Step::StartTls,
            Step::Stall,
        ]),
    );
    let ostler = ostler(&ca, Server::new("starttls", pop3.port), Server::new("starttls", smtp.port), "");
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.5 ", &["localhost", "expired"]);
}

#[test]
fn a_pin_trusts_one_certificate_and_no_other() {
    let ca = TestCa::new();
    let (pinned, other) = (TestCa::self_signed(), TestCa::self_signed());
    let with_pin = |port| Server::new("tls", port).line(&format!("pin = \"{}\"", pinned.pin()));
    let server = Provider::start_tls(&other, parts(&[Step::Stall]));
    let wrong = ostler(&ca, with_pin(server.port), with_pin(server.port), "");
    assert_both(&wrong, "-ERR [SYS/TEMP] ", "454 4.7.5 ", &["localhost", "not the pinned one", &other.pin()]);
    let pop3 = Provider::start_tls(
        &pinned,
        parts(&[say("+OK"), expect("USER"), say("+OK"), expect("PASS"), say("+OK in"), expect("QUIT"), say("+OK bye")]),
    );
    let smtp = Provider::start_tls(
        &pinned,
        parts(&[
            say("220 a"),
            expect("EHLO"),
            say("250-a\r\n250 AUTH PLAIN"),
            expect("AUTH"),
            say("235 in"),
            expect("MAIL"),
            say("250 2.1.0 ok"),
            Step::Stall,
        ]),
    );
    let right = ostler(&ca, with_pin(pop3.port), with_pin(smtp.port), "");
    assert!(at_pass(&right).starts_with("+OK"));
    assert!(at_mail(&right).starts_with("250 "));
}

#[test]
fn tls_that_is_too_old() {
    // What a server says that knows nothing newer than 1.1: the alert protocol_version.
    let alert = Step::Send(vec![0x15, 3, 1, 0, 2, 2, 70]);
    let server = Provider::start(parts(&[alert, Step::Close]));
    let ostler = both(&TestCa::new(), "tls", server.port, "");
    let words = ["localhost", "no modern TLS", "1.2"];
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.5 ", &words);
}

#[test]
fn a_real_server_with_tls_1_1_only() {
    require!("openssl");
    let ca = TestCa::new();
    let folder = support::folder();
    let cert = ca.localhost();
    std::fs::write(folder.path().join("cert.pem"), &cert.chain_pem).unwrap();
    std::fs::write(folder.path().join("key.pem"), &cert.key_pem).unwrap();
    let port = free_port();
    let accept = format!("127.0.0.1:{port}");
    let args = ["s_server", "-quiet", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0", "-accept", &accept];
    let mut start = command("openssl", args);
    start.args(["-cert", "cert.pem", "-key", "key.pem"]).current_dir(folder.path());
    start.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Process::start("openssl", &mut start);
    let there = wait_for("openssl to listen", || match server.ended() {
        Some(_) => Some(false),
        None => std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(true),
    });
    if !there {
        return support::skip("an openssl that still has TLS 1.1");
    }
    let ostler = both(&ca, "tls", port, "");
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.5 ", &["localhost", "no modern TLS"]);
}

#[test]
fn starttls_that_is_not_offered() {
    let ca = TestCa::new();
    let pop3 = Provider::start(parts(&[say("+OK"), expect("STLS"), say("-ERR what?"), Step::Stall]));
    let smtp = Provider::start(parts(&[say("220 a"), expect("EHLO"), say("250-a\r\n250 AUTH PLAIN"), Step::Stall]));
    let ostler = ostler(&ca, Server::new("starttls", pop3.port), Server::new("starttls", smtp.port), "");
    assert_says(&at_pass(&ostler), "-ERR [SYS/TEMP] ", &["localhost", "does not offer STLS", "tls"]);
    assert_says(&at_mail(&ostler), "454 4.7.5 ", &["localhost", "does not offer STARTTLS", "tls"]);
    // Nothing of the account went out in clear.
    for server in [pop3, smtp] {
        for number in 0..server.connections() {
            let received = String::from_utf8_lossy(&server.over(number).received).to_uppercase();
            assert!(
                !received.contains("USER") && !received.contains("AUTH") && !received.contains("MAIL"),
                "{received}"
            );
        }
    }
}

// Signing in

/// Servers without encryption that answer the sign-in with these lines; `{}` in them is the secret, as it was said.
fn refusing(pop3: &str, smtp: &str) -> (Provider, Provider, Ostler, String) {
    let secret = unique("pw");
    let plain = STANDARD.encode(format!("\0{ANN}\0{secret}"));
    let pop3 = parts(&[
        say("+OK"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say(&pop3.replace("{}", &secret)),
        Step::Stall,
    ]);
    let smtp = parts(&[
        say("220 a"),
        expect("EHLO"),
        say("250-a\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        say(&smtp.replace("{}", &secret).replace("{64}", &plain)),
        Step::Stall,
    ]);
    let (pop3, smtp) = (Provider::start(pop3), Provider::start(smtp));
    let account =
        Account::new("home", ANN, &secret).pop3(Server::new("none", pop3.port)).smtp(Server::new("none", smtp.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    (pop3, smtp, ostler, secret)
}

#[test]
fn a_refused_sign_in_has_the_providers_words_and_no_secret() {
    for (pop3, smtp, words) in [
        ("-ERR [AUTH] no such luck", "535 5.7.8 no such luck", "no such luck"),
        ("-ERR bad password {} for ann, no luck", "535 5.7.8 bad password {} for ann, no luck", "no luck"),
        ("-ERR PASS {} it was, no luck", "535 5.7.8 you said AUTH PLAIN {64}, no luck", "no luck"),
        (
            "-ERR [AUTH] Application-specific password required: https://support.google.com/accounts/answer/185833",
            "534-5.7.9 Application-specific password required. For more information, go to\r\n\
             534 5.7.9  https://support.google.com/mail/?p=InvalidSecondFactor 5b1f17b1804b1 - gsmtp",
            "Application-specific password required",
        ),
        ("-ERR", "535", "localhost refused the sign-in"),
    ] {
        let (_pop3, _smtp, ostler, secret) = refusing(pop3, smtp);
        let words = ["localhost", "refused the sign-in of ann@example.org", words];
        for line in [at_pass(&ostler), at_mail(&ostler)] {
            assert!(!line.contains(&secret) && !line.contains(&STANDARD.encode(&secret)[..12]), "{line}");
            let start = if line.starts_with('-') { "-ERR [AUTH] " } else { "550 5.7.8 " };
            assert_says(&line, start, &words);
            assert!(line.contains("in the file that the settings name"), "{line}");
        }
        assert_in_status(&ostler, &words);
        ostler.expect_log(words[1]);
    }
    let (_pop3, _smtp, ostler, _) = refusing("-ERR no", "534-5.7.9 first\r\n534 5.7.9 https://example.net/second");
    assert!(at_mail(&ostler).contains("https://example.net/second"));
}

#[test]
fn a_refused_sender_or_recipient_is_in_log_and_status_too() {
    for (offered, mail, rcpt, words) in [
        ("AUTH PLAIN", "550 5.7.1 not your sender", "250 ok", "a message was not sent: 550 5.7.1 not your sender"),
        ("PIPELINING", "550 5.7.1 not your sender", "503 no", "a message was not sent: 550 5.7.1 not your sender"),
        ("AUTH PLAIN", "250 ok", "550 5.1.1 nobody here", "a recipient was refused: 550 5.1.1 nobody here"),
        ("PIPELINING", "250 ok", "450 4.2.0 greylisted", "a recipient was refused: 450 4.2.0 greylisted"),
    ] {
        let ehlo = format!("250-a\r\n250-{offered}\r\n250 AUTH PLAIN");
        let answers: [(&[u8], &str); 5] =
            [(b"EHLO", &ehlo), (b"AUTH", "235 ok"), (b"MAIL", mail), (b"RCPT", rcpt), (b"QUIT", "221 bye")];
        let provider = Provider::always(vec![say("220 a"), serve(&answers)]);
        let server = || Server::new("none", provider.port);
        let ostler = ostler(&TestCa::new(), server(), server(), "");
        let mut client = Client::greeted(ostler.smtp, "220 ");
        client.ask_reply("EHLO old-pc", "250");
        for command in [&format!("MAIL FROM:<{ANN}>"), "RCPT TO:<bob@example.org>"] {
            client.say(command);
            client.raw_line().unwrap();
        }
        assert_in_status(&ostler, &[words]);
        ostler.expect_log(words.trim_start_matches("a message was "));
    }
}

#[test]
fn an_imap_provider_that_says_goodbye_instead_of_answering_is_in_log_and_status_too() {
    let provider = Provider::start(vec![vec![
        say("* OK [CAPABILITY IMAP4rev1] ready"),
        expect("o1 LOGIN"),
        say("o1 OK [CAPABILITY IMAP4rev1] in"),
        expect("2 SELECT"),
        say("* BYE the disk is full"),
    ]]);
    let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", provider.port));
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    let mut client = Client::greeted(ostler.imap, "* OK");
    client.say("1 LOGIN home typed");
    while !String::from_utf8_lossy(&client.raw_line().unwrap()).starts_with("1 OK") {}
    client.ask("2 SELECT INBOX", "* BYE the disk is full");
    assert!(client.raw_line().is_none(), "the client has read why");
    let words = "closed the connection while ostler was waiting for its answer";
    ostler.expect_log(words);
    assert_in_status(&ostler, &[words]);
}

#[test]
fn endless_words_of_a_provider_leave_room_for_the_advice() {
    let long = "\u{e4}bc ".repeat(95);
    let (_pop3, _smtp, ostler, _) =
        refusing(&format!("-ERR {long}"), &format!("535-{long}\r\n535-{long}\r\n535 {long}"));
    for line in [at_pass(&ostler), at_mail(&ostler)] {
        let start = if line.starts_with('-') { "-ERR [AUTH] " } else { "550 5.7.8 " };
        assert_says(&line, start, &["localhost", "refused the sign-in"]);
        assert!(line.ends_with("the right one belongs in the file that the settings name"), "{line}");
    }
}

#[test]
fn a_sign_in_that_has_to_wait_is_nobodys_fault() {
    for (pop3, smtp, words) in [
        ("-ERR [SYS/TEMP] try later", "454 4.7.0 try later", "try later"),
        ("-ERR [SYS/TEMP] overloaded", "421 4.7.0 overloaded", "overloaded"),
    ] {
        let (_pop3, _smtp, ostler, _) = refusing(pop3, smtp);
        assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.0 ", &["localhost", words]);
    }
}

#[test]
fn a_mailbox_in_use() {
    let (_pop3, _smtp, ostler, _) = refusing("-ERR [IN-USE] another session has it", "235 in");
    let words = ["localhost", "in use by another session", "another session has it"];
    assert_says(&at_pass(&ostler), "-ERR [IN-USE] ", &words);
    assert_in_status(&ostler, &words);
    let (_pop3, _smtp, ostler, _) = refusing("-ERR [LOGIN-DELAY] wait a bit", "235 in");
    assert_says(&at_pass(&ostler), "-ERR [LOGIN-DELAY] ", &["localhost", "wait a bit"]);
}

#[test]
fn a_server_that_offers_no_sign_in() {
    let pop3 =
        Provider::start(parts(&[say("+OK"), expect("CAPA"), say("+OK\r\nUIDL\r\nSASL GSSAPI\r\n."), Step::Stall]));
    let smtp = Provider::start(parts(&[say("220 a"), expect("EHLO"), say("250 a"), Step::Stall]));
    let ostler = ostler(&TestCa::new(), Server::new("none", pop3.port), Server::new("none", smtp.port), "");
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.0 ", &["localhost", "offers no way to sign in"]);
    for server in [pop3, smtp] {
        for number in 0..server.connections() {
            let received = String::from_utf8_lossy(&server.over(number).received).to_uppercase();
            assert!(!received.contains("USER") && !received.contains("AUTH"), "{received}");
        }
    }
}

#[test]
fn a_server_of_another_protocol() {
    let imap = Provider::start(parts(&[say("* OK IMAP4rev1 ready"), Step::Stall]));
    let ostler = both(&TestCa::new(), "none", imap.port, "");
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.4.2 ", &["localhost", "does not speak", "IMAP4rev1 ready"]);
}

#[test]
fn a_server_that_turns_everybody_away() {
    let (pop3, smtp) = ("-ERR [SYS/TEMP] closed today", "554 5.3.2 closed today");
    let pop3 = Provider::start(parts(&[say(pop3), Step::Close]));
    let smtp = Provider::start(parts(&[say(smtp), Step::Close]));
    let ostler = ostler(&TestCa::new(), Server::new("none", pop3.port), Server::new("none", smtp.port), "");
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "451 4.3.0 ", &["localhost", "closed today"]);
}

#[test]
fn a_message_that_is_too_big() {
    let part = [
        say("220 a"),
        expect("EHLO"),
        say("250-a\r\n250-SIZE 10000000\r\n250 AUTH PLAIN"),
        expect("AUTH"),
        say("235 in"),
        Step::Stall,
    ];
    let smtp = Provider::start(parts(&part));
    let ostler = ostler(&TestCa::new(), Server::new("none", 1), Server::new("none", smtp.port), "");
    let words = ["localhost", "too big", "30.5 MB", "10.0 MB"];
    assert_says(&at_mail_with(&ostler, " SIZE=30500000"), "552 5.3.4 ", &words);
    assert_in_status(&ostler, &words);
}

// Secrets

#[test]
fn no_keyring_at_all() {
    let server = || Server::new("tls", free_port());
    let account = Account::new("home", ANN, "").keyring().pop3(server()).smtp(server());
    let ostler = Ostler::start(&TestCa::new(), &[account]);
    // The server is not there either, but that is not what the user has to cure first... whichever is told, it is told.
    let line = at_pass(&ostler);
    assert_says(&line, "-ERR [SYS/TEMP] ", &["localhost"]);
}

/// Servers that get as far as the sign-in, and an account with this `password`.
fn without_secret(password: &str) -> (Provider, Provider, Home) {
    let pop3 = Provider::start(parts(&[say("+OK"), expect("USER"), say("+OK"), Step::Stall]));
    let smtp = Provider::start(parts(&[say("220 a"), expect("EHLO"), say("250-a\r\n250 AUTH PLAIN"), Step::Stall]));
    let account = Account::new("home", ANN, "").keyring().line(password);
    let account = account.pop3(Server::new("none", pop3.port)).smtp(Server::new("none", smtp.port));
    let home = Home::new(&TestCa::new(), &[account]);
    (pop3, smtp, home)
}

#[test]
fn no_keyring_to_ask() {
    let (_pop3, _smtp, home) = without_secret("");
    let ostler = home.run();
    assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.0 ", &["no keyring", "account home at localhost"]);
}

#[test]
fn nothing_in_the_keyring() {
    require!("keyring");
    let keyring = Keyring::start();
    let (_pop3, _smtp, home) = without_secret("");
    let ostler = home.with_keyring(&keyring).run();
    let words = ["keyring", "account home at localhost"];
    // The advice is a command, in both.
    for line in [at_pass(&ostler), at_mail(&ostler)] {
        assert!(line.contains("ostler password home") && words.iter().all(|word| line.contains(word)), "{line}");
    }
    assert_in_status(&ostler, &words);
}

#[test]
fn a_source_that_has_none() {
    for (source, words) in [
        ("password = { file = \"/nowhere/at/all\" }", "/nowhere/at/all"),
        ("password = { env = \"OSTLER_TEST_NOT_SET\" }", "OSTLER_TEST_NOT_SET"),
        ("password = { command = \"echo it broke >&2; exit 3\" }", "it broke"),
    ] {
        let (_pop3, _smtp, home) = without_secret(source);
        let ostler = home.run();
        assert_both(&ostler, "-ERR [SYS/TEMP] ", "454 4.7.0 ", &["account home at localhost", words]);
    }
}

#[test]
fn a_client_that_gives_no_password_of_its_own() {
    let (_pop3, _smtp, home) = without_secret("password = \"client\"");
    let ostler = home.run();
    assert_says(&at_mail(&ostler), "454 4.7.0 ", &["account home at localhost", "mail program"]);
}

// What the client does

#[test]
fn a_name_and_a_sender_nobody_has() {
    let ca = TestCa::new();
    let accounts = ["home", "work"].map(|name| {
        Account::new(name, &format!("{name}@example.org"), &unique("pw"))
            .pop3(Server::new("none", 1))
            .smtp(Server::new("none", 1))
    });
    let ostler = Ostler::start(&ca, &accounts);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.say("USER joe");
    let line = one_line(&pop.raw_line().unwrap());
    assert_says(&line, "-ERR [AUTH] ostler has no account \"joe\"; it has: home, work", &[]);
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("HELO old-pc", "250");
    smtp.say("MAIL FROM:<joe@example.com>");
    let line = one_line(&smtp.raw_line().unwrap());
    assert_says(&line, "550 5.7.1 ", &["joe@example.com", "home, work"]);
    // Mail without a sender belongs to nobody either.
    smtp.say("MAIL FROM:<>");
    assert_says(&one_line(&smtp.raw_line().unwrap()), "550 5.7.1 ", &["home, work"]);
    for name in ["USER \u{e4}\u{f6}", &format!("USER {}", "x".repeat(400)), "USER %n%s"] {
        pop.say(name);
        assert_says(&one_line(&pop.raw_line().unwrap()), "-ERR [AUTH] ", &["home, work"]);
    }
}

#[test]
fn an_account_that_only_sends_or_only_fetches() {
    let ca = TestCa::new();
    let sends = Account::new("sends", "sends@example.org", &unique("pw")).smtp(Server::new("none", 1));
    let fetches = Account::new("fetches", ANN, &unique("pw")).pop3(Server::new("none", 1));
    let ostler = Ostler::start(&ca, &[sends, fetches]);
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.say("USER sends");
    let line = one_line(&pop.raw_line().unwrap());
    assert_says(&line, "-ERR ", &["sends", "POP3"]);
    assert!(!line.contains("[AUTH]"), "{line}");
    assert_says(&at_mail(&ostler), "550 5.7.1 ", &["fetches", "SMTP"]);
}

#[test]
fn a_client_that_starts_tls_on_a_plain_door() {
    let ostler = both(&TestCa::new(), "tls", 1, "");
    for (port, start) in [(ostler.pop3, "-ERR "), (ostler.smtp, "421 ")] {
        let mut client = Client::connect(port);
        client.expect(if port == ostler.pop3 { "+OK" } else { "220 " });
        // The beginning of a ClientHello.
        client.send([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
        let line = one_line(&client.raw_line().unwrap());
        assert!(line.starts_with(start) && line.contains("TLS"), "{line}");
        client.expect_end();
    }
    wait_for("both in the log", || (ostler.log().matches("TLS").count() >= 2).then_some(()));
    for (port, command, start) in [(ostler.pop3, "STLS", "-ERR "), (ostler.smtp, "STARTTLS", "502 ")] {
        let mut client = Client::connect(port);
        client.line();
        client.say(command);
        let line = one_line(&client.raw_line().unwrap());
        assert!(line.starts_with(start) && line.contains("plain"), "{line}");
    }
}

#[test]
fn a_client_that_speaks_http() {
    let ostler = both(&TestCa::new(), "tls", 1, "");
    for port in [ostler.pop3, ostler.smtp] {
        for request in
            ["GET / HTTP/1.1", "POST /x HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT a:25 HTTP/1.1", "Host: 127.0.0.1"]
        {
            let mut client = Client::connect(port);
            client.line();
            client.send(format!("{request}\r\nHost: 127.0.0.1\r\n\r\nMAIL FROM:<{ANN}>\r\n"));
            let line = one_line(&client.raw_line().unwrap());
            assert!(line.contains("HTTP"), "{request}: {line}");
            client.expect_end();
        }
    }
    wait_for("it in the log", || ostler.log().contains("HTTP").then_some(()));
}
