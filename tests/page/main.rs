//! The settings page as a person, an old browser and an attacker see it: the built program, a plain HTTP client, and a
//! real browser.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod attacks;
mod http;
mod overview;

use support::ca::TestCa;
use support::keyring::Keyring;
use support::ostler::{Account, Home};
use support::process::said;

/// A home whose settings page is open, on any free port.
fn home(ca: &TestCa, accounts: &[Account]) -> Home {
    let home = Home::new(ca, accounts);
    home.write_settings(&home.settings().replace("page = false", "page = 0"));
    home
}

/// The same with a keyring.
#[allow(dead_code)]
fn home_with_keyring(ca: &TestCa, accounts: &[Account], keyring: &Keyring) -> Home {
    home(ca, accounts).with_keyring(keyring)
}

/// What `ostler settings --print` prints: the address with a token that nobody has used.
fn link(home: &Home) -> String {
    let output = home.ostler(&["settings", "--print"], "");
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text}");
    text.trim_end().to_owned()
}
