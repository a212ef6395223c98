//! What the card is told of completions that were reaped: at once, with the interrupt armed; or
//! late and without, while somebody looks for completions all the time.

use exhibit::{Exhibit, on};

use super::{Reaped, Ring};
use crate::Transport;

impl<J> Ring<J> {
    /// Tells the card what was `reaped`, in time if somebody looks for more anyway (`is_quiet`);
    /// gives whether it did.
    #[inline]
    pub(crate) fn answer<T: Transport>(
        &mut self,
        transport: &mut T,
        reaped: Reaped,
        is_quiet: bool,
    ) -> bool {
        if is_quiet {
            return self.answer_late(transport);
        }
        // With the budget spent, service runs again at once: an interrupt would be for nothing.
        let arms = !reaped.is_exhausted && !reaped.is_torn;
        self.acknowledge(transport, arms && !on(Exhibit::NeverArmsAgain));
        true
    }

    #[inline(never)]
    fn answer_late<T: Transport>(&mut self, transport: &mut T) -> bool {
        // An interrupt that was armed has come by now, and nobody heard it.
        self.is_armed = false;
        // The card has room for the other half meanwhile.
        let owed = self.acknowledged.distance_to(self.head, self.entries);
        let is_due = owed >= self.entries / 2;
        if is_due {
            self.acknowledge(transport, false);
        }
        is_due
    }

    /// Arms the interrupt unless it is armed; gives whether it did. It comes at once if there are
    /// completions already.
    pub(crate) fn arm<T: Transport>(&mut self, transport: &mut T) -> bool {
        let is_due = !self.is_armed;
        if is_due {
            self.acknowledge(transport, true);
        }
        is_due
    }
}
