//! Memory of the client, as the messages name it.

use std::fs::File;
use std::os::fd::OwnedFd;

use rustix::fs::{SealFlags, fcntl_get_seals, fstat};
use vm_memory::mmap::MmapRegion;
use vm_memory::{FileOffset, GuestAddress, GuestMemoryMmap, GuestMemoryRegion, GuestRegionMmap};

use super::wire::MemoryRegion;

/// Why ranges are not taken as memory.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    /// There are not as many ranges as descriptors, or too many, or some overlap or have no end.
    #[error("ranges of memory that make no sense")]
    Ranges,
    /// A range is not in its file.
    #[error("a range of memory goes beyond the end of its file")]
    Beyond,
    /// The file could become shorter, and then what is mapped of it would kill the server.
    #[error("memory that its owner can shrink: use memory-backend-memfd, which seals it")]
    CanShrink,
    /// It can not be mapped.
    #[error("memory that cannot be mapped")]
    Map,
}

/// Where a range is in the client's own addresses.
#[derive(Clone, Copy, Debug)]
struct Translation {
    user: u64,
    len: u64,
    guest: u64,
}

/// The memory of one client.
#[derive(Clone, Debug, Default)]
pub(super) struct Memory {
    pub(super) guest: GuestMemoryMmap,
    translations: Vec<Translation>,
}

impl Memory {
    /// The memory that `regions` are, each with its file.
    pub(super) fn new(regions: &[MemoryRegion], fds: Vec<OwnedFd>) -> Result<Self, MemoryError> {
        if regions.len() != fds.len() {
            return Err(MemoryError::Ranges);
        }
        let mut mapped = Vec::new();
        let mut translations = Vec::new();
        for (region, fd) in regions.iter().zip(fds) {
            let (user, len) = (region.user.get(), region.len.get());
            let guest = region.guest.get();
            let has_end = len != 0 && user.checked_add(len).is_some();
            if !has_end || guest.checked_add(len).is_none() {
                return Err(MemoryError::Ranges);
            }
            let mapping = map(fd, region.offset.get(), len)?;
            let mapping = GuestRegionMmap::new(mapping, GuestAddress(guest));
            mapped.push(mapping.ok_or(MemoryError::Ranges)?);
            translations.push(Translation { user, len, guest });
        }
        mapped.sort_by_key(GuestMemoryRegion::start_addr);
        if mapped.is_empty() {
            return Ok(Self::default());
        }
        let guest = GuestMemoryMmap::from_regions(mapped).map_err(|_| MemoryError::Ranges)?;
        Ok(Self {
            guest,
            translations,
        })
    }

    /// Number of ranges.
    pub(super) const fn ranges(&self) -> usize {
        self.translations.len()
    }

    /// Where the device sees what the client sees at `user`.
    pub(super) fn translate(&self, user: u64) -> Option<GuestAddress> {
        let inside = |range: &&Translation| user >= range.user && user - range.user < range.len;
        let range = self.translations.iter().find(inside)?;
        Some(GuestAddress(range.guest + (user - range.user)))
    }
}

fn map(fd: OwnedFd, offset: u64, len: u64) -> Result<MmapRegion, MemoryError> {
    let seals = fcntl_get_seals(&fd).map_err(|_| MemoryError::CanShrink)?;
    if !seals.contains(SealFlags::SHRINK) {
        return Err(MemoryError::CanShrink);
    }
    let size = fstat(&fd).map_err(|_| MemoryError::Map)?.st_size as u64;
    if offset.checked_add(len).is_none_or(|end| end > size) {
        return Err(MemoryError::Beyond);
    }
    let file = FileOffset::new(File::from(fd), offset);
    let len = usize::try_from(len).map_err(|_| MemoryError::Map)?;
    MmapRegion::from_file(file, len).map_err(|_| MemoryError::Map)
}
