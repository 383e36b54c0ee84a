//! The built program between raw or real clients and real servers: Dovecot, Postfix and Exim on this machine.
//! `tests/run` installs what is missing; without it the tests that need it say so and are left out.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod rig;
