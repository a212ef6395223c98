//! Digests with a key that is absorbed once.
//!
//! SHA and its HMAC are aws-lc's; MD5, RIPEMD-160, BLAKE2 and Poly1305 are other libraries', and
//! HMAC and keyed digests around them are built here.

use aws_lc_rs::aead::LessSafeKey;
use aws_lc_rs::{digest, hmac};
use cryptoxide::hashing::{blake2b, blake2s, ripemd160};
use cryptoxide::poly1305::Poly1305;
use zeroize::{Zeroize, Zeroizing};

use super::aead::{CcmKey, gcm, gmac};
use crate::{Digest, Key};

/// Longest digest, in bytes.
pub(super) const LEN_MAX: usize = 64;
/// Length of a block of MD5, SHA-1 and RIPEMD-160, in bytes.
const HASH_BLOCK: usize = 64;

/// What is digested.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// One behind the other.
    pub(super) parts: [&'a [u8]; 3],
    /// As long as the session says; for the digests that have one.
    pub(super) nonce: &'a [u8],
    /// Bytes of the digest that count.
    pub(super) len: usize,
}

/// A digest ready to work.
pub(super) enum DigestKey {
    Plain(&'static digest::Algorithm),
    Keyed(Box<hmac::Key>),
    /// A hash of another library.
    Hash(Hash),
    /// HMAC around such a hash: RFC 2104, with the key filled up to a block.
    Hmac(Hash, Box<Zeroizing<[u8; HASH_BLOCK]>>),
    /// Key, padding, data, key. The padding is part of the first key here.
    KeyPadDataKey(Hash, Key, Key),
    Null,
    Gmac(Box<LessSafeKey>),
    CcmMac(Box<CcmKey>),
    Poly1305(Box<Zeroizing<[u8; 32]>>),
}

impl DigestKey {
    /// Absorbs `key`, whose length the digest takes; HMAC hashes one that is longer than its block.
    /// Plain digests ignore it.
    pub(super) fn new(algorithm: Digest, key: &[u8]) -> Self {
        let keyed = |algorithm| Self::Keyed(Box::new(hmac::Key::new(algorithm, key)));
        match algorithm {
            Digest::Sha1 => Self::Plain(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Digest::Sha224 => Self::Plain(&digest::SHA224),
            Digest::Sha256 => Self::Plain(&digest::SHA256),
            Digest::Sha384 => Self::Plain(&digest::SHA384),
            Digest::Sha512 => Self::Plain(&digest::SHA512),
            Digest::HmacSha1 => keyed(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Digest::HmacSha224 => keyed(hmac::HMAC_SHA224),
            Digest::HmacSha256 => keyed(hmac::HMAC_SHA256),
            Digest::HmacSha384 => keyed(hmac::HMAC_SHA384),
            Digest::HmacSha512 => keyed(hmac::HMAC_SHA512),
            Digest::Md5 => Self::Hash(Hash::Md5),
            Digest::Ripemd160 => Self::Hash(Hash::Ripemd160),
            Digest::HmacMd5 => Self::hmac(Hash::Md5, key),
            Digest::HmacRipemd160 => Self::hmac(Hash::Ripemd160, key),
            Digest::NullHmac => Self::Null,
            Digest::Md5Kpdk => Self::key_pad_data_key(Hash::Md5, key),
            Digest::Sha1Kpdk => Self::key_pad_data_key(Hash::Sha1, key),
            Digest::Blake2b => Self::Hash(Hash::Blake2b(Key::new(key))),
            Digest::Blake2s => Self::Hash(Hash::Blake2s(Key::new(key))),
            Digest::AesGmac => Self::Gmac(Box::new(gcm(key))),
            Digest::AesCcmMac => Self::CcmMac(Box::new(CcmKey::new(key))),
            Digest::Poly1305 => {
                let key = key.try_into().expect("a key length that was validated");
                Self::Poly1305(Box::new(Zeroizing::new(key)))
            }
        }
    }

    fn hmac(hash: Hash, key: &[u8]) -> Self {
        let mut block = Box::new(Zeroizing::new([0; HASH_BLOCK]));
        if key.len() > HASH_BLOCK {
            block.copy_from_slice(&hash.compute(&[key]));
        } else {
            block[..key.len()].copy_from_slice(key);
        }
        Self::Hmac(hash, block)
    }

    /// RFC 1828 and RFC 1852: the first key is filled up as the hash fills up a message, with its
    /// length in bits at the end.
    fn key_pad_data_key(hash: Hash, key: &[u8]) -> Self {
        let padded_len = (key.len() + 1 + 8).next_multiple_of(HASH_BLOCK);
        let mut padded = Zeroizing::new(vec![0; padded_len]);
        padded[..key.len()].copy_from_slice(key);
        padded[key.len()] = 0x80;
        let bits = 8 * key.len() as u64;
        let length = match hash {
            Hash::Md5 => bits.to_le_bytes(),
            _ => bits.to_be_bytes(),
        };
        padded[padded_len - 8..].copy_from_slice(&length);
        Self::KeyPadDataKey(hash, Key::new(&padded), Key::new(key))
    }

    /// The digest of `input`, left-aligned; bytes past its length are zero.
    pub(super) fn compute(&self, input: Input<'_>) -> [u8; LEN_MAX] {
        let parts = input.parts;
        match self {
            Self::Plain(algorithm) => {
                let mut context = digest::Context::new(algorithm);
                for part in parts {
                    context.update(part);
                }
                padded(context.finish().as_ref())
            }
            Self::Keyed(key) => {
                let mut context = hmac::Context::with_key(key);
                for part in parts {
                    context.update(part);
                }
                padded(context.sign().as_ref())
            }
            Self::Hash(hash) => hash.compute(&parts),
            Self::Hmac(hash, key) => hmac_of(hash, key, parts),
            Self::KeyPadDataKey(hash, first, last) => {
                let [a, b, c] = parts;
                hash.compute(&[first.bytes(), a, b, c, last.bytes()])
            }
            Self::Null => [0; LEN_MAX],
            Self::Gmac(key) => {
                let mut all = parts.concat();
                let tag = gmac(key, input.nonce, &all);
                all.zeroize();
                padded(&tag)
            }
            Self::CcmMac(key) => padded(&key.tag(input.nonce, &parts, &[], input.len)),
            Self::Poly1305(key) => {
                let mut mac = Poly1305::new(key);
                for part in parts {
                    mac.update_mut(part);
                }
                padded(&mac.finalize().0)
            }
        }
    }
}

fn hmac_of(hash: &Hash, key: &[u8; HASH_BLOCK], parts: [&[u8]; 3]) -> [u8; LEN_MAX] {
    let masked = |mask: u8| Zeroizing::new(key.map(|byte| byte ^ mask));
    let [a, b, c] = parts;
    let inner = hash.compute(&[&*masked(0x36), a, b, c]);
    hash.compute(&[&*masked(0x5C), &inner[..hash.len()]])
}

/// A hash that is not aws-lc's, or is needed in parts.
pub(super) enum Hash {
    Md5,
    Sha1,
    Ripemd160,
    Blake2b(Key),
    Blake2s(Key),
}

impl Hash {
    fn len(&self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 | Self::Ripemd160 => 20,
            Self::Blake2s(_) => 32,
            Self::Blake2b(_) => 64,
        }
    }

    /// The hash of `parts`, one after the other, left-aligned.
    fn compute(&self, parts: &[&[u8]]) -> [u8; LEN_MAX] {
        let mut out = [0; LEN_MAX];
        let hash = &mut out[..self.len()];
        match self {
            Self::Md5 => {
                let mut context = md5::Context::new();
                parts.iter().for_each(|part| context.consume(part));
                hash.copy_from_slice(&context.finalize().0);
            }
            Self::Sha1 => {
                let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
                parts.iter().for_each(|part| context.update(part));
                hash.copy_from_slice(context.finish().as_ref());
            }
            Self::Ripemd160 => {
                let mut context = ripemd160::Context::new();
                parts.iter().for_each(|part| context.update_mut(part));
                hash.copy_from_slice(&context.finalize());
            }
            Self::Blake2b(key) => {
                let mut context = blake2b::ContextDyn::new_keyed(hash.len(), key.bytes());
                parts.iter().for_each(|part| context.update_mut(part));
                context.finalize_at(hash);
            }
            Self::Blake2s(key) => {
                let mut context = blake2s::ContextDyn::new_keyed(hash.len(), key.bytes());
                parts.iter().for_each(|part| context.update_mut(part));
                context.finalize_at(hash);
            }
        }
        out
    }
}

fn padded(digest: &[u8]) -> [u8; LEN_MAX] {
    let mut out = [0; LEN_MAX];
    out[..digest.len()].copy_from_slice(digest);
    out
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey")
    }
}
