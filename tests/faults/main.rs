//! Faults of the world around ostler: the network, names, the keyring, disks, clocks, a process that is stopped or killed,
//! descriptors. Each test does one thing to an ostler in the middle of its work, undoes it, and then the same ostler
//! (after a kill: the next one) serves an honest fetch and an honest send. Mail is never lost or doubled, and nothing is
//! deleted but by a client's QUIT. Peers that misbehave are `tests/hostile/`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

/// A browser for the settings page; not all of what it can do is needed here.
#[cfg(feature = "web")]
#[allow(dead_code)]
#[path = "../page/http.rs"]
mod http;

mod clients;
mod clocks;
mod descriptors;
mod disks;
mod flights;
mod keyring;
mod killed;
mod names;
mod network;
mod played_provider;
mod reading;
mod reading_network;
mod secrets;
mod suspended;

/// The address of the settings page, with a word that lets one browser in.
#[cfg(feature = "web")]
fn link(home: &support::ostler::Home) -> String {
    let output = home.ostler(&["settings", "--print"], "");
    assert!(output.status.success(), "{}", support::process::said(&output));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}
