#![no_main]

#[path = "../../src/oracles/mod.rs"]
#[allow(dead_code)]
mod oracles;

libfuzzer_sys::fuzz_target!(|data: &[u8]| oracles::checkpoint::check(data));
