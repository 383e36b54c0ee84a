//! What users met at real servers and in the files of old programs, and ostler gets right: it stays so.

use crate::importing::import;
use crate::sign_in::{ANN, BOB, send_on, takes_mail_of_anyone};
use crate::support::ca::TestCa;
use crate::support::client::{Client, fetch};
use crate::support::dovecot::Dovecot;
use crate::support::openssl;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::provider::Provider;
use crate::support::world::World;
use crate::support::{require, skip, unique};

const LETTER: &[u8] = b"Subject: hello\r\n\r\nhello\r\n";

/// `ostler check`, without the line ends that wrap it.
fn checked(home: &Home) -> String {
    said(&home.ostler(&["check"], "")).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn good_a_server_with_rsa_key_exchange_only_is_told_as_old() {
    require!("openssl");
    let ca = TestCa::new();
    let cert = crate::support::ca::ServerCert::by_openssl("rsa:2048", &["subjectAltName=DNS:localhost"]);
    let only_rsa = ["-tls1_2", "-cipher", "AES256-GCM-SHA384:AES128-SHA:@SECLEVEL=0"];
    let Some((_server, port, _folder)) = openssl::serve(&cert, &only_rsa) else {
        return skip("an openssl that exchanges keys by RSA");
    };
    let home = Home::new(&ca, &[Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", port))]);
    let said = checked(&home);
    assert!(said.contains("has not been updated") && said.contains("ostler does not use it"), "{said}");
    let ostler = home.run();
    let mut client = Client::greeted(ostler.pop3, "+OK");
    client.ask("USER home", "+OK");
    let answer = client.ask("PASS typed", "-ERR [SYS/");
    assert!(answer.contains("localhost") && !answer.to_lowercase().contains("password"), "{answer}");
}

#[test]
fn good_a_certificate_for_other_names_is_told_with_those_names() {
    require!("dovecot");
    let ca = TestCa::new();
    let cert = ca.named(&["mail.plover.example", "*.heron.example"]);
    let dovecot = Dovecot::builder().user(ANN, "pw").cert(cert.clone()).start();
    let account = |server: Server| Account::new("home", ANN, &unique("pw")).pop3(server);
    let home = Home::new(&ca, &[account(Server::new("tls", dovecot.pop3s))]);
    let said = checked(&home);
    assert!(said.contains("mail.plover.example") && said.contains("*.heron.example"), "{said}");
    assert!(dovecot.logins().is_empty());
    // Named by its pin, it is the one that the user means.
    let pin = format!("pin = {:?}", cert.pin());
    let secret = unique("pw");
    let dovecot = Dovecot::builder().user(ANN, &secret).cert(cert).start();
    dovecot.deliver(ANN, LETTER);
    let pinned = Account::new("home", ANN, &secret).pop3(Server::new("tls", dovecot.pop3s).line(&pin));
    let ostler = Home::new(&TestCa::new(), &[pinned]).run();
    assert_eq!(fetch(ostler.pop3, "home", "typed").len(), 1);
}

#[test]
fn good_hosts_with_an_underscore_or_a_dot_at_the_end_are_reached_by_their_name() {
    require!("world", "dovecot");
    let (own, sni) = ("post_office.plover.example", "mail.heron.example");
    let world = World::builder().host(own, "127.0.0.2").host(sni, "127.0.0.3").start();
    let secret = unique("pw");
    let underscored = Dovecot::builder().user(ANN, &secret).cert(world.ca().named(&[own]));
    let underscored = underscored.inside(&world, "127.0.0.2", [110, 995]).start();
    // A server that shows the right certificate only to whom names it.
    let other = world.ca().named(&["other.heron.example"]);
    let folder = crate::support::folder();
    let right = world.ca().named(&[sni]);
    for (name, text) in [("cert.pem", &right.chain_pem), ("key.pem", &right.key_pem)] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let at = folder.path().display();
    let by_name = format!("local_name {sni} {{\n  ssl_cert = <{at}/cert.pem\n  ssl_key = <{at}/key.pem\n}}");
    let by_name = Dovecot::builder().user(ANN, &secret).cert(other).line(&by_name);
    let by_name = by_name.inside(&world, "127.0.0.3", [110, 995]).start();
    for (dovecot, host) in [(&underscored, own), (&by_name, sni), (&by_name, "mail.heron.example.")] {
        dovecot.deliver(ANN, LETTER);
        let account = Account::new("home", ANN, &secret).pop3(Server::at(host, "tls", 995));
        let ostler = Home::new(world.ca(), &[account]).inside(&world).run();
        let letters = fetch(world.reach(ostler.pop3), "home", "typed");
        assert_eq!(letters, dovecot.mailbox(ANN), "{host}");
    }
}

#[test]
fn good_a_server_without_tls_on_this_computer_is_used() {
    require!("dovecot");
    let secret = unique("pw");
    let dovecot = Dovecot::builder().user(ANN, &secret).start();
    dovecot.deliver(ANN, LETTER);
    let smtp = Provider::start(vec![takes_mail_of_anyone()]);
    let account = Account::new("home", ANN, &secret)
        .pop3(Server::at("127.0.0.1", "none", dovecot.pop3))
        .smtp(Server::at("127.0.0.1", "none", smtp.port));
    let ostler = Home::new(&TestCa::new(), &[account]).run();
    assert_eq!(fetch(ostler.pop3, "home", "typed"), dovecot.mailbox(ANN));
    let mut client = Client::greeted(ostler.smtp, "220 ");
    client.ask_reply("EHLO old-pc", "250");
    send_on(&mut client);
    client.ask_reply("QUIT", "221 ");
    assert!(String::from_utf8_lossy(&smtp.finished(0)).contains(&format!("RCPT TO:<{BOB}>")));
}

#[test]
fn good_names_of_eudora_with_two_ats_and_with_a_domain_of_windows_are_kept() {
    let of = |account: &str, address: &str| {
        let file = format!(
            "[Settings]\r\nPOPAccount={account}\r\nReturnAddress={address}\r\nSMTPServer=smtp.plover.example\r\n\
             SmtpAuthAllowed=1\r\n"
        );
        import(file, &[]).all_servers()
    };
    for (account, name) in [
        ("tern@plover.example@mail.plover.example", "tern@plover.example"),
        ("PLOVER\\tern@mail.plover.example", "PLOVER\\tern"),
        ("tern%plover.example@mail.plover.example", "tern%plover.example"),
    ] {
        assert_eq!(
            of(account, "tern@plover.example"),
            [
                format!("tern@plover.example pop3 mail.plover.example:995 {name}"),
                format!("tern@plover.example smtp smtp.plover.example:465 {name}")
            ]
        );
    }
}

#[test]
fn good_old_accounts_of_att_get_todays_servers() {
    for (address, pop3, smtp) in [
        ("tern@sbcglobal.net", "pop.sbcglobal.yahoo.com", "smtp.sbcglobal.yahoo.com"),
        ("tern@att.net", "pop.att.yahoo.com", "smtp.att.yahoo.com"),
        ("tern@bellsouth.net", "mail.bellsouth.net", "mail.bellsouth.net"),
        ("tern@pacbell.net", "mail.pacbell.net", "mail.pacbell.net"),
    ] {
        let file =
            format!("[Settings]\r\nPOPAccount={address}@{pop3}\r\nReturnAddress={address}\r\nSMTPServer={smtp}\r\n");
        assert_eq!(
            import(file, &[]).all_servers(),
            [
                format!("{address} pop3 inbound.att.net:995 {address}"),
                format!("{address} smtp outbound.att.net:465 {address}"),
                format!("{address} imap imap.mail.att.net:993 {address}")
            ]
        );
    }
}
