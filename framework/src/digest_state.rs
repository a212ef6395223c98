//! A digest in the middle of a message, as it goes from one request to the next.
//!
//! Owns the bytes, says what they mean and zeroes them. Does not read them: drivers do.

use zeroize::Zeroizing;

use crate::Digest;

/// Length of a state, in bytes.
pub const DIGEST_STATE_LEN: usize = 256;

/// A digest in the middle of a message. A request leaves it in
/// [`Request::state`](crate::Request::state), and the next one of the message takes it up, by
/// whichever driver its session has then. A copy begins a second message with the same bytes.
/// Zeroed when dropped; `Debug` shows none of it.
///
/// Its bytes mean the same to all drivers. What the digest is stands in the first,
/// [its code](Self::code_of); the second is 1, and 14 zeroes follow. Then come 208 bytes of body,
/// filled up with zeroes: the words of the chaining value, little-endian (all eight of SHA-224 and
/// SHA-384), the number of whole blocks so far (8 bytes; 16 if a block has 128), the number of
/// bytes that make no block yet (1 byte), and these bytes. An HMAC, and key, padding, data, key,
/// has digested a block or more before its message begins. 16 bytes of seal follow, and 16 zeroes.
///
/// Without a key the seal is zeroes. With one the body is worth half a key, and is sealed: 64 bytes
/// of HMAC-SHA-512, under the digest's key, of "digest state" and the first 16 bytes are two keys.
/// The seal is the first half of HMAC-SHA-256, under the first of them, of the first 16 bytes and
/// the body; and the IV of AES-256 in counter mode, under the second, which encrypts the body.
#[derive(Clone, Eq, PartialEq)]
pub struct DigestState {
    digest: Digest,
    bytes: Zeroizing<[u8; DIGEST_STATE_LEN]>,
}

impl DigestState {
    /// A state of `digest` as a driver made it. It is the drivers that find out what is wrong with
    /// its bytes.
    #[must_use]
    pub fn new(digest: Digest, bytes: &[u8; DIGEST_STATE_LEN]) -> Self {
        let bytes = Zeroizing::new(*bytes);
        Self { digest, bytes }
    }

    /// The digest it is of.
    #[must_use]
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; DIGEST_STATE_LEN] {
        &self.bytes
    }

    /// What the first byte of a state of `digest` is, if it takes messages in parts.
    #[must_use]
    pub const fn code_of(digest: Digest) -> Option<u8> {
        Some(match digest {
            Digest::Sha1 => 1,
            Digest::Sha224 => 2,
            Digest::Sha256 => 3,
            Digest::Sha384 => 4,
            Digest::Sha512 => 5,
            Digest::Md5 => 6,
            Digest::Ripemd160 => 7,
            Digest::HmacSha1 => 0x11,
            Digest::HmacSha224 => 0x12,
            Digest::HmacSha256 => 0x13,
            Digest::HmacSha384 => 0x14,
            Digest::HmacSha512 => 0x15,
            Digest::HmacMd5 => 0x16,
            Digest::HmacRipemd160 => 0x17,
            Digest::Md5Kpdk => 0x21,
            Digest::Sha1Kpdk => 0x22,
            Digest::NullHmac
            | Digest::Blake2b
            | Digest::Blake2s
            | Digest::AesGmac
            | Digest::AesCcmMac
            | Digest::Poly1305 => return None,
        })
    }
}

impl std::fmt::Debug for DigestState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DigestState({:?})", self.digest)
    }
}
