//! The time of day jumps an hour either way: by `libfaketime`, which reads it from a file and leaves the other clocks alone.

use crate::played_provider::{ANN, Rig, gated, logs_in};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::clock::Clock;
use crate::support::ostler::{Account, Home, Server};
use crate::support::provider::{Provider, expect, say};
use crate::support::running::Run;
use crate::support::{require, unique};

#[test]
fn a_login_holds_as_long_as_it_is_young_whatever_the_time_of_day() {
    require!("faketime");
    let clock = Clock::new();
    let mut rig = gated("10m", |command| clock.hand(command));
    assert!(logs_in(&rig));
    for by in ["+3600", "-3600", "+0"] {
        clock.jump(by);
        assert!(!logs_in(&rig), "{by}");
    }
    rig.run.end_well();
}

#[test]
fn sessions_go_on_through_a_jump_and_no_limit_is_met_early_or_never() {
    require!("faketime");
    let clock = Clock::new();
    let limits = "\n[timeouts]\nidle = \"10m\"\nreply = \"1s\"\n";
    let mut rig = Rig::with(limits, |command| clock.hand(command));
    let (mut pop, mut server) = rig.signed_in();
    let (mut smtp, mut mta) = rig.in_data();
    for by in ["+3600", "-3600"] {
        clock.jump(by);
        pop.say("STAT");
        crate::support::running::answer_pop3(&mut server, "STAT");
        server.say("+OK 1 20");
        pop.expect("+OK 1 20");
        smtp.send(format!("X-Jump: {by}\r\n"));
        mta.expect("X-Jump");
        rig.honest();
    }
    smtp.send("\r\n.\r\n");
    mta.expect("");
    mta.expect(".");
    mta.say("250 2.0.0 queued");
    smtp.expect_reply("250");
    // And the limits that there are, are kept.
    pop.say("STAT");
    pop.expect("-ERR");
    rig.run.end_well();
}

#[test]
fn certificates_go_by_the_time_of_day() {
    require!("faketime");
    let (clock, ca) = (Clock::new(), TestCa::new());
    let part = vec![
        say("+OK ready"),
        expect("USER"),
        say("+OK"),
        expect("PASS"),
        say("+OK in"),
        expect("QUIT"),
        say("+OK bye"),
    ];
    let server = Provider::start_tls(&ca.for_this_hour(), vec![part; 9]);
    let account = Account::new("home", ANN, &unique("pw")).pop3(Server::new("tls", server.port));
    let home = Home::new(&ca, &[account]);
    for by in ["+3600", "-3600"] {
        // A new one each time: a server that was verified before is known by its TLS session for a while.
        let mut command = home.command(&["run", "-v"]);
        clock.hand(&mut command);
        let mut run = Run::of(&mut command).ready();
        clock.jump(by);
        let mut client = Client::greeted(home.pop3, "+OK");
        client.ask("USER home", "+OK");
        // Nobody's password, and it names what to look at.
        let said = client.ask("PASS x", "-ERR [SYS/TEMP] ");
        assert!(said.contains("certificate") && said.contains("date"), "{by}: {said}");
        clock.jump("+0");
        client.ask("USER home", "+OK");
        client.ask("PASS x", "+OK in");
        client.ask("QUIT", "+OK bye");
        run.end_well();
    }
}
