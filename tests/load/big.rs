//! One huge message each way, and a huge mailbox: in memory that does not depend on their size.

use std::io::Read;
use std::net::TcpListener;
use std::time::Instant;

use crate::connection::Talk;
use crate::messages::pattern;
use crate::support::ca::TestCa;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::{unique, wait_for};
use crate::{Needs, is_full};

/// More than a signed number of 32 bits holds, or what passes in a few seconds.
fn size() -> usize {
    if is_full() { 2_200_000_000 } else { 96_000_000 }
}

fn messages() -> usize {
    if is_full() { 100_000 } else { 20_000 }
}

/// The most ostler may ever have needed, in KiB.
const MOST: u64 = 40 * 1024;

fn server() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

fn ostler(pop3: u16, smtp: u16) -> Ostler {
    ostler_for("off", pop3, smtp)
}

/// For a mail program that reads this.
fn ostler_for(readable: &str, pop3: u16, smtp: u16) -> Ostler {
    let account = Account::new("home", "ann@example.org", &unique("pw")).line(&format!("readable = \"{readable}\""));
    let account = account.pop3(Server::new("none", pop3)).smtp(Server::new("none", smtp));
    Home::new(&TestCa::new(), &[account]).run()
}

fn accept(listener: &TcpListener, greeting: &str) -> Talk {
    let mut talk = Talk::over(listener.accept().unwrap().0);
    talk.say(greeting).unwrap();
    talk
}

/// Answers a POP3 client until it says this.
fn answer_pop3(talk: &mut Talk, until: &str) {
    loop {
        let line = talk.line().unwrap();
        if line.starts_with(until) {
            return;
        }
        talk.say(if line == "CAPA" { "-ERR" } else { "+OK" }).unwrap();
    }
}

fn answer_smtp(talk: &mut Talk, until: &str) {
    loop {
        let line = talk.line().unwrap();
        if line.starts_with(until) {
            return;
        }
        match line.split(' ').next().unwrap() {
            "EHLO" => talk.send(b"250-mx\r\n250 AUTH PLAIN\r\n").unwrap(),
            "AUTH" => talk.say("235 in").unwrap(),
            _ => talk.say("250 ok").unwrap(),
        }
    }
}

/// The pattern so many times, and the lone dot.
fn pour(talk: &mut Talk, times: usize) {
    for _ in 0..times {
        talk.send(pattern()).unwrap();
    }
    talk.send(b".\r\n").unwrap();
}

/// What comes is what was poured, octet for octet.
fn drink(talk: &mut Talk, times: usize) {
    let pattern = pattern();
    let (mut left, mut at, mut block) = (times * pattern.len(), 0, vec![0; 64 * 1024]);
    while left > 0 {
        let most = block.len().min(left).min(pattern.len() - at);
        let count = talk.wire.read(&mut block[..most]).unwrap();
        assert!(count > 0, "the end came {left} octets early");
        assert!(block[..count] == pattern[at..at + count], "another text, {left} octets before the end");
        at = (at + count) % pattern.len();
        left -= count;
    }
    assert_eq!(talk.line().unwrap(), ".");
}

fn tell(what: &str, octets: usize, began: Instant, needs: Needs) {
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let rate = octets as f64 / 1e6 / seconds;
    println!("{what}: {octets} octets in {seconds:.1} s ({rate:.0} MB/s); {needs}");
}

/// A client that may send its message now; the server's side of it.
fn begin(client: &mut Talk, listener: &TcpListener) -> Talk {
    client.reply().unwrap();
    client.ask("EHLO old-pc", "250").unwrap();
    client.say("MAIL FROM:<ann@example.org>").unwrap();
    let mut mta = accept(listener, "220 ready");
    answer_smtp(&mut mta, "MAIL");
    mta.say("250 ok").unwrap();
    assert!(client.reply().unwrap().starts_with("250"));
    client.say("RCPT TO:<bob@example.com>").unwrap();
    answer_smtp(&mut mta, "RCPT");
    mta.say("250 ok").unwrap();
    assert!(client.reply().unwrap().starts_with("250"));
    client.say("DATA").unwrap();
    answer_smtp(&mut mta, "DATA");
    mta.say("354 go on").unwrap();
    assert!(client.reply().unwrap().starts_with("354"));
    mta
}

/// Fetches a message that begins with `head`, which becomes `seen`.
fn fetch(readable: &str, head: &'static str, seen: &str) {
    let (listener, port) = server();
    let ostler = ostler_for(readable, port, 1);
    let times = size() / pattern().len();
    let mut client = Talk::to(ostler.pop3);
    client.line().unwrap();
    client.ask("USER home", "+OK").unwrap();
    client.say("PASS x").unwrap();
    let mut mailbox = accept(&listener, "+OK ready");
    answer_pop3(&mut mailbox, "PASS");
    mailbox.say("+OK in").unwrap();
    assert_eq!(client.line().unwrap(), "+OK in");
    let began = Instant::now();
    client.say("RETR 1").unwrap();
    answer_pop3(&mut mailbox, "RETR 1");
    let pouring = std::thread::spawn(move || {
        mailbox.say("+OK").unwrap();
        mailbox.send(head.as_bytes()).unwrap();
        pour(&mut mailbox, times);
        answer_pop3(&mut mailbox, "QUIT");
        mailbox.say("+OK bye").unwrap();
    });
    assert_eq!(client.line().unwrap(), "+OK");
    for line in seen.lines() {
        assert_eq!(client.line().unwrap(), line);
    }
    drink(&mut client, times);
    let needs = Needs::of(ostler.id());
    tell(&format!("fetched, readable {readable}"), times * pattern().len(), began, needs);
    client.ask("QUIT", "+OK bye").unwrap();
    pouring.join().unwrap();
    assert!(needs.most < MOST, "{needs}");
}

#[test]
fn a_huge_message_is_fetched_in_little_memory() {
    fetch("off", "", "");
}

#[test]
fn a_huge_message_is_made_readable_in_little_memory() {
    let head = "Subject: =?utf-8?Q?it=E2=80=99s?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nit\u{2019}s \u{2192}\r\n--b\r\n\
        Content-Type: application/octet-stream\r\n\r\n";
    let seen = "Subject: =?windows-1252?Q?it=92s?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\
        X-Ostler-Readable: utf-8 to windows-1252; 1 character approximated\r\n\r\n--b\r\n\
        Content-Type: text/plain; charset=windows-1252\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nit=92s ->\r\n--b\r\n\
        Content-Type: application/octet-stream\r\n\r\n";
    fetch("windows-1252", head, seen);
}

#[test]
fn a_huge_message_is_sent_in_little_memory() {
    let (listener, port) = server();
    let ostler = ostler(1, port);
    let times = size() / pattern().len();
    let mut client = Talk::to(ostler.smtp);
    let mut mta = begin(&mut client, &listener);
    let began = Instant::now();
    let drinking = std::thread::spawn(move || {
        drink(&mut mta, times);
        mta.say("250 queued").unwrap();
        answer_smtp(&mut mta, "QUIT");
        mta.say("221 bye").unwrap();
    });
    pour(&mut client, times);
    assert_eq!(client.reply().unwrap(), "250 queued");
    let needs = Needs::of(ostler.id());
    tell("sent", times * pattern().len(), began, needs);
    client.ask("QUIT", "221").unwrap();
    drinking.join().unwrap();
    assert!(needs.most < MOST, "{needs}");
}

/// A body that has to be changed at every line costs no more than its octets: nobody else waits for it.
#[test]
fn a_body_of_bare_line_ends_goes_at_speed_beside_others() {
    let (listener, port) = server();
    let ostler = ostler(1, port);
    let lines = if is_full() { 20_000_000 } else { 1_000_000 };
    let mut client = Talk::to(ostler.smtp);
    let mut mta = begin(&mut client, &listener);
    let began = Instant::now();
    let drinking = std::thread::spawn(move || {
        let (mut octets, mut block) = (0, vec![0; 64 * 1024]);
        // Each line end has become two octets; then the dot.
        while octets < lines * 3 + 3 {
            let count = mta.wire.read(&mut block).unwrap();
            assert!(count > 0, "the end came after {octets} octets");
            octets += count;
        }
        mta.say("250 queued").unwrap();
        mta
    });
    let pouring = std::thread::spawn(move || {
        let block = b"x\n".repeat(50_000);
        for _ in 0..lines / 50_000 {
            client.send(&block).unwrap();
        }
        // The last line end has become a whole one, which is not the client's: it says its own.
        client.send(b"\r\n.\r\n").unwrap();
        client
    });
    let mut longest = std::time::Duration::ZERO;
    while !pouring.is_finished() {
        let began = Instant::now();
        let mut other = Talk::to(ostler.pop3);
        other.line().unwrap();
        other.ask("CAPA", "+OK").unwrap();
        longest = longest.max(began.elapsed());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let mut client = pouring.join().unwrap();
    assert_eq!(client.reply().unwrap(), "250 queued");
    drop(drinking.join().unwrap());
    tell("bare line ends", lines * 2, began, Needs::of(ostler.id()));
    println!("bare line ends: another client waited {longest:?} at most");
    assert!(longest < std::time::Duration::from_secs(2), "another client waited {longest:?}");
    // A write for each line took a hundred times as long.
    assert!(is_full() || began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
}

/// Lists of them all, then every message fetched and deleted.
#[test]
fn a_huge_mailbox_is_fetched_in_little_memory() {
    let (listener, port) = server();
    let ostler = ostler(port, 1);
    let count = messages();
    let letter = |number: usize| format!("Subject: {number}\r\n\r\n..dot\r\n{number}\r\n");
    let mut client = Talk::to(ostler.pop3);
    client.line().unwrap();
    client.ask("USER home", "+OK").unwrap();
    client.say("PASS x").unwrap();
    let mut mailbox = accept(&listener, "+OK ready");
    answer_pop3(&mut mailbox, "PASS");
    mailbox.say("+OK in").unwrap();
    let provider = std::thread::spawn(move || {
        let mut deleted = 0;
        loop {
            let line = mailbox.line().unwrap();
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            let answer = match verb {
                "STAT" => format!("+OK {count} {}\r\n", count * 40),
                "LIST" => (1..=count).fold("+OK\r\n".to_owned(), |text, n| text + &format!("{n} 40\r\n")) + ".\r\n",
                "UIDL" => {
                    (1..=count).fold("+OK\r\n".to_owned(), |text, n| text + &format!("{n} {n:060}\r\n")) + ".\r\n"
                }
                "RETR" => format!("+OK\r\n{}.\r\n", letter(rest.parse().unwrap())),
                "DELE" => {
                    deleted += 1;
                    "+OK\r\n".to_owned()
                }
                _ => "+OK bye\r\n".to_owned(),
            };
            mailbox.send(answer.as_bytes()).unwrap();
            if verb == "QUIT" {
                return deleted;
            }
        }
    });
    assert_eq!(client.line().unwrap(), "+OK in");
    let began = Instant::now();
    client.ask("STAT", &format!("+OK {count} ")).unwrap();
    for (list, width) in [("LIST", "1 40\r\n".len()), ("UIDL", 64)] {
        client.ask(list, "+OK").unwrap();
        let text = client.text().unwrap();
        assert_eq!(memchr::memchr_iter(b'\n', &text).count(), count);
        assert!(text.len() >= count * width);
    }
    println!("mailbox: two lists of {count} in {:.1} s; {}", began.elapsed().as_secs_f64(), Needs::of(ostler.id()));
    for number in 1..=count {
        client.ask(&format!("RETR {number}"), "+OK").unwrap();
        assert_eq!(client.text().unwrap(), letter(number).as_bytes());
        client.ask(&format!("DELE {number}"), "+OK").unwrap();
    }
    client.ask("QUIT", "+OK bye").unwrap();
    assert_eq!(provider.join().unwrap(), count);
    let needs = Needs::of(ostler.id());
    println!("mailbox: {count} messages fetched and deleted in {:.1} s; {needs}", began.elapsed().as_secs_f64());
    assert!(needs.most < MOST, "{needs}");
    wait_for("the session to be over", || ostler.log().contains("messages fetched").then_some(()));
}
