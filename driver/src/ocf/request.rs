//! Requests on the card: mapped buffers, the two streams, the command, and the way back.
//!
//! A posted request lives in its ring's slab as a [`Job`], together with its mappings. What cannot be
//! posted is undone and handed back untouched.

use std::ops::Range;

use framework::{Buffer, Key, Operation, Region, Request};
use regs::{CardSession, Command, CommandFlags, DeviceAddr, SessionBlock};
use zeroize::Zeroize;

use super::params::IV_MAX;
use crate::card::Shortage;
use crate::command::{
    DESTINATION_LIST_AT, KEYS_MAX, PAYLOAD_MAX, SOURCE_LIST_AT, Stream, TooBig, Work,
};
use crate::mapping::{self, Hold, HoldError, Mapper};
use crate::ring::{Area, Ring};
use crate::session::Facts;
use crate::stats::Counters;
use crate::{Direction, MapError, Transport};

/// Why a request was not posted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Trouble {
    /// It never will be.
    TooBig,
    /// Something is used up.
    Short(Shortage),
}

impl From<TooBig> for Trouble {
    fn from(TooBig: TooBig) -> Self {
        Self::TooBig
    }
}

impl From<HoldError> for Trouble {
    fn from(error: HoldError) -> Self {
        match error {
            HoldError::Map(MapError::NoWindow) => Self::Short(Shortage::Window),
            HoldError::Map(MapError::TooLong(_)) | HoldError::TooBig => Self::TooBig,
            HoldError::Memory => Self::Short(Shortage::Memory),
        }
    }
}

/// A request on the card, with its mappings. Its buffers are empty meanwhile.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Box<Request>,
    input: Hold,
    output: Hold,
    aad: Hold,
    has_cipher: bool,
    digest_len: u8,
}

impl Job {
    /// What the card writes to the output buffer: the payload's result, then a computed digest.
    #[inline]
    fn written(&self) -> [Region; 2] {
        let request = &*self.request;
        let start = match request.output {
            Some(_) => request.payload_output_start,
            None => request.payload.start,
        };
        let result = Region {
            start,
            len: usize::from(self.has_cipher) * request.payload.len,
        };
        [result, self.digest(!request.operation.verifies())]
    }

    /// What the card reads from the input buffer: AAD, payload, a digest to verify.
    #[inline]
    fn read(&self) -> [Region; 3] {
        let request = &*self.request;
        let aad = match request.separate_aad {
            Some(_) => Region::default(),
            None => request.aad,
        };
        [
            aad,
            request.payload,
            self.digest(request.operation.verifies()),
        ]
    }

    #[inline]
    fn digest(&self, is_wanted: bool) -> Region {
        Region {
            start: self.request.digest_start,
            len: usize::from(is_wanted) * usize::from(self.digest_len),
        }
    }

    /// Whether the card writes to the input buffer.
    #[inline]
    fn writes_in_place(&self) -> bool {
        let [result, digest] = self.written();
        self.request.output.is_none() && result.len + digest.len > 0
    }

    /// The part of the input buffer that a copy must hold.
    fn input_span(&self) -> Range<usize> {
        let [aad, payload, verified] = self.read();
        let [result, computed] = match self.writes_in_place() {
            true => self.written(),
            false => [Region::default(); 2],
        };
        span(&[aad, payload, verified, result, computed])
    }
}

/// From the first byte of any region to the last of any; empty regions do not count.
fn span(regions: &[Region]) -> Range<usize> {
    let used = regions.iter().filter(|region| region.len > 0);
    let start = used.clone().map(|region| region.start).min().unwrap_or(0);
    let end = used.map(|region| region.start + region.len).max();
    start..end.unwrap_or(start)
}

/// What is used anew for each request.
#[derive(Debug)]
pub(super) struct Bench {
    source: Stream,
    destination: Stream,
    mapper: Mapper,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            source: Stream::new(),
            destination: Stream::new(),
            mapper: Mapper::default(),
        }
    }

    /// Maps the buffers of `request`, each in the direction the card needs.
    #[inline]
    pub(super) fn hold<T: Transport>(
        &mut self,
        transport: &mut T,
        request: Box<Request>,
        facts: Facts,
        counters: &Counters,
    ) -> Result<Job, (Box<Request>, Trouble)> {
        let mut job = Job {
            request,
            input: Hold::Nothing,
            output: Hold::Nothing,
            aad: Hold::Nothing,
            has_cipher: facts.has_cipher,
            digest_len: facts.digest_len,
        };
        match self.hold_each(transport, &mut job, counters) {
            Ok(()) => Ok(job),
            Err(error) => {
                let (request, _) = self.release(transport, job, None);
                Err((request, error.into()))
            }
        }
    }

    #[inline]
    fn hold_each<T: Transport>(
        &mut self,
        transport: &mut T,
        job: &mut Job,
        counters: &Counters,
    ) -> Result<(), HoldError> {
        let direction = match job.writes_in_place() {
            true => Direction::Bidirectional,
            false => Direction::ToDevice,
        };
        if let Buffer::Memory(_) = job.request.buffer {
            let span = job.input_span();
            job.input = hold_copy(transport, &job.request.buffer, span, direction, counters)?;
        } else {
            let buffer = &mut job.request.buffer;
            job.input = self.hold_pooled(transport, buffer, direction)?;
        }
        let written = job.written();
        if let Some(output) = &mut job.request.output {
            job.output = if let Buffer::Memory(_) = output {
                let span = span(&written);
                hold_copy(transport, output, span, Direction::FromDevice, counters)?
            } else {
                self.hold_pooled(transport, output, Direction::FromDevice)?
            };
        }
        if let Some(aad) = &mut job.request.separate_aad {
            job.aad = if let Buffer::Memory(bytes) = aad {
                let span = 0..bytes.len();
                hold_copy(transport, aad, span, Direction::ToDevice, counters)?
            } else {
                self.hold_pooled(transport, aad, Direction::ToDevice)?
            };
        }
        Ok(())
    }

    /// Maps memory of the pool where it is; on failure it is where it was.
    #[inline]
    fn hold_pooled<T: Transport>(
        &mut self,
        transport: &mut T,
        buffer: &mut Buffer,
        direction: Direction,
    ) -> Result<Hold, HoldError> {
        match std::mem::replace(buffer, Buffer::Memory(Vec::new())) {
            Buffer::Pooled(memory) => match transport.map(memory, direction) {
                Ok(mapped) => Ok(Hold::Whole(mapped)),
                Err((memory, error)) => {
                    *buffer = Buffer::Pooled(memory);
                    Err(error.into())
                }
            },
            Buffer::Chain(mut parts) => {
                let held = self.mapper.hold_parts(transport, &mut parts, direction);
                *buffer = Buffer::Chain(parts);
                held
            }
            Buffer::Memory(_) => unreachable!("the caller copies such memory"),
        }
    }

    /// Unmaps the buffers of `job` and puts them back. With `copy_out` results that stand in copies are
    /// copied to where they belong. Says whether the input buffer is surely as it was.
    #[inline]
    pub(super) fn release<T: Transport>(
        &mut self,
        transport: &mut T,
        job: Job,
        copy_out: Option<&Counters>,
    ) -> (Box<Request>, bool) {
        let writes_in_place = job.writes_in_place();
        let written = copy_out.map(|counters| (job.written(), counters));
        let Job {
            mut request,
            input,
            output,
            aad,
            ..
        } = job;
        let in_place = written.filter(|_| writes_in_place);
        let touched = self.release_buffer(transport, input, &mut request.buffer, in_place);
        if let Some(buffer) = &mut request.output {
            self.release_buffer(transport, output, buffer, written);
        }
        if let Some(buffer) = &mut request.separate_aad {
            self.release_buffer(transport, aad, buffer, None);
        }
        (request, !(touched && writes_in_place))
    }

    /// Puts a buffer back; says whether it may have changed. `written` is copied out of a copy.
    #[inline]
    fn release_buffer<T: Transport>(
        &mut self,
        transport: &mut T,
        hold: Hold,
        buffer: &mut Buffer,
        written: Option<([Region; 2], &Counters)>,
    ) -> bool {
        match hold {
            Hold::Nothing => false,
            Hold::Whole(mapped) => {
                let unmapped = transport.unmap(mapped);
                *buffer = Buffer::Pooled(unmapped.buffer);
                unmapped.touched
            }
            Hold::Parts(held) => {
                let Buffer::Chain(parts) = buffer else {
                    unreachable!("the emptied chain stays in its request");
                };
                self.mapper.release_parts(transport, held, parts)
            }
            Hold::Copy { mapped, from } => {
                let copy = transport.unmap(mapped).buffer;
                let Some((regions, counters)) = written else {
                    return false;
                };
                for Region { start, len } in regions.into_iter().filter(|region| region.len > 0) {
                    buffer.copy_in(start, &copy[start - from..][..len]);
                    counters.bounced_bytes.add(len as u64);
                }
                true
            }
        }
    }

    /// Lays out the two streams of `job`; `keys` is where request keys will stand.
    #[inline]
    fn lay_out(
        &mut self,
        job: &Job,
        aad_len: u16,
        keys: Option<(DeviceAddr, u32)>,
    ) -> Result<(), TooBig> {
        let (source, destination) = (&mut self.source, &mut self.destination);
        source.clear();
        destination.clear();
        if let Some((addr, len)) = keys {
            source.push(addr, len);
        }
        if job.request.separate_aad.is_some() {
            job.aad.push(0, usize::from(aad_len), source);
        }
        for region in job.read() {
            job.input.push(region.start, region.len, source);
        }
        let output = match job.request.output {
            Some(_) => &job.output,
            None => &job.input,
        };
        for region in job.written() {
            output.push(region.start, region.len, destination);
        }
        source.check()?;
        destination.check()
    }

    /// Lays out `job` for `ring` and takes the area it needs; nothing is taken on failure.
    #[inline]
    pub(super) fn describe(
        &mut self,
        ring: &mut Ring<Job>,
        job: &Job,
        work: &Work,
        facts: Facts,
    ) -> Result<(Command, Option<Area>), Trouble> {
        let short = Trouble::Short(Shortage::Area);
        if !work.has_keys() {
            self.lay_out(job, work.aad_len, None)?;
            if !self.source.needs_list() && !self.destination.needs_list() {
                let nowhere = DeviceAddr::default();
                let command = work.command(&self.source, &self.destination, nowhere);
                return Ok((command, None));
            }
        }
        let area = ring.take_area().ok_or(short)?;
        let addr = ring.area_addr(area);
        if work.has_keys() {
            let keys = Some((addr, key_len(facts) as u32));
            if let Err(error) = self.lay_out(job, work.aad_len, keys) {
                ring.return_area(area);
                return Err(error.into());
            }
        }
        let lists = [
            (&self.source, SOURCE_LIST_AT),
            (&self.destination, DESTINATION_LIST_AT),
        ];
        for (stream, list_at) in lists {
            if stream.needs_list() {
                stream.write_list(|at, bytes| ring.write_area(area, list_at + at, bytes));
            }
        }
        Ok((
            work.command(&self.source, &self.destination, addr),
            Some(area),
        ))
    }
}

/// Maps a copy of the bytes `span` of memory that is not the pool's, and counts it.
fn hold_copy<T: Transport>(
    transport: &mut T,
    buffer: &Buffer,
    span: Range<usize>,
    direction: Direction,
    counters: &Counters,
) -> Result<Hold, HoldError> {
    let from = span.start;
    let mut copy = mapping::take(transport, span.len())?;
    let copied = match direction {
        Direction::FromDevice => 0,
        Direction::ToDevice | Direction::Bidirectional => {
            buffer.copy_out(from, &mut copy);
            span.len()
        }
    };
    let hold = mapping::hold_copy(transport, copy, from, direction)?;
    counters.bounces.add(1);
    counters.bounced_bytes.add(copied as u64);
    Ok(hold)
}

/// Bytes of keys of a request that brings keys.
pub(super) fn key_len(facts: Facts) -> usize {
    usize::from(facts.cipher_key_len) + usize::from(facts.digest_key_len)
}

/// Writes the keys of `request` to `area`; a key it does not bring is the session's.
pub(super) fn write_keys(ring: &Ring<Job>, area: Area, request: &Request, block: &SessionBlock) {
    let mut keys = [0; KEYS_MAX];
    let cipher_key = request
        .cipher_key
        .as_ref()
        .map_or(block.cipher_key(), Key::bytes);
    let digest_key = request
        .auth_key
        .as_ref()
        .map_or(block.digest_key(), Key::bytes);
    let len = cipher_key.len() + digest_key.len();
    keys[..cipher_key.len()].copy_from_slice(cipher_key);
    keys[cipher_key.len()..len].copy_from_slice(digest_key);
    ring.write_area(area, 0, &keys[..len]);
    keys.zeroize();
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
    let iv_len = usize::from(facts.iv_len);
    match &request.iv {
        Some(bytes) => iv[..iv_len].copy_from_slice(&bytes[..iv_len]),
        None if iv_len > 0 => request.buffer.copy_out(request.iv_start, &mut iv[..iv_len]),
        None => {}
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
