//! Fuzzes [`fuzzed::fields`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::fields(data));
