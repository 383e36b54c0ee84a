//! Providers and clients that misbehave, each by name, at the built program; after each the same process has to serve an
//! honest session. `provider/` and `client/` hold the named cases, the sweeps do one thing at every point of a session,
//! `crowd` counts memory and time where many or much comes. `mutants/` breaks ostler on purpose to see them fail.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, unreachable_pub)]

#[path = "../support/mod.rs"]
mod support;

mod client;
mod crowd;
mod every_point;
mod fetching;
mod honest;
mod leaving;
mod provider;
mod reading;
mod recorder;
mod runner;
mod sending;
