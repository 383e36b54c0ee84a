//! What users met in the field, one module a case: the built program in the situation, and what is right there.
//! `docs/field.md` has the rules.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod adding;
mod f01_rewritten_names;
mod f02_one_file_several_companies;
mod f03_odd_forms_of_stunnel;
mod f04_shared_servers_and_doors;
mod f05_further_addresses;
mod f06_helpers_in_imports;
mod f07_files_that_providers_hand_out;
mod importing;
