//! ostler lets old mail programs go on working with today's providers: it listens on this computer for plain
//! POP3, IMAP and SMTP, signs in at the provider over verified TLS with the stored credentials, and passes mail through.
//!
//! `docs/architecture.md` is the map of these modules.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod app;
pub mod cli;
pub mod config;
mod demo;
pub mod desktop;
pub mod diagnose;
pub mod events;
mod guide;
pub mod manual;
mod os;
pub mod proxy;
pub mod setup;
pub mod vault;
