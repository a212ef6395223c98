//! Interrupts: coalescing of one ring pair, and the function's latched causes.
//!
//! A pair sends one message each time it is armed. It fires when the completions that wait reach
//! the count, or when the timer runs out after the first of them. Turning the pair on arms it; the
//! completion doorbell arms it again. Completions that the driver has already acknowledged do not
//! wait.

use regs::{INTERRUPT_MAILBOX, RingId};
use timebase::{Span, Time};

use crate::snapshot::{Check, check};

/// What a completion does to the coalescing of its pair.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Coalesced {
    /// It waits with the others.
    Waits,
    /// The pair may fire now, and the timer may have started or stopped.
    Acts { fires: bool, timer_changed: bool },
}

/// Coalescing of one ring pair.
#[derive(Debug, serde::Deserialize, serde::Serialize)]
pub(crate) struct Coalescer {
    count: u32,
    timer_ns: u32,
    armed: bool,
    pending: u32,
    expiry: Time,
    /// One bit for each slot of the completion ring: this completion does not count.
    quiet: Vec<u64>,
    any_quiet: bool,
}

impl Default for Coalescer {
    fn default() -> Self {
        Self {
            count: 1,
            timer_ns: 0,
            armed: false,
            pending: 0,
            expiry: Time::NEVER,
            quiet: Vec::new(),
            any_quiet: false,
        }
    }
}

impl Coalescer {
    /// The pair turned on with `entries` slots.
    pub(crate) fn start(&mut self, entries: u32) {
        self.stop();
        self.armed = true;
        self.quiet.resize(entries.div_ceil(64) as usize, 0);
    }

    /// The pair turned off: nothing waits any more. Count and timer stay.
    pub(crate) fn stop(&mut self) {
        self.armed = false;
        self.pending = 0;
        self.expiry = Time::NEVER;
        self.quiet.clear();
        self.any_quiet = false;
    }

    pub(crate) const fn count(&self) -> u32 {
        self.count
    }

    pub(crate) const fn timer_ns(&self) -> u32 {
        self.timer_ns
    }

    /// When the timer runs out.
    #[inline]
    pub(crate) const fn expiry(&self) -> Time {
        self.expiry
    }

    /// Time from the first waiting completion to the interrupt, if the timer is on.
    #[inline]
    pub(crate) const fn timer(&self) -> Option<Span> {
        if self.timer_ns == 0 {
            None
        } else {
            Some(Span::from_ns(self.timer_ns as u64))
        }
    }

    /// Completions that wait.
    pub(crate) const fn pending(&self) -> u32 {
        self.pending
    }

    /// Whether any completion waits.
    pub(crate) const fn has_pending(&self) -> bool {
        self.pending != 0
    }

    /// Completions still missing until the count fires, if the pair is armed.
    #[inline]
    pub(crate) fn missing(&self) -> Option<u32> {
        let count = self.count.max(1);
        self.armed
            .then(|| count.saturating_sub(self.pending).max(1))
    }

    /// Sets the count; gives whether the pair fires now.
    #[must_use]
    pub(crate) fn set_count(&mut self, count: u32) -> bool {
        self.count = count;
        self.fires()
    }

    /// Sets the timer, which runs from `now` for completions that wait.
    pub(crate) fn set_timer(&mut self, now: Time, timer_ns: u32) {
        self.timer_ns = timer_ns;
        self.expiry = Time::NEVER;
        self.run_timer(now);
    }

    /// A completion became visible in `slot` at `at`.
    #[must_use]
    #[inline(always)]
    pub(crate) fn complete(&mut self, at: Time, slot: u32, counted: bool) -> Coalesced {
        if !counted || self.any_quiet {
            self.mark(slot, !counted);
        }
        if !counted {
            return Coalesced::Waits;
        }
        self.pending = self.pending.saturating_add(1);
        if self.pending != 1 && (!self.armed || self.pending < self.count) {
            return Coalesced::Waits;
        }
        self.act(at)
    }

    #[inline(never)]
    fn act(&mut self, at: Time) -> Coalesced {
        let before = self.expiry;
        if self.pending == 1 {
            self.run_timer(at);
        }
        Coalesced::Acts {
            fires: self.fires(),
            timer_changed: self.expiry != before,
        }
    }

    /// The driver acknowledged everything before `head`, and the next completion goes to `tail`.
    /// The timer of what still waits starts again.
    pub(crate) fn acknowledge(&mut self, now: Time, head: u32, tail: u32, entries: u32) {
        let waiting = if tail >= head {
            tail - head
        } else {
            tail + entries - head
        };
        self.pending = waiting - self.quiet_between(head, waiting, entries);
        self.expiry = Time::NEVER;
        self.run_timer(now);
    }

    /// Arms the pair at `now`; gives whether it fires at once.
    #[must_use]
    pub(crate) fn arm(&mut self, now: Time) -> bool {
        self.armed = true;
        self.run_timer(now);
        self.fires()
    }

    /// Fires for whatever waits, if the pair is armed.
    #[must_use]
    pub(crate) fn fire_early(&mut self) -> bool {
        let fires = self.armed && self.pending != 0;
        if fires {
            self.expire();
        }
        fires
    }

    /// Whether the coalescing of a running pair of `entries` can be in this state.
    pub(crate) fn check(&self, entries: u32) -> Check {
        check(
            self.quiet.len() == entries.div_ceil(64) as usize,
            "quiet completions",
        )
    }

    /// The timer ran out.
    pub(crate) fn expire(&mut self) {
        self.armed = false;
        self.expiry = Time::NEVER;
    }

    #[inline]
    fn fires(&mut self) -> bool {
        let fires = self.armed && self.pending >= self.count.max(1);
        if fires {
            self.expire();
        }
        fires
    }

    #[inline]
    fn run_timer(&mut self, from: Time) {
        if self.armed
            && self.pending != 0
            && self.expiry == Time::NEVER
            && let Some(timer) = self.timer()
        {
            self.expiry = from + timer;
        }
    }

    #[inline(never)]
    fn mark(&mut self, slot: u32, quiet: bool) {
        let bit = 1 << (slot % 64);
        if let Some(word) = self.quiet.get_mut(slot as usize / 64) {
            if quiet {
                *word |= bit;
            } else {
                *word &= !bit;
            }
        }
        self.any_quiet |= quiet;
    }

    /// Completions among the `len` from slot `from` on that do not count.
    fn quiet_between(&self, from: u32, len: u32, entries: u32) -> u32 {
        if !self.any_quiet {
            return 0;
        }
        let is_quiet = |slot: u32| {
            let word = self.quiet.get(slot as usize / 64).copied().unwrap_or(0);
            word >> (slot % 64) & 1 != 0
        };
        let slots = (0..len).map(|step| (from + step) % entries);
        slots.filter(|&slot| is_quiet(slot)).count() as u32
    }
}

/// The function's latched causes and their mask.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Causes {
    latched: u32,
    mask: u32,
}

impl Causes {
    pub(crate) const fn latched(&self) -> u32 {
        self.latched
    }

    pub(crate) const fn mask(&self) -> u32 {
        self.mask
    }

    /// Latches `cause`; gives whether a message goes out. Rings past the first 30 have no cause bit
    /// and cannot be masked.
    #[must_use]
    pub(crate) fn latch(&mut self, cause: u32) -> bool {
        self.latched |= cause;
        cause == 0 || self.mask & cause == 0
    }

    pub(crate) fn clear(&mut self, ones: u32) {
        self.latched &= !ones;
    }

    /// Sets the mask; gives the causes that were latched behind it and send their message now.
    #[must_use]
    pub(crate) fn set_mask(&mut self, mask: u32) -> u32 {
        let uncovered = self.latched & self.mask & !mask;
        self.mask = mask;
        uncovered
    }
}

/// The cause bit of `ring`, zero if it has none.
pub(crate) const fn cause_of(ring: RingId) -> u32 {
    if ring.0 < INTERRUPT_MAILBOX.trailing_zeros() as u16 {
        1 << ring.0
    } else {
        0
    }
}
