//! What paths in real time have in common: a pool that is mapped as a whole, once, and waiting.
//!
//! Mapping a buffer then costs nothing, and the card could reach a buffer that is not mapped.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use dma::PoolBuffer;
use regs::{DeviceAddr, INTERRUPT_LINK_ERROR};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use slab::Slab;
use timebase::Span;

use super::{Mapped, Unmapped};

/// Where the card sees the pool: above what 32 bits can say, so that no half of an address is lost
/// unnoticed, and below what the smallest IOMMU reaches (39 bits).
pub(super) const POOL_AT: u64 = 0x10_0000_0000;

/// What a path without messages writes to `InterruptStatus` when the card's line rose, so that it
/// falls: all causes but errors, which the driver looks at.
pub(super) const LINE_CAUSES: u32 = !INTERRUPT_LINK_ERROR;

/// Buffers that are mapped, by number of the mapping.
#[derive(Debug, Default)]
pub(super) struct Windows(Slab<PoolBuffer>);

impl Windows {
    /// Keeps `buffer` until [`unmap`](Self::unmap).
    pub(super) fn map(&mut self, buffer: PoolBuffer) -> Mapped {
        Mapped {
            addr: address_of(buffer.offset()),
            len: buffer.len() as u32,
            window: self.0.insert(buffer) as u32,
        }
    }

    /// Gives a buffer back. The path cannot tell whether the card wrote to it.
    pub(super) fn unmap(&mut self, mapped: &Mapped) -> Unmapped {
        let buffer = self.0.try_remove(mapped.window as usize);
        Unmapped {
            buffer: buffer.unwrap_or_default(),
            touched: true,
        }
    }
}

/// Where the card sees what stands `offset` bytes into the pool.
pub(super) const fn address_of(offset: usize) -> DeviceAddr {
    DeviceAddr(POOL_AT + offset as u64)
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
