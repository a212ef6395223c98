//! Fuzzes scenario and replay files; what is promised is in `tests/hostile/scenario.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::hostile::scenario(bytes);
});
