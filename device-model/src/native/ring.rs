//! A ring pair: indices, room and state. The card's half of the descriptor exchange.
//!
//! Command ring: the driver publishes up to the tail it writes; the card owns the head. Completion
//! ring: the card owns the tail; the driver writes the head. In both, one slot stays empty, so that
//! equal indices mean empty. Does not reach host memory and keeps no time.

use std::collections::VecDeque;

use exhibit::{Exhibit, on};
use regs::{
    COMMAND_LEN, COMPLETION_LEN, CardSession, Command, DeviceAddr, FunctionId, MAX_RING_ENTRIES,
    MIN_RING_ENTRIES, RingControl, RingId, RingStatus, Slot,
};

use super::command::Work;
use super::ledger::RingCounters;
use crate::interrupt::Coalescer;
use crate::snapshot::{Check, check};

use super::schedule::OnCard;

/// Most commands of one ring that are on the card at once.
pub(crate) const RING_WINDOW: u32 = 256;

/// What a pair is doing. Transitions happen only in [`Ring::start`], [`Ring::stop`],
/// [`Ring::fail`] and [`Ring::end_drain`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) enum RingState {
    #[default]
    Stopped,
    Running,
    Failed,
    /// Stopped at the end of a drain; indices stay readable.
    Drained,
}

/// How a running pair comes to its end.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) enum Drain {
    /// It does not.
    #[default]
    No,
    /// What was fetched completes.
    Finish,
    /// What was fetched completes as aborted.
    Abort,
}

/// Registers that the driver writes before it turns the pair on.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Setup {
    pub(crate) command_base: u64,
    pub(crate) completion_base: u64,
    pub(crate) entries: u32,
    pub(crate) vector: u32,
}

/// A write to a register or doorbell made no sense; the pair fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Malformed;

/// Whose a pair is, and what its function lets it do.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Owner {
    pub(crate) function: FunctionId,
    /// Number of the pair among those of its function.
    pub(crate) local: RingId,
    /// The function, if it reaches memory.
    pub(crate) master: Option<FunctionId>,
    /// The function fetches and works.
    pub(crate) is_enabled: bool,
    /// The function's sessions among those of the card.
    pub(crate) first_session: u32,
    pub(crate) sessions: u32,
}

impl Owner {
    #[inline]
    pub(crate) const fn is_admin(&self) -> bool {
        self.local.0 == RingId::ADMIN.0
    }

    /// The session of the card that a command of the function means; one that no function has, if
    /// the function has none of that number.
    #[inline]
    pub(crate) const fn session(&self, CardSession(own): CardSession) -> CardSession {
        if own < self.sessions {
            CardSession(self.first_session + own)
        } else {
            CardSession(u32::MAX)
        }
    }
}

/// A ring pair.
#[derive(Debug, Default, serde::Deserialize, serde::Serialize)]
pub(crate) struct Ring {
    /// What the function knows, kept here for the way of a command.
    #[serde(skip)]
    pub(crate) owner: Owner,
    pub(crate) setup: Setup,
    state: RingState,
    drain: Drain,
    starve_interrupt: bool,
    /// What `setup` was when the pair turned on.
    active: Setup,
    command_head: u32,
    command_tail: u32,
    /// Commands of the fetch under way.
    pub(crate) fetching: u32,
    /// Commands on the card, whatever they wait for.
    pub(crate) outstanding: u32,
    completion_head: u32,
    completion_tail: u32,
    phase: bool,
    /// Slots of the completion ring that neither hold an entry nor are promised to a result.
    room: u32,
    /// Commands behind a fence, the fence first.
    pub(crate) fenced: VecDeque<Command>,
    /// Finished work that waits for room in the completion ring.
    pub(crate) held: VecDeque<Work>,
    pub(crate) coalescer: Coalescer,
    pub(crate) counters: RingCounters,
}

const fn replace_low(value: u64, low: u32) -> u64 {
    (value & !0xFFFF_FFFF) | low as u64
}

const fn replace_high(value: u64, high: u32) -> u64 {
    (value & 0xFFFF_FFFF) | ((high as u64) << 32)
}

impl Setup {
    pub(crate) fn set_command_low(&mut self, low: u32) {
        self.command_base = replace_low(self.command_base, low);
    }

    pub(crate) fn set_command_high(&mut self, high: u32) {
        self.command_base = replace_high(self.command_base, high);
    }

    pub(crate) fn set_completion_low(&mut self, low: u32) {
        self.completion_base = replace_low(self.completion_base, low);
    }

    pub(crate) fn set_completion_high(&mut self, high: u32) {
        self.completion_base = replace_high(self.completion_base, high);
    }

    fn check(&self) -> Result<(), Malformed> {
        let entries = u64::from(self.entries);
        let fits = |base: u64, entry: usize| {
            let end = base.checked_add(entries * entry as u64);
            base.is_multiple_of(entry as u64) && end.is_some()
        };
        if (MIN_RING_ENTRIES..=MAX_RING_ENTRIES).contains(&self.entries)
            && fits(self.command_base, COMMAND_LEN)
            && fits(self.completion_base, COMPLETION_LEN)
        {
            Ok(())
        } else {
            Err(Malformed)
        }
    }
}

impl Ring {
    /// A pair as after reset.
    pub(crate) fn of(owner: Owner) -> Self {
        Self {
            owner,
            ..Self::default()
        }
    }

    /// The pair as after reset, with what it counted.
    pub(crate) fn anew(&self) -> Self {
        let mut counters = self.counters;
        counters.forgotten += u64::from(self.outstanding);
        Self {
            counters,
            ..Self::of(self.owner)
        }
    }

    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.state == RingState::Running
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.state == RingState::Failed
    }

    /// Takes the setup over and begins at slot zero, first lap.
    pub(crate) fn start(&mut self) -> Result<(), Malformed> {
        self.stop();
        self.setup.check()?;
        self.active = self.setup;
        self.state = RingState::Running;
        self.phase = true;
        self.room = self.active.entries - 1;
        self.fenced.reserve(RING_WINDOW as usize);
        self.held.reserve(RING_WINDOW as usize);
        self.coalescer.start(self.active.entries);
        Ok(())
    }

    /// Stops and forgets everything but the setup.
    pub(crate) fn stop(&mut self) {
        self.clear();
        self.state = RingState::Stopped;
    }

    /// Stops on an error; indices stay readable.
    pub(crate) fn fail(&mut self) {
        self.forget_work();
        self.coalescer.stop();
        self.state = RingState::Failed;
    }

    fn clear(&mut self) {
        self.forget_work();
        self.coalescer.stop();
        self.active = Setup::default();
        self.command_head = 0;
        self.command_tail = 0;
        self.completion_head = 0;
        self.completion_tail = 0;
        self.phase = false;
    }

    /// Sets how the running pair comes to its end. An abort cannot be taken back.
    pub(crate) fn set_drain(&mut self, drain: Drain) {
        if self.drain != Drain::Abort {
            self.drain = drain;
        }
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain != Drain::No
    }

    #[inline]
    pub(crate) fn is_aborting(&self) -> bool {
        self.drain == Drain::Abort
    }

    /// Stops if the pair drains and nothing of it is on the card any more; gives whether it did.
    pub(crate) fn end_drain(&mut self) -> bool {
        let ends = self.is_draining() && self.outstanding == 0 && self.fetching == 0;
        if ends {
            self.drain = Drain::No;
            self.coalescer.stop();
            self.state = RingState::Drained;
        }
        ends
    }

    pub(crate) fn set_starve_interrupt(&mut self, tells: bool) {
        self.starve_interrupt = tells;
    }

    /// Whether the pair sends its interrupt when its last command completes.
    #[inline]
    pub(crate) fn tells_when_dry(&self) -> bool {
        self.starve_interrupt || self.is_draining()
    }

    /// Whether the pair has nothing on the card and nothing to fetch.
    pub(crate) fn is_dry(&self) -> bool {
        self.outstanding == 0 && self.fetching == 0 && (self.is_draining() || self.published() == 0)
    }

    fn forget_work(&mut self) {
        self.counters.forgotten += u64::from(self.outstanding);
        self.drain = Drain::No;
        self.fetching = 0;
        self.outstanding = 0;
        self.room = 0;
        self.fenced.clear();
        self.held.clear();
    }

    /// Value of the control register.
    pub(crate) fn control(&self) -> RingControl {
        RingControl::new()
            .with_enabled(self.is_running())
            .with_drain(self.is_draining())
            .with_abort(self.is_aborting())
            .with_starve_interrupt(self.starve_interrupt)
    }

    /// Value of the status register.
    pub(crate) fn status(&self) -> RingStatus {
        RingStatus::new()
            .with_running(self.is_running())
            .with_error(self.has_failed())
            .with_completion_full(!self.held.is_empty())
            .with_draining(self.is_draining())
            .with_drained(self.state == RingState::Drained)
    }

    pub(crate) const fn command_head(&self) -> Slot {
        Slot(self.command_head)
    }

    pub(crate) const fn command_tail(&self) -> Slot {
        Slot(self.command_tail)
    }

    pub(crate) const fn completion_head(&self) -> Slot {
        Slot(self.completion_head)
    }

    pub(crate) const fn completion_tail(&self) -> Slot {
        Slot(self.completion_tail)
    }

    pub(crate) const fn entries(&self) -> u32 {
        self.active.entries
    }

    #[inline]
    fn distance(&self, from: u32, to: u32) -> u32 {
        Slot(from).distance_to(Slot(to), self.active.entries)
    }

    /// Commands published and not fetched.
    #[inline]
    pub(crate) fn published(&self) -> u32 {
        self.distance(self.command_head, self.command_tail)
    }

    /// Completions written and not acknowledged.
    #[inline]
    pub(crate) fn unreaped(&self) -> u32 {
        self.distance(self.completion_head, self.completion_tail)
    }

    /// The command doorbell: everything before `tail` is published. What was published stays so.
    #[inline]
    pub(crate) fn publish(&mut self, tail: Slot) -> Result<(), Malformed> {
        if tail.0 >= self.active.entries
            || self.distance(self.command_head, tail.0) < self.published()
        {
            return Err(Malformed);
        }
        self.command_tail = tail.0;
        Ok(())
    }

    /// The completion doorbell: everything before `head` is acknowledged, which must have been
    /// written.
    #[inline]
    pub(crate) fn acknowledge(&mut self, head: Slot) -> Result<(), Malformed> {
        let acknowledged = self.distance(self.completion_head, head.0);
        if head.0 >= self.active.entries || acknowledged > self.unreaped() {
            return Err(Malformed);
        }
        self.room += acknowledged;
        self.completion_head = head.0;
        Ok(())
    }

    /// Takes the arming back if nothing waits since what followed `acknowledged` was acknowledged;
    /// gives whether it did.
    #[cold]
    pub(crate) fn fires_for_nothing(&mut self, acknowledged: Slot) -> bool {
        let fires = self.unreaped() == 0 && acknowledged != self.completion_head();
        if fires {
            self.coalescer.expire();
        }
        fires
    }

    /// How many commands the next fetch brings; zero if none is wanted now. A fetch waits until the
    /// window has room for all it would bring, so that a busy ring fetches in bursts.
    #[inline]
    pub(crate) fn fetch_size(&self, burst: u32) -> u32 {
        if !self.is_running() || self.fetching != 0 || !self.fenced.is_empty() || self.is_draining()
        {
            return 0;
        }
        let to_wrap = self.active.entries - self.command_head;
        let published = match on(Exhibit::FetchesPastTail) && self.published() > 0 {
            true => self.published() + 1,
            false => self.published(),
        };
        let wanted = published.min(burst).min(to_wrap);
        if RING_WINDOW - self.outstanding >= wanted {
            wanted
        } else {
            0
        }
    }

    /// Whether commands wait for one that leaves the card: at a fence, or to be fetched.
    #[inline]
    pub(crate) fn waits_for_room(&self) -> bool {
        !self.fenced.is_empty() || (self.command_head != self.command_tail && self.fetching == 0)
    }

    /// Where the slot that the next fetch begins with is in memory.
    pub(crate) fn command_addr(&self) -> DeviceAddr {
        let offset = u64::from(self.command_head) * COMMAND_LEN as u64;
        DeviceAddr(self.active.command_base).offset(offset)
    }

    /// `count` commands arrived.
    pub(crate) fn fetched(&mut self, count: u32) {
        let head = self.command_head + count;
        self.command_head = if head >= self.active.entries { 0 } else { head };
        self.fetching = 0;
        self.outstanding += count;
        self.counters.commands += u64::from(count);
    }

    /// Promises a completion slot to a result, if there is one.
    #[inline]
    pub(crate) fn promise_room(&mut self) -> bool {
        let has_room = self.room != 0;
        self.room -= u32::from(has_room);
        has_room
    }

    /// A result came to nothing: its slot goes to another.
    pub(crate) fn give_room_back(&mut self) {
        self.room += 1;
    }

    /// The next completion slot, its address, and the phase of its lap.
    #[inline]
    pub(crate) fn completion_slot(&self) -> (Slot, DeviceAddr, bool) {
        let slot = self.completion_tail;
        let offset = u64::from(slot) * COMPLETION_LEN as u64;
        let addr = DeviceAddr(self.active.completion_base).offset(offset);
        (Slot(slot), addr, self.phase)
    }

    /// The next completion slot was written.
    #[inline]
    pub(crate) fn completed(&mut self) {
        self.completion_tail += 1;
        if self.completion_tail >= self.active.entries {
            self.completion_tail = 0;
            self.phase = !self.phase;
        }
    }
}

impl Ring {
    /// Whether pair `index` can be in this state, with this on the card.
    pub(crate) fn check(&self, index: usize, on_card: OnCard, burst: u32) -> Check {
        let entries = self.active.entries;
        let slots = [
            self.command_head,
            self.command_tail,
            self.completion_head,
            self.completion_tail,
        ];
        if entries == 0 {
            check(slots == [0; 4], "slots of a pair without entries")?;
        } else {
            check(self.active.check().is_ok(), "setup of a pair")?;
            check(slots.iter().all(|&slot| slot < entries), "slots of a pair")?;
        }
        check(
            !self.is_draining() || self.is_running(),
            "drain of a pair that does not run",
        )?;
        let is_its_own = |work: &Work| usize::from(work.ring) == index;
        check(
            self.held.iter().all(is_its_own),
            "a held result of another pair",
        )?;
        let waiting = (self.held.len() + self.fenced.len()) as u32;
        check(
            self.outstanding == on_card.queued + waiting,
            "commands on the card",
        )?;
        check(
            self.fetching == on_card.fetches.iter().sum::<u32>(),
            "commands of a fetch",
        )?;
        check(on_card.fetches.len() <= 1, "fetches of a pair")?;
        if !self.is_running() {
            return check(
                self.outstanding == 0 && self.fetching == 0,
                "work of a stopped pair",
            );
        }
        check(entries != 0, "entries of a running pair")?;
        let burst = burst.min(entries - self.command_head).min(self.published());
        check(self.fetching <= burst, "length of a fetch")?;
        check(
            self.outstanding + self.fetching <= RING_WINDOW,
            "window of a pair",
        )?;
        let used = self.unreaped() + on_card.results;
        check(self.room + used == entries - 1, "room for completions")?;
        self.coalescer.check(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring_of(entries: u32) -> Ring {
        let mut ring = Ring {
            setup: Setup {
                command_base: 0x1000,
                completion_base: 0x2000,
                entries,
                vector: 1,
            },
            ..Ring::default()
        };
        ring.start().unwrap();
        ring
    }

    #[test]
    fn both_rings_wrap_at_every_size() {
        for entries in [2, 3, 5, 8] {
            let mut ring = ring_of(entries);
            for lap in 0..3 * entries {
                let slot = lap % entries;
                assert_eq!(ring.command_head(), Slot(slot));
                ring.publish(Slot(slot).next(entries)).unwrap();
                assert_eq!(ring.fetch_size(16), 1);
                assert_eq!(ring.command_addr().0, 0x1000 + u64::from(slot) * 64);
                ring.fetched(1);
                let (at, addr, phase) = ring.completion_slot();
                assert_eq!(at, Slot(slot));
                assert_eq!(addr.0, 0x2000 + u64::from(slot) * 32);
                assert_eq!(phase, (lap / entries) % 2 == 0, "flips each lap");
                assert!(ring.promise_room());
                ring.completed();
                ring.outstanding -= 1;
                ring.acknowledge(ring.completion_tail()).unwrap();
            }
        }
    }

    #[test]
    fn one_completion_slot_stays_empty() {
        for entries in [2, 3, 5, 8] {
            let mut ring = ring_of(entries);
            for _ in 0..entries - 1 {
                assert!(ring.promise_room());
                ring.completed();
            }
            assert!(!ring.promise_room());
            ring.acknowledge(Slot(1 % entries)).unwrap();
            assert!(ring.promise_room());
            assert!(!ring.promise_room());
        }
    }

    #[test]
    fn a_fetch_stops_at_the_end_of_the_ring() {
        let mut ring = ring_of(8);
        ring.publish(Slot(6)).unwrap();
        assert_eq!(ring.fetch_size(16), 6);
        ring.fetched(6);
        ring.publish(Slot(3)).unwrap();
        assert_eq!(ring.fetch_size(16), 2);
        ring.fetched(2);
        assert_eq!(ring.fetch_size(16), 3);
        assert_eq!(ring.fetch_size(2), 2);
    }

    #[test]
    fn doorbells_that_make_no_sense_are_refused() {
        let mut ring = ring_of(8);
        assert_eq!(ring.publish(Slot(8)), Err(Malformed));
        ring.publish(Slot(4)).unwrap();
        assert_eq!(ring.publish(Slot(3)), Err(Malformed), "backwards");
        assert_eq!(ring.acknowledge(Slot(1)), Err(Malformed), "not written");
        assert_eq!(ring.acknowledge(Slot(u32::MAX)), Err(Malformed));
        assert_eq!(ring.acknowledge(Slot(0)), Ok(()));
    }

    #[test]
    fn sizes_and_addresses_that_make_no_ring_are_refused() {
        let refused = |change: fn(&mut Setup)| {
            let mut ring = ring_of(8);
            change(&mut ring.setup);
            ring.start() == Err(Malformed) && !ring.is_running()
        };
        assert!(refused(|s| s.entries = 1));
        assert!(refused(|s| s.entries = MAX_RING_ENTRIES + 1));
        assert!(refused(|s| s.command_base = 0x1020));
        assert!(refused(|s| s.completion_base = 0x2010));
        assert!(refused(|s| s.command_base = u64::MAX - 63));
    }
}
