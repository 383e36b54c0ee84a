//! POP before SMTP, found out by itself.

use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::gate::{Gate, Rules};
use crate::support::keyring::Keyring;
use crate::support::ostler::Home;
use crate::support::process::said;
use crate::support::{mail, require, unique};
use crate::{ANN, BOB};

#[test]
fn a_gate_is_found_out_and_switched_on() {
    require!("dovecot", "postfix", "keyring");
    let (ca, password, keyring) = (TestCa::new(), unique("pw"), Keyring::start());
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &password)]);
    let mut home = Home::new(&ca, &[]).with_keyring(&keyring);
    home.keep_secret(&password);
    let (pop3, smtp) =
        (format!("tls://localhost:{}", gate.dovecot.pop3s), format!("starttls://localhost:{}", gate.smtp()));
    let authority = home.ca_file();
    let words = ["add", ANN, "--pop3", &pop3, "--smtp", &smtp, "--ca", authority.to_str().unwrap(), "--password-stdin"];
    let added = home.ostler(&words, &format!("{password}\n"));
    assert!(added.status.success(), "{}", said(&added));
    assert!(said(&added).contains("wants a POP login before each send; switched on"), "{}", said(&added));
    assert!(home.settings().contains("auth = \"pop-before-smtp\""), "{}", home.settings());
    assert!(gate.refusals() > 0, "it was seen to be shut");
    assert!(gate.deliveries().is_empty(), "nothing is sent to find out");
    gate.forget();
    let ostler = home.run();
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("gate"));
    assert_eq!(gate.deliveries().len(), 1);
}

#[test]
fn a_gate_that_is_open_just_now_is_not_taken_for_an_open_relay() {
    require!("dovecot", "postfix", "keyring");
    let (ca, password, keyring) = (TestCa::new(), unique("pw"), Keyring::start());
    let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &password)]);
    let mut home = Home::new(&ca, &[]).with_keyring(&keyring);
    home.keep_secret(&password);
    // Another program of the person's has just fetched.
    client::fetch(gate.dovecot.pop3, ANN, &password);
    let (pop3, smtp) =
        (format!("tls://localhost:{}", gate.dovecot.pop3s), format!("starttls://localhost:{}", gate.smtp()));
    let authority = home.ca_file();
    let words = ["add", ANN, "--pop3", &pop3, "--smtp", &smtp, "--ca", authority.to_str().unwrap(), "--password-stdin"];
    let added = home.ostler(&words, &format!("{password}\n"));
    assert!(added.status.success(), "{}", said(&added));
    assert!(home.settings().contains("auth = \"pop-before-smtp\""), "{}", home.settings());
}
