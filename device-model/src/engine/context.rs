//! A session's context: what a session block asks for, checked and expanded.

use regs::{CipherCode, DigestCode, SessionBlock, Status};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::cipher::{Cipher, GcmKeys};
use super::digest::{DIGEST_MAX, Digester};
use super::{Job, Operation};
use crate::engine::Group;

/// IV of CBC and counter mode, in bytes.
const FULL_IV_LEN: u8 = 16;
/// IV of GCM, in bytes.
const GCM_IV_LEN: u8 = 12;
/// Sector number alone, in bytes; the upper half of the XTS tweak is then zero.
const XTS_SHORT_IV_LEN: u8 = 8;
/// Whole tag of GCM, in bytes.
const GCM_TAG_LEN: u8 = 16;

/// A session's parameters and expanded keys.
///
/// The raw keys stay beside the expanded ones, as they do in a card's context memory; both are
/// zeroed when the context is dropped.
pub struct Context {
    cipher: Cipher,
    digester: Digester,
    cipher_code: CipherCode,
    digest_code: DigestCode,
    digest_len: u8,
    iv_len: u8,
    cipher_key_len: u8,
    digest_key_len: u8,
    raw_keys: Box<[u8]>,
}

impl Context {
    /// Checks `block` and expands its keys.
    ///
    /// # Errors
    /// [`Status::BadParameters`] if codes, key lengths, IV length or digest length do not make an
    /// algorithm that the card has.
    pub fn new(block: &SessionBlock) -> Result<Self, Status> {
        check_lengths(block)?;
        let key = block.cipher_key();
        let cipher = match block.cipher {
            CipherCode::None if key.is_empty() => Cipher::None,
            CipherCode::None => return Err(Status::BadParameters),
            CipherCode::Null => Cipher::Null,
            CipherCode::AesCbc => Cipher::cbc(key)?,
            CipherCode::AesCtr => Cipher::ctr(key)?,
            CipherCode::AesXts => Cipher::xts(key)?,
            CipherCode::AesGcm => Cipher::gcm(key)?,
        };
        Ok(Self {
            cipher,
            digester: Digester::new(block.digest, block.digest_key())?,
            cipher_code: block.cipher,
            digest_code: block.digest,
            digest_len: block.digest_len,
            iv_len: block.iv_len,
            cipher_key_len: key.len() as u8,
            digest_key_len: block.digest_key().len() as u8,
            raw_keys: [key, block.digest_key()].concat().into(),
        })
    }

    /// The same parameters with other keys: `keys` is the cipher key followed by the digest key, of
    /// this context's lengths.
    ///
    /// # Errors
    /// [`Status::BadLength`] if `keys` is not [`key_len`](Self::key_len) bytes long.
    pub fn with_keys(&self, keys: &[u8]) -> Result<Self, Status> {
        if keys.len() != self.key_len() {
            return Err(Status::BadLength);
        }
        let (cipher_key, digest_key) = keys.split_at(usize::from(self.cipher_key_len));
        let mut block = SessionBlock::default();
        block.cipher = self.cipher_code;
        block.digest = self.digest_code;
        block.digest_len = self.digest_len;
        block.iv_len = self.iv_len;
        block
            .set_keys(cipher_key, digest_key)
            .map_err(|_| Status::BadParameters)?;
        Self::new(&block)
    }

    /// Whether `block` asks for what this context does, with keys of the same lengths.
    #[must_use]
    pub fn differs_in_keys_alone(&self, block: &SessionBlock) -> bool {
        block.cipher == self.cipher_code
            && block.digest == self.digest_code
            && block.digest_len == self.digest_len
            && block.iv_len == self.iv_len
            && block.cipher_key().len() == usize::from(self.cipher_key_len)
            && block.digest_key().len() == usize::from(self.digest_key_len)
    }

    /// Bytes of digest that [`Job::digest`] holds; zero without a digest.
    #[must_use]
    #[inline]
    pub const fn digest_len(&self) -> usize {
        self.digest_len as usize
    }

    /// Bytes of both keys together.
    #[must_use]
    #[inline]
    pub const fn key_len(&self) -> usize {
        self.cipher_key_len as usize + self.digest_key_len as usize
    }

    /// Whether payload goes out: true for every session with a cipher.
    #[must_use]
    #[inline]
    pub const fn has_cipher(&self) -> bool {
        !matches!(self.cipher, Cipher::None)
    }

    /// Whether a payload of `len` bytes fits the algorithm.
    #[must_use]
    #[inline]
    pub const fn takes_payload(&self, len: usize) -> bool {
        self.cipher.takes(len)
    }

    /// Whether additional authenticated data has a place in the algorithm.
    #[must_use]
    #[inline]
    pub const fn takes_aad(&self) -> bool {
        self.digest_len != 0 && self.has_cipher()
    }

    /// Whether payload bytes stay as they are, whatever the operation.
    #[must_use]
    #[inline]
    pub const fn is_identity(&self) -> bool {
        matches!(self.cipher, Cipher::Null) && matches!(self.digester, Digester::None)
    }

    /// The engine group that works for this context.
    #[must_use]
    #[inline]
    pub const fn group(&self) -> Group {
        match (self.has_cipher(), self.digest_len != 0) {
            (true, false) => Group::Cipher,
            (false, _) => Group::Digest,
            (true, true) => Group::Combined,
        }
    }

    /// The raw keys as they lie in context memory, for residue checks.
    #[must_use]
    pub fn raw_keys(&self) -> &[u8] {
        &self.raw_keys
    }

    /// Takes the raw keys out without zeroing them: what silicon that forgets to clean leaves
    /// behind.
    pub(crate) fn leak_raw_keys(mut self) -> Box<[u8]> {
        std::mem::take(&mut self.raw_keys)
    }

    /// Does `job`.
    ///
    /// # Errors
    /// [`Status::BadLength`] if a length does not fit the context; [`Status::DigestMismatch`] if
    /// the digest of an [`Operation::Open`] is wrong. Nothing was changed in either case.
    pub fn process(&self, job: Job<'_>) -> Result<(), Status> {
        if job.digest.len() != self.digest_len()
            || !self.takes_payload(job.payload.len())
            || (!job.aad.is_empty() && !self.takes_aad())
        {
            return Err(Status::BadLength);
        }
        let iv = self.effective_iv(job.iv);
        match (&self.cipher, job.operation) {
            (Cipher::Gcm(keys), _) => process_gcm(&self.cipher, keys, &iv, job),
            (_, Operation::Seal) => {
                self.cipher.encrypt(&iv, job.payload);
                if self.digest_len != 0 {
                    let digest = self.digester.compute(job.aad, job.payload);
                    job.digest.copy_from_slice(&digest[..self.digest_len()]);
                }
                Ok(())
            }
            (_, Operation::Open) => {
                if self.digest_len != 0 {
                    let digest = self.digester.compute(job.aad, job.payload);
                    check_digest(&digest[..self.digest_len()], job.digest)?;
                }
                self.cipher.decrypt(&iv, job.payload);
                Ok(())
            }
        }
    }

    /// Bytes past the IV length do not count.
    #[inline]
    fn effective_iv(&self, iv: &[u8; 16]) -> [u8; 16] {
        let mut effective = *iv;
        effective[usize::from(self.iv_len)..].fill(0);
        effective
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.raw_keys.zeroize();
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("cipher", &self.cipher_code)
            .field("digest", &self.digest_code)
            .field("digest_len", &self.digest_len)
            .field("iv_len", &self.iv_len)
            .finish_non_exhaustive()
    }
}

fn process_gcm(cipher: &Cipher, keys: &GcmKeys, iv: &[u8; 16], job: Job<'_>) -> Result<(), Status> {
    let len = job.digest.len();
    match job.operation {
        Operation::Seal => {
            let tag = keys.seal(iv, job.aad, job.payload);
            job.digest.copy_from_slice(&tag[..len]);
        }
        Operation::Open => {
            let tag = keys.tag(iv, job.aad, job.payload);
            check_digest(&tag[..len], job.digest)?;
            cipher.decrypt(iv, job.payload);
        }
    }
    Ok(())
}

fn check_digest(expected: &[u8], given: &[u8]) -> Result<(), Status> {
    if bool::from(expected.ct_eq(given)) {
        Ok(())
    } else {
        Err(Status::DigestMismatch)
    }
}

/// Key lengths are judged where the keys are expanded; everything else here.
fn check_lengths(block: &SessionBlock) -> Result<(), Status> {
    let iv_fits = match block.cipher {
        CipherCode::None | CipherCode::Null => block.iv_len <= FULL_IV_LEN,
        CipherCode::AesCbc | CipherCode::AesCtr => block.iv_len == FULL_IV_LEN,
        CipherCode::AesXts => matches!(block.iv_len, XTS_SHORT_IV_LEN | FULL_IV_LEN),
        CipherCode::AesGcm => block.iv_len == GCM_IV_LEN,
    };
    let digest_fits = match (block.cipher, block.digest) {
        (CipherCode::AesGcm, DigestCode::None) => (1..=GCM_TAG_LEN).contains(&block.digest_len),
        (CipherCode::AesGcm, _) | (CipherCode::None, DigestCode::None) => false,
        (_, DigestCode::None) => block.digest_len == 0,
        (_, digest) => (1..=digest.len()).contains(&usize::from(block.digest_len)),
    };
    // `effective_iv` and the digest buffers rely on these two limits.
    debug_assert!(!iv_fits || block.iv_len <= FULL_IV_LEN);
    debug_assert!(!digest_fits || usize::from(block.digest_len) <= DIGEST_MAX);
    if iv_fits && digest_fits {
        Ok(())
    } else {
        Err(Status::BadParameters)
    }
}
