//! Fuzzes the requests of a virtio crypto device; what is promised is in `tests/hostile/virtio.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    tests::hostile::virtio(bytes);
});
