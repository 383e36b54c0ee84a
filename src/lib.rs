//! ostler lets old mail programs go on working with today's providers: it listens on this computer for plain
//! POP3 and SMTP, signs in at the provider over verified TLS with the stored credentials, and passes mail through.
//!
//! `docs/architecture.md` is the map of these modules.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod account;
pub mod app;
pub mod choose;
pub mod cli;
pub mod command;
pub mod config;
pub mod demo;
pub mod desktop;
pub mod diagnose;
pub mod endpoint;
pub mod events;
pub mod failure;
pub mod gate;
pub mod guide;
pub mod os;
pub mod pop3;
pub mod progress;
pub mod protocol;
pub mod proxy;
pub mod sasl;
pub mod secret;
pub mod setup;
pub mod smtp;
pub mod vault;
pub mod wire;
