//! Fuzzes [`fuzzed::audits`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::audits(data));
