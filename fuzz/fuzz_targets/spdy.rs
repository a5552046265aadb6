//! Fuzzes [`fuzzed::spdy`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::spdy(data));
