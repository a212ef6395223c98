//! What paths in real time have in common: a pool that is mapped as a whole, once; descriptors that
//! tell of interrupts; and waiting.
//!
//! Mapping a buffer then costs nothing, and the card could reach a buffer that is not mapped.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use dma::{Coherent, Pool, PoolBuffer};
use regs::{DeviceAddr, INTERRUPT_LINK_ERROR};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use slab::Slab;
use timebase::Span;

use super::{Mapped, Unmapped};

/// Where the card sees the pool: above what 32 bits can say, so that no half of an address is lost
/// unnoticed, and below what the smallest IOMMU reaches (39 bits).
pub(super) const POOL_AT: u64 = 0x10_0000_0000;
/// Most vectors: as many as [`Transport::take_interrupts`](super::Transport::take_interrupts) can
/// tell of.
pub(super) const MAX_VECTORS: u32 = u128::BITS;

/// What a path without messages writes to `InterruptStatus` when the card's line rose, so that it
/// falls: all causes but errors, which the driver looks at.
pub(super) const LINE_CAUSES: u32 = !INTERRUPT_LINK_ERROR;

/// A pool that the card reaches as a whole.
#[derive(Debug)]
pub(super) struct Memory {
    pool: Pool,
    /// Buffers that are mapped, by number of the mapping.
    mapped: Slab<PoolBuffer>,
}

impl Memory {
    pub(super) fn new(pool: Pool) -> Self {
        let mapped = Slab::new();
        Self { pool, mapped }
    }

    /// Where the card sees `block`.
    pub(super) fn share(&self, block: &Coherent) -> DeviceAddr {
        address_of(block.offset())
    }

    pub(super) const fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Keeps `buffer` until [`unmap`](Self::unmap).
    pub(super) fn map(&mut self, buffer: PoolBuffer) -> Mapped {
        Mapped {
            addr: address_of(buffer.offset()),
            len: buffer.len() as u32,
            window: self.mapped.insert(buffer) as u32,
        }
    }

    /// Gives a buffer back. The path cannot tell whether the card wrote to it.
    pub(super) fn unmap(&mut self, mapped: &Mapped) -> Unmapped {
        let buffer = self.mapped.try_remove(mapped.window as usize);
        Unmapped {
            buffer: buffer.unwrap_or_default(),
            touched: true,
        }
    }
}

/// The part of [`Transport`](super::Transport) that is about memory, for a path whose field
/// `memory` is a [`Memory`].
macro_rules! whole_pool {
    () => {
        fn map(
            &mut self,
            buffer: dma::PoolBuffer,
            _direction: $crate::Direction,
        ) -> Result<$crate::Mapped, (dma::PoolBuffer, $crate::MapError)> {
            Ok(self.memory.map(buffer))
        }

        fn unmap(&mut self, mapped: $crate::Mapped) -> $crate::Unmapped {
            self.memory.unmap(&mapped)
        }

        fn share(
            &mut self,
            block: &dma::Coherent,
            _direction: $crate::Direction,
        ) -> Result<regs::DeviceAddr, $crate::MapError> {
            Ok(self.memory.share(block))
        }

        fn unshare(&mut self, _addr: regs::DeviceAddr) {
            // The pool stays mapped as a whole.
        }

        fn pool(&self) -> &dma::Pool {
            self.memory.pool()
        }
    };
}
pub(super) use whole_pool;

/// Where the card sees what stands `offset` bytes into the pool.
const fn address_of(offset: usize) -> DeviceAddr {
    DeviceAddr(POOL_AT + offset as u64)
}

/// Tells of each vector once whenever it fires, and of the end: one question to the system, however
/// many vectors there are, and nobody has to read their descriptors.
#[derive(Debug)]
pub(super) struct Ends(OwnedFd);

/// What the end is among the descriptors; the others are vectors.
const THE_END: u64 = u64::MAX;

impl Ends {
    pub(super) fn new() -> Result<Self, Errno> {
        epoll::create(CreateFlags::CLOEXEC).map(Self)
    }

    /// Listens to the event descriptor of `vector`, which is below [`MAX_VECTORS`].
    pub(super) fn add_vector(&self, event: impl AsFd, vector: u32) -> Result<(), Errno> {
        debug_assert!(vector < MAX_VECTORS);
        let data = EventData::new_u64(vector.into());
        epoll::add(&self.0, event, data, EventFlags::IN | EventFlags::ET)
    }

    /// Whatever `end` has to say, besides that it can be read if `reads`, is the end.
    pub(super) fn add_end(&self, end: impl AsFd, reads: bool) -> Result<(), Errno> {
        let flags = match reads {
            true => EventFlags::IN | EventFlags::ET,
            // That the other side closed it is told of in any case.
            false => EventFlags::ET,
        };
        epoll::add(&self.0, end, EventData::new_u64(THE_END), flags)
    }

    /// The vectors that fired since the last call, and whether it is the end.
    pub(super) fn take(&self) -> (u128, bool) {
        let mut space = [MaybeUninit::uninit(); MAX_VECTORS as usize + 1];
        let told = epoll::wait(&self.0, &mut space, Some(&Timespec::default()));
        let (mut fired, mut is_over) = (0, false);
        for event in told.iter().flat_map(|(events, _)| &**events) {
            match event.data.u64() {
                THE_END => is_over = true,
                vector => fired |= 1 << vector,
            }
        }
        (fired, is_over)
    }
}

impl AsFd for Ends {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of `ends` has something to say, at most for `time`. For loops in real time that
/// have nothing else to do.
pub fn wait_for(ends: &[BorrowedFd<'_>], time: Span) {
    // A span is 213 days at most.
    let timeout = Timespec::try_from(Duration::from(time)).unwrap_or_default();
    let mut polled: Vec<_> = ends
        .iter()
        .map(|end| PollFd::new(end, PollFlags::IN))
        .collect();
    // Whatever comes of it, the caller looks.
    let _ = poll(&mut polled, Some(&timeout));
}
