//! Marks on consumed completion entries, for a card that writes the status word early.
//!
//! Such an entry looks complete while its cookie is still what stood in the slot before. With a
//! cookie there that no command has, it is known for what it is, and looked at again later.

use regs::{COMPLETION_LEN, Slot};

use super::{FREE, Ring};

impl<J> Ring<J> {
    /// Looks at the entry in `slot`, the last one, again later.
    #[cold]
    pub(super) fn step_back(&mut self, slot: Slot) {
        self.phase ^= self.head == Slot(0);
        self.head = slot;
    }

    /// From now on, tells entries that are not whole by what it writes to consumed ones. The
    /// completion ring is zeroed.
    pub(crate) fn mark_consumed_entries(&mut self) {
        for slot in 0..self.entries {
            self.mark(Slot(slot));
        }
        self.to_mark = Some(self.head);
    }

    #[cold]
    pub(super) fn mark_consumed(&mut self, from: Slot) {
        let mut slot = from;
        while slot != self.head {
            self.mark(slot);
            slot = slot.next(self.entries);
        }
        self.to_mark = Some(slot);
    }

    /// Gives the entry in `slot` a cookie that no command has.
    fn mark(&self, slot: Slot) {
        let at = slot.0 as usize * COMPLETION_LEN;
        self.completions.write(at, &FREE.to_le_bytes());
    }
}
