//! Fuzzes [`fuzzed::encryption`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::encryption(data));
