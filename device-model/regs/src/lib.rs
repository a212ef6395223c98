//! The datasheet of the native card as types.
//!
//! Owns every offset, bit number and wire layout: registers ([`Register`], [`RingRegister`]), the
//! 64-byte [`Command`] descriptor, the 32-byte [`Completion`], the [`SessionBlock`] of the admin
//! ring, the list of algorithms ([`CIPHERS`], [`DIGESTS`]), the [`Status`] codes, the errata sheet
//! ([`Erratum`]), and configuration space ([`pci`]). The model decodes with it, the driver encodes
//! with it. Knows no behaviour: what a register does is the model's business.
//!
//! All multi-byte values are little-endian, as on PCIe.

mod admin;
mod algorithm;
mod command;
mod completion;
mod errata;
mod map;
mod migration;
mod page;
pub mod pci;
mod public_key;
mod record;
mod register;
pub mod virtio;

pub use admin::{SESSION_BLOCK_LEN, SessionBlock, SessionBlockError, SessionBlockFlags};
pub use algorithm::{
    CIPHER_KEY_MAX, CIPHERS, CipherCode, CipherInfo, DIGEST_KEY_MAX, DIGEST_MAX, DIGEST_STATE_BODY,
    DIGEST_STATE_LAYOUT, DIGEST_STATE_LEN, DIGEST_STATE_VERSION, DIGESTS, DigestCode, DigestInfo,
    IV_MAX, Lengths,
};
pub use command::{COMMAND_LEN, Command, CommandFlags, MAX_SEGMENTS, Opcode, SEGMENT_LEN, Segment};
pub use completion::{COMPLETION_LEN, Completion, Status};
pub use errata::{Errata, Erratum};
pub use map::{Access, CodeInfo, FieldInfo, RegisterInfo, WireInfo};
pub use migration::{
    Argument, ArgumentFlags, BLOB_LEN, BLOB_MAGIC, BLOB_TAG_LEN, BLOB_VERSION, BlobHeader,
    KEK_SLOTS, KekOffer, OFFER_MAGIC, WRAPPED_KEK_LEN,
};
pub use page::{
    ALGORITHMS, AlgorithmEntry, ERROR_LOG_ENTRIES, ErrorEntry, ErrorLog, Health, Identity,
    PAGE_MAX, PAGE_VERSION, PageCode, RingStatistics, Statistics, StatusCount, algorithm_entries,
};
pub use pci::FunctionId;
pub use public_key::{
    PUBLIC_KEY_BITS_MAX, PUBLIC_KEY_PARAMS_MAX, PublicKeyError, PublicKeyFlags, PublicKeyOp,
    PublicKeyParams, RANDOM_MAX,
};
pub use register::{
    BAR0_LEN, COMPLETION_DOORBELL, Control, DEVICE_ID, DOORBELL_PAGE, DOORBELL_STRIDE,
    DeviceStatus, Doorbell, INTERRUPT_LINK_ERROR, INTERRUPT_MAILBOX, MAX_RING_ENTRIES,
    MAX_RING_PAIRS, MIN_RING_ENTRIES, RING_PAGE, RING_STRIDE, Register, RingArbitration,
    RingControl, RingId, RingRegister, RingStatus, Target, decode,
};

/// Address as the card sees it (an IOVA), never dereferenced by the host.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct DeviceAddr(pub u64);

impl DeviceAddr {
    /// The address `bytes` further on; wraps as the bus does.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl std::fmt::Display for DeviceAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#014x}", self.0)
    }
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Position in a ring, `0..entries`. Counts of slots are plain `u32`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Slot(pub u32);

impl Slot {
    /// The slot after this one in a ring of `entries`.
    #[must_use]
    pub const fn next(self, entries: u32) -> Self {
        if self.0 + 1 >= entries {
            Self(0)
        } else {
            Self(self.0 + 1)
        }
    }

    /// Slots from `self` forward to `other` in a ring of `entries`.
    #[must_use]
    pub const fn distance_to(self, other: Self, entries: u32) -> u32 {
        if other.0 >= self.0 {
            other.0 - self.0
        } else {
            other.0 + entries - self.0
        }
    }
}

/// Number of a session in the card's context table; the driver chooses it.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct CardSession(pub u32);

/// Number of an MSI-X vector of the function.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub struct Vector(pub u16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_wrap_at_every_size() {
        for entries in 2..=9 {
            for from in 0..entries {
                for to in 0..entries {
                    let mut slot = Slot(from);
                    let mut steps = 0;
                    while slot != Slot(to) {
                        slot = slot.next(entries);
                        steps += 1;
                    }
                    assert_eq!(Slot(from).distance_to(Slot(to), entries), steps);
                }
            }
        }
    }
}
