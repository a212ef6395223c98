//! Every algorithm of crypto(7), of both generations, with its sizes.
//!
//! [`CIPHERS`] and [`DIGESTS`] are the one list: session parameters are checked with it, and
//! listings show it. How an algorithm works is a driver's business.

use std::fmt;

/// Longest key of a digest, in bytes. HMAC hashes keys longer than its block first.
const AUTH_KEY_MAX: u16 = u16::MAX;
/// Longest IV, in bytes: it is shorter than `EALG_MAX_BLOCK_LEN`.
const IV_MAX: u16 = 63;

/// A cipher, including those that bring their own digest (AEAD).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Cipher {
    /// Copies its input (`CRYPTO_NULL_CBC`).
    Null,
    /// AES in CBC mode (`CRYPTO_AES_CBC`, once `CRYPTO_RIJNDAEL128_CBC`).
    AesCbc,
    /// AES in counter mode, 128-bit big-endian counter (`CRYPTO_AES_ICM`).
    AesCtr,
    /// AES in XTS mode without ciphertext stealing (`CRYPTO_AES_XTS`).
    AesXts,
    /// AES in Galois/counter mode (`CRYPTO_AES_NIST_GCM_16`).
    AesGcm,
    /// AES in counter mode with CBC-MAC (`CRYPTO_AES_CCM_16`).
    AesCcm,
    /// DES in CBC mode (`CRYPTO_DES_CBC`).
    DesCbc,
    /// Triple DES in CBC mode, three keys (`CRYPTO_3DES_CBC`).
    TripleDesCbc,
    /// Blowfish in CBC mode (`CRYPTO_BLF_CBC`).
    BlowfishCbc,
    /// CAST-128 in CBC mode (`CRYPTO_CAST_CBC`).
    Cast5Cbc,
    /// Skipjack in CBC mode (`CRYPTO_SKIPJACK_CBC`).
    SkipjackCbc,
    /// Camellia in CBC mode (`CRYPTO_CAMELLIA_CBC`).
    CamelliaCbc,
    /// RC4 (`CRYPTO_ARC4`). Every request begins the key stream anew.
    Arc4,
    /// ChaCha20 (`CRYPTO_CHACHA20`). The IV is a 64-bit little-endian block counter and a nonce of
    /// eight bytes, in this order.
    ChaCha20,
    /// ChaCha20 with Poly1305 (`CRYPTO_CHACHA20_POLY1305`). An IV of eight bytes is a nonce without
    /// its first four, which are zero.
    ChaCha20Poly1305,
    /// XChaCha20 with Poly1305 (`CRYPTO_XCHACHA20_POLY1305`).
    XChaCha20Poly1305,
}

/// A digest, keyed or not.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Digest {
    /// SHA-1 (`CRYPTO_SHA1`).
    Sha1,
    /// SHA-224 (`CRYPTO_SHA2_224`).
    Sha224,
    /// SHA-256 (`CRYPTO_SHA2_256`).
    Sha256,
    /// SHA-384 (`CRYPTO_SHA2_384`).
    Sha384,
    /// SHA-512 (`CRYPTO_SHA2_512`).
    Sha512,
    /// HMAC of SHA-1 (`CRYPTO_SHA1_HMAC`).
    HmacSha1,
    /// HMAC of SHA-224 (`CRYPTO_SHA2_224_HMAC`).
    HmacSha224,
    /// HMAC of SHA-256 (`CRYPTO_SHA2_256_HMAC`).
    HmacSha256,
    /// HMAC of SHA-384 (`CRYPTO_SHA2_384_HMAC`).
    HmacSha384,
    /// HMAC of SHA-512 (`CRYPTO_SHA2_512_HMAC`).
    HmacSha512,
    /// MD5 (`CRYPTO_MD5`).
    Md5,
    /// RIPEMD-160 (`CRYPTO_RIPEMD160`).
    Ripemd160,
    /// HMAC of MD5 (`CRYPTO_MD5_HMAC`).
    HmacMd5,
    /// HMAC of RIPEMD-160 (`CRYPTO_RIPEMD160_HMAC`).
    HmacRipemd160,
    /// Zeroes, whatever the data and the key (`CRYPTO_NULL_HMAC`).
    NullHmac,
    /// Keyed MD5 of RFC 1828: key, padding, data, key (`CRYPTO_MD5_KPDK`).
    Md5Kpdk,
    /// Keyed SHA-1 of RFC 1852: key, padding, data, key (`CRYPTO_SHA1_KPDK`).
    Sha1Kpdk,
    /// BLAKE2b, keyed if there is a key (`CRYPTO_BLAKE2B`).
    Blake2b,
    /// BLAKE2s, keyed if there is a key (`CRYPTO_BLAKE2S`).
    Blake2s,
    /// The tag of AES-GCM over data in the clear alone (`CRYPTO_AES_NIST_GMAC`).
    AesGmac,
    /// The tag of AES-CCM over data in the clear alone (`CRYPTO_AES_CCM_CBC_MAC`).
    AesCcmMac,
    /// Poly1305; its key serves one message (`CRYPTO_POLY1305`).
    Poly1305,
}

/// A compression algorithm.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Compression {
    /// Raw deflate of RFC 1951, with no header (`CRYPTO_DEFLATE_COMP`).
    Deflate,
}

/// Lengths that something may have, in bytes: `min`, then every `step` further up to `max`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lengths {
    /// The shortest.
    pub min: u16,
    /// The longest.
    pub max: u16,
    /// From one length to the next; at least 1.
    pub step: u16,
}

impl Lengths {
    /// Nothing at all.
    pub const NONE: Self = Self::only(0);

    const fn only(len: u16) -> Self {
        Self::range(len, len)
    }

    const fn range(min: u16, max: u16) -> Self {
        Self::steps(min, max, 1)
    }

    const fn steps(min: u16, max: u16, step: u16) -> Self {
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
        match (max - min) / step {
            0 => write!(f, "{min}"),
            1 => write!(f, "{min} or {max}"),
            2 => write!(f, "{min}, {} or {max}", min + step),
            _ if step == 1 => write!(f, "{min} to {max}"),
            _ => write!(f, "{min} to {max} in steps of {step}"),
        }
    }
}

/// What a cipher takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CipherInfo {
    /// Which cipher.
    pub cipher: Cipher,
    /// Its name for people.
    pub name: &'static str,
    /// Its number in `cryptodev.h`.
    pub number: u8,
    /// Lengths of its key.
    pub key: Lengths,
    /// A payload is a multiple of this many bytes; a power of two.
    pub block_len: u8,
    /// Lengths of its IV.
    pub iv: Lengths,
    /// Lengths to which its tag may be cut; the longest is the whole tag. [`Lengths::NONE`] for a
    /// cipher that brings no digest.
    pub tag: Lengths,
}

/// What a digest takes and gives.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct DigestInfo {
    /// Which digest.
    pub digest: Digest,
    /// Its name for people.
    pub name: &'static str,
    /// Its number in `cryptodev.h`.
    pub number: u8,
    /// Lengths of its key.
    pub key: Lengths,
    /// Bytes it works on at a time.
    pub block_len: u8,
    /// Lengths of its nonce, which is the session's IV; [`Lengths::NONE`] if it has none.
    pub iv: Lengths,
    /// Lengths to which it may be cut; the longest is the whole digest.
    pub cut: Lengths,
}

const fn block(
    (cipher, name, number): (Cipher, &'static str, u8),
    key: Lengths,
    block_len: u8,
    iv: Lengths,
) -> CipherInfo {
    CipherInfo {
        cipher,
        name,
        number,
        key,
        block_len,
        iv,
        tag: Lengths::NONE,
    }
}

const fn aead(
    names: (Cipher, &'static str, u8),
    key: Lengths,
    iv: Lengths,
    tag: Lengths,
) -> CipherInfo {
    CipherInfo {
        tag,
        ..block(names, key, 1, iv)
    }
}

const fn digest(
    (digest, name, number): (Digest, &'static str, u8),
    key: Lengths,
    block_len: u8,
    len: u16,
) -> DigestInfo {
    DigestInfo {
        digest,
        name,
        number,
        key,
        block_len,
        iv: Lengths::NONE,
        cut: Lengths::range(1, len),
    }
}

const fn nonce_mac(names: (Digest, &'static str, u8), iv: Lengths, cut: Lengths) -> DigestInfo {
    DigestInfo {
        iv,
        cut,
        ..digest(names, AES_KEY, 16, 16)
    }
}

const NO_KEY: Lengths = Lengths::NONE;
const AES_KEY: Lengths = Lengths::steps(16, 32, 8);
const MAC_KEY: Lengths = Lengths::range(1, AUTH_KEY_MAX);
const ANY_KEY: Lengths = Lengths::range(0, AUTH_KEY_MAX);
const IV_8: Lengths = Lengths::only(8);
const IV_16: Lengths = Lengths::only(16);
const CCM_IV: Lengths = Lengths::range(7, 13);
const CCM_TAG: Lengths = Lengths::steps(4, 16, 2);
const TAG: Lengths = Lengths::range(1, 16);

/// Every cipher, in order of [`Cipher`].
// The null cipher takes any length, as cards do; crypto(7) has it in blocks of four. The tweak of
// XTS may be given as a whole too: eight bytes leave its other half zero.
pub const CIPHERS: [CipherInfo; 16] = {
    use Cipher as C;
    use Lengths as L;
    [
        block(
            (C::Null, "null", 16),
            L::range(0, 256),
            1,
            L::range(0, IV_MAX),
        ),
        block((C::AesCbc, "aes-cbc", 11), AES_KEY, 16, IV_16),
        block((C::AesCtr, "aes-ctr", 23), AES_KEY, 1, IV_16),
        block(
            (C::AesXts, "aes-xts", 22),
            L::steps(32, 64, 32),
            16,
            L::steps(8, 16, 8),
        ),
        aead((C::AesGcm, "aes-gcm", 25), AES_KEY, L::only(12), TAG),
        aead((C::AesCcm, "aes-ccm", 40), AES_KEY, CCM_IV, CCM_TAG),
        block((C::DesCbc, "des-cbc", 1), L::only(8), 8, IV_8),
        block((C::TripleDesCbc, "3des-cbc", 2), L::only(24), 8, IV_8),
        block(
            (C::BlowfishCbc, "blowfish-cbc", 3),
            L::range(5, 56),
            8,
            IV_8,
        ),
        block((C::Cast5Cbc, "cast5-cbc", 4), L::range(5, 16), 8, IV_8),
        block((C::SkipjackCbc, "skipjack-cbc", 5), L::only(10), 8, IV_8),
        block((C::CamelliaCbc, "camellia-cbc", 21), AES_KEY, 16, IV_16),
        block((C::Arc4, "arc4", 12), L::range(1, 32), 1, L::NONE),
        block(
            (C::ChaCha20, "chacha20", 31),
            L::steps(16, 32, 16),
            1,
            IV_16,
        ),
        aead(
            (C::ChaCha20Poly1305, "chacha20-poly1305", 41),
            L::only(32),
            L::steps(8, 12, 4),
            TAG,
        ),
        aead(
            (C::XChaCha20Poly1305, "xchacha20-poly1305", 42),
            L::only(32),
            L::only(24),
            TAG,
        ),
    ]
};

/// Every digest, in order of [`Digest`].
pub const DIGESTS: [DigestInfo; 22] = {
    use Digest as D;
    use Lengths as L;
    [
        digest((D::Sha1, "sha1", 14), NO_KEY, 64, 20),
        digest((D::Sha224, "sha224", 34), NO_KEY, 64, 28),
        digest((D::Sha256, "sha256", 35), NO_KEY, 64, 32),
        digest((D::Sha384, "sha384", 36), NO_KEY, 128, 48),
        digest((D::Sha512, "sha512", 37), NO_KEY, 128, 64),
        digest((D::HmacSha1, "hmac-sha1", 7), MAC_KEY, 64, 20),
        digest((D::HmacSha224, "hmac-sha224", 32), MAC_KEY, 64, 28),
        digest((D::HmacSha256, "hmac-sha256", 18), MAC_KEY, 64, 32),
        digest((D::HmacSha384, "hmac-sha384", 19), MAC_KEY, 128, 48),
        digest((D::HmacSha512, "hmac-sha512", 20), MAC_KEY, 128, 64),
        digest((D::Md5, "md5", 13), NO_KEY, 64, 16),
        digest((D::Ripemd160, "ripemd160", 33), NO_KEY, 64, 20),
        digest((D::HmacMd5, "hmac-md5", 6), MAC_KEY, 64, 16),
        digest((D::HmacRipemd160, "hmac-ripemd160", 8), MAC_KEY, 64, 20),
        digest((D::NullHmac, "null-hmac", 15), ANY_KEY, 64, 16),
        digest((D::Md5Kpdk, "md5-kpdk", 9), MAC_KEY, 64, 16),
        digest((D::Sha1Kpdk, "sha1-kpdk", 10), MAC_KEY, 64, 20),
        digest((D::Blake2b, "blake2b", 29), L::range(0, 64), 128, 64),
        digest((D::Blake2s, "blake2s", 30), L::range(0, 32), 64, 32),
        nonce_mac((D::AesGmac, "aes-gmac", 24), L::only(12), TAG),
        nonce_mac((D::AesCcmMac, "aes-ccm-mac", 39), CCM_IV, CCM_TAG),
        digest((D::Poly1305, "poly1305", 38), L::only(32), 16, 16),
    ]
};

impl Cipher {
    /// Every cipher.
    pub const ALL: [Self; CIPHERS.len()] = {
        let mut all = [Self::Null; CIPHERS.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = CIPHERS[at].cipher;
            at += 1;
        }
        all
    };

    /// Its sizes.
    #[must_use]
    pub const fn info(self) -> &'static CipherInfo {
        const TABLE: &[CipherInfo] = &CIPHERS;
        &TABLE[self as usize]
    }

    /// The cipher with this number in `cryptodev.h`.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|cipher| cipher.info().number == number)
    }

    /// Whether the cipher authenticates too.
    #[must_use]
    pub const fn is_aead(self) -> bool {
        self.tag_len() != 0
    }

    /// Payload length must be a multiple of this many bytes.
    #[must_use]
    pub const fn block_len(self) -> usize {
        self.info().block_len as usize
    }

    /// Whether the cipher takes a key of `len` bytes.
    #[must_use]
    pub const fn takes_key_len(self, len: usize) -> bool {
        self.info().key.takes(len)
    }

    /// Length of the whole tag an AEAD cipher makes, in bytes; zero for others.
    #[must_use]
    pub const fn tag_len(self) -> usize {
        self.info().tag.max as usize
    }

    /// Bits of the longest payload's length, in bytes, with an IV of `iv_len` bytes. CCM writes the
    /// length into what the IV leaves of a block.
    #[must_use]
    pub(crate) const fn payload_len_bits(self, iv_len: usize) -> u32 {
        match self {
            Self::AesCcm if iv_len > 7 => 8 * (15 - iv_len as u32),
            _ => usize::BITS,
        }
    }
}

impl Digest {
    /// Every digest.
    pub const ALL: [Self; DIGESTS.len()] = {
        let mut all = [Self::Sha1; DIGESTS.len()];
        let mut at = 0;
        while at < all.len() {
            all[at] = DIGESTS[at].digest;
            at += 1;
        }
        all
    };

    /// Its sizes.
    #[must_use]
    pub const fn info(self) -> &'static DigestInfo {
        const TABLE: &[DigestInfo] = &DIGESTS;
        &TABLE[self as usize]
    }

    /// The digest with this number in `cryptodev.h`. The numbers 26 to 28, GMAC with a key of one
    /// length, are [`Digest::AesGmac`] too.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        if matches!(number, 26..=28) {
            return Some(Self::AesGmac);
        }
        Self::ALL
            .into_iter()
            .find(|digest| digest.info().number == number)
    }

    /// Whether the digest takes a key; some work without one as well.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        self.info().key.max != 0
    }

    /// Whether a message may come in parts: hashes, HMAC, and key, padding, data, key, but for
    /// BLAKE2.
    #[must_use]
    pub const fn takes_parts(self) -> bool {
        crate::DigestState::code_of(self).is_some()
    }

    /// Length of the whole digest, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a digest is never empty")]
    pub const fn len(self) -> usize {
        self.info().cut.max as usize
    }
}

impl Compression {
    /// Every compression algorithm.
    pub const ALL: [Self; 1] = [Self::Deflate];

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deflate => "deflate",
        }
    }

    /// Its number in `cryptodev.h`.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Deflate => 17,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_in_the_order_of_their_enums() {
        for (place, info) in CIPHERS.iter().enumerate() {
            assert_eq!(info.cipher as usize, place);
            assert_eq!(info.cipher.info(), info);
            assert_eq!(Cipher::from_number(info.number), Some(info.cipher));
            assert!(info.block_len.is_power_of_two());
            assert!(info.iv.max <= IV_MAX);
        }
        for (place, info) in DIGESTS.iter().enumerate() {
            assert_eq!(info.digest as usize, place);
            assert_eq!(info.digest.info(), info);
            assert_eq!(Digest::from_number(info.number), Some(info.digest));
        }
    }

    #[test]
    fn every_symmetric_number_of_crypto_7_names_one_algorithm() {
        for number in 0..=u8::MAX {
            let compression = Compression::ALL.iter().any(|it| it.number() == number);
            let names = [
                Cipher::from_number(number).is_some(),
                Digest::from_number(number).is_some(),
                compression,
            ];
            let found = names.iter().filter(|&&name| name).count();
            assert_eq!(found, usize::from((1..=42).contains(&number)), "{number}");
        }
    }

    #[test]
    fn lengths_are_what_they_say() {
        for (lengths, text, all) in [
            (Lengths::NONE, "0", vec![0]),
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
