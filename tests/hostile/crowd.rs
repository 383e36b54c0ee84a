//! Much or many: floods of either side at bounded memory, crowds of clients that want nothing, and those that speak before
//! they are greeted. Linux tells what a process holds.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::client::smtp::{HELLO, HELLO_2};
use super::every_point::{honest_fetch, honest_send, ostler_before, pop3, send, signed_in, smtp, up_to_data};
use super::honest::{ANN, BOB, MESSAGE, Speaks, cut, fetch_part, send_part};
use super::runner::{assert_clean, memory, room_for_many};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::provider::{FullQueue, Part, Provider, Step};
use crate::support::{PATIENCE, free_port, unique, wait_for};

/// What a flood may make ostler grow by, in KiB: many times its buffers, a small part of the flood.
const GROWTH: u64 = 16 * 1024;
/// Octets of a flood.
const FLOOD: usize = 32 * 1024 * 1024;

/// Says the honest steps of a part on one connection, then does this with it.
fn server(part: Part, then: fn(TcpStream)) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let part = part.clone();
            std::thread::spawn(move || {
                let mut input = BufReader::new(stream.try_clone().unwrap());
                for step in part {
                    match step {
                        Step::Send(bytes) => (&stream).write_all(&bytes).unwrap(),
                        step => loop {
                            let mut line = String::new();
                            if input.read_line(&mut line).unwrap_or(0) == 0 {
                                return;
                            }
                            // Asked before the sign-in; behind it any command will do.
                            if !line.starts_with("CAPA") || matches!(&step, Step::Expect(start) if start == "STAT") {
                                break;
                            }
                            (&stream).write_all(b"-ERR\r\n").unwrap();
                        },
                    }
                }
                then(stream);
            });
        }
    });
    port
}

/// Sends the same block until this much has left or the other side goes.
fn pour(mut stream: &TcpStream, block: &[u8], octets: usize) -> usize {
    let mut sent = 0;
    while sent < octets && stream.write_all(block).is_ok() {
        sent += block.len();
    }
    sent
}

/// Two accounts: one whose providers flood, and an honest one.
fn flooded(pop3: Option<u16>, smtp: Option<u16>, limits: &str) -> (Provider, Provider, Ostler) {
    let (fetch, sent) = (Provider::always(fetch_part()), Provider::always(send_part()));
    let nobody = free_port();
    let bad = Account::new("bad", "bad@example.org", &unique("pw"))
        .pop3(Server::new("none", pop3.unwrap_or(nobody)))
        .smtp(Server::new("none", smtp.unwrap_or(nobody)));
    let home = Account::new("home", ANN, &unique("pw"))
        .pop3(Server::new("none", fetch.port))
        .smtp(Server::new("none", sent.port));
    let ostler = Home::with_settings(&TestCa::new(), &[bad, home], "", limits).run();
    // What the first sessions cost is not the flood's.
    honest_fetch(ostler.pop3);
    honest_send(ostler.smtp);
    (fetch, sent, ostler)
}

/// What this makes ostler's memory grow by at its highest has bounds, and an honest session works after it.
fn bounded(name: &str, ostler: &Ostler, flood: impl FnOnce()) {
    let (before, _) = memory(ostler);
    flood();
    let (now, most) = memory(ostler);
    let grown = most.max(now).saturating_sub(before);
    assert!(grown < GROWTH, "{name}: {grown} KiB more than the {before} KiB before");
    honest_fetch(ostler.pop3);
    honest_send(ostler.smtp);
}

/// Reads this much, or up to the end.
fn drain(client: Client, octets: usize) -> usize {
    let mut stream = client.into_stream();
    let (mut block, mut read) = (vec![0; 65_536], 0);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    while read < octets {
        match stream.read(&mut block) {
            Ok(0) | Err(_) => break,
            Ok(count) => read += count,
        }
    }
    read
}

#[test]
fn a_provider_that_floods() {
    // Up to its answer to the command behind PASS.
    let owes = |answer: &str| {
        let mut part = cut(fetch_part(), 6, Step::Send(answer.as_bytes().to_vec()));
        part.retain(|step| !matches!(step, Step::Send(bytes) if bytes.is_empty()));
        part
    };
    let retr = server(owes("+OK\r\n"), |stream| {
        pour(&stream, &[b'x'; 65_536], FLOOD);
    });
    let (_pop, _smtp, ostler) = flooded(Some(retr), None, "");
    bounded("retr-no-newline", &ostler, || {
        let mut client = signed_in(ostler.pop3, "bad");
        client.say("RETR 1");
        let read = drain(client, usize::MAX);
        assert!(read >= FLOOD, "{read} octets of {FLOOD}");
    });
    drop(ostler);

    let list = server(owes("+OK\r\n"), |stream| {
        pour(&stream, &b"1 1\r\n".repeat(10_000), usize::MAX);
    });
    let (_pop, _smtp, ostler) = flooded(Some(list), None, "");
    bounded("list-infinite", &ostler, || {
        let mut client = signed_in(ostler.pop3, "bad");
        client.say("LIST");
        assert!(drain(client, FLOOD) >= FLOOD);
    });
    bounded("retr-never-read", &ostler, || {
        let mut client = signed_in(ostler.pop3, "bad");
        client.say("LIST");
        // As much as the sockets between them take, and no more.
        std::thread::sleep(Duration::from_millis(500));
    });
    drop(ostler);

    let answer = server(owes("+OK "), |stream| assert!(pour(&stream, &[b'x'; 65_536], FLOOD) < FLOOD));
    let capa = server(owes("+OK\r\n"), |stream| {
        pour(&stream, &b"X-LIE\r\n".repeat(1000), FLOOD);
    });
    for (name, port, command) in [("reply-line", answer, "STAT"), ("reply-flood-lines", capa, "CAPA")] {
        let (_pop, _smtp, ostler) = flooded(Some(port), None, "");
        bounded(name, &ostler, || {
            let mut client = signed_in(ostler.pop3, "bad");
            client.say(command);
            let read = drain(client, 1024 * 1024);
            assert!(command == "CAPA" || read <= 512, "{name}: {read} octets");
        });
    }
}

#[test]
fn a_provider_that_floods_a_send() {
    let unasked = server(cut(send_part(), 0, Step::Send(b"220".to_vec())), |stream| {
        pour(&stream, &[b'-'; 65_536], FLOOD);
    });
    let lines = server(Vec::new(), |stream| {
        pour(&stream, &b"220-more\r\n".repeat(6000), FLOOD);
    });
    let in_data = server(cut(send_part(), 10, Step::Send(b"354 go on\r\n".to_vec())), |stream| {
        pour(&stream, &b"250-more\r\n".repeat(6000), FLOOD);
    });
    for (name, port) in [("greeting-line", unasked), ("greeting-lines", lines), ("reply-flood-in-data", in_data)] {
        let (_pop, _smtp, ostler) = flooded(None, Some(port), "");
        bounded(name, &ostler, || {
            let mut client = Client::greeted(ostler.smtp, "220 ");
            client.ask_reply("EHLO x", "250");
            for line in ["MAIL FROM:<bad@example.org>", &format!("RCPT TO:<{BOB}>"), "DATA", "x\r\n."] {
                let answer = client.try_ask(line).unwrap();
                assert_clean(format!("{answer}\r\n").as_bytes());
                if answer.starts_with('4') {
                    return;
                }
            }
            panic!("{name}: nothing was found wrong");
        });
    }
}

#[test]
fn a_client_that_floods() {
    // Takes the body and counts it.
    let taking = |stream: TcpStream| {
        let mut block = vec![0; 65_536];
        let mut last = Vec::new();
        while let Ok(count @ 1..) = (&stream).read(&mut block) {
            last.extend_from_slice(&block[count.saturating_sub(5)..count]);
            last.drain(..last.len().saturating_sub(5));
            if last == b"\r\n.\r\n" {
                let _ = (&stream).write_all(b"250 2.0.0 queued\r\n");
            }
        }
    };
    let port = server(cut(send_part(), 10, Step::Send(b"354 go on\r\n".to_vec())), taking);
    let (_pop, _smtp, ostler) = flooded(None, Some(port), "");
    let begun = || {
        let mut client = Client::greeted(ostler.smtp, "220 ");
        for line in ["EHLO x", "MAIL FROM:<bad@example.org>", &format!("RCPT TO:<{BOB}>")] {
            client.ask_reply(line, "250");
        }
        client.ask_reply("DATA", "354");
        client
    };
    for (name, block) in [
        ("body-line", vec![b'x'; 65_536]),
        ("body-dots", b"..\r\n".repeat(16_384)),
        ("body-bare-lf", vec![b'\n'; 65_536]),
        ("body-bare-cr-dot", b"\r.".repeat(32_768)),
    ] {
        bounded(name, &ostler, || {
            let mut client = begun();
            // What is changed octet by octet takes a build without optimisation its time.
            let octets = if name == "body-line" { FLOOD } else { FLOOD / 256 };
            (0..octets / block.len()).for_each(|_| client.send_silently(&block));
            client.send("\r\n.\r\n");
            client.expect_reply("250 2.0.0 queued");
        });
    }
    for (name, port, greeting) in [("line-endless-smtp", ostler.smtp, "220 "), ("line-endless-pop", ostler.pop3, "+OK")]
    {
        bounded(name, &ostler, || {
            let client = Client::greeted(port, greeting);
            let stream = client.into_stream();
            // Until it is closed.
            pour(&stream, &[b'x'; 65_536], usize::MAX);
        });
    }
}

/// How many descriptors a process holds.
fn descriptors(ostler: &Ostler) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", ostler.id())).unwrap().count()
}

#[test]
fn clients_by_the_thousand() {
    room_for_many();
    let (_pop, _smtp, ostler) = flooded(None, None, "\n[timeouts]\nlogin = \"3s\"\n");
    let before = (descriptors(&ostler), memory(&ostler).0);
    for round in 0..1000 {
        let port = if round % 2 == 0 { ostler.smtp } else { ostler.pop3 };
        let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        match round % 4 {
            0 => drop(stream),
            1 => stream.shutdown(Shutdown::Both).unwrap(),
            2 => Client::over(stream).reset(),
            _ => {
                let _ = (&stream).write_all(b"EHLO x\r\n");
            }
        }
    }
    honest_send(ostler.smtp);
    honest_fetch(ostler.pop3);
    wait_for("connect-storm-1000: the descriptors to come back", || {
        (descriptors(&ostler) <= before.0 + 4).then_some(())
    });
    let idle: Vec<_> = (0..400)
        .map(|n| {
            Client::greeted(if n % 2 == 0 { ostler.smtp } else { ostler.pop3 }, if n % 2 == 0 { "220 " } else { "+OK" })
        })
        .collect();
    let asked = Instant::now();
    honest_send(ostler.smtp);
    honest_fetch(ostler.pop3);
    assert!(asked.elapsed() < Duration::from_secs(10), "idle-400: {:?}", asked.elapsed());
    let grown = memory(&ostler).0.saturating_sub(before.1);
    assert!(grown < GROWTH, "idle-400: {grown} KiB for 400 idle clients");
    for mut client in idle {
        let goodbye = client.line().unwrap();
        assert!(goodbye.starts_with("421 4.4.2 ") || goodbye.starts_with("-ERR [SYS/TEMP] "), "{goodbye}");
    }
    wait_for("idle-400: the descriptors to come back", || (descriptors(&ostler) <= before.0 + 4).then_some(()));
}

#[test]
fn clients_that_drip() {
    let (_pop, _smtp, ostler) = flooded(None, None, "\n[timeouts]\nlogin = \"2s\"\n");
    let started = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..50 {
            let (port, greeting) = if number % 2 == 0 { (ostler.smtp, "220 ") } else { (ostler.pop3, "+OK") };
            scope.spawn(move || {
                let mut client = Client::greeted(port, greeting);
                while client.try_send("N") && started.elapsed() < PATIENCE {
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        let asked = Instant::now();
        honest_send(ostler.smtp);
        honest_fetch(ostler.pop3);
        assert!(asked.elapsed() < Duration::from_secs(10), "slowloris-50: {:?}", asked.elapsed());
    });
    assert!(started.elapsed() < Duration::from_secs(30), "slowloris-50: {:?}", started.elapsed());
}

#[test]
fn clients_that_drip_a_command_after_signing_in_and_a_body() {
    let (peer, ostler) = pop3(Vec::new(), "\n[timeouts]\nidle = \"1s\"\n");
    let mut client = signed_in(ostler.pop3, "home");
    let started = Instant::now();
    while client.try_send("N") && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "drip-forever-pop: {:?}", started.elapsed());
    peer.over(0);
    honest_fetch(ostler.pop3);
    drop((peer, ostler));
    let (peer, ostler) = smtp(Vec::new(), "\n[timeouts]\ndata = \"1s\"\n");
    let mut client = Client::greeted(ostler.smtp, "220 ");
    up_to_data(&mut client);
    let started = Instant::now();
    while client.try_send("x") && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(started.elapsed() < Duration::from_secs(20), "drip-forever-body: {:?}", started.elapsed());
    peer.over(0);
    honest_send(ostler.smtp);
}

#[test]
fn input_before_the_greeting() {
    let (_pop, _smtp, ostler) = flooded(None, None, "");
    let pid = Pid::from_raw(i32::try_from(ostler.id()).unwrap()).unwrap();
    let cases: [(&str, &[u8], &str); 7] = [
        ("input-before-greeting", b"EHLO x\r\nMAIL FROM:<ann@example.org>\r\n", "before it was greeted"),
        ("login-before-greeting", b"USER home\r\nPASS x\r\nDELE 1\r\nQUIT\r\n", "before it was greeted"),
        ("one-byte-before-greeting", b"E", "before it was greeted"),
        ("http-before-greeting", b"POST / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n", "it speaks HTTP"),
        ("header-before-greeting", b"Host: x\r\n\r\n", "it speaks HTTP"),
        ("tls-hello-before-greeting", HELLO, "it speaks TLS"),
        ("tls-hello-ssl-2-before-greeting", HELLO_2, "it speaks TLS"),
    ];
    for (name, bytes, words) in cases {
        for (port, start) in [(ostler.smtp, "421 4.7.0 "), (ostler.pop3, "-ERR ")] {
            // While ostler stands still, so that nobody can have been greeted.
            kill_process(pid, Signal::STOP).unwrap();
            let mut client = Client::connect(port);
            client.send(bytes);
            kill_process(pid, Signal::CONT).unwrap();
            let heard = client.rest();
            let text = String::from_utf8_lossy(&heard).into_owned();
            assert!(text.starts_with(start) && text.contains(words), "{name}: {text:?}");
            assert_clean(&heard);
            wait_for(&format!("{name} in the log"), || ostler.log().contains(words).then_some(()));
        }
        honest_send(ostler.smtp);
        honest_fetch(ostler.pop3);
    }
    // One that waits is greeted, however long it took.
    kill_process(pid, Signal::STOP).unwrap();
    let mut client = Client::connect(ostler.smtp);
    kill_process(pid, Signal::CONT).unwrap();
    client.expect("220 ");
}

#[test]
fn an_address_that_is_dead_costs_less_than_a_second() {
    use std::net::ToSocketAddrs;
    // On a machine where it is only one of them nothing can be seen; `dial` has a test of its own.
    let found: Vec<_> = ("localhost", 1).to_socket_addrs().unwrap().collect();
    if found.iter().all(|a| a.is_ipv4()) || found.iter().all(|a| a.is_ipv6()) {
        return;
    }
    for (name, blocked) in [("ipv6-dead", false), ("ipv6-blackhole", true)] {
        let peer = Provider::always(send_part());
        let _full = blocked.then(|| FullQueue::at((Ipv6Addr::LOCALHOST, peer.port)));
        let ostler = ostler_before(Speaks::Smtp, &peer, "");
        let asked = Instant::now();
        let (verdict, last) = send(ostler.smtp, MESSAGE);
        assert_eq!(verdict.as_deref(), Some("250 2.0.0 queued"), "{name}: {last:?}");
        // A quarter of a second for the dead one, the rest for a busy machine.
        assert!(asked.elapsed() < Duration::from_secs(15), "{name}: {:?}", asked.elapsed());
    }
}
