//! What a hostile computer of the network cannot do to the others.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::house::{House, IMAP, OLD_MAC, OLD_PC, OLD_PC_6, OSTLER, POP3, SMTP};
use crate::support::client::Client;
use crate::support::process::run_well;
use crate::support::{require, wait_for};

/// What the program's `neighbours` allow one computer.
const MAX_CONNECTIONS: usize = 64;

/// One guess on a connection of its own, which is broken off at the first sign of an answer.
fn guess(house: &House, from: &str) -> Duration {
    let mut smtp = house.connect(from, SMTP);
    smtp.expect("220 ");
    smtp.ask_reply("EHLO x", "250");
    let asked = Instant::now();
    smtp.ask_reply(&format!("AUTH PLAIN {}", BASE64.encode("\0home\0guess")), "535 ");
    asked.elapsed()
}

/// Guesses on a connection from each of these addresses, whose answers are not waited for.
fn guess_at_once<'a>(house: &House, from: impl Iterator<Item = &'a str>) -> Vec<Client> {
    let mut waiting: Vec<Client> = from.map(|from| house.connect(from, POP3)).collect();
    for client in &mut waiting {
        client.expect("+OK");
        client.ask("USER home", "+OK");
        client.say("PASS guess");
    }
    waiting
}

/// One of those that guess is told that its password is not checked at all.
fn one_is_not_checked(mut waiting: Vec<Client>) {
    let told = wait_for("one to be told", || {
        let mut last_first = waiting.iter_mut().rev();
        last_first.find_map(|client| client.try_reply().filter(|reply| reply.contains("guessed too often")))
    });
    assert!(told.starts_with("-ERR [SYS/TEMP] "), "{told}");
}

#[test]
fn guessing_gets_slower_from_connection_to_connection_and_only_for_the_guesser() {
    require!("world");
    let house = House::start();
    let waits: Vec<Duration> = (0..7).map(|_| guess(&house, OLD_PC)).collect();
    // The first on a connection costs a second; from the fifth on, the wait of the computer is longer than that: 2 s, 4 s.
    assert!(waits[5] >= Duration::from_millis(1900) && waits[6] >= Duration::from_millis(3900), "{waits:?}");
    wait_for("each in the log", || (house.ostler.log().matches("gave a wrong password").count() == 7).then_some(()));
    // Meanwhile the guesser waits with several connections at once, and another computer is served.
    let waiting = guess_at_once(&house, (0..8).map(|_| OLD_PC));
    house.fetches(OLD_MAC);
    house.fetches(OLD_PC_6);
    // Those that would be checked too late are not checked at all, and told so at once.
    one_is_not_checked(waiting);
    assert_eq!((house.smtp.connections(), house.pop3.connections()), (0, 2));
}

#[test]
fn guessing_from_many_addresses_is_no_faster_than_from_one_and_who_knows_the_password_is_served() {
    require!("world");
    let house = House::start();
    let addresses: Vec<String> = (100..118).map(|number| format!("10.9.1.{number}")).collect();
    for address in &addresses {
        let add = ["addr", "add", &format!("{address}/32"), "dev", "lo"];
        run_well(&mut house.world.command("ip", &add), "");
    }
    // In the same network as the guesser.
    house.fetches(OLD_PC);
    let (first, later) = addresses.split_at(9);
    std::thread::scope(|scope| {
        for from in first {
            scope.spawn(|| guess(&house, from));
        }
    });
    let waiting = guess_at_once(&house, later.iter().map(String::as_str));
    house.fetches(OLD_PC);
    one_is_not_checked(waiting);
    assert_eq!((house.smtp.connections(), house.pop3.connections()), (0, 2));
}

#[test]
fn a_flood_of_connections_leaves_room_for_the_other_computers() {
    require!("world");
    let house = House::start();
    let flood: Vec<Client> = (0..400).map(|n| house.connect(OLD_PC, [POP3, SMTP, IMAP][n % 3])).collect();
    house.log_says(&format!("{MAX_CONNECTIONS} programs of its computer are connected already"));
    let crowded = "connections of this computer already";
    let mut refused = house.connect(OLD_PC, POP3);
    let answer = refused.expect("-ERR [SYS/TEMP] ");
    assert!(answer.contains(crowded), "{answer}");
    house.fetches(OLD_MAC);
    house.fetches(OLD_PC_6);
    let log = house.ostler.log();
    assert_eq!(log.matches("are connected already").count(), 1, "told once: {log}");
    // What has been served goes on, and when the flood is over there is room again.
    drop(flood);
    wait_for("room for the computer", || {
        let mut client = house.connect(OLD_PC, POP3);
        client.try_reply().filter(|greeting| greeting.starts_with("+OK"))
    });
}

#[test]
fn a_message_under_way_outlives_a_flood() {
    require!("world");
    let house = House::start();
    let mut smtp = house.connect(OLD_MAC, SMTP);
    smtp.expect("220 ");
    smtp.ask_reply("EHLO x", "250");
    smtp.ask_reply(&format!("AUTH PLAIN {}", BASE64.encode(format!("\0home\0{}", house.local))), "235 ");
    smtp.ask_reply("MAIL FROM:<ann@example.org>", "250");
    smtp.ask_reply("RCPT TO:<bob@example.com>", "250");
    smtp.ask_reply("DATA", "354");
    smtp.send("Subject: in\r\n\r\nfirst half\r\n");
    let _flood: Vec<Client> = (0..200).map(|_| house.connect(OLD_PC, SMTP)).collect();
    smtp.send("second half\r\n.\r\n");
    smtp.expect_reply("250 2.0.0 queued");
    let sent = house.smtp.sessions().remove(0).received;
    assert!(memchr::memmem::find(&sent, b"first half\r\nsecond half\r\n.\r\n").is_some());
}

#[test]
fn nobody_in_the_network_speaks_for_another_computer() {
    require!("world");
    let house = House::with("proxies = [\"10.9.0.5\"]", "60s");
    let v1 = format!("PROXY TCP4 {OLD_MAC} {OSTLER} 40001 110\r\n");
    let v2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\x0a\x09\0\x07\x0a\x09\0\x01\x9c\x41\0\x6e";
    for (header, port) in
        [(v1.as_bytes(), POP3), (v2, POP3), (v1.as_bytes(), SMTP), (v2, SMTP), (v1.as_bytes(), IMAP), (v2, IMAP)]
    {
        // At once, octet by octet, and behind the greeting.
        for way in 0..3 {
            let mut client = house.connect(OLD_PC, port);
            match way {
                0 => drop(client.try_send(header)),
                1 => drop(header.iter().all(|octet| client.try_send([*octet]))),
                _ => {
                    client.line();
                    client.try_send(header);
                }
            }
            client.try_send(format!("USER home\r\nPASS {}\r\n", house.local));
            let heard = String::from_utf8_lossy(&client.rest()).into_owned();
            assert!(!heard.contains("+OK in") && !heard.contains(OLD_MAC), "{way} {port}: {heard}");
        }
    }
    assert_eq!(house.provider_connections(), 0);
    assert!(!house.ostler.log().contains(&format!("client {OLD_MAC}")), "{}", house.ostler.log());
}

#[test]
fn slow_clients_are_sent_away_in_time_and_a_dripping_line_gains_none() {
    require!("world");
    let house = House::with("", "3s");
    let mut silent = house.connect(OLD_PC, POP3);
    let mut dripping = house.connect(OLD_PC, SMTP);
    let began = Instant::now();
    wait_for("the dripping client to be sent away", || {
        // A command that never ends.
        (!dripping.try_send("X")).then_some(())
    });
    // `login` is three seconds here; a busy machine may take some more.
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let told = String::from_utf8_lossy(&silent.rest()).into_owned();
    assert!(told.contains("too long"), "{told}");
    house.fetches(OLD_PC);
    for request in ["GET /settings HTTP/1.1\r\nHost: 127.0.0.1:2080\r\n\r\n", "POST / HTTP/1.1\r\n\r\nQUIT\r\n"] {
        for port in [POP3, SMTP, IMAP] {
            let mut browser = house.connect(OLD_PC, port);
            browser.try_send(request);
            let heard = String::from_utf8_lossy(&browser.rest()).into_owned();
            assert!(heard.contains("HTTP") && !heard.contains("200 OK"), "{heard}");
        }
    }
    assert_eq!(house.provider_connections(), 1);
}
