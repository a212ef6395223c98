//! Bugs of the museum that would crowd the places where they are. Without one that is switched on,
//! each function says what is right.

use exhibit::{Exhibit, on};
use timebase::Span;

use crate::Transport;
use crate::card::Card;

/// A watchdog for a card that is always quick, which no card is.
pub(crate) const IMPATIENT: Span = Span::from_us(2);

impl<T: Transport, J> Card<T, J> {
    /// Whether the card was pulled out.
    #[inline]
    pub(crate) fn is_gone(&self) -> bool {
        !self.transport.is_present() && !on(Exhibit::RemovalNotNoticed)
    }

    /// Whether commands wait for their doorbell.
    #[inline]
    pub(crate) fn is_to_publish(&self) -> bool {
        self.held_back != 0 && !on(Exhibit::HeldBackForEver)
    }

    /// [`publish`](Self::publish), for who is not about to post more.
    #[inline]
    pub(crate) fn publish_rest(&mut self) {
        if !on(Exhibit::HeldBackForEver) {
            self.publish();
        }
    }

    /// The rings that hold commands back, without the first.
    #[inline]
    pub(crate) fn other_held_back(&self) -> u128 {
        match on(Exhibit::PartialSubmission) {
            true => 0,
            false => self.held_back & (self.held_back - 1),
        }
    }
}
