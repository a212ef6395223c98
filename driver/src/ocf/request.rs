//! Requests on the card: mapped buffers, the two streams, the command, and the way back.
//!
//! A posted request lives in its ring's slab as a [`Job`], together with its mappings. What cannot
//! be posted is undone and handed back untouched.

use std::mem::{forget, replace};
use std::ops::Range;

use dma::PoolBuffer;
use framework::{Buffer, Key, Region, Request};
use regs::{Command, DeviceAddr, SessionBlock};
use zeroize::Zeroize;

use super::layout::{Regions, span};
use crate::card::Shortage;
use crate::command::{DESTINATION_LIST_AT, KEYS_MAX, SOURCE_LIST_AT, Stream, TooBig, Work};
use crate::mapping::{self, Hold, HoldError, Mapper};
use crate::ring::{Area, Ring};
use crate::session::Facts;
use crate::stats::Counters;
use crate::{Direction, MapError, Mapped, Transport};

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
    /// Only requests with such buffers pay for them.
    apart: Option<Box<Apart>>,
    has_cipher: bool,
    digest_len: u8,
    /// The card writes to the input buffer.
    writes_in_place: bool,
}

/// Buffers beside the input.
#[derive(Debug)]
struct Apart {
    output: Hold,
    aad: Hold,
}

impl Job {
    /// A request whose only buffer is mapped.
    #[inline(always)]
    pub(super) fn plain(
        request: Box<Request>,
        mapped: Mapped,
        direction: Direction,
        facts: Facts,
    ) -> Self {
        Self {
            request,
            input: Hold::Whole(mapped),
            apart: None,
            has_cipher: facts.has_cipher,
            digest_len: facts.digest_len,
            writes_in_place: direction != Direction::ToDevice,
        }
    }

    #[inline]
    fn regions(&self) -> Regions {
        Regions::of(&self.request, self.has_cipher, self.digest_len)
    }

    fn written(&self) -> [Region; 2] {
        self.regions().written
    }

    /// The part of the input buffer that a copy must hold.
    fn input_span(&self) -> Range<usize> {
        let regions = self.regions();
        let [aad, payload, verified] = regions.read;
        let [result, computed] = match self.writes_in_place {
            true => regions.written,
            false => [Region::default(); 2],
        };
        span(&[aad, payload, verified, result, computed])
    }
}

/// What is used anew for each request.
#[derive(Debug)]
pub(super) struct Bench {
    source: Stream,
    destination: Stream,
    mapper: Mapper,
    #[expect(
        clippy::vec_box,
        reason = "the boxes are what is kept for the next request"
    )]
    spare: Vec<Box<Apart>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            source: Stream::new(),
            destination: Stream::new(),
            mapper: Mapper::default(),
            spare: Vec::new(),
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
            apart: None,
            has_cipher: facts.has_cipher,
            digest_len: facts.digest_len,
            writes_in_place: false,
        };
        job.writes_in_place = job.request.output.is_none() && job.regions().writes();
        let direction = match job.writes_in_place {
            true => Direction::Bidirectional,
            false => Direction::ToDevice,
        };
        let held = self.hold_each(transport, &mut job, direction, counters);
        match held {
            Ok(()) => Ok(job),
            Err(error) => {
                let (request, _) = self.release(transport, job, None);
                Err((request, error.into()))
            }
        }
    }

    fn hold_each<T: Transport>(
        &mut self,
        transport: &mut T,
        job: &mut Job,
        direction: Direction,
        counters: &Counters,
    ) -> Result<(), HoldError> {
        if let Buffer::Memory(_) = job.request.buffer {
            let span = job.input_span();
            job.input = hold_copy(transport, &job.request.buffer, span, direction, counters)?;
        } else {
            let buffer = &mut job.request.buffer;
            job.input = self.hold_pooled(transport, buffer, direction)?;
        }
        let written = span(&job.written());
        let request = &mut *job.request;
        if request.output.is_none() && request.separate_aad.is_none() {
            return Ok(());
        }
        let apart = job.apart.insert(self.spare_apart());
        let mut hold = |buffer: &mut Buffer, span, direction| match buffer {
            Buffer::Memory(_) => hold_copy(transport, buffer, span, direction, counters),
            Buffer::Pooled(_) | Buffer::Chain(_) => self.hold_pooled(transport, buffer, direction),
        };
        if let Some(output) = &mut request.output {
            apart.output = hold(output, written, Direction::FromDevice)?;
        }
        if let Some(aad) = &mut request.separate_aad {
            let all = 0..aad.len();
            apart.aad = hold(aad, all, Direction::ToDevice)?;
        }
        Ok(())
    }

    fn spare_apart(&mut self) -> Box<Apart> {
        self.spare.pop().unwrap_or_else(|| {
            Box::new(Apart {
                output: Hold::Nothing,
                aad: Hold::Nothing,
            })
        })
    }

    /// Maps memory of the pool where it is; on failure it is where it was.
    #[inline]
    fn hold_pooled<T: Transport>(
        &mut self,
        transport: &mut T,
        buffer: &mut Buffer,
        direction: Direction,
    ) -> Result<Hold, HoldError> {
        match replace(buffer, Buffer::Memory(Vec::new())) {
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

    /// Unmaps the buffers of `job` and puts them back. With `copy_out` results that stand in copies
    /// are copied to where they belong. Says whether the input buffer is surely as it was.
    #[inline(always)]
    pub(super) fn release<T: Transport>(
        &mut self,
        transport: &mut T,
        job: Job,
        copy_out: Option<&Counters>,
    ) -> (Box<Request>, bool) {
        if job.apart.is_none()
            && let Hold::Whole(mapped) = job.input
        {
            let unmapped = transport.unmap(mapped);
            let mut request = job.request;
            // What is overwritten owns nothing: forgetting it spares the look.
            forget(replace(
                &mut request.buffer,
                Buffer::Pooled(unmapped.buffer),
            ));
            return (request, !(unmapped.touched && job.writes_in_place));
        }
        self.release_each(transport, job, copy_out)
    }

    #[inline(never)]
    fn release_each<T: Transport>(
        &mut self,
        transport: &mut T,
        mut job: Job,
        copy_out: Option<&Counters>,
    ) -> (Box<Request>, bool) {
        let writes_in_place = job.writes_in_place;
        let written = job.written();
        let from = match job.input {
            Hold::Copy(_) => job.input_span().start,
            Hold::Nothing | Hold::Whole(_) | Hold::Parts(_) => 0,
        };
        let input = replace(&mut job.input, Hold::Nothing);
        let buffer = &mut job.request.buffer;
        let unmapped = self.release_buffer(transport, input, buffer);
        let copies = copy_out.filter(|_| writes_in_place);
        let touched = match unmapped {
            Released::InPlace { touched } => touched,
            Released::Copy(copy) => copies.is_some_and(|counters| {
                copy_back(buffer, &copy, from, written, counters);
                true
            }),
        };
        if let Some(mut apart) = job.apart.take() {
            self.release_apart(transport, &mut job, &mut apart, copy_out);
            self.spare.push(apart);
        }
        (job.request, !(touched && writes_in_place))
    }

    fn release_apart<T: Transport>(
        &mut self,
        transport: &mut T,
        job: &mut Job,
        apart: &mut Apart,
        copy_out: Option<&Counters>,
    ) {
        let written = job.written();
        if let Some(buffer) = &mut job.request.output {
            let hold = replace(&mut apart.output, Hold::Nothing);
            let released = self.release_buffer(transport, hold, buffer);
            if let (Released::Copy(copy), Some(counters)) = (released, copy_out) {
                copy_back(buffer, &copy, span(&written).start, written, counters);
            }
        }
        if let Some(buffer) = &mut job.request.separate_aad {
            let hold = replace(&mut apart.aad, Hold::Nothing);
            self.release_buffer(transport, hold, buffer);
        }
    }

    /// Takes a buffer back from the card.
    fn release_buffer<T: Transport>(
        &mut self,
        transport: &mut T,
        hold: Hold,
        buffer: &mut Buffer,
    ) -> Released {
        let touched = match hold {
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
            Hold::Copy(mapped) => return Released::Copy(transport.unmap(mapped).buffer),
        };
        Released::InPlace { touched }
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
        if let Some(apart) = &job.apart {
            let len = match job.request.separate_aad {
                Some(_) => usize::from(aad_len),
                None => 0,
            };
            apart.aad.push(0, len, source);
        }
        let from = match job.input {
            Hold::Copy(_) => job.input_span().start,
            Hold::Nothing | Hold::Whole(_) | Hold::Parts(_) => 0,
        };
        for region in job
            .regions()
            .read
            .into_iter()
            .filter(|region| region.len > 0)
        {
            job.input.push(region.start - from, region.len, source);
        }
        let written = job.written();
        let (output, from) = match (&job.request.output, &job.apart) {
            (Some(_), Some(apart)) => match apart.output {
                Hold::Copy(_) => (&apart.output, span(&written).start),
                Hold::Nothing | Hold::Whole(_) | Hold::Parts(_) => (&apart.output, 0),
            },
            (Some(_) | None, _) => (&job.input, from),
        };
        for region in written.into_iter().filter(|region| region.len > 0) {
            output.push(region.start - from, region.len, destination);
        }
        source.check()?;
        destination.check()
    }

    /// Lays out `job` for `ring` and takes the area it needs; nothing is taken on failure.
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

/// What a buffer was when the card had it.
enum Released {
    /// Itself; the card may have written to it if `touched`.
    InPlace { touched: bool },
    /// This copy.
    Copy(PoolBuffer),
}

/// Copies the `written` regions from a copy of what follows `from` bytes of `buffer`.
fn copy_back(
    buffer: &mut Buffer,
    copy: &[u8],
    from: usize,
    written: [Region; 2],
    counters: &Counters,
) {
    for Region { start, len } in written.into_iter().filter(|region| region.len > 0) {
        buffer.copy_in(start, &copy[start - from..][..len]);
        counters.bounced_bytes.add(len as u64);
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
    let mut copy = mapping::take(transport, span.len())?;
    let copied = match direction {
        Direction::FromDevice => 0,
        Direction::ToDevice | Direction::Bidirectional => {
            buffer.copy_out(span.start, &mut copy);
            span.len()
        }
    };
    let hold = mapping::hold_copy(transport, copy, direction)?;
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
