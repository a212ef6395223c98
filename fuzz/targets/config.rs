//! Fuzzes any access to configuration space; what is promised is in `tests/hostile/config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::hostile::config(bytes);
});
