//! The digests: plain hashes, and HMAC with both pads hashed in advance.
//!
//! An HMAC context keeps the state after its inner and outer pad; a request clones it. The key
//! itself is not needed again.

use hmac::{Hmac, KeyInit, Mac};
use regs::{DigestCode, Status};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// Longest digest, in bytes.
pub(super) const DIGEST_MAX: usize = 64;

/// A digest with its keyed state.
pub(super) enum Digester {
    None,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
    HmacSha1(Box<Hmac<Sha1>>),
    HmacSha224(Box<Hmac<Sha224>>),
    HmacSha256(Box<Hmac<Sha256>>),
    HmacSha384(Box<Hmac<Sha384>>),
    HmacSha512(Box<Hmac<Sha512>>),
}

impl Digester {
    /// A digest of `code` keyed with `key`, which an unkeyed digest does not take.
    pub(super) fn new(code: DigestCode, key: &[u8]) -> Result<Self, Status> {
        if !code.is_keyed() && !key.is_empty() {
            return Err(Status::BadParameters);
        }
        Ok(match code {
            DigestCode::None => Self::None,
            DigestCode::Sha1 => Self::Sha1,
            DigestCode::Sha224 => Self::Sha224,
            DigestCode::Sha256 => Self::Sha256,
            DigestCode::Sha384 => Self::Sha384,
            DigestCode::Sha512 => Self::Sha512,
            DigestCode::HmacSha1 => Self::HmacSha1(keyed(key)?),
            DigestCode::HmacSha224 => Self::HmacSha224(keyed(key)?),
            DigestCode::HmacSha256 => Self::HmacSha256(keyed(key)?),
            DigestCode::HmacSha384 => Self::HmacSha384(keyed(key)?),
            DigestCode::HmacSha512 => Self::HmacSha512(keyed(key)?),
        })
    }

    /// The digest of `aad` followed by `payload`, left-aligned; bytes past its length are zero.
    pub(super) fn compute(&self, aad: &[u8], payload: &[u8]) -> [u8; DIGEST_MAX] {
        match self {
            Self::None => [0; DIGEST_MAX],
            Self::Sha1 => plain::<Sha1>(aad, payload),
            Self::Sha224 => plain::<Sha224>(aad, payload),
            Self::Sha256 => plain::<Sha256>(aad, payload),
            Self::Sha384 => plain::<Sha384>(aad, payload),
            Self::Sha512 => plain::<Sha512>(aad, payload),
            Self::HmacSha1(mac) => authenticate(&**mac, aad, payload),
            Self::HmacSha224(mac) => authenticate(&**mac, aad, payload),
            Self::HmacSha256(mac) => authenticate(&**mac, aad, payload),
            Self::HmacSha384(mac) => authenticate(&**mac, aad, payload),
            Self::HmacSha512(mac) => authenticate(&**mac, aad, payload),
        }
    }
}

fn keyed<M: Mac + KeyInit>(key: &[u8]) -> Result<Box<M>, Status> {
    match <M as KeyInit>::new_from_slice(key) {
        Ok(mac) => Ok(Box::new(mac)),
        Err(_) => Err(Status::BadParameters),
    }
}

fn plain<D: sha2::Digest>(aad: &[u8], payload: &[u8]) -> [u8; DIGEST_MAX] {
    let mut digest = D::new();
    digest.update(aad);
    digest.update(payload);
    padded(&digest.finalize())
}

fn authenticate<M: Mac + Clone>(mac: &M, aad: &[u8], payload: &[u8]) -> [u8; DIGEST_MAX] {
    let mut mac = mac.clone();
    mac.update(aad);
    mac.update(payload);
    padded(&mac.finalize().into_bytes())
}

fn padded(digest: &[u8]) -> [u8; DIGEST_MAX] {
    let mut out = [0; DIGEST_MAX];
    out[..digest.len()].copy_from_slice(digest);
    out
}
