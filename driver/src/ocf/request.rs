//! Requests on the card: mapped buffers, the two streams, the command, and the way back.
//!
//! A posted request lives in its ring's slab as a [`Job`], together with its mappings. What cannot
//! be posted is undone and handed back untouched.

use std::mem::replace;
use std::ops::Range;

use dma::PoolBuffer;
use framework::{Buffer, Digest, Key, Region, Request};
use regs::{Command, DeviceAddr, SessionBlock};
use zeroize::Zeroize;

use super::compression::Squeeze;
use super::layout::{Regions, span};
use super::packed::Packed;
use super::state::StateCopy;
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
pub(super) enum Job {
    /// Its only buffer is mapped where it is, as for most.
    Plain {
        request: Box<Request>,
        mapped: Mapped,
        /// The card writes to the buffer.
        writes: bool,
    },
    /// Its result is as long as the card says.
    Squeeze(Box<Squeeze>),
    /// Any other.
    Any {
        request: Box<Request>,
        held: Box<Held>,
    },
    /// One that the card has copies of.
    Packed {
        request: Box<Request>,
        packed: Box<Packed>,
    },
}

/// The buffers of a request while the card has them.
#[derive(Debug)]
pub(super) struct Held {
    input: Hold,
    output: Hold,
    aad: Hold,
    /// Of a part of a message.
    state: Option<StateCopy>,
    has_cipher: bool,
    digest_len: u8,
    /// The card writes to the input buffer.
    writes_in_place: bool,
}

impl Held {
    const NOTHING: Self = Self {
        input: Hold::Nothing,
        output: Hold::Nothing,
        aad: Hold::Nothing,
        state: None,
        has_cipher: false,
        digest_len: 0,
        writes_in_place: false,
    };

    fn regions(&self, request: &Request) -> Regions {
        Regions::of(request, self.has_cipher, self.digest_len)
    }

    fn written(&self, request: &Request) -> [Region; 2] {
        self.regions(request).written
    }

    /// The part of the input buffer that a copy must hold.
    fn input_span(&self, request: &Request) -> Range<usize> {
        let regions = self.regions(request);
        let [aad, payload, verified] = regions.read;
        let [result, computed] = match self.writes_in_place {
            true => regions.written,
            false => [Region::default(); 2],
        };
        span(&[aad, payload, verified, result, computed])
    }

    /// Where what is held of the input buffer begins in it.
    fn input_start(&self, request: &Request) -> usize {
        match self.input {
            Hold::Copy(_) => self.input_span(request).start,
            Hold::Nothing | Hold::Whole(_) | Hold::Parts(_) => 0,
        }
    }
}

/// What is used anew for each request.
#[derive(Debug)]
pub(super) struct Bench {
    source: Stream,
    destination: Stream,
    mapper: Mapper,
    /// Shortest last segment of a list, in bytes.
    pub(super) shortest_last: u32,
    #[expect(
        clippy::vec_box,
        reason = "the boxes are what is kept for the next request"
    )]
    spare: Vec<Box<Held>>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            source: Stream::new(),
            destination: Stream::new(),
            mapper: Mapper::default(),
            shortest_last: 0,
            spare: Vec::new(),
        }
    }

    /// Maps the buffers of `request`, each in the direction the card needs, and a copy of the state
    /// of a digest in parts; none on failure.
    pub(super) fn hold<T: Transport>(
        &mut self,
        transport: &mut T,
        request: &mut Request,
        (facts, in_parts): (Facts, Option<Digest>),
        counters: &Counters,
    ) -> Result<Box<Held>, Trouble> {
        let mut held = self.spare.pop().unwrap_or_else(|| Box::new(Held::NOTHING));
        held.has_cipher = facts.has_cipher;
        held.digest_len = facts.digest_len;
        held.writes_in_place = request.output.is_none() && held.regions(request).writes();
        let mut result = self.hold_each(transport, request, &mut held, counters);
        if let (Ok(()), Some(digest)) = (&result, in_parts) {
            let state = StateCopy::hold(transport, request, digest);
            result = state.map(|state| held.state = Some(state));
        }
        match result {
            Ok(()) => Ok(held),
            Err(error) => {
                self.release(transport, request, held, None);
                Err(error.into())
            }
        }
    }

    fn hold_each<T: Transport>(
        &mut self,
        transport: &mut T,
        request: &mut Request,
        held: &mut Held,
        counters: &Counters,
    ) -> Result<(), HoldError> {
        let (read, written) = (held.input_span(request), span(&held.written(request)));
        let mut hold = |buffer: &mut Buffer, span, direction| match buffer {
            Buffer::Memory(_) | Buffer::Scattered(_) => {
                hold_copy(transport, buffer, span, direction, counters)
            }
            Buffer::Pooled(_) | Buffer::Chain(_) => self.hold_pooled(transport, buffer, direction),
        };
        let direction = match held.writes_in_place {
            true => Direction::Bidirectional,
            false => Direction::ToDevice,
        };
        held.input = hold(&mut request.buffer, read, direction)?;
        if let Some(output) = &mut request.output {
            held.output = hold(output, written, Direction::FromDevice)?;
        }
        if let Some(aad) = &mut request.separate_aad {
            let all = 0..aad.len();
            held.aad = hold(aad, all, Direction::ToDevice)?;
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
            Buffer::Memory(_) | Buffer::Scattered(_) => {
                unreachable!("the caller copies such memory")
            }
        }
    }

    /// Unmaps the buffers of `request` and puts them back. With `copy_out` results that stand in
    /// copies are copied to where they belong. Says whether the input buffer is surely as it was.
    pub(super) fn release<T: Transport>(
        &mut self,
        transport: &mut T,
        request: &mut Request,
        mut held: Box<Held>,
        copy_out: Option<&Counters>,
    ) -> bool {
        let writes_in_place = held.writes_in_place;
        let written = held.written(request);
        let from = held.input_start(request);
        let input = replace(&mut held.input, Hold::Nothing);
        let buffer = &mut request.buffer;
        let touched = match self.release_buffer(transport, input, buffer) {
            Released::InPlace { touched } => touched,
            Released::Copy(copy) => copy_out
                .filter(|_| writes_in_place)
                .is_some_and(|counters| {
                    copy_back(buffer, &copy, from, written, counters);
                    true
                }),
        };
        if let Some(buffer) = &mut request.output {
            let output = replace(&mut held.output, Hold::Nothing);
            let released = self.release_buffer(transport, output, buffer);
            if let (Released::Copy(copy), Some(counters)) = (released, copy_out) {
                copy_back(buffer, &copy, span(&written).start, written, counters);
            }
        }
        if let Some(buffer) = &mut request.separate_aad {
            let aad = replace(&mut held.aad, Hold::Nothing);
            self.release_buffer(transport, aad, buffer);
        }
        if let Some(state) = held.state.take() {
            state.release(transport, request, copy_out.is_some());
        }
        self.spare.push(held);
        !(touched && writes_in_place)
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

    /// Lays out the two streams of `request`; `front` is where request keys and the rest of
    /// the IV will stand.
    fn lay_out(
        &mut self,
        request: &Request,
        held: &Held,
        aad_len: u16,
        front: Option<(DeviceAddr, u32)>,
    ) -> Result<(), TooBig> {
        let (source, destination) = (&mut self.source, &mut self.destination);
        source.clear();
        destination.clear();
        if let Some((addr, len)) = front {
            source.push(addr, len);
        }
        if request.separate_aad.is_some() {
            held.aad.push(0, usize::from(aad_len), source);
        }
        if let Some(state) = &held.state {
            if request.operation.takes_state() {
                state.push(source);
            }
            if request.operation.leaves_state() {
                state.push(destination);
            }
        }
        let regions = held.regions(request);
        let from = held.input_start(request);
        for region in regions.read.into_iter().filter(|region| region.len > 0) {
            held.input.push(region.start - from, region.len, source);
        }
        let written = regions.written;
        let (output, from) = match (&request.output, &held.output) {
            (Some(_), Hold::Copy(_)) => (&held.output, span(&written).start),
            (Some(_), _) => (&held.output, 0),
            (None, _) => (&held.input, from),
        };
        for region in written.into_iter().filter(|region| region.len > 0) {
            output.push(region.start - from, region.len, destination);
        }
        source.check()?;
        destination.check()
    }

    /// Lays out `request` for `ring` and takes the area it needs; nothing is taken on failure.
    /// `None` if it needs a list that the card faults on.
    pub(super) fn describe(
        &mut self,
        ring: &mut Ring<Job>,
        (request, held): (&Request, &Held),
        work: &Work,
    ) -> Result<Option<(Command, Option<Area>)>, Trouble> {
        let short = Trouble::Short(Shortage::Area);
        if work.front_len == 0 {
            self.lay_out(request, held, work.aad_len, None)?;
            if !self.source.needs_list() && !self.destination.needs_list() {
                let nowhere = DeviceAddr::default();
                let command = work.command(&self.source, &self.destination, nowhere);
                return Ok(Some((command, None)));
            }
        }
        let area = ring.take_area().ok_or(short)?;
        let addr = ring.area_addr(area);
        if work.front_len != 0 {
            let front = Some((addr, work.front_len));
            if let Err(error) = self.lay_out(request, held, work.aad_len, front) {
                ring.return_area(area);
                return Err(error.into());
            }
        }
        if [&self.source, &self.destination].map(|stream| stream.ends_below(self.shortest_last))
            != [false; 2]
        {
            ring.return_area(area);
            return Ok(None);
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
        let command = work.command(&self.source, &self.destination, addr);
        Ok(Some((command, Some(area))))
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
    let len = gather_keys(request, block, &mut keys);
    ring.write_area(area, 0, &keys[..len]);
    keys.zeroize();
}

/// Writes the keys of `request` to the front of `keys`; gives how many bytes they are.
pub(super) fn gather_keys(
    request: &Request,
    block: &SessionBlock,
    keys: &mut [u8; KEYS_MAX],
) -> usize {
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
    len
}
