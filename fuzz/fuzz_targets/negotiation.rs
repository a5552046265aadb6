//! Fuzzes [`fuzzed::negotiation`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::negotiation(data));
