//! Fuzzes [`fuzzed::manifests`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::manifests(data));
