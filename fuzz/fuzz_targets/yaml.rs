//! Fuzzes [`fuzzed::yaml`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::yaml(data));
