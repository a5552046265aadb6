//! Fuzzes [`fuzzed::texts`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::texts(data));
