//! AES in counter mode with CBC-MAC: SP 800-38C with nonces of 7 to 13 bytes.
//!
//! Lengths are the caller's business: the nonce is 7 to 13 bytes, the tag 4 to 16 and even, and the
//! payload fits the length field that the nonce leaves.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncrypt, BlockSizeUser, InnerIvInit, StreamCipherCore};
use ctr::flavors;

use super::block::{AesKey, BLOCK_LEN, Block, with_aes};
use super::parts;

/// Bits that the length of a payload, in bytes, may have with a nonce of `iv_len` bytes: those of
/// the length field, and not those that no length in memory has.
pub(super) const fn payload_bits(iv_len: u8) -> u8 {
    let length_bytes = 15 - iv_len;
    if length_bytes < size_of::<usize>() as u8 {
        8 * length_bytes
    } else {
        isize::BITS as u8 - 1
    }
}

/// What a message brings besides its payload.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    pub(super) nonce: &'a [u8],
    /// AAD in parts.
    pub(super) aad: &'a [&'a [u8]],
    pub(super) tag_len: usize,
}

impl Message<'_> {
    /// SP 800-38C, A.3: counter block number `number`, below 65,536.
    fn counter(&self, number: u8) -> Block {
        let mut block = Block::default();
        block[0] = 14 - self.nonce.len() as u8;
        block[1..=self.nonce.len()].copy_from_slice(self.nonce);
        block[15] = number;
        block
    }

    /// SP 800-38C, A.2.1: the first block of the MAC.
    fn first_block(&self, aad_len: usize, payload_len: usize) -> Block {
        let mut block = self.counter(0);
        block[0] |= ((self.tag_len as u8 - 2) / 2) << 3;
        if aad_len != 0 {
            block[0] |= 1 << 6;
        }
        // The length is at most as long as the field, so what it covers of the nonce is zero.
        let length = (payload_len as u128).to_be_bytes();
        for (byte, part) in block.iter_mut().zip(length) {
            *byte |= part;
        }
        block
    }

    /// The whole tag over AAD and `payload` in the clear.
    pub(super) fn tag(&self, key: &AesKey, payload: &[u8]) -> [u8; 16] {
        with_aes!(key, cipher => {
            let mut mac = CbcMac { cipher, state: Block::default() };
            let aad_len = parts::len(self.aad);
            mac.absorb(&[self.first_block(aad_len, payload.len())]);
            if aad_len != 0 {
                let (header, len) = aad_header(aad_len);
                mac.absorb_padded(&[&header[..len]], self.aad);
            }
            mac.absorb_padded(&[payload], &[]);
            let mut mask = self.counter(0);
            cipher.encrypt_block(&mut mask);
            xor(&mut mac.state, &mask);
            mac.state.into()
        })
    }

    /// Encrypts or decrypts `payload`.
    pub(super) fn apply_keystream(&self, key: &AesKey, payload: &mut [u8]) {
        let first = self.counter(1);
        with_aes!(key, cipher => {
            ctr::CtrCore::<_, flavors::Ctr128BE>::inner_iv_init(cipher, &first)
                .apply_keystream_partial(payload.into());
        });
    }
}

/// SP 800-38C, A.2.2: how the length of AAD is written in front of it.
fn aad_header(len: usize) -> ([u8; 6], usize) {
    let mut header = [0; 6];
    if len < 0xFF00 {
        header[..2].copy_from_slice(&(len as u16).to_be_bytes());
        (header, 2)
    } else {
        header[..2].copy_from_slice(&[0xFF, 0xFE]);
        header[2..].copy_from_slice(&(len as u32).to_be_bytes());
        (header, 6)
    }
}

struct CbcMac<'a, C> {
    cipher: &'a C,
    state: Block,
}

impl<C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>> CbcMac<'_, C> {
    fn absorb(&mut self, blocks: &[Block]) {
        for block in blocks {
            xor(&mut self.state, block);
            self.cipher.encrypt_block(&mut self.state);
        }
    }

    /// Both rows of parts one behind the other, filled up with zeroes to a whole block.
    fn absorb_padded(&mut self, first: &[&[u8]], second: &[&[u8]]) {
        let mut joined: [&[u8]; PARTS_MAX] = [&[]; PARTS_MAX];
        for (place, &part) in joined.iter_mut().zip(first.iter().chain(second)) {
            *place = part;
        }
        let (rest, held) = parts::in_blocks(&joined, |blocks| self.absorb(blocks));
        if held != 0 {
            self.absorb(&[rest]);
        }
    }
}

/// Most parts that are digested together: the header of AAD, AAD, payload, ESN.
const PARTS_MAX: usize = 4;

fn xor(state: &mut Block, block: &Block) {
    for at in 0..BLOCK_LEN {
        state[at] ^= block[at];
    }
}
