//! A session's context: what a session block asks for, checked and expanded.

use regs::{
    CipherCode, DIGEST_MAX, DigestCode, Lengths, SESSION_BLOCK_LEN, SessionBlock,
    SessionBlockFlags, Status,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::ccm;
use super::cipher::Cipher;
use super::digest::{Digester, Input};
use super::gcm::GcmKeys;
use super::{Algorithm, Job, Operation};
use crate::engine::Group;

/// A session's parameters and expanded keys.
///
/// The raw keys stay beside the expanded ones, as they do in a card's context memory; both are
/// zeroed when the context is dropped.
pub struct Context {
    cipher: Cipher,
    digester: Digester,
    group: Group,
    algorithm: Algorithm,
    /// What the context was made of.
    block: SessionBlock,
    /// A payload's length has none of these bits.
    payload_mask: u8,
    /// A payload's length, in bytes, is at least this.
    payload_min: u8,
    /// A payload's length, in bytes, has no more bits.
    payload_bits: u8,
}

/// As its session block, keys included.
impl Serialize for Context {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Zeroizing::new([0; SESSION_BLOCK_LEN]);
        self.block.write_to(&mut bytes);
        serializer.serialize_bytes(bytes.as_slice())
    }
}

impl<'de> Deserialize<'de> for Context {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes: &[u8] = Deserialize::deserialize(deserializer)?;
        let block = bytes.try_into().ok().map(SessionBlock::from_bytes);
        let context = block.and_then(Result::ok).map(|block| Self::new(&block));
        let context = context.and_then(Result::ok);
        context.ok_or_else(|| serde::de::Error::custom("no session block that the card takes"))
    }
}

impl Context {
    /// Checks `block` and expands its keys.
    ///
    /// # Errors
    /// [`Status::BadParameters`] if codes, key lengths, IV length, digest length or flags do not
    /// make an algorithm that the card has.
    pub fn new(block: &SessionBlock) -> Result<Self, Status> {
        check_lengths(block)?;
        Ok(Self {
            cipher: Cipher::new(block.cipher, block.cipher_key())?,
            digester: Digester::new(block.digest, block.digest_key())?,
            group: match (block.cipher != CipherCode::None, block.digest_len != 0) {
                (true, false) => Group::Cipher,
                (false, _) => Group::Digest,
                (true, true) => Group::Combined,
            },
            algorithm: Algorithm {
                cipher: block.cipher,
                key_len: block.cipher_key().len() as u8,
                digest: block.digest,
            },
            block: block.clone(),
            payload_mask: block.cipher.info().block_len - 1,
            payload_min: u8::from(block.cipher == CipherCode::AesXts),
            payload_bits: match block.cipher {
                CipherCode::AesCcm => ccm::payload_bits(block.iv_len),
                _ => isize::BITS as u8 - 1,
            },
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
        let (cipher_key, digest_key) = keys.split_at(self.block.cipher_key().len());
        let mut block = self.block.clone();
        block
            .set_keys(cipher_key, digest_key)
            .map_err(|_| Status::BadParameters)?;
        Self::new(&block)
    }

    /// The session block that makes this context.
    #[must_use]
    pub const fn block(&self) -> &SessionBlock {
        &self.block
    }

    /// Whether `block` asks for what this context does, with keys of the same lengths.
    #[must_use]
    pub fn differs_in_keys_alone(&self, block: &SessionBlock) -> bool {
        let mut mine = self.block.clone();
        let (cipher_key, digest_key) = (block.cipher_key(), block.digest_key());
        cipher_key.len() == mine.cipher_key().len()
            && digest_key.len() == mine.digest_key().len()
            && mine.set_keys(cipher_key, digest_key).is_ok()
            && mine == *block
    }

    /// Bytes of digest that [`Job::digest`] holds; zero without a digest.
    #[must_use]
    #[inline]
    pub const fn digest_len(&self) -> usize {
        self.block.digest_len as usize
    }

    pub(super) const fn cipher_code(&self) -> CipherCode {
        self.block.cipher
    }

    pub(super) const fn digest_code(&self) -> DigestCode {
        self.block.digest
    }

    pub(super) const fn digester(&self) -> &Digester {
        &self.digester
    }

    /// Whether the session compresses: its jobs are for a [`Deflater`](super::Deflater).
    #[must_use]
    #[inline]
    pub const fn is_compression(&self) -> bool {
        matches!(self.cipher, Cipher::Deflate)
    }

    /// Bytes of IV that [`Job::iv`] holds at least.
    #[must_use]
    #[inline]
    pub const fn iv_len(&self) -> usize {
        self.block.iv_len as usize
    }

    /// Whether [`Job::esn`] counts.
    #[must_use]
    #[inline]
    pub const fn takes_esn(&self) -> bool {
        self.block.flags.contains(SessionBlockFlags::ESN)
    }

    /// Bytes of both keys together.
    #[must_use]
    #[inline]
    pub fn key_len(&self) -> usize {
        self.block.keys().len()
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
        len & self.payload_mask as usize == 0
            && len >= self.payload_min as usize
            && len >> self.payload_bits == 0
    }

    /// Whether additional authenticated data has a place in the algorithm.
    #[must_use]
    #[inline]
    pub const fn takes_aad(&self) -> bool {
        self.block.digest_len != 0 && self.has_cipher()
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
        self.group
    }

    /// What decides how long its commands take.
    #[inline]
    pub(crate) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The raw keys as they lie in context memory, for residue checks.
    #[must_use]
    pub fn raw_keys(&self) -> &[u8] {
        self.block.keys()
    }

    /// Does `job`.
    ///
    /// # Errors
    /// [`Status::BadLength`] if a length does not fit the context; [`Status::BadParameters`] if it
    /// compresses; [`Status::DigestMismatch`] if the digest of an [`Operation::Open`] is wrong.
    /// Nothing was changed in any case.
    pub fn process(&self, mut job: Job<'_>) -> Result<(), Status> {
        if job.digest.len() != self.digest_len()
            || job.iv.len() < self.iv_len()
            || !self.takes_payload(job.payload.len())
            || (!job.aad.is_empty() && !self.takes_aad())
        {
            return Err(Status::BadLength);
        }
        let iv = self.effective_iv(job.iv);
        match (&self.cipher, job.operation) {
            (Cipher::Gcm(keys), _) => process_gcm(keys, &iv, job),
            (Cipher::Deflate, _) => Err(Status::BadParameters),
            (Cipher::OtherAead(aead), _) => aead.process(&job.iv[..self.iv_len()], job),
            (_, _) if self.block.flags.contains(SessionBlockFlags::DIGEST_FIRST) => {
                self.digest_first(&iv, job)
            }
            (_, Operation::Seal) => {
                self.cipher.encrypt(&iv, job.payload);
                if self.block.digest_len != 0 {
                    self.write_digest(&iv, &mut job);
                }
                Ok(())
            }
            (_, Operation::Open) => {
                if self.block.digest_len != 0 {
                    self.check_digest(&iv, &job)?;
                }
                self.cipher.decrypt(&iv, job.payload);
                Ok(())
            }
        }
    }

    /// The digest covers the payload in the clear. If it is wrong, the payload is encrypted again:
    /// a wrong digest changes nothing.
    fn digest_first(&self, iv: &[u8; 16], mut job: Job<'_>) -> Result<(), Status> {
        match job.operation {
            Operation::Seal => {
                self.write_digest(iv, &mut job);
                self.cipher.encrypt(iv, job.payload);
                Ok(())
            }
            Operation::Open => {
                self.cipher.decrypt(iv, job.payload);
                let checked = self.check_digest(iv, &job);
                if checked.is_err() {
                    self.cipher.encrypt(iv, job.payload);
                }
                checked
            }
        }
    }

    fn write_digest(&self, iv: &[u8; 16], job: &mut Job<'_>) {
        let digest = self.digest_of(iv, job);
        job.digest.copy_from_slice(&digest[..self.digest_len()]);
    }

    fn check_digest(&self, iv: &[u8; 16], job: &Job<'_>) -> Result<(), Status> {
        let digest = self.digest_of(iv, job);
        check_digest(&digest[..self.digest_len()], job.digest)
    }

    fn digest_of(&self, iv: &[u8; 16], job: &Job<'_>) -> [u8; DIGEST_MAX] {
        let esn: &[u8] = if self.takes_esn() { &job.esn } else { &[] };
        self.digester.compute(&Input {
            iv,
            iv_len: self.iv_len(),
            digest_len: self.digest_len(),
            parts: [job.aad, job.payload, esn],
        })
    }

    /// The first 16 bytes; those past the IV length do not count.
    #[inline]
    fn effective_iv(&self, iv: &[u8]) -> [u8; 16] {
        let bytes = match iv.first_chunk() {
            Some(whole) => *whole,
            None => short_iv(iv),
        };
        let mask = match self.block.iv_len {
            len @ 0..16 => (1 << (8 * len)) - 1,
            _ => u128::MAX,
        };
        (u128::from_le_bytes(bytes) & mask).to_le_bytes()
    }
}

#[cold]
fn short_iv(iv: &[u8]) -> [u8; 16] {
    let mut whole = [0; 16];
    whole[..iv.len()].copy_from_slice(iv);
    whole
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("block", &self.block)
            .finish_non_exhaustive()
    }
}

fn process_gcm(keys: &GcmKeys, iv: &[u8; 16], job: Job<'_>) -> Result<(), Status> {
    let len = job.digest.len();
    match job.operation {
        Operation::Seal => {
            let tag = keys.seal(iv, job.aad, job.payload);
            job.digest.copy_from_slice(&tag[..len]);
        }
        Operation::Open => {
            let tag = keys.tag(iv, job.aad, job.payload);
            check_digest(&tag[..len], job.digest)?;
            keys.decrypt(iv, job.payload);
        }
    }
    Ok(())
}

/// Compares in constant time.
pub(super) fn check_digest(expected: &[u8], given: &[u8]) -> Result<(), Status> {
    if bool::from(expected.ct_eq(given)) {
        Ok(())
    } else {
        Err(Status::DigestMismatch)
    }
}

/// Whether codes, lengths and flags go together. Everything here is in the tables of `regs`.
fn check_lengths(block: &SessionBlock) -> Result<(), Status> {
    let (cipher, digest) = (block.cipher.info(), block.digest.info());
    let (has_cipher, has_digest) = (cipher.code != CipherCode::None, !digest.code.is_empty());
    let iv_len = usize::from(block.iv_len);
    let digest_len = usize::from(block.digest_len);
    let lengths_fit = cipher.key.takes(block.cipher_key().len())
        && digest.key.takes(block.digest_key().len())
        && cipher.iv.takes(iv_len)
        && (digest.iv == Lengths::NONE || digest.iv.takes(iv_len));
    let digest_fits = match (cipher.code.is_aead(), has_digest) {
        (true, true) => false,
        (true, false) => cipher.tag.takes(digest_len),
        (false, true) => digest.digest.takes(digest_len) && cipher.code != CipherCode::Deflate,
        (false, false) => digest_len == 0 && has_cipher,
    };
    let flags_fit = block.flags.is_empty() || (has_cipher && has_digest);
    if lengths_fit && digest_fits && flags_fit {
        Ok(())
    } else {
        Err(Status::BadParameters)
    }
}
