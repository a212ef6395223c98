//! The session block: what the admin ring needs to create a session.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::WireInfo;
use crate::algorithm::{CIPHER_KEY_MAX, CipherCode, DIGEST_KEY_MAX, DigestCode};
use crate::map::{flags, layout};

/// Size of a session block, in bytes.
pub const SESSION_BLOCK_LEN: usize = 256;

const CIPHER_KEY_AT: usize = 16;
const DIGEST_KEY_AT: usize = CIPHER_KEY_AT + CIPHER_KEY_MAX;
const _: () = assert!(DIGEST_KEY_AT + DIGEST_KEY_MAX == SESSION_BLOCK_LEN);

flags! {
    /// What a session does differently.
    SessionBlockFlags: u8 {
        /// The digest covers the command's four ESN bytes too, behind the payload. For a cipher
        /// with a digest of another.
        0 ESN,
        /// The digest covers the payload in the clear: it is taken before encryption and checked
        /// after decryption. For a cipher with a digest of another.
        1 DIGEST_FIRST,
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
    /// What the session does differently.
    pub flags: SessionBlockFlags,
    cipher_key_len: u8,
    keys: Keys,
}

/// The cipher key, then the digest key: as many bytes as they have, because drivers and cards keep
/// a block for each of many sessions.
#[derive(Clone, Default, Eq, PartialEq, Zeroize, ZeroizeOnDrop)]
struct Keys(Box<[u8]>);

/// Why bytes are not a session block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SessionBlockError {
    /// The cipher code means nothing.
    Cipher(u8),
    /// The digest code means nothing.
    Digest(u8),
    /// A key is longer than its field.
    KeyLength(usize),
    /// A reserved bit or byte, or padding after a key, is not zero.
    Reserved,
}

impl SessionBlock {
    /// Where the fields stand in memory.
    pub const LAYOUT: &'static [WireInfo] = layout![
        cipher[1] "cipher code",
        digest[1] "digest code",
        cipher_key_len[1] "bytes of cipher key",
        digest_key_len[1] "bytes of digest key",
        digest_len[1] "bytes of digest, 0 without one",
        iv_len[1] "bytes of IV",
        flags[1] "what the session does differently, see the flags",
        _reserved[9] "zero",
        cipher_key[CIPHER_KEY_MAX] "cipher key, zero-padded",
        digest_key[DIGEST_KEY_MAX] "digest key, zero-padded",
    ];

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
        &self.keys()[..usize::from(self.cipher_key_len)]
    }

    /// The digest key.
    #[must_use]
    pub fn digest_key(&self) -> &[u8] {
        &self.keys()[usize::from(self.cipher_key_len)..]
    }

    /// The cipher key, followed by the digest key.
    #[must_use]
    pub fn keys(&self) -> &[u8] {
        &self.keys.0
    }

    /// Sets the keys.
    ///
    /// # Errors
    /// [`SessionBlockError::KeyLength`] if a key exceeds its field: [`CIPHER_KEY_MAX`] or
    /// [`DIGEST_KEY_MAX`] bytes.
    pub fn set_keys(&mut self, cipher: &[u8], digest: &[u8]) -> Result<(), SessionBlockError> {
        if cipher.len() > CIPHER_KEY_MAX {
            return Err(SessionBlockError::KeyLength(cipher.len()));
        }
        if digest.len() > DIGEST_KEY_MAX {
            return Err(SessionBlockError::KeyLength(digest.len()));
        }
        self.keys = Keys([cipher, digest].concat().into());
        self.cipher_key_len = cipher.len() as u8;
        Ok(())
    }

    /// Writes the block as the card reads it. The caller zeroes `bytes` when the card is done.
    pub fn write_to(&self, bytes: &mut [u8; SESSION_BLOCK_LEN]) {
        bytes.fill(0);
        bytes[0] = self.cipher as u8;
        bytes[1] = self.digest as u8;
        bytes[2] = self.cipher_key_len;
        bytes[3] = self.digest_key().len() as u8;
        bytes[4] = self.digest_len;
        bytes[5] = self.iv_len;
        bytes[6] = self.flags.bits();
        let (cipher_key, digest_key) = (self.cipher_key(), self.digest_key());
        bytes[CIPHER_KEY_AT..][..cipher_key.len()].copy_from_slice(cipher_key);
        bytes[DIGEST_KEY_AT..][..digest_key.len()].copy_from_slice(digest_key);
    }

    /// The block that stands in `bytes`. What the codes and lengths mean together is for the card
    /// to judge.
    ///
    /// # Errors
    /// [`SessionBlockError`] if a code, a key length or reserved bytes are wrong.
    pub fn from_bytes(bytes: &[u8; SESSION_BLOCK_LEN]) -> Result<Self, SessionBlockError> {
        let cipher = CipherCode::from_code(bytes[0]).ok_or(SessionBlockError::Cipher(bytes[0]))?;
        let digest = DigestCode::from_code(bytes[1]).ok_or(SessionBlockError::Digest(bytes[1]))?;
        let flags = SessionBlockFlags::from_bits(bytes[6]).ok_or(SessionBlockError::Reserved)?;
        let mut block = Self {
            cipher,
            digest,
            digest_len: bytes[4],
            iv_len: bytes[5],
            flags,
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
        if !is_zero(&bytes[7..CIPHER_KEY_AT])
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
            .field("flags", &self.flags)
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
            flags: SessionBlockFlags::ESN,
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
        assert_eq!(with(1, 0x1F), Err(SessionBlockError::Digest(0x1F)));
        assert_eq!(with(2, 65), Err(SessionBlockError::KeyLength(65)));
        assert_eq!(with(3, 177), Err(SessionBlockError::KeyLength(177)));
        assert_eq!(with(6, 4), Err(SessionBlockError::Reserved));
        assert_eq!(with(7, 1), Err(SessionBlockError::Reserved));
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
