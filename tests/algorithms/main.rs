//! Card and software driver give the same bytes for every algorithm that both have.
//!
//! They share no library where there are two, so a mistake would have to be made twice. The engine
//! alone is gone through at many lengths, the whole way at the ends of each. Which vectors each of
//! them is held against stands with its own tests.

mod engine;
mod whole_way;

use framework::Key;

/// Bytes that differ by `seed`.
fn bytes(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 37 + seed * 11 + 5) as u8).collect()
}

/// A key that differs by `seed`, none of no length.
fn key(seed: usize, len: usize) -> Option<Key> {
    (len != 0).then(|| Key::new(&bytes(seed, len)))
}
