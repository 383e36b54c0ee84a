//! Thousands of sessions, one after the other and side by side: fetches and sends, signed in with a password, inside TLS and
//! behind a gate; some clients vanish, and the provider breaks off now and then. Nothing grows, nothing is lost, nothing
//! comes twice.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::Needs;
use crate::connection::Talk;
use crate::messages::{letter, number_of};
use crate::provider::Provider;
use crate::support::ca::TestCa;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::{unique, wait_for};

/// Sessions side by side, in the parts of the run that are not one after the other.
const SIDE_BY_SIDE: u64 = 8;
/// Memory that may come on top of what the warm-up needed: what an allocator does not give back, in KiB.
const SLACK: u64 = 4096;
/// And descriptors.
const MORE_DESCRIPTORS: usize = 8;
/// Numbers of messages that are sent begin here.
const SENT: u64 = 1_000_000_000;

/// What the clients know.
#[derive(Default)]
struct Clients {
    fetched: Mutex<Vec<u64>>,
    accepted: Mutex<HashSet<u64>>,
    /// Told that the outcome is unknown.
    unknown: Mutex<HashSet<u64>>,
    broken_off: AtomicU64,
}

/// How long to go on.
#[derive(Clone, Copy)]
enum Until {
    Sessions(u64),
    Time(Instant),
}

impl Until {
    fn is_over(self, session: u64) -> bool {
        match self {
            Self::Sessions(most) => session >= most,
            Self::Time(end) => Instant::now() >= end,
        }
    }
}

struct Soak {
    ostler: Ostler,
    provider: Provider,
    clients: Clients,
    sessions: AtomicU64,
    failures: Mutex<Vec<String>>,
    working: AtomicUsize,
}

impl Soak {
    fn start() -> Arc<Self> {
        let ca = TestCa::new();
        let provider = Provider::start(&ca.localhost());
        let account = |name: &str, pop3: Server, smtp: Server| {
            Account::new(name, &format!("{name}@example.org"), &unique("pw"))
                .line(&format!("username = {name:?}"))
                .pop3(pop3)
                .smtp(smtp)
        };
        let gated = Server::new("none", provider.gated).auth("pop-before-smtp").line("fresh = \"1s\"");
        let accounts = [
            account("plain", Server::new("none", provider.pop3), Server::new("none", provider.smtp)),
            account("gate", Server::new("none", provider.pop3), gated),
            account("tls", Server::new("tls", provider.pop3s), Server::new("tls", provider.smtps)),
        ];
        let ostler = Home::new(&ca, &accounts).run();
        let (clients, failures) = (Clients::default(), Mutex::default());
        let (sessions, working) = (AtomicU64::new(0), AtomicUsize::new(0));
        Arc::new(Self { ostler, provider, clients, sessions, failures, working })
    }

    /// Sessions of all kinds, one after the other.
    fn work(&self, until: Until) {
        loop {
            let number = self.sessions.fetch_add(1, Ordering::Relaxed);
            if until.is_over(number) {
                self.sessions.fetch_sub(1, Ordering::Relaxed);
                return;
            }
            // TLS costs its peers the most, so it is every tenth.
            let name =
                if number % 10 == 9 { "tls" } else { ["plain", "gate"][usize::try_from(number / 2 % 2).unwrap()] };
            let outcome = if number.is_multiple_of(2) { self.fetch(number, name) } else { self.send(number, name) };
            if let Err(error) = outcome {
                self.failures.lock().unwrap().push(format!("session {number} ({name}): {error}"));
                return;
            }
        }
    }

    /// Fetches and deletes a message; one client in a hundred vanishes before it says QUIT.
    fn fetch(&self, number: u64, name: &str) -> io::Result<()> {
        let mut talk = Talk::to(self.ostler.pop3);
        talk.line()?;
        talk.ask(&format!("USER {name}"), "+OK")?;
        talk.ask("PASS x", "+OK")?;
        talk.ask("STAT", "+OK 1 ")?;
        talk.ask("RETR 1", "+OK")?;
        let Ok(text) = talk.text() else {
            // The provider broke off, and it did not look like the end of the message.
            self.clients.broken_off.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        };
        let fetched = number_of(&text).ok_or_else(|| io::Error::other("a message is not what it was"))?;
        talk.ask("DELE 1", "+OK")?;
        if number % 100 == 50 {
            return Ok(());
        }
        talk.ask("QUIT", "+OK committed")?;
        self.clients.fetched.lock().unwrap().push(fetched);
        Ok(())
    }

    /// Sends two messages; one client in a hundred vanishes in the middle of the first.
    fn send(&self, number: u64, name: &str) -> io::Result<()> {
        let mut talk = Talk::to(self.ostler.smtp);
        talk.reply()?;
        talk.ask("EHLO old-pc", "250")?;
        for second in 0..2 {
            let message = SENT + number * 2 + second;
            talk.ask(&format!("MAIL FROM:<{name}@example.org>"), "250")?;
            talk.ask("RCPT TO:<bob@example.com>", "250")?;
            talk.ask("DATA", "354")?;
            let text = letter(message);
            if number % 100 == 51 {
                return talk.send(&text[..text.len() / 2]);
            }
            talk.send(&[text.as_slice(), b".\r\n"].concat())?;
            let reply = talk.reply()?;
            if reply.starts_with("250 queued") {
                self.clients.accepted.lock().unwrap().insert(message);
            } else if reply.starts_with("451 ") && reply.contains("outcome is unknown") {
                self.clients.unknown.lock().unwrap().insert(message);
            } else {
                return Err(io::Error::other(format!("the answer to a message: {reply}")));
            }
        }
        talk.ask("QUIT", "221").map(drop)
    }

    /// A stretch of sessions with so many at once.
    fn stretch(self: &Arc<Self>, workers: u64, until: Until) {
        let threads: Vec<_> = (0..workers)
            .map(|_| {
                let soak = Arc::clone(self);
                soak.working.fetch_add(1, Ordering::Relaxed);
                std::thread::spawn(move || soak.work(until))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{failures:#?}\n{}", last_lines(&self.ostler.log()));
    }

    /// What ostler needs when nobody is there.
    fn rest(&self) -> Needs {
        let idle = || {
            let status = self.ostler.home.ostler(&["status", "--json"], "");
            let document: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
            (document["sessions"] == serde_json::json!([])).then_some(())
        };
        wait_for("all sessions to be over", idle);
        Needs::of(self.ostler.id())
    }

    fn nothing_lost_or_doubled(&self) {
        let books = &self.provider.books;
        let (deleted, sent) = (books.deleted.lock().unwrap(), books.sent.lock().unwrap());
        let fetched = self.clients.fetched.lock().unwrap();
        let mut times: HashMap<u64, u32> = HashMap::new();
        fetched.iter().for_each(|number| *times.entry(*number).or_default() += 1);
        assert_eq!(*deleted, times, "what was deleted is what was fetched, each once");
        assert!(times.values().all(|times| *times == 1));
        let (accepted, unknown) = (self.clients.accepted.lock().unwrap(), self.clients.unknown.lock().unwrap());
        assert!(sent.values().all(|times| *times == 1), "a message was sent twice");
        assert!(accepted.iter().all(|number| sent.contains_key(number)), "a message was lost");
        assert!(sent.keys().all(|number| accepted.contains(number) || unknown.contains(number)));
        let nonsense = books.nonsense.lock().unwrap();
        assert!(nonsense.is_empty(), "{nonsense:?}");
        println!(
            "soak: {} messages fetched and deleted, {} accepted, {} with unknown outcome, {} fetches broken off by the \
             provider; none lost, none doubled",
            fetched.len(),
            accepted.len(),
            unknown.len(),
            self.clients.broken_off.load(Ordering::Relaxed)
        );
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

#[test]
fn thousands_of_sessions_leave_nothing_behind() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect(name));
    let minutes = number("OSTLER_SOAK_MINUTES");
    let sessions = number("OSTLER_SOAK_SESSIONS").unwrap_or(2_000);
    let soak = Soak::start();
    let began = Instant::now();
    println!("soak: at the start: {}", soak.rest());
    // Warm-up: everything that is made once is made, and the allocator knows its largest crowd.
    let warm = if minutes.is_some() { 3_000 } else { (sessions / 4).min(3_000) };
    soak.stretch(SIDE_BY_SIDE, Until::Sessions(warm));
    soak.stretch(1, Until::Sessions(warm + warm / 10));
    let before = soak.rest();
    println!("soak: after {} sessions: {before}", soak.sessions.load(Ordering::Relaxed));
    let parts = 10;
    for part in 1..=parts {
        let until = |share: u32| match minutes {
            Some(minutes) => Until::Time(began + Duration::from_secs(minutes * 60) * share / (2 * parts)),
            None => Until::Sessions(warm + (sessions - warm) * u64::from(share) / u64::from(2 * parts)),
        };
        soak.stretch(SIDE_BY_SIDE, until(2 * part - 1));
        soak.stretch(1, until(2 * part));
        let now = soak.rest();
        let count = soak.sessions.load(Ordering::Relaxed);
        println!("soak: after {count} sessions in {} s: {now}", began.elapsed().as_secs());
        assert!(now.now <= before.now + SLACK, "memory grows: {before}, now {now}");
        assert!(now.descriptors <= before.descriptors + MORE_DESCRIPTORS, "descriptors: {before}, now {now}");
    }
    soak.nothing_lost_or_doubled();
}
