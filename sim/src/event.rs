//! The event log: everything that happens at a boundary, in one flat type.
//!
//! Checkers watch it, the trace digest is made of it, and a trace file is written from it.

use device_model::CardEvent;
use driver::DriverEvent;
use timebase::Time;

/// One event and when it happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Record {
    /// When. Card events carry the card's own time, so records are not always in order of time.
    pub at: Time,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Event {
    /// A consumer handed a request to the framework.
    Dispatch {
        /// Request.
        request: u64,
        /// Consumer.
        consumer: u32,
        /// Session, as a number.
        session: u64,
        /// Payload bytes.
        bytes: u32,
    },
    /// A request came back to its consumer.
    Callback {
        /// Request.
        request: u64,
        /// Consumer.
        consumer: u32,
        /// How it ended: 0 well, otherwise an error's number; see [`outcome_code`].
        outcome: u8,
    },
    /// Something in the driver of the card in a slot.
    Driver {
        /// Slot.
        card: u16,
        /// What.
        event: DriverEvent,
    },
    /// Something in the card in a slot.
    Card {
        /// Slot.
        card: u16,
        /// What.
        event: CardEvent,
    },
    /// A register write arrived at a card.
    WriteArrived {
        /// Slot.
        card: u16,
        /// Offset in BAR 0.
        offset: u32,
        /// Value.
        value: u32,
    },
    /// A card's access to host memory was refused, whether or not the card noticed.
    DmaRefused {
        /// Slot.
        card: u16,
        /// First address of the access.
        addr: regs::DeviceAddr,
        /// Whether the card wanted to write.
        is_write: bool,
        /// Why.
        reason: crate::memory::FaultReason,
    },
    /// An interrupt reached a driver.
    InterruptArrived {
        /// Slot.
        card: u16,
        /// Vector.
        vector: u16,
    },
    /// A driver became blocked.
    Blocked {
        /// Driver, as a number; see [`Event::Registered`].
        driver: u32,
    },
    /// A driver is no longer blocked.
    Unblocked {
        /// Driver.
        driver: u32,
    },
    /// A driver registered with the framework.
    Registered {
        /// Driver.
        driver: u32,
        /// Slot of its card, or `u16::MAX` for software.
        card: u16,
    },
    /// A session's work may begin on a driver.
    SessionOpened {
        /// Session.
        session: u64,
        /// Driver.
        driver: u32,
    },
    /// A session moved.
    SessionMoved {
        /// Name before.
        from: u64,
        /// Name after; the same under the transparent policy.
        to: u64,
        /// Driver after.
        driver: u32,
        /// Driver before.
        from_driver: u32,
        /// Why.
        reason: framework::MoveReason,
    },
    /// The framework resubmitted a request by itself.
    Resubmitted {
        /// Request.
        request: u64,
    },
    /// A card was pulled out.
    Unplugged {
        /// Slot.
        card: u16,
    },
    /// A card was put in.
    Plugged {
        /// Slot.
        card: u16,
    },
    /// A driver found its card gone, or finished detaching.
    DriverLost {
        /// Driver.
        driver: u32,
    },
}

/// What each number of [`outcome_code`] means.
pub(crate) const OUTCOMES: [&str; 11] = [
    "ok",
    "moved",
    "digest mismatch",
    "interrupted",
    "too big",
    "device error",
    "cancelled",
    "no driver",
    "bad data",
    "timed out",
    "begin anew",
];

/// Number of a request's outcome in [`Event::Callback`].
#[must_use]
pub const fn outcome_code(result: &Result<(), framework::RequestError>) -> u8 {
    use framework::RequestError as E;
    match result {
        Ok(()) => 0,
        Err(E::Moved(_)) => 1,
        Err(E::DigestMismatch) => 2,
        Err(E::Interrupted(_)) => 3,
        Err(E::TooBig) => 4,
        Err(E::Device) => 5,
        Err(E::Cancelled) => 6,
        Err(E::NoDriver) => 7,
        Err(E::BadData) => 8,
        Err(E::TimedOut) => 9,
        Err(E::BeginAnew) => 10,
    }
}
