//! Sweeps: the same misbehaviour at every point of a session, or every answer at every place. Each case has an account, a
//! door and a provider of its own, so that the provider is reached for early, while the client still types.

use std::sync::Mutex;
use std::time::Instant;

use super::honest::{
    ANN, AT_MOST, BOB, Heard, MESSAGE, answer_to, completed, contains, fetch_part, send_part, try_fetch, try_send,
};
use super::runner::{each, room_for_many};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{Part, Provider};
use crate::support::{free_port, unique};

/// An SMTP provider in clear that plays these parts, and then honest ones; and ostler before it.
pub fn smtp(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    let peer = Provider::always(send_part());
    cases.into_iter().for_each(|case| peer.next(case));
    let account = Account::new("home", ANN, &unique("pw")).smtp(Server::new("none", peer.port));
    let ostler = Home::with_settings(&TestCa::new(), &[account], "", more).run_as(&["run", "-v"]);
    (peer, ostler)
}

/// The same for POP3.
pub fn pop3(cases: Vec<Part>, more: &str) -> (Provider, Ostler) {
    let peer = Provider::always(fetch_part());
    cases.into_iter().for_each(|case| peer.next(case));
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("none", peer.port));
    let ostler = Home::with_settings(&TestCa::new(), &[account], "", more).run_as(&["run", "-v"]);
    (peer, ostler)
}

/// Sends; the answer to the end of the message, if it came so far, and the last answer of all.
pub fn send(port: u16, message: &[u8]) -> (Option<String>, Option<String>) {
    let heard = try_send(&mut Client::greeted(port, "220 "), ANN, message);
    (answer_to(&heard, "."), heard.last().map(|(said, _)| *said).and_then(|said| answer_to(&heard, said)))
}

pub fn honest_send(port: u16) {
    let (verdict, last) = send(port, MESSAGE);
    assert_eq!(verdict.as_deref(), Some("250 2.0.0 queued"), "the session after it: {last:?}");
}

pub fn honest_fetch(port: u16) {
    let heard = try_fetch(&mut Client::greeted(port, "+OK"), "home");
    assert_eq!(answer_to(&heard, "QUIT").as_deref(), Some("+OK committed"), "the session after it");
}

pub fn up_to_data(client: &mut Client) {
    client.ask_reply("EHLO old-pc", "250");
    client.ask_reply(&format!("MAIL FROM:<{ANN}>"), "250");
    client.ask_reply(&format!("RCPT TO:<{BOB}>"), "250");
    client.ask_reply("DATA", "354");
}

/// A provider and a door for each case, all at one ostler.
fn with_doors(cases: &[Part], protocol: &str, honest: &Part, more: &str) -> (Vec<Provider>, Vec<u16>, Ostler) {
    room_for_many();
    let peers: Vec<Provider> = cases.iter().map(|_| Provider::always(honest.clone())).collect();
    let ports: Vec<u16> = cases.iter().map(|_| free_port()).collect();
    let accounts: Vec<Account> = (peers.iter().zip(&ports).enumerate())
        .map(|(number, (peer, port))| {
            let (name, server) = (format!("a{number}"), Server::new("none", peer.port));
            let account = Account::new(&name, &format!("{name}@example.org"), &unique("pw"))
                .line(&format!("doors = {{ {protocol} = \"127.0.0.1:{port}\" }}"));
            if protocol == "smtp" { account.smtp(server) } else { account.pop3(server) }
        })
        .collect();
    let ostler = Home::with_settings(&TestCa::new(), &accounts, "", more).run_as(&["run", "-v"]);
    (peers, ports, ostler)
}

/// Plays the cases against a sending client, each followed by an honest session. The judge hears the number of the case,
/// the verdict on the message, the last answer, and what the provider got.
pub fn sends(
    cases: &[Part],
    more: &str,
    message: &[u8],
    mut judge: impl FnMut(usize, Option<String>, Option<String>, &[u8]),
) {
    let (peers, ports, _ostler) = with_doors(cases, "smtp", &send_part(), more);
    let results = Mutex::new(Vec::new());
    each(
        cases.len(),
        |number| number.to_string(),
        |number| {
            let peer = &peers[number];
            peer.next(cases[number].clone());
            let asked = Instant::now();
            let (verdict, last) = send(ports[number], message);
            assert!(asked.elapsed() < AT_MOST, "took {:?}", asked.elapsed());
            let received = peer.over(0).received;
            let again = peer.connections() - 1;
            // Where it is seen to have hung up before the next command, that is said to a new one; never after DATA.
            assert!(again == 0 || (again == 1 && !contains(&received, "DATA")), "{again} more connections");
            if again == 0 {
                results.lock().unwrap().push((number, verdict, last, received));
            }
            let next = peer.connections();
            honest_send(ports[number]);
            assert_eq!(completed(&peer.finished(next)), 1);
        },
    );
    for (number, verdict, last, received) in results.into_inner().unwrap() {
        judge(number, verdict, last, &received);
    }
}

/// The same against a fetching client; the judge hears all that it heard.
pub fn fetches(cases: &[Part], more: &str, mut judge: impl FnMut(usize, &Heard, &[u8])) {
    let (peers, ports, _ostler) = with_doors(cases, "pop3", &fetch_part(), more);
    let results = Mutex::new(Vec::new());
    each(
        cases.len(),
        |number| number.to_string(),
        |number| {
            let peer = &peers[number];
            peer.next(cases[number].clone());
            let asked = Instant::now();
            let heard = try_fetch(&mut Client::greeted(ports[number], "+OK"), "home");
            assert!(asked.elapsed() < AT_MOST, "took {:?}", asked.elapsed());
            let received = peer.over(0).received;
            let again = peer.connections() - 1;
            assert!(again == 0 || (again == 1 && !contains(&received, "PASS")), "{again} more connections");
            if again == 0 {
                results.lock().unwrap().push((number, heard, received));
            }
            let next = peer.connections();
            honest_fetch(ports[number]);
            peer.finished(next);
        },
    );
    for (number, heard, received) in results.into_inner().unwrap() {
        judge(number, &heard, &received);
    }
}

/// A reply that says trouble of the moment, or a closed connection; never "sent", never a wrong password.
pub fn is_trouble(answer: Option<&String>) -> bool {
    answer.is_none_or(|answer| {
        (answer.starts_with("45") || answer.starts_with("421 ")) && answer.is_ascii() && answer.len() <= 510
    })
}
