//! The link of a foreign device: posted writes downwards, interrupts upwards, memory on both sides.
//!
//! Shares rules, delays, windows and the recording of refused accesses with the card's link; only
//! registers of any width and a device behind a trait are its own.

use std::collections::VecDeque;

use device_model::pci::Message as PciMessage;
use device_model::{DmaFault, Host as _};
use dma::{Coherent, Pool, PoolBuffer};
use driver::{Direction, MapError, Mapped, Transport, Unmapped};
use regs::{DeviceAddr, FunctionId, Vector};
use timebase::{Span, Time};

use super::{Access, Device};
use crate::checker::Findings;
use crate::event::Event;
use crate::link::{CardSide, Delays, MESSAGES, Posted, PostedWrite, Upstream, answer};
use crate::memory::WindowTable;
use crate::recorder::Recorder;
use crate::rule::{Message, Rules};

/// Interrupt vectors of a device: what a driver is told is one bit each.
const VECTORS: u16 = 128;
/// The only slot.
const SLOT: u16 = 0;

/// One slot with a device in it, or none.
pub(super) struct Link {
    device: Option<Box<dyn Device>>,
    /// Devices that were put in so far.
    insertions: u32,
    writes: Posted<Access>,
    latency: Span,
    side: Side,
    pool: Pool,
    pub(super) recorder: Recorder,
    /// What the driver said was wrong.
    pub(super) wrong: Findings,
}

/// What the machine has on the device's side.
struct Side {
    now: Time,
    windows: WindowTable,
    interrupts: VecDeque<(Time, Vector)>,
    /// Writes of the device to memory that have not arrived.
    upstream: Upstream,
    delays: Delays,
    rules: Rules,
}

impl Link {
    pub(super) fn new(pool: Pool, latency: Span, delays: Delays, recorder: Recorder) -> Self {
        Self {
            device: None,
            insertions: 0,
            writes: Posted::default(),
            latency,
            side: Side {
                now: Time::ZERO,
                windows: WindowTable::default(),
                interrupts: VecDeque::new(),
                upstream: Upstream::default(),
                delays,
                rules: Rules::default(),
            },
            pool,
            recorder,
            wrong: Findings::new("driver"),
        }
    }

    pub(super) fn now(&self) -> Time {
        self.side.now
    }

    pub(super) fn set_now(&mut self, now: Time) {
        self.side.now = now;
    }

    pub(super) fn rules(&mut self) -> &mut Rules {
        &mut self.side.rules
    }

    /// DMA windows that are open.
    pub(super) fn windows(&self) -> usize {
        self.side.windows.live()
    }

    pub(super) fn has_device(&self) -> bool {
        self.device.is_some()
    }

    pub(super) fn plug(&mut self, device: Box<dyn Device>) {
        self.unplug();
        self.device = Some(device);
        self.insertions += 1;
        self.record(Event::Plugged { card: SLOT });
    }

    /// Pulls the device out: nothing under way arrives. False if there is none.
    pub(super) fn unplug(&mut self) -> bool {
        self.writes.clear();
        self.side.interrupts.clear();
        self.side.upstream.clear();
        let was_there = self.device.take().is_some();
        if was_there {
            self.record(Event::Unplugged { card: SLOT });
        }
        was_there
    }

    /// When the device must be looked at next.
    pub(super) fn device_deadline(&self) -> Time {
        let device = self.device.as_ref().map_or(Time::NEVER, |it| it.deadline());
        let late = self.side.upstream.deadline();
        self.writes.deadline().min(device).min(late)
    }

    /// When the next interrupt reaches the driver.
    pub(super) fn interrupt_deadline(&self) -> Time {
        let first = self.side.interrupts.front();
        first.map_or(Time::NEVER, |&(arrives, _)| arrives)
    }

    /// Delivers what has arrived, and lets the device do what is due.
    pub(super) fn advance(&mut self) {
        let now = self.now();
        while let Some(write) = self.writes.arrived(now) {
            self.deliver(write);
        }
        while let Some(late) = self.side.upstream.arrived(now) {
            self.with_device(|_, machine| machine.0.land(&late));
        }
        if self.device.as_ref().is_some_and(|it| it.deadline() <= now) {
            self.with_device(|device, machine| device.advance(machine));
        }
    }

    fn record(&mut self, event: Event) {
        self.recorder.record(self.side.now, event);
    }

    fn with_device<R>(
        &mut self,
        act: impl FnOnce(&mut dyn Device, &mut Machine<'_>) -> R,
    ) -> Option<R> {
        let device = self.device.as_mut()?;
        let side = &mut self.side;
        let mut machine = Machine(CardSide {
            card: SLOT,
            now: side.now,
            windows: &mut side.windows,
            interrupts: &mut side.interrupts,
            delays: &mut side.delays,
            rules: &mut side.rules,
            upstream: &mut side.upstream,
            recorder: &mut self.recorder,
        });
        Some(act(device.as_mut(), &mut machine))
    }

    fn deliver(&mut self, write: PostedWrite<Access>) {
        let PostedWrite { at, value, .. } = write;
        self.record(Event::WriteArrived {
            card: SLOT,
            offset: at.offset,
            value: value as u32,
        });
        if at.len > 4 {
            self.record(Event::WriteArrived {
                card: SLOT,
                offset: at.offset.wrapping_add(4),
                value: (value >> 32) as u32,
            });
        }
        self.with_device(|device, machine| device.write(at, value, machine));
    }

    fn post(&mut self, at: Access, value: u64) {
        if self.device.is_none() {
            return;
        }
        let write = PostedWrite {
            arrives: self.now() + self.latency,
            at,
            value: value & at.ones(),
        };
        let (place, contents) = (at.offset.into(), write.value.to_le_bytes());
        let fate = self.side.rules.fate_of(Message::Write, place, &contents);
        self.writes.post(write, fate, &mut self.side.delays);
    }

    fn read(&mut self, at: Access) -> u64 {
        while let Some(write) = self.writes.pushed(self.side.now) {
            self.deliver(write);
        }
        self.advance();
        let value = self.with_device(|device, machine| {
            let value = device.read(at, machine);
            machine.0.push();
            value
        });
        let Some(value) = value else { return at.ones() };
        let value = value & at.ones();
        let (place, contents) = (at.offset.into(), value.to_le_bytes());
        let fate = self.side.rules.fate_of(Message::Read, place, &contents);
        let (value, stall) = answer(fate, value, at.ones());
        // Who reads stands still until the answer is there.
        self.side.now += stall;
        value
    }

    fn take_interrupts(&mut self) -> u128 {
        let now = self.now();
        let mut taken = 0;
        let interrupts = &mut self.side.interrupts;
        while let Some((arrives, vector)) = interrupts.pop_front_if(|it| it.0 <= now) {
            taken |= 1 << vector.0;
            let (card, vector) = (SLOT, vector.0);
            let event = Event::InterruptArrived { card, vector };
            self.recorder.record(arrives, event);
        }
        taken
    }
}

/// The machine around a device, as the device sees it.
pub struct Machine<'a>(CardSide<'a>);

impl Machine<'_> {
    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.now
    }

    /// Reads memory that the driver opened for the device.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is outside an open window that the device may read; `bytes` is then
    /// unspecified. A checker sees it too.
    pub fn read(&mut self, addr: DeviceAddr, bytes: &mut [u8]) -> Result<(), DmaFault> {
        self.0.read(FunctionId::PHYSICAL, addr, bytes)
    }

    /// Writes memory that the driver opened for the device.
    ///
    /// # Errors
    /// [`DmaFault`] if any byte is outside an open window that the device may write; nothing is
    /// written then. A checker sees it too.
    pub fn write(&mut self, addr: DeviceAddr, bytes: &[u8]) -> Result<(), DmaFault> {
        self.0.write(FunctionId::PHYSICAL, addr, bytes)
    }

    /// Sends an interrupt message.
    ///
    /// # Panics
    /// If there is no vector of this number: 128 is the first that there is not.
    pub fn interrupt(&mut self, vector: u16) {
        assert!(vector < VECTORS, "vector {vector} of {VECTORS}");
        let message = PciMessage {
            function: FunctionId::PHYSICAL,
            addr: MESSAGES,
            data: vector.into(),
        };
        self.0.interrupt(self.0.now, message);
    }
}

/// A driver's way to its device. Registers of four bytes, memory and interrupts are those of
/// [`Transport`]; what is here is what a foreign device may need besides.
pub struct Bus<'a>(&'a mut Link);

impl<'a> Bus<'a> {
    pub(super) fn new(link: &'a mut Link) -> Self {
        Self(link)
    }
}

impl Bus<'_> {
    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.0.now()
    }

    /// Which device is in the slot, counted from one; `None` if it is empty. Another number is
    /// another device, which knows nothing of the one before.
    #[must_use]
    pub fn device(&self) -> Option<u32> {
        self.0.has_device().then_some(self.0.insertions)
    }

    /// Reads a register of any width. All ones if nobody answers.
    pub fn read_wide(&mut self, at: Access) -> u64 {
        self.0.read(at)
    }

    /// Writes a register of any width. Posted: it arrives later, in order.
    pub fn write_wide(&mut self, at: Access, value: u64) {
        self.0.post(at, value);
    }

    /// Has the bus reset the device at once. Writes and interrupts under way are lost.
    pub fn reset(&mut self) {
        self.0.writes.clear();
        self.0.side.interrupts.clear();
        self.0.with_device(|device, _| device.reset());
    }

    /// Tells the checkers that work began on unit `unit`, counted from zero, of this many bytes.
    pub fn begin(&mut self, unit: u64, bytes: u32) {
        self.0.record(Event::Dispatch {
            request: unit,
            consumer: 0,
            session: 0,
            bytes,
        });
        self.progress();
    }

    /// Tells the checkers that the work on unit `unit` is over, well or not. Once for each.
    pub fn end(&mut self, unit: u64) {
        self.0.record(Event::Callback {
            request: unit,
            consumer: 0,
            outcome: 0,
        });
        self.progress();
    }

    /// Tells that something is not as it should be: the run fails.
    pub fn wrong(&mut self, message: impl Into<String>) {
        let now = self.now();
        self.0.wrong.violation(now, || message.into());
    }

    fn progress(&mut self) {
        let now = self.now();
        self.0.recorder.checkers().liveness.progress(now);
    }
}

impl Transport for Bus<'_> {
    fn read(&mut self, offset: u32) -> u32 {
        self.0.read(Access::word(offset)) as u32
    }

    fn write(&mut self, offset: u32, value: u32) {
        self.0.post(Access::word(offset), value.into());
    }

    fn barrier(&mut self) {
        // In one thread every store is visible before the next write already.
    }

    fn map(
        &mut self,
        buffer: PoolBuffer,
        direction: Direction,
    ) -> Result<Mapped, (PoolBuffer, MapError)> {
        self.0.side.windows.map(buffer, direction)
    }

    fn unmap(&mut self, mapped: Mapped) -> Unmapped {
        self.0.side.windows.unmap(mapped)
    }

    fn share(&mut self, block: &Coherent, direction: Direction) -> Result<DeviceAddr, MapError> {
        self.0.side.windows.share(block, direction)
    }

    fn unshare(&mut self, addr: DeviceAddr) {
        self.0.side.windows.unshare(addr);
    }

    fn pool(&self) -> &Pool {
        &self.0.pool
    }

    fn vectors(&self) -> u16 {
        VECTORS
    }

    fn take_interrupts(&mut self) -> u128 {
        self.0.take_interrupts()
    }

    fn is_present(&self) -> bool {
        self.0.has_device()
    }
}
