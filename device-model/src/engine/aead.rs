//! Ciphers that bring their own digest, but for GCM, which has a way of its own.

use regs::{CipherCode, Status};

use super::block::AesKey;
use super::ccm::Message;
use super::chacha::{self, KeyStream, OneTimeMac};
use super::context::check_digest;
use super::{Job, Operation};

/// Such a cipher with its key.
pub(super) enum Aead {
    AesCcm(AesKey),
    ChaCha20Poly1305(chacha::Key),
    XChaCha20Poly1305(chacha::Key),
}

impl Aead {
    /// The cipher of `code` with `key`, whose length it takes.
    pub(super) fn new(code: CipherCode, key: &[u8]) -> Result<Self, Status> {
        match code {
            CipherCode::AesCcm => Ok(Self::AesCcm(AesKey::new(key)?)),
            CipherCode::ChaCha20Poly1305 => Ok(Self::ChaCha20Poly1305(chacha::key(key)?)),
            CipherCode::XChaCha20Poly1305 => Ok(Self::XChaCha20Poly1305(chacha::key(key)?)),
            _ => Err(Status::BadParameters),
        }
    }

    /// Does `job` with the nonce `iv`, whose length the cipher takes.
    pub(super) fn process(&self, iv: &[u8], job: Job<'_>) -> Result<(), Status> {
        match self {
            Self::AesCcm(key) => ccm(key, iv, job),
            Self::ChaCha20Poly1305(key) => chacha(chacha::begin(key, iv), job),
            Self::XChaCha20Poly1305(key) => chacha(chacha::begin_extended(key, iv), job),
        }
    }
}

/// CCM authenticates the clear text: it is decrypted first, and encrypted again if the tag is
/// wrong.
fn ccm(key: &AesKey, iv: &[u8], job: Job<'_>) -> Result<(), Status> {
    let message = Message {
        nonce: iv,
        aad: &[job.aad],
        tag_len: job.digest.len(),
    };
    let len = job.digest.len();
    match job.operation {
        Operation::Seal => {
            let tag = message.tag(key, job.payload);
            job.digest.copy_from_slice(&tag[..len]);
            message.apply_keystream(key, job.payload);
            Ok(())
        }
        Operation::Open => {
            message.apply_keystream(key, job.payload);
            let tag = message.tag(key, job.payload);
            let checked = check_digest(&tag[..len], job.digest);
            if checked.is_err() {
                message.apply_keystream(key, job.payload);
            }
            checked
        }
    }
}

fn chacha((stream, mac): (KeyStream, OneTimeMac), job: Job<'_>) -> Result<(), Status> {
    let len = job.digest.len();
    match job.operation {
        Operation::Seal => {
            stream.apply(job.payload);
            let tag = mac.tag(job.aad, job.payload);
            job.digest.copy_from_slice(&tag[..len]);
        }
        Operation::Open => {
            let tag = mac.tag(job.aad, job.payload);
            check_digest(&tag[..len], job.digest)?;
            stream.apply(job.payload);
        }
    }
    Ok(())
}
