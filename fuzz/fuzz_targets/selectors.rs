//! Fuzzes [`fuzzed::selectors`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::selectors(data));
