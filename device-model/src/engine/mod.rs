//! The crypto engine: jobs in, results out.
//!
//! Knows no descriptor, no ring and no time. A [`Context`] holds the expanded keys of a session; a
//! [`Job`] borrows the bytes of one request. Pure: the same job gives the same bytes, so a test may
//! use the engine as a reference of its own.
//!
//! A card hands over each request at the time at which its result becomes visible: what a request
//! changes must not depend on how far ahead the card is advanced in one step.

mod aead;
pub mod asymmetric;
mod block;
mod ccm;
mod chacha;
mod cipher;
mod context;
pub mod curve;
mod deflate;
mod digest;
mod gcm;
mod hashed;
mod parts;
mod random;
mod rounds;
mod skipjack;
mod state;
mod xts;

pub use context::Context;
pub use deflate::{DeflateError, Deflater};
pub use random::RandomSource;
pub(crate) use rounds::{Algorithm, BlockRounds, RoundKind};
pub use state::{DigestState, MessagePart};

/// Which way a job goes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub enum Operation {
    /// Encrypts if the context has a cipher, then computes the digest if it has one.
    #[default]
    Seal,
    /// Checks the digest if the context has one, then decrypts if it has a cipher.
    Open,
}

/// The kind of engine that works for a context.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
#[derive(serde::Deserialize, serde::Serialize)]
pub enum Group {
    /// Ciphers without a digest.
    Cipher = 0,
    /// Digests without a cipher.
    Digest = 1,
    /// AEAD and encrypt-then-authenticate.
    Combined = 2,
}

impl Group {
    /// Every group, in order of number.
    pub const ALL: [Self; 3] = [Self::Cipher, Self::Digest, Self::Combined];
}

/// One request's bytes.
#[derive(Debug)]
pub struct Job<'a> {
    /// Which way it goes.
    pub operation: Operation,
    /// Initialisation vector; bytes past the context's IV length are ignored.
    pub iv: &'a [u8],
    /// Additional authenticated data, digested before the payload.
    pub aad: &'a [u8],
    /// Four bytes digested behind the payload, by a context that takes them.
    pub esn: [u8; 4],
    /// Payload, transformed in place. A context without a cipher leaves it alone.
    pub payload: &'a mut [u8],
    /// Digest, [`Context::digest_len`] bytes: written by [`Operation::Seal`], compared by
    /// [`Operation::Open`].
    pub digest: &'a mut [u8],
}

#[cfg(test)]
mod tests;
