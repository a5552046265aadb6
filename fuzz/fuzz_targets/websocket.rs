//! Fuzzes [`fuzzed::websocket`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzzed::websocket(data));
