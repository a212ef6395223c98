//! What is made of one hash function: the hash itself, HMAC, and key-pad-data-key.
//!
//! The state after everything that does not depend on the data is kept; a request clones it. Own
//! code instead of a library's, because a state can leave the card in the middle of a message.

use regs::DIGEST_MAX;
use sha2::Digest;
use sha2::digest::common::BlockSizeUser;
use zeroize::Zeroizing;

use super::digest::padded;

/// Longest block of a hash function, in bytes.
const BLOCK_MAX: usize = 128;

/// A hash function, ready for data.
pub(super) struct Hashed<D> {
    start: D,
    end: End<D>,
}

/// What comes behind the data.
enum End<D> {
    Nothing,
    /// HMAC: the state after the outer pad, which takes the inner digest.
    Outer(D),
    /// The key once more.
    Key(Zeroizing<Box<[u8]>>),
}

impl<D: Digest + BlockSizeUser + Clone> Hashed<D> {
    pub(super) fn plain() -> Box<Self> {
        Box::new(Self {
            start: D::new(),
            end: End::Nothing,
        })
    }

    /// RFC 2104. A key longer than a block is hashed first.
    pub(super) fn hmac(key: &[u8]) -> Box<Self> {
        let mut block = Zeroizing::new([0; BLOCK_MAX]);
        let block = &mut block[..D::block_size()];
        if key.len() > block.len() {
            let mut hashed = D::digest(key);
            block[..hashed.len()].copy_from_slice(&hashed);
            hashed.fill(0);
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        block.iter_mut().for_each(|byte| *byte ^= 0x36);
        let start = D::new_with_prefix(&*block);
        block.iter_mut().for_each(|byte| *byte ^= 0x36 ^ 0x5C);
        let end = End::Outer(D::new_with_prefix(&*block));
        Box::new(Self { start, end })
    }

    /// RFC 1828: the key, filled up as the hash function fills up a message of that length, then
    /// the data, then the key. `length` writes a number of bits in the function's byte order.
    pub(super) fn key_pad_data_key(key: &[u8], length: fn(u64) -> [u8; 8]) -> Box<Self> {
        let mut start = D::new_with_prefix(key);
        let zeroes = (D::block_size() * 2 - 1 - 8 - key.len() % D::block_size()) % D::block_size();
        start.update([0x80]);
        start.update(&[0; BLOCK_MAX][..zeroes]);
        start.update(length(key.len() as u64 * 8));
        let end = End::Key(Zeroizing::new(key.into()));
        Box::new(Self { start, end })
    }

    /// The digest of `parts`, joined.
    pub(super) fn compute(&self, parts: &[&[u8]]) -> [u8; DIGEST_MAX] {
        let mut hash = self.start.clone();
        for part in parts {
            hash.update(part);
        }
        self.finish(hash)
    }

    fn finish(&self, mut hash: D) -> [u8; DIGEST_MAX] {
        match &self.end {
            End::Nothing => padded(&hash.finalize()),
            End::Outer(outer) => {
                let mut outer = outer.clone();
                outer.update(hash.finalize());
                padded(&outer.finalize())
            }
            End::Key(key) => {
                hash.update(&**key);
                padded(&hash.finalize())
            }
        }
    }
}
