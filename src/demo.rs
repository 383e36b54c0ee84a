//! `ostler demo`: a provider made for it, old mail programs, and ostler's real engine between them, all on this
//! computer. Nothing of it is used outside the demo; no network, no keyring, no file.

mod authority;
mod mailroom;
mod pop;
mod provider;
mod smtp;
mod spoken;
mod text;

pub use mailroom::{ADDRESS, FOREIGN, USER};
