#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| ostler_fuzz::imap_login(data));
