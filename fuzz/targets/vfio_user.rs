//! Fuzzes the messages of a vfio-user client; what is promised is in `tests/hostile/vfio_user.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::hostile::vfio_user(bytes);
});
