//! Bugs of the museum that would crowd the places where they are. Without one that is switched on,
//! each function says what is right.

use regs::{Doorbell, RingId, Slot, Status};

use super::{End, Ring, Verdict};
use crate::Transport;

pub(super) use exhibit::{Exhibit, on};

impl End {
    /// What a bad driver makes of a command that was reset.
    pub(crate) const GOOD: Self = Self {
        verdict: Verdict::Card(Status::Success),
        output_len: 0,
    };
}

/// Most commands in flight: one slot stays empty, so that a full ring does not look empty.
#[inline]
pub(super) fn capacity_of(entries: u32) -> u32 {
    match on(Exhibit::FullRingLooksEmpty) {
        true => entries,
        false => entries - 1,
    }
}

impl<J> Ring<J> {
    /// Whether this is a ring of requests and has a bug: without an admin ring nothing would begin.
    #[inline]
    pub(super) fn is_bad(&self, exhibit: Exhibit) -> bool {
        on(exhibit) && self.id != RingId::ADMIN
    }

    /// The command slot behind `slot`.
    #[inline(always)]
    pub(super) fn after(&self, slot: Slot) -> Slot {
        match on(Exhibit::WrapsTooEarly) {
            true => slot.next(self.entries - 1),
            false => slot.next(self.entries),
        }
    }

    /// The first completion slot that the card may not have back.
    #[inline]
    pub(super) fn slot_to_acknowledge(&self) -> Slot {
        if self.is_bad(Exhibit::NeverAcknowledges) {
            self.acknowledged
        } else if on(Exhibit::AcknowledgesUnread) {
            self.head.next(self.entries)
        } else {
            self.head
        }
    }

    /// Rings the doorbell for a command that is about to be written, if that is the bug.
    #[inline(always)]
    pub(super) fn ring_early<T: Transport>(&self, transport: &mut T) {
        if on(Exhibit::DoorbellBeforeDescriptor) {
            let slot = self.tail.next(self.entries);
            let doorbell = Doorbell { slot, arm: false };
            transport.write(self.id.command_doorbell(), doorbell.into_bits());
        }
    }
}
