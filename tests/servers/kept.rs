//! After a send the provider's session is kept for some seconds: the next client's message finds it. A part plays the provider.

use serde_json::Value;

use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider, Step, expect, say};
use crate::support::{unique, wait_for};
use crate::{ANN, BOB};

fn signed_in() -> Part {
    vec![say("220 mx"), expect("EHLO"), say("250-mx\r\n250 AUTH PLAIN"), expect("AUTH"), say("235 in")]
}

fn message() -> Part {
    vec![
        expect("MAIL"),
        say("250 ok"),
        expect("RCPT"),
        say("250 ok"),
        expect("DATA"),
        say("354 go on"),
        Step::ExpectMessage,
        say("250 2.0.0 queued"),
    ]
}

fn reset() -> Part {
    vec![expect("RSET"), say("250 ok")]
}

fn quit() -> Part {
    vec![expect("QUIT"), say("221 bye")]
}

struct Desk {
    provider: Provider,
    ostler: Ostler,
}

impl Desk {
    fn with(parts: Vec<Part>) -> Self {
        let ca = TestCa::new();
        let provider = Provider::start_tls(&ca.localhost(), parts);
        let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("tls", provider.port));
        Self { provider, ostler: Home::new(&ca, &[account]).run() }
    }

    /// A client connects, sends a message, and leaves. The session is kept once ostler has seen it leave.
    fn send(&self) {
        let reply = client::send(self.ostler.smtp, ANN, &[BOB], b"Subject: x\r\n\r\nx\r\n");
        assert!(reply.starts_with("250"), "{reply}");
        wait_for("the session to be kept", || (self.kept_sessions() >= 1).then_some(()));
    }

    fn kept_sessions(&self) -> u64 {
        let output = self.ostler.home.ostler(&["status", "--json"], "");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        document["accounts"][0]["kept_sessions"].as_u64().unwrap()
    }

    /// Every connection was played to its end.
    fn end(self, connections: usize) {
        for number in 0..connections {
            self.provider.finished(number);
        }
        assert_eq!(self.provider.connections(), connections);
    }
}

#[test]
fn the_next_clients_messages_go_over_the_same_session_and_it_ends_in_time() {
    let again = || [reset(), message()].concat();
    let desk = Desk::with(vec![[signed_in(), message(), again(), again(), quit()].concat()]);
    desk.send();
    desk.send();
    desk.send();
    let words = String::from_utf8(desk.ostler.home.ostler(&["status"], "").stdout).unwrap();
    assert!(words.contains("connected for the next send"), "{words}");
    wait_for("the session to end", || (desk.kept_sessions() == 0).then_some(()));
    desk.end(1);
}

#[test]
fn a_kept_session_that_died_costs_the_message_nothing() {
    for death in [
        vec![Step::Close],
        vec![say("421 4.4.2 idle for too long"), Step::Close],
        vec![expect("RSET"), say("502 what?"), expect("QUIT"), say("221 bye")],
        vec![expect("RSET"), Step::Reset],
        // It lives, and takes no message any more.
        [reset(), vec![expect("MAIL"), say("451 4.4.2 this session was idle for too long")], quit()].concat(),
        [reset(), vec![expect("MAIL"), say("452 4.5.3 too many messages in one session")], quit()].concat(),
    ] {
        let first = [signed_in(), message(), death].concat();
        let desk = Desk::with(vec![first, [signed_in(), message(), quit()].concat()]);
        desk.send();
        desk.send();
        desk.end(2);
    }
}

#[test]
fn what_a_fresh_session_refuses_too_is_told_to_the_client() {
    let refused = |said| vec![expect("MAIL"), say(said)];
    let first = [signed_in(), message(), reset(), refused("451 4.7.1 come back later"), quit()].concat();
    let desk = Desk::with(vec![first, [signed_in(), refused("451 4.7.1 greylisted"), quit()].concat()]);
    desk.send();
    let mut client = client::Client::greeted(desk.ostler.smtp, "220");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 4.7.1 greylisted");
    client.ask_reply("QUIT", "221");
    desk.end(2);
}

#[test]
fn a_session_is_not_kept_across_another_password_or_other_settings() {
    let whole = || [signed_in(), message(), quit()].concat();
    let desk = Desk::with(vec![whole(), whole(), whole()]);
    desk.send();
    let password = desk.ostler.home.path().join("password-0");
    std::fs::write(&password, unique("pw")).unwrap();
    desk.send();
    let before = desk.ostler.home.settings();
    desk.ostler.home.write_settings(&format!("{before}\n[timeouts]\nfinal = \"9m\"\n"));
    let is_in_force = || desk.ostler.log().contains("changed settings are in force").then_some(());
    wait_for("the changed settings", is_in_force);
    desk.send();
    desk.end(3);
}

#[test]
fn a_session_with_a_message_half_done_is_not_kept() {
    let half = vec![expect("MAIL"), say("250 ok"), expect("RCPT"), say("250 ok")];
    let desk = Desk::with(vec![[signed_in(), half, quit()].concat(), [signed_in(), message(), quit()].concat()]);
    let mut client = client::Client::greeted(desk.ostler.smtp, "220");
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("QUIT", "221");
    // The next client would not get it, but the provider would wait with half a message until the time of kept sessions is up.
    let is_kept_or_over =
        || (desk.kept_sessions() > 0).then_some(true).or(desk.provider.sessions()[0].over.then_some(false));
    assert!(!wait_for("the session to be kept or over", is_kept_or_over));
    desk.send();
    desk.end(2);
}

#[test]
fn when_ostler_ends_the_provider_hears_quit() {
    let desk = Desk::with(vec![[signed_in(), message(), quit()].concat()]);
    desk.send();
    let Desk { provider, ostler } = desk;
    drop(ostler);
    provider.finished(0);
}

/// A greeted client sends a message from this address.
fn send_from(client: &mut client::Client, from: &str) {
    client.ask_reply(&format!("MAIL FROM:<{from}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
    client.send("Subject: x\r\n\r\nx\r\n.\r\n");
    client.expect_reply("250 2.0.0 queued");
}

#[test]
fn what_the_first_message_of_a_session_is_refused_for_now_is_told_after_one_sign_in() {
    const SHOP: &str = "ann@shop.example";
    for said in ["451 4.7.1 greylisted", "452 4.3.1 no space", "421 4.3.2 too busy"] {
        let (ca, refused) = (TestCa::new(), [signed_in(), vec![expect("MAIL"), say(said)]].concat());
        let home = Provider::start_tls(&ca.localhost(), vec![[signed_in(), message(), quit()].concat()]);
        let shop = Provider::start_tls(&ca.localhost(), vec![refused.clone(), refused]);
        let account = |name: &str, address: &str, provider: &Provider| {
            Account::new(name, address, &unique("pw")).smtp(Server::new("tls", provider.port))
        };
        let ostler = Ostler::start(&ca, &[account("home", ANN, &home), account("shop", SHOP, &shop)]);
        let mut client = client::Client::greeted(ostler.smtp, "220");
        client.ask_reply("EHLO old-pc", "250");
        send_from(&mut client, ANN);
        // The session that has served a message is that of the other account.
        client.ask_reply(&format!("MAIL FROM:<{SHOP}>"), said);
        assert_eq!(shop.connections(), 1, "{said}");
    }
}

#[test]
fn another_password_from_the_client_is_given_to_the_provider_and_the_same_one_is_not_given_again() {
    let in_with = |plain: &str| {
        let auth = expect(&format!("AUTH PLAIN {plain}"));
        vec![say("220 mx"), expect("EHLO"), say("250-mx\r\n250 AUTH PLAIN"), auth, say("235 in")]
    };
    // ann@example.org with the passwords "old" and "new".
    let (old, new) = ("AGFubkBleGFtcGxlLm9yZwBvbGQ=", "AGFubkBleGFtcGxlLm9yZwBuZXc=");
    let first = [in_with(old), message(), message(), quit()].concat();
    let ca = TestCa::new();
    let provider = Provider::start_tls(&ca.localhost(), vec![first, [in_with(new), message(), quit()].concat()]);
    let account = Account::new("home", ANN, "").keyring().line("password = \"client\"");
    let ostler = Ostler::start(&ca, &[account.smtp(Server::new("tls", provider.port))]);
    let mut client = client::Client::greeted(ostler.smtp, "220");
    client.ask_reply("EHLO old-pc", "250");
    for given in [old, old, new] {
        client.ask_reply(&format!("AUTH PLAIN {given}"), "235");
        send_from(&mut client, ANN);
    }
    client.ask_reply("QUIT", "221");
    provider.finished(0);
    provider.finished(1);
}
