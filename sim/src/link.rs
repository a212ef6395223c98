//! The in-process link: a machine slot with a card in it on one side, a driver on the other.
//!
//! Owns the card, its DMA windows and what is under way between the two: posted register writes
//! downwards (in order), interrupt messages upwards. Register reads push the writes before them, as
//! on PCIe. A slot that is empty answers with all ones and loses writes.

mod posted;
mod side;
mod transport;
mod upstream;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use device_model::pci::{BarAccess, ConfigAccess};
use device_model::{Card, LinkBacklog};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use regs::pci::{
    ConfigRegister, MSIX_BAR, MSIX_ENTRY_LEN, MSIX_TABLE, NOBODY, RETRY_VENDOR, express, header,
    msix, power,
};
use regs::{DOORBELL_PAGE, DeviceAddr, FunctionId, RingId, Vector};
use timebase::{Span, Time};

pub(crate) use self::posted::{Posted, PostedWrite, answer};
pub(crate) use self::side::CardSide;
pub use self::transport::LinkTransport;
pub(crate) use self::upstream::{LateWrite, Upstream};
use crate::checker::RegisterAccess;
use crate::event::Event;
use crate::memory::WindowTable;
use crate::recorder::Recorder;
use crate::rule::{Message, Rules};
use crate::scenario::Scenario;

/// Where the machine takes interrupt messages; their data is the vector.
pub(crate) const MESSAGES: DeviceAddr = DeviceAddr(0xFEE0_0000);
/// Reads up to 4 KiB.
const LONGEST_READ: u32 = 5;

/// Virtual time as everybody in the world reads it.
pub type Clock = Rc<Cell<Time>>;

/// One machine slot.
#[derive(Debug)]
pub struct Port {
    index: u16,
    card: Option<Card>,
    windows: WindowTable,
    writes: Posted<u32>,
    interrupts: VecDeque<(Time, Vector)>,
    pending_vectors: u128,
    /// The card is reset or asleep, and nobody told its driver: what that does to it meanwhile is
    /// not the driver's mistake.
    is_unannounced: bool,
    /// The machine programs vectors from the last to the first.
    is_backward: bool,
    /// Writes of the card to memory that have not arrived.
    upstream: Upstream,
    clock: Clock,
    recorder: Rc<RefCell<Recorder>>,
    delays: Delays,
    rules: Rules,
    /// The link behind which the slot shares with others, if it does.
    uplink: Option<Uplink>,
}

/// A link that several slots share: how long it is taken.
pub type Uplink = Rc<Cell<LinkBacklog>>;

/// Delays of the link, drawn from the seed.
#[derive(Debug)]
pub struct Delays {
    /// Smallest and largest extra delay of an interrupt.
    pub interrupt: (Span, Span),
    /// Largest extra delay of a register write.
    pub write: Span,
    /// Largest extra delay of a write to memory.
    pub memory: Span,
    /// Where the draws come from.
    pub chance: Xoshiro256PlusPlus,
}

impl Delays {
    /// Delays drawn from `seed`.
    #[must_use]
    pub fn new(interrupt: (Span, Span), write: Span, seed: u64) -> Self {
        Self {
            interrupt,
            write,
            memory: Span::ZERO,
            chance: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
    }

    /// Delays as `scenario` has them, drawn from `seed`.
    #[must_use]
    pub fn of(scenario: &Scenario, seed: u64) -> Self {
        let delays = Self::new(scenario.interrupt_jitter, scenario.write_jitter, seed);
        delays.with_memory(scenario.memory_jitter)
    }

    /// The same, with writes to memory delayed by up to `memory`.
    #[must_use]
    pub fn with_memory(self, memory: Span) -> Self {
        Self { memory, ..self }
    }

    /// The extra delay of one write to memory.
    #[inline]
    pub(crate) fn of_memory(&mut self) -> Span {
        self.draw(Span::ZERO, self.memory)
    }

    /// The extra delay of one register write.
    #[inline]
    pub(crate) fn of_a_write(&mut self) -> Span {
        self.draw(Span::ZERO, self.write)
    }

    #[inline]
    fn draw(&mut self, low: Span, high: Span) -> Span {
        if high <= low {
            return low;
        }
        low + Span::from_ps(self.chance.next_u64() % ((high - low).as_ps() + 1))
    }
}

impl Port {
    /// An empty slot.
    #[must_use]
    pub fn new(index: u16, clock: Clock, recorder: Rc<RefCell<Recorder>>, delays: Delays) -> Self {
        Self {
            index,
            card: None,
            windows: WindowTable::default(),
            writes: Posted::default(),
            interrupts: VecDeque::new(),
            pending_vectors: 0,
            is_unannounced: false,
            is_backward: false,
            upstream: Upstream::default(),
            clock,
            recorder,
            delays,
            rules: Rules::default(),
            uplink: None,
        }
    }

    /// Puts the slot behind `uplink`, which it shares with every other slot behind it.
    pub fn share_link(&mut self, uplink: Uplink) {
        self.uplink = Some(uplink);
    }

    /// Whether a fault that waits for a message has something to tell.
    #[must_use]
    #[inline]
    pub fn has_news(&self) -> bool {
        self.rules.has_news()
    }

    /// Has the machine program the vectors of this slot from the last to the first, or, as machines
    /// do, the other way round.
    pub fn program_backward(&mut self, is_backward: bool) {
        self.is_backward = is_backward;
    }

    /// What becomes of messages on this link.
    pub fn rules(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Puts a card into the slot and enables it, as a bus driver does: memory space, bus mastering,
    /// and packets as large as it takes.
    pub fn plug(&mut self, card: Card) {
        self.card = Some(card);
        self.forget();
        self.pending_vectors = 0;
        self.is_unannounced = false;
        self.recorder.borrow_mut().checkers().plugged(self.index);
        self.enable();
    }

    /// Nothing under way arrives.
    fn forget(&mut self) {
        self.writes.clear();
        self.interrupts.clear();
        self.upstream.clear();
    }

    /// Resets the card over the link, as a bus does that recovers from an error. Its driver is not
    /// told. [`restore`](Self::restore) comes next.
    pub fn hot_reset(&mut self) {
        let now = self.clock.get();
        self.is_unannounced = true;
        self.with_card(|card, side| card.hot_reset(now, side));
    }

    /// Sends the card to D3hot. Its driver is not told.
    pub fn sleep(&mut self) {
        self.is_unannounced = true;
        self.configure(power::POWER_CONTROL, |control| {
            control | power::POWER_STATE.mask()
        });
    }

    /// Brings the card back to D0. [`restore`](Self::restore) comes next.
    pub fn wake(&mut self) {
        self.configure(power::POWER_CONTROL, |control| {
            control & !power::POWER_STATE.mask()
        });
    }

    /// Sets the configuration space of the card up again, vectors included, as a bus does after a
    /// reset. False as long as the card asks for more time, which it does until it is ready.
    pub fn restore(&mut self) -> bool {
        self.advance();
        if self.config(header::VENDOR_ID) as u16 == RETRY_VENDOR {
            return false;
        }
        self.is_unannounced = false;
        self.enable();
        self.enable_vectors();
        true
    }

    /// A register write that no driver made arrives now.
    pub fn stray_write(&mut self, offset: u32, value: u32) {
        self.advance();
        let arrives = self.clock.get();
        self.deliver(PostedWrite {
            arrives,
            at: offset,
            value: value.into(),
        });
    }

    /// `count` interrupts arrive that no card sent, the first now, one `every` so often.
    pub fn stray_interrupts(&mut self, vector: Vector, count: u32, every: Span) {
        let mut arrives = self.clock.get();
        for _ in 0..count {
            let place = self.interrupts.partition_point(|&(at, _)| at <= arrives);
            self.interrupts.insert(place, (arrives, vector));
            arrives += every;
        }
    }

    fn enable(&mut self) {
        self.configure(header::COMMAND, |command| {
            command | header::MEMORY_SPACE.mask() | header::BUS_MASTER.mask()
        });
        let payload = express::MAX_PAYLOAD_SUPPORTED;
        let payload = payload.of(self.config(express::DEVICE_CAPABILITIES));
        self.configure(express::DEVICE_CONTROL, |control| {
            let sizes = express::MAX_PAYLOAD.mask() | express::MAX_READ_REQUEST.mask();
            let payload = express::MAX_PAYLOAD.bits(payload);
            control & !sizes | payload | express::MAX_READ_REQUEST.bits(LONGEST_READ)
        });
    }

    /// Gives each vector of the card a message and lets all of them go.
    fn enable_vectors(&mut self) {
        let now = self.clock.get();
        let vectors = msix::TABLE_SIZE.of(self.config(msix::MSIX_CONTROL)) + 1;
        for count in 0..vectors {
            let vector = match self.is_backward {
                true => vectors - 1 - count,
                false => count,
            };
            let entry = [MESSAGES.0 as u32, (MESSAGES.0 >> 32) as u32, vector, 0];
            for (word, value) in (0..).zip(entry) {
                let offset = MSIX_TABLE + vector * MSIX_ENTRY_LEN + word * 4;
                let at = BarAccess::physical(MSIX_BAR, offset);
                self.with_card(|card, side| card.bar_write(now, at, value, side));
            }
        }
        self.configure(msix::MSIX_CONTROL, |control| control | msix::ENABLE.mask());
    }

    fn config(&mut self, register: ConfigRegister) -> u32 {
        let now = self.clock.get();
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        self.with_card(|card, side| card.config_read(now, at, side))
            .unwrap_or(NOBODY)
    }

    fn configure(&mut self, register: ConfigRegister, change: impl FnOnce(u32) -> u32) {
        let now = self.clock.get();
        let at = ConfigAccess::of(FunctionId::PHYSICAL, register);
        let value = change(self.config(register));
        self.with_card(|card, side| card.config_write(now, at, value, side));
    }

    /// Pulls the card out at once: nothing under way arrives, and nothing leaves it any more.
    /// Returns what is left of it.
    pub fn unplug(&mut self) -> Option<Card> {
        self.advance();
        self.forget();
        let mut card = self.card.take()?;
        card.pull_out();
        Some(card)
    }

    /// The card, if there is one.
    #[must_use]
    pub fn card(&self) -> Option<&Card> {
        self.card.as_ref()
    }

    /// The card, to pull a latch in it.
    pub fn card_mut(&mut self) -> Option<&mut Card> {
        self.card.as_mut()
    }

    /// The DMA windows.
    #[must_use]
    pub fn windows(&self) -> &WindowTable {
        &self.windows
    }

    /// When the card must be looked at next: a write arrives, or it does something visible.
    #[must_use]
    #[inline]
    pub fn card_deadline(&self) -> Time {
        let card = self.card.as_ref().map_or(Time::NEVER, Card::deadline);
        self.writes
            .deadline()
            .min(card)
            .min(self.upstream.deadline())
    }

    /// When the next interrupt reaches the driver.
    #[must_use]
    #[inline]
    pub fn interrupt_deadline(&self) -> Time {
        self.interrupts
            .front()
            .map_or(Time::NEVER, |&(arrives, _)| arrives)
    }

    /// Brings the card to the present: delivers the writes that have arrived, each at its time, and
    /// lets it do what is due.
    #[inline]
    pub fn advance(&mut self) {
        let now = self.clock.get();
        while let Some(write) = self.writes.arrived(now) {
            self.deliver(write);
        }
        if self
            .card
            .as_ref()
            .is_some_and(|card| card.next_internal() <= now)
        {
            self.with_card(|card, side| card.advance(now, side));
        }
        if self.upstream.deadline() <= now {
            self.land_late(now);
        }
    }

    /// Carries out the writes to memory that have arrived by now.
    #[cold]
    fn land_late(&mut self, now: Time) {
        while let Some(late) = self.upstream.arrived(now) {
            self.with_card(|_, side| side.land(&late));
        }
    }

    /// Lets the card, if there is one, act on the machine around it.
    #[inline]
    fn with_card<R>(&mut self, act: impl FnOnce(&mut Card, &mut CardSide<'_>) -> R) -> Option<R> {
        let card = self.card.as_mut()?;
        let mut recorder = self.recorder.borrow_mut();
        let mut side = CardSide {
            card: self.index,
            now: self.clock.get(),
            windows: &mut self.windows,
            interrupts: &mut self.interrupts,
            delays: &mut self.delays,
            rules: &mut self.rules,
            upstream: &mut self.upstream,
            recorder: &mut recorder,
        };
        let Some(uplink) = &self.uplink else {
            return Some(act(card, &mut side));
        };
        card.set_link_backlog(uplink.get());
        let acted = act(card, &mut side);
        uplink.set(card.link_backlog());
        Some(acted)
    }

    fn deliver(&mut self, write: PostedWrite<u32>) {
        let (arrives, offset, value) = (write.arrives, write.at, write.value as u32);
        self.with_card(|card, side| {
            let event = Event::WriteArrived {
                card: side.card,
                offset,
                value,
            };
            side.recorder.record(arrives, event);
            card.mmio_write(arrives, offset, value, side);
        });
    }

    /// Shows the checkers what the driver does.
    #[inline]
    fn show(&self, access: RegisterAccess) {
        let Some(card) = &self.card else { return };
        let answers = card.answers_memory() || self.is_unannounced;
        let side = (RingId(card.profile().ring_pairs), answers);
        let mut recorder = self.recorder.borrow_mut();
        recorder.accessed(self.clock.get(), self.index, access, Some(side));
    }

    fn post(&mut self, offset: u32, value: u32) {
        self.show(RegisterAccess::Write { offset, value });
        let Some(card) = &self.card else { return };
        let earliest = self.clock.get() + card.profile().link.latency;
        let message = match offset {
            DOORBELL_PAGE.. => Message::Doorbell,
            _ => Message::Write,
        };
        let contents = value.to_le_bytes();
        let fate = self.rules.fate_of(message, offset.into(), &contents);
        let write = PostedWrite {
            arrives: earliest,
            at: offset,
            value: value.into(),
        };
        self.writes.post(write, fate, &mut self.delays);
    }

    fn read(&mut self, offset: u32) -> u32 {
        let now = self.clock.get();
        if self.card.is_none() {
            return u32::MAX;
        }
        while let Some(write) = self.writes.pushed(now) {
            self.deliver(write);
        }
        self.advance();
        let value = self
            .with_card(|card, side| {
                let value = card.mmio_read(now, offset, side);
                side.push();
                value
            })
            .unwrap_or(u32::MAX);
        let contents = value.to_le_bytes();
        let fate = self.rules.fate_of(Message::Read, offset.into(), &contents);
        let (value, stall) = answer(fate, value.into(), u32::MAX.into());
        // Who reads stands still until the answer is there, and so does all that it would do.
        self.clock.set(now + stall);
        let value = value as u32;
        self.show(RegisterAccess::Read { offset, value });
        value
    }

    fn take_interrupts(&mut self) -> u128 {
        let now = self.clock.get();
        self.advance();
        while let Some(&(arrives, vector)) = self.interrupts.front() {
            if arrives > now {
                break;
            }
            self.interrupts.pop_front();
            self.pending_vectors |= 1_u128.checked_shl(u32::from(vector.0)).unwrap_or(0);
            let event = Event::InterruptArrived {
                card: self.index,
                vector: vector.0,
            };
            self.recorder.borrow_mut().record(arrives, event);
        }
        std::mem::take(&mut self.pending_vectors)
    }
}

#[cfg(test)]
mod tests;
