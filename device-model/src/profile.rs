//! A device profile: every number of the timing model, and the sizes of the card.
//!
//! Plain data; a profile file is parsed elsewhere.

use timebase::Span;

/// The link between host and card, one bandwidth for each direction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinkTiming {
    /// From one end to the other.
    pub latency: Span,
    /// Payload and headers, bytes per second, each direction.
    pub bytes_per_second: u64,
    /// Largest payload of one write packet, in bytes.
    pub max_payload: u32,
    /// Header and framing of each packet, in bytes.
    pub packet_overhead: u32,
}

/// What a unit of work costs an engine lane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// Cycles for each request, whatever its size.
    pub startup_cycles: u32,
    /// Thousandths of a cycle for each byte.
    pub millicycles_per_byte: u32,
}

/// A group of equal engine lanes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineGroup {
    /// Lanes that work side by side, 1 to 64.
    pub lanes: u8,
    /// Clock of the lanes in hertz.
    pub clock_hz: u64,
    /// What work costs.
    pub rate: Rate,
}

/// The engine groups of a card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Engines {
    /// Ciphers without a digest.
    pub cipher: EngineGroup,
    /// Digests without a cipher.
    pub digest: EngineGroup,
    /// AEAD and encrypt-then-authenticate.
    pub combined: EngineGroup,
}

/// A device profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Name for people.
    pub name: String,
    /// Data ring pairs, 1 to 64.
    pub ring_pairs: u16,
    /// Sessions the context table holds.
    pub session_capacity: u32,
    /// Contexts the cache holds.
    pub context_cache_entries: u32,
    /// Context found in the cache.
    pub context_hit: Span,
    /// Context brought from the table.
    pub context_miss: Span,
    /// Most commands of one descriptor fetch.
    pub fetch_burst: u32,
    /// Handling of one command between fetch and engine.
    pub command_overhead: Span,
    /// The link.
    pub link: LinkTiming,
    /// The engines.
    pub engines: Engines,
    /// From the end of a write-back to the interrupt message.
    pub interrupt_delay: Span,
    /// From a reset until the card is ready.
    pub reset_time: Span,
}

/// Why a profile describes no card.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("profile {profile}: {field} is {value}, expected {expected}")]
pub struct ProfileError {
    /// Name of the profile.
    pub profile: String,
    /// Which number.
    pub field: &'static str,
    /// What it is.
    pub value: String,
    /// What it should be.
    pub expected: &'static str,
}
