//! A thousand clients that do nothing and fifty that drip, and the next client is served as if they were not there.

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::Needs;
use crate::connection::Talk;
use crate::provider::Provider;
use crate::support::ca::TestCa;
use crate::support::ostler::{Account, Home, Ostler, Server};
use crate::support::{unique, wait_for};

const IDLE: usize = 1_000;
const DRIPPING: usize = 50;
/// What they may cost together, in KiB; the bound of the promises.
const MEMORY: u64 = 64 * 1024;

/// A fetch and a send; how long they took.
fn honest(ostler: &Ostler) -> Duration {
    let began = Instant::now();
    let mut pop = Talk::to(ostler.pop3);
    pop.line().unwrap();
    pop.ask("USER home", "+OK").unwrap();
    pop.ask("PASS x", "+OK").unwrap();
    pop.ask("STAT", "+OK").unwrap();
    pop.ask("QUIT", "+OK").unwrap();
    let mut smtp = Talk::to(ostler.smtp);
    smtp.reply().unwrap();
    smtp.ask("EHLO old-pc", "250").unwrap();
    smtp.ask("MAIL FROM:<ann@example.org>", "250").unwrap();
    smtp.ask("RCPT TO:<bob@example.com>", "250").unwrap();
    smtp.ask("DATA", "354").unwrap();
    smtp.send(&[crate::messages::letter(2).as_slice(), b".\r\n"].concat()).unwrap();
    assert_eq!(smtp.reply().unwrap(), "250 queued");
    smtp.ask("QUIT", "221").unwrap();
    began.elapsed()
}

/// The middle one of many.
fn usual(ostler: &Ostler) -> (Duration, Duration) {
    let mut times: Vec<Duration> = (0..60).map(|_| honest(ostler)).collect();
    times.sort_unstable();
    (times[times.len() / 2], times[times.len() - 1])
}

#[test]
fn a_thousand_idle_and_fifty_dripping_clients_slow_nobody_down() {
    // A connection each, in this process and in ostler, which sees to its own limit.
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let ca = TestCa::new();
    let provider = Provider::start(&ca.localhost());
    let account = Account::new("home", "ann@example.org", &unique("pw"))
        .pop3(Server::new("none", provider.pop3))
        .smtp(Server::new("none", provider.smtp));
    let ostler = Home::new(&ca, &[account]).run();
    let alone = usual(&ostler);
    let before = Needs::of(ostler.id());
    let idle: Vec<Talk> = (0..IDLE)
        .map(|number| {
            let mut talk = Talk::to(if number.is_multiple_of(2) { ostler.pop3 } else { ostler.smtp });
            let greeting = talk.line().unwrap();
            assert!(greeting.starts_with("+OK") || greeting.starts_with("220"), "client {number}: {greeting}");
            talk
        })
        .collect();
    let mut dripping: Vec<TcpStream> = (0..DRIPPING)
        .map(|number| {
            let port = if number.is_multiple_of(2) { ostler.pop3 } else { ostler.smtp };
            TcpStream::connect(("127.0.0.1", port)).unwrap()
        })
        .collect();
    let stop = Arc::new(AtomicBool::new(false));
    let drip = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            // Lines that are never finished, an octet at a time.
            while !stop.load(Ordering::Relaxed) {
                for stream in &mut dripping {
                    let _ = stream.write_all(b"N");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    });
    let beside = usual(&ostler);
    let crowd = Needs::of(ostler.id());
    println!("crowd: alone {alone:?} (middle, longest); beside {IDLE} idle and {DRIPPING} dripping {beside:?}");
    println!("crowd: before {before}; with all of them {crowd}");
    stop.store(true, Ordering::Relaxed);
    drip.join().unwrap();
    drop(idle);
    wait_for("their descriptors to come back", || {
        (Needs::of(ostler.id()).descriptors <= before.descriptors + 4).then_some(())
    });
    println!("crowd: afterwards {}", Needs::of(ostler.id()));
    assert!(crowd.now < before.now + MEMORY, "{before}, with the crowd {crowd}");
    assert!(beside.0 < alone.0 * 4 + Duration::from_millis(50), "{alone:?} alone, {beside:?} beside the crowd");
}
