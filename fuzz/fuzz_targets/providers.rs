#![no_main]

#[allow(dead_code)]
#[path = "../src/program.rs"]
mod program;

libfuzzer_sys::fuzz_target!(|data: &[u8]| program::providers(data));
