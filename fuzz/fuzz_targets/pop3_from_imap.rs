#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ostler_fuzz::pop3_from_imap(data));
