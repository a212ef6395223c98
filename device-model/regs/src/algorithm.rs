//! What the card can compute: the codes of ciphers and digests, and the lengths they take.
//!
//! [`CIPHERS`] and [`DIGESTS`] are the one list. The card validates session blocks with it,
//! discovery reads it out, and the datasheet shows it. How an algorithm works is the engine's
//! business.

use std::fmt;

use crate::WireInfo;
use crate::map::{codes, layout};

/// Longest cipher key of a session, in bytes.
pub const CIPHER_KEY_MAX: usize = 64;
/// Longest digest key of a session, in bytes. A longer HMAC key is hashed first by whoever has it,
/// which is what HMAC would do with it.
pub const DIGEST_KEY_MAX: usize = 176;
/// Longest IV of a session, in bytes.
pub const IV_MAX: usize = 24;
/// Longest digest, in bytes.
pub const DIGEST_MAX: usize = 64;
/// Size of a hash's state outside the card, in bytes.
pub const DIGEST_STATE_LEN: usize = 256;
/// Bytes of [`DIGEST_STATE_LAYOUT`] that hold the state itself: the longest is that of SHA-512.
pub const DIGEST_STATE_BODY: usize = 64 + 16 + 128;
/// Version of the layout, in its second byte.
pub const DIGEST_STATE_VERSION: u8 = 1;

/// Where the fields of a hash's state stand outside the card.
pub const DIGEST_STATE_LAYOUT: &[WireInfo] = layout![
    digest[1] "digest code",
    version[1] "1",
    _reserved[14] "zero",
    state[DIGEST_STATE_BODY] "the state, zero-padded; encrypted if the digest has a key",
    seal[16] "authenticates what stands before it; zero if the digest has no key",
    _reserved_tail[16] "zero",
];
const _: () = assert!(DIGEST_STATE_BODY + 48 == DIGEST_STATE_LEN);

codes! {
    /// Which cipher a session uses.
    CipherCode: u8 {
        /// No cipher: the session only digests.
        None = 0,
        /// Copies the payload.
        Null = 1,
        /// AES in CBC mode.
        AesCbc = 2,
        /// AES in counter mode with a 128-bit big-endian counter.
        AesCtr = 3,
        /// AES in XTS mode; the key is both halves.
        AesXts = 4,
        /// AES in Galois/counter mode; brings its own digest.
        AesGcm = 5,
        /// AES in counter mode with CBC-MAC; brings its own digest.
        AesCcm = 6,
        /// AES block by block, without chaining.
        AesEcb = 7,
        /// DES in CBC mode; parity bits of the key do not count.
        DesCbc = 0x10,
        /// Triple DES (EDE, three keys) in CBC mode.
        TripleDesCbc = 0x11,
        /// Blowfish in CBC mode.
        BlowfishCbc = 0x12,
        /// CAST-128 in CBC mode.
        Cast5Cbc = 0x13,
        /// Skipjack in CBC mode.
        SkipjackCbc = 0x14,
        /// Camellia in CBC mode.
        CamelliaCbc = 0x15,
        /// SM4 in CBC mode.
        Sm4Cbc = 0x16,
        /// RC4; every command begins the key stream anew.
        Arc4 = 0x20,
        /// ChaCha20; the IV is a 64-bit little-endian block counter followed by the nonce.
        ChaCha20 = 0x21,
        /// ChaCha20 with Poly1305; brings its own digest. A short IV is a nonce without its first
        /// four bytes, which are zero.
        ChaCha20Poly1305 = 0x22,
        /// XChaCha20 with Poly1305; brings its own digest.
        XChaCha20Poly1305 = 0x23,
        /// No cipher but compression: raw deflate of RFC 1951. Encrypting compresses, decrypting
        /// decompresses.
        Deflate = 0x30,
    }
}

codes! {
    /// Which digest a session uses.
    DigestCode: u8 {
        /// No digest, or the cipher's own.
        None = 0,
        /// SHA-1.
        Sha1 = 1,
        /// SHA-224.
        Sha224 = 2,
        /// SHA-256.
        Sha256 = 3,
        /// SHA-384.
        Sha384 = 4,
        /// SHA-512.
        Sha512 = 5,
        /// MD5.
        Md5 = 6,
        /// RIPEMD-160.
        Ripemd160 = 7,
        /// SM3.
        Sm3 = 8,
        /// HMAC of SHA-1.
        HmacSha1 = 0x11,
        /// HMAC of SHA-224.
        HmacSha224 = 0x12,
        /// HMAC of SHA-256.
        HmacSha256 = 0x13,
        /// HMAC of SHA-384.
        HmacSha384 = 0x14,
        /// HMAC of SHA-512.
        HmacSha512 = 0x15,
        /// HMAC of MD5.
        HmacMd5 = 0x16,
        /// HMAC of RIPEMD-160.
        HmacRipemd160 = 0x17,
        /// HMAC of SM3.
        HmacSm3 = 0x18,
        /// Zeroes, whatever the data and the key.
        NullHmac = 0x20,
        /// Keyed MD5 of RFC 1828: key, padding, data, key.
        Md5Kpdk = 0x21,
        /// Keyed SHA-1 of RFC 1852: key, padding, data, key.
        Sha1Kpdk = 0x22,
        /// BLAKE2b, keyed if there is a key.
        Blake2b = 0x23,
        /// BLAKE2s, keyed if there is a key.
        Blake2s = 0x24,
        /// The tag of AES in Galois/counter mode over AAD alone.
        AesGmac = 0x25,
        /// The tag of AES in counter mode with CBC-MAC over AAD alone.
        AesCcmMac = 0x26,
        /// Poly1305; its key serves one message.
        Poly1305 = 0x27,
    }
}

/// Lengths that something may have, in bytes: `min`, then every `step` further up to `max`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lengths {
    /// The shortest.
    pub min: u8,
    /// The longest.
    pub max: u8,
    /// From one length to the next; at least 1.
    pub step: u8,
}

impl Lengths {
    /// Nothing at all.
    pub const NONE: Self = Self::only(0);

    const fn only(len: u8) -> Self {
        Self::range(len, len)
    }

    const fn range(min: u8, max: u8) -> Self {
        Self::steps(min, max, 1)
    }

    const fn steps(min: u8, max: u8, step: u8) -> Self {
        Self { min, max, step }
    }

    /// Whether `len` is one of them.
    #[must_use]
    pub const fn takes(self, len: usize) -> bool {
        len >= self.min as usize
            && len <= self.max as usize
            && (len - self.min as usize).is_multiple_of(self.step as usize)
    }

    /// All of them, shortest first.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        (usize::from(self.min)..=usize::from(self.max)).step_by(usize::from(self.step))
    }
}

impl fmt::Display for Lengths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { min, max, step } = *self;
        match (self.iter().count(), step) {
            (1, _) if max == 0 => write!(f, "-"),
            (1, _) => write!(f, "{min}"),
            (2, _) => write!(f, "{min} or {max}"),
            (3, _) => write!(f, "{min}, {} or {max}", min + step),
            (_, 1) => write!(f, "{min} to {max}"),
            _ => write!(f, "{min} to {max} in steps of {step}"),
        }
    }
}

/// What a cipher takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CipherInfo {
    /// Its code.
    pub code: CipherCode,
    /// Lengths of its key.
    pub key: Lengths,
    /// Lengths of its IV.
    pub iv: Lengths,
    /// A payload is a multiple of this many bytes; a power of two.
    pub block_len: u8,
    /// Lengths of its tag; [`Lengths::NONE`] if it brings no digest.
    pub tag: Lengths,
}

/// What a digest takes and gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DigestInfo {
    /// Its code.
    pub code: DigestCode,
    /// Lengths of its key.
    pub key: Lengths,
    /// Lengths of its nonce, which is the session's IV; [`Lengths::NONE`] if it has none.
    pub iv: Lengths,
    /// Bytes it works on at a time.
    pub block_len: u8,
    /// Lengths to which the digest may be cut; the longest is the whole digest.
    pub digest: Lengths,
    /// Whether a message may come in parts, with the state in between outside the card.
    pub has_state: bool,
}

const fn cipher(code: CipherCode, key: Lengths, iv: Lengths, block_len: u8) -> CipherInfo {
    CipherInfo {
        code,
        key,
        iv,
        block_len,
        tag: Lengths::NONE,
    }
}

const fn aead(code: CipherCode, key: Lengths, iv: Lengths, tag: Lengths) -> CipherInfo {
    CipherInfo {
        tag,
        ..cipher(code, key, iv, 1)
    }
}

const fn digest(code: DigestCode, key: Lengths, block_len: u8, digest_len: u8) -> DigestInfo {
    DigestInfo {
        code,
        key,
        iv: Lengths::NONE,
        block_len,
        digest: Lengths::range(1, digest_len),
        has_state: false,
    }
}

/// A hash, or what is made of one.
const fn hash(code: DigestCode, key: Lengths, block_len: u8, digest_len: u8) -> DigestInfo {
    DigestInfo {
        has_state: true,
        ..digest(code, key, block_len, digest_len)
    }
}

const fn nonce_mac(code: DigestCode, iv: Lengths, tag: Lengths) -> DigestInfo {
    DigestInfo {
        iv,
        digest: tag,
        ..digest(code, AES_KEY, 16, 16)
    }
}

const AES_KEY: Lengths = Lengths::steps(16, 32, 8);
const NO_KEY: Lengths = Lengths::NONE;
const HMAC_KEY: Lengths = Lengths::range(0, DIGEST_KEY_MAX as u8);
const ANY_IV: Lengths = Lengths::range(0, 16);
const IV_8: Lengths = Lengths::only(8);
const IV_12: Lengths = Lengths::only(12);
const IV_16: Lengths = Lengths::only(16);
const CCM_IV: Lengths = Lengths::range(7, 13);
const CCM_TAG: Lengths = Lengths::steps(4, 16, 2);
const TAG: Lengths = Lengths::range(1, 16);

/// Every cipher of the card, in order of code.
pub const CIPHERS: [CipherInfo; 20] = {
    use CipherCode as C;
    use Lengths as L;
    [
        cipher(C::None, NO_KEY, ANY_IV, 1),
        cipher(C::Null, L::range(0, CIPHER_KEY_MAX as u8), ANY_IV, 1),
        cipher(C::AesCbc, AES_KEY, IV_16, 16),
        cipher(C::AesCtr, AES_KEY, IV_16, 1),
        cipher(C::AesXts, L::steps(32, 64, 32), L::steps(8, 16, 8), 16),
        aead(C::AesGcm, AES_KEY, IV_12, TAG),
        aead(C::AesCcm, AES_KEY, CCM_IV, CCM_TAG),
        cipher(C::AesEcb, AES_KEY, ANY_IV, 16),
        cipher(C::DesCbc, L::only(8), IV_8, 8),
        cipher(C::TripleDesCbc, L::only(24), IV_8, 8),
        cipher(C::BlowfishCbc, L::range(5, 56), IV_8, 8),
        cipher(C::Cast5Cbc, L::range(5, 16), IV_8, 8),
        cipher(C::SkipjackCbc, L::only(10), IV_8, 8),
        cipher(C::CamelliaCbc, AES_KEY, IV_16, 16),
        cipher(C::Sm4Cbc, L::only(16), IV_16, 16),
        cipher(C::Arc4, L::range(1, 32), ANY_IV, 1),
        cipher(C::ChaCha20, L::steps(16, 32, 16), IV_16, 1),
        aead(C::ChaCha20Poly1305, L::only(32), L::steps(8, 12, 4), TAG),
        aead(C::XChaCha20Poly1305, L::only(32), L::only(24), TAG),
        cipher(C::Deflate, NO_KEY, L::NONE, 1),
    ]
};

/// Every digest of the card, in order of code.
pub const DIGESTS: [DigestInfo; 25] = {
    use DigestCode as D;
    use Lengths as L;
    [
        DigestInfo {
            digest: L::NONE,
            ..digest(D::None, NO_KEY, 1, 0)
        },
        hash(D::Sha1, NO_KEY, 64, 20),
        hash(D::Sha224, NO_KEY, 64, 28),
        hash(D::Sha256, NO_KEY, 64, 32),
        hash(D::Sha384, NO_KEY, 128, 48),
        hash(D::Sha512, NO_KEY, 128, 64),
        hash(D::Md5, NO_KEY, 64, 16),
        hash(D::Ripemd160, NO_KEY, 64, 20),
        hash(D::Sm3, NO_KEY, 64, 32),
        hash(D::HmacSha1, HMAC_KEY, 64, 20),
        hash(D::HmacSha224, HMAC_KEY, 64, 28),
        hash(D::HmacSha256, HMAC_KEY, 64, 32),
        hash(D::HmacSha384, HMAC_KEY, 128, 48),
        hash(D::HmacSha512, HMAC_KEY, 128, 64),
        hash(D::HmacMd5, HMAC_KEY, 64, 16),
        hash(D::HmacRipemd160, HMAC_KEY, 64, 20),
        hash(D::HmacSm3, HMAC_KEY, 64, 32),
        digest(D::NullHmac, HMAC_KEY, 1, 16),
        hash(D::Md5Kpdk, HMAC_KEY, 64, 16),
        hash(D::Sha1Kpdk, HMAC_KEY, 64, 20),
        digest(D::Blake2b, L::range(0, 64), 128, 64),
        digest(D::Blake2s, L::range(0, 32), 64, 32),
        nonce_mac(D::AesGmac, IV_12, TAG),
        nonce_mac(D::AesCcmMac, CCM_IV, CCM_TAG),
        digest(D::Poly1305, L::only(32), 16, 16),
    ]
};

impl CipherCode {
    /// What it takes.
    #[must_use]
    pub const fn info(self) -> &'static CipherInfo {
        const TABLE: &[CipherInfo] = &CIPHERS;
        let mut at = 0;
        while TABLE[at].code as u8 != self as u8 {
            at += 1;
        }
        &TABLE[at]
    }

    /// Whether it brings its own digest.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        self.info().tag.max != 0
    }
}

impl DigestCode {
    /// What it takes and gives.
    #[must_use]
    pub const fn info(self) -> &'static DigestInfo {
        const TABLE: &[DigestInfo] = &DIGESTS;
        let mut at = 0;
        while TABLE[at].code as u8 != self as u8 {
            at += 1;
        }
        &TABLE[at]
    }

    /// Length of the whole digest, in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        self.info().digest.max as usize
    }

    /// Whether there is no digest.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_order_and_within_the_fields_of_a_session_block() {
        assert!(
            CIPHERS
                .iter()
                .map(|info| info.code)
                .eq(CipherCode::ALL.iter().copied())
        );
        assert!(
            DIGESTS
                .iter()
                .map(|info| info.code)
                .eq(DigestCode::ALL.iter().copied())
        );
        for info in CIPHERS {
            assert_eq!(info.code.info(), &info);
            assert!(usize::from(info.key.max) <= CIPHER_KEY_MAX);
            assert!(usize::from(info.iv.max) <= IV_MAX);
            assert!(info.block_len.is_power_of_two());
        }
        for info in DIGESTS {
            assert_eq!(info.code.info(), &info);
            assert!(usize::from(info.key.max) <= DIGEST_KEY_MAX);
            assert!(usize::from(info.digest.max) <= DIGEST_MAX);
            assert!(usize::from(info.iv.max) <= IV_MAX);
        }
    }

    #[test]
    fn lengths_are_what_they_say() {
        for (lengths, text, all) in [
            (Lengths::NONE, "-", vec![0]),
            (Lengths::only(8), "8", vec![8]),
            (Lengths::steps(8, 12, 4), "8 or 12", vec![8, 12]),
            (AES_KEY, "16, 24 or 32", vec![16, 24, 32]),
            (Lengths::range(7, 10), "7 to 10", vec![7, 8, 9, 10]),
            (
                CCM_TAG,
                "4 to 16 in steps of 2",
                vec![4, 6, 8, 10, 12, 14, 16],
            ),
        ] {
            assert_eq!(lengths.to_string(), text);
            assert_eq!(lengths.iter().collect::<Vec<_>>(), all);
            for len in 0..40 {
                assert_eq!(lengths.takes(len), all.contains(&len), "{text}: {len}");
            }
        }
    }
}
