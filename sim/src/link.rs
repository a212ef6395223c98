//! The in-process link: a machine slot with a card in it on one side, a driver on the other.
//!
//! Owns the card, its DMA windows and what is under way between the two: posted register writes
//! downwards (in order), interrupt messages upwards. Register reads push the writes before them, as
//! on PCIe. A slot that is empty answers with all ones and loses writes.

mod transport;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use device_model::pci::{self, BarAccess, ConfigAccess};
use device_model::{Card, CardEvent, DmaFault, Host, LinkBacklog};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use regs::pci::{
    ConfigRegister, MSIX_BAR, MSIX_ENTRY_LEN, MSIX_TABLE, NOBODY, express, header, msix,
};
use regs::{DOORBELL_PAGE, DeviceAddr, FunctionId, RingId, Vector};
use timebase::{Span, Time};

pub use self::transport::LinkTransport;
use crate::checker::RegisterAccess;
use crate::event::Event;
use crate::memory::WindowTable;
use crate::recorder::Recorder;
use crate::rule::{Fate, Message, Rules};

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
    writes: VecDeque<PostedWrite>,
    interrupts: VecDeque<(Time, Vector)>,
    pending_vectors: u128,
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
    /// Where the draws come from.
    pub chance: Xoshiro256PlusPlus,
}

#[derive(Clone, Copy, Debug)]
struct PostedWrite {
    arrives: Time,
    offset: u32,
    value: u32,
}

impl Delays {
    /// Delays drawn from `seed`.
    #[must_use]
    pub fn new(interrupt: (Span, Span), write: Span, seed: u64) -> Self {
        Self {
            interrupt,
            write,
            chance: Xoshiro256PlusPlus::seed_from_u64(seed),
        }
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
            writes: VecDeque::new(),
            interrupts: VecDeque::new(),
            pending_vectors: 0,
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

    /// What becomes of messages on this link.
    pub fn rules(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// Puts a card into the slot and enables it, as a bus driver does: memory space, bus mastering,
    /// and packets as large as it takes.
    pub fn plug(&mut self, card: Card) {
        self.card = Some(card);
        self.writes.clear();
        self.interrupts.clear();
        self.pending_vectors = 0;
        self.recorder.borrow_mut().checkers().plugged(self.index);
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
        for vector in 0..vectors {
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
        self.writes.clear();
        self.interrupts.clear();
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
        let write = self
            .writes
            .front()
            .map_or(Time::NEVER, |write| write.arrives);
        let card = self.card.as_ref().map_or(Time::NEVER, Card::deadline);
        write.min(card)
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
        while let Some(write) = self
            .writes
            .front()
            .copied()
            .filter(|write| write.arrives <= now)
        {
            self.writes.pop_front();
            self.deliver(write);
        }
        if self
            .card
            .as_ref()
            .is_some_and(|card| card.next_internal() <= now)
        {
            self.with_card(|card, side| card.advance(now, side));
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

    fn deliver(&mut self, write: PostedWrite) {
        let PostedWrite {
            arrives,
            offset,
            value,
        } = write;
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
        let side = (RingId(card.profile().ring_pairs), card.answers_memory());
        let mut recorder = self.recorder.borrow_mut();
        recorder.accessed(self.clock.get(), self.index, access, Some(side));
    }

    fn post(&mut self, offset: u32, value: u32) {
        self.show(RegisterAccess::Write { offset, value });
        let Some(card) = &self.card else { return };
        let mut earliest = self.clock.get() + card.profile().link.latency;
        let (mut value, mut copies) = (value, 1);
        let message = match offset {
            DOORBELL_PAGE.. => Message::Doorbell,
            _ => Message::Write,
        };
        match self.rules.fate(message, offset.into()) {
            None | Some(Fate::Refuse) => {}
            Some(Fate::Lose) => return,
            Some(Fate::Double) => copies = 2,
            Some(Fate::Delay(delay)) => earliest += delay,
            Some(Fate::Flip) => value ^= 1,
        }
        let jittered = earliest + self.delays.of_a_write();
        // Posted writes never overtake each other.
        let arrives = self
            .writes
            .back()
            .map_or(jittered, |last| jittered.max(last.arrives));
        for _ in 0..copies {
            self.writes.push_back(PostedWrite {
                arrives,
                offset,
                value,
            });
        }
    }

    fn read(&mut self, offset: u32) -> u32 {
        let now = self.clock.get();
        if self.card.is_none() {
            return u32::MAX;
        }
        // A read pushes the writes before it: they arrive at the latest when it does.
        while let Some(mut write) = self.writes.pop_front() {
            write.arrives = write.arrives.min(now);
            self.deliver(write);
        }
        self.advance();
        let value = self
            .with_card(|card, side| card.mmio_read(now, offset, side))
            .unwrap_or(u32::MAX);
        let value = match self.rules.fate(Message::Read, offset.into()) {
            Some(Fate::Lose) => u32::MAX,
            Some(Fate::Flip) => value ^ 1,
            _ => value,
        };
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

/// The machine as the card in a slot sees it.
pub(crate) struct CardSide<'a> {
    pub(crate) card: u16,
    pub(crate) now: Time,
    pub(crate) windows: &'a mut WindowTable,
    pub(crate) interrupts: &'a mut VecDeque<(Time, Vector)>,
    pub(crate) delays: &'a mut Delays,
    pub(crate) rules: &'a mut Rules,
    pub(crate) recorder: &'a mut Recorder,
}

impl CardSide<'_> {
    /// Windows are those of the physical function: nobody mapped anything for another.
    #[inline]
    fn check_owner(function: FunctionId, addr: DeviceAddr) -> Result<(), DmaFault> {
        if function.is_physical() {
            Ok(())
        } else {
            Err(DmaFault::refused(addr))
        }
    }

    /// Tells the recorder of a refused access: the card itself may not notice.
    #[cold]
    fn refused(&mut self, fault: DmaFault, is_write: bool) -> DmaFault {
        let (card, addr) = (self.card, fault.addr);
        let reason = self.windows.explain(addr);
        let event = Event::DmaRefused {
            card,
            addr,
            is_write,
            reason,
        };
        self.recorder.record(self.now, event);
        fault
    }
}

impl Host for CardSide<'_> {
    #[inline]
    fn read(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &mut [u8],
    ) -> Result<(), DmaFault> {
        let fate = self.rules.fate(Message::DmaRead, addr.0);
        if fate == Some(Fate::Refuse) {
            return Err(DmaFault::refused(addr));
        }
        Self::check_owner(function, addr)
            .and_then(|()| self.windows.read(addr, bytes))
            .map_err(|fault| self.refused(fault, false))?;
        if let (Some(Fate::Flip), Some(first)) = (fate, bytes.first_mut()) {
            *first ^= 1;
        }
        Ok(())
    }

    #[inline(always)]
    fn write(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        bytes: &[u8],
    ) -> Result<(), DmaFault> {
        let mut wrong = Vec::new();
        let bytes = match self.rules.fate(Message::DmaWrite, addr.0) {
            None => bytes,
            Some(Fate::Lose) => return Ok(()),
            Some(Fate::Refuse) => return Err(DmaFault::refused(addr)),
            Some(_) => {
                wrong.extend_from_slice(bytes);
                wrong.iter_mut().take(1).for_each(|first| *first ^= 1);
                &wrong
            }
        };
        Self::check_owner(function, addr)
            .and_then(|()| self.windows.write(addr, bytes))
            .map_err(|fault| self.refused(fault, true))
    }

    #[inline]
    fn in_place(
        &mut self,
        function: FunctionId,
        addr: DeviceAddr,
        len: usize,
    ) -> Result<Option<&mut [u8]>, DmaFault> {
        // Work in place is a read and a write; a card that has to copy makes both apart.
        if !self.rules.is_empty() {
            return Ok(None);
        }
        // The check comes first because a borrow that is handed out cannot be looked at again.
        let checked =
            Self::check_owner(function, addr).and_then(|()| self.windows.check_in_place(addr, len));
        if let Err(fault) = checked {
            return Err(self.refused(fault, true));
        }
        self.windows.in_place(addr, len)
    }

    fn interrupt(&mut self, at: Time, message: pci::Message) {
        if message.addr != MESSAGES {
            let fault = DmaFault::refused(message.addr);
            self.refused(fault, true);
            return;
        }
        let vector = Vector(message.data as u16);
        let (low, high) = self.delays.interrupt;
        let mut arrives = at + self.delays.draw(low, high);
        let mut copies = 1;
        match self.rules.fate(Message::Interrupt, vector.0.into()) {
            Some(Fate::Lose) => return,
            Some(Fate::Double) => copies = 2,
            Some(Fate::Delay(delay)) => arrives += delay,
            _ => {}
        }
        // Messages of different vectors may overtake each other on their way through the host.
        let place = self
            .interrupts
            .partition_point(|&(other, _)| other <= arrives);
        for _ in 0..copies {
            self.interrupts.insert(place, (arrives, vector));
        }
    }

    #[inline(always)]
    fn observe(&mut self, at: Time, event: CardEvent) {
        self.recorder.record_card(at, self.card, event);
    }
}

#[cfg(test)]
mod tests;
