//! The three acts of a mail connection without sockets: hear the client, sign in at the provider, pass octets.
//!
//! Each act is a machine that takes lines or octets and says what to do. This crate knows no socket, no runtime and no
//! clock; its manifest and `clippy.toml` see to it. Time comes in as a [`clock::Moment`].
//!
//! Not here: connections, TLS, settings files, passwords' places, the desktop: the program `ostler` has them.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod account;
pub mod charset;
pub mod choose;
pub mod client_fault;
pub mod clock;
pub mod command;
pub mod failure;
pub mod idn;
pub mod imap;
pub mod machine;
pub mod maildrop;
mod mime;
pub mod neighbours;
pub mod oauth2;
pub mod pop3;
pub mod pop_before_smtp;
pub mod progress;
pub mod proxy_header;
pub mod readable;
pub mod sasl;
pub mod secret;
pub mod smtp;
pub mod wire;
pub mod words;
