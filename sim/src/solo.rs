//! One card in one slot, for a driver that is called from outside and not by a world.
//!
//! Owns the clock, the link, the card and the faults; whoever drives the card reads and writes its
//! registers, and says how far time shall go. A register access itself takes no time. Watched by
//! the checkers, but for ring ownership: who writes into a ring by itself tells nobody.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use device_model::{Card, Profile};
use dma::{Coherent, Pool, PoolError};
use driver::{Direction, MapError, Transport as _};
use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use regs::{BAR0_LEN, DeviceAddr};
use timebase::Time;

use crate::checker::Checkers;
use crate::event::Event;
use crate::link::{Clock, Delays, LinkTransport, Port};
use crate::outcome::Violation;
use crate::recorder::{Level, Recorder};
use crate::scenario::{Action, Scenario, ScenarioError, Trigger};
use crate::world::World;
use crate::world::builder::Builder;
use crate::world::faults::present;

/// The check that needs a driver which tells what it writes.
const NOT_WATCHED: &str = "ring ownership";
/// End of virtual time: what is still under way then has room to arrive.
const END: Time = Time::from_ps(1 << 63);
/// The only slot.
const SLOT: u16 = 0;

/// A card and the machine around it.
#[derive(Debug)]
pub struct Solo {
    /// What the scenario is made of, for faults that come later.
    builder: Builder,
    profile: Profile,
    clock: Clock,
    port: Rc<RefCell<Port>>,
    transport: LinkTransport,
    alive: Rc<Cell<bool>>,
    pool: Pool,
    recorder: Rc<RefCell<Recorder>>,
    chance: Xoshiro256PlusPlus,
    blocks: BTreeMap<u64, Coherent>,
    /// Faults that are still to happen.
    script: Vec<(Time, Action)>,
    /// Faults that were ever listed.
    listed: usize,
    /// Interrupts that arrived and were not taken.
    pending: u128,
}

/// Why something cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum SoloError {
    /// The scenario, or a fault, is none.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The scenario has more slots than one, or none.
    #[error("{0} cards in the scenario, and there is one slot")]
    Slots(usize),
    /// No card can be made after the profile.
    #[error("the profile makes no card: {0}")]
    Profile(String),
    /// A fault needs a framework, its requests or its drivers.
    #[error("fault {0} of the text needs a framework, and there is none")]
    Fault(usize),
    /// There is no register there.
    #[error("no register at {0:#x}: a multiple of 4 below {BAR0_LEN:#x}")]
    Offset(u32),
    /// Memory is used up, or there never was as much.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// Nobody can be given no memory.
    #[error("no memory of 0 bytes")]
    NoBytes,
    /// The card cannot be shown the memory.
    #[error(transparent)]
    Map(#[from] MapError),
    /// No memory begins at this address.
    #[error("no memory was given out at {0:#x}")]
    Address(u64),
    /// Virtual time ends before.
    #[error("{0} ns from now is beyond virtual time")]
    Time(u64),
}

/// Memory that driver and card share.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Block {
    /// Where the driver finds it: so many bytes behind the start of the [pool](Solo::pool).
    pub offset: usize,
    /// Where the card sees it.
    pub addr: DeviceAddr,
}

impl Solo {
    /// The card that a scenario text describes, in its slot. Without a text it is one of profile
    /// `reference`. Of a scenario the card, jitter, pool and faults count.
    ///
    /// # Errors
    /// [`SoloError`] if the text is no scenario of one card.
    pub fn new(text: Option<&str>, seed: u64) -> Result<Self, SoloError> {
        let builder = match text {
            Some(text) => World::builder().toml(text),
            None => World::builder().card("reference"),
        };
        let scenario = builder.scenario()?;
        let [spec] = &scenario.cards[..] else {
            return Err(SoloError::Slots(scenario.cards.len()));
        };
        let is_present = spec.present;
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        let delays = Delays::of(&scenario, chance.next_u64());
        let recorder = Recorder::new(Level::Check, Checkers::default());
        let recorder = Rc::new(RefCell::new(recorder));
        let clock = Rc::new(Cell::new(Time::ZERO));
        let port = Port::new(SLOT, Rc::clone(&clock), Rc::clone(&recorder), delays);
        let port = Rc::new(RefCell::new(port));
        let pool = Pool::new(scenario.pool_len)?;
        let alive = Rc::new(Cell::new(false));
        let mut solo = Self {
            transport: LinkTransport::new(Rc::clone(&port), pool.clone(), Rc::clone(&alive)),
            clock,
            port,
            alive,
            pool,
            recorder,
            chance,
            blocks: BTreeMap::new(),
            script: Vec::new(),
            listed: 0,
            pending: 0,
            profile: spec.profile.clone(),
            builder,
        };
        // A profile that makes no card is found now, and not when it is plugged in.
        let card = solo.card()?;
        if is_present {
            solo.insert(card);
        }
        solo.list(&scenario)?;
        Ok(solo)
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.clock.get()
    }

    /// Where memory comes from.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Reads a register of BAR 0. All ones if nobody answers.
    ///
    /// # Errors
    /// [`SoloError::Offset`] if there cannot be a register.
    pub fn read(&mut self, offset: u32) -> Result<u32, SoloError> {
        check_offset(offset)?;
        Ok(self.transport.read(offset))
    }

    /// Writes a register of BAR 0. Posted: it arrives later, in order.
    ///
    /// # Errors
    /// [`SoloError::Offset`] if there cannot be a register.
    pub fn write(&mut self, offset: u32, value: u32) -> Result<(), SoloError> {
        check_offset(offset)?;
        self.transport.write(offset, value);
        Ok(())
    }

    /// Gives out `len` bytes of zeros that driver and card may touch at any time.
    ///
    /// # Errors
    /// [`SoloError`] if there is no such memory.
    pub fn allocate(&mut self, len: usize) -> Result<Block, SoloError> {
        if len == 0 {
            return Err(SoloError::NoBytes);
        }
        let capacity = self.pool.capacity();
        if len > capacity {
            return Err(PoolError::Exhausted {
                bytes: len,
                capacity,
            }
            .into());
        }
        let block = self.pool.coherent(len)?;
        let addr = self.transport.share(&block, Direction::Bidirectional)?;
        let offset = block.offset();
        self.blocks.insert(addr.0, block);
        Ok(Block { offset, addr })
    }

    /// Takes memory back: the card cannot reach it any more.
    ///
    /// # Errors
    /// [`SoloError::Address`] if none was given out there.
    pub fn release(&mut self, addr: DeviceAddr) -> Result<(), SoloError> {
        let block = self.blocks.remove(&addr.0);
        block.ok_or(SoloError::Address(addr.0))?;
        self.transport.unshare(addr);
        Ok(())
    }

    /// Lets this many nanoseconds of virtual time go by.
    ///
    /// # Errors
    /// [`SoloError::Time`] if virtual time ends before.
    pub fn advance(&mut self, ns: u64) -> Result<(), SoloError> {
        let until = self.after(ns)?;
        while self.step(until) {}
        Ok(())
    }

    /// Lets time go by until an interrupt arrives, at most `ns` nanoseconds. Takes the interrupts
    /// that have arrived, bit `n` for vector `n`; none if there was none.
    ///
    /// # Errors
    /// [`SoloError::Time`] if virtual time ends before.
    pub fn wait(&mut self, ns: u64) -> Result<u128, SoloError> {
        let until = self.after(ns)?;
        self.act();
        while self.pending == 0 && self.step(until) {}
        Ok(std::mem::take(&mut self.pending))
    }

    /// Lists faults: `[[fault]]` as in a scenario, whose times count from now. Other keys of a
    /// scenario do nothing here.
    ///
    /// # Errors
    /// [`SoloError`] if the text has no faults for a card alone; none of them is listed then.
    pub fn fault(&mut self, text: &str) -> Result<(), SoloError> {
        let builder = self.builder.clone().toml(text);
        self.list(&builder.scenario()?)?;
        self.builder = builder;
        self.act();
        Ok(())
    }

    /// What the checkers found so far.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        let (_, mut violations) = self.recorder.borrow_mut().checkers().results();
        violations.retain(|violation| violation.check != NOT_WATCHED);
        violations
    }

    /// Digest of everything that has happened.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.recorder.borrow().digest()
    }

    fn after(&self, ns: u64) -> Result<Time, SoloError> {
        let ps = ns.checked_mul(1_000);
        let ps = ps.and_then(|ps| self.now().as_ps().checked_add(ps));
        let time = ps.map(Time::from_ps).filter(|&time| time < END);
        time.ok_or(SoloError::Time(ns))
    }

    /// Goes to the next thing that happens until `until`, or there. False at the end.
    fn step(&mut self, until: Time) -> bool {
        self.act();
        let (card, interrupt) = {
            let port = self.port.borrow();
            (port.card_deadline(), port.interrupt_deadline())
        };
        let fault = self.script.iter().map(|&(at, _)| at).min();
        let next = card.min(interrupt).min(fault.unwrap_or(Time::NEVER));
        let is_near = next <= until;
        self.clock.set(next.min(until).max(self.now()));
        self.act();
        is_near
    }

    /// Does what is due now.
    fn act(&mut self) {
        self.port.borrow_mut().advance();
        while let Some(due) = self.script.iter().position(|it| it.0 <= self.now()) {
            let (_, action) = self.script.remove(due);
            self.perform(action);
        }
        self.pending |= self.transport.take_interrupts();
    }

    /// Adds the faults of `scenario` that were not listed before.
    fn list(&mut self, scenario: &Scenario) -> Result<(), SoloError> {
        if scenario.cards.len() != 1 {
            return Err(SoloError::Slots(scenario.cards.len()));
        }
        let mut previous = self.now();
        let mut added = Vec::new();
        let faults = &scenario.faults[self.listed..];
        for (number, fault) in (1..).zip(faults) {
            let at = match fault.trigger {
                Trigger::At(at) => self.now() + at.since(Time::ZERO),
                Trigger::AfterPrevious(span) => previous + span,
                _ => return Err(SoloError::Fault(number)),
            };
            // What is beyond the end does not happen.
            let at = at.min(END);
            match fault.action {
                Action::Unplug { .. }
                | Action::Plug { .. }
                | Action::Message { .. }
                | Action::Latch { .. } => {}
                _ => return Err(SoloError::Fault(number)),
            }
            previous = at;
            added.push((at, fault.action));
        }
        self.listed = scenario.faults.len();
        let present = present(faults, self.chance.next_u64());
        let added = added.into_iter().zip(present);
        self.script
            .extend(added.filter_map(|(it, is_in)| is_in.then_some(it)));
        Ok(())
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Unplug { .. } => self.pull_out(),
            Action::Plug { .. } if !self.alive.get() => {
                let card = self.card().expect("the profile made one before");
                self.insert(card);
                self.record(Event::Plugged { card: SLOT });
            }
            Action::Message { rule, .. } => {
                let seed = self.chance.next_u64();
                self.port.borrow_mut().rules().arm(self.listed, rule, seed);
            }
            Action::Latch { latch, .. } => {
                if let Some(card) = self.port.borrow_mut().card_mut() {
                    card.latch(latch);
                }
            }
            _ => {}
        }
    }

    fn card(&self) -> Result<Card, SoloError> {
        Card::new(self.profile.clone()).map_err(|error| SoloError::Profile(error.to_string()))
    }

    fn insert(&mut self, card: Card) {
        self.port.borrow_mut().plug(card);
        self.alive = Rc::new(Cell::new(true));
        let (port, pool) = (Rc::clone(&self.port), self.pool.clone());
        self.transport = LinkTransport::new(port, pool, Rc::clone(&self.alive));
    }

    fn pull_out(&mut self) {
        if self.port.borrow_mut().unplug().is_some() {
            self.alive.set(false);
            self.pending = 0;
            self.record(Event::Unplugged { card: SLOT });
        }
    }

    fn record(&self, event: Event) {
        self.recorder.borrow_mut().record(self.now(), event);
    }
}

fn check_offset(offset: u32) -> Result<(), SoloError> {
    let is_register = offset < BAR0_LEN && offset.is_multiple_of(4);
    is_register.then_some(()).ok_or(SoloError::Offset(offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::Register;
    use timebase::Span;

    const STATUS: u32 = Register::DeviceStatus.offset();

    #[test]
    fn a_card_answers_until_it_is_pulled_out_and_another_one_does_after_it() {
        let mut solo = Solo::new(None, 1).unwrap();
        let id = solo.read(Register::DeviceId.offset()).unwrap();
        assert_eq!(id, regs::DEVICE_ID);
        solo.fault("[[fault]]\nat_us = 5\nunplug = \"card0\"\n")
            .unwrap();
        solo.fault("[[fault]]\nat_us = 8\nplug = \"card0\"\n")
            .unwrap();
        solo.advance(4_999).unwrap();
        assert_ne!(solo.read(STATUS).unwrap(), u32::MAX);
        solo.advance(1).unwrap();
        assert_eq!(solo.read(STATUS).unwrap(), u32::MAX);
        assert_eq!(solo.wait(10_000).unwrap(), 0);
        assert_ne!(solo.read(STATUS).unwrap(), u32::MAX);
        assert_eq!(solo.now(), Time::ZERO + Span::from_us(15));
        assert!(solo.violations().is_empty(), "{:?}", solo.violations());
    }

    #[test]
    fn what_a_driver_must_not_do_is_found() {
        let mut solo = Solo::new(Some("[[card]]\nprofile = \"slow\"\n"), 1).unwrap();
        solo.write(STATUS, 1).unwrap();
        assert_eq!(solo.violations().len(), 1, "{:?}", solo.violations());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let mut solo = Solo::new(None, 0).unwrap();
        for offset in [1, 2, BAR0_LEN, u32::MAX] {
            assert!(matches!(solo.read(offset), Err(SoloError::Offset(_))));
            assert!(matches!(solo.write(offset, 0), Err(SoloError::Offset(_))));
        }
        // Every other is harmless, whatever there is.
        for offset in (0..BAR0_LEN).step_by(4) {
            solo.read(offset).unwrap();
        }
        assert!(matches!(solo.allocate(0), Err(SoloError::NoBytes)));
        assert!(matches!(solo.allocate(usize::MAX), Err(SoloError::Pool(_))));
        let block = solo.allocate(100).unwrap();
        solo.release(block.addr).unwrap();
        assert!(matches!(
            solo.release(block.addr),
            Err(SoloError::Address(_))
        ));
        assert!(matches!(solo.advance(u64::MAX), Err(SoloError::Time(_))));
        assert!(matches!(
            solo.wait(u64::MAX / 1_000),
            Err(SoloError::Time(_))
        ));
        for text in [
            "[[fault]]\nat_us = 1\nrebalance = true\n",
            "[[fault]]\nafter_requests = 1\nunplug = \"card0\"\n",
        ] {
            assert!(matches!(solo.fault(text), Err(SoloError::Fault(1))));
        }
        assert!(matches!(
            solo.fault("[[fault]"),
            Err(SoloError::Scenario(_))
        ));
        let end = (1 << 63) / 1_000;
        assert!(matches!(solo.wait(end + 1), Err(SoloError::Time(_))));
        solo.advance(end).unwrap();
        solo.write(STATUS, 1).unwrap();
        let later = "[[fault]]\nat_us = 3600000000\nunplug = \"card0\"\n\
                     [[fault]]\nafter_previous_us = 3600000000\nplug = \"card0\"\n";
        solo.fault(later).unwrap();
        assert!(matches!(solo.advance(1_000), Err(SoloError::Time(_))));
        let two = "[[card]]\n[[card]]\n";
        assert!(matches!(Solo::new(Some(two), 0), Err(SoloError::Slots(2))));
        assert!(matches!(
            Solo::new(Some("?"), 0),
            Err(SoloError::Scenario(_))
        ));
    }
}
