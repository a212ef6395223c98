//! The card: a descriptor-ring crypto engine on PCIe, as a pure state machine.
//!
//! No I/O, no threads, no clock, no chance: its random numbers follow from a seed that it is made
//! with. Time comes in as `now`; memory and interrupts are
//! reached through [`Host`] (seam 3); what the card will do next is its [deadline](Card::deadline).
//!
//! What comes over the bus is not trusted: registers, descriptors, segment lists and session blocks
//! end in a status or a stopped ring, never in a panic, an endless loop or memory without bound.

mod card;
pub mod engine;
mod fault;
mod function;
mod host;
mod interrupt;
mod native;
pub mod pci;
mod profile;
mod provisioning;
mod snapshot;
mod stats;
mod timing;
pub mod virtio;

pub use card::Card;
pub use fault::{Latch, STRAY_ADDR};
pub use host::{CardEvent, DmaFault, FaultKind, Host};
pub use native::MAX_PAYLOAD;
pub use profile::{
    EngineGroup, Engines, EntropySource, Firmware, LinkTiming, Profile, ProfileError,
    PublicKeyEngine, Rate, Rounds,
};
pub use provisioning::Provisioning;
pub use snapshot::SnapshotError;
pub use stats::{CardStats, Endings, GroupStats, RingOccupancy};
pub use timing::LinkBacklog;
