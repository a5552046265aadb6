//! Fuzzes [`fuzzed::proxied`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::proxied(data));
