//! How fast ostler is, beside stunnel, a bare copy loop and no proxy at all, all in front of the same provider in
//! memory. `cargo bench --bench proxy` measures everything and prints a table; the README beside this file says more.

#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod client;
mod copy;
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

use client::{Pop, Smtp};
use mail::Mailbox;
use proxies::{Kind, Proxy};
use table::{Row, Table};
use upstream::Upstream;

const USAGE: &str =
    "cargo bench --bench proxy -- [--rounds N] [--scale X] [bulk] [small] [sessions] [crowd] [send] [big-send] [start]";

struct Options {
    rounds: usize,
    scale: f64,
    only: Vec<String>,
}

impl Options {
    fn read() -> Self {
        let mut options = Self { rounds: 5, scale: 1.0, only: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--rounds" => options.rounds = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE),
                "--scale" => options.scale = arguments.next().and_then(|n| n.parse().ok()).expect(USAGE),
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
        Some("upstream") => upstream::main(Path::new(&arguments[2])),
        Some("copy") => copy::main(Path::new(&arguments[2]), &arguments[3..]),
        // `cargo test --all-targets` starts benchmarks too, without this.
        _ if !arguments.iter().any(|a| a == "--bench") => println!("{USAGE}"),
        _ => measure(&Options::read()),
    }
}

fn measure(options: &Options) {
    let folder = tempfile::tempdir().unwrap();
    make_certificates(folder.path());
    let upstream = Upstream::start(folder.path());
    let mut bench = Bench { options, folder: folder.path(), upstream, table: Table::default(), running: Vec::new() };
    for kind in Kind::ALL {
        match Proxy::start(kind, folder.path(), &bench.upstream.doors) {
            Ok(proxy) => bench.running.push(proxy),
            Err(why) => println!("{} is left out: {why}", kind.name()),
        }
    }
    println!(
        "{} rounds, columns by turns, medians; scale {}; {} CPUs",
        options.rounds,
        options.scale,
        std::thread::available_parallelism().map_or(1, usize::from)
    );
    bench.throughput();
    if options.wants("start") {
        bench.start_and_memory();
    }
    bench.table.print();
}

struct Bench<'a> {
    options: &'a Options,
    folder: &'a Path,
    upstream: Upstream,
    table: Table,
    running: Vec<Proxy>,
}

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
        let (bulk, singles, alone, crowd, sends, big_sends) =
            (count(8), count(8000), count(600), count(1500), count(2000), count(12));
        let megabytes = |n: usize, each: usize| (n * each) as f64 / 1e6;
        self.scenario("bulk", "50 MB messages fetched", "MB/s", "CPU s/GB", 1e3, |doors| {
            let mut pop = Pop::sign_in(doors[0], "big");
            (0..bulk).for_each(|_| pop.fetch(1, &big));
            pop.quit();
            Done { amount: megabytes(bulk, mail::BIG), ..Done::default() }
        });
        self.scenario("small", "4 KB messages, one at a time", "messages/s", "CPU us each", 1e6, |doors| {
            let mut pop = Pop::sign_in(doors[0], "small");
            let times = (0..singles).map(|n| timed(|| pop.fetch(n, &small))).collect();
            pop.quit();
            Done { amount: singles as f64, times }
        });
        self.scenario("sessions", "sessions, 1 client", "sessions/s", "CPU us each", 1e6, |doors| {
            sessions(doors[0], alone, 1)
        });
        self.scenario("crowd", "sessions, 50 clients", "sessions/s", "CPU us each", 1e6, |doors| {
            sessions(doors[0], crowd, 50)
        });
        self.scenario("send", "4 KB sends in one session", "messages/s", "CPU us each", 1e6, |doors| {
            let mut smtp = Smtp::begin(doors[1], "small");
            let times = (0..sends).map(|n| timed(|| smtp.send("small", small.message(n)))).collect();
            smtp.quit();
            Done { amount: sends as f64, times }
        });
        let letter = mail::outgoing();
        self.scenario("big-send", "25 MB sends", "MB/s", "CPU s/GB", 1e3, |doors| {
            let mut smtp = Smtp::begin(doors[1], "big");
            (0..big_sends).for_each(|_| smtp.send("big", &letter));
            smtp.quit();
            Done { amount: megabytes(big_sends, mail::OUTGOING), ..Done::default() }
        });
    }

    /// Runs one scenario in every column, by turns, and adds its rows.
    fn scenario(
        &mut self,
        name: &str,
        title: &str,
        unit: &'static str,
        cpu_unit: &'static str,
        cpu_factor: f64,
        mut run: impl FnMut(&[SocketAddr; 2]) -> Done,
    ) {
        if !self.options.wants(name) {
            return;
        }
        let columns = self.running.len();
        let mut rate = Row::new(title, unit);
        let mut cpu = Row::new("", cpu_unit);
        let mut resumed = Row::new("", "% resumed");
        let mut slow = Row::new("", "p99 / median");
        let mut worst = Row::new("", "slowest, ms");
        for round in 0..self.options.rounds {
            for turn in 0..columns {
                let proxy = &self.running[(round + turn) % columns];
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

    /// A new process for each round: how soon it listens, what it holds then, and with 500 clients signed in.
    fn start_and_memory(&mut self) {
        let kinds: Vec<Kind> = self.running.iter().map(|proxy| proxy.kind).filter(|k| *k != Kind::Direct).collect();
        let mut soon = Row::new("start", "ms to listening");
        let mut empty = Row::new("memory at start", "MB PSS");
        let mut full = Row::new("with 500 idle sessions", "MB PSS");
        for round in 0..self.options.rounds {
            for turn in 0..kinds.len() {
                let kind = kinds[(round + turn) % kinds.len()];
                let Ok(proxy) = Proxy::start(kind, self.folder, &self.upstream.doors) else { continue };
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
