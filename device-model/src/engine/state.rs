//! The state of a hash that leaves the card in the middle of a message and comes back.
//!
//! A state comes from outside, so it is taken apart with suspicion. That of a keyed digest is as
//! good as half a key: it leaves the card sealed under keys made from the session's own, and only a
//! session with the same key opens it. The seal is deterministic (the tag is the IV, after
//! RFC 5297), because a card's engine has no source of chance.

use regs::{
    CipherCode, DIGEST_MAX, DIGEST_STATE_BODY, DIGEST_STATE_LEN, DIGEST_STATE_VERSION, Status,
};
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::Operation;
use super::block::AesKey;
use super::cipher::counter_mode;
use super::context::{Context, check_digest};
use super::digest::Digester;
use super::hashed::Hashed;

/// A state as it is outside.
pub type DigestState = [u8; DIGEST_STATE_LEN];
/// The state of a hash in the clear.
pub(super) type Body = Zeroizing<[u8; DIGEST_STATE_BODY]>;

const BODY_AT: usize = 16;
const SEAL_AT: usize = BODY_AT + DIGEST_STATE_BODY;
const SEAL_LEN: usize = 16;
const TAIL_AT: usize = SEAL_AT + SEAL_LEN;

/// A part of a message whose digest is computed by several jobs.
#[derive(Debug)]
pub struct MessagePart<'a> {
    /// The state after the parts before it; none for the first.
    pub state: Option<&'a DigestState>,
    /// Its bytes.
    pub payload: &'a [u8],
}

impl Context {
    /// Whether messages may come in parts: for hashes and what is made of them, without a cipher.
    #[must_use]
    pub fn has_state(&self) -> bool {
        self.digest_code().info().has_state && self.cipher_code() == CipherCode::None
    }

    /// Digests a part that is not the last and gives the state after it.
    ///
    /// # Errors
    /// [`Status::BadState`] if the state before it is not one of this context;
    /// [`Status::BadParameters`] if messages may not come in parts.
    pub fn digest_part(&self, part: &MessagePart<'_>) -> Result<DigestState, Status> {
        let body = self.digester().advance(&self.open(part)?, part.payload)?;
        self.seal(&body)
    }

    /// Digests the last part, and writes the digest or compares it.
    ///
    /// # Errors
    /// As [`digest_part`](Self::digest_part); [`Status::BadLength`] if `digest` is not
    /// [`digest_len`](Self::digest_len) bytes long; [`Status::DigestMismatch`] if the digest is
    /// wrong.
    pub fn digest_end(
        &self,
        part: &MessagePart<'_>,
        operation: Operation,
        digest: &mut [u8],
    ) -> Result<(), Status> {
        if digest.len() != self.digest_len() {
            return Err(Status::BadLength);
        }
        let whole = self.digester().finish(&self.open(part)?, part.payload)?;
        let computed = &whole[..digest.len()];
        match operation {
            Operation::Seal => digest.copy_from_slice(computed),
            Operation::Open => check_digest(computed, digest)?,
        }
        Ok(())
    }

    /// The state before `part`, in the clear; none before the first.
    fn open(&self, part: &MessagePart<'_>) -> Result<Option<Body>, Status> {
        if !self.has_state() {
            return Err(Status::BadParameters);
        }
        let Some(state) = part.state else {
            return Ok(None);
        };
        let (header, body_and_seal) = (&state[..BODY_AT], &state[BODY_AT..TAIL_AT]);
        let (body, seal) = body_and_seal.split_at(DIGEST_STATE_BODY);
        if header != self.header() || state[TAIL_AT..].iter().any(|&byte| byte != 0) {
            return Err(Status::BadState);
        }
        let mut clear = Body::new([0; DIGEST_STATE_BODY]);
        clear.copy_from_slice(body);
        if self.digester().is_keyed() {
            let keys = self.seal_keys();
            let iv = std::array::from_fn(|at| seal[at]);
            counter_mode(&AesKey::new(&keys[32..])?, &iv, clear.as_mut_slice());
            let expected = self.seal_of(&keys, &clear);
            check_digest(&expected, seal).map_err(|_| Status::BadState)?;
        } else if seal.iter().any(|&byte| byte != 0) {
            return Err(Status::BadState);
        }
        Ok(Some(clear))
    }

    fn seal(&self, body: &Body) -> Result<DigestState, Status> {
        let mut state = [0; DIGEST_STATE_LEN];
        state[..BODY_AT].copy_from_slice(&self.header());
        state[BODY_AT..SEAL_AT].copy_from_slice(body.as_slice());
        if self.digester().is_keyed() {
            let keys = self.seal_keys();
            let iv = self.seal_of(&keys, body);
            counter_mode(
                &AesKey::new(&keys[32..])?,
                &iv,
                &mut state[BODY_AT..SEAL_AT],
            );
            state[SEAL_AT..TAIL_AT].copy_from_slice(&iv);
        }
        Ok(state)
    }

    fn header(&self) -> [u8; BODY_AT] {
        let mut header = [0; BODY_AT];
        header[0] = self.digest_code() as u8;
        header[1] = DIGEST_STATE_VERSION;
        header
    }

    /// The key of the seal's MAC, then that of its cipher.
    fn seal_keys(&self) -> Zeroizing<[u8; DIGEST_MAX]> {
        let root = Hashed::<Sha512>::hmac(self.raw_keys());
        Zeroizing::new(root.compute(&[b"digest state", &self.header()]))
    }

    fn seal_of(&self, keys: &[u8; DIGEST_MAX], body: &Body) -> [u8; SEAL_LEN] {
        let mac = Hashed::<Sha256>::hmac(&keys[..32]);
        let whole = mac.compute(&[&self.header(), body.as_slice()]);
        std::array::from_fn(|at| whole[at])
    }
}

/// Runs `$body` with `$hashed` bound to what `$digester` makes of a hash function.
macro_rules! with_hashed {
    ($digester:expr, $hashed:ident => $body:expr) => {
        match $digester {
            Digester::Md5($hashed) => $body,
            Digester::Sha1($hashed) => $body,
            Digester::Sha224($hashed) => $body,
            Digester::Sha256($hashed) => $body,
            Digester::Sha384($hashed) => $body,
            Digester::Sha512($hashed) => $body,
            Digester::Ripemd160($hashed) => $body,
            Digester::Sm3($hashed) => $body,
            _ => Err(Status::BadParameters),
        }
    };
}

impl Digester {
    fn is_keyed(&self) -> bool {
        with_hashed!(self, hashed => Ok(hashed.is_keyed())).unwrap_or(false)
    }

    fn advance(&self, from: &Option<Body>, payload: &[u8]) -> Result<Body, Status> {
        with_hashed!(self, hashed => hashed.advance(from.as_ref(), payload))
    }

    fn finish(&self, from: &Option<Body>, payload: &[u8]) -> Result<[u8; DIGEST_MAX], Status> {
        with_hashed!(self, hashed => hashed.end(from.as_ref(), payload))
    }
}
