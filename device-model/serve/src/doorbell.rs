//! Doorbells in shared memory: a client that maps the page rings without a message.
//!
//! Nothing tells the server of a store, so it looks. What it has seen it takes away, so that the
//! same value rung twice is heard twice. A client that has nothing else to do may also write to an
//! event descriptor, which wakes a server that sleeps.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use regs::{COMPLETION_DOORBELL, DOORBELL_PAGE, DOORBELL_STRIDE};
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::io::Errno;
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

/// Length of the page, in bytes.
pub const PAGE_LEN: usize = 4096;
/// What stands in a doorbell that was not rung since it was looked at.
const SILENT: u32 = u32::MAX;

/// A page of doorbells that a client may map.
#[derive(Debug)]
pub struct DoorbellPage {
    file: OwnedFd,
    page: MmapRegion,
    wake: OwnedFd,
    /// Doorbells that are looked at: two for each ring pair.
    count: usize,
    /// The one that is looked at next.
    next: usize,
}

impl DoorbellPage {
    /// A page for `rings` ring pairs, the admin ring included.
    ///
    /// # Errors
    /// What the system says if it has no memory for it.
    pub fn new(rings: u16) -> Result<Self, Errno> {
        let file = memfd_create("doorbells", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC)?;
        // It lies in the file as it lies in the region.
        ftruncate(&file, u64::from(DOORBELL_PAGE) + PAGE_LEN as u64)?;
        // A client that could shrink it could make the server's look at it fatal.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let twin = file.try_clone().map_err(|_| Errno::MFILE)?;
        let place = FileOffset::new(twin.into(), DOORBELL_PAGE.into());
        let page: MmapRegion = MmapRegion::from_file(place, PAGE_LEN).map_err(|_| Errno::NOMEM)?;
        let silence = vec![0xFF_u8; PAGE_LEN];
        page.as_volatile_slice().copy_from(&silence);
        Ok(Self {
            file,
            page,
            wake: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            count: usize::from(rings) * 2,
            next: 0,
        })
    }

    /// The file with the page, at the offset that it has in BAR 0.
    #[must_use]
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// The descriptor that wakes the server.
    #[must_use]
    pub fn wake(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Forgets that it was woken.
    pub fn calm(&self) {
        let _ = rustix::io::read(&self.wake, &mut [0; 8]);
    }

    /// The next doorbell that was rung: its offset in BAR 0 and what was written. Each is looked at
    /// once in turn.
    pub fn take(&mut self) -> Option<(u32, u32)> {
        for _ in 0..self.count {
            let index = self.next;
            self.next = (index + 1) % self.count;
            let offset =
                index as u32 / 2 * DOORBELL_STRIDE + index as u32 % 2 * COMPLETION_DOORBELL;
            let doorbell = self
                .page
                .get_atomic_ref::<AtomicU32>(offset as usize)
                .ok()?;
            if doorbell.load(Ordering::Relaxed) == SILENT {
                continue;
            }
            // What the client wrote before it rang is seen after this.
            let value = u32::from_le(doorbell.swap(SILENT, Ordering::Acquire));
            return Some((DOORBELL_PAGE + offset, value));
        }
        None
    }

    /// Forgets what was rung.
    pub fn clear(&mut self) {
        while self.take().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_doorbell_is_heard_once_however_often_it_has_the_same_value() {
        let mut page = DoorbellPage::new(2).unwrap();
        assert_eq!(page.take(), None);
        let client = FileOffset::new(
            page.file().try_clone_to_owned().unwrap().into(),
            DOORBELL_PAGE.into(),
        );
        let client: MmapRegion = MmapRegion::from_file(client, PAGE_LEN).unwrap();
        let ring = |offset: usize, value: u32| {
            let doorbell = client.get_atomic_ref::<AtomicU32>(offset).unwrap();
            doorbell.store(value, Ordering::Release);
        };
        ring(8, 5);
        ring(4, 7);
        let mut heard = vec![page.take().unwrap(), page.take().unwrap()];
        heard.sort_unstable();
        assert_eq!(heard, [(DOORBELL_PAGE + 4, 7), (DOORBELL_PAGE + 8, 5)]);
        assert_eq!(page.take(), None);
        ring(8, 5);
        assert_eq!(page.take(), Some((DOORBELL_PAGE + 8, 5)));
        // Beyond the rings that the card has.
        ring(16, 1);
        assert_eq!(page.take(), None);
    }
}
