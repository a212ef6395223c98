//! Errata: what cards of some steppings do wrong, and what a driver does about it.
//!
//! Owns numbers, names and texts of the errata sheet. A card says in [`Register::Errata`] which of
//! them it has. How they come about is the model's business, how to live with them the driver's.
//!
//! [`Register::Errata`]: crate::Register::Errata

use crate::map::flags;

flags! {
    /// Errata that a card has, bit `n` for erratum `n` + 1.
    Errata: u32 {
        /// The interrupt of a ring pair is lost when many completions wait.
        0 INTERRUPT_SATURATION,
        /// Interrupts come that are masked, or for which nothing waits.
        1 SPURIOUS_INTERRUPT,
        /// A ring pair that is turned on again begins with descriptors from before.
        2 STALE_PREFETCH,
        /// A segment list that ends with a short segment faults.
        3 SHORT_LAST_SEGMENT,
        /// A command doorbell right behind that of another ring pair is lost.
        4 DOORBELL_COLLISION,
        /// The status word of a completion is visible before the rest of the entry.
        5 EARLY_STATUS,
        /// A soft reset clears the MSI-X table.
        6 RESET_CLEARS_VECTORS,
        /// The ready bit is set too early after a soft reset.
        7 EARLY_READY,
        /// A soft reset while a ring pair is on hangs the card.
        8 RESET_WHILE_ENABLED,
        /// A session that is created where there was one has no keys.
        9 STALE_CONTEXT,
        /// A soft reset begins anew when somebody looks whether it is over.
        10 POLLED_RESET,
        /// A vector that is programmed before one below it sends nothing.
        11 VECTOR_ORDER,
    }
}

/// Nothing here is a certain product's.
const STATUS: &str = "Cards whose `Errata` register says so. No fix is planned.";

/// One erratum as its sheet describes it.
#[derive(Clone, Copy, Debug)]
pub struct Erratum {
    /// Its bit.
    pub flag: Errata,
    /// Its name in profiles and scenarios.
    pub name: &'static str,
    /// When it strikes.
    pub condition: &'static str,
    /// What happens then.
    pub effect: &'static str,
    /// What a driver does about it.
    pub workaround: &'static str,
    /// Which cards have it, and whether that will change.
    pub status: &'static str,
}

impl Erratum {
    /// The errata sheet, in order of number.
    pub const SHEET: [Self; 12] = [
        Self {
            flag: Errata::INTERRUPT_SATURATION,
            name: "interrupt-saturation",
            condition: "A ring pair fires while 15 or more of its completions wait: its moderation \
                        counter has four bits.",
            effect: "The cause is latched and the pair is not armed any more, but no message is \
                     sent.",
            workaround: "While commands are in flight, look at the completion rings every 50 \
                         microseconds, whether or not an interrupt came.",
            status: STATUS,
        },
        Self {
            flag: Errata::SPURIOUS_INTERRUPT,
            name: "spurious-interrupt",
            condition: "A cause is latched whose bit in `InterruptMask` is set; or a completion \
                        doorbell arms a pair and acknowledges the last completion that waits.",
            effect: "The message is sent all the same. In the second case it uses up the arming.",
            workaround: "Do not rely on `InterruptMask`. Answer an interrupt for which there is no \
                         completion with a completion doorbell that arms the pair.",
            status: STATUS,
        },
        Self {
            flag: Errata::STALE_PREFETCH,
            name: "stale-prefetch",
            condition: "A pair that ran is stopped, by its control register or by a soft reset, \
                        and turned on again.",
            effect: "The first fetch gives the descriptor that was next when the pair stopped, and \
                     not the first of the ring.",
            workaround: "Write `reset` to `RingControl` once more while the pair is off.",
            status: STATUS,
        },
        Self {
            flag: Errata::SHORT_LAST_SEGMENT,
            name: "short-last-segment",
            condition: "The last segment of a list is shorter than 8 bytes.",
            effect: "The command ends with `ReadFault` or `WriteFault` at the address of that \
                     segment.",
            workaround: "Copy such a stream to one run of memory.",
            status: STATUS,
        },
        Self {
            flag: Errata::DOORBELL_COLLISION,
            name: "doorbell-collision",
            condition: "A command doorbell arrives less than 100 nanoseconds after that of another \
                        pair, and no register was read between them.",
            effect: "The second doorbell is lost.",
            workaround: "Read `CommandTail` after the doorbell, and ring again if it is not what \
                         was written.",
            status: STATUS,
        },
        Self {
            flag: Errata::EARLY_STATUS,
            name: "early-status",
            condition: "A completion entry is written to an even slot.",
            effect: "The status word is visible up to a microsecond before the rest of the \
                     entry, which meanwhile is what it was.",
            workaround: "Write a cookie that no command has to every entry before it is \
                         acknowledged. An entry that still has it is looked at again.",
            status: STATUS,
        },
        Self {
            flag: Errata::RESET_CLEARS_VECTORS,
            name: "reset-clears-vectors",
            condition: "A soft reset.",
            effect: "The MSI-X table is as after power-on: every vector is masked and has no \
                     message.",
            workaround: "Write the table again when the card is ready.",
            status: STATUS,
        },
        Self {
            flag: Errata::EARLY_READY,
            name: "early-ready",
            condition: "A soft reset.",
            effect: "`ready` is set and `resetting` clear from the beginning, while writes are \
                     still ignored.",
            workaround: "Wait until `Heartbeat` counts as well.",
            status: STATUS,
        },
        Self {
            flag: Errata::RESET_WHILE_ENABLED,
            name: "reset-while-enabled",
            condition: "A soft reset while a ring pair of the function is on.",
            effect: "The reset never ends. A function-level reset or loss of power heals it.",
            workaround: "Turn every ring pair off first.",
            status: STATUS,
        },
        Self {
            flag: Errata::STALE_CONTEXT,
            name: "stale-context",
            condition: "`SessionCreate` of a number that had a session since the last reset, if \
                        its context is still in the cache.",
            effect: "The session has the new parameters, but its keys are zeros.",
            workaround: "Give the session its keys again with `SessionRekey` before it is used.",
            status: STATUS,
        },
        Self {
            flag: Errata::POLLED_RESET,
            name: "polled-reset",
            condition: "A register is read before a soft reset is over.",
            effect: "The reset begins anew, so that it never ends for who looks often.",
            workaround: "Read no register for a millisecond after a soft reset. If it is not over \
                         then, wait twice as long before the next look, and so on.",
            status: STATUS,
        },
        Self {
            flag: Errata::VECTOR_ORDER,
            name: "vector-order",
            condition: "An entry of the MSI-X table is written for the first time since the table \
                        was cleared, and an entry below it has not been written.",
            effect: "The entry keeps what is written, but its vector sends nothing until the table \
                     is cleared again.",
            workaround: "Program the table from entry 0 upwards, without gaps.",
            status: STATUS,
        },
    ];

    /// Its number, from 1 on.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.flag.bits().trailing_zeros() + 1
    }

    /// What it is, in a sentence.
    #[must_use]
    pub const fn title(&self) -> &'static str {
        Errata::TABLE[self.flag.bits().trailing_zeros() as usize].description
    }
}

impl Errata {
    /// The erratum of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let mut sheet = Erratum::SHEET.iter();
        Some(sheet.find(|erratum| erratum.name == name)?.flag)
    }

    /// The names of these errata, in order of number.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let sheet = Erratum::SHEET.into_iter();
        sheet.filter_map(move |erratum| self.contains(erratum.flag).then_some(erratum.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_erratum_has_one_entry_and_a_name_of_its_own() {
        let mut all = Errata::empty();
        for (place, erratum) in (1..).zip(Erratum::SHEET) {
            assert_eq!(erratum.number(), place);
            assert_eq!(Errata::named(erratum.name), Some(erratum.flag));
            all |= erratum.flag;
        }
        assert_eq!(all, Errata::all());
        assert_eq!(all.names().count(), Erratum::SHEET.len());
        assert_eq!(Errata::named("no-such"), None);
    }
}
