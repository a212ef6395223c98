//! Fuzzes any bus traffic around a card; what is promised is in `tests/hostile/card.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::hostile::card(bytes);
});
