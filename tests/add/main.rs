//! `ostler add`, by flags and at a terminal, with real servers, keyring and settings file.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod again;
mod finding;
mod flags;
mod gate;
mod import;
mod newcomer;
mod pop_off;
mod seeds;
mod terminal;

use support::ca::TestCa;
use support::dovecot::Dovecot;
use support::keyring::Keyring;
use support::ostler::Home;
use support::postfix::Postfix;
use support::unique;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

/// A provider that wants TLS and a password on both sides, and a person with a keyring and nothing set up.
struct Newcomer {
    dovecot: Dovecot,
    postfix: Postfix,
    password: String,
    home: Home,
    ca: TestCa,
    _keyring: Keyring,
}

impl Newcomer {
    fn start() -> Self {
        Self::with_user(ANN)
    }

    /// The mailbox's user name at the provider is this.
    fn with_user(user: &str) -> Self {
        let (ca, password) = (TestCa::new(), unique("pw"));
        let cert = ca.localhost();
        let dovecot = Dovecot::builder().user(user, &password).cert(cert.clone()).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        let keyring = Keyring::start();
        let mut home = Home::new(&ca, &[]).with_keyring(&keyring);
        home.keep_secret(&password);
        Self { dovecot, postfix, password, home, ca, _keyring: keyring }
    }

    fn pop3(&self) -> String {
        format!("tls://localhost:{}", self.dovecot.pop3s)
    }

    fn smtp(&self) -> String {
        format!("starttls://localhost:{}", self.postfix.submission)
    }

    /// `ostler add ann@example.org` with both servers, and more words.
    fn words<'a>(&'a self, pop3: &'a str, smtp: &'a str, ca: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let mut words = vec!["add", ANN, "--pop3", pop3, "--smtp", smtp, "--ca", ca];
        words.extend(more);
        words
    }
}
