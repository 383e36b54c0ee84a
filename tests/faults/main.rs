//! Faults of the world around ostler: the network, names, the keyring, disks, clocks, a process that is stopped or killed,
//! descriptors. Each test does one thing to an ostler in the middle of its work, undoes it, and then the same ostler
//! (after a kill: the next one) serves an honest fetch and an honest send. Mail is never lost or doubled, and nothing is
//! deleted but by a client's QUIT. Peers that misbehave are `tests/hostile.rs`.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod clients;
mod clocks;
mod descriptors;
mod disks;
mod keyring;
mod killed;
mod names;
mod network;
mod rig;
mod secrets;
mod suspended;
