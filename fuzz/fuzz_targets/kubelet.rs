//! Fuzzes [`fuzzed::kubelet`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::kubelet(data));
