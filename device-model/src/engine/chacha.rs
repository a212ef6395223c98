//! ChaCha20, alone and with Poly1305.
//!
//! Alone it takes OpenCrypto's IV: a 64-bit little-endian block counter, then a nonce of 64 bits.
//! With Poly1305 it is RFC 8439, or XChaCha20 of draft-irtf-cfrg-xchacha.

use chacha20::cipher::consts::U16;
use chacha20::cipher::{Array, KeyIvInit, StreamCipherCore};
use chacha20::{ChaCha20LegacyCore, ChaChaCore, R20, hchacha, variants};
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use regs::Status;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of keystream of one block counter.
const BLOCK_LEN: usize = 64;

/// A 256-bit key.
pub(super) type Key = Zeroizing<[u8; 32]>;

pub(super) fn key(bytes: &[u8]) -> Result<Key, Status> {
    let bytes = bytes.try_into().map_err(|_| Status::BadParameters)?;
    Ok(Zeroizing::new(bytes))
}

/// A key of ChaCha20 alone: the 16 words every block starts from, counter and nonce left out.
pub(super) struct StreamKey {
    start: Zeroizing<[u32; 16]>,
    /// The same as bytes if it has 256 bits.
    long: Option<Key>,
}

impl StreamKey {
    /// A key of 16 or 32 bytes; the short one is used twice, with constants of its own.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, Status> {
        let (constants, long) = match bytes.len() {
            16 => (b"expand 16-byte k", None),
            32 => (b"expand 32-byte k", Some(key(bytes)?)),
            _ => return Err(Status::BadParameters),
        };
        let mut start = Zeroizing::new([0; 16]);
        let (constants, _) = constants.as_chunks::<4>();
        let (words, _) = bytes.as_chunks::<4>();
        let row = constants.iter().chain(words.iter().cycle().take(8));
        for (place, word) in start.iter_mut().zip(row) {
            *place = u32::from_le_bytes(*word);
        }
        Ok(Self { start, long })
    }

    /// Encrypts or decrypts `payload`.
    pub(super) fn apply(&self, iv: &[u8; 16], payload: &mut [u8]) {
        let counter = u64::from_le_bytes(std::array::from_fn(|at| iv[at]));
        let blocks = payload.len().div_ceil(BLOCK_LEN) as u64;
        match &self.long {
            // The library's stream ends where its counter does; OpenCrypto's goes on from zero.
            Some(key) if counter.checked_add(blocks).is_some() => {
                let nonce: [u8; 8] = std::array::from_fn(|at| iv[8 + at]);
                let mut stream = ChaCha20LegacyCore::new((&**key).into(), &nonce.into());
                stream.set_block_pos(counter);
                stream.apply_keystream_partial(payload.into());
            }
            _ => self.apply_slowly(counter, iv, payload),
        }
    }

    fn apply_slowly(&self, counter: u64, iv: &[u8; 16], payload: &mut [u8]) {
        let mut counter = counter;
        let (words, _) = iv.as_chunks::<4>();
        for chunk in payload.chunks_mut(BLOCK_LEN) {
            let mut start = self.start.clone();
            start[12] = counter as u32;
            start[13] = (counter >> 32) as u32;
            start[14] = u32::from_le_bytes(words[2]);
            start[15] = u32::from_le_bytes(words[3]);
            let mut keystream = block(&start);
            for (byte, mask) in chunk.iter_mut().zip(&keystream) {
                *byte ^= mask;
            }
            keystream.zeroize();
            counter = counter.wrapping_add(1);
        }
    }
}

/// RFC 8439, 2.3: one block of keystream.
fn block(start: &[u32; 16]) -> [u8; BLOCK_LEN] {
    let mut state = Zeroizing::new(*start);
    for _ in 0..10 {
        for column in 0..4 {
            quarter_round(&mut state, [column, 4 + column, 8 + column, 12 + column]);
        }
        for column in 0..4 {
            let next = |by| (column + by) % 4;
            quarter_round(&mut state, [column, 4 + next(1), 8 + next(2), 12 + next(3)]);
        }
    }
    let mut bytes = [0; BLOCK_LEN];
    for (chunk, (word, first)) in bytes.chunks_exact_mut(4).zip(state.iter().zip(start)) {
        chunk.copy_from_slice(&word.wrapping_add(*first).to_le_bytes());
    }
    bytes
}

fn quarter_round(state: &mut [u32; 16], [a, b, c, d]: [usize; 4]) {
    for (into, from, turned, by) in [(a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)] {
        state[into] = state[into].wrapping_add(state[from]);
        state[turned] = (state[turned] ^ state[into]).rotate_left(by);
    }
}

/// The key stream of one message, from the first block that belongs to its payload.
pub(super) struct KeyStream(ChaChaCore<R20, variants::Ietf>);

/// The one-time authenticator of one message.
pub(super) struct OneTimeMac(Poly1305);

/// RFC 8439, 2.8: what a message with `nonce` needs, which has 12 bytes, or 8 that stand behind
/// four zeroes.
pub(super) fn begin(key: &Key, nonce: &[u8]) -> (KeyStream, OneTimeMac) {
    let mut whole = [0; 12];
    whole[12 - nonce.len()..].copy_from_slice(nonce);
    let mut stream = ChaChaCore::new((&**key).into(), &whole.into());
    let mut first = Array::default();
    stream.write_keystream_block(&mut first);
    let mut mac_key = [0; 32];
    mac_key.copy_from_slice(&first[..32]);
    let mac = Poly1305::new(&mac_key.into());
    first.as_mut_slice().zeroize();
    mac_key.zeroize();
    (KeyStream(stream), OneTimeMac(mac))
}

/// The same for XChaCha20 and a nonce of 24 bytes.
pub(super) fn begin_extended(key: &Key, nonce: &[u8]) -> (KeyStream, OneTimeMac) {
    let (first, second) = nonce.split_at(16);
    let input: Array<u8, U16> = Array::from_fn(|at| first[at]);
    let sub_key = Zeroizing::new(hchacha::<R20>((&**key).into(), &input).into());
    begin(&sub_key, second)
}

impl KeyStream {
    /// Encrypts or decrypts `payload`.
    pub(super) fn apply(self, payload: &mut [u8]) {
        self.0.apply_keystream_partial(payload.into());
    }
}

impl OneTimeMac {
    /// The whole tag over `aad` and `ciphertext`.
    pub(super) fn tag(self, aad: &[u8], ciphertext: &[u8]) -> [u8; 16] {
        let mut poly = self.0;
        poly.update_padded(aad);
        poly.update_padded(ciphertext);
        let mut lengths = [0; 16];
        lengths[..8].copy_from_slice(&(aad.len() as u64).to_le_bytes());
        lengths[8..].copy_from_slice(&(ciphertext.len() as u64).to_le_bytes());
        poly.update_padded(&lengths);
        poly.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_way_agrees_with_the_fast_one() {
        let key = StreamKey::new(&std::array::from_fn::<u8, 32, _>(|at| at as u8)).unwrap();
        for (counter, len) in [(0, 1), (7, 64), (u64::from(u32::MAX) - 1, 1000)] {
            let mut iv = [3; 16];
            iv[..8].copy_from_slice(&u64::to_le_bytes(counter));
            let mut fast = vec![0x5A; len];
            let mut slow = fast.clone();
            key.apply(&iv, &mut fast);
            key.apply_slowly(counter, &iv, &mut slow);
            assert_eq!(fast, slow, "from block {counter}");
        }
    }

    #[test]
    fn the_counter_goes_on_from_zero() {
        let key = StreamKey::new(&[9; 32]).unwrap();
        let mut iv = [0xFF; 16];
        let mut across = [0; 2 * BLOCK_LEN];
        key.apply(&iv, &mut across);
        iv[..8].fill(0);
        let mut after = [0; BLOCK_LEN];
        key.apply(&iv, &mut after);
        assert_eq!(across[BLOCK_LEN..], after);
    }
}
