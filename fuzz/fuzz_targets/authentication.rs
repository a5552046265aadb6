//! Fuzzes [`fuzzed::authentication`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::authentication(data));
