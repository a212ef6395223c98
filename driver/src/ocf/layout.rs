//! Layout: which bytes of its buffers a request uses, and what its command says apart from
//! addresses.

use std::ops::Range;

use exhibit::{Exhibit, on};
use framework::{Buffer, Operation, Region, Request};
use regs::{CardSession, Command, CommandFlags, DeviceAddr, Opcode};

use super::request::key_len;
use crate::Direction;
use crate::command::{COMMAND_IV_LEN as IV_MAX, IV_REST_MAX, PAYLOAD_MAX, TooBig, Work};
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
        let digest_len = match request.operation.leaves_state() {
            true => 0,
            false => usize::from(digest_len),
        };
        let digest = Region {
            start: request.digest_start,
            len: digest_len,
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

/// The common request: one pooled buffer worked on in place, some payload, no keys, each stream one
/// run. These are the two runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plain {
    source: Region,
    destination: Region,
}

impl Plain {
    /// What `request` is as a plain one, if it is and fits the card.
    #[inline(always)]
    pub(super) fn of(request: &Request, facts: Facts) -> Option<Self> {
        let Buffer::Pooled(buffer) = &request.buffer else {
            return None;
        };
        let (aad, payload) = (request.aad, request.payload);
        let is_plain = request.output.is_none()
            && request.separate_aad.is_none()
            && request.cipher_key.is_none()
            && request.auth_key.is_none()
            && (1..=PAYLOAD_MAX as usize).contains(&payload.len)
            && aad.len <= usize::from(u16::MAX);
        if !is_plain {
            return None;
        }
        let mut source = match aad.len {
            0 => payload,
            _ => joined(aad, payload)?,
        };
        let mut destination = match facts.has_cipher {
            true => payload,
            false => Region::default(),
        };
        if facts.digest_len > 0 {
            let digest = Region {
                start: request.digest_start,
                len: usize::from(facts.digest_len),
            };
            match (request.operation.verifies(), facts.has_cipher) {
                (true, _) => source = joined(source, digest)?,
                (false, true) => destination = joined(payload, digest)?,
                (false, false) => destination = digest,
            }
            if !is_inside(destination, buffer.len()) {
                return None;
            }
        }
        // Without a digest the card writes only where it reads.
        is_inside(source, buffer.len()).then_some(Self {
            source,
            destination,
        })
    }

    /// Whether the card writes anything.
    #[inline(always)]
    pub(super) fn writes(&self) -> bool {
        self.destination.len > 0
    }

    /// What the card does with the buffer.
    #[inline(always)]
    pub(super) fn direction(&self) -> Direction {
        match self.writes() && !on(Exhibit::WrongDirection) {
            true => Direction::Bidirectional,
            false => Direction::ToDevice,
        }
    }

    /// The command for `request`, which is this, with its buffer at `addr`.
    #[inline(always)]
    pub(super) fn command(
        &self,
        session: CardSession,
        request: &Request,
        addr: DeviceAddr,
        iv: [u8; IV_MAX],
    ) -> Command {
        Command {
            opcode: Opcode::Process as u8,
            flags: flags(request.operation),
            aad_len: request.aad.len as u16,
            session,
            source: addr.offset(self.source.start as u64),
            source_len: self.source.len as u32,
            destination: addr.offset(self.destination.start as u64),
            destination_len: self.destination.len as u32,
            payload_len: request.payload.len as u32,
            iv,
            ..Command::default()
        }
    }
}

/// Both regions as one, if the second follows the first.
#[inline(always)]
fn joined(first: Region, second: Region) -> Option<Region> {
    let follows = first.start.checked_add(first.len) == Some(second.start);
    follows.then(|| Region {
        start: first.start,
        len: first.len + second.len,
    })
}

#[inline(always)]
fn is_inside(region: Region, len: usize) -> bool {
    region.len <= len && region.start <= len - region.len
}

/// From the first byte of any region to the last of any; empty regions do not count.
pub(super) fn span(regions: &[Region]) -> Range<usize> {
    let used = regions.iter().filter(|region| region.len > 0);
    let start = used.clone().map(|region| region.start).min().unwrap_or(0);
    let end = used.map(|region| region.start + region.len).max();
    start..end.unwrap_or(start)
}

/// What the command for `request` does; its lengths fit the card. `esn` is what the session digests
/// behind the payload, if anything.
#[inline]
pub(super) fn work(
    session: CardSession,
    facts: Facts,
    request: &Request,
    esn: Option<[u8; 4]>,
) -> Result<Work, TooBig> {
    let mut flags = flags(request.operation);
    if request.cipher_key.is_some() || request.auth_key.is_some() {
        flags |= CommandFlags::REQUEST_KEYS;
    }
    let payload_len = u32::try_from(request.payload.len).map_err(|_| TooBig)?;
    if payload_len > PAYLOAD_MAX {
        return Err(TooBig);
    }
    let (iv, iv_rest, rest_len) = whole_iv(request, facts.iv_len);
    let keys_len = match flags.contains(CommandFlags::REQUEST_KEYS) {
        true => key_len(facts),
        false => 0,
    };
    Ok(Work {
        opcode: opcode(request.operation),
        session,
        flags,
        aad_len: u16::try_from(request.aad_len()).map_err(|_| TooBig)?,
        payload_len,
        iv,
        iv_rest,
        esn: esn.unwrap_or_default(),
        front_len: (keys_len + rest_len) as u32,
    })
}

/// The command for an operation.
fn opcode(operation: Operation) -> Opcode {
    match operation {
        Operation::BeginDigest => Opcode::DigestBegin,
        Operation::ContinueDigest => Opcode::DigestContinue,
        Operation::EndDigest | Operation::EndVerify => Opcode::DigestEnd,
        Operation::Encrypt
        | Operation::Decrypt
        | Operation::ComputeDigest
        | Operation::VerifyDigest
        | Operation::EncryptCompute
        | Operation::VerifyDecrypt
        | Operation::Compress
        | Operation::Decompress => Opcode::Process,
    }
}

/// The flags that the operation alone decides.
#[inline(always)]
fn flags(operation: Operation) -> CommandFlags {
    match operation {
        Operation::Encrypt
        | Operation::EncryptCompute
        | Operation::ComputeDigest
        | Operation::Compress
        | Operation::EndDigest => CommandFlags::ENCRYPT,
        Operation::VerifyDigest | Operation::VerifyDecrypt | Operation::EndVerify => {
            CommandFlags::VERIFY
        }
        Operation::Decrypt
        | Operation::Decompress
        | Operation::BeginDigest
        | Operation::ContinueDigest => CommandFlags::empty(),
    }
}

/// The IV of `request`, `len` bytes: what a command holds, what is left, and how much that is.
fn whole_iv(request: &Request, len: u8) -> ([u8; IV_MAX], [u8; IV_REST_MAX], usize) {
    let rest_len = usize::from(len).saturating_sub(IV_MAX);
    if rest_len == 0 {
        return (iv(request, len), [0; IV_REST_MAX], 0);
    }
    let bytes = request.iv_bytes(usize::from(len));
    let (first, behind) = bytes.split_first_chunk().expect("64 bytes");
    let mut rest = [0; IV_REST_MAX];
    rest[..rest_len].copy_from_slice(&behind[..rest_len]);
    (*first, rest, rest_len)
}

/// The IV of `request`, `len` bytes, left-aligned; a command holds all of it.
// The common lengths are constants, and what is rare returns a value, so that none goes through
// memory.
#[inline(always)]
pub(super) fn iv(request: &Request, len: u8) -> [u8; IV_MAX] {
    match (len, &request.iv) {
        (0, _) => [0; IV_MAX],
        (16, Some(bytes)) => {
            let (iv, _) = bytes.split_first_chunk().expect("64 bytes");
            *iv
        }
        (12, Some(bytes)) => {
            let mut iv = [0; IV_MAX];
            iv[..12].copy_from_slice(&bytes[..12]);
            iv
        }
        (_, Some(_) | None) => any_iv(request, len),
    }
}

#[inline(never)]
fn any_iv(request: &Request, len: u8) -> [u8; IV_MAX] {
    let mut all = [0; IV_MAX];
    let iv = &mut all[..usize::from(len)];
    match &request.iv {
        Some(bytes) => iv.copy_from_slice(&bytes[..iv.len()]),
        None => request.buffer.copy_out(request.iv_start, iv),
    }
    all
}
