//! A scenario: what is in the machine, what is asked of it, what goes wrong, what must hold.
//!
//! Plain data. `parse` reads it from a TOML file; the world runs it.

pub(crate) mod builtin;
pub(crate) mod diagnostic;
pub(crate) mod parse;
pub(crate) mod profile;
pub(crate) mod reader;
mod suite;
mod write;

use device_model::Profile;

use crate::rule::Rule;
use timebase::{Span, Time};

pub use builtin::builtins;
pub(crate) use builtin::read_text;
pub use diagnostic::{Diagnostic, ScenarioError};
pub use profile::{builtin_profile, builtin_profiles, profile_from_toml};
pub use suite::UnknownSuite;
pub(crate) use write::quoted;

/// A whole scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// Name, as on the command line.
    pub name: String,
    /// One or two sentences for `ringside list`.
    pub description: String,
    /// Size of the DMA pool, in bytes.
    pub pool_len: usize,
    /// The cards, in slot order.
    pub cards: Vec<CardSpec>,
    /// Whether the software driver is registered too.
    pub software: bool,
    /// Whether cards leave the work out and only take its time; no result is made or checked.
    pub timing_only: bool,
    /// Who asks for what.
    pub workload: Workload,
    /// What goes wrong, and when.
    pub faults: Vec<FaultSpec>,
    /// What must have happened for the run to pass, besides the checkers.
    pub expect: Vec<Expectation>,
    /// Liveness: after the last fault and the last dispatch everything must drain within this time.
    pub drain_within: Span,
    /// Smallest and largest extra delay of an interrupt on its way to the driver; drawn from the
    /// seed.
    pub interrupt_jitter: (Span, Span),
    /// Largest extra delay of a register write on its way to a card; drawn from the seed, order
    /// kept.
    pub write_jitter: Span,
}

/// One card and the slot it sits in.
#[derive(Clone, Debug, PartialEq)]
pub struct CardSpec {
    /// Name of the slot, such as `card0`.
    pub name: String,
    /// Device profile.
    pub profile: Profile,
    /// Entries of each ring; one slot stays empty.
    pub ring_entries: u32,
    /// Completions that send an interrupt at once.
    pub coalesce_count: u32,
    /// When a completion sends an interrupt whatever the count.
    pub coalesce_timer: Span,
    /// The driver calls a card stuck after this long without progress.
    pub watchdog: Span,
    /// Whether the card is in its slot when the run begins.
    pub present: bool,
    /// Errata of the card that the driver does not work around.
    pub ignore_errata: regs::Errata,
}

/// Who asks for what.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// Number of consumers; each has one session.
    pub consumers: u32,
    /// Requests a consumer keeps going at once.
    pub depth: u32,
    /// Pieces of input processed in all (each is encrypted and decrypted again, or digested and
    /// verified); `None`: each piece of input once.
    pub pieces: Option<u64>,
    /// Sizes of the pieces in bytes, with weights. A pcap input brings its own sizes.
    pub sizes: Vec<(u32, u32)>,
    /// Algorithms, dealt to the consumers in turn.
    pub suites: Vec<Suite>,
    /// Percentage of consumers whose sessions move without their noticing.
    pub transparent_percent: u8,
    /// Percentage of requests with separate output.
    pub separate_output_percent: u8,
    /// Percentage of requests whose buffer is a scatter/gather list.
    pub chain_percent: u8,
    /// Percentage of requests in memory that no card can reach.
    pub unpooled_percent: u8,
    /// Percentage of verifying requests whose digest is falsified first: they must fail.
    pub tampered_percent: u8,
    /// Shortest and longest time between a callback and the consumer's next request.
    pub think: (Span, Span),
    /// Which drivers sessions may use.
    pub placement: Placement,
}

/// Which drivers sessions may use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Placement {
    /// The best of all.
    Any,
    /// Cards only: without one, requests fail.
    Hardware,
    /// The software driver only.
    Software,
}

/// An algorithm suite by its name, such as `aes-256-gcm` or `aes-128-cbc+hmac-sha256`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Suite {
    /// Session mode.
    pub mode: framework::Mode,
    /// Cipher, if any.
    pub cipher: Option<framework::Cipher>,
    /// Digest, if any.
    pub digest: Option<framework::Digest>,
    /// Length of cipher keys in bytes.
    pub cipher_key_len: usize,
    /// Length of digest keys in bytes.
    pub auth_key_len: usize,
    /// Length of IVs in bytes.
    pub iv_len: usize,
    /// Bytes of digest, zero for the whole digest.
    pub auth_digest_len: usize,
}

/// One thing that goes wrong (or is put right again).
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSpec {
    /// When.
    pub trigger: Trigger,
    /// What.
    pub action: Action,
}

/// When a fault happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trigger {
    /// This long after the workload began.
    At(Time),
    /// When this many requests have called back.
    AfterRequests(u64),
    /// When a ring of the card in this slot is full for the `nth` time (from 1).
    RingFull {
        /// Slot of the card.
        card: usize,
        /// Which time.
        nth: u64,
    },
    /// This long after the fault before it in the list happened.
    AfterPrevious(Span),
}

impl Trigger {
    /// The slot it watches, if it watches one.
    pub(crate) const fn card_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::RingFull { card, .. } => Some(card),
            Self::At(_) | Self::AfterRequests(_) | Self::AfterPrevious(_) => None,
        }
    }
}

impl Action {
    /// The slot it concerns, if it concerns one.
    pub(crate) const fn card_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::Unplug { card }
            | Self::Plug { card }
            | Self::Detach { card }
            | Self::Message { card, .. }
            | Self::Latch { card, .. } => Some(card),
            Self::Rebalance => None,
        }
    }
}

/// What happens.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// The card is pulled out of its slot without warning.
    Unplug {
        /// Slot of the card.
        card: usize,
    },
    /// A card is put into the slot and brought up.
    Plug {
        /// Slot of the card.
        card: usize,
    },
    /// The card is taken out of service in an orderly way.
    Detach {
        /// Slot of the card.
        card: usize,
    },
    /// Sessions are spread over the drivers again.
    Rebalance,
    /// From now on, messages between driver and card meet a fate.
    Message {
        /// Slot of the card.
        card: usize,
        /// Which messages, and what fate.
        rule: Rule,
    },
    /// The card's silicon misbehaves.
    Latch {
        /// Slot of the card.
        card: usize,
        /// How.
        latch: device_model::Latch,
    },
}

/// A count that must lie in a range for the run to pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Expectation {
    /// Which count.
    pub count: Count,
    /// At least this many.
    pub at_least: u64,
    /// At most this many, if there is a bound.
    pub at_most: Option<u64>,
}

/// A count of the summary that a scenario may set bounds for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Count {
    /// Requests called back.
    Requests,
    /// Requests handed back by a driver (ERESTART).
    Refusals,
    /// Times a driver went from free to blocked.
    Blocks,
    /// Times a blocked driver was free again.
    Unblocks,
    /// Sessions that moved to another driver.
    Migrations,
    /// Requests that ended with the session's new name (EAGAIN).
    Moved,
    /// Requests that the framework resubmitted by itself.
    Resubmitted,
    /// Cards pulled out.
    Unplugs,
    /// Cards put in.
    Plugs,
}
