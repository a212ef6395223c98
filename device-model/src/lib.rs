//! The card: a descriptor-ring crypto engine on PCIe, as a pure state machine.
//!
//! No I/O, no threads, no clock, no randomness. Time comes in as `now`; memory and interrupts are
//! reached through [`Host`] (seam 3); what the card will do next is its [deadline](Card::deadline).

mod host;
mod profile;

pub use host::{CardEvent, DmaFault, Host};
pub use profile::{EngineGroup, Engines, LinkTiming, Profile, ProfileError, Rate};
