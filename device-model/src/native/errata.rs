//! Errata: how the card does wrong what its profile says it does wrong.
//!
//! Owns what an erratum needs to remember and the moments at which it strikes; the rest of the card
//! asks here at places that are not on the way of a command. The sheet is `regs::Erratum`.

use std::ops::Range;

use exhibit::{Exhibit, on};
use regs::{
    COMMAND_LEN, COMPLETION_LEN, CardSession, Completion, DeviceAddr, Errata, FunctionId, RingId,
};
use timebase::{Span, Time};

use super::command::Fault;
use super::transfer::Bus;
use crate::card::Card;
use crate::host::Host;
use crate::snapshot::{Check, check};

/// Waiting completions at which the moderation counter of a pair is full.
const SATURATED: u32 = 15;
/// Command doorbells of two pairs that are closer collide.
const COLLISION: Span = Span::from_ns(100);
/// From the status word of a completion to the rest of it.
const EARLY: Span = Span::from_us(1);
/// Bytes of a completion entry before its status word.
const FRONT_LEN: usize = Completion::STATUS_AT;
/// A last segment that is shorter faults, in bytes.
pub(super) const SHORTEST_LAST: u32 = 8;

/// A descriptor that was fetched before its pair was stopped.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Prefetched {
    ring: RingId,
    bytes: Vec<u8>,
}

/// The front of a completion entry whose status word is in memory already.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
struct Late {
    at: Time,
    ring: RingId,
    addr: DeviceAddr,
    front: [u8; FRONT_LEN],
}

/// What errata have to remember.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Memory {
    prefetched: Vec<Prefetched>,
    /// In order of time.
    late: Vec<Late>,
    /// The last command doorbell, if no register was read since.
    doorbell: Option<(Time, RingId)>,
}

impl Memory {
    /// Whether the next fetch of some pair gives a descriptor from before.
    #[inline]
    pub(super) const fn has_prefetched(&self) -> bool {
        !self.prefetched.is_empty()
    }

    /// When the next front of a completion entry is written.
    pub(crate) fn due(&self) -> Time {
        self.late.first().map_or(Time::NEVER, |late| late.at)
    }

    /// A register was read.
    pub(crate) const fn register_read(&mut self) {
        self.doorbell = None;
    }

    fn forget_late(&mut self, ring: usize) {
        self.late.retain(|late| usize::from(late.ring.0) != ring);
    }

    /// What a soft reset of the physical function forgets.
    pub(crate) fn forget(&mut self) {
        self.late.clear();
        self.doorbell = None;
    }

    /// As after power-on.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Nothing prefetched is left of the pairs of `rings`.
    pub(crate) fn flush_all(&mut self, rings: &Range<usize>) {
        let is_left = |of: &Prefetched| !rings.contains(&usize::from(of.ring.0));
        self.prefetched.retain(is_left);
    }

    /// Nothing prefetched is left of `ring`.
    fn flush(&mut self, ring: usize) {
        self.prefetched.retain(|of| usize::from(of.ring.0) != ring);
    }

    /// Whether a card with `rings` pairs can remember this.
    pub(crate) fn check(&self, rings: usize) -> Check {
        let is_pair = |ring: RingId| usize::from(ring.0) < rings;
        let mut prefetched = self.prefetched.iter();
        check(
            prefetched.all(|of| of.bytes.len() == COMMAND_LEN && is_pair(of.ring)),
            "a prefetched descriptor",
        )?;
        let late = &self.late;
        check(
            late.iter().all(|late| is_pair(late.ring)) && late.is_sorted_by_key(|late| late.at),
            "the rest of a completion",
        )
    }
}

impl Card {
    #[inline]
    pub(crate) const fn has(&self, erratum: Errata) -> bool {
        self.profile.errata.contains(erratum)
    }

    /// Whether the message of `ring`, which fires, is lost.
    pub(super) fn loses_message(&self, ring: usize) -> bool {
        let pending = self.rings[ring].coalescer.pending();
        let is_full = self.has(Errata::INTERRUPT_SATURATION) && pending >= SATURATED;
        is_full || (on(Exhibit::BurstInterruptLost) && self.tells_of_two())
    }

    /// Whether two pairs at least have fired and were not answered.
    #[cold]
    fn tells_of_two(&self) -> bool {
        let rings = self.rings.iter().map(|ring| &ring.coalescer);
        let told = rings.filter(|it| it.has_pending() && it.missing().is_none());
        told.count() >= 2
    }

    /// Whether the command doorbell of `ring` is lost at `now`.
    pub(crate) fn loses_doorbell(&mut self, now: Time, ring: usize) -> bool {
        let ring = RingId(ring as u16);
        let last = self.errata.doorbell.take();
        let collides = last.is_some_and(|(at, other)| other != ring && now < at + COLLISION);
        if !collides {
            self.errata.doorbell = Some((now, ring));
        }
        collides
    }

    /// `ring`, which runs, is about to be stopped: what it has prefetched stays where it is.
    pub(crate) fn keep_prefetched<H: Host>(&mut self, ring: usize, host: &mut H) {
        let pair = &self.rings[ring];
        if !self.has(Errata::STALE_PREFETCH) || !pair.is_running() {
            return;
        }
        let mut bytes = vec![0; COMMAND_LEN];
        let mut bus = Bus {
            master: pair.owner.master,
            host,
        };
        if bus.read(pair.command_addr(), &mut bytes).is_ok() {
            let ring = RingId(ring as u16);
            self.errata.prefetched.push(Prefetched { ring, bytes });
        }
    }

    /// Control register of `ring`, which is off, was written with `reset`.
    pub(crate) fn flush_prefetched(&mut self, ring: usize) {
        self.errata.flush(ring);
    }

    /// Puts what `ring` had prefetched in place of the first of the `descriptors` that arrived.
    #[cold]
    pub(super) fn use_prefetched(&mut self, ring: usize, descriptors: &mut [u8]) {
        let mut kept = self.errata.prefetched.iter();
        if let Some(of) = kept.find(|of| usize::from(of.ring.0) == ring) {
            descriptors[..COMMAND_LEN].copy_from_slice(&of.bytes);
            self.errata.flush(ring);
        }
    }

    /// Writes the fronts of completion entries that are due at `now`.
    pub(super) fn write_late<H: Host>(&mut self, now: Time, host: &mut H) {
        while let Some(late) = self.errata.late.first().filter(|late| late.at <= now) {
            let mut bus = Bus {
                master: self.rings[usize::from(late.ring.0)].owner.master,
                host: &mut *host,
            };
            // A fault here has no one to tell: the entry counts as written.
            let _ = bus.write(late.addr, &late.front);
            self.errata.late.remove(0);
        }
        self.update_ready_at();
    }

    /// `ring` stopped: nothing more is written for it.
    pub(crate) fn forget_late(&mut self, ring: usize) {
        self.errata.forget_late(ring);
        self.update_ready_at();
    }

    /// Writes `entry`, a completion for `ring`, to `addr`; the front of it perhaps later.
    #[cold]
    pub(super) fn write_with_care<H: Host>(
        &mut self,
        (at, ring): (Time, usize),
        (addr, entry): (DeviceAddr, &[u8; COMPLETION_LEN]),
        host: &mut H,
    ) -> Result<(), Fault> {
        // An older entry in the same slot must not come after this one.
        if self.errata.late.iter().any(|late| late.addr == addr) {
            self.write_late(Time::NEVER, host);
        }
        let mut bus = Bus {
            master: self.rings[ring].owner.master,
            host,
        };
        let is_even = (addr.0 / COMPLETION_LEN as u64).is_multiple_of(2);
        let is_early = self.has(Errata::EARLY_STATUS) || on(Exhibit::StatusFirst);
        if !is_early || !is_even {
            return bus.write(addr, entry);
        }
        let (front, status) = entry.split_first_chunk().expect("longer than its front");
        bus.write(addr.offset(FRONT_LEN as u64), status)?;
        self.errata.late.push(Late {
            at: at + EARLY,
            ring: RingId(ring as u16),
            addr,
            front: *front,
        });
        self.update_ready_at();
        Ok(())
    }

    /// A soft reset of `id` begins: what it does that it should not. Gives whether it ever ends.
    pub(crate) fn reset_goes_wrong<H: Host>(&mut self, id: FunctionId, host: &mut H) -> bool {
        let rings = match id.is_physical() {
            true => 0..self.rings.len(),
            false => self.function(id).rings.clone(),
        };
        let own = self.function(id).rings.clone();
        let hangs = self.has(Errata::RESET_WHILE_ENABLED)
            && self.rings[own].iter().any(|pair| pair.is_running());
        for ring in rings {
            self.keep_prefetched(ring, host);
        }
        if self.has(Errata::RESET_CLEARS_VECTORS) || on(Exhibit::VectorsLostInReset) {
            self.function_mut(id).pci.clear_vectors();
        }
        !hangs
    }

    /// A register of `id` is read at `now`: a reset that is under way begins anew.
    #[cold]
    pub(crate) fn read_in_reset(&mut self, now: Time, id: FunctionId) {
        let again = now + self.profile.reset_time;
        if let Some(until) = &mut self.function_mut(id).resetting_until {
            *until = again.max(*until);
            self.update_ready_at();
        }
    }

    /// `session` was created: its keys come from the cache if its number is still there.
    pub(super) fn create_from_cache(&mut self, session: CardSession) {
        let is_stale = self.has(Errata::STALE_CONTEXT) || on(Exhibit::ContextLost);
        if !is_stale || !self.cache.holds(session) {
            return;
        }
        if let Some((context, _)) = self.contexts.get(session) {
            let keys = vec![0; context.raw_keys().len()];
            // Keys that no session may have, such as two equal halves, are left alone.
            if let Ok(context) = context.with_keys(&keys) {
                self.contexts.replace(session, context);
                self.recount_retired();
            }
        }
    }
}
