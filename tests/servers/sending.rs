//! SMTP through ostler to Postfix.

use crate::support::ca::TestCa;
use crate::support::client::{self, Client};
use crate::support::dovecot::Dovecot;
use crate::support::ostler::{Account, Ostler, Server};
use crate::support::postfix::Postfix;
use crate::support::{mail, private_file, require, unique};
use crate::{ANN, BOB, Site};

#[test]
fn mail_goes_once_and_unchanged_with_every_kind_of_tls_and_sign_in() {
    require!("dovecot", "postfix");
    let ca = TestCa::new();
    for mechanisms in ["plain", "login", "cram-md5", "plain login cram-md5"] {
        let password = unique("pw");
        let dovecot = Dovecot::builder().user(ANN, &password).mechanisms(mechanisms).start();
        let postfix = Postfix::builder().cert(ca.localhost()).sasl(&dovecot).start();
        for (done, (security, port)) in
            [("starttls", postfix.submission), ("tls", postfix.smtps)].into_iter().enumerate()
        {
            let account = Account::new("home", ANN, &password).smtp(Server::new(security, port));
            let ostler = Ostler::start(&ca, &[account]);
            let message = mail::tricky(security);
            client::send(ostler.smtp, ANN, &[BOB], &message);
            let deliveries = postfix.deliveries();
            assert_eq!(deliveries.len(), done + 1, "{mechanisms} {security}");
            let arrived = deliveries.iter().filter(|delivery| delivery.content == mail::stored(&message)).count();
            assert_eq!(arrived, 1, "{mechanisms} {security}: {deliveries:?}");
            assert!(deliveries.iter().all(|delivery| delivery.from == ANN && delivery.to == BOB));
        }
    }
}

#[test]
fn mail_goes_without_sign_in_where_the_file_says_none() {
    require!("postfix");
    let (ca, postfix) = (TestCa::new(), Postfix::builder().start());
    let server = Server::new("none", postfix.plain).auth("none");
    let ostler = Ostler::start(&ca, &[Account::new("home", ANN, "unused-password").smtp(server)]);
    let message = mail::tricky("none");
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(postfix.deliveries().len(), 1);
    assert_eq!(postfix.deliveries()[0].content, mail::stored(&message));
}

#[test]
fn greeting_and_abilities_are_those_old_clients_look_for() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let ostler = site.ostler();
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    let reply = smtp.ask_reply("EHLO old-pc", "250");
    let words: Vec<_> = reply.lines().map(|line| line[4..].trim_end()).collect();
    for wanted in ["8BITMIME", "ENHANCEDSTATUSCODES", "AUTH LOGIN PLAIN", "AUTH=LOGIN PLAIN"] {
        assert!(words.contains(&wanted), "{wanted} is not in {words:?}");
    }
    for unwanted in ["STARTTLS", "PIPELINING", "CHUNKING", "SMTPUTF8", "DSN"] {
        assert!(!words.iter().any(|word| word.starts_with(unwanted)), "{unwanted} is in {words:?}");
    }
    smtp.ask_reply("HELO", "250");
    smtp.ask_reply("EHLO [127.0.0.1]", "250");
    smtp.ask_reply("QUIT", "221");
    smtp.expect_end();
}

#[test]
fn any_sign_in_of_a_client_is_taken_and_none_is_needed() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let ostler = site.ostler();
    // ann@example.org and the password "old", in every framing a client of the time has.
    let plain = "AGFubkBleGFtcGxlLm9yZwBvbGQ=";
    let (user, word) = ("YW5uQGV4YW1wbGUub3Jn", "b2xk");
    let forms: [&[(&str, &str)]; 6] = [
        &[],
        &[(&format!("AUTH PLAIN {plain}"), "235")],
        &[("AUTH PLAIN", "334 "), (plain, "235")],
        &[("AUTH LOGIN", "334 VXNlcm5hbWU6"), (user, "334 UGFzc3dvcmQ6"), (word, "235")],
        &[(&format!("auth login {user}"), "334 UGFzc3dvcmQ6"), (word, "235")],
        &[("AUTH LOGIN", "334 VXNlcm5hbWU6"), ("*", "501")],
    ];
    for (number, form) in forms.iter().enumerate() {
        let mut smtp = Client::greeted(ostler.smtp, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        for (line, answer) in *form {
            smtp.ask_reply(line, answer);
        }
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        smtp.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        smtp.ask_reply("DATA", "354");
        smtp.send(mail::stuffed(&mail::tricky(&format!("form {number}"))));
        smtp.expect_reply("250");
        smtp.ask_reply("QUIT", "221");
    }
    let deliveries = site.postfix.deliveries();
    assert_eq!(deliveries.len(), forms.len());
    for number in 0..forms.len() {
        let message = mail::stored(&mail::tricky(&format!("form {number}")));
        assert_eq!(deliveries.iter().filter(|delivery| delivery.content == message).count(), 1, "{number}");
    }
}

#[test]
fn one_company_delivers_the_mail_and_another_takes_it() {
    require!("dovecot", "postfix");
    let ca = TestCa::new();
    let (here, there) = (unique("pw"), unique("pw"));
    let inbox = Dovecot::builder().user(ANN, &here).cert(ca.localhost()).start();
    let users = Dovecot::builder().user("ann-out", &there).start();
    let outbox = Postfix::builder().cert(ca.localhost()).sasl(&users).start();
    let folder = crate::support::folder();
    let file = folder.path().join("password");
    private_file(&file, &format!("{there}\n"));
    let server = Server::new("tls", outbox.smtps)
        .line("username = \"ann-out\"")
        .line(&format!("password = {{ file = {:?} }}", file.display().to_string()));
    let account = Account::new("home", ANN, &here).pop3(Server::new("tls", inbox.pop3s)).smtp(server);
    let ostler = Ostler::start(&ca, &[account]);
    let message = mail::tricky("fetch here, send there");
    inbox.deliver(ANN, &message);
    let fetched = client::fetch(ostler.pop3, ANN, "x");
    assert_eq!(fetched, std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &fetched[0]);
    assert_eq!(outbox.deliveries().len(), 1);
    assert_eq!(outbox.deliveries()[0].content, mail::stored(&message));
    assert!(!inbox.log().contains("ann-out"));
}

#[test]
fn the_sender_chooses_the_account_message_after_message() {
    require!("dovecot", "postfix");
    let ca = TestCa::new();
    let (anns, bobs) = (unique("pw"), unique("pw"));
    let ann_users = Dovecot::builder().user(ANN, &anns).start();
    let bob_users = Dovecot::builder().user(BOB, &bobs).start();
    let anns_server = Postfix::builder().cert(ca.localhost()).sasl(&ann_users).start();
    let bobs_server = Postfix::builder().cert(ca.localhost()).sasl(&bob_users).start();
    let accounts = [
        Account::new("ann", ANN, &anns)
            .line("aliases = [\"*@lists.example.org\"]")
            .smtp(Server::new("starttls", anns_server.submission)),
        Account::new("bob", BOB, &bobs).smtp(Server::new("tls", bobs_server.smtps)),
    ];
    let ostler = Ostler::start(&ca, &accounts);
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    for from in [ANN, BOB, "Ann.Again@Lists.Example.ORG", BOB] {
        smtp.ask_reply(&format!("MAIL FROM: <{from}>"), "250");
        smtp.ask_reply("RCPT TO: <eve@example.net>", "250");
        smtp.ask_reply("DATA", "354");
        smtp.send(format!("Subject: from {from}\r\n\r\nx\r\n.\r\n"));
        smtp.expect_reply("250");
    }
    let refusal = smtp.ask_reply("MAIL FROM:<joe@example.com>", "550 5.7.1");
    assert!(refusal.contains("ann") && refusal.contains("bob"), "{refusal}");
    smtp.ask_reply("QUIT", "221");
    let from =
        |server: &Postfix| server.deliveries().into_iter().map(|one| one.from.to_lowercase()).collect::<Vec<_>>();
    let mut anns_mail = from(&anns_server);
    anns_mail.sort();
    assert_eq!(anns_mail, ["ann.again@lists.example.org", ANN]);
    assert_eq!(from(&bobs_server), [BOB, BOB]);
}

#[test]
fn every_recipient_gets_the_providers_own_verdict() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).start();
    let postfix = Postfix::builder()
        .cert(ca.localhost())
        .sasl(&dovecot)
        .refuse("nosuch@example.com", "550 5.1.1 No such user here")
        .refuse("later@example.com", "450 4.2.0 Greylisted for a while")
        .refuse("full@example.com", "552 5.2.2 Mailbox full")
        .start();
    let account = Account::new("home", ANN, &password).smtp(Server::new("starttls", postfix.submission));
    let ostler = Ostler::start(&ca, &[account]);
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    for (recipient, code, words) in [
        ("nosuch@example.com", "550 5.1.1 ", "No such user here"),
        (BOB, "250", ""),
        ("later@example.com", "450 4.2.0 ", "Greylisted for a while"),
        ("full@example.com", "552 5.2.2 ", "Mailbox full"),
        ("eve@example.com", "250", ""),
    ] {
        let reply = smtp.ask_reply(&format!("RCPT TO:<{recipient}>"), code);
        assert!(reply.contains(words), "{reply}");
    }
    smtp.ask_reply("DATA", "354");
    let message = mail::tricky("two of five");
    smtp.send(mail::stuffed(&message));
    smtp.expect_reply("250");
    smtp.ask_reply("QUIT", "221");
    let deliveries = postfix.deliveries();
    assert_eq!(deliveries.iter().map(|one| one.to.as_str()).collect::<Vec<_>>(), [BOB, "eve@example.com"]);
    assert!(deliveries.iter().all(|one| one.content == mail::stored(&message)));
}

#[test]
fn a_bare_line_feed_around_a_dot_ends_no_message() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let ostler = site.ostler();
    for (number, smuggled) in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r"].into_iter().enumerate() {
        let mut smtp = Client::greeted(ostler.smtp, "220 ");
        smtp.ask_reply("EHLO old-pc", "250");
        smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
        smtp.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
        smtp.ask_reply("DATA", "354");
        let inner = "MAIL FROM:<ann@example.org>\r\nRCPT TO:<victim@example.com>\r\nDATA\r\n";
        smtp.send(format!("Subject: {number}\r\n\r\nfirst{smuggled}{inner}last\r\n.\r\n"));
        smtp.expect_reply("250");
        smtp.ask_reply("QUIT", "221");
        let deliveries = site.postfix.deliveries();
        assert_eq!(deliveries.len(), number + 1, "{smuggled:?}");
        assert!(deliveries.iter().all(|one| one.to == BOB), "{smuggled:?}");
        assert!(deliveries.iter().all(|one| one.content.ends_with(b"DATA\nlast\n")), "{smuggled:?}: {deliveries:?}");
    }
}

#[test]
fn a_large_message_goes_whole() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let ostler = site.ostler();
    let mut message = b"Subject: large\r\n\r\n".to_vec();
    let mut number = 0_u32;
    while message.len() < 20_000_000 {
        message.extend_from_slice(format!(".{number:09} and the rest of this line\r\n").as_bytes());
        number += 1;
    }
    client::send(ostler.smtp, ANN, &[BOB], &message);
    let deliveries = site.postfix.deliveries();
    assert_eq!(deliveries.len(), 1);
    assert!(deliveries[0].content == mail::stored(&message), "the large message arrived changed");
}

#[test]
fn a_refused_sign_in_is_said_at_mail_and_not_as_535() {
    require!("dovecot", "postfix");
    let site = Site::start();
    let account = Account::new("home", ANN, &unique("wrong")).smtp(Server::new("starttls", site.postfix.submission));
    let ostler = Ostler::start(&site.ca, &[account]);
    let mut smtp = Client::greeted(ostler.smtp, "220 ");
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.ask_reply("AUTH PLAIN AGFubkBleGFtcGxlLm9yZwBvbGQ=", "235");
    let refusal = smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8 ");
    assert_eq!(refusal.lines().count(), 1, "{refusal}");
    smtp.ask_reply("QUIT", "221");
    assert!(site.postfix.deliveries().is_empty());
}

#[test]
fn a_bad_certificate_keeps_mail_here() {
    require!("dovecot", "postfix");
    let (ca, password) = (TestCa::new(), unique("pw"));
    let dovecot = Dovecot::builder().user(ANN, &password).start();
    for cert in [ca.wrong_name(), ca.expired(), TestCa::self_signed()] {
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        for (security, port) in [("starttls", postfix.submission), ("tls", postfix.smtps)] {
            let account = Account::new("home", ANN, &password).smtp(Server::new(security, port));
            let ostler = Ostler::start(&ca, &[account]);
            let mut smtp = Client::greeted(ostler.smtp, "220 ");
            smtp.ask_reply("EHLO old-pc", "250");
            let refusal = smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "4");
            assert!(refusal.contains("certificate"), "{refusal}");
        }
        assert!(postfix.deliveries().is_empty());
    }
    assert!(!dovecot.log().contains("auth failed"));
}
