//! Messages digested in parts.
//!
//! Owns nothing between two parts: the library's state of the hash, which zeroes itself, is in the
//! request. The library does not write it down, so only software reads it.

use aws_lc_rs::{digest, hmac};
use subtle::ConstantTimeEq;

use super::digest::LEN_MAX;
use crate::{Digest, DigestState, DriverError, Key, Operation, Request};

/// A hash in the middle of a message.
#[derive(Clone)]
pub(crate) enum Running {
    Plain(digest::Context),
    /// With what tells its key from others.
    Keyed(Box<(hmac::Context, hmac::Tag)>),
}

/// A session whose messages come in parts.
#[derive(Debug)]
pub(super) struct Parts {
    digest: Digest,
    /// None if every request brings its own, or the digest has none.
    key: Option<Key>,
    digest_len: usize,
}

impl Parts {
    pub(super) const fn new(digest: Digest, key: Option<Key>, digest_len: usize) -> Self {
        Self {
            digest,
            key,
            digest_len,
        }
    }

    /// Digests a part. Nothing is written, and the request's state stays, unless it succeeds.
    pub(super) fn process(&self, request: &mut Request) -> Result<(), DriverError> {
        let begun = self.begin(request);
        let mut running = match &request.state {
            Some(state) if request.operation.takes_state() => resume(state, &begun)?,
            Some(_) | None => begun,
        };
        let (start, len) = (request.payload.start, request.payload.len);
        request
            .buffer
            .for_each_part(start, len, |bytes| match &mut running {
                Running::Plain(context) => context.update(bytes),
                Running::Keyed(keyed) => keyed.0.update(bytes),
            });
        if request.operation.leaves_state() {
            let state = DigestState::of_software(self.digest, running);
            request.state = Some(Box::new(state));
            return Ok(());
        }
        match running {
            Running::Plain(context) => self.end(request, context.finish().as_ref()),
            Running::Keyed(keyed) => self.end(request, keyed.0.sign().as_ref()),
        }
    }

    /// A hash that nothing of a message is in yet.
    fn begin(&self, request: &Request) -> Running {
        let key = request.auth_key.as_ref().or(self.key.as_ref());
        let keyed = |algorithm| {
            let key = key.expect("a digest key of the session or the request");
            let key = hmac::Key::new(algorithm, key.bytes());
            let tag = hmac::sign(&key, b"digest state");
            Running::Keyed(Box::new((hmac::Context::with_key(&key), tag)))
        };
        let plain = |algorithm| Running::Plain(digest::Context::new(algorithm));
        match self.digest {
            Digest::Sha1 => plain(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Digest::Sha224 => plain(&digest::SHA224),
            Digest::Sha256 => plain(&digest::SHA256),
            Digest::Sha384 => plain(&digest::SHA384),
            Digest::Sha512 => plain(&digest::SHA512),
            Digest::HmacSha1 => keyed(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
            Digest::HmacSha224 => keyed(hmac::HMAC_SHA224),
            Digest::HmacSha256 => keyed(hmac::HMAC_SHA256),
            Digest::HmacSha384 => keyed(hmac::HMAC_SHA384),
            Digest::HmacSha512 => keyed(hmac::HMAC_SHA512),
            _ => unreachable!("a session in parts has a digest that takes them"),
        }
    }

    /// Writes the digest of a message that is over, or compares it.
    fn end(&self, request: &mut Request, whole: &[u8]) -> Result<(), DriverError> {
        let computed = &whole[..self.digest_len];
        if request.operation == Operation::EndVerify {
            let mut expected = [0; LEN_MAX];
            let expected = &mut expected[..self.digest_len];
            request.buffer.copy_out(request.digest_start, expected);
            if !bool::from(computed.ct_eq(expected)) {
                return Err(DriverError::DigestMismatch);
            }
        } else {
            request.copy_back(request.digest_start, computed);
        }
        request.state = None;
        Ok(())
    }
}

/// The hash in `state`, if software made it under the key of `begun`.
fn resume(state: &DigestState, begun: &Running) -> Result<Running, DriverError> {
    let running = state.running().ok_or(DriverError::BadState)?;
    let is_ours = match (running, begun) {
        (Running::Plain(_), Running::Plain(_)) => true,
        (Running::Keyed(theirs), Running::Keyed(own)) => {
            theirs.1.as_ref().ct_eq(own.1.as_ref()).into()
        }
        (Running::Plain(_), Running::Keyed(_)) | (Running::Keyed(_), Running::Plain(_)) => false,
    };
    is_ours
        .then(|| running.clone())
        .ok_or(DriverError::BadState)
}

#[cfg(test)]
mod tests;
