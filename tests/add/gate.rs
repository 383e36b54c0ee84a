//! POP before SMTP, found out by itself.

use crate::support::ca::TestCa;
use crate::support::client;
use crate::support::gate::{Gate, Rules};
use crate::support::keyring::Keyring;
use crate::support::ostler::Home;
use crate::support::process::said;
use crate::support::{mail, require, unique};
use crate::{ANN, BOB};

/// A host with a gate, and a person with a mailbox there, a keyring and nothing set up.
struct SmallHost {
    gate: Gate,
    home: Home,
    password: String,
    _keyring: Keyring,
}

impl SmallHost {
    fn start() -> Self {
        let (ca, password, keyring) = (TestCa::new(), unique("pw"), Keyring::start());
        let gate = Gate::start(Rules::default(), &ca.localhost(), &[(ANN, &password)]);
        let mut home = Home::new(&ca, &[]).with_keyring(&keyring);
        home.keep_secret(&password);
        Self { gate, home, password, _keyring: keyring }
    }

    /// What `ostler add` said; it has to go well, and to find the gate.
    fn add(&self) -> String {
        let pop3 = format!("tls://localhost:{}", self.gate.dovecot.pop3s);
        let smtp = format!("starttls://localhost:{}", self.gate.smtp());
        let ca = self.home.ca_file();
        let words = ["add", ANN, "--pop3", &pop3, "--smtp", &smtp, "--ca", ca.to_str().unwrap(), "--password-stdin"];
        let added = self.home.ostler(&words, &format!("{}\n", self.password));
        assert!(added.status.success(), "{}", said(&added));
        assert!(self.home.settings().contains("auth = \"pop-before-smtp\""), "{}", self.home.settings());
        said(&added)
    }
}

#[test]
fn a_gate_is_found_out_and_switched_on() {
    require!("dovecot", "postfix", "keyring");
    let host = SmallHost::start();
    let said = host.add();
    assert!(said.contains("wants a POP login before each send. ostler will make it"), "{said}");
    assert!(host.gate.refusals() > 0, "it was seen to be shut");
    assert!(host.gate.deliveries().is_empty(), "nothing is sent to find out");
    host.gate.forget();
    let SmallHost { gate, home, _keyring, .. } = host;
    let ostler = home.run();
    client::send(ostler.smtp, ANN, &[BOB], &mail::tricky("gate"));
    assert_eq!(gate.deliveries().len(), 1);
}

#[test]
fn a_gate_that_is_open_just_now_is_not_taken_for_an_open_relay() {
    require!("dovecot", "postfix", "keyring");
    let host = SmallHost::start();
    // Another program of the person's has just fetched.
    client::fetch(host.gate.dovecot.pop3, ANN, &host.password);
    host.add();
}
