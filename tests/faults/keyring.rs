//! The keyring: locked while a client waits, opened, gone, back.

use crate::played_provider::{ANN, Rig, greeted};
use crate::support::ca::TestCa;
use crate::support::client::Client;
use crate::support::keyring::Keyring;
use crate::support::ostler::{Account, Home, Server};
use crate::support::process::said;
use crate::support::running::{Hand, Run};
use crate::support::{require, unique, wait_for};

/// An ostler whose password is in this keyring.
fn rig(keyring: &Keyring) -> Rig {
    let (pop, smtp) = (Hand::new(), Hand::new());
    let account = Account::new("home", ANN, "").keyring();
    let account = account.pop3(Server::new("none", pop.port)).smtp(Server::new("none", smtp.port));
    let mut home = Home::new(&TestCa::new(), &[account]).with_keyring(keyring);
    let password = unique("pw");
    home.keep_secret(&password);
    let stored = home.ostler(&["password", "home", "--stdin"], &format!("{password}\n"));
    assert!(stored.status.success(), "{}", said(&stored));
    let run = Run::start(&home, &["-v"]).ready();
    Rig { run, home, pop, smtp }
}

/// Both doors say that it is the keyring and nobody's password; what the provider heard before is no sign-in.
fn refused(rig: &Rig) {
    rig.pop.drain();
    let mut pop = rig.pop3();
    pop.ask("USER home", "+OK");
    pop.say("PASS x");
    let mut early = rig.pop.pop3("USER");
    early.say("+OK");
    let refusal = pop.expect("-ERR [SYS/TEMP] ");
    assert!(refusal.contains("keyring"), "{refusal}");
    drop(pop);
    assert!(!String::from_utf8_lossy(&early.rest()).contains("PASS"));
    let mut smtp = rig.smtp();
    smtp.ask_reply("EHLO old-pc", "250");
    smtp.say(&format!("MAIL FROM:<{ANN}>"));
    let mut mta = rig.smtp.smtp("EHLO");
    mta.send("250-mx\r\n250 AUTH PLAIN\r\n");
    smtp.expect_reply("45");
    assert!(!mta.log().contains("S: AUTH"), "{}", mta.log());
}

#[test]
fn locked_while_a_client_waits_then_opened_then_gone_then_back() {
    require!("keyring");
    let mut keyring = Keyring::start();
    let mut rig = rig(&keyring);
    rig.honest();
    // Nothing is known from before.
    rig.run.end_well();
    keyring.start_locked();
    rig.start_again();
    refused(&rig);
    keyring.open(Keyring::PASSWORD);
    rig.honest();
    rig.run.end_well();
    keyring.close();
    rig.start_again();
    refused(&rig);
    keyring.open(Keyring::PASSWORD);
    rig.honest();
    // What was read is kept, so that a keyring that crashes later stops no mail.
    keyring.close();
    rig.honest();
    keyring.open(Keyring::PASSWORD);
    rig.honest();
    rig.run.end_well();
}

/// Signing in is what waits for a locked keyring; whoever needs no password is served meanwhile.
#[test]
fn a_keyring_that_asks_its_user_keeps_nobody_else_waiting() {
    require!("keyring");
    let mut keyring = Keyring::start();
    let mut rig = rig(&keyring);
    rig.run.end_well();
    keyring.start_locked();
    rig.start_again();
    let mut waiting: Vec<Client> = (0..20)
        .map(|_| {
            let mut pop = rig.pop3();
            pop.ask("USER home", "+OK");
            pop.say("PASS x");
            pop
        })
        .collect();
    let mut other = greeted(crate::played_provider::connect(rig.home.smtp), "220 ");
    other.ask_reply("EHLO old-pc", "250");
    let status = rig.home.ostler(&["status", "--json"], "");
    assert!(status.status.success());
    rig.pop.drain();
    for pop in &mut waiting {
        assert!(pop.line().is_some_and(|line| line.starts_with("-ERR [SYS/TEMP] ")));
    }
    drop(waiting);
    keyring.open(Keyring::PASSWORD);
    wait_for("an honest session", || {
        rig.honest();
        Some(())
    });
    rig.run.end_well();
}
