//! The session block: what the admin ring needs to create a session.
//!
//! | byte | field |
//! |---|---|
//! | 0 | cipher code |
//! | 1 | digest code |
//! | 2 | cipher key length in bytes |
//! | 3 | digest key length in bytes |
//! | 4 | digest length in bytes (0 to 64; 0 without a digest) |
//! | 5 | IV length in bytes (0 to 16) |
//! | 6 | reserved, zero |
//! | 16 | cipher key, 64 bytes, zero-padded |
//! | 80 | digest key, 128 bytes, zero-padded |
//! | 208 | reserved, zero |

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Size of a session block, in bytes.
pub const SESSION_BLOCK_LEN: usize = 256;

const CIPHER_KEY_AT: usize = 16;
const CIPHER_KEY_MAX: usize = 64;
const DIGEST_KEY_AT: usize = 80;
const DIGEST_KEY_MAX: usize = 128;
const TAIL_AT: usize = DIGEST_KEY_AT + DIGEST_KEY_MAX;

/// Which cipher a session uses.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum CipherCode {
    /// No cipher: the session only digests.
    #[default]
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
}

/// Which digest a session uses.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[repr(u8)]
pub enum DigestCode {
    /// No digest, or the cipher's own.
    #[default]
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
}

impl CipherCode {
    /// Every cipher code.
    pub const ALL: [Self; 6] = [
        Self::None,
        Self::Null,
        Self::AesCbc,
        Self::AesCtr,
        Self::AesXts,
        Self::AesGcm,
    ];

    /// The cipher that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&cipher| cipher as u8 == code)
    }
}

impl DigestCode {
    /// Every digest code.
    pub const ALL: [Self; 11] = [
        Self::None,
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

    /// The digest that `code` stands for.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|&digest| digest as u8 == code)
    }

    /// Length of the whole digest, in bytes.
    #[must_use]
    pub const fn len(self) -> usize {
        match self {
            Self::None => 0,
            Self::Sha1 | Self::HmacSha1 => 20,
            Self::Sha224 | Self::HmacSha224 => 28,
            Self::Sha256 | Self::HmacSha256 => 32,
            Self::Sha384 | Self::HmacSha384 => 48,
            Self::Sha512 | Self::HmacSha512 => 64,
        }
    }

    /// Whether there is no digest.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None)
    }

    /// Whether the digest takes a key.
    #[must_use]
    pub const fn is_keyed(self) -> bool {
        self as u8 >= 0x11
    }
}

/// Parameters and keys of a session. The keys are zeroed when dropped; `Debug` shows no key bytes.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct SessionBlock {
    /// Which cipher.
    pub cipher: CipherCode,
    /// Which digest.
    pub digest: DigestCode,
    /// Bytes of digest that are written or compared.
    pub digest_len: u8,
    /// Bytes of IV that are used.
    pub iv_len: u8,
    cipher_key_len: u8,
    digest_key_len: u8,
    keys: Keys,
}

#[derive(Clone, Eq, PartialEq, Zeroize, ZeroizeOnDrop)]
struct Keys {
    cipher: [u8; CIPHER_KEY_MAX],
    digest: [u8; DIGEST_KEY_MAX],
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            cipher: [0; CIPHER_KEY_MAX],
            digest: [0; DIGEST_KEY_MAX],
        }
    }
}

/// Why bytes are not a session block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionBlockError {
    /// The cipher code means nothing.
    Cipher(u8),
    /// The digest code means nothing.
    Digest(u8),
    /// A key is longer than its field.
    KeyLength(usize),
    /// A reserved byte, or padding after a key, is not zero.
    Reserved,
}

impl SessionBlock {
    /// A block without keys.
    #[must_use]
    pub fn new(cipher: CipherCode, digest: DigestCode) -> Self {
        Self {
            cipher,
            digest,
            ..Self::default()
        }
    }

    /// The cipher key.
    #[must_use]
    pub fn cipher_key(&self) -> &[u8] {
        &self.keys.cipher[..usize::from(self.cipher_key_len)]
    }

    /// The digest key.
    #[must_use]
    pub fn digest_key(&self) -> &[u8] {
        &self.keys.digest[..usize::from(self.digest_key_len)]
    }

    /// Sets the keys.
    ///
    /// # Errors
    /// [`SessionBlockError::KeyLength`] if a key exceeds its field: 64 bytes for the cipher, 128
    /// for the digest.
    pub fn set_keys(&mut self, cipher: &[u8], digest: &[u8]) -> Result<(), SessionBlockError> {
        if cipher.len() > CIPHER_KEY_MAX {
            return Err(SessionBlockError::KeyLength(cipher.len()));
        }
        if digest.len() > DIGEST_KEY_MAX {
            return Err(SessionBlockError::KeyLength(digest.len()));
        }
        self.keys.zeroize();
        self.keys.cipher[..cipher.len()].copy_from_slice(cipher);
        self.keys.digest[..digest.len()].copy_from_slice(digest);
        self.cipher_key_len = cipher.len() as u8;
        self.digest_key_len = digest.len() as u8;
        Ok(())
    }

    /// Writes the block as the card reads it. The caller zeroes `bytes` when the card is done.
    pub fn write_to(&self, bytes: &mut [u8; SESSION_BLOCK_LEN]) {
        bytes.fill(0);
        bytes[0] = self.cipher as u8;
        bytes[1] = self.digest as u8;
        bytes[2] = self.cipher_key_len;
        bytes[3] = self.digest_key_len;
        bytes[4] = self.digest_len;
        bytes[5] = self.iv_len;
        bytes[CIPHER_KEY_AT..DIGEST_KEY_AT].copy_from_slice(&self.keys.cipher);
        bytes[DIGEST_KEY_AT..TAIL_AT].copy_from_slice(&self.keys.digest);
    }

    /// The block that stands in `bytes`. What the codes and lengths mean together is for the card
    /// to judge.
    ///
    /// # Errors
    /// [`SessionBlockError`] if a code, a key length or reserved bytes are wrong.
    pub fn from_bytes(bytes: &[u8; SESSION_BLOCK_LEN]) -> Result<Self, SessionBlockError> {
        let cipher = CipherCode::from_code(bytes[0]).ok_or(SessionBlockError::Cipher(bytes[0]))?;
        let digest = DigestCode::from_code(bytes[1]).ok_or(SessionBlockError::Digest(bytes[1]))?;
        let mut block = Self {
            cipher,
            digest,
            digest_len: bytes[4],
            iv_len: bytes[5],
            ..Self::default()
        };
        let (cipher_len, digest_len) = (usize::from(bytes[2]), usize::from(bytes[3]));
        if cipher_len > CIPHER_KEY_MAX {
            return Err(SessionBlockError::KeyLength(cipher_len));
        }
        if digest_len > DIGEST_KEY_MAX {
            return Err(SessionBlockError::KeyLength(digest_len));
        }
        let is_zero = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
        if !is_zero(&bytes[6..CIPHER_KEY_AT])
            || !is_zero(&bytes[CIPHER_KEY_AT + cipher_len..DIGEST_KEY_AT])
            || !is_zero(&bytes[DIGEST_KEY_AT + digest_len..])
        {
            return Err(SessionBlockError::Reserved);
        }
        block.set_keys(
            &bytes[CIPHER_KEY_AT..CIPHER_KEY_AT + cipher_len],
            &bytes[DIGEST_KEY_AT..DIGEST_KEY_AT + digest_len],
        )?;
        Ok(block)
    }
}

impl std::fmt::Debug for SessionBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionBlock")
            .field("cipher", &self.cipher)
            .field("digest", &self.digest)
            .field("digest_len", &self.digest_len)
            .field("iv_len", &self.iv_len)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> SessionBlock {
        let mut block = SessionBlock {
            cipher: CipherCode::AesCbc,
            digest: DigestCode::HmacSha256,
            digest_len: 16,
            iv_len: 16,
            ..SessionBlock::default()
        };
        block.set_keys(&[7; 32], &[9; 100]).unwrap();
        block
    }

    #[test]
    fn a_session_block_survives_memory() {
        let mut bytes = [0xFF; SESSION_BLOCK_LEN];
        block().write_to(&mut bytes);
        let read = SessionBlock::from_bytes(&bytes).unwrap();
        assert_eq!(read, block());
        assert_eq!(read.cipher_key(), [7; 32]);
        assert_eq!(read.digest_key(), [9; 100]);
    }

    #[test]
    fn bytes_that_are_no_block_are_refused() {
        let mut good = [0; SESSION_BLOCK_LEN];
        block().write_to(&mut good);
        let with = |at: usize, value: u8| {
            let mut bytes = good;
            bytes[at] = value;
            SessionBlock::from_bytes(&bytes)
        };
        assert_eq!(with(0, 99), Err(SessionBlockError::Cipher(99)));
        assert_eq!(with(1, 0x16), Err(SessionBlockError::Digest(0x16)));
        assert_eq!(with(2, 65), Err(SessionBlockError::KeyLength(65)));
        assert_eq!(with(3, 129), Err(SessionBlockError::KeyLength(129)));
        assert_eq!(with(6, 1), Err(SessionBlockError::Reserved));
        assert_eq!(with(16 + 32, 1), Err(SessionBlockError::Reserved));
        assert_eq!(with(255, 1), Err(SessionBlockError::Reserved));
    }

    #[test]
    fn debug_shows_no_key() {
        let text = format!("{:?}", block());
        assert!(!text.contains("7, 7"), "{text}");
        assert!(!text.contains("keys"), "{text}");
    }
}
