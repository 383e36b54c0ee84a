//! The time of day jumps while ostler runs, as on a computer whose clock is set, or that has slept for a night.

use crate::support::client::{self, Client};
use crate::support::clock::Clock;
use crate::support::ostler::Home;
use crate::support::require;
use crate::support::running::Run;
use crate::{ANN, Site};

/// ostler that runs by this clock.
pub(crate) fn run_by(clock: &Clock, home: &Home) -> Run {
    let mut command = home.command(&["run", "-v"]);
    clock.hand(&mut command);
    Run::of(&mut command).ready()
}

#[test]
fn a_clock_that_is_set_and_a_night_of_sleep_cost_one_renewal_each_at_most() {
    require!("dovecot", "postfix", "keyring", "issuer", "faketime");
    let (site, mut home) = Site::signed_in();
    let clock = Clock::new();
    let mut run = run_by(&clock, &home);
    let mut renewals = 0;
    // An hour back, an hour ahead of that, a night later, and back again.
    for by in ["-3600", "+0", "+3600", "+28800", "+0"] {
        clock.jump(by);
        let mut pop = Client::greeted(home.pop3, "+OK");
        pop.ask(&format!("USER {ANN}"), "+OK");
        pop.ask("PASS x", "+OK");
        pop.ask("QUIT", "+OK");
        assert!(client::fetch(home.pop3, "home", "x").is_empty(), "{by}");
        let now = site.issuer.count("refresh_token 200");
        assert!(now - renewals <= 1, "{by}: {:?}", site.issuer.requests());
        renewals = now;
    }
    assert!(renewals > 0);
    assert_eq!(site.issuer.count("refresh_token 400"), 0, "{:?}", site.issuer.requests());
    site.keep_secret(&mut home);
    run.end_well();
}

#[test]
fn a_night_of_sleep_that_ends_without_a_network_ends_no_sign_in() {
    require!("dovecot", "postfix", "keyring", "issuer", "faketime");
    let (site, mut home) = Site::signed_in();
    let clock = Clock::new();
    let mut run = run_by(&clock, &home);
    clock.jump("+28800");
    site.issuer.fault(503, "<html>down</html>");
    let mut pop = Client::greeted(home.pop3, "+OK");
    pop.ask("USER home", "+OK");
    pop.ask("PASS x", "-ERR [SYS/TEMP]");
    assert!(client::fetch(home.pop3, "home", "x").is_empty());
    site.keep_secret(&mut home);
    run.end_well();
}
