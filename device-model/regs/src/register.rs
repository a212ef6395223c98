//! BAR 0: the control page, one page slice for each ring pair, and the doorbell page.
//!
//! Datasheet: memory map. Ring 0 is the admin ring; rings 1 to [`MAX_RING_PAIRS`] carry data.

#![expect(
    clippy::result_unit_err,
    reason = "the checked setters that bitfield-struct makes have no other error"
)]

use crate::map::{register_fields, register_map};
use crate::{Slot, Vector};

/// Value of [`Register::DeviceId`]: "RING" in ASCII.
pub const DEVICE_ID: u32 = u32::from_be_bytes(*b"RING");

/// Size of BAR 0, in bytes.
pub const BAR0_LEN: u32 = 0x2_0000;
/// Offset of the register slice of ring 0, in bytes.
pub const RING_PAGE: u32 = 0x1000;
/// Distance between register slices of neighbouring rings, in bytes.
pub const RING_STRIDE: u32 = 0x100;
/// Offset of the doorbell page, in bytes; it can be mapped alone.
pub const DOORBELL_PAGE: u32 = 0x1_0000;
/// Distance between doorbells of neighbouring rings, in bytes.
pub const DOORBELL_STRIDE: u32 = 8;
/// Offset of the completion doorbell within a ring's doorbells, in bytes.
pub const COMPLETION_DOORBELL: u32 = 4;
/// Most data ring pairs a card can have, besides the admin ring.
pub const MAX_RING_PAIRS: u32 = 64;
/// Fewest entries of a ring; one slot always stays empty.
pub const MIN_RING_ENTRIES: u32 = 2;
/// Most entries of a ring.
pub const MAX_RING_ENTRIES: u32 = 65_536;

/// Bit of [`Register::InterruptStatus`]: the other side of the mailbox sent a word.
pub const INTERRUPT_MAILBOX: u32 = 1 << 30;
/// Bit of [`Register::InterruptStatus`]: the function saw a DMA fault or a malformed ring.
pub const INTERRUPT_LINK_ERROR: u32 = 1 << 31;

register_map! {
    /// Registers of the control page, offsets from the start of BAR 0.
    Register {
        /// Reads as "RING" on every card.
        0x000 DeviceId: ReadOnly = DEVICE_ID;
        /// Major version in bits 31..16, minor in 15..0.
        0x004 Version: ReadOnly = 0x0001_0000;
        /// Number of data ring pairs.
        0x008 RingPairs: ReadOnly = 0;
        /// Number of sessions the context table holds.
        0x00C SessionCapacity: ReadOnly = 0;
        /// Starts and resets the card; see [`Control`].
        0x010 Control(Control): ReadWrite = 0;
        /// What state the card is in; see [`DeviceStatus`].
        0x014 DeviceStatus(DeviceStatus): ReadOnly = 0;
        /// Latched causes, one bit for each ring of the first 30, bit 30 for the mailbox and bit 31
        /// for errors.
        0x018 InterruptStatus: WriteOneToClear = 0;
        /// A one keeps the cause of that bit from sending an interrupt.
        0x01C InterruptMask: ReadWrite = 0;
        /// Counts up while the card's scheduler runs, one step a microsecond.
        0x020 Heartbeat: ReadOnly = 0;
        /// Ring that saw the last error, or all ones.
        0x024 ErrorRing: ReadOnly = 0xFFFF_FFFF;
        /// [`Status`](crate::Status) code of the last error, zero if none.
        0x028 ErrorStatus: ReadOnly = 0;
        /// Low half of the address of the last DMA fault.
        0x02C ErrorAddressLow: ReadOnly = 0;
        /// High half of the address of the last DMA fault.
        0x030 ErrorAddressHigh: ReadOnly = 0;
        /// Number of entries the context cache holds.
        0x034 ContextCacheEntries: ReadOnly = 0;
        /// Errata that the card has, bit `n` for erratum `n` + 1.
        0x038 Errata: ReadOnly = 0;
        /// Number of the function: 0 for the physical one, from 1 on for the virtual ones.
        0x080 FunctionNumber: ReadOnly = 0;
        /// Physical function: the number of the virtual function that the next registers are about;
        /// a number that names none is dropped. Zero in a virtual function.
        0x084 MailboxSelect: ReadWrite = 0;
        /// Sends a word to the other side: from a virtual function to the physical one, and from
        /// there to the selected one.
        0x088 MailboxSend: Doorbell = 0;
        /// The last word the other side sent.
        0x08C MailboxReceived: ReadOnly = 0;
        /// Who has sent a word: in the physical function bit `n` - 1 for virtual function `n`, in a
        /// virtual one bit 0.
        0x090 MailboxWaiting: WriteOneToClear = 0;
        /// `ErrorRing` of the selected virtual function.
        0x094 SelectedErrorRing: ReadOnly = 0xFFFF_FFFF;
        /// `ErrorStatus` of the selected virtual function.
        0x098 SelectedErrorStatus: ReadOnly = 0;
    }
}

register_map! {
    /// Registers of one ring pair, offsets from the start of its slice.
    RingRegister {
        /// Low half of the device address of the command ring; 64-byte aligned.
        0x00 CommandBaseLow: ReadWrite = 0;
        /// High half of the device address of the command ring.
        0x04 CommandBaseHigh: ReadWrite = 0;
        /// Low half of the device address of the completion ring; 32-byte aligned.
        0x08 CompletionBaseLow: ReadWrite = 0;
        /// High half of the device address of the completion ring.
        0x0C CompletionBaseHigh: ReadWrite = 0;
        /// Entries of each of the two rings, 2 to 65,536.
        0x10 Entries: ReadWrite = 0;
        /// Starts and resets the pair; see [`RingControl`].
        0x14 RingControl(RingControl): ReadWrite = 0;
        /// What state the pair is in; see [`RingStatus`].
        0x18 RingStatus(RingStatus): ReadOnly = 0;
        /// Next slot the card will fetch.
        0x1C CommandHead: ReadOnly = 0;
        /// Last value of the command doorbell.
        0x20 CommandTail: ReadOnly = 0;
        /// Last value of the completion doorbell, without its arm bit.
        0x24 CompletionHead: ReadOnly = 0;
        /// Next slot of the completion ring the card will write.
        0x28 CompletionTail: ReadOnly = 0;
        /// Completions that send an interrupt at once; 0 counts as 1.
        0x2C CoalesceCount: ReadWrite = 1;
        /// Nanoseconds after which a completion sends an interrupt whatever the count; 0 waits for
        /// the count.
        0x30 CoalesceTimer: ReadWrite = 0;
        /// MSI-X vector of the pair.
        0x34 RingVector: ReadWrite = 0;
        /// Whose turn it is to fetch; see [`RingArbitration`].
        0x38 RingArbitration(RingArbitration): ReadWrite = 0x100;
    }
}

register_fields! {
    /// Value of [`Register::Control`].
    Control: u32 {
        /// The card fetches and works.
        enabled: bool [1];
        /// Writing a one resets the function: rings stop, contexts and keys are zeroed.
        reset: bool [1];
        /// Reserved, zero.
        _reserved: u32 [30];
    }
}

register_fields! {
    /// Value of [`Register::DeviceStatus`].
    DeviceStatus: u32 {
        /// The card has left reset and its registers may be written.
        ready: bool [1];
        /// A reset is under way.
        resetting: bool [1];
        /// The card cannot go on without a reset.
        fatal: bool [1];
        /// Reserved, zero.
        _reserved: u32 [29];
    }
}

register_fields! {
    /// Value of [`RingRegister::RingControl`].
    RingControl: u32 {
        /// The pair fetches and completes; base addresses and size are taken over when it turns on.
        enabled: bool [1];
        /// Writing a one stops the pair, forgets what it had fetched and zeroes its indices.
        reset: bool [1];
        /// With `enabled`: the pair fetches no more, completes what it has fetched, then stops.
        drain: bool [1];
        /// With `enabled`: like `drain`, but what has not finished completes as `Aborted` at once.
        abort: bool [1];
        /// A pair that runs dry sends its interrupt for what waits, whatever count and timer say.
        starve_interrupt: bool [1];
        /// Reserved, zero.
        _reserved: u32 [27];
    }
}

register_fields! {
    /// Value of [`RingRegister::RingStatus`].
    RingStatus: u32 {
        /// The pair runs.
        running: bool [1];
        /// The pair stopped on an error; see the error registers.
        error: bool [1];
        /// Commands wait because the completion ring is full.
        completion_full: bool [1];
        /// The pair fetches no more and stops when its last command is complete.
        draining: bool [1];
        /// The pair stopped at the end of a drain or an abort; its indices stay readable.
        drained: bool [1];
        /// Reserved, zero.
        _reserved: u32 [27];
    }
}

register_fields! {
    /// Value of [`RingRegister::RingArbitration`].
    RingArbitration: u32 {
        /// Pairs of a higher priority fetch first, always.
        priority: u8 [2];
        /// Reserved, zero.
        _reserved: u8 [6];
        /// Fetches in a round among pairs of the same priority; 0 counts as 1.
        weight: u8 [8];
        /// Reserved, zero.
        _reserved_high: u16 [16];
    }
}

/// Value written to a ring's doorbell.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Doorbell {
    /// Command doorbell: first slot not yet published. Completion doorbell: first slot not yet
    /// reaped.
    pub slot: Slot,
    /// Completion doorbell only: send an interrupt for completions from `slot` on.
    pub arm: bool,
}

impl Doorbell {
    const ARM: u32 = 1 << 31;

    /// The value as it goes over the bus.
    #[must_use]
    pub const fn into_bits(self) -> u32 {
        self.slot.0 | if self.arm { Self::ARM } else { 0 }
    }

    /// The doorbell that `bits` rings.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self {
            slot: Slot(bits & !Self::ARM),
            arm: bits & Self::ARM != 0,
        }
    }
}

/// Number of a ring pair of one card: 0 is the admin ring.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct RingId(pub u16);

impl RingId {
    /// The admin ring.
    pub const ADMIN: Self = Self(0);

    /// Offset of `register` of this ring in BAR 0, in bytes.
    #[must_use]
    pub const fn register(self, register: RingRegister) -> u32 {
        RING_PAGE + self.0 as u32 * RING_STRIDE + register.offset()
    }

    /// Offset of the command doorbell of this ring in BAR 0, in bytes.
    #[must_use]
    pub const fn command_doorbell(self) -> u32 {
        DOORBELL_PAGE + self.0 as u32 * DOORBELL_STRIDE
    }

    /// Offset of the completion doorbell of this ring in BAR 0, in bytes.
    #[must_use]
    pub const fn completion_doorbell(self) -> u32 {
        self.command_doorbell() + COMPLETION_DOORBELL
    }

    /// The vector a driver gives this ring when there are enough of them.
    #[must_use]
    pub const fn default_vector(self) -> Vector {
        Vector(self.0)
    }
}

/// What an offset in BAR 0 names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Target {
    /// A register of the control page.
    Control(Register),
    /// A register of a ring pair.
    Ring(RingId, RingRegister),
    /// A command doorbell.
    CommandDoorbell(RingId),
    /// A completion doorbell.
    CompletionDoorbell(RingId),
}

/// What `offset` bytes into BAR 0 names, for a card that has rings 0 to `last_ring`; `None` for a
/// hole.
#[must_use]
pub const fn decode(offset: u32, last_ring: RingId) -> Option<Target> {
    if offset < RING_PAGE {
        return match Register::at(offset) {
            Some(register) => Some(Target::Control(register)),
            None => None,
        };
    }
    if offset >= DOORBELL_PAGE {
        let at = offset - DOORBELL_PAGE;
        let ring = at / DOORBELL_STRIDE;
        if ring > last_ring.0 as u32 {
            return None;
        }
        return match at % DOORBELL_STRIDE {
            0 => Some(Target::CommandDoorbell(RingId(ring as u16))),
            COMPLETION_DOORBELL => Some(Target::CompletionDoorbell(RingId(ring as u16))),
            _ => None,
        };
    }
    let at = offset - RING_PAGE;
    let ring = at / RING_STRIDE;
    if ring > last_ring.0 as u32 {
        return None;
    }
    match RingRegister::at(at % RING_STRIDE) {
        Some(register) => Some(Target::Ring(RingId(ring as u16), register)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_decodes_to_itself() {
        let last = RingId(MAX_RING_PAIRS as u16);
        for &register in Register::ALL {
            assert_eq!(
                decode(register.offset(), last),
                Some(Target::Control(register))
            );
        }
        for ring in 0..=last.0 {
            let ring = RingId(ring);
            for &register in RingRegister::ALL {
                let offset = ring.register(register);
                assert!(offset < DOORBELL_PAGE);
                assert_eq!(decode(offset, last), Some(Target::Ring(ring, register)));
            }
            assert_eq!(
                decode(ring.command_doorbell(), last),
                Some(Target::CommandDoorbell(ring))
            );
            assert_eq!(
                decode(ring.completion_doorbell(), last),
                Some(Target::CompletionDoorbell(ring))
            );
        }
    }

    #[test]
    fn holes_and_rings_the_card_lacks_decode_to_nothing() {
        let last = RingId(4);
        assert_eq!(decode(0x0FC, last), None);
        assert_eq!(decode(1, last), None);
        assert_eq!(
            decode(RingId(5).register(RingRegister::Entries), last),
            None
        );
        assert_eq!(decode(RingId(5).command_doorbell(), last), None);
        assert_eq!(decode(BAR0_LEN, last), None);
        assert_eq!(decode(u32::MAX, last), None);
    }

    #[test]
    fn doorbells_survive_the_bus() {
        for arm in [false, true] {
            let doorbell = Doorbell {
                slot: Slot(MAX_RING_ENTRIES - 1),
                arm,
            };
            assert_eq!(Doorbell::from_bits(doorbell.into_bits()), doorbell);
        }
    }
}
