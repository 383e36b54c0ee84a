//! How a person signs in and out.

use crate::support::client::{self, Client};
use crate::support::process::{document, said};
use crate::support::{mail, require, wait_for};
use crate::{ANN, BOB, SignIn, Site};

#[test]
fn a_sign_in_in_the_browser_lets_an_old_program_fetch_send_and_read() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = site.home();
    let before = home.settings();
    site.sign_in(&mut home);
    assert_eq!(home.settings(), before, "the settings file is the user's");
    let message = mail::tricky("oauth2");
    site.dovecot.deliver(ANN, &message);
    let ostler = home.run();
    assert_eq!(client::fetch(ostler.pop3, "home", "x"), std::slice::from_ref(&message));
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(site.postfix.deliveries().len(), 1);
    let mut imap = Client::greeted(ostler.imap, "* OK");
    imap.ask("a LOGIN home x", "* CAPABILITY");
    imap.expect("a OK");
    let status = document(&ostler.home.ostler(&["status", "--json"], ""));
    assert!(status["accounts"][0]["signed_in_until"].as_str().unwrap().ends_with('Z'), "{status}");
    let refused = ostler.home.ostler(&["password", "home", "--stdin"], "x\n");
    assert_eq!(refused.status.code(), Some(1));
    assert!(said(&refused).contains("ostler sign-in"), "{}", said(&refused));
    assert_eq!(site.issuer.count("authorization_code"), 1);
    assert_eq!(site.issuer.count("refresh_token"), 0, "{:?}", site.issuer.requests());
}

#[test]
fn before_the_sign_in_every_door_says_how_to_sign_in() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = site.home();
    home.keep_secret("nothing-yet");
    let ostler = home.run();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    let refusal = pop.ask("PASS x", "-ERR [AUTH]");
    assert!(refusal.contains("sign in again: ostler sign-in") && refusal.contains("home"), "{refusal}");
    let mut smtp = Client::greeted(ostler.smtp, "220");
    smtp.ask_reply("EHLO x", "250");
    let refusal = smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8");
    assert!(refusal.contains("sign in again: ostler sign-in"), "{refusal}");
    let mut imap = Client::greeted(ostler.imap, "* OK");
    imap.ask("a LOGIN home x", "* OK [ALERT]");
    let refusal = imap.expect("a NO [AUTHENTICATIONFAILED]");
    assert!(refusal.contains("sign in again: ostler sign-in"), "{refusal}");
    let status = ostler.home.ostler(&["status", "--json"], "");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["accounts"][0]["state"], "needs-sign-in");
    // Mended without a restart.
    let sign_in = SignIn::start(&ostler.home, &["sign-in", "home", "--no-browser"]);
    site.issuer.sign_in(&sign_in.address, "ann");
    sign_in.succeeds();
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "+OK");
    let status = ostler.home.ostler(&["status", "--json"], "");
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_ne!(status["accounts"][0]["state"], "needs-sign-in");
}

#[test]
fn a_code_typed_on_another_device_signs_in() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let mut home = site.home();
    let mut sign_in = SignIn::start(&home, &["sign-in", "--device"]);
    let code = sign_in.next_line();
    let page = site.issuer.type_code(&sign_in.address, &code, "ann");
    assert!(page.contains("Sign-in Success") || page.contains("success"), "{page}");
    let text = sign_in.succeeds();
    assert!(text.contains("signed in at test as ann@example.net"), "{text}");
    site.keep_secret(&mut home);
    let ostler = home.run();
    assert!(client::fetch(ostler.pop3, "home", "x").is_empty());
}

#[test]
fn another_person_is_refused_and_named_and_nothing_is_kept() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let home = site.home();
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    site.issuer.sign_in(&sign_in.address, "bob");
    let text = sign_in.fails();
    assert!(text.contains("you signed in as bob@example.net, but account home is for ann@example.net"), "{text}");
    assert!(site.tokens().is_null());
    // What bob gave is taken back at once.
    assert!(site.issuer.count("revocation 200") > 0);
}

#[test]
fn where_the_issuer_does_not_say_who_it_was_the_mail_server_does() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let home = site.home();
    let quiet = home.settings().replace("\"openid\", \"offline_access\", \"email\", ", "");
    home.write_settings(&quiet);
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    site.issuer.sign_in(&sign_in.address, "bob");
    let text = sign_in.fails();
    assert!(text.contains("another person than ann@example.net"), "{text}");
    assert!(site.tokens().is_null());
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    site.issuer.sign_in(&sign_in.address, "ann");
    let text = sign_in.succeeds();
    assert!(text.contains("you will have to sign in again"), "without offline_access nothing can be renewed: {text}");
}

#[test]
fn a_no_is_told_and_a_wrong_answer_is_not_taken() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let site = Site::start();
    let home = site.home();
    let sign_in = SignIn::start(&home, &["sign-in", "--no-browser"]);
    let redirect = sign_in.address.split("redirect_uri=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let port: u16 = redirect.split("%3A").nth(2).unwrap().trim_end_matches("%2F").parse().unwrap();
    for request in ["/?code=x&state=wrong", "/?error=access_denied&state=wrong", "/?code=x", "/favicon.ico", "/"] {
        let mut browser = Client::connect(port);
        browser.send(format!("GET {request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n"));
        let answer = String::from_utf8(browser.rest()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{request}: {answer}");
    }
    let page = site.issuer.refuse(&sign_in.address);
    assert!(page.contains("The sign-in did not work"), "{page}");
    let text = sign_in.fails();
    assert!(text.contains("was told not to let ostler in"), "{text}");
    let gone = std::net::TcpStream::connect(("127.0.0.1", port));
    assert!(gone.is_err(), "the port is closed after one answer");
    assert!(site.tokens().is_null());
}

#[test]
fn signing_out_takes_the_sign_in_back_and_the_running_ostler_drops_it() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, home) = Site::signed_in();
    let ostler = home.run();
    let mut smtp = Client::greeted(ostler.smtp, "220");
    smtp.ask_reply("EHLO x", "250");
    for command in [format!("MAIL FROM:<{ANN}>"), format!("RCPT TO:<{BOB}>")] {
        smtp.ask_reply(&command, "250");
    }
    smtp.ask_reply("DATA", "354");
    smtp.send("Subject: x\r\n\r\nx\r\n.\r\n");
    smtp.expect_reply("250");
    let signed_out = ostler.home.ostler(&["sign-out", "home"], "");
    assert!(said(&signed_out).contains("has taken the sign-in back"), "{}", said(&signed_out));
    assert!(site.tokens().is_null());
    assert_eq!(site.issuer.count("revocation 200"), 2);
    // The connection that was kept for the next message goes too.
    wait_for("postfix to see the end", || site.postfix.log().contains("disconnect from").then_some(()));
    smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "550 5.7.8");
    let mut pop = Client::greeted(ostler.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [AUTH]");
}
