//! The settings page as a person, an old browser and an attacker see it: the built program, a plain HTTP client, and a
//! real browser.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

#[path = "../support/mod.rs"]
mod support;

mod accessible;
mod adding;
mod attacks;
mod beginner;
mod chromium;
mod http;
mod live;
mod log;
mod manual;
mod oauth2;
mod old_browsers;
mod overview;
mod pictures;
mod settings;
mod tunnel;

use support::ca::TestCa;
use support::dovecot::Dovecot;
use support::keyring::Keyring;
use support::ostler::{Account, Home, Ostler};
use support::postfix::Postfix;
use support::process::said;
use support::unique;

const ANN: &str = "ann@example.org";

/// A home whose settings page is open, on any free port.
fn home(ca: &TestCa, accounts: &[Account]) -> Home {
    let home = Home::new(ca, accounts);
    home.write_settings(&home.settings().replace("page = false", "page = 0"));
    home
}

/// What `ostler settings --print` prints: the address with a token that nobody has used.
fn link(home: &Home) -> String {
    let output = home.ostler(&["settings", "--print"], "");
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    text.trim_end().to_owned()
}

/// A provider that wants TLS and a password on both sides, and a person with a keyring, a running ostler and nothing set up.
struct Newcomer {
    dovecot: Dovecot,
    postfix: Postfix,
    password: String,
    ostler: Ostler,
    _keyring: Keyring,
}

impl Newcomer {
    fn start() -> Self {
        Self::with(ANN, &unique("pw"))
    }

    /// The mailbox has this user name and password.
    fn with(user: &str, password: &str) -> Self {
        let (ca, password) = (TestCa::new(), password.to_owned());
        let cert = ca.localhost();
        let dovecot = Dovecot::builder().user(user, &password).cert(cert.clone()).start();
        let postfix = Postfix::builder().cert(cert).sasl(&dovecot).start();
        let keyring = Keyring::start();
        let mut home = home(&ca, &[]).with_keyring(&keyring);
        home.keep_secret(&password);
        home.write_settings(&format!("# mine\n{}", home.settings()));
        Self { dovecot, postfix, password, ostler: home.run(), _keyring: keyring }
    }

    fn pop3(&self) -> String {
        format!("tls://localhost:{}", self.dovecot.pop3s)
    }

    fn smtp(&self) -> String {
        format!("starttls://localhost:{}", self.postfix.submission)
    }

    fn ca(&self) -> String {
        self.ostler.home.ca_file().display().to_string()
    }
}
