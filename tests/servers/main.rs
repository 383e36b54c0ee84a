//! The built program between raw or real clients and real servers: Dovecot, Postfix and Exim on this machine.
//! `tests/run` installs what is missing; without it the tests that need it say so and are left out.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod ahead;
mod breakage;
mod clients;
mod fetching;
mod flights;
mod gate;
mod kept;
mod keyring;
mod over_imap;
mod pieces;
mod readable;
#[cfg(target_os = "linux")]
mod readers;
mod reading;
mod sending;
mod without_ostler;

use support::ca::TestCa;
use support::dovecot::Dovecot;
use support::ostler::{Account, Ostler, Server};
use support::postfix::Postfix;
use support::unique;

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.com";

/// A provider that wants TLS and a password on both sides, with one mailbox, and an account for it.
struct Site {
    ca: TestCa,
    dovecot: Dovecot,
    postfix: Postfix,
    password: String,
}

impl Site {
    fn start() -> Self {
        let (ca, password) = (TestCa::new(), unique("pw"));
        let cert = ca.localhost();
        let dovecot = Dovecot::builder().user(ANN, &password).cert(cert.clone()).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        Self { ca, dovecot, postfix, password }
    }

    /// Fetches by POP3 over TLS, sends by submission with STARTTLS.
    fn account(&self) -> Account {
        Account::new("home", ANN, &self.password)
            .pop3(Server::new("tls", self.dovecot.pop3s))
            .smtp(Server::new("starttls", self.postfix.submission))
    }

    fn ostler(&self) -> Ostler {
        Ostler::start(&self.ca, &[self.account()])
    }
}
