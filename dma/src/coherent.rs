//! Coherent blocks: memory that host and card touch at the same time.
//!
//! Owns nothing but its place in the pool. Every access copies through volatile memory; no
//! reference to the bytes exists, because the other side may change them at any moment.

use std::sync::Arc;

use crate::pool::{Block, Inner};

/// Ring entries and descriptors are multiples of this many bytes; they are copied in such pieces.
const CHUNK: usize = 32;
/// Bytes that one volatile access moves.
const WORD: usize = size_of::<u64>();

/// A shared block; clones name the same bytes, and the last one gives it back zeroed.
#[derive(Clone, Debug)]
pub struct Coherent {
    /// First byte of the block; valid while `shared` lives.
    base: *mut u8,
    len: usize,
    shared: Arc<Shared>,
}

// SAFETY: the bytes are only ever copied, volatile; see `read_array` and `write_array`.
#[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
unsafe impl Send for Coherent {}
// SAFETY: as above.
#[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
unsafe impl Sync for Coherent {}

#[derive(Debug)]
struct Shared {
    pool: Arc<Inner>,
    block: Block,
}

impl Coherent {
    pub(crate) fn new(pool: Arc<Inner>, block: Block, len: usize) -> Self {
        let base = pool.base(block);
        Self {
            base,
            len,
            shared: Arc::new(Shared { pool, block }),
        }
    }

    /// Length in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks for an empty block"
    )]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Distance from the start of the pool's mapping, in bytes; transports derive addresses from
    /// it.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.shared.block.offset
    }

    /// Copies `bytes.len()` bytes out, starting `at` bytes into the block.
    ///
    /// # Panics
    /// If the range leaves the block.
    #[inline]
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        self.check(at, bytes.len());
        let (chunks, rest) = bytes.as_chunks_mut::<CHUNK>();
        let mut at = at;
        for chunk in chunks {
            *chunk = self.read_array(at);
            at += CHUNK;
        }
        if !rest.is_empty() {
            self.shared.pool.read(self.shared.block.offset + at, rest);
        }
    }

    /// Copies `bytes` in, starting `at` bytes into the block.
    ///
    /// # Panics
    /// If the range leaves the block.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.check(at, bytes.len());
        let (chunks, rest) = bytes.as_chunks::<CHUNK>();
        let mut at = at;
        for chunk in chunks {
            self.write_array(at, chunk);
            at += CHUNK;
        }
        if !rest.is_empty() {
            self.shared.pool.write(self.shared.block.offset + at, rest);
        }
    }

    /// Copies `N` bytes out, starting `at` bytes into the block. For sizes known beforehand:
    /// cheaper than [`read`](Self::read). Words that are aligned are read as wholes.
    ///
    /// # Panics
    /// If the range leaves the block.
    #[must_use]
    #[inline(always)]
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    pub fn read_array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.check(at, N);
        let mut bytes = [0; N];
        if !at.is_multiple_of(WORD) {
            self.read_bytes(at, &mut bytes);
            return bytes;
        }
        let base = self.base;
        let (words, rest) = bytes.as_chunks_mut::<WORD>();
        let rest_at = at + words.len() * WORD;
        for (index, word) in words.iter_mut().enumerate() {
            // SAFETY: `check` keeps the range inside the block, which stays mapped while `shared`
            // lives; blocks are 64-byte aligned, and so every eighth byte from `at` on is for
            // `u64`.
            let value = unsafe { base.add(at + index * WORD).cast::<u64>().read_volatile() };
            *word = value.to_ne_bytes();
        }
        if !rest.is_empty() {
            self.read_bytes(rest_at, rest);
        }
        bytes
    }

    /// Copies `bytes` in, starting `at` bytes into the block. For sizes known beforehand: cheaper
    /// than [`write`](Self::write). Words that are aligned are written as wholes, in order.
    ///
    /// # Panics
    /// If the range leaves the block.
    #[inline(always)]
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    pub fn write_array<const N: usize>(&self, at: usize, bytes: &[u8; N]) {
        self.check(at, N);
        if !at.is_multiple_of(WORD) {
            return self.write_bytes(at, bytes);
        }
        // A copy, which no write can change: the block might hold this very value otherwise.
        let base = self.base;
        let (words, rest) = bytes.as_chunks::<WORD>();
        for (index, word) in words.iter().enumerate() {
            let value = u64::from_ne_bytes(*word);
            // SAFETY: as in `read_array`.
            unsafe {
                base.add(at + index * WORD)
                    .cast::<u64>()
                    .write_volatile(value)
            };
        }
        if !rest.is_empty() {
            self.write_bytes(at + words.len() * WORD, rest);
        }
    }

    /// Copies bytes out, one at a time. The caller checked the range.
    #[inline]
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    fn read_bytes(&self, at: usize, bytes: &mut [u8]) {
        assert!(at + bytes.len() <= self.len);
        for (index, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: the range is inside the block, as in `read_array`.
            *byte = unsafe { self.base.add(at + index).read_volatile() };
        }
    }

    /// Copies bytes in, one at a time. The caller checked the range.
    #[inline]
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    fn write_bytes(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: the range is inside the block, as in `read_array`.
            unsafe { self.base.add(at + index).write_volatile(*byte) };
        }
    }

    /// Reads the little-endian word at `at`, a multiple of 4 bytes into the block, as a whole.
    ///
    /// # Panics
    /// If the word leaves the block or is not aligned.
    #[must_use]
    #[inline]
    #[expect(unsafe_code, reason = "the shared mapping is where unsafe lives")]
    pub fn read_u32(&self, at: usize) -> u32 {
        self.check(at, size_of::<u32>());
        assert!(at.is_multiple_of(size_of::<u32>()), "an aligned word");
        // SAFETY: inside the block and aligned, as just checked.
        u32::from_le(unsafe { self.base.add(at).cast::<u32>().read_volatile() })
    }

    /// Overwrites the whole block with zeroes.
    pub fn zero(&self) {
        self.shared.zero();
    }

    #[inline(always)]
    fn check(&self, at: usize, len: usize) {
        if at.saturating_add(len) > self.len {
            self.leaves(at, len);
        }
    }

    // Apart, with plain numbers: what a message borrows must stand in memory.
    #[cold]
    #[inline(never)]
    fn leaves(&self, at: usize, len: usize) -> ! {
        panic!("{len} bytes at {at} leave a block of {}", self.len);
    }
}

impl Shared {
    fn zero(&self) {
        const ZEROES: [u8; 4096] = [0; 4096];
        let mut at = 0;
        while at < self.block.capacity() {
            let len = ZEROES.len().min(self.block.capacity() - at);
            self.pool.write(self.block.offset + at, &ZEROES[..len]);
            at += len;
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.zero();
        self.pool.release(self.block);
    }
}

#[cfg(test)]
mod tests {
    use crate::Pool;

    #[test]
    fn clones_name_the_same_bytes() {
        let pool = Pool::new(4096).unwrap();
        let host = pool.coherent(256).unwrap();
        let card = host.clone();
        host.write(8, &[1, 2, 3]);
        let mut seen = [0; 3];
        card.read(8, &mut seen);
        assert_eq!(seen, [1, 2, 3]);
    }

    #[test]
    fn fixed_sizes_see_the_same_bytes() {
        let pool = Pool::new(4096).unwrap();
        let block = pool.coherent(64).unwrap();
        block.write_array(3, &[1, 2, 3, 4, 5]);
        assert_eq!(block.read_array::<5>(3), [1, 2, 3, 4, 5]);
        assert_eq!(block.read_u32(4), 0x0504_0302_u32.to_le());
        block.write_array(8, &[7; 24]);
        assert_eq!(block.read_array::<24>(8), [7; 24]);
        assert_eq!(block.read_array::<3>(5), [3, 4, 5]);
        let mut bytes = [0; 5];
        block.read(3, &mut bytes);
        assert_eq!(bytes, [1, 2, 3, 4, 5]);
    }

    #[test]
    #[should_panic(expected = "leave a block of 64")]
    fn a_fixed_size_past_the_end_is_a_bug_of_the_caller() {
        let pool = Pool::new(4096).unwrap();
        let _ = pool.coherent(64).unwrap().read_array::<8>(57);
    }

    #[test]
    #[should_panic(expected = "8 bytes at 250 leave a block of 256")]
    fn a_range_past_the_end_is_a_bug_of_the_caller() {
        let pool = Pool::new(4096).unwrap();
        pool.coherent(256).unwrap().write(250, &[0; 8]);
    }

    #[test]
    fn the_last_clone_gives_the_block_back_zeroed() {
        let pool = Pool::new(4096).unwrap();
        let block = pool.coherent(64).unwrap();
        block.write(0, b"secret");
        let other = block.clone();
        drop(block);
        assert!(pool.find(b"secret").is_some(), "still in use");
        drop(other);
        assert!(pool.find(b"secret").is_none());
    }
}
