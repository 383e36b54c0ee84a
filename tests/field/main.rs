//! What users of old mail programs met, case by case: one module a case, and its kind in other forms. `docs/field.md` has the
//! rules.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/mod.rs"]
mod support;

mod adding;
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "a test for Linux only uses it"))]
mod answering;
mod f01_rewritten_names;
mod f02_one_file_several_companies;
mod f03_odd_forms_of_stunnel;
mod f04_shared_servers_and_doors;
mod f05_further_addresses;
mod f06_a_helpers_own_certificate;
mod f06_adding_a_helper;
mod f06_helpers_in_imports;
mod f07_files_that_providers_hand_out;
mod f08_letters_in_addresses;
mod f09_offered_and_refused;
#[cfg(target_os = "linux")]
mod f10_blanks_in_passwords;
#[cfg(target_os = "linux")]
mod f11_letters_at_the_provider;
mod f11_letters_in_passwords;
mod f12_hung_up_on_a_password;
mod f13_explained;
mod f14_message_ids;
mod f15_a_missing_link;
mod f16_after_451_at_mail;
mod good_at_servers;
mod good_to_clients;
mod importing;
mod nul_and_no_name;
mod sign_in;
