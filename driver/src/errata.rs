//! Errata: which the card has, and how the driver lives with them.
//!
//! A card says in a register what it does wrong. For each erratum of the sheet (`regs::Erratum`)
//! the driver has a work-around, which a user may turn off; one that is turned off shows what
//! happens without it. Everything here is at bring-up, on the interrupt path or where something has
//! gone wrong already; what a card without errata pays is a test of a flag now and then.

use exhibit::{Exhibit, on};
use regs::{Errata, MAX_RING_PAIRS, Register, RingControl, RingId, RingRegister};
use timebase::{Span, Time};

use crate::card::{ALL_ONES, Card};
use crate::museum::IMPATIENT;
use crate::ring::{Reaped, Ring};
use crate::{DriverConfig, Transport};

/// Between two looks at the rings of a card that loses interrupts.
const POLL: Span = Span::from_us(50);
/// Until the first look at a card whose reset must not be looked at.
const HANDS_OFF: Span = Span::from_ms(1);
/// Until an entry that is not whole is looked at again.
pub(crate) const TORN_RETRY: Span = Span::from_ns(500);
/// How often a doorbell is rung at most.
const MAX_RINGS: u32 = 4;
/// Of a segment list, the shortest last segment that the card takes, in bytes.
pub(crate) const SHORTEST_LAST: u32 = 8;

/// What the driver makes of a card's errata.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quirks {
    has: Errata,
    ignored: Errata,
    /// The last count of a card that was looked at during a reset.
    heartbeat: Option<u32>,
    /// Before this nothing is read of a card that resets, and how long that was; unknown until
    /// somebody tells the time.
    hands_off: Option<(Time, Span)>,
    /// Some ring ended with an entry that is not whole yet.
    pub(crate) is_torn: bool,
}

impl Quirks {
    /// Of a card whose register reads `bits`.
    pub(crate) fn new(bits: u32, config: &DriverConfig) -> Self {
        Self {
            has: Errata::from_bits_truncate(bits),
            ignored: config.ignore_errata,
            heartbeat: None,
            hands_off: None,
            is_torn: false,
        }
    }

    /// Whether the card has `erratum` and the driver works around it.
    #[inline]
    pub(crate) fn avoids(&self, erratum: Errata) -> bool {
        self.has.difference(self.ignored).contains(erratum) && !is_forgotten(erratum)
    }

    /// Whether the card has `erratum` and the driver does as if it had not.
    #[inline]
    pub(crate) fn suffers(&self, erratum: Errata) -> bool {
        self.has.intersection(self.ignored).contains(erratum)
    }

    /// Whether an interrupt of a ring that `reaped` no entries is not answered: not yet, if an
    /// entry is there and not whole, or not at all.
    #[cold]
    pub(crate) fn leaves_alone(&self, reaped: Reaped) -> bool {
        reaped.is_torn || self.suffers(Errata::SPURIOUS_INTERRUPT)
    }

    /// Until when nothing may be read of a card that resets, if that is after `now`.
    pub(crate) fn hands_off(&mut self, now: Time) -> Option<Time> {
        if !self.avoids(Errata::POLLED_RESET) {
            return None;
        }
        let first = (now + HANDS_OFF, HANDS_OFF);
        let (until, _) = *self.hands_off.get_or_insert(first);
        (now < until).then_some(until)
    }

    /// Time to the next look at a card that was found resetting at `now`; `usual` for most.
    pub(crate) fn next_look(&mut self, now: Time, usual: Span) -> Span {
        match &mut self.hands_off {
            Some((until, span)) => {
                *span = *span * 2;
                *until = now + *span;
                *span
            }
            None => usual,
        }
    }

    /// How long a ring with work in flight may be left alone.
    pub(crate) fn patience(&self, watchdog: Span) -> Span {
        if on(Exhibit::ImpatientWatchdog) {
            return IMPATIENT;
        }
        match self.avoids(Errata::INTERRUPT_SATURATION) {
            true => watchdog.min(POLL),
            false => watchdog,
        }
    }
}

/// Whether nobody thought of a work-around of `erratum`.
#[inline]
fn is_forgotten(erratum: Errata) -> bool {
    match erratum {
        Errata::RESET_WHILE_ENABLED => on(Exhibit::ResetWhileEnabled),
        Errata::POLLED_RESET => on(Exhibit::PolledReset),
        Errata::SHORT_LAST_SEGMENT => on(Exhibit::ShortLastSegment),
        Errata::EARLY_STATUS => on(Exhibit::TornCompletion),
        _ => false,
    }
}

impl<T: Transport, J> Card<T, J> {
    /// What has to be done before a reset.
    pub(crate) fn prepare_reset(&mut self) {
        self.quirks.heartbeat = None;
        self.quirks.hands_off = None;
        if !self.quirks.avoids(Errata::RESET_WHILE_ENABLED) {
            return;
        }
        // Another driver may have left more of them on than this one uses.
        let pairs = match self.transport.read(Register::RingPairs.offset()) {
            ALL_ONES => return,
            pairs => pairs.min(MAX_RING_PAIRS),
        };
        for ring in 0..=pairs {
            let off = RingControl::new().into_bits();
            let at = RingId(ring as u16).register(RingRegister::RingControl);
            self.transport.write(at, off);
        }
    }

    /// Whether a card that says it is ready is believed.
    pub(crate) fn is_awake(&mut self) -> bool {
        if !self.quirks.avoids(Errata::EARLY_READY) {
            return true;
        }
        let count = self.transport.read(Register::Heartbeat.offset());
        let before = self.quirks.heartbeat.replace(count);
        before.is_some_and(|before| before != count)
    }

    /// What has to be done after a reset, before the first ring is turned on.
    pub(crate) fn prepare_rings(&mut self, used: usize) {
        if self.quirks.avoids(Errata::RESET_CLEARS_VECTORS) {
            self.transport.restore_vectors();
        }
        if self.quirks.avoids(Errata::STALE_PREFETCH) {
            self.sessions.ring.flush(&mut self.transport);
            for ring in &self.rings[..used] {
                ring.flush(&mut self.transport);
            }
        }
    }

    /// Makes sure that the last command doorbells of `rings`, bit `n` for ring `n`, have arrived.
    pub(crate) fn confirm_doorbells(&mut self, mut rings: u128) {
        if !self.quirks.avoids(Errata::DOORBELL_COLLISION) {
            return;
        }
        while rings != 0 {
            let ring = rings.trailing_zeros();
            rings &= rings - 1;
            let rung = match ring {
                0 => self.sessions.ring.confirm(&mut self.transport),
                ring => self.rings[ring as usize - 1].confirm(&mut self.transport),
            };
            self.counters.rerung.add(rung);
            self.counters.doorbells.add(rung);
        }
    }
}

impl<J> Ring<J> {
    /// Makes the card forget what it has prefetched of the pair, which is off.
    fn flush<T: Transport>(&self, transport: &mut T) {
        let reset = RingControl::new().with_reset(true).into_bits();
        transport.write(self.id().register(RingRegister::RingControl), reset);
    }

    /// Rings the command doorbell until the card has heard it; gives how often.
    fn confirm<T: Transport>(&mut self, transport: &mut T) -> u64 {
        let tail = self.id().register(RingRegister::CommandTail);
        for rung in 0..MAX_RINGS {
            if transport.read(tail) == self.published().0 {
                return rung.into();
            }
            self.publish(transport);
        }
        MAX_RINGS.into()
    }
}
