//! Writes of a card to memory on their way up.
//!
//! Those that the machine delays keep their order, among each other and before interrupts, and
//! whoever reads pushes them before the answer, as on PCIe. Those that a rule holds up do not:
//! others overtake them.

use std::collections::VecDeque;

use regs::{DeviceAddr, FunctionId};
use timebase::Time;

/// A write of the card to memory that has not arrived.
#[derive(Clone, Debug)]
pub(crate) struct LateWrite {
    pub(crate) arrives: Time,
    pub(crate) function: FunctionId,
    pub(crate) addr: DeviceAddr,
    pub(crate) bytes: Vec<u8>,
}

/// The writes under way on one link.
#[derive(Debug, Default)]
pub(crate) struct Upstream {
    posted: VecDeque<LateWrite>,
    /// By time of arrival.
    held: VecDeque<LateWrite>,
}

impl Upstream {
    /// When the next one arrives.
    #[inline]
    pub(crate) fn deadline(&self) -> Time {
        let next = |queue: &VecDeque<LateWrite>| queue.front().map_or(Time::NEVER, |it| it.arrives);
        next(&self.posted).min(next(&self.held))
    }

    /// None of them arrives.
    pub(crate) fn clear(&mut self) {
        self.posted.clear();
        self.held.clear();
    }

    /// The next one that has arrived by `now`.
    pub(crate) fn arrived(&mut self, now: Time) -> Option<LateWrite> {
        let is_due = |late: &mut LateWrite| late.arrives <= now;
        let first = self.posted.pop_front_if(is_due);
        first.or_else(|| self.held.pop_front_if(is_due))
    }

    /// The next one that a read pushes before its answer.
    #[inline]
    pub(crate) fn pushed(&mut self) -> Option<LateWrite> {
        self.posted.pop_front()
    }

    /// No interrupt that is sent now arrives before this.
    #[inline]
    pub(crate) fn last(&self) -> Time {
        self.posted.back().map_or(Time::ZERO, |last| last.arrives)
    }

    /// Sends `write` behind those that were sent before.
    pub(crate) fn post(&mut self, mut write: LateWrite) {
        write.arrives = write.arrives.max(self.last());
        self.posted.push_back(write);
    }

    /// Holds `write` up until it arrives.
    pub(crate) fn hold(&mut self, write: LateWrite) {
        let place = self.held.partition_point(|it| it.arrives <= write.arrives);
        self.held.insert(place, write);
    }
}
