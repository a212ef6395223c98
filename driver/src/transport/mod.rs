//! Seam 2: how a driver reaches its card.
//!
//! An implementation owns the path (an in-process link, a mapped BAR, a socket) and the memory that
//! is mapped for the card. It has no time argument: a simulated path keeps its own clock, a real
//! one needs none.

#[cfg(any(feature = "vfio", feature = "vfio-user"))]
pub(crate) mod real;
#[cfg(feature = "vfio")]
pub mod vfio;
#[cfg(feature = "vfio-user")]
pub mod vfio_user;

use dma::{Coherent, Pool, PoolBuffer};
use regs::{DeviceAddr, RingId, Slot};

/// Which way a card may use a mapping.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Direction {
    /// The card only reads.
    ToDevice,
    /// The card only writes.
    FromDevice,
    /// Both.
    Bidirectional,
}

/// A buffer that is mapped: the transport keeps it until [`Transport::unmap`].
#[derive(Debug, Eq, PartialEq)]
#[must_use = "a mapping that is not undone leaks its buffer"]
pub struct Mapped {
    /// Where the card sees the first byte.
    pub addr: DeviceAddr,
    /// Number of the mapping in its transport.
    pub window: u32,
    /// Length in bytes.
    pub len: u32,
}

/// A buffer that is the driver's again.
#[derive(Debug)]
pub struct Unmapped {
    /// The memory.
    pub buffer: PoolBuffer,
    /// Whether the card may have written to it. A path that cannot tell says yes.
    pub touched: bool,
}

/// Why memory was not mapped.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MapError {
    /// No room in the window table.
    #[error("no room for another DMA window")]
    NoWindow,
    /// Longer than a window can be.
    #[error("{0} bytes exceed a DMA window")]
    TooLong(usize),
}

/// What a driver did, for logs and checkers. Costs nothing on a transport that ignores it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DriverEvent {
    /// A command was written to its slot.
    Posted {
        /// Ring pair.
        ring: RingId,
        /// Slot of the command ring.
        slot: Slot,
        /// Cookie of the command.
        cookie: u64,
        /// Request it serves; `None` for admin commands.
        request: Option<u64>,
    },
    /// A completion was read.
    Reaped {
        /// Ring pair.
        ring: RingId,
        /// Slot of the completion ring.
        slot: Slot,
        /// Cookie it echoed.
        cookie: u64,
    },
    /// A completion named a cookie that is not in flight, or the entry made no sense.
    Strange {
        /// Ring pair.
        ring: RingId,
        /// Cookie it echoed.
        cookie: u64,
    },
    /// A request was refused for lack of room.
    Refused {
        /// Ring pair.
        ring: RingId,
    },
    /// The watchdog found no progress.
    Watchdog {
        /// Ring pair.
        ring: RingId,
    },
    /// A reset began.
    Reset,
    /// The card was found gone.
    Lost,
}

/// A path to one card.
pub trait Transport {
    /// Reads the register at `offset` bytes into BAR 0. All ones if nobody answers.
    fn read(&mut self, offset: u32) -> u32;

    /// Writes the register at `offset` bytes into BAR 0. Posted: it arrives later, in order.
    fn write(&mut self, offset: u32, value: u32);

    /// Makes every store to coherent memory so far visible to the card before any later write.
    fn barrier(&mut self);

    /// Maps `buffer` for the card and keeps it.
    ///
    /// # Errors
    /// [`MapError`] with the buffer if it cannot be mapped.
    fn map(
        &mut self,
        buffer: PoolBuffer,
        direction: Direction,
    ) -> Result<Mapped, (PoolBuffer, MapError)>;

    /// Ends a mapping; from now on the card cannot reach the buffer.
    fn unmap(&mut self, mapped: Mapped) -> Unmapped;

    /// Lets the card reach a coherent block until [`unshare`](Self::unshare).
    ///
    /// # Errors
    /// [`MapError`] if it cannot be mapped.
    fn share(&mut self, block: &Coherent, direction: Direction) -> Result<DeviceAddr, MapError>;

    /// Takes a coherent block back.
    fn unshare(&mut self, addr: DeviceAddr);

    /// Where mappable memory comes from.
    fn pool(&self) -> &Pool;

    /// Number of MSI-X vectors the path can deliver.
    fn vectors(&self) -> u16;

    /// Vectors that fired since the last call, bit `n` for vector `n`.
    fn take_interrupts(&mut self) -> u128;

    /// Programs the vectors anew, on a card that forgets them in a soft reset: whoever wrote the
    /// MSI-X table of this path writes it again. A path that has no say in it does nothing, and
    /// such a card is then found by the watchdog alone.
    fn restore_vectors(&mut self) {}

    /// Whether a card is still in the slot, as far as the path can tell without asking the card.
    fn is_present(&self) -> bool {
        true
    }

    /// Tells logs and checkers what the driver did.
    fn observe(&mut self, event: DriverEvent) {
        let _ = event;
    }
}
