//! Sweeps: the same misbehaviour at every point of a session, or every answer at every place. Each case has an account, a
//! door and a provider of its own, so that the provider is reached for early, while the client still types.

use std::sync::Mutex;
use std::time::Instant;

use super::honest::{ANN, AT_MOST, BOB, Heard, MESSAGE, Speaks, answer_to, completed, contains, read_ahead, shown};
use super::runner::{each, room_for_many};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider};
use crate::support::{free_port, mail, unique};

/// An SMTP provider in clear that plays these parts, and then honest ones; and ostler before it.
pub fn smtp(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    provider_and_ostler(Speaks::Smtp, cases, more)
}

/// The same for POP3.
pub fn pop3(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    provider_and_ostler(Speaks::Pop3, cases, more)
}

/// The same with a provider whose mail is fetched over IMAP.
pub fn pop3_over_imap(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    provider_and_ostler(Speaks::Pop3OverImap, cases, more)
}

fn provider_and_ostler(speaks: Speaks, cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    let peer = Provider::always(speaks.provider_part());
    cases.into_iter().for_each(|case| peer.next(case));
    let ostler = ostler_before(speaks, &peer, more);
    (peer, ostler)
}

/// ostler with one account, which has its mail at this provider.
pub fn ostler_before(speaks: Speaks, peer: &Provider, more: &str) -> Ostler {
    let account = speaks.add_server(Account::new("home", ANN, &unique("pw")), Server::new("none", peer.port));
    Home::with_settings(&TestCa::new(), &[account], "", more).run_as(&["run", "-v"])
}

fn session(speaks: Speaks, port: u16, message: &[u8]) -> Heard {
    speaks.try_session(&mut Client::greeted(port, speaks.greeting()), "home", ANN, message)
}

/// Sends; the answer to the end of the message, if it came so far, and the last answer of all.
pub fn send(port: u16, message: &[u8]) -> (Option<String>, Option<String>) {
    verdict_and_last(&session(Speaks::Smtp, port, message))
}

fn verdict_and_last(heard: &Heard) -> (Option<String>, Option<String>) {
    (answer_to(heard, "."), heard.last().and_then(|(said, _)| answer_to(heard, said)))
}

pub fn honest_send(port: u16) {
    honest_session(Speaks::Smtp, port);
}

pub fn honest_fetch(port: u16) {
    honest_session(Speaks::Pop3, port);
}

/// The same where the mail is fetched over IMAP.
pub fn honest_fetch_over_imap(port: u16) {
    honest_session(Speaks::Pop3OverImap, port);
}

fn honest_session(speaks: Speaks, port: u16) {
    let heard = session(speaks, port, MESSAGE);
    let (said, good) = speaks.good_answer();
    assert_eq!(answer_to(&heard, said).as_deref(), Some(good), "the session after it:\n{}", shown(&heard));
}

/// A message as far as the go-ahead for its body.
pub fn up_to_data(client: &mut Client) {
    client.ask_reply("EHLO old-pc", "250");
    begin_message(client);
}

fn begin_message(client: &mut Client) {
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
}

/// A whole message on a connection that has said EHLO.
pub fn one_message(client: &mut Client) {
    begin_message(client);
    client.send(mail::stuffed(MESSAGE));
    client.expect_reply("250 2.0.0 queued");
}

/// A client that has signed in at a POP3 door.
pub fn signed_in(port: u16, user: &str) -> Client {
    let mut client = Client::greeted(port, "+OK");
    client.ask(&format!("USER {user}"), "+OK");
    client.ask("PASS x", "+OK");
    client
}

/// A provider and a door for each case, all at one ostler.
fn with_doors(speaks: Speaks, cases: &[Part], more: &str) -> (Vec<Provider>, Vec<u16>, Ostler) {
    room_for_many();
    let peers: Vec<Provider> = cases.iter().map(|_| Provider::always(speaks.provider_part())).collect();
    let ports: Vec<u16> = cases.iter().map(|_| free_port()).collect();
    let accounts: Vec<Account> = (peers.iter().zip(&ports).enumerate())
        .map(|(number, (peer, port))| {
            let name = format!("a{number}");
            let account = Account::new(&name, &format!("{name}@example.org"), &unique("pw"))
                .line(&format!("doors = {{ {} = \"127.0.0.1:{port}\" }}", speaks.name()));
            speaks.add_server(account, Server::new("none", peer.port))
        })
        .collect();
    let ostler = Home::with_settings(&TestCa::new(), &accounts, "", more).run_as(&["run", "-v"]);
    (peers, ports, ostler)
}

/// Plays the cases against an honest client, each followed by an honest session. The judge hears the number of the case,
/// what the client heard, and what the provider got.
fn sweep(speaks: Speaks, cases: &[Part], more: &str, message: &[u8], mut judge: impl FnMut(usize, &Heard, &[u8])) {
    let (peers, ports, _ostler) = with_doors(speaks, cases, more);
    let results = Mutex::new(Vec::new());
    each(
        cases.len(),
        |number| number.to_string(),
        |number| {
            let peer = &peers[number];
            peer.next(cases[number].clone());
            let asked = Instant::now();
            let heard = session(speaks, ports[number], message);
            assert!(asked.elapsed() < AT_MOST, "took {:?}", asked.elapsed());
            let received = peer.over(0).received;
            let again = peer.connections() - 1;
            // Where the provider is seen to have hung up before the next command, ostler says that command on another
            // connection, but nothing after the last one that can be said again.
            // A second piece is said to a provider that has accepted the first one.
            let is_in_pieces = memchr::memmem::find_iter(&received, b"BDAT ").count() > 1;
            let is_early = !is_in_pieces && !contains(&received, speaks.last_to_say_again());
            assert!(again == 0 || (again == 1 && is_early), "{again} more connections");
            if again == 0 {
                results.lock().unwrap().push((number, heard, received));
            }
            let next = peer.connections();
            honest_session(speaks.afterwards(), ports[number]);
            assert_eq!(completed(&peer.finished(next)), speaks.brings());
        },
    );
    for (number, heard, received) in results.into_inner().unwrap() {
        judge(number, &heard, &received);
    }
}

/// A sweep with a sending client. The judge hears the verdict on the message and the last answer.
pub fn sends(
    cases: &[Part],
    more: &str,
    message: &[u8],
    mut judge: impl FnMut(usize, Option<String>, Option<String>, &[u8]),
) {
    sweep(Speaks::Smtp, cases, more, message, |number, heard, received| {
        let (verdict, last) = verdict_and_last(heard);
        judge(number, verdict, last, received);
    });
}

/// A sweep with a fetching client; then once more, with the message read ahead.
pub fn fetches(cases: &[Part], more: &str, mut judge: impl FnMut(usize, &Heard, &[u8])) {
    sweep(Speaks::Pop3, cases, more, MESSAGE, &mut judge);
    let ahead: Vec<Part> = cases.iter().cloned().map(read_ahead).collect();
    sweep(Speaks::Pop3Ahead, &ahead, more, MESSAGE, judge);
}

/// The same with the mail in an IMAP mailbox.
pub fn fetches_over_imap(cases: &[Part], more: &str, judge: impl FnMut(usize, &Heard, &[u8])) {
    sweep(Speaks::Pop3OverImap, cases, more, MESSAGE, judge);
}

/// A sweep with a reading client.
pub fn reads(cases: &[Part], more: &str, judge: impl FnMut(usize, &Heard, &[u8])) {
    sweep(Speaks::Imap, cases, more, MESSAGE, judge);
}

/// A reply that says trouble of the moment, or a closed connection; never "sent", never a wrong password.
pub fn is_trouble(answer: Option<&String>) -> bool {
    answer.is_none_or(|answer| {
        (answer.starts_with("45") || answer.starts_with("421 ")) && answer.is_ascii() && answer.len() <= 510
    })
}
