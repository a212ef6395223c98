//! The mailbox: words between the physical function and the virtual ones.
//!
//! A virtual function sends a word to the physical one, which answers it. One word each way is
//! kept; a newer one takes its place. What the words mean is for drivers to agree on. The physical
//! function also sees the error registers of the virtual function that it has selected, so that it
//! can tell it how it stands.

use regs::{FunctionId, INTERRUPT_MAILBOX};
use timebase::Time;

use crate::card::Card;
use crate::function::LastError;
use crate::host::Host;

impl Card {
    /// Bit of virtual function `id` in the set of those that wait.
    const fn bit_of(id: FunctionId) -> u32 {
        match id.virtual_index() {
            Some(index) => 1 << index,
            None => 1,
        }
    }

    /// The virtual function that `id` has selected, if it is the physical one.
    fn selected(&self, id: FunctionId) -> Option<FunctionId> {
        let selected = FunctionId(self.function(id).mailbox.selected);
        (id.is_physical() && !selected.is_physical() && self.has_function(selected))
            .then_some(selected)
    }

    pub(crate) fn select_mailbox(&mut self, id: FunctionId, value: u32) {
        let is_one = value < self.functions.len() as u32;
        if id.is_physical() && is_one {
            self.function_mut(id).mailbox.selected = value as u16;
        }
    }

    /// The last word that the other side of `id` sent.
    pub(crate) fn received_word(&self, id: FunctionId) -> u32 {
        if !id.is_physical() {
            return self.function(id).mailbox.from_physical;
        }
        self.selected(id)
            .map_or(0, |other| self.function(other).mailbox.to_physical)
    }

    /// The error registers of the virtual function that `id` has selected.
    pub(crate) fn selected_error(&self, id: FunctionId) -> LastError {
        self.selected(id)
            .map_or_else(LastError::default, |other| self.function(other).last_error)
    }

    /// `id` sends `word`; without an other side nothing happens.
    pub(crate) fn send_word<H: Host>(
        &mut self,
        now: Time,
        id: FunctionId,
        word: u32,
        host: &mut H,
    ) {
        let (to, bit) = if id.is_physical() {
            let Some(to) = self.selected(id) else { return };
            self.function_mut(to).mailbox.from_physical = word;
            (to, Self::bit_of(id))
        } else {
            self.function_mut(id).mailbox.to_physical = word;
            (FunctionId::PHYSICAL, Self::bit_of(id))
        };
        let other = self.function_mut(to);
        other.mailbox.waiting |= bit;
        if other.causes.latch(INTERRUPT_MAILBOX) {
            let admin = other.rings.start;
            self.send(now, admin, host);
        }
    }
}
