//! Fuzzes [`fuzzed::bearer`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::bearer(data));
