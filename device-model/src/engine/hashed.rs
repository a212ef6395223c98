//! What is made of one hash function: the hash itself, HMAC, and key-pad-data-key.
//!
//! The state after everything that does not depend on the data is kept; a request clones it. Own
//! code instead of a library's, because a state can leave the card in the middle of a message.

use regs::{DIGEST_MAX, DIGEST_STATE_BODY, Status};
use sha2::Digest;
use sha2::digest::common::BlockSizeUser;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use zeroize::{Zeroize, Zeroizing};

use super::digest::padded;
use super::state::Body;

/// Longest block of a hash function, in bytes.
const BLOCK_MAX: usize = 128;

/// Most blocks that a state from outside may have behind it: more than a card digests in years, and
/// far from where a library's counter of bits overflows.
const BLOCKS_MAX: u64 = 1 << 48;

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

impl<D: Digest + BlockSizeUser + Clone + SerializableState> Hashed<D> {
    pub(super) const fn is_keyed(&self) -> bool {
        !matches!(self.end, End::Nothing)
    }

    /// The state after `payload`, which follows what led to the state `from`, or begins a message.
    pub(super) fn advance(&self, from: Option<&Body>, payload: &[u8]) -> Result<Body, Status> {
        let mut hash = self.resume(from)?;
        hash.update(payload);
        let mut state = hash.serialize();
        let mut body = Body::new([0; DIGEST_STATE_BODY]);
        body[..state.len()].copy_from_slice(&state);
        state.as_mut_slice().zeroize();
        Ok(body)
    }

    /// The digest of what led to the state `from`, or of nothing, and `payload`.
    pub(super) fn end(
        &self,
        from: Option<&Body>,
        payload: &[u8],
    ) -> Result<[u8; DIGEST_MAX], Status> {
        let mut hash = self.resume(from)?;
        hash.update(payload);
        Ok(self.finish(hash))
    }

    fn resume(&self, from: Option<&Body>) -> Result<D, Status> {
        let Some(body) = from else {
            return Ok(self.start.clone());
        };
        let mut state = SerializedState::<D>::default();
        let (used, rest) = body.split_at(state.len());
        if rest.iter().any(|&byte| byte != 0) || blocks_of::<D>(used) > BLOCKS_MAX {
            return Err(Status::BadState);
        }
        state.copy_from_slice(used);
        let hash = D::deserialize(&state).map_err(|_| Status::BadState);
        state.as_mut_slice().zeroize();
        hash
    }
}

/// The number of blocks in a state: it stands before the bytes that make no block yet, and is as
/// wide as an eighth of a block. More than 64 bits are as many as 64 bits hold.
fn blocks_of<D: BlockSizeUser>(state: &[u8]) -> u64 {
    let width = D::block_size() / 8;
    let end = state.len() - D::block_size();
    let number = &state[end - width..end];
    let bytes = number.iter().rev();
    let value = bytes.fold(0_u128, |value, &byte| value << 8 | u128::from(byte));
    u64::try_from(value).unwrap_or(u64::MAX)
}
