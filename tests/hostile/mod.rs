//! Hostile bytes as a story: one function for each edge that takes what it does not trust.
//!
//! Each target reads any bytes at all, does what they say to the part under test, and panics if a
//! promise is broken. `tests/hostile_bytes.rs` runs them over the kept corpus and over seeded
//! random bytes; the package in `fuzz/` gives the same functions to libFuzzer.

mod bytes;
mod card;
mod config;
mod scenario;
mod snapshot;
mod vfio_user;
mod virtio;

pub use bytes::Story;
pub use card::card;
pub use config::config;
pub use scenario::scenario;
pub use snapshot::snapshot;
pub use vfio_user::vfio_user;
pub use virtio::virtio;

/// A function that takes hostile bytes, and counts how far they came: commands completed, accesses
/// made.
pub type Target = fn(&[u8]) -> u64;

/// Every target by the name of its folder of the corpus.
pub const TARGETS: [(&str, Target); 6] = [
    ("card", card),
    ("config", config),
    ("scenario", scenario),
    ("snapshot", snapshot),
    ("vfio_user", vfio_user),
    ("virtio", virtio),
];
