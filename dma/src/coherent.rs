//! Coherent blocks: memory that host and card touch at the same time.
//!
//! Owns nothing but its place in the pool. Every access copies through volatile memory; no
//! reference to the bytes exists, because the other side may change them at any moment.

use std::sync::Arc;

use crate::pool::{Block, Inner};

/// A shared block; clones name the same bytes, and the last one gives it back zeroed.
#[derive(Clone, Debug)]
pub struct Coherent {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pool: Arc<Inner>,
    block: Block,
    len: usize,
}

impl Coherent {
    pub(crate) fn new(pool: Arc<Inner>, block: Block, len: usize) -> Self {
        Self {
            shared: Arc::new(Shared { pool, block, len }),
        }
    }

    /// Length in bytes.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "nobody asks for an empty block"
    )]
    pub fn len(&self) -> usize {
        self.shared.len
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
        self.shared.pool.read(self.shared.block.offset + at, bytes);
    }

    /// Copies `bytes` in, starting `at` bytes into the block.
    ///
    /// # Panics
    /// If the range leaves the block.
    #[inline]
    pub fn write(&self, at: usize, bytes: &[u8]) {
        self.check(at, bytes.len());
        self.shared.pool.write(self.shared.block.offset + at, bytes);
    }

    /// Overwrites the whole block with zeroes.
    pub fn zero(&self) {
        self.shared.zero();
    }

    fn check(&self, at: usize, len: usize) {
        let end = at.checked_add(len).expect("an offset inside the block");
        assert!(
            end <= self.shared.len,
            "{at}..{end} leaves a block of {}",
            self.shared.len
        );
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
    #[should_panic(expected = "leaves a block of 256")]
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
