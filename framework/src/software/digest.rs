//! Digests with a key that is absorbed once.

use aws_lc_rs::{digest, hmac};

use crate::Digest;

/// Longest digest, in bytes.
pub(super) const LEN_MAX: usize = 64;

/// A digest ready to work.
pub(super) enum DigestKey {
    Plain(&'static digest::Algorithm),
    Keyed(Box<hmac::Key>),
}

impl DigestKey {
    /// Absorbs `key`; HMAC hashes one that is longer than its block. Plain digests ignore it.
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
        }
    }

    /// The digest of `parts`, one after the other, left-aligned.
    pub(super) fn compute(&self, parts: [&[u8]; 3]) -> [u8; LEN_MAX] {
        let mut out = [0; LEN_MAX];
        match self {
            Self::Plain(algorithm) => {
                let mut context = digest::Context::new(algorithm);
                for part in parts {
                    context.update(part);
                }
                let digest = context.finish();
                out[..digest.as_ref().len()].copy_from_slice(digest.as_ref());
            }
            Self::Keyed(key) => {
                let mut context = hmac::Context::with_key(key);
                for part in parts {
                    context.update(part);
                }
                let tag = context.sign();
                out[..tag.as_ref().len()].copy_from_slice(tag.as_ref());
            }
        }
        out
    }
}

impl std::fmt::Debug for DigestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DigestKey")
    }
}
