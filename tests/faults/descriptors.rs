//! No descriptors are left, and then there are again.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::played_provider::{ANN, Rig};
use crate::support::process::{command, run_well};
use crate::support::{require, wait_for};

fn open_descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

fn limit(pid: u32, count: usize) {
    run_well(&mut command("prlimit", ["--pid", &pid.to_string(), &format!("--nofile={count}:")]), "");
}

/// What it has worked so far, in hundredths of a second (`/proc/PID/stat`, fields 14 and 15).
fn worked(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let words: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    words[11].parse::<u64>().unwrap() + words[12].parse::<u64>().unwrap()
}

#[test]
fn without_descriptors_for_providers_clients_are_told_so() {
    require!("prlimit");
    let mut rig = Rig::start();
    rig.honest();
    let (mut pop, mut smtp) = (rig.pop3(), rig.smtp());
    smtp.ask_reply("EHLO old-pc", "250");
    rig.smtp.drain();
    let pid = rig.run.id();
    wait_for("the early connections to go", || {
        limit(pid, open_descriptors(pid));
        pop.ask("USER home", "+OK");
        pop.say("PASS x");
        // A connection that was there already may serve once more.
        rig.pop.drain();
        pop.line().filter(|line| line.starts_with("-ERR [SYS/TEMP] "))
    });
    let mut another = smtp;
    another.ask_reply(&format!("MAIL FROM:<{ANN}>"), "451 ");
    limit(pid, 1000);
    rig.pop.drain();
    drop((pop, another));
    rig.honest();
    rig.run.end_well();
}

#[test]
fn without_descriptors_for_clients_it_neither_spins_nor_ends_and_serves_them_later() {
    require!("prlimit");
    let mut rig = Rig::start();
    rig.honest();
    let pid = rig.run.id();
    limit(pid, open_descriptors(pid));
    let waiting: Vec<TcpStream> = (0..30)
        .flat_map(|_| [rig.home.pop3, rig.home.smtp])
        .map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap())
        .collect();
    let (began, before) = (Instant::now(), worked(pid));
    rig.run.err.wait("no client can be taken in");
    // Its control socket is in the same trouble.
    let mut asks = rig.home.command(&["status", "--json"]);
    asks.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let asking = crate::support::process::Process::start("ostler status", &mut asks);
    wait_for("some time", || (began.elapsed() >= Duration::from_secs(3)).then_some(()));
    let (passed, worked) = (began.elapsed(), Duration::from_millis(10 * (worked(pid) - before)));
    assert!(worked * 4 < passed, "it worked {worked:?} of {passed:?}");
    let lines = rig.run.err.text().lines().filter(|line| line.contains("no client can be taken in")).count();
    assert!(lines < 10, "the log is flooded: {lines} lines");
    limit(pid, 1000);
    drop(asking);
    for stream in waiting {
        let mut client = crate::support::client::Client::over(stream);
        let greeting = client.line().expect("a greeting");
        assert!(greeting.starts_with("+OK") || greeting.starts_with("220 "), "{greeting}");
    }
    rig.honest();
    assert!(rig.home.ostler(&["status", "--json"], "").status.success());
    wait_for("its descriptors to be given back", || (open_descriptors(pid) < 40).then_some(()));
    rig.run.end_well();
}
