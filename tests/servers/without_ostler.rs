//! The servers themselves, without ostler: a test of ostler means little if what it stands on is not what it says.

use std::time::Duration;

use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::dovecot::Dovecot;
use crate::support::exim::{Exim, Wording};
use crate::support::gate::{Event, Gate, Rules, Stage, Trigger};
use crate::support::keyring::Keyring;
use crate::support::postfix::Postfix;
use crate::support::process::{command, run, said};
use crate::support::provider::{Provider, Step, expect, say};
use crate::support::{mail, require, unique, wait_for};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

fn log_in(gate: &Gate, password: &str) {
    let mut pop = Client::greeted(gate.dovecot.pop3, "+OK");
    pop.ask(&format!("USER {ANN}"), "+OK");
    pop.ask(&format!("PASS {password}"), "+OK");
    pop.ask("QUIT", "+OK");
}

#[test]
fn dovecot_gives_a_message_back_byte_for_byte() {
    require!("dovecot");
    let password = unique("pw");
    let dovecot = Dovecot::builder().user(ANN, &password).start();
    let message = mail::tricky("stored");
    dovecot.deliver(ANN, &message);
    assert_eq!(client::fetch(dovecot.pop3, ANN, &password), [message]);
    assert_eq!(dovecot.logins().len(), 1);
    dovecot.wait_for_log(&["Logged out"]);
}

#[test]
fn dovecot_speaks_tls_on_both_ports_and_hides_the_password_without() {
    require!("dovecot", "curl");
    let ca = TestCa::new();
    let folder = crate::support::folder();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let dovecot = Dovecot::builder().user(ANN, "pw").cert(ca.localhost()).refuse_plain_text().start();
    let mut plain = Client::connect_to(dovecot.host, dovecot.pop3);
    plain.expect("+OK");
    plain.ask(&format!("USER {ANN}"), "-ERR [AUTH]");
    for (scheme, port) in [("pop3", dovecot.pop3), ("pop3s", dovecot.pop3s)] {
        let mut curl = command("curl", ["-sS", "--ssl-reqd", "--user", &format!("{ANN}:pw"), "--cacert"]);
        curl.arg(&roots).arg(format!("{scheme}://{}:{port}/", dovecot.host));
        let output = run(&mut curl, "");
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn a_locked_mailbox_lets_a_second_login_in_and_then_says_in_use() {
    require!("dovecot");
    let dovecot = Dovecot::builder().user(ANN, "pw").lock_sessions().start();
    let mut first = Client::greeted(dovecot.pop3, "+OK");
    first.ask(&format!("USER {ANN}"), "+OK");
    first.ask("PASS pw", "+OK");
    let mut second = Client::greeted(dovecot.pop3, "+OK");
    second.ask(&format!("USER {ANN}"), "+OK");
    second.ask("PASS pw", "-ERR [IN-USE]");
    assert_eq!(dovecot.logins().len(), 2, "the refused session counts as a login");
}

#[test]
fn postfix_delivers_each_message_once_and_whole() {
    require!("postfix");
    let postfix = Postfix::builder().refuse("nosuch@example.com", "550 5.1.1 User unknown").start();
    let message = mail::tricky("sent");
    client::send(postfix.plain, ANN, &[BOB, "eve@example.com"], &message);
    let deliveries = postfix.deliveries();
    let to: Vec<_> = deliveries.iter().map(|delivery| delivery.to.as_str()).collect();
    assert_eq!(to, [BOB, "eve@example.com"]);
    for delivery in &deliveries {
        assert_eq!((delivery.from.as_str(), &delivery.content), (ANN, &mail::stored(&message)));
    }
    let mut smtp = Client::greeted(postfix.plain, "220");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply("MAIL FROM:<ann@example.org>", "250");
    smtp.ask_reply("RCPT TO:<nosuch@example.com>", "550 5.1.1 ");
    assert_eq!(postfix.deliveries().len(), 2);
}

#[test]
fn postfix_takes_signed_in_senders_by_starttls_and_by_tls() {
    require!("postfix", "dovecot", "curl");
    let ca = TestCa::new();
    let folder = crate::support::folder();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let message = mail::tricky("submitted");
    std::fs::write(folder.path().join("message"), &message).unwrap();
    for mechanisms in ["plain", "login", "cram-md5"] {
        let dovecot = Dovecot::builder().user(ANN, "pw").mechanisms(mechanisms).start();
        let postfix = Postfix::builder().cert(ca.localhost()).sasl(&dovecot).start();
        for (count, (scheme, port)) in [("smtp", postfix.submission), ("smtps", postfix.smtps)].into_iter().enumerate()
        {
            let mut curl = command("curl", ["-sS", "--ssl-reqd", "--mail-from", ANN, "--mail-rcpt", BOB, "--user"]);
            curl.arg(format!("{ANN}:pw")).arg("--cacert").arg(&roots).arg("-T").arg(folder.path().join("message"));
            curl.arg(format!("{scheme}://localhost:{port}"));
            let output = run(&mut curl, "");
            assert!(output.status.success(), "{mechanisms} {scheme}: {}\n{}", said(&output), postfix.log());
            assert_eq!(postfix.deliveries().len(), count + 1);
        }
    }
}

#[test]
fn postfix_relays_nothing_for_strangers() {
    require!("postfix", "dovecot");
    let dovecot = Dovecot::builder().user(ANN, "pw").start();
    let postfix = Postfix::builder().sasl(&dovecot).start();
    let mut smtp = Client::greeted(postfix.submission, "220");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply("MAIL FROM:<ann@example.org>", "250");
    smtp.ask_reply("RCPT TO:<bob@example.com>", "554 5.7.1 <bob@example.com>: Relay access denied");
}

#[test]
fn the_gate_opens_after_a_login() {
    require!("postfix", "dovecot");
    let gate = Gate::start(Rules::default(), &TestCa::new().localhost(), &[(ANN, "pw")]);
    let mut early = Client::greeted(gate.smtp(), "220");
    early.ask_reply("EHLO old-pc", "250");
    early.ask_reply("MAIL FROM:<ann@example.org>", "250");
    early.ask_reply("RCPT TO:<bob@example.com>", "554 5.7.1 <bob@example.com>: Relay access denied");
    log_in(&gate, "pw");
    // The old connection keeps its verdict; a new one is let in.
    early.ask_reply("RCPT TO:<bob@example.com>", "554 5.7.1 ");
    let message = mail::tricky("gate");
    client::send(gate.smtp(), ANN, &[BOB], &message);
    let deliveries = gate.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert_eq!(deliveries[0].content, mail::stored(&message));
    let expected = [
        Event::SmtpConnected,
        Event::Refused,
        Event::Login(ANN.to_owned()),
        Event::Refused,
        Event::SmtpConnected,
        Event::Let,
    ];
    assert_eq!(gate.events(), expected);
    gate.forget();
    let mut late = Client::greeted(gate.smtp(), "220");
    late.ask_reply("HELO old-pc", "250");
    late.ask_reply("MAIL FROM:<ann@example.org>", "250");
    late.ask_reply("RCPT TO:<bob@example.com>", "554 5.7.1 ");
}

#[test]
fn the_gate_refuses_at_every_stage_in_the_words_it_was_given() {
    require!("postfix", "dovecot");
    let cert = TestCa::new().localhost();
    for (stage, refusal) in [
        (Stage::Connect, "550 5.7.1 check your mail first"),
        (Stage::Mail, "450 4.7.1 you must POP first"),
        (Stage::Rcpt, "553 5.7.1 not in my list of allowed rcpthosts"),
        (Stage::Data, "554 5.7.1 POP before SMTP"),
    ] {
        let rules = Rules { stage, refusal: Some(refusal.to_owned()), ..Rules::default() };
        let gate = Gate::start(rules, &cert, &[(ANN, "pw")]);
        let mut smtp = Client::connect(gate.smtp());
        let text = refusal.split_once(' ').unwrap().1.split_once(' ').unwrap().1;
        let mut asked = vec![("", Stage::Connect), ("EHLO old-pc", Stage::Connect)];
        asked.extend([("MAIL FROM:<ann@example.org>", Stage::Mail), ("RCPT TO:<bob@example.com>", Stage::Rcpt)]);
        asked.push(("DATA", Stage::Data));
        for (line, at) in asked {
            if !line.is_empty() {
                smtp.say(line);
            }
            let reply = smtp.reply();
            if at == stage {
                if stage == Stage::Connect || !line.starts_with("EHLO") {
                    assert!(reply.starts_with(&refusal[..3]) && reply.contains(text), "{stage:?}: {reply}");
                }
                break;
            }
            assert!(reply.starts_with('2') || reply.starts_with('3'), "{stage:?} {line}: {reply}");
        }
        log_in(&gate, "pw");
        client::send(gate.smtp(), ANN, &[BOB], b"Subject: let\r\n\r\nin\r\n");
        assert_eq!(gate.deliveries().len(), 1);
        assert_eq!(gate.refusals(), 1);
    }
}

#[test]
fn the_gate_keeps_the_time_of_its_rules() {
    require!("postfix", "dovecot");
    let cert = TestCa::new().localhost();
    let asks = |gate: &Gate| {
        let mut smtp = Client::greeted(gate.smtp(), "220");
        smtp.ask_reply("EHLO old-pc", "250");
        smtp.ask_reply("MAIL FROM:<ann@example.org>", "250");
        smtp.say("RCPT TO:<bob@example.com>");
        smtp.reply().starts_with("250")
    };
    let gate = Gate::start(Rules { late: Duration::from_secs(3600), ..Rules::default() }, &cert, &[(ANN, "pw")]);
    log_in(&gate, "pw");
    assert!(!asks(&gate), "it begins late");
    let short = Rules { late: Duration::from_secs(1), window: Duration::from_secs(5), ..Rules::default() };
    let gate = Gate::start(short, &cert, &[(ANN, "pw")]);
    log_in(&gate, "pw");
    wait_for("the gate to open", || asks(&gate).then_some(()));
    wait_for("the gate to shut", || (!asks(&gate)).then_some(()));

    let gate = Gate::start(Rules { trigger: Trigger::Logout, ..Rules::default() }, &cert, &[(ANN, "pw")]);
    let mut pop = Client::greeted(gate.dovecot.pop3, "+OK");
    pop.ask(&format!("USER {ANN}"), "+OK");
    pop.ask("PASS pw", "+OK");
    assert!(!asks(&gate), "the session is still open");
    pop.ask("QUIT", "+OK");
    wait_for("the gate to open", || asks(&gate).then_some(()));
}

#[test]
fn exim_relays_for_addresses_that_logged_in() {
    require!("exim", "dovecot");
    let cert = TestCa::new().localhost();
    for (wording, words) in [
        (Wording::Exim, "relay not permitted"),
        (Wording::Cpanel, "Perhaps you have not logged into the pop/imap server in the last 30 minutes"),
        (Wording::None, "Administrative prohibition"),
    ] {
        let (_folder, relay_file) = Exim::relay_file();
        let dovecot = Dovecot::builder().user(ANN, "pw").tell(&relay_file).start();
        let exim = Exim::start(wording, &cert, &relay_file);
        let mut early = Client::greeted(exim.port, "220");
        early.ask_reply("EHLO old-pc", "250");
        early.ask_reply("MAIL FROM:<ann@example.org>", "250");
        let refusal = early.ask_reply("RCPT TO:<bob@example.com>", "550");
        let joined: Vec<_> = refusal.lines().map(|line| &line[4..]).collect();
        assert!(joined.join(" ").contains(words), "{refusal}");
        assert_eq!(refusal.lines().count() > 1, wording == Wording::Cpanel, "{refusal}");
        client::fetch(dovecot.pop3, ANN, "pw");
        let message = mail::tricky("exim");
        client::send(exim.port, ANN, &[BOB], &message);
        let deliveries = exim.deliveries();
        assert_eq!(deliveries.len(), 1, "{}", exim.log());
        assert_eq!(deliveries[0].content, mail::stored(&message));
        assert_eq!((deliveries[0].from.as_str(), deliveries[0].to.as_str()), (ANN, BOB));
    }
}

#[test]
fn the_keyring_keeps_a_secret_and_no_file_shows_it() {
    require!("keyring");
    let keyring = Keyring::start();
    let secret = unique("secret");
    let stored = keyring.secret_tool(&["store", "--label=test", "service", "test"], &secret);
    assert!(stored.status.success(), "{}", said(&stored));
    let found = keyring.secret_tool(&["lookup", "service", "test"], "");
    assert_eq!(String::from_utf8_lossy(&found.stdout), secret);
    let files = keyring.files();
    assert!(files.iter().any(|file| file.extension().is_some_and(|end| end == "keyring")), "{files:?}");
    for file in files {
        assert!(memchr::memmem::find(&std::fs::read(&file).unwrap_or_default(), secret.as_bytes()).is_none());
    }
}

#[test]
fn a_written_part_is_played_with_and_without_tls() {
    require!("curl");
    let ca = TestCa::new();
    let folder = crate::support::folder();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    let part = vec![
        say("+OK hello"),
        expect("CAPA"),
        say("-ERR what?"),
        expect("USER ann"),
        say("+OK"),
        expect("PASS pw"),
        say("+OK"),
        expect("LIST"),
        Step::Send(b"+OK\r\n1 5\r\n.\r\n".to_vec()),
        expect("QUIT"),
        say("+OK"),
    ];
    for (scheme, peer) in [
        ("pop3", Provider::start(vec![part.clone()])),
        ("pop3s", Provider::start_tls(&ca.localhost(), vec![part.clone()])),
    ] {
        let mut curl = command("curl", ["-sS", "--user", "ann:pw", "--cacert"]);
        curl.arg(&roots).arg(format!("{scheme}://localhost:{}/", peer.port));
        let output = run(&mut curl, "");
        assert_eq!(said(&output), "1 5\r\n", "{scheme}");
        assert!(peer.finished(0).starts_with(b"CAPA\r\n"));
    }
}

#[test]
fn curl_refuses_the_bad_certificates() {
    require!("curl");
    let ca = TestCa::new();
    let folder = crate::support::folder();
    let roots = folder.path().join("ca.pem");
    std::fs::write(&roots, ca.pem()).unwrap();
    for cert in [ca.wrong_name(), ca.expired(), TestCa::self_signed()] {
        let peer = Provider::start_tls(&cert, vec![vec![say("+OK hello")]]);
        let mut curl = command("curl", ["-sS", "--user", "ann:pw", "--cacert"]);
        curl.arg(&roots).arg(format!("pop3s://localhost:{}/", peer.port));
        let output = run(&mut curl, "");
        assert_eq!(output.status.code(), Some(60), "{}", said(&output));
    }
}
