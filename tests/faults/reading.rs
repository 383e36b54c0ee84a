//! Faults while mail is read by IMAP: the process is killed or sleeps, the password is gone, the provider is pulled away. The
//! program's own password is never at stake, and nothing is deleted that was not asked for.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::played_provider::ANN;
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Server};
use crate::support::running::{Hand, Run};
use crate::support::{unique, wait_for};

/// An ostler before an IMAP server that the test plays by hand.
struct Desk {
    run: Run,
    home: Home,
    server: Hand,
}

impl Desk {
    fn start(tables: &str) -> Self {
        let server = Hand::new();
        let account = Account::new("home", ANN, &unique("pw")).imap(Server::new("none", server.port));
        let home = Home::with_settings(&TestCa::new(), &[account], "", tables);
        let run = Run::of(&mut home.command(&["run", "-v"])).ready();
        Self { run, home, server }
    }

    fn client(&self) -> Client {
        Client::greeted(self.home.imap, "* OK ostler")
    }

    /// A client that has signed in, and the server's side of it.
    fn signed_in(&self) -> (Client, Client) {
        let mut client = self.client();
        let server = self.server.let_in_to_read(&mut client);
        (client, server)
    }

    /// Another client is served.
    fn honest(&self) {
        let (mut client, mut server) = self.signed_in();
        client.say("2 LOGOUT");
        server.expect("2 LOGOUT");
        server.say("* BYE bye\r\n2 OK bye");
        client.expect("* BYE bye");
        client.expect("2 OK bye");
    }

    fn killed(&mut self) {
        self.run.signal(Signal::KILL);
        assert!(!self.run.ended().success());
        self.run = Run::of(&mut self.home.command(&["run", "-v"])).ready();
        assert_eq!(self.server.drain(), 0, "somebody came by himself");
        self.honest();
    }

    /// Stopped for longer than the limits that tests set.
    fn sleeps(&mut self, meanwhile: impl FnOnce()) {
        self.run.signal(Signal::STOP);
        meanwhile();
        let began = Instant::now();
        wait_for("the end of the night", || (began.elapsed() >= Duration::from_millis(1600)).then_some(()));
        self.run.signal(Signal::CONT);
    }
}

#[test]
fn killed_between_store_and_expunge_nothing_is_expunged() {
    let mut desk = Desk::start("");
    let (mut client, mut server) = desk.signed_in();
    client.say("2 STORE 1 +FLAGS (\\Deleted)");
    server.expect("2 STORE");
    server.say("2 OK stored");
    client.expect("2 OK");
    desk.killed();
    assert!(server.rest().is_empty(), "something was said for a client that said nothing");
    assert!(client.rest().is_empty());
    desk.run.end_well();
}

#[test]
fn killed_in_a_message_that_is_stored_or_read_no_half_of_it_looks_whole() {
    let mut desk = Desk::start("");
    let (mut client, mut server) = desk.signed_in();
    client.say("2 APPEND Sent {100}");
    server.expect("2 APPEND Sent {100}");
    server.say("+ go on");
    client.expect("+ ");
    client.send("Subject: half\r\n");
    server.expect("Subject: half");
    let (mut reader, mut other) = desk.signed_in();
    reader.say("2 FETCH 1 BODY[]");
    other.expect("2 FETCH");
    other.send("* 1 FETCH (BODY[] {100}\r\nhalf of it");
    reader.expect("* 1 FETCH");
    desk.killed();
    assert!(server.rest().is_empty(), "the rest of a message came from nowhere");
    assert!(!String::from_utf8_lossy(&reader.rest()).contains("2 OK"));
    desk.run.end_well();
}

#[test]
fn told_to_end_it_waits_for_the_answers_to_changes_and_begins_nothing() {
    let mut desk = Desk::start("");
    let (mut stores, mut storing) = desk.signed_in();
    stores.say("2 APPEND Sent {3}");
    storing.expect("2 APPEND Sent {3}");
    storing.say("+ go on");
    stores.expect("+ ");
    stores.say("abc");
    storing.expect("abc");
    let (mut copies, mut copying) = desk.signed_in();
    copies.say("2 UID COPY 1:9 Trash");
    copying.expect("2 UID COPY");
    let (mut idles, _idling) = desk.signed_in();
    desk.run.signal(Signal::TERM);
    // Now it knows.
    idles.expect("* BYE ostler is shutting down");
    stores.say("3 CREATE x");
    for (client, server) in [(&mut stores, &mut storing), (&mut copies, &mut copying)] {
        server.say("2 OK done");
        client.expect("2 OK done");
        client.expect("* BYE ostler is shutting down");
        assert!(server.rest().is_empty(), "something began");
    }
    assert!(desk.run.ended().success());
}

#[test]
fn a_client_that_waits_for_news_goes_on_after_sleep() {
    let mut desk = Desk::start("\n[timeouts]\nidle = \"1s\"\nreply = \"1s\"\n");
    let (mut client, mut server) = desk.signed_in();
    client.say("2 IDLE");
    server.expect("2 IDLE");
    server.say("+ idling");
    client.expect("+ ");
    desk.sleeps(|| server.say("* 2 EXISTS"));
    client.expect("* 2 EXISTS");
    client.say("DONE");
    server.expect("DONE");
    server.say("2 OK idled");
    client.expect("2 OK");
    desk.honest();
    desk.run.end_well();
}

#[test]
fn an_answer_that_the_night_has_swallowed_is_trouble_and_the_next_client_is_served() {
    let mut desk = Desk::start("\n[timeouts]\nreply = \"1s\"\ndata = \"1s\"\n");
    let (mut client, mut server) = desk.signed_in();
    client.say("2 NOOP");
    server.expect("2 NOOP");
    desk.sleeps(|| {});
    client.expect("2 NO [UNAVAILABLE] ostler: localhost");
    client.expect("* BYE ostler: localhost");
    client.expect_end();
    server.rest();
    desk.honest();
    desk.run.end_well();
}

#[test]
fn a_password_that_is_gone_is_trouble_until_it_is_back() {
    let mut desk = Desk::start("");
    let settings = desk.home.settings();
    let file = settings.split("file = \"").nth(1).and_then(|rest| rest.split('"').next()).unwrap().to_owned();
    let (kept, aside) = (std::path::PathBuf::from(&file), std::path::PathBuf::from(format!("{file}.aside")));
    std::fs::rename(&kept, &aside).unwrap();
    let mut client = desk.client();
    client.ask("1 LOGIN home typed", "* CAPABILITY IMAP4rev1");
    client.expect("1 OK");
    let no = client.ask("2 LIST \"\" *", "2 NO [UNAVAILABLE] ostler: ");
    assert!(no.contains("nothing to sign in with"), "{no}");
    client.expect("* BYE");
    client.expect_end();
    desk.server.drain();
    std::fs::rename(&aside, &kept).unwrap();
    desk.honest();
    desk.run.end_well();
}

#[test]
fn a_provider_that_is_not_there_and_comes_back_costs_no_password() {
    let mut desk = Desk::start("");
    let port = desk.server.port;
    // Nobody listens.
    desk.server = Hand::new();
    let mut client = desk.client();
    client.ask("1 LOGIN home typed", "* CAPABILITY IMAP4rev1");
    client.expect("1 OK");
    let no = client.ask("2 SELECT INBOX", "2 NO [UNAVAILABLE] ostler: localhost");
    assert!(no.contains("nobody listens"), "{no}");
    client.expect("* BYE");
    client.expect_end();
    desk.server = Hand::at(port);
    desk.honest();
    desk.run.end_well();
}
