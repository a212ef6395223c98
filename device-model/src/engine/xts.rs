//! XTS over whole blocks, many at a time.
//!
//! IEEE 1619 without ciphertext stealing: the card takes whole blocks only. The tweaks of a chunk
//! are made first, so that the block cipher sees a long run and keeps its pipeline full; one block
//! at a time is twenty times slower.

use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, BlockSizeUser};

use super::block::Block;

/// Blocks of one run of the block cipher.
const CHUNK: usize = 64;

/// Encrypts whole blocks; `tweak` is the encrypted IV as a little-endian number.
pub(super) fn encrypt<C>(cipher: &C, tweak: u128, payload: &mut [u8])
where
    C: BlockCipherEncrypt + BlockSizeUser<BlockSize = U16>,
{
    run(tweak, payload, |blocks| cipher.encrypt_blocks(blocks));
}

/// Decrypts whole blocks; `tweak` is the encrypted IV as a little-endian number.
pub(super) fn decrypt<C>(cipher: &C, tweak: u128, payload: &mut [u8])
where
    C: BlockCipherDecrypt + BlockSizeUser<BlockSize = U16>,
{
    run(tweak, payload, |blocks| cipher.decrypt_blocks(blocks));
}

#[inline]
fn run(mut tweak: u128, payload: &mut [u8], transform: impl Fn(&mut [Block])) {
    let (blocks, _) = Block::slice_as_chunks_mut(payload);
    let mut tweaks = [0u128; CHUNK];
    for chunk in blocks.chunks_mut(CHUNK) {
        for slot in &mut tweaks[..chunk.len()] {
            *slot = tweak;
            tweak = double(tweak);
        }
        mask(chunk, &tweaks);
        transform(chunk);
        mask(chunk, &tweaks);
    }
}

#[inline]
fn mask(blocks: &mut [Block], tweaks: &[u128; CHUNK]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        let bytes: [u8; 16] = (*block).into();
        *block = (u128::from_le_bytes(bytes) ^ tweak).to_le_bytes().into();
    }
}

/// Multiplies by the primitive element of GF(2^128).
#[inline]
const fn double(tweak: u128) -> u128 {
    let carry = (tweak >> 127) * 0x87;
    (tweak << 1) ^ carry
}
