//! Fuzzes [`fuzzed::issuers`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::issuers(data));
