//! Fuzzes [`fuzzed::impersonation`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::impersonation(data));
