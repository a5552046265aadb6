//! Fuzzes [`fuzzed::reviews`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::reviews(data));
