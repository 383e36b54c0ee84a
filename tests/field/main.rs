//! What users met in the field, one module a case: the built program in the situation, and what is right there.
//! `docs/field.md` has the rules.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod f01_rewritten_names;
mod f05_further_addresses;
mod f06_helpers_in_imports;
mod importing;
