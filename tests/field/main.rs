//! What users met in the field, one module a case: the built program in the situation, and what is right there.
//! `docs/field.md` has the rules.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod f06_a_helpers_own_certificate;
mod f06_adding_a_helper;
mod f15_a_missing_link;
