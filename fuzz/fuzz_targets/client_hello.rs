//! libFuzzer's way into the driver of the same name.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| turnkeep_fuzz::client_hello::run(input));
