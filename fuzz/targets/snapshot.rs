//! Fuzzes snapshots of a card; what is promised is in `tests/hostile/snapshot.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::hostile::snapshot(bytes);
});
