//! How fast ostler is, beside stunnel, a bare copy loop and no proxy at all, all in front of the same provider in
//! memory. `cargo bench --bench proxy` measures everything and prints a table; the README beside this file says more.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod client;
mod copy;
mod far;
mod mail;
mod proxies;
mod table;
mod upstream;

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use client::{Imap, Pop, Smtp};
use mail::Mailbox;
use proxies::{Kind, Ports, Proxy};
use table::{Row, Table};
use upstream::{Doors, KeyExchange, Upstream};

const USAGE: &str = "cargo bench --bench proxy -- [--rounds N] [--scale X] [--x25519] [bulk] [small] [imap] [imap-small] [sessions] [crowd] \
     [send] [each] [big-send] [far] [far-send] [filters] [start]";

struct Options {
    rounds: usize,
    scale: f64,
    key_exchange: KeyExchange,
    only: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { rounds: 5, scale: 1.0, key_exchange: KeyExchange::Hybrid, only: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => options.rounds = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE),
                "--scale" => options.scale = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE),
                "--x25519" => options.key_exchange = KeyExchange::X25519,
                // Cargo says it to every benchmark.
                "--bench" => {}
                name if !name.starts_with('-') => options.only.push(name.to_owned()),
                _ => panic!("{USAGE}"),
            }
        }
        options
    }

    fn count(&self, full: usize) -> usize {
        ((full as f64 * self.scale) as usize).max(1)
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        // The provider and the copy loop are processes of their own, so that /proc tells their time apart.
        Some("upstream") => upstream::main(Path::new(&arguments[2]), KeyExchange::named(&arguments[3])),
        Some("copy") => copy::main(Path::new(&arguments[2]), &arguments[3..]),
        // `cargo test --all-targets` starts benchmarks too, without this.
        _ if !arguments.iter().any(|a| a == "--bench") => println!("{USAGE}"),
        _ => measure(&Options::read()),
    }
}

fn measure(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let upstream = Upstream::start(folder.path(), options.key_exchange);
    let near = all_proxies(folder.path(), &upstream.near);
    let far = if options.wants("far") || options.wants("far-send") {
        all_proxies(folder.path(), &upstream.far)
    } else {
        Vec::new()
    };
    let mut bench = Bench { options, folder: folder.path(), upstream, table: Table::default(), near, far };
    println!(
        "{} rounds, columns by turns, medians; scale {}; {} CPUs",
        options.rounds,
        options.scale,
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    bench.throughput();
    bench.far();
    if options.wants("filters") {
        bench.filters();
    }
    if options.wants("start") {
        bench.start_and_memory();
    }
    bench.table.print();
}

fn all_proxies(folder: &Path, upstream: &Doors) -> Vec<Proxy> {
    let started = Kind::ALL.map(|kind| Proxy::start(kind, folder, upstream).map_err(|why| (kind, why)));
    let left_out = |(kind, why): &(Kind, String)| println!("{} is left out: {why}", kind.name());
    started.into_iter().filter_map(|proxy| proxy.inspect_err(left_out).ok()).collect()
}

struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
    upstream: Upstream,
    table: Table,
    near: Vec<Proxy>,
    far: Vec<Proxy>,
}

/// How far away the provider is.
#[derive(Clone, Copy)]
enum Line {
    Near,
    Far,
}

/// What a scenario is called on the command line and in the table, and what it counts.
struct Scenario {
    name: &'static str,
    line: Line,
    title: &'static str,
    unit: &'static str,
    cpu_unit: &'static str,
    cpu_factor: f64,
}

impl Scenario {
    /// Counted in things of one kind.
    fn each(name: &'static str, line: Line, title: &'static str, unit: &'static str) -> Self {
        Self { name, line, title, unit, cpu_unit: "CPU us each", cpu_factor: 1e6 }
    }

    /// Counted in megabytes.
    fn bulk(name: &'static str, title: &'static str) -> Self {
        Self { name, line: Line::Near, title, unit: "MB/s", cpu_unit: "CPU s/GB", cpu_factor: 1e3 }
    }
}

/// What a case is called, and what runs it and says how much it was.
type Case<'a> = (&'static str, Box<dyn Fn() -> f64 + 'a>);

/// What one run of one scenario did.
#[derive(Default)]
struct Done {
    /// Messages, sessions or megabytes.
    amount: f64,
    /// Each command's time, where one is waited for.
    times: Vec<Duration>,
}

impl Bench<'_> {
    fn throughput(&mut self) {
        let (small, big) = (Mailbox::small(), Mailbox::big());
        let count = |n| self.options.count(n);
        let (bulk, singles, alone, crowd, sends, each, big_sends) =
            (count(8), count(8000), count(600), count(1500), count(2000), count(400), count(12));
        let megabytes = |n: usize, each: usize| Done { amount: (n * each) as f64 / 1e6, ..Done::default() };
        self.scenario(&Scenario::bulk("bulk", "50 MB messages fetched"), |doors| {
            let mut pop = Pop::sign_in(doors[0], "big");
            (0..bulk).for_each(|_| pop.fetch(1, &big));
            pop.quit();
            megabytes(bulk, mail::BIG)
        });
        self.scenario(&Scenario::each("small", Line::Near, "4 KB messages, one at a time", "messages/s"), |doors| {
            fetched(doors, singles, &small)
        });
        self.scenario(&Scenario::bulk("imap", "50 MB messages over IMAP"), |doors| {
            let mut imap = Imap::sign_in(doors[2], "big");
            (0..bulk).for_each(|_| imap.fetch(1, &big));
            imap.quit();
            megabytes(bulk, mail::BIG)
        });
        self.scenario(&Scenario::each("imap-small", Line::Near, "4 KB messages over IMAP", "messages/s"), |doors| {
            let mut imap = Imap::sign_in(doors[2], "small");
            let times = (1..=singles).map(|n| timed(|| imap.fetch(n, &small))).collect();
            imap.quit();
            Done { amount: singles as f64, times }
        });
        self.scenario(&Scenario::each("sessions", Line::Near, "sessions, 1 client", "sessions/s"), |doors| {
            sessions(doors[0], alone, 1)
        });
        self.scenario(&Scenario::each("crowd", Line::Near, "sessions, 50 clients", "sessions/s"), |doors| {
            sessions(doors[0], crowd, 50)
        });
        self.scenario(&Scenario::each("send", Line::Near, "4 KB sends in one session", "messages/s"), |doors| {
            sent(doors, sends, &small)
        });
        self.scenario(&Scenario::each("each", Line::Near, "4 KB sends, a session each", "messages/s"), |doors| {
            let times = (0..each).map(|_| timed(|| drop(sent(doors, 1, &small)))).collect();
            Done { amount: each as f64, times }
        });
        let letter = mail::outgoing();
        self.scenario(&Scenario::bulk("big-send", "25 MB sends"), |doors| {
            let mut smtp = Smtp::begin(doors[1], "big");
            (0..big_sends).for_each(|_| smtp.send("big", 0, &letter));
            smtp.quit();
            megabytes(big_sends, mail::OUTGOING)
        });
    }

    /// Over a long line, where round trips count.
    fn far(&mut self) {
        let small = Mailbox::small();
        let (fetches, sends) = (self.options.count(100), self.options.count(30));
        self.scenario(&Scenario::each("far", Line::Far, "4 KB messages at 40 ms", "messages/s"), |doors| {
            fetched(doors, fetches, &small)
        });
        self.scenario(&Scenario::each("far-send", Line::Far, "4 KB sends at 40 ms", "messages/s"), |doors| {
            sent(doors, sends, &small)
        });
    }

    /// Runs one scenario in every column, by turns, and adds its rows.
    fn scenario(&mut self, scenario: &Scenario, mut run: impl FnMut(&Ports) -> Done) {
        if !self.options.wants(scenario.name) {
            return;
        }
        let running = match scenario.line {
            Line::Near => &self.near,
            Line::Far => &self.far,
        };
        let Scenario { title, unit, cpu_unit, cpu_factor, .. } = *scenario;
        let columns = running.len();
        let mut rate = Row::new(title, unit);
        let mut cpu = Row::new("", cpu_unit);
        let mut resumed = Row::new("", "% resumed");
        let mut slow = Row::new("", "p99 / median");
        let mut worst = Row::new("", "slowest, ms");
        for round in 0..self.options.rounds {
            for turn in 0..columns {
                let proxy = &running[(round + turn) % columns];
                let (handshakes, spent) = (self.upstream.handshakes(), proxy.cpu());
                let began = Instant::now();
                let ran = catch_unwind(AssertUnwindSafe(|| run(&proxy.doors)));
                let mut done = ran.unwrap_or_else(|_| panic!("{} failed at: {title}", proxy.kind.name()));
                let took = began.elapsed().as_secs_f64();
                rate.add(proxy.kind, done.amount / took);
                if let (Some(before), Some(after)) = (spent, proxy.cpu()) {
                    cpu.add(proxy.kind, (after - before) / done.amount * cpu_factor);
                }
                let (full, again) = self.upstream.handshakes();
                let (full, again) = (full - handshakes.0, again - handshakes.1);
                if full + again > 10 {
                    resumed.add(proxy.kind, 100.0 * again as f64 / (full + again) as f64);
                }
                done.times.sort_unstable();
                if let (Some(p99), Some(median), Some(last)) = (
                    done.times.get(done.times.len() * 99 / 100),
                    done.times.get(done.times.len() / 2),
                    done.times.last(),
                ) {
                    slow.add(proxy.kind, p99.as_secs_f64() / median.as_secs_f64());
                    worst.add(proxy.kind, last.as_secs_f64() * 1e3);
                }
            }
        }
        [rate, cpu, resumed, slow, worst].into_iter().for_each(|row| self.table.add(row));
    }

    /// What `readable` and `mend` cost: where they are off, where there is nothing for them to do, and where there is. All in one
    /// ostler, by turns.
    fn filters(&mut self) {
        let Ok(proxy) = Proxy::start_filters(self.folder, &self.upstream.near) else { return };
        let (small, big, letters) = (Mailbox::small(), Mailbox::big(), Mailbox::letters());
        let readable = letters.readable("windows-1252");
        let (singles, bulk, sends) = (self.options.count(4000), self.options.count(4), self.options.count(1000));
        let doors = proxy.doors;
        let fetch = |user: &'static str, mailbox, count| {
            move || {
                let mut pop = Pop::sign_in(doors[0], user);
                (1..=count).for_each(|n| pop.fetch(n, mailbox));
                pop.quit();
                count as f64
            }
        };
        let fetch_big = |user: &'static str| {
            let mailbox = &big;
            move || {
                let mut pop = Pop::sign_in(doors[0], user);
                (0..bulk).for_each(|_| pop.fetch(1, mailbox));
                pop.quit();
                (bulk * mail::BIG) as f64 / 1e6
            }
        };
        let send = |user: &'static str| {
            let mailbox = &small;
            move || {
                let mut smtp = Smtp::begin(doors[1], user);
                (0..sends).for_each(|n| smtp.send(user, n, mailbox.message(n)));
                smtp.quit();
                sends as f64
            }
        };
        let groups: [(&Scenario, Vec<Case<'_>>); 3] = [
            (
                &Scenario::each("filters", Line::Near, "4 KB messages", "messages/s"),
                vec![
                    ("readable is off", Box::new(fetch("small", &small, singles))),
                    ("readable, nothing to change", Box::new(fetch("small-readable", &small, singles))),
                    ("UTF-8, readable is off", Box::new(fetch("letters", &letters, singles))),
                    ("UTF-8, readable", Box::new(fetch("letters-readable", &readable, singles))),
                ],
            ),
            (
                &Scenario::bulk("filters", "50 MB messages"),
                vec![
                    ("readable is off", Box::new(fetch_big("big"))),
                    ("readable, nothing to change", Box::new(fetch_big("big-readable"))),
                ],
            ),
            (
                &Scenario::each("filters", Line::Near, "4 KB sends", "messages/s"),
                vec![
                    ("mend is off", Box::new(send("small-unmended"))),
                    ("mend, nothing is missing", Box::new(send("small"))),
                ],
            ),
        ];
        for (scenario, cases) in groups {
            self.by_turns(&proxy, scenario, &cases);
        }
    }

    /// Runs the cases of one ostler by turns, and adds the rows of each.
    fn by_turns(&mut self, proxy: &Proxy, scenario: &Scenario, cases: &[Case<'_>]) {
        let row = |case: &Case<'_>| {
            let title = format!("{}, {}", scenario.title, case.0);
            (Row::new(&title, scenario.unit), Row::new("", scenario.cpu_unit))
        };
        let mut rows: Vec<(Row, Row)> = cases.iter().map(row).collect();
        for round in 0..self.options.rounds {
            for turn in 0..cases.len() {
                let at = (round + turn) % cases.len();
                let (spent, began) = (proxy.cpu(), Instant::now());
                let amount = cases[at].1();
                rows[at].0.add(Kind::Ostler, amount / began.elapsed().as_secs_f64());
                if let (Some(before), Some(after)) = (spent, proxy.cpu()) {
                    rows[at].1.add(Kind::Ostler, (after - before) / amount * scenario.cpu_factor);
                }
            }
        }
        rows.into_iter().flat_map(|(rate, cpu)| [rate, cpu]).for_each(|row| self.table.add(row));
    }

    /// A new process for each round: how soon it listens, what it holds then, and with 500 clients signed in.
    fn start_and_memory(&mut self) {
        let kinds: Vec<Kind> = self.near.iter().map(|proxy| proxy.kind).filter(|k| *k != Kind::Direct).collect();
        let mut soon = Row::new("start", "ms to listening");
        let mut empty = Row::new("memory at start", "MB PSS");
        let mut full = Row::new("with 500 idle sessions", "MB PSS");
        for round in 0..self.options.rounds {
            for turn in 0..kinds.len() {
                let kind = kinds[(round + turn) % kinds.len()];
                let Ok(proxy) = Proxy::start(kind, self.folder, &self.upstream.near) else { continue };
                soon.add(kind, proxy.started_in.as_secs_f64() * 1e3);
                std::thread::sleep(Duration::from_secs(1));
                let before = proxy.memory();
                let idle: Vec<Pop> = (0..500).map(|_| Pop::sign_in(proxy.doors[0], "small")).collect();
                std::thread::sleep(Duration::from_millis(500));
                let after = proxy.memory();
                drop(idle);
                before.into_iter().for_each(|megabytes| empty.add(kind, megabytes));
                after.into_iter().for_each(|megabytes| full.add(kind, megabytes));
            }
        }
        [soon, empty, full].into_iter().for_each(|row| self.table.add(row));
    }
}

/// So many messages fetched in one session, one at a time.
fn fetched(doors: &Ports, count: usize, mailbox: &Mailbox) -> Done {
    let mut pop = Pop::sign_in(doors[0], "small");
    let times = (1..=count).map(|n| timed(|| pop.fetch(n, mailbox))).collect();
    pop.quit();
    Done { amount: count as f64, times }
}

/// So many messages sent in one session.
fn sent(doors: &Ports, count: usize, mailbox: &Mailbox) -> Done {
    let mut smtp = Smtp::begin(doors[1], "small");
    let times = (0..count).map(|n| timed(|| smtp.send("small", n, mailbox.message(n)))).collect();
    smtp.quit();
    Done { amount: count as f64, times }
}

fn timed(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// Connect, sign in, STAT, QUIT.
fn sessions(door: SocketAddr, count: usize, clients: usize) -> Done {
    let left = AtomicUsize::new(count);
    let one_less = || left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok();
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                while one_less() {
                    let mut pop = Pop::sign_in(door, "small");
                    pop.command("STAT", "+OK");
                    pop.quit();
                }
            });
        }
    });
    Done { amount: count as f64, ..Done::default() }
}

/// A certificate authority and the provider's certificate, for an hour's use.
fn make_certificates(folder: &Path) {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
    let mut authority = CertificateParams::default();
    // With rcgen's own name for both, OpenSSL takes the second for its own issuer.
    authority.distinguished_name.push(DnType::CommonName, "ostler benchmark authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = names.signed_by(&key, &authority).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

/// Waits until somebody listens there; how long it took, if it did not take too long.
fn listening(address: SocketAddr, patience: Duration) -> Option<Duration> {
    let began = Instant::now();
    while began.elapsed() < patience {
        if TcpStream::connect(address).is_ok() {
            return Some(began.elapsed());
        }
        std::thread::sleep(Duration::from_micros(500));
    }
    None
}
