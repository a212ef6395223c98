//! How much work an algorithm is, in rounds, as its standard has them.
//!
//! Knows no clock and no card; what a round costs is the timing model's business.

use regs::{CipherCode, DigestCode};

/// What decides how long a command of a context takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct Algorithm {
    pub(crate) cipher: CipherCode,
    /// Bytes of the cipher key.
    pub(crate) key_len: u8,
    pub(crate) digest: DigestCode,
}

/// Functions that work in rounds.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) enum RoundKind {
    Aes,
    Des,
    Sm4,
    Sha1,
    Sha256,
    Sha512,
    Sm3,
}

/// Rounds of one block.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub(crate) struct BlockRounds {
    pub(crate) kind: RoundKind,
    pub(crate) rounds: u32,
    /// Bytes of a block.
    pub(crate) block_len: u32,
}

impl Algorithm {
    /// The null cipher.
    pub(crate) const IDENTITY: Self = Self {
        cipher: CipherCode::Null,
        key_len: 0,
        digest: DigestCode::None,
    };

    /// Whether the cipher brings its own digest.
    #[inline]
    pub(crate) const fn is_aead(self) -> bool {
        self.cipher.is_aead()
    }

    /// Whether there is a digest besides the cipher's own.
    #[inline]
    pub(crate) const fn has_digest(self) -> bool {
        !matches!(self.digest, DigestCode::None)
    }

    /// Whether there is a cipher.
    #[inline]
    pub(crate) const fn has_cipher(self) -> bool {
        !matches!(self.cipher, CipherCode::None)
    }

    /// Rounds of the cipher, if it is one whose rounds can have a cost of their own: AES (FIPS 197,
    /// section 5), DES and Triple DES (FIPS 46-3), SM4 (GB/T 32907).
    #[inline]
    pub(crate) const fn cipher_rounds(self) -> Option<BlockRounds> {
        let aes_key_len = match self.cipher {
            CipherCode::AesCbc
            | CipherCode::AesCtr
            | CipherCode::AesEcb
            | CipherCode::AesGcm
            | CipherCode::AesCcm => self.key_len,
            // One half of the key is for the tweaks.
            CipherCode::AesXts => self.key_len / 2,
            CipherCode::DesCbc => return BlockRounds::some(RoundKind::Des, 16, 8),
            CipherCode::TripleDesCbc => return BlockRounds::some(RoundKind::Des, 48, 8),
            CipherCode::Sm4Cbc => return BlockRounds::some(RoundKind::Sm4, 32, 16),
            CipherCode::None
            | CipherCode::Null
            | CipherCode::Deflate
            | CipherCode::BlowfishCbc
            | CipherCode::Cast5Cbc
            | CipherCode::SkipjackCbc
            | CipherCode::CamelliaCbc
            | CipherCode::Arc4
            | CipherCode::ChaCha20
            | CipherCode::ChaCha20Poly1305
            | CipherCode::XChaCha20Poly1305 => return None,
        };
        let rounds = match aes_key_len {
            0..24 => 10,
            24..32 => 12,
            32.. => 14,
        };
        BlockRounds::some(RoundKind::Aes, rounds, 16)
    }

    /// Rounds of the digest, if it is one whose rounds can have a cost of their own: SHA (FIPS
    /// 180-4, section 6), SM3 (GB/T 32905).
    #[inline]
    pub(crate) const fn digest_rounds(self) -> Option<BlockRounds> {
        match self.digest {
            DigestCode::Sha1 | DigestCode::HmacSha1 | DigestCode::Sha1Kpdk => {
                BlockRounds::some(RoundKind::Sha1, 80, 64)
            }
            DigestCode::Sha224
            | DigestCode::Sha256
            | DigestCode::HmacSha224
            | DigestCode::HmacSha256 => BlockRounds::some(RoundKind::Sha256, 64, 64),
            DigestCode::Sha384
            | DigestCode::Sha512
            | DigestCode::HmacSha384
            | DigestCode::HmacSha512 => BlockRounds::some(RoundKind::Sha512, 80, 128),
            DigestCode::Sm3 | DigestCode::HmacSm3 => BlockRounds::some(RoundKind::Sm3, 64, 64),
            DigestCode::None
            | DigestCode::Md5
            | DigestCode::Ripemd160
            | DigestCode::HmacMd5
            | DigestCode::HmacRipemd160
            | DigestCode::NullHmac
            | DigestCode::Md5Kpdk
            | DigestCode::Blake2b
            | DigestCode::Blake2s
            | DigestCode::AesGmac
            | DigestCode::AesCcmMac
            | DigestCode::Poly1305 => None,
        }
    }
}

impl BlockRounds {
    const fn some(kind: RoundKind, rounds: u32, block_len: u32) -> Option<Self> {
        Some(Self {
            kind,
            rounds,
            block_len,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rounds(cipher: CipherCode, key_len: u8) -> Option<u32> {
        let algorithm = Algorithm {
            cipher,
            key_len,
            digest: DigestCode::None,
        };
        algorithm.cipher_rounds().map(|of| of.rounds)
    }

    #[test]
    fn the_key_length_decides_the_rounds_of_aes() {
        assert_eq!(rounds(CipherCode::Null, 0), None);
        for (key_len, expected) in [(16, 10), (24, 12), (32, 14)] {
            assert_eq!(rounds(CipherCode::AesCbc, key_len), Some(expected));
        }
        assert_eq!(rounds(CipherCode::AesXts, 32), Some(10));
        assert_eq!(rounds(CipherCode::AesXts, 64), Some(14));
    }
}
