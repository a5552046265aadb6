//! Fuzzes [`fuzzed::schemas`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::schemas(data));
