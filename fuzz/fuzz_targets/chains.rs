//! Fuzzes [`fuzzed::chains`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::chains(data));
