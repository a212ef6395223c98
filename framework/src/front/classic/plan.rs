//! What a request's descriptors come to: which of the session's algorithms, in how many steps.
//!
//! Descriptors run in the order of their chain. Two make one step of the framework where hardware
//! could do it: the digest covers what the cipher works on to its end, after encryption or before
//! decryption. These are the only two orders there are; parts that do not meet take two steps.

use std::collections::VecDeque;

use super::session::{Part, Session, Suite, iv_len};
use super::{CryptoDesc, Cryptop, DescFlags};
use crate::{Errno, Region, Request, RequestFlags};

/// Number of `CRYPTO_SHA1`.
const SHA1: u32 = 14;

/// A request that is understood.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    /// What is to be done still.
    pub(super) steps: VecDeque<Part>,
    /// Place of the descriptor of the cipher or compression.
    pub(super) cipher: Option<usize>,
    /// Place of the descriptor of the digest.
    pub(super) digest: Option<usize>,
    /// Whether both are one algorithm.
    aead: bool,
    /// Whether a digest that does not match is no failure: this interface computes, and leaves it
    /// to the consumer to compare.
    pub(super) compares: bool,
}

impl Plan {
    pub(super) fn of(session: &Session, request: &Cryptop) -> Result<Self, Errno> {
        let (mut cipher, mut digest) = (None, None);
        for (place, descriptor) in request.crp_desc.iter().enumerate() {
            let slot = if is_digest(session, descriptor)? {
                &mut digest
            } else {
                &mut cipher
            };
            if slot.replace(place).is_some() {
                return Err(Errno::EINVAL);
            }
            check(session, request, descriptor)?;
        }
        let mut plan = Self {
            steps: VecDeque::new(),
            cipher,
            digest,
            aead: matches!(session.suite, Suite::Aead { .. }),
            compares: false,
        };
        plan.steps = match (session.suite, cipher, digest) {
            (_, None, None) | (Suite::Aead { .. }, None, _) | (Suite::Aead { .. }, _, None) => {
                return Err(Errno::EINVAL);
            }
            (Suite::Both { .. }, Some(_), None) => [Part::Cipher].into(),
            (Suite::Both { .. }, None, Some(_)) => [Part::Digest].into(),
            (Suite::Both { .. }, Some(cipher), Some(digest)) => {
                plan.steps_of_two(request, cipher, digest)?
            }
            _ => [Part::Whole].into(),
        };
        Ok(plan)
    }

    fn steps_of_two(
        &mut self,
        request: &Cryptop,
        cipher: usize,
        digest: usize,
    ) -> Result<VecDeque<Part>, Errno> {
        let (work, cover) = (&request.crp_desc[cipher], &request.crp_desc[digest]);
        let encrypts = work.has(DescFlags::ENCRYPT);
        if encrypts != (cipher < digest) {
            return Err(Errno::EINVAL);
        }
        let meets = cover.crd_skip <= work.crd_skip && cover.end() == work.end();
        if meets && (encrypts || request.crp_mac.is_none()) {
            self.compares = !encrypts;
            return Ok([Part::Whole].into());
        }
        Ok(if encrypts {
            [Part::Cipher, Part::Digest].into()
        } else {
            Self::digest_then_cipher()
        })
    }

    /// The steps of a decryption whose digest is computed first.
    pub(super) fn digest_then_cipher() -> VecDeque<Part> {
        [Part::Digest, Part::Cipher].into()
    }

    /// Fills in what `part` of the request is for the framework. `mac_at` is where the digest goes
    /// if not where its descriptor says.
    pub(super) fn fill(
        &self,
        part: Part,
        request: &Cryptop,
        mac_at: Option<usize>,
        target: &mut Request,
    ) {
        if request.crp_flags.contains(super::CryptoFlags::BATCH) {
            target.flags |= RequestFlags::BATCH;
        }
        let cipher = self.cipher.filter(|_| part != Part::Digest);
        let digest = self.digest.filter(|_| part != Part::Cipher);
        let cipher = cipher.map(|place| &request.crp_desc[place]);
        let digest = digest.map(|place| &request.crp_desc[place]);
        if let Some(descriptor) = cipher {
            target.payload = region(descriptor.crd_skip, descriptor.crd_len);
            target.cipher_key = explicit_key(descriptor);
        }
        if let Some(descriptor) = digest {
            target.digest_start = mac_at.unwrap_or(descriptor.crd_inject);
            target.auth_key = explicit_key(descriptor).filter(|_| !self.aead);
            match cipher {
                // Encrypt-then-authenticate digests the payload without being told.
                Some(work) if !self.aead => {
                    let len = work.crd_skip - descriptor.crd_skip;
                    target.aad = region(descriptor.crd_skip, len);
                }
                Some(_) => target.aad = region(descriptor.crd_skip, descriptor.crd_len),
                None => target.payload = region(descriptor.crd_skip, descriptor.crd_len),
            }
        }
    }
}

fn region(start: usize, len: usize) -> Region {
    // An empty region starts nowhere.
    Region {
        start: if len == 0 { 0 } else { start },
        len,
    }
}

fn explicit_key(descriptor: &CryptoDesc) -> Option<crate::Key> {
    let key = descriptor.crd_ini.cri_key.as_ref();
    key.filter(|_| descriptor.has(DescFlags::KEY_EXPLICIT))
        .cloned()
}

/// Whether a descriptor is one of the session's digest; else it is one of its cipher.
fn is_digest(session: &Session, descriptor: &CryptoDesc) -> Result<bool, Errno> {
    let place = session
        .chain
        .iter()
        .position(|ini| ini.cri_alg == descriptor.crd_ini.cri_alg)
        .ok_or(Errno::EINVAL)?;
    Ok(match session.suite {
        Suite::Digest(_) => true,
        Suite::Cipher(_) | Suite::Compress(_) => false,
        Suite::Both { digest, .. } => place == digest.0,
        Suite::Aead { digest, .. } => place == digest,
    })
}

/// The rules of one descriptor that the framework cannot see.
fn check(session: &Session, request: &Cryptop, descriptor: &CryptoDesc) -> Result<(), Errno> {
    let ends = |start: usize, len: usize| {
        let end = start.checked_add(len);
        end.filter(|&end| end <= request.crp_ilen)
            .ok_or(Errno::EINVAL)
    };
    ends(descriptor.crd_skip, descriptor.crd_len)?;
    if is_digest(session, descriptor)? {
        let len = session.digest_len;
        match &request.crp_mac {
            Some(room) if room.len() < len => return Err(Errno::EINVAL),
            Some(_) => {}
            None => {
                ends(descriptor.crd_inject, len)?;
            }
        }
        if descriptor.has(DescFlags::DSA_SHA_NEEDED) && descriptor.crd_ini.cri_alg != SHA1 {
            return Err(Errno::EINVAL);
        }
    } else if let Some(cipher) = session.cipher() {
        if reads_iv(descriptor) || writes_iv(descriptor) {
            ends(descriptor.crd_inject, iv_len(cipher))?;
        }
        if descriptor.has(DescFlags::DSA_SHA_NEEDED) {
            return Err(Errno::EINVAL);
        }
    }
    if descriptor.has(DescFlags::KEY_EXPLICIT) {
        let given = session.chain.iter();
        let mut given = given.filter(|ini| ini.cri_alg == descriptor.crd_ini.cri_alg);
        if descriptor.crd_ini.cri_key.is_none()
            || !given.any(|ini| ini.cri_klen == descriptor.crd_ini.cri_klen)
        {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// Whether the IV of a decryption stands in the buffer.
pub(super) fn reads_iv(descriptor: &CryptoDesc) -> bool {
    !descriptor.has(DescFlags::ENCRYPT) && !descriptor.has(DescFlags::IV_EXPLICIT)
}

/// Whether the IV of an encryption is written to the buffer.
pub(super) fn writes_iv(descriptor: &CryptoDesc) -> bool {
    descriptor.has(DescFlags::ENCRYPT) && !descriptor.has(DescFlags::IV_PRESENT)
}
