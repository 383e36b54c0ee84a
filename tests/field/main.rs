//! What users met: a module for each case, named after it, as `docs/field.md` lists them. The built program, and providers
//! that say what those of the users said.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod answering;
mod f08_letters_in_addresses;
mod f10_blanks_in_passwords;
mod f11_letters_in_passwords;
