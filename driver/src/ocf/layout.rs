//! Layout: which bytes of its buffers a request uses, and what its command says apart from
//! addresses.

use std::ops::Range;

use framework::{Buffer, Operation, Region, Request};
use regs::{CardSession, CommandFlags};

use super::params::IV_MAX;
use crate::Direction;
use crate::command::{PAYLOAD_MAX, TooBig, Work};
use crate::session::Facts;

/// Regions that the card reads and writes, in the order of the streams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regions {
    /// Of the input buffer: AAD, payload, a digest to verify.
    pub(super) read: [Region; 3],
    /// Of the output buffer: the payload's result, a computed digest.
    pub(super) written: [Region; 2],
}

impl Regions {
    #[inline]
    pub(super) fn of(request: &Request, has_cipher: bool, digest_len: u8) -> Self {
        let digest = Region {
            start: request.digest_start,
            len: usize::from(digest_len),
        };
        let (verified, computed) = match request.operation.verifies() {
            true => (digest, Region::default()),
            false => (Region::default(), digest),
        };
        let aad = match request.separate_aad {
            Some(_) => Region::default(),
            None => request.aad,
        };
        let result = Region {
            start: match request.output {
                Some(_) => request.payload_output_start,
                None => request.payload.start,
            },
            len: usize::from(has_cipher) * request.payload.len,
        };
        Self {
            read: [aad, request.payload, verified],
            written: [result, computed],
        }
    }

    /// Whether the card writes anything.
    #[inline]
    pub(super) fn writes(&self) -> bool {
        self.written.iter().any(|region| region.len > 0)
    }
}

/// The common request: one pooled buffer worked on in place, no keys, each stream one run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    pub(super) source: Region,
    pub(super) destination: Region,
    pub(super) direction: Direction,
}

impl Plain {
    /// What `request` is as a plain one, if it is.
    #[inline]
    pub(super) fn of(request: &Request, facts: Facts) -> Option<Self> {
        let Buffer::Pooled(buffer) = &request.buffer else {
            return None;
        };
        if request.output.is_some()
            || request.separate_aad.is_some()
            || request.cipher_key.is_some()
            || request.auth_key.is_some()
        {
            return None;
        }
        let regions = Regions::of(request, facts.has_cipher, facts.digest_len);
        let len = buffer.len();
        Some(Self {
            source: joined(regions.read, len)?,
            destination: joined(regions.written, len)?,
            direction: match regions.writes() {
                true => Direction::Bidirectional,
                false => Direction::ToDevice,
            },
        })
    }
}

/// The regions as one in a buffer of `buffer_len`, if they follow each other; empty ones do not
/// count.
#[inline]
fn joined<const N: usize>(regions: [Region; N], buffer_len: usize) -> Option<Region> {
    let mut all = Region::default();
    for region in regions {
        if region.len > 0 {
            if all.len > 0 && all.start + all.len != region.start {
                return None;
            }
            if region.len > buffer_len || region.start > buffer_len - region.len {
                return None;
            }
            if all.len == 0 {
                all.start = region.start;
            }
            all.len += region.len;
        }
    }
    Some(all)
}

/// From the first byte of any region to the last of any; empty regions do not count.
pub(super) fn span(regions: &[Region]) -> Range<usize> {
    let used = regions.iter().filter(|region| region.len > 0);
    let start = used.clone().map(|region| region.start).min().unwrap_or(0);
    let end = used.map(|region| region.start + region.len).max();
    start..end.unwrap_or(start)
}

/// What the command for `request` does; its lengths fit the card.
#[inline]
pub(super) fn work(session: CardSession, facts: Facts, request: &Request) -> Result<Work, TooBig> {
    let mut flags = match request.operation {
        Operation::Encrypt | Operation::EncryptCompute | Operation::ComputeDigest => {
            CommandFlags::ENCRYPT
        }
        Operation::VerifyDigest | Operation::VerifyDecrypt => CommandFlags::VERIFY,
        Operation::Decrypt => CommandFlags::empty(),
    };
    if request.cipher_key.is_some() || request.auth_key.is_some() {
        flags |= CommandFlags::REQUEST_KEYS;
    }
    let mut iv = [0; IV_MAX];
    match (&request.iv, facts.iv_len) {
        (_, 0) => {}
        // The two common lengths are constants, so that no call is made for a few bytes.
        (Some(bytes), 16) => iv.copy_from_slice(&bytes[..16]),
        (Some(bytes), 12) => iv[..12].copy_from_slice(&bytes[..12]),
        (Some(bytes), len) => {
            let len = usize::from(len);
            iv[..len].copy_from_slice(&bytes[..len]);
        }
        (None, len) => {
            let iv = &mut iv[..usize::from(len)];
            request.buffer.copy_out(request.iv_start, iv);
        }
    }
    let payload_len = u32::try_from(request.payload.len).map_err(|_| TooBig)?;
    if payload_len > PAYLOAD_MAX {
        return Err(TooBig);
    }
    Ok(Work {
        session,
        flags,
        aad_len: u16::try_from(request.aad_len()).map_err(|_| TooBig)?,
        payload_len,
        iv,
    })
}
