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
use regs::{RingId, Vector};

use crate::event::Event;
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
    /// Largest extra delay of a card's write to memory; drawn from the seed. Order is kept,
    /// interrupts do not overtake it, and a register read waits for it.
    pub memory_jitter: Span,
}

impl Scenario {
    /// The scenario with another number of pieces: what it expects of a whole run, and that its
    /// faults happen, does not hold any more.
    pub fn cut(&mut self, pieces: u64) {
        self.workload.pieces = Some(pieces);
        self.expect.clear();
        for fault in &mut self.faults {
            fault.may_idle = true;
        }
    }
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
    /// In how many runs of a hundred it is among the faults; the seed draws. One that waits for the
    /// fault before it goes with that.
    pub percent: u8,
    /// Whether the run passes if it does not happen.
    pub may_idle: bool,
}

impl FaultSpec {
    /// A fault of every run, which fails if it does not happen.
    #[must_use]
    pub const fn new(trigger: Trigger, action: Action) -> Self {
        Self {
            trigger,
            action,
            percent: 100,
            may_idle: false,
        }
    }
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
    /// When a message goes over the link of the card in this slot.
    Message {
        /// Slot of the card.
        card: usize,
        /// Which messages, and how many of them go by first.
        rule: Rule,
    },
    /// When something is recorded of the card in this slot for the `nth` time (from 1).
    Event {
        /// Slot of the card.
        card: usize,
        /// What.
        moment: Moment,
        /// On which ring pair; `None` for any.
        ring: Option<RingId>,
        /// Which time.
        nth: u64,
    },
}

/// What a fault can wait for, besides time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Moment {
    /// The driver puts a command into a slot.
    Posted,
    /// The card has fetched commands.
    Fetched,
    /// An engine lane begins a command.
    Started,
    /// The card has written a completion.
    Completed,
    /// The driver takes a completion.
    Reaped,
    /// The driver finds no room.
    Refused,
    /// The watchdog of the driver finds a ring that stands still.
    Watchdog,
    /// The card is reset.
    Reset,
    /// The host refused an access to memory.
    Fault,
    /// A session was made on the card.
    Created,
}

impl Moment {
    /// Every moment, with its name in scenarios.
    pub const ALL: [(&str, Self); 10] = [
        ("posted", Self::Posted),
        ("fetched", Self::Fetched),
        ("started", Self::Started),
        ("completed", Self::Completed),
        ("reaped", Self::Reaped),
        ("refused", Self::Refused),
        ("watchdog", Self::Watchdog),
        ("reset", Self::Reset),
        ("fault", Self::Fault),
        ("created", Self::Created),
    ];

    /// The name of the moment in scenarios.
    #[must_use]
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|&&(_, moment)| moment == self);
        named.map_or("", |&(name, _)| name)
    }

    /// Whether `event` is one, and of which card and ring pair; the ring is `None` where it has no
    /// say.
    pub(crate) fn of(event: Event) -> Option<(u16, Self, Option<RingId>)> {
        use device_model::CardEvent as C;
        use driver::DriverEvent as D;
        let (card, moment, ring) = match event {
            Event::Driver { card, event } => match event {
                D::Posted { ring, .. } => (card, Self::Posted, Some(ring)),
                D::Reaped { ring, .. } => (card, Self::Reaped, Some(ring)),
                D::Refused { ring } => (card, Self::Refused, Some(ring)),
                D::Watchdog { ring } => (card, Self::Watchdog, Some(ring)),
                _ => return None,
            },
            Event::Card { card, event } => match event {
                C::Fetched { ring, .. } => (card, Self::Fetched, Some(ring)),
                C::Started { ring, .. } => (card, Self::Started, Some(ring)),
                C::Completed { ring, .. } => (card, Self::Completed, Some(ring)),
                C::DmaFault { ring, .. } => (card, Self::Fault, Some(ring)),
                C::Reset => (card, Self::Reset, None),
                C::SessionCreated { .. } => (card, Self::Created, None),
                _ => return None,
            },
            _ => return None,
        };
        Some((card, moment, ring))
    }
}

impl Trigger {
    /// The slot it watches, if it watches one.
    pub(crate) const fn card_mut(&mut self) -> Option<&mut usize> {
        match self {
            Self::RingFull { card, .. } | Self::Message { card, .. } | Self::Event { card, .. } => {
                Some(card)
            }
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
            | Self::Reset { card }
            | Self::Sleep { card }
            | Self::Wake { card }
            | Self::Interrupt { card, .. }
            | Self::Write { card, .. }
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
    /// The bus resets the link of the card and sets it up again; the driver is not told.
    Reset {
        /// Slot of the card.
        card: usize,
    },
    /// The card is sent to D3hot; the driver is not told.
    Sleep {
        /// Slot of the card.
        card: usize,
    },
    /// The card is brought back to D0 and set up again; the driver is not told.
    Wake {
        /// Slot of the card.
        card: usize,
    },
    /// Interrupts arrive that the card did not send.
    Interrupt {
        /// Slot of the card.
        card: usize,
        /// Their vector.
        vector: Vector,
        /// How many.
        count: u32,
        /// Time between two.
        every: Span,
    },
    /// A register write arrives that the driver did not make.
    Write {
        /// Slot of the card.
        card: usize,
        /// Offset in BAR 0, in bytes.
        offset: u32,
        /// Value.
        value: u32,
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
