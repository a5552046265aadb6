//! Fuzzes [`fuzzed::ways`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::ways(data));
