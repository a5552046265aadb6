//! Fuzzes [`fuzzed::questions`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::questions(data));
