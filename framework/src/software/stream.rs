//! Stream ciphers that aws-lc does not have: RC4 and plain ChaCha20.

use cryptoxide::chacha20::ChaCha20;
use zeroize::Zeroize;

/// Length of a block of ChaCha20, in bytes.
const CHACHA_BLOCK: u64 = 64;

/// RC4 from its first byte on, over `data`. Written down from its description: it is short.
pub(super) fn arc4(key: &[u8], data: &mut [u8]) {
    let mut state: [u8; 256] = std::array::from_fn(|at| at as u8);
    let mut other = 0_u8;
    for at in 0..256 {
        other = other
            .wrapping_add(state[at])
            .wrapping_add(key[at % key.len()]);
        state.swap(at, usize::from(other));
    }
    let (mut at, mut other) = (0_u8, 0_u8);
    for byte in data {
        at = at.wrapping_add(1);
        other = other.wrapping_add(state[usize::from(at)]);
        state.swap(usize::from(at), usize::from(other));
        let sum = state[usize::from(at)].wrapping_add(state[usize::from(other)]);
        *byte ^= state[usize::from(sum)];
    }
    state.zeroize();
}

/// ChaCha20 over `data`, with a key of 16 or 32 bytes; `iv` is a 64-bit little-endian block counter
/// followed by the nonce.
///
/// The library counts blocks in 32 bits, as RFC 8439 does. The upper half of the counter is part of
/// the nonce to it, and is counted here.
pub(super) fn chacha20(key: &[u8], iv: &[u8; 16], data: &mut [u8]) {
    let (counter, nonce) = iv.split_first_chunk().expect("sixteen bytes");
    let mut counter = u64::from_le_bytes(*counter);
    let mut rest = data;
    while !rest.is_empty() {
        let blocks = (1 << 32) - (counter & 0xFFFF_FFFF);
        let len = rest
            .len()
            .min(usize::try_from(blocks * CHACHA_BLOCK).unwrap_or(usize::MAX));
        let (run, behind) = rest.split_at_mut(len);
        let mut whole_nonce = [0; 12];
        whole_nonce[..4].copy_from_slice(&((counter >> 32) as u32).to_le_bytes());
        whole_nonce[4..].copy_from_slice(nonce);
        let mut cipher = ChaCha20::new(key, &whole_nonce);
        cipher.seek(counter as u32);
        cipher.process_mut(run);
        counter = counter.wrapping_add(blocks);
        rest = behind;
    }
}

/// The key that XChaCha20 makes of `key` and the first sixteen bytes of its nonce: HChaCha20.
///
/// That is the ChaCha20 block without the addition at its end, which is taken back here.
pub(super) fn hchacha20(key: &[u8; 32], nonce: &[u8; 16]) -> [u8; 32] {
    let mut block = [0; CHACHA_BLOCK as usize];
    chacha20(key, nonce, &mut block);
    let mut derived = [0; 32];
    let start = b"expand 32-byte k".chunks(4).chain(nonce.chunks(4));
    let ends = block[..16].chunks(4).chain(block[48..].chunks(4));
    for ((bytes, end), added) in derived.chunks_exact_mut(4).zip(ends).zip(start) {
        let word = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
        bytes.copy_from_slice(&word(end).wrapping_sub(word(added)).to_le_bytes());
    }
    block.zeroize();
    derived
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_chacha20_has_64_bits() {
        let key = [7; 32];
        let mut iv = [9; 16];
        iv[..8].copy_from_slice(&0x1_FFFF_FFFE_u64.to_le_bytes());
        let mut whole = vec![0; 5 * 64 + 3];
        chacha20(&key, &iv, &mut whole);
        for (number, block) in whole.chunks(64).enumerate() {
            iv[..8].copy_from_slice(&(0x1_FFFF_FFFE + number as u64).to_le_bytes());
            let mut alone = vec![0; block.len()];
            chacha20(&key, &iv, &mut alone);
            assert_eq!(block, alone, "block {number}");
        }
    }

    /// RFC 6229 for 128 bits, and draft-irtf-cfrg-xchacha-03, 2.2.1.
    #[test]
    fn published_streams_come_out() {
        let mut stream = [0; 4];
        let key: Vec<u8> = (1..=16).collect();
        arc4(&key, &mut stream);
        assert_eq!(stream, [0x9A, 0xC7, 0xCC, 0x9A]);
        let key = std::array::from_fn(|at| at as u8);
        let mut nonce = [0; 16];
        nonce[3] = 9;
        nonce[7] = 0x4A;
        nonce[12..].copy_from_slice(&[0x31, 0x41, 0x59, 0x27]);
        let derived = hchacha20(&key, &nonce);
        assert_eq!(derived[..4], [0x82, 0x41, 0x3B, 0x42]);
        assert_eq!(derived[28..], [0x26, 0xD3, 0xEC, 0xDC]);
    }
}
