//! The pool: one mapping, cut into power-of-two blocks.
//!
//! Owns the mapping and the free lists. A block is 64-byte aligned and belongs to exactly one
//! [`PoolBuffer`] or one [`Coherent`] at a time; released blocks are zeroed, so nothing that passed
//! through the pool (payload, keys) outlives its owner.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use vm_memory::{MmapRegion, VolatileMemory};
use zeroize::Zeroize;

use crate::Coherent;

/// Smallest block and alignment of every block, in bytes: one cache line.
const MIN_BLOCK: usize = 64;
/// Number of block sizes: 64 B, 128 B, … 2^(6 + CLASSES - 1) B.
const CLASSES: usize = 25;

/// Why memory could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The mapping itself failed.
    #[error("cannot map {bytes} bytes for the DMA pool")]
    Map {
        /// Size asked for, in bytes.
        bytes: usize,
        /// What the mapping said.
        #[source]
        source: vm_memory::mmap::MmapRegionError,
    },
    /// Memory that other processes can map could not be had.
    #[error("cannot make {bytes} bytes that can be shared for the DMA pool")]
    Share {
        /// Size asked for, in bytes.
        bytes: usize,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// No block of this size is left.
    #[error("the DMA pool of {capacity} bytes has no block of {bytes} bytes left")]
    Exhausted {
        /// Size asked for, in bytes.
        bytes: usize,
        /// Size of the pool, in bytes.
        capacity: usize,
    },
}

/// A pool of DMA memory; clones share one mapping.
#[derive(Clone, Debug)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    region: MmapRegion,
    blocks: Mutex<Blocks>,
}

#[derive(Debug, Default)]
struct Blocks {
    /// Bytes handed out at least once; everything above has never been touched.
    high_water: usize,
    /// Offsets of released blocks, by size class, last released first.
    free: [Vec<usize>; CLASSES],
}

/// A block's place in the mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) offset: usize,
    class: usize,
}

impl Block {
    pub(crate) fn capacity(self) -> usize {
        MIN_BLOCK << self.class
    }
}

impl Pool {
    /// Maps a pool of `bytes` bytes (rounded up to 64).
    ///
    /// # Errors
    /// [`PoolError::Map`] if the system gives no mapping of that size.
    pub fn new(bytes: usize) -> Result<Self, PoolError> {
        let size = bytes.max(MIN_BLOCK).next_multiple_of(4096);
        let region = MmapRegion::new(size).map_err(|source| PoolError::Map {
            bytes: size,
            source,
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                region,
                blocks: Mutex::default(),
            }),
        })
    }

    /// Maps a pool of `bytes` bytes (rounded up to 4096) that other processes can map too. It can
    /// not shrink, so that none of them is hurt by another.
    ///
    /// # Errors
    /// [`PoolError::Share`] or [`PoolError::Map`] if the system gives no such memory.
    #[cfg(feature = "shared")]
    pub fn shared(bytes: usize) -> Result<Self, PoolError> {
        use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
        let size = bytes.max(MIN_BLOCK).next_multiple_of(4096);
        let flags = MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
        let file = memfd_create("dma-pool", flags).and_then(|file| {
            ftruncate(&file, size as u64)?;
            fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
            Ok(std::fs::File::from(file))
        });
        let file = file.map_err(|source| PoolError::Share {
            bytes: size,
            source: source.into(),
        })?;
        let place = vm_memory::FileOffset::new(file, 0);
        let region = MmapRegion::from_file(place, size).map_err(|source| PoolError::Map {
            bytes: size,
            source,
        })?;
        Ok(Self {
            inner: Arc::new(Inner {
                region,
                blocks: Mutex::default(),
            }),
        })
    }

    /// The file behind the mapping, if other processes can map it.
    #[cfg(feature = "shared")]
    #[must_use]
    pub fn file(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        use std::os::fd::AsFd as _;
        let place = self.inner.region.file_offset()?;
        Some(place.file().as_fd())
    }

    /// First byte of the mapping, for a path that maps the whole of it for a card.
    #[must_use]
    pub fn as_ptr(&self) -> *mut u8 {
        self.inner.region.as_ptr()
    }

    /// Size of the mapping, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.inner.region.size()
    }

    /// A zeroed buffer of `len` bytes (zero is allowed) that one owner at a time may touch.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`] if no block of that size is left.
    pub fn take(&self, len: usize) -> Result<PoolBuffer, PoolError> {
        let block = self.inner.allocate(len)?;
        let base = self.inner.base(block);
        let (len, class) = (len as u32, block.class as u8);
        Ok(PoolBuffer {
            base,
            pool: Some(Arc::clone(&self.inner)),
            len,
            class,
        })
    }

    /// A zeroed block of `len` bytes that host and card may touch at the same time.
    ///
    /// # Errors
    /// [`PoolError::Exhausted`] if no block of that size is left.
    pub fn coherent(&self, len: usize) -> Result<Coherent, PoolError> {
        let block = self.inner.allocate(len)?;
        Ok(Coherent::new(Arc::clone(&self.inner), block, len))
    }

    /// Where `needle` stands anywhere in the pool, in use or released: an offset from its start.
    ///
    /// For checkers that look for residues. An empty needle is found nowhere.
    #[must_use]
    pub fn find(&self, needle: &[u8]) -> Option<usize> {
        const WINDOW: usize = 1 << 16;
        if needle.is_empty() {
            return None;
        }
        let end = self.inner.lock().high_water;
        let finder = memchr::memmem::Finder::new(needle);
        let mut copy = vec![0; WINDOW + needle.len()];
        let mut start = 0;
        while start < end {
            let len = copy.len().min(end - start);
            self.inner.read(start, &mut copy[..len]);
            if let Some(at) = finder.find(&copy[..len]) {
                copy.zeroize();
                return Some(start + at);
            }
            start += WINDOW;
        }
        copy.zeroize();
        None
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Blocks> {
        // A panic elsewhere cannot leave the lists half changed: each change is one push or pop.
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allocate(&self, len: usize) -> Result<Block, PoolError> {
        let capacity = self.region.size();
        let exhausted = PoolError::Exhausted {
            bytes: len,
            capacity,
        };
        if len > capacity {
            return Err(exhausted);
        }
        let size = len.max(MIN_BLOCK).next_power_of_two();
        let class = (size / MIN_BLOCK).trailing_zeros() as usize;
        let mut blocks = self.lock();
        let Some(free) = blocks.free.get_mut(class) else {
            return Err(exhausted);
        };
        if let Some(offset) = free.pop() {
            return Ok(Block { offset, class });
        }
        let offset = blocks.high_water;
        if capacity - offset < size {
            return Err(exhausted);
        }
        blocks.high_water += size;
        Ok(Block { offset, class })
    }

    /// First byte of a block.
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    pub(crate) fn base(&self, block: Block) -> *mut u8 {
        // SAFETY: `allocate` made the block, and it makes blocks inside the mapping only.
        unsafe { self.region.as_ptr().add(block.offset) }
    }

    /// Takes a block back. The caller has zeroed it and forgets it.
    pub(crate) fn release(&self, block: Block) {
        self.lock().free[block.class].push(block.offset);
    }

    /// Copies bytes out of the mapping, volatile.
    pub(crate) fn read(&self, offset: usize, bytes: &mut [u8]) {
        let slice = self
            .region
            .get_slice(offset, bytes.len())
            .expect("a range inside the mapping");
        slice.copy_to(bytes);
    }

    /// Copies bytes into the mapping, volatile.
    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        let slice = self
            .region
            .get_slice(offset, bytes.len())
            .expect("a range inside the mapping");
        slice.copy_from(bytes);
    }
}

/// Bytes in the pool with one owner; zeroed and given back when dropped.
///
/// The default is no bytes of no pool: what is left where a buffer was taken away.
#[derive(Debug)]
pub struct PoolBuffer {
    // Kept small: a buffer moves into a window and out again for every request.
    base: *mut u8,
    /// None if there is no block.
    pool: Option<Arc<Inner>>,
    /// Blocks are at most 2^30 bytes.
    len: u32,
    class: u8,
}

impl Default for PoolBuffer {
    #[inline]
    fn default() -> Self {
        Self {
            base: std::ptr::dangling_mut(),
            pool: None,
            len: 0,
            class: 0,
        }
    }
}

// SAFETY: the buffer is the only owner of its block (see `Deref`), like a `Box<[u8]>`.
#[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
unsafe impl Send for PoolBuffer {}
// SAFETY: as above; shared access only reads.
#[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
unsafe impl Sync for PoolBuffer {}

impl PoolBuffer {
    /// Distance from the start of the pool's mapping, in bytes; transports derive addresses from
    /// it. Zero without a block.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.block().map_or(0, |(_, block)| block.offset)
    }

    /// Bytes the buffer can grow to without a new block.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.block().map_or(0, |(_, block)| block.capacity())
    }

    fn block(&self) -> Option<(&Inner, Block)> {
        let pool = self.pool.as_deref()?;
        let block = Block {
            offset: self.base.addr() - pool.region.as_ptr().addr(),
            class: usize::from(self.class),
        };
        Some((pool, block))
    }

    /// Changes the length to `len` bytes.
    ///
    /// # Panics
    /// If `len` exceeds [`capacity`](Self::capacity).
    pub fn set_len(&mut self, len: usize) {
        assert!(
            len <= self.capacity(),
            "{len} bytes in a block of {}",
            self.capacity()
        );
        self.len = len as u32;
    }
}

impl Deref for PoolBuffer {
    type Target = [u8];
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    fn deref(&self) -> &[u8] {
        // SAFETY: `base..base + len` is inside a live block that the allocator gave to this value
        // alone; nobody else holds a reference into it, and mapped memory is always initialised.
        // Without a block `len` is zero, because `set_len` keeps it within the capacity.
        unsafe { std::slice::from_raw_parts(self.base, self.len as usize) }
    }
}

impl DerefMut for PoolBuffer {
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.base, self.len as usize) }
    }
}

impl Drop for PoolBuffer {
    fn drop(&mut self) {
        self.set_len(self.capacity());
        self.zeroize();
        if let Some((pool, block)) = self.block() {
            pool.release(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_block_comes_back_zeroed() {
        let pool = Pool::new(4096).unwrap();
        let mut buffer = pool.take(100).unwrap();
        buffer.fill(0xA5);
        let offset = buffer.offset();
        drop(buffer);

        let again = pool.take(128).unwrap();
        assert_eq!(again.offset(), offset, "the same block is used again");
        assert!(again.iter().all(|&byte| byte == 0));
    }

    #[test]
    fn a_buffer_is_small_to_move() {
        assert_eq!(size_of::<PoolBuffer>(), 24);
    }

    #[test]
    fn what_a_buffer_leaves_behind_is_empty() {
        let pool = Pool::new(4096).unwrap();
        let mut buffer = pool.take(100).unwrap();
        let taken = std::mem::take(&mut buffer);
        assert_eq!((taken.len(), taken.capacity()), (100, 128));
        assert_eq!(
            (buffer.len(), buffer.capacity(), buffer.offset()),
            (0, 0, 0)
        );
    }

    #[test]
    #[should_panic(expected = "1 bytes in a block of 0")]
    fn what_a_buffer_leaves_behind_never_grows() {
        PoolBuffer::default().set_len(1);
    }

    #[test]
    fn live_blocks_never_overlap() {
        let pool = Pool::new(1 << 16).unwrap();
        let mut buffers: Vec<_> = [0, 1, 64, 65, 1000, 4096, 3]
            .iter()
            .map(|&len| pool.take(len).unwrap())
            .collect();
        for (index, buffer) in buffers.iter_mut().enumerate() {
            buffer.fill(index as u8 + 1);
        }
        for (index, buffer) in buffers.iter().enumerate() {
            assert!(buffer.iter().all(|&byte| byte == index as u8 + 1));
            assert_eq!(buffer.offset() % 64, 0);
        }
    }

    #[test]
    fn an_empty_pool_says_what_was_asked() {
        let pool = Pool::new(4096).unwrap();
        let _all = pool.take(4096).unwrap();
        let error = pool.take(1).unwrap_err();
        assert!(error.to_string().contains("no block of 1 bytes"), "{error}");
        assert!(pool.take(usize::MAX).is_err());
        assert!(pool.take(1 << 40).is_err());
    }

    #[test]
    fn find_sees_bytes_in_use_and_across_windows() {
        let pool = Pool::new(1 << 18).unwrap();
        let mut buffer = pool.take(1 << 17).unwrap();
        let at = (1 << 16) - 3;
        buffer[at..at + 6].copy_from_slice(b"needle");
        assert_eq!(pool.find(b"needle"), Some(buffer.offset() + at));
        drop(buffer);
        assert_eq!(pool.find(b"needle"), None);
        assert_eq!(pool.find(b""), None);
    }
}
