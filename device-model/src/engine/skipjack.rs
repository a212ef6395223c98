//! Skipjack, after "SKIPJACK and KEA Algorithm Specifications", version 2.0 (NSA, 1998).
//!
//! An 80-bit key, blocks of 64 bits, 32 rounds of two kinds. The words of a block are big-endian.

use aes::cipher::consts::{U1, U8, U10};
use aes::cipher::{
    Array, Block, BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt,
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, InOut, Key,
    KeyInit, KeySizeUser, ParBlocksSizeUser,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

const ROUNDS: u16 = 32;

/// The substitution table F.
const F: [u8; 256] = [
    0xa3, 0xd7, 0x09, 0x83, 0xf8, 0x48, 0xf6, 0xf4, 0xb3, 0x21, 0x15, 0x78, 0x99, 0xb1, 0xaf, 0xf9,
    0xe7, 0x2d, 0x4d, 0x8a, 0xce, 0x4c, 0xca, 0x2e, 0x52, 0x95, 0xd9, 0x1e, 0x4e, 0x38, 0x44, 0x28,
    0x0a, 0xdf, 0x02, 0xa0, 0x17, 0xf1, 0x60, 0x68, 0x12, 0xb7, 0x7a, 0xc3, 0xe9, 0xfa, 0x3d, 0x53,
    0x96, 0x84, 0x6b, 0xba, 0xf2, 0x63, 0x9a, 0x19, 0x7c, 0xae, 0xe5, 0xf5, 0xf7, 0x16, 0x6a, 0xa2,
    0x39, 0xb6, 0x7b, 0x0f, 0xc1, 0x93, 0x81, 0x1b, 0xee, 0xb4, 0x1a, 0xea, 0xd0, 0x91, 0x2f, 0xb8,
    0x55, 0xb9, 0xda, 0x85, 0x3f, 0x41, 0xbf, 0xe0, 0x5a, 0x58, 0x80, 0x5f, 0x66, 0x0b, 0xd8, 0x90,
    0x35, 0xd5, 0xc0, 0xa7, 0x33, 0x06, 0x65, 0x69, 0x45, 0x00, 0x94, 0x56, 0x6d, 0x98, 0x9b, 0x76,
    0x97, 0xfc, 0xb2, 0xc2, 0xb0, 0xfe, 0xdb, 0x20, 0xe1, 0xeb, 0xd6, 0xe4, 0xdd, 0x47, 0x4a, 0x1d,
    0x42, 0xed, 0x9e, 0x6e, 0x49, 0x3c, 0xcd, 0x43, 0x27, 0xd2, 0x07, 0xd4, 0xde, 0xc7, 0x67, 0x18,
    0x89, 0xcb, 0x30, 0x1f, 0x8d, 0xc6, 0x8f, 0xaa, 0xc8, 0x74, 0xdc, 0xc9, 0x5d, 0x5c, 0x31, 0xa4,
    0x70, 0x88, 0x61, 0x2c, 0x9f, 0x0d, 0x2b, 0x87, 0x50, 0x82, 0x54, 0x64, 0x26, 0x7d, 0x03, 0x40,
    0x34, 0x4b, 0x1c, 0x73, 0xd1, 0xc4, 0xfd, 0x3b, 0xcc, 0xfb, 0x7f, 0xab, 0xe6, 0x3e, 0x5b, 0xa5,
    0xad, 0x04, 0x23, 0x9c, 0x14, 0x51, 0x22, 0xf0, 0x29, 0x79, 0x71, 0x7e, 0xff, 0x8c, 0x0e, 0xe2,
    0x0c, 0xef, 0xbc, 0x72, 0x75, 0x6f, 0x37, 0xa1, 0xec, 0xd3, 0x8e, 0x62, 0x8b, 0x86, 0x10, 0xe8,
    0x08, 0x77, 0x11, 0xbe, 0x92, 0x4f, 0x24, 0xc5, 0x32, 0x36, 0x9d, 0xcf, 0xf3, 0xa6, 0xbb, 0xac,
    0x5e, 0x6c, 0xa9, 0x13, 0x57, 0x25, 0xb5, 0xe3, 0xbd, 0xa8, 0x3a, 0x01, 0x05, 0x59, 0x2a, 0x46,
];

/// A key of Skipjack, which needs no expanding; zeroed when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Skipjack {
    key: [u8; 10],
}

impl Skipjack {
    /// The four-round Feistel cipher G of step `step`, counted from zero.
    fn g(&self, word: u16, step: u16) -> u16 {
        let [mut high, mut low] = word.to_be_bytes();
        for pair in 0..2 {
            high ^= self.f(low, step, 2 * pair);
            low ^= self.f(high, step, 2 * pair + 1);
        }
        u16::from_be_bytes([high, low])
    }

    /// The inverse of [`g`](Self::g).
    fn g_inverse(&self, word: u16, step: u16) -> u16 {
        let [mut high, mut low] = word.to_be_bytes();
        for pair in [1, 0] {
            low ^= self.f(high, step, 2 * pair + 1);
            high ^= self.f(low, step, 2 * pair);
        }
        u16::from_be_bytes([high, low])
    }

    fn f(&self, byte: u8, step: u16, round: u16) -> u8 {
        F[usize::from(byte ^ self.key[usize::from(4 * step + round) % self.key.len()])]
    }

    /// Steps 1 to 8 and 17 to 24 follow rule A, the others rule B.
    const fn is_rule_a(step: u16) -> bool {
        step % 16 < 8
    }

    fn encrypt(&self, words: [u16; 4]) -> [u16; 4] {
        (0..ROUNDS).fold(words, |[w1, w2, w3, w4], step| {
            let mixed = self.g(w1, step);
            let counter = step + 1;
            if Self::is_rule_a(step) {
                [mixed ^ w4 ^ counter, mixed, w2, w3]
            } else {
                [w4, mixed, w1 ^ w2 ^ counter, w3]
            }
        })
    }

    fn decrypt(&self, words: [u16; 4]) -> [u16; 4] {
        (0..ROUNDS).rev().fold(words, |[w1, w2, w3, w4], step| {
            let first = self.g_inverse(w2, step);
            let counter = step + 1;
            if Self::is_rule_a(step) {
                [first, w3, w4, w1 ^ w2 ^ counter]
            } else {
                [first, first ^ w3 ^ counter, w4, w1]
            }
        })
    }
}

fn transform(block: InOut<'_, '_, Array<u8, U8>>, rounds: impl Fn([u16; 4]) -> [u16; 4]) {
    let mut block = block;
    let bytes: [u8; 8] = (*block.get_in()).into();
    let (words, _) = bytes.as_chunks::<2>();
    let words = std::array::from_fn(|at| u16::from_be_bytes(words[at]));
    for (bytes, word) in block.get_out().chunks_exact_mut(2).zip(rounds(words)) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
}

impl KeySizeUser for Skipjack {
    type KeySize = U10;
}

impl KeyInit for Skipjack {
    fn new(key: &Key<Self>) -> Self {
        Self { key: (*key).into() }
    }
}

impl BlockSizeUser for Skipjack {
    type BlockSize = U8;
}

impl ParBlocksSizeUser for Skipjack {
    type ParBlocksSize = U1;
}

impl BlockCipherEncBackend for Skipjack {
    fn encrypt_block(&self, block: InOut<'_, '_, Block<Self>>) {
        transform(block, |words| self.encrypt(words));
    }
}

impl BlockCipherDecBackend for Skipjack {
    fn decrypt_block(&self, block: InOut<'_, '_, Block<Self>>) {
        transform(block, |words| self.decrypt(words));
    }
}

impl BlockCipherEncrypt for Skipjack {
    fn encrypt_with_backend(&self, f: impl BlockCipherEncClosure<BlockSize = Self::BlockSize>) {
        f.call(self);
    }
}

impl BlockCipherDecrypt for Skipjack {
    fn decrypt_with_backend(&self, f: impl BlockCipherDecClosure<BlockSize = Self::BlockSize>) {
        f.call(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's annex.
    #[test]
    fn the_published_block_comes_out_and_goes_back() {
        let key = [0x00, 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11];
        let plain = [0x33, 0x22, 0x11, 0x00, 0xdd, 0xcc, 0xbb, 0xaa];
        let secret = [0x25, 0x87, 0xca, 0xe2, 0x7a, 0x12, 0xd3, 0x00];
        let cipher = Skipjack::new(&key.into());
        let mut block = plain.into();
        BlockCipherEncrypt::encrypt_block(&cipher, &mut block);
        assert_eq!(block.0, secret);
        BlockCipherDecrypt::decrypt_block(&cipher, &mut block);
        assert_eq!(block.0, plain);
    }
}
