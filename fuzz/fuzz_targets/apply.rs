//! Fuzzes [`fuzzed::apply`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::apply(data));
