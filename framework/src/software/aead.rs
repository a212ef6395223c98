//! Ciphers that bring their own digest, and the digests that are such a cipher's tag.
//!
//! GCM and ChaCha20-Poly1305 are the library's. CCM is built here from its CBC and counter modes,
//! XChaCha20-Poly1305 from its ChaCha20-Poly1305 under a derived key.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::iv::FixedLength;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use super::cipher::{BLOCK, VALID, unbound};
use super::stream::hchacha20;
use crate::{Cipher, DriverError};

/// Bytes of input that share one call of the library's CBC.
const MAC_CHUNK: usize = 1024;
const WORKS: &str = "AES works on whole blocks";

/// What a request brings besides its payload.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    /// As long as the session says.
    pub(super) nonce: &'a [u8],
    pub(super) aad: &'a [u8],
}

/// Such a cipher with its key.
pub(super) enum AeadKey {
    /// GCM, or ChaCha20-Poly1305.
    Library(LessSafeKey),
    XChaCha(Box<Zeroizing<[u8; 32]>>),
    Ccm(Box<CcmKey>),
}

impl AeadKey {
    /// Expands `key`, whose length the cipher takes.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Self {
        match cipher {
            Cipher::AesCcm => Self::Ccm(Box::new(CcmKey::new(key))),
            Cipher::ChaCha20Poly1305 => Self::Library(chacha(key)),
            Cipher::XChaCha20Poly1305 => {
                Self::XChaCha(Box::new(Zeroizing::new(key.try_into().expect(VALID))))
            }
            _ => Self::Library(gcm(key)),
        }
    }

    /// Encrypts `data` and makes the tag, to be cut to `tag_len` bytes.
    pub(super) fn seal(
        &self,
        message: Message<'_>,
        data: &mut [u8],
        tag_len: usize,
    ) -> Result<[u8; BLOCK], DriverError> {
        match self {
            Self::Library(key) => seal(key, nonce(message.nonce), message.aad, data),
            Self::XChaCha(key) => {
                let (key, nonce) = derived(key, message.nonce);
                seal(&key, nonce, message.aad, data)
            }
            Self::Ccm(key) => {
                let tag = key.tag(message.nonce, &[message.aad], data, tag_len);
                key.stream(message.nonce, data);
                Ok(tag)
            }
        }
    }

    /// Decrypts `data` if `tag`, whole or its front, matches; otherwise leaves it alone. `scratch`
    /// is memory to use, empty before and after.
    pub(super) fn open(
        &self,
        message: Message<'_>,
        (data, tag): (&mut [u8], &[u8]),
        scratch: &mut Vec<u8>,
    ) -> Result<(), DriverError> {
        let outcome = match self {
            Self::Library(key) => {
                let of = |message: Message<'_>| nonce(message.nonce);
                open((key, &of), message, (data, tag), scratch)
            }
            Self::XChaCha(key) => {
                let (key, _) = derived(key, message.nonce);
                let of = |message: Message<'_>| nonce(&message.nonce[BLOCK..]);
                open((&key, &of), message, (data, tag), scratch)
            }
            Self::Ccm(key) => {
                scratch.extend_from_slice(data);
                key.stream(message.nonce, scratch);
                let computed = key.tag(message.nonce, &[message.aad], scratch, tag.len());
                check(&computed[..tag.len()], tag)
            }
        };
        if outcome.is_ok() {
            data.copy_from_slice(scratch);
        }
        scratch.as_mut_slice().zeroize();
        scratch.clear();
        outcome
    }
}

/// AES-GCM with `key`.
pub(super) fn gcm(key: &[u8]) -> LessSafeKey {
    let algorithm = match key.len() {
        16 => &AES_128_GCM,
        24 => &AES_192_GCM,
        _ => &AES_256_GCM,
    };
    LessSafeKey::new(UnboundKey::new(algorithm, key).expect(VALID))
}

/// The tag over `aad` alone; `aad` is within the library's limits.
pub(super) fn gmac(key: &LessSafeKey, iv: &[u8], aad: &[u8]) -> [u8; BLOCK] {
    seal(key, nonce(iv), aad, &mut []).expect("no payload that could be too long")
}

fn chacha(key: &[u8]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).expect(VALID))
}

/// The key and nonce of ChaCha20-Poly1305 that XChaCha20-Poly1305 comes down to.
fn derived(key: &[u8; 32], long_nonce: &[u8]) -> (LessSafeKey, Nonce) {
    let (front, back) = long_nonce.split_first_chunk().expect("a nonce of 24 bytes");
    let mut derived = hchacha20(key, front);
    let key = chacha(&derived);
    derived.zeroize();
    (key, nonce(back))
}

/// A nonce of twelve bytes, or the eight that follow four zeroes.
fn nonce(iv: &[u8]) -> Nonce {
    let mut whole = [0; 12];
    whole[12 - iv.len()..].copy_from_slice(iv);
    Nonce::assume_unique_for_key(whole)
}

fn seal(
    key: &LessSafeKey,
    nonce: Nonce,
    aad: &[u8],
    data: &mut [u8],
) -> Result<[u8; BLOCK], DriverError> {
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(aad), data)
        // GCM ends at 2^36 - 32 bytes, ChaCha20 at 2^38 - 64.
        .map_err(|_| DriverError::TooBig)?;
    Ok(tag.as_ref().try_into().expect("a tag of one block"))
}

/// Decrypts `data` to `scratch` if `tag` matches. The library would clear `data` otherwise, and it
/// has to stay.
fn open(
    (key, nonce): (&LessSafeKey, &dyn Fn(Message<'_>) -> Nonce),
    message: Message<'_>,
    (data, tag): (&[u8], &[u8]),
    scratch: &mut Vec<u8>,
) -> Result<(), DriverError> {
    let aad = message.aad;
    if tag.len() == BLOCK {
        scratch.resize(data.len(), 0);
        return key
            .open_separate_gather(nonce(message), Aad::from(aad), data, tag, scratch)
            .map_err(|_| DriverError::DigestMismatch);
    }
    // The library only opens whole tags. Sealing twice gives the tag of a ciphertext: the key
    // stream cancels, so sealing ciphertext yields the plaintext, and sealing that yields the tag.
    scratch.extend_from_slice(data);
    seal(key, nonce(message), aad, scratch)?;
    let computed = seal(key, nonce(message), aad, scratch)?;
    check(&computed[..tag.len()], tag)?;
    seal(key, nonce(message), aad, scratch).map(drop)
}

fn check(computed: &[u8], given: &[u8]) -> Result<(), DriverError> {
    if bool::from(computed.ct_eq(given)) {
        Ok(())
    } else {
        Err(DriverError::DigestMismatch)
    }
}

/// AES in counter mode with CBC-MAC, SP 800-38C, for nonces of 7 to 13 bytes and even tags of 4 to
/// 16. The payload fits the length field that the nonce leaves.
pub(super) struct CcmKey {
    chain: EncryptingKey,
    counter: EncryptingKey,
}

impl CcmKey {
    pub(super) fn new(key: &[u8]) -> Self {
        Self {
            chain: EncryptingKey::cbc(unbound(key)).expect(VALID),
            counter: EncryptingKey::ctr(unbound(key)).expect(VALID),
        }
    }

    /// The tag over AAD in parts and `payload` in the clear, to be cut to `tag_len` bytes.
    pub(super) fn tag(
        &self,
        nonce: &[u8],
        aad: &[&[u8]],
        payload: &[u8],
        tag_len: usize,
    ) -> [u8; BLOCK] {
        let aad_len: usize = aad.iter().map(|part| part.len()).sum();
        let mut mac = CbcMac {
            key: &self.chain,
            state: [0; BLOCK],
            pending: Zeroizing::new(Vec::with_capacity(MAC_CHUNK)),
        };
        // A.2.1: flags, nonce, and the payload's length in what is left.
        let mut first = (payload.len() as u128).to_be_bytes();
        let tag_code = ((tag_len - 2) / 2) as u8;
        first[0] = u8::from(aad_len != 0) << 6 | tag_code << 3 | (14 - nonce.len()) as u8;
        first[1..=nonce.len()].copy_from_slice(nonce);
        mac.absorb(&first);
        // A.2.2: the length of the AAD in 2, 6 or 10 bytes.
        match aad_len {
            0 => {}
            1..0xFF00 => mac.absorb(&(aad_len as u16).to_be_bytes()),
            0xFF00..=0xFFFF_FFFF => {
                mac.absorb(&[0xFF, 0xFE]);
                mac.absorb(&(aad_len as u32).to_be_bytes());
            }
            _ => {
                mac.absorb(&[0xFF, 0xFF]);
                mac.absorb(&(aad_len as u64).to_be_bytes());
            }
        }
        for part in aad {
            mac.absorb(part);
        }
        mac.fill_block();
        mac.absorb(payload);
        mac.fill_block();
        let mut tag = mac.finish();
        self.stream_from(nonce, 0, &mut tag);
        tag
    }

    /// Encrypts or decrypts the payload.
    fn stream(&self, nonce: &[u8], data: &mut [u8]) {
        self.stream_from(nonce, 1, data);
    }

    /// A.3: the counter blocks.
    fn stream_from(&self, nonce: &[u8], number: u8, data: &mut [u8]) {
        if data.is_empty() {
            return;
        }
        let mut block = [0; BLOCK];
        block[0] = (14 - nonce.len()) as u8;
        block[1..=nonce.len()].copy_from_slice(nonce);
        block[BLOCK - 1] = number;
        let context = EncryptionContext::Iv128(FixedLength::from(block));
        self.counter.less_safe_encrypt(data, context).expect(WORKS);
    }
}

/// CBC-MAC over what is absorbed.
struct CbcMac<'a> {
    key: &'a EncryptingKey,
    state: [u8; BLOCK],
    /// Input that is not worked on yet.
    pending: Zeroizing<Vec<u8>>,
}

impl CbcMac<'_> {
    fn absorb(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            let (now, later) = input.split_at(input.len().min(MAC_CHUNK - self.pending.len()));
            self.pending.extend_from_slice(now);
            input = later;
            if self.pending.len() == MAC_CHUNK {
                self.work();
            }
        }
    }

    fn fill_block(&mut self) {
        let len = self.pending.len().next_multiple_of(BLOCK);
        self.pending.resize(len, 0);
    }

    /// Works on what is pending, whole blocks.
    fn work(&mut self) {
        let context = EncryptionContext::Iv128(FixedLength::from(self.state));
        self.key
            .less_safe_encrypt(&mut self.pending, context)
            .expect(WORKS);
        self.state = *self.pending.last_chunk().expect("at least a block");
        self.pending.clear();
    }

    fn finish(mut self) -> [u8; BLOCK] {
        if !self.pending.is_empty() {
            self.work();
        }
        self.state
    }
}
