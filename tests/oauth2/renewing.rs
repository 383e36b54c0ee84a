//! Tokens that end: renewed early, by one session for all, and never thrown away for trouble.

use crate::support::client::{self, Client};
use crate::support::issuer::Issuer;
use crate::support::ostler::Home;
use crate::support::process::{document, out, said};
use crate::support::{mail, require, wait_for};
use crate::{ANN, BOB, Site};

/// Signs in at the POP3 door; what PASS is answered.
fn pass(port: u16) -> String {
    let mut pop = Client::greeted(port, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    pop.line().unwrap()
}

/// Waits until the token that the keyring has is due.
pub(crate) fn wait_until_due(site: &Site) {
    let expires = site.tokens()["expires"].as_u64().unwrap();
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    wait_for("the token to end", || (now() >= expires).then_some(()));
}

/// What monitoring is told.
fn metrics(home: &Home) -> String {
    let link = out(&home.ostler(&["settings", "--print"], ""));
    let port = link.split(':').nth(2).unwrap().split('/').next().unwrap().parse().unwrap();
    let mut monitor = Client::connect(port);
    monitor.send(format!("GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"));
    String::from_utf8(monitor.rest()).unwrap()
}

/// Fifty sessions at once on tokens that were good until `spoil`. What the renewal brings lasts an hour, so that it does not end
/// while a busy machine lets the fifty in.
fn fifty_sessions_renew_once(spoil: impl FnOnce(&mut serde_json::Value)) {
    let (site, home) = Site::signed_in();
    home.write_settings(&home.settings().replace("page = false", "page = 0\nmetrics = true"));
    let mut tokens = site.tokens();
    spoil(&mut tokens);
    site.put_tokens(&tokens);
    let mut ostler = home.run();
    let port = ostler.pop3;
    let sessions: Vec<_> = (0..50).map(|_| std::thread::spawn(move || pass(port))).collect();
    let answers: Vec<_> = sessions.into_iter().map(|session| session.join().unwrap()).collect();
    assert!(answers.iter().all(|answer| answer.starts_with("+OK")), "{answers:?}");
    assert_eq!(site.issuer.count("refresh_token"), 1, "{:?}", site.issuer.requests());
    assert_eq!(site.issuer.count("refresh_token 200"), 1, "{:?}", site.issuer.requests());
    let told = metrics(&ostler.home);
    assert!(told.contains("\nostler_token_renewals_total 1\n"), "{told}");
    site.keep_secret(&mut ostler.home);
}

#[test]
fn fifty_sessions_on_an_expired_token_make_one_renewal() {
    require!("dovecot", "postfix", "keyring", "issuer");
    fifty_sessions_renew_once(|tokens| tokens["expires"] = 1.into());
}

#[test]
fn fifty_sessions_whose_token_is_refused_make_one_renewal() {
    require!("dovecot", "postfix", "keyring", "issuer");
    fifty_sessions_renew_once(|tokens| tokens["access"] = "a-token-that-nobody-gave-out".into());
}

#[test]
fn a_token_that_the_mail_server_refuses_is_renewed_in_the_same_session() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, home) = Site::signed_in();
    // The clock says that it is good, and the mail server knows that it is not.
    let mut tokens = site.tokens();
    tokens["access"] = "a-token-that-nobody-gave-out".into();
    site.put_tokens(&tokens);
    let ostler = home.run();
    let message = mail::tricky("renewed");
    client::send(ostler.smtp, ANN, &[BOB], &message);
    assert_eq!(site.issuer.count("refresh_token 200"), 1);
    assert!(pass(ostler.pop3).starts_with("+OK"));
    assert_eq!(site.issuer.count("refresh_token 200"), 1);
}

#[test]
fn trouble_of_the_issuer_throws_nothing_away() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (mut site, home) = Site::signed_in_at(Issuer::builder().access_ttl(2));
    let ostler = home.run();
    let long = "x".repeat(50_000_000);
    for (status, body) in [
        (500, "{\"error\":\"invalid_grant\"}"),
        (503, "<html>down</html>"),
        (200, "<html>sign in to the hotel</html>"),
        (200, &long),
        (302, ""),
        (400, "{\"error\":\"temporarily_unavailable\"}"),
    ] {
        wait_until_due(&site);
        site.issuer.fault(status, body);
        let answer = pass(ostler.pop3);
        assert!(answer.starts_with("-ERR [SYS/TEMP]"), "{status}: {answer}");
        assert!(answer.contains("localhost"), "{answer}");
    }
    // An answer that ends with the connection is one; half an answer is not.
    for (length, words) in [("", "temporarily_unavailable"), ("Content-Length: 999\r\n", "broke off")] {
        wait_until_due(&site);
        let body = "{\"error\":\"temporarily_unavailable\"}";
        site.issuer.fault_torn(&format!("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n{length}\r\n{body}"));
        let answer = pass(ostler.pop3);
        assert!(answer.starts_with("-ERR [SYS/TEMP]") && answer.contains(words), "{answer}");
    }
    site.issuer.stop();
    wait_until_due(&site);
    let answer = pass(ostler.pop3);
    assert!(answer.starts_with("-ERR [SYS/TEMP]") && answer.contains("nobody listens"), "{answer}");
    let mut smtp = Client::greeted(ostler.smtp, "220");
    smtp.ask_reply("EHLO x", "250");
    let refusal = smtp.ask_reply(&format!("MAIL FROM:<{ANN}>"), "454");
    assert!(refusal.contains("try again"), "{refusal}");
    assert!(!site.tokens().is_null());
}

#[test]
fn an_issuer_that_has_forgotten_everything_is_told_once_and_mended_by_a_sign_in() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (mut site, home) = Site::signed_in_at(Issuer::builder().access_ttl(2));
    let mut ostler = home.run();
    assert!(pass(ostler.pop3).starts_with("+OK"));
    site.issuer.restart();
    wait_until_due(&site);
    for _ in 0..3 {
        let answer = pass(ostler.pop3);
        assert!(answer.starts_with("-ERR [AUTH]") && answer.contains("sign in again: ostler sign-in"), "{answer}");
        assert!(answer.contains("invalid_grant"), "{answer}");
    }
    assert_eq!(site.issuer.count("refresh_token 400 invalid_grant"), 1, "{:?}", site.issuer.requests());
    site.sign_in(&mut ostler.home);
    assert!(pass(ostler.pop3).starts_with("+OK"));
}

#[test]
fn killed_after_a_renewal_it_is_still_signed_in() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, mut home) = Site::signed_in_at(Issuer::builder().access_ttl(2));
    let mut first = crate::support::running::Run::start(&home, &[]).ready();
    wait_until_due(&site);
    let refresh = site.tokens()["refresh"].clone();
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    // Before the client, or even the mail server, has heard of it.
    wait_for("a new refresh token in the keyring", || (site.tokens()["refresh"] != refresh).then_some(()));
    first.signal(rustix::process::Signal::KILL);
    assert!(!first.ended().success());
    site.keep_secret(&mut home);
    wait_until_due(&site);
    let ostler = home.run();
    assert!(pass(ostler.pop3).starts_with("+OK"));
    assert_eq!(site.issuer.count("refresh_token 400"), 0, "{:?}", site.issuer.requests());
}

#[test]
fn tokens_go_to_no_server_but_those_they_were_made_for() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, home) = Site::signed_in();
    let settings = home.settings();
    let moved = settings.replacen("host = \"localhost\"", "host = \"127.0.0.1\"", 1);
    home.write_settings(&moved);
    let ostler = home.run();
    let answer = pass(ostler.pop3);
    assert!(answer.starts_with("-ERR [AUTH]") && answer.contains("another server"), "{answer}");
    ostler.home.write_settings(&settings);
    wait_for("the old settings to be in force", || pass(ostler.pop3).starts_with("+OK").then_some(()));
    // Whoever changes them while ostler runs need not wait for a mail program to fail.
    let elsewhere = settings.replacen("/token\"\n", "/token/elsewhere\"\n", 1);
    assert_ne!(elsewhere, settings);
    let is_state = |state: &str| {
        let status = document(&ostler.home.ostler(&["status", "--json"], ""));
        (status["accounts"][0]["state"] == state).then_some(())
    };
    for changed in [&moved, &elsewhere] {
        wait_for("the account to work", || is_state("ok"));
        ostler.home.write_settings(changed);
        wait_for("the account to need a sign-in", || is_state("needs-sign-in"));
        ostler.home.write_settings(&settings);
        wait_for("the old settings to be in force", || pass(ostler.pop3).starts_with("+OK").then_some(()));
    }
    assert_eq!(site.issuer.count("refresh_token"), 0, "{:?}", site.issuer.requests());
}

#[test]
fn a_check_beside_the_running_ostler_ends_nobodys_tokens() {
    require!("dovecot", "postfix", "keyring", "issuer");
    let (site, home) = Site::signed_in_at(Issuer::builder().access_ttl(3));
    let ostler = home.run();
    for _ in 0..3 {
        wait_until_due(&site);
        let checked = ostler.home.ostler(&["check"], "");
        assert!(checked.status.success(), "{}", said(&checked));
        assert!(pass(ostler.pop3).starts_with("+OK"));
    }
    assert_eq!(site.issuer.count("refresh_token 400"), 0, "{:?}", site.issuer.requests());
}
