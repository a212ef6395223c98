//! Ciphers with an expanded key, on contiguous memory in place.
//!
//! XTS is built here from ECB and its tweaks; everything else is the library's.

use aws_lc_rs::aead::{AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::{Cipher, DriverError};

/// Length of an AES block and of a GCM tag, in bytes.
const BLOCK: usize = 16;
/// Blocks of XTS that share one call of the library.
const XTS_CHUNK: usize = 32;

/// A cipher ready to work. Neither the key nor its schedule can be read back.
pub(super) enum CipherKey {
    Null,
    Cbc(Box<Pair>),
    Ctr(Box<EncryptingKey>),
    Xts(Box<XtsKey>),
    Gcm(LessSafeKey),
}

/// Both halves of an XTS key.
pub(super) struct XtsKey {
    data: Pair,
    tweak: EncryptingKey,
}

/// Both directions of one key.
pub(super) struct Pair {
    encrypt: EncryptingKey,
    decrypt: DecryptingKey,
}

impl CipherKey {
    /// Expands `key`, whose length the cipher takes.
    pub(super) fn new(cipher: Cipher, key: &[u8]) -> Self {
        const VALID: &str = "a key length that was validated";
        match cipher {
            Cipher::Null => Self::Null,
            Cipher::AesCbc => Self::Cbc(Box::new(Pair {
                encrypt: EncryptingKey::cbc(unbound(key)).expect(VALID),
                decrypt: DecryptingKey::cbc(unbound(key)).expect(VALID),
            })),
            Cipher::AesCtr => Self::Ctr(Box::new(EncryptingKey::ctr(unbound(key)).expect(VALID))),
            Cipher::AesXts => {
                let (data, tweak) = key.split_at(key.len() / 2);
                Self::Xts(Box::new(XtsKey {
                    data: Pair {
                        encrypt: EncryptingKey::ecb(unbound(data)).expect(VALID),
                        decrypt: DecryptingKey::ecb(unbound(data)).expect(VALID),
                    },
                    tweak: EncryptingKey::ecb(unbound(tweak)).expect(VALID),
                }))
            }
            Cipher::AesGcm => {
                let algorithm = match key.len() {
                    16 => &AES_128_GCM,
                    24 => &AES_192_GCM,
                    _ => &AES_256_GCM,
                };
                Self::Gcm(LessSafeKey::new(
                    UnboundKey::new(algorithm, key).expect(VALID),
                ))
            }
        }
    }

    /// Encrypts or decrypts `data`, a whole number of blocks, without authentication.
    pub(super) fn apply(&self, encrypt: bool, iv: &[u8; 64], data: &mut [u8]) {
        const WORKS: &str = "AES works on whole blocks";
        if data.is_empty() {
            return;
        }
        let iv: &[u8; BLOCK] = iv.first_chunk().expect("a block of IV");
        let context = || EncryptionContext::Iv128(FixedLength::from(iv));
        match self {
            Self::Null => {}
            Self::Cbc(pair) if encrypt => {
                pair.encrypt
                    .less_safe_encrypt(data, context())
                    .expect(WORKS);
            }
            Self::Cbc(pair) => {
                let context = DecryptionContext::Iv128(FixedLength::from(iv));
                pair.decrypt.decrypt(data, context).expect(WORKS);
            }
            Self::Ctr(key) => {
                key.less_safe_encrypt(data, context()).expect(WORKS);
            }
            Self::Xts(key) => xts(key, encrypt, iv, data),
            Self::Gcm(_) => unreachable!("an AEAD session seals and opens"),
        }
    }

    /// Encrypts `data` and makes the tag.
    pub(super) fn seal(
        &self,
        iv: &[u8; 64],
        aad: &[u8],
        data: &mut [u8],
    ) -> Result<[u8; BLOCK], DriverError> {
        let tag = self
            .gcm()
            .seal_in_place_separate_tag(nonce(iv), Aad::from(aad), data)
            // GCM ends at 2^36 - 32 bytes.
            .map_err(|_| DriverError::TooBig)?;
        Ok(tag.as_ref().try_into().expect("a tag of one block"))
    }

    /// Decrypts `data` if `tag`, whole or its front, matches; otherwise leaves it alone. `scratch`
    /// is memory to use, empty before and after.
    pub(super) fn open(
        &self,
        (iv, aad, tag): (&[u8; 64], &[u8], &[u8]),
        data: &mut [u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), DriverError> {
        // The library clears its output if the tag is wrong, and the payload has to stay: it gets
        // other memory to write to.
        let outcome = if tag.len() == BLOCK {
            scratch.resize(data.len(), 0);
            self.gcm()
                .open_separate_gather(nonce(iv), Aad::from(aad), data, tag, scratch)
                .map_err(|_| DriverError::DigestMismatch)
        } else {
            self.open_truncated((iv, aad, tag), data, scratch)
        };
        if outcome.is_ok() {
            data.copy_from_slice(scratch);
        }
        scratch.as_mut_slice().zeroize();
        scratch.clear();
        outcome
    }

    /// The library only opens whole tags. Sealing twice gives the tag of a ciphertext: the key
    /// stream cancels, so sealing ciphertext yields the plaintext, and sealing that yields the tag.
    fn open_truncated(
        &self,
        (iv, aad, tag): (&[u8; 64], &[u8], &[u8]),
        data: &[u8],
        scratch: &mut Vec<u8>,
    ) -> Result<(), DriverError> {
        scratch.extend_from_slice(data);
        self.seal(iv, aad, scratch)?;
        let computed = self.seal(iv, aad, scratch)?;
        if !bool::from(computed[..tag.len()].ct_eq(tag)) {
            return Err(DriverError::DigestMismatch);
        }
        self.seal(iv, aad, scratch).map(drop)
    }

    fn gcm(&self) -> &LessSafeKey {
        let Self::Gcm(key) = self else {
            unreachable!("only AEAD sessions seal and open");
        };
        key
    }
}

impl std::fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CipherKey")
    }
}

fn unbound(key: &[u8]) -> UnboundCipherKey {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        _ => &AES_256,
    };
    UnboundCipherKey::new(algorithm, key).expect("a key length that was validated")
}

fn nonce(iv: &[u8; 64]) -> Nonce {
    Nonce::try_assume_unique_for_key(&iv[..12]).expect("a nonce of twelve bytes")
}

/// XTS of IEEE 1619 without ciphertext stealing; `iv` is the tweak value, little-endian.
fn xts(key: &XtsKey, encrypt: bool, iv: &[u8; BLOCK], data: &mut [u8]) {
    const WORKS: &str = "AES works on whole blocks";
    let mut first = *iv;
    key.tweak
        .less_safe_encrypt(&mut first, EncryptionContext::None)
        .expect(WORKS);
    let mut next = u128::from_le_bytes(first);
    for chunk in data.chunks_mut(XTS_CHUNK * BLOCK) {
        let mut tweaks = [0; XTS_CHUNK];
        for tweak in &mut tweaks[..chunk.len() / BLOCK] {
            *tweak = next;
            next = double(next);
        }
        mask(chunk, &tweaks);
        if encrypt {
            key.data
                .encrypt
                .less_safe_encrypt(chunk, EncryptionContext::None)
                .expect(WORKS);
        } else {
            key.data
                .decrypt
                .decrypt(chunk, DecryptionContext::None)
                .expect(WORKS);
        }
        mask(chunk, &tweaks);
    }
}

fn mask(chunk: &mut [u8], tweaks: &[u128]) {
    for (block, tweak) in chunk.chunks_exact_mut(BLOCK).zip(tweaks) {
        let value = u128::from_le_bytes((&*block).try_into().expect("a whole block")) ^ tweak;
        block.copy_from_slice(&value.to_le_bytes());
    }
}

/// Multiplies by x in GF(2^128) as IEEE 1619 writes it.
fn double(value: u128) -> u128 {
    let carry = (value >> 127) * 0x87;
    (value << 1) ^ carry
}
