//! Fuzzes [`fuzzed::stored`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::stored(data));
