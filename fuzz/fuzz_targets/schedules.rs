//! Fuzzes [`fuzzed::schedules`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::schedules(data));
