//! The digests: hashes, and message authentication codes with everything that depends on the key
//! alone done in advance.

use blake2::digest::{Mac, Update};
use blake2::{Blake2b512, Blake2bMac512, Blake2s256, Blake2sMac256};
use md5::Md5;
use poly1305::Poly1305;
use poly1305::universal_hash::{KeyInit, UniversalHash};
use regs::{DIGEST_MAX, DigestCode, Status};
use ripemd::Ripemd160;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use sm3::Sm3;

use super::block::AesKey;
use super::ccm::Message;
use super::gcm::GcmKeys;
use super::hashed::Hashed;
use super::parts;

/// A digest with its keyed state.
pub(super) enum Digester {
    None,
    /// Gives zeroes.
    Null,
    Md5(Box<Hashed<Md5>>),
    Sha1(Box<Hashed<Sha1>>),
    Sha224(Box<Hashed<Sha224>>),
    Sha256(Box<Hashed<Sha256>>),
    Sha384(Box<Hashed<Sha384>>),
    Sha512(Box<Hashed<Sha512>>),
    Ripemd160(Box<Hashed<Ripemd160>>),
    Sm3(Box<Hashed<Sm3>>),
    Blake2b(Box<Blake2b512>),
    Blake2bKeyed(Box<Blake2bMac512>),
    Blake2s(Box<Blake2s256>),
    Blake2sKeyed(Box<Blake2sMac256>),
    Gmac(GcmKeys),
    CcmMac(AesKey),
    Poly1305(Box<Poly1305>),
}

/// What is digested, in parts, and what else the digest depends on.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// The session's IV, right-padded with zeroes.
    pub(super) iv: &'a [u8; 16],
    /// Bytes of the IV.
    pub(super) iv_len: usize,
    /// Bytes of the digest that are asked for.
    pub(super) digest_len: usize,
    /// AAD, payload and ESN.
    pub(super) parts: [&'a [u8]; 3],
}

impl Digester {
    /// A digest of `code` keyed with `key`, whose length it takes.
    pub(super) fn new(code: DigestCode, key: &[u8]) -> Result<Self, Status> {
        Ok(match code {
            DigestCode::None => Self::None,
            DigestCode::NullHmac => Self::Null,
            DigestCode::Md5 => Self::Md5(Hashed::plain()),
            DigestCode::Sha1 => Self::Sha1(Hashed::plain()),
            DigestCode::Sha224 => Self::Sha224(Hashed::plain()),
            DigestCode::Sha256 => Self::Sha256(Hashed::plain()),
            DigestCode::Sha384 => Self::Sha384(Hashed::plain()),
            DigestCode::Sha512 => Self::Sha512(Hashed::plain()),
            DigestCode::Ripemd160 => Self::Ripemd160(Hashed::plain()),
            DigestCode::Sm3 => Self::Sm3(Hashed::plain()),
            DigestCode::HmacMd5 => Self::Md5(Hashed::hmac(key)),
            DigestCode::HmacSha1 => Self::Sha1(Hashed::hmac(key)),
            DigestCode::HmacSha224 => Self::Sha224(Hashed::hmac(key)),
            DigestCode::HmacSha256 => Self::Sha256(Hashed::hmac(key)),
            DigestCode::HmacSha384 => Self::Sha384(Hashed::hmac(key)),
            DigestCode::HmacSha512 => Self::Sha512(Hashed::hmac(key)),
            DigestCode::HmacRipemd160 => Self::Ripemd160(Hashed::hmac(key)),
            DigestCode::HmacSm3 => Self::Sm3(Hashed::hmac(key)),
            DigestCode::Md5Kpdk => Self::Md5(Hashed::key_pad_data_key(key, u64::to_le_bytes)),
            DigestCode::Sha1Kpdk => Self::Sha1(Hashed::key_pad_data_key(key, u64::to_be_bytes)),
            DigestCode::Blake2b if key.is_empty() => Self::Blake2b(Box::default()),
            DigestCode::Blake2b => Self::Blake2bKeyed(keyed(key)?),
            DigestCode::Blake2s if key.is_empty() => Self::Blake2s(Box::default()),
            DigestCode::Blake2s => Self::Blake2sKeyed(keyed(key)?),
            DigestCode::AesGmac => Self::Gmac(GcmKeys::new(key)?),
            DigestCode::AesCcmMac => Self::CcmMac(AesKey::new(key)?),
            DigestCode::Poly1305 => Self::Poly1305(keyed(key)?),
        })
    }

    /// The digest of `input`, left-aligned; bytes past its length are zero.
    pub(super) fn compute(&self, input: &Input<'_>) -> [u8; DIGEST_MAX] {
        let parts = &input.parts;
        match self {
            Self::None | Self::Null => [0; DIGEST_MAX],
            Self::Md5(hashed) => hashed.compute(parts),
            Self::Sha1(hashed) => hashed.compute(parts),
            Self::Sha224(hashed) => hashed.compute(parts),
            Self::Sha256(hashed) => hashed.compute(parts),
            Self::Sha384(hashed) => hashed.compute(parts),
            Self::Sha512(hashed) => hashed.compute(parts),
            Self::Ripemd160(hashed) => hashed.compute(parts),
            Self::Sm3(hashed) => hashed.compute(parts),
            Self::Blake2b(hash) => padded(&updated(&**hash, parts).finalize()),
            Self::Blake2bKeyed(mac) => padded(&updated(&**mac, parts).finalize().into_bytes()),
            Self::Blake2s(hash) => padded(&updated(&**hash, parts).finalize()),
            Self::Blake2sKeyed(mac) => padded(&updated(&**mac, parts).finalize().into_bytes()),
            Self::Gmac(keys) => padded(&keys.gmac(input.iv, parts)),
            Self::CcmMac(key) => {
                let message = Message {
                    nonce: &input.iv[..input.iv_len],
                    aad: parts,
                    tag_len: input.digest_len,
                };
                padded(&message.tag(key, &[]))
            }
            Self::Poly1305(mac) => padded(&poly1305(mac, parts)),
        }
    }
}

fn keyed<M: KeyInit>(key: &[u8]) -> Result<Box<M>, Status> {
    match M::new_from_slice(key) {
        Ok(mac) => Ok(Box::new(mac)),
        Err(_) => Err(Status::BadParameters),
    }
}

fn updated<D: Update + Clone>(start: &D, parts: &[&[u8]]) -> D {
    let mut digest = start.clone();
    for part in parts {
        digest.update(part);
    }
    digest
}

fn poly1305(start: &Poly1305, parts: &[&[u8]]) -> [u8; 16] {
    let mut mac = start.clone();
    let (rest, held) = parts::in_blocks(parts, |blocks| mac.update(blocks));
    mac.compute_unpadded(&rest[..held]).into()
}

pub(super) fn padded(digest: &[u8]) -> [u8; DIGEST_MAX] {
    let mut out = [0; DIGEST_MAX];
    out[..digest.len()].copy_from_slice(digest);
    out
}
