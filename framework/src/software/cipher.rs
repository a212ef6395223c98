//! Ciphers with an expanded key, on contiguous memory in place.
//!
//! AES is the library's, but for XTS, which is built here from ECB and its tweaks.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext,
    UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;

use super::aead::AeadKey;
use super::block::{self, BlockCipher};
use super::stream;
use crate::{Cipher, Key};

/// Length of an AES block and of a whole tag, in bytes.
pub(super) const BLOCK: usize = 16;
/// What is said of a key that was checked before.
pub(super) const VALID: &str = "a key length that was validated";
/// Blocks of XTS that share one call of the library.
const XTS_CHUNK: usize = 32;

/// A cipher ready to work. Neither the key nor its schedule can be read back.
pub(super) enum CipherKey {
    Null,
    Cbc(Box<Pair>),
    /// CBC around a block cipher that the library does not have, with the length of its block.
    Chained(Box<dyn BlockCipher>, usize),
    Ctr(Box<EncryptingKey>),
    Xts(Box<XtsKey>),
    Arc4(Key),
    ChaCha20(Key),
    Aead(AeadKey),
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
        match cipher {
            Cipher::Null => Self::Null,
            Cipher::AesCbc => Self::Cbc(Box::new(Pair {
                encrypt: EncryptingKey::cbc(unbound(key)).expect(VALID),
                decrypt: DecryptingKey::cbc(unbound(key)).expect(VALID),
            })),
            Cipher::DesCbc
            | Cipher::TripleDesCbc
            | Cipher::BlowfishCbc
            | Cipher::Cast5Cbc
            | Cipher::SkipjackCbc
            | Cipher::CamelliaCbc => {
                Self::Chained(block::block_cipher(cipher, key), cipher.block_len())
            }
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
            Cipher::Arc4 => Self::Arc4(Key::new(key)),
            Cipher::ChaCha20 => Self::ChaCha20(Key::new(key)),
            Cipher::AesGcm
            | Cipher::AesCcm
            | Cipher::ChaCha20Poly1305
            | Cipher::XChaCha20Poly1305 => Self::Aead(AeadKey::new(cipher, key)),
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
            Self::Chained(cipher, block_len) => {
                block::cbc(&**cipher, encrypt, &iv[..*block_len], data);
            }
            Self::Ctr(key) => {
                key.less_safe_encrypt(data, context()).expect(WORKS);
            }
            Self::Xts(key) => xts(key, encrypt, iv, data),
            Self::Arc4(key) => stream::arc4(key.bytes(), data),
            Self::ChaCha20(key) => stream::chacha20(key.bytes(), iv, data),
            Self::Aead(_) => unreachable!("an AEAD session seals and opens"),
        }
    }
}

impl std::fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CipherKey")
    }
}

/// An AES key, not yet for any mode.
pub(super) fn unbound(key: &[u8]) -> UnboundCipherKey {
    let algorithm = match key.len() {
        16 => &AES_128,
        24 => &AES_192,
        _ => &AES_256,
    };
    UnboundCipherKey::new(algorithm, key).expect(VALID)
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
