//! Fuzzes [`fuzzed::expressions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::expressions(data));
