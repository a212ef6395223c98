//! The driver's end of the link, in one process with the card.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dma::{Coherent, Pool, PoolBuffer};
use driver::{Direction, DriverEvent, MapError, Mapped, Transport, Unmapped};
use regs::DeviceAddr;

use super::{Clock, Port};
use crate::checker::RegisterAccess;
use crate::recorder::Recorder;

/// The driver's end of the link.
#[derive(Clone, Debug)]
pub struct LinkTransport {
    port: Rc<RefCell<Port>>,
    pool: Pool,
    /// The card that was in the slot when this driver was started; another one is not its card.
    alive: Rc<Cell<bool>>,
    /// What the port has, at hand: the driver tells of every request twice.
    index: u16,
    clock: Clock,
    recorder: Rc<RefCell<Recorder>>,
}

impl LinkTransport {
    /// A driver's end of `port`, with the vectors of its card set up, which is the transport's work
    /// (a kernel does it for a driver in userspace). `alive` turns false when the card is pulled
    /// out.
    #[must_use]
    pub fn new(port: Rc<RefCell<Port>>, pool: Pool, alive: Rc<Cell<bool>>) -> Self {
        port.borrow_mut().enable_vectors();
        let (index, clock, recorder) = {
            let port = port.borrow();
            (
                port.index,
                Rc::clone(&port.clock),
                Rc::clone(&port.recorder),
            )
        };
        Self {
            port,
            pool,
            alive,
            index,
            clock,
            recorder,
        }
    }
}

impl LinkTransport {
    /// Shows the checkers an access that meets no card, or another one than the driver's.
    #[cold]
    fn show_in_vain(&self, access: RegisterAccess) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.accessed(self.clock.get(), self.index, access, None);
    }
}

impl Transport for LinkTransport {
    fn read(&mut self, offset: u32) -> u32 {
        if self.alive.get() {
            return self.port.borrow_mut().read(offset);
        }
        let value = u32::MAX;
        self.show_in_vain(RegisterAccess::Read { offset, value });
        value
    }

    #[inline]
    fn write(&mut self, offset: u32, value: u32) {
        if self.alive.get() {
            self.port.borrow_mut().post(offset, value);
        } else {
            self.show_in_vain(RegisterAccess::Write { offset, value });
        }
    }

    #[inline]
    fn barrier(&mut self) {
        // In one thread every store is visible before the next write already.
    }

    #[inline(always)]
    fn map(
        &mut self,
        buffer: PoolBuffer,
        direction: Direction,
    ) -> Result<Mapped, (PoolBuffer, MapError)> {
        self.port.borrow_mut().windows.map(buffer, direction)
    }

    #[inline(always)]
    fn unmap(&mut self, mapped: Mapped) -> Unmapped {
        self.port.borrow_mut().windows.unmap(mapped)
    }

    fn share(&mut self, block: &Coherent, direction: Direction) -> Result<DeviceAddr, MapError> {
        self.port.borrow_mut().windows.share(block, direction)
    }

    fn unshare(&mut self, addr: DeviceAddr) {
        self.port.borrow_mut().windows.unshare(addr);
    }

    fn pool(&self) -> &Pool {
        &self.pool
    }

    fn vectors(&self) -> u16 {
        128
    }

    #[inline]
    fn take_interrupts(&mut self) -> u128 {
        if self.alive.get() {
            self.port.borrow_mut().take_interrupts()
        } else {
            0
        }
    }

    fn restore_vectors(&mut self) {
        if self.alive.get() {
            self.port.borrow_mut().enable_vectors();
        }
    }

    fn is_present(&self) -> bool {
        self.alive.get()
    }

    #[inline(always)]
    fn observe(&mut self, event: DriverEvent) {
        let mut recorder = self.recorder.borrow_mut();
        recorder.record_driver(self.clock.get(), self.index, event);
    }
}
