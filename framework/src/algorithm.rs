//! Ciphers and digests by the names of crypto(7), with their sizes.

/// A cipher, including those that bring their own digest (AEAD).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cipher {
    /// Copies its input (`CRYPTO_NULL_CBC`).
    Null,
    /// AES in CBC mode (`CRYPTO_AES_CBC`).
    AesCbc,
    /// AES in counter mode, 128-bit big-endian counter (`CRYPTO_AES_ICM`).
    AesCtr,
    /// AES in XTS mode without ciphertext stealing (`CRYPTO_AES_XTS`).
    AesXts,
    /// AES in Galois/counter mode (`CRYPTO_AES_NIST_GCM_16`).
    AesGcm,
}

impl Cipher {
    /// Every cipher.
    pub const ALL: [Self; 5] = [
        Self::Null,
        Self::AesCbc,
        Self::AesCtr,
        Self::AesXts,
        Self::AesGcm,
    ];

    /// Whether the cipher authenticates too.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::AesGcm)
    }

    /// Payload length must be a multiple of this many bytes.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Null | Self::AesCtr | Self::AesGcm => 1,
            Self::AesCbc | Self::AesXts => 16,
        }
    }

    /// Whether the cipher takes a key of `len` bytes.
    #[must_use]
    pub const fn takes_key_len(self, len: usize) -> bool {
        match self {
            Self::Null => len <= 256,
            Self::AesCbc | Self::AesCtr | Self::AesGcm => matches!(len, 16 | 24 | 32),
            Self::AesXts => matches!(len, 32 | 64),
        }
    }

    /// Length of the tag an AEAD cipher makes, in bytes; zero for others.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 0 }
    }
}

/// A digest, keyed or not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Digest {
    /// SHA-1.
    Sha1,
    /// SHA-224.
    Sha224,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// HMAC of SHA-1.
    HmacSha1,
    /// HMAC of SHA-224.
    HmacSha224,
    /// HMAC of SHA-256.
    HmacSha256,
    /// HMAC of SHA-384.
    HmacSha384,
    /// HMAC of SHA-512.
    HmacSha512,
}

impl Digest {
    /// Every digest.
    pub const ALL: [Self; 10] = [
        Self::Sha1,
        Self::Sha224,
        Self::Sha256,
        Self::Sha384,
        Self::Sha512,
        Self::HmacSha1,
        Self::HmacSha224,
        Self::HmacSha256,
        Self::HmacSha384,
        Self::HmacSha512,
    ];

    /// Whether the digest takes a key.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        match self {
            Self::Sha1 | Self::Sha224 | Self::Sha256 | Self::Sha384 | Self::Sha512 => false,
            Self::HmacSha1
            | Self::HmacSha224
            | Self::HmacSha256
            | Self::HmacSha384
            | Self::HmacSha512 => true,
        }
    }

    /// Length of the whole digest, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a digest is never empty")]
    pub const fn len(self) -> usize {
        match self {
            Self::Sha1 | Self::HmacSha1 => 20,
            Self::Sha224 | Self::HmacSha224 => 28,
            Self::Sha256 | Self::HmacSha256 => 32,
            Self::Sha384 | Self::HmacSha384 => 48,
            Self::Sha512 | Self::HmacSha512 => 64,
        }
    }
}
