//! The driver as the framework sees it (seam 1): the only file that knows the framework.
//!
//! Owns what a request is on the card: which buffers are mapped in which direction, which regions make
//! the two streams, which status is which error. Posted requests live in their ring's slab together
//! with their mappings; a refusal undoes the mappings and hands the request back untouched.

use std::ops::Range;
use std::sync::Arc;

use framework::{
    Blocked, Buffer, Cipher, Completed, CryptoDriver, Digest, DriverError, DriverFlags,
    DriverOutput, DriverSession, Hint, Key, Mode, OpenError, Operation, ProbeScore, Region,
    Request, SessionFlags, SessionParams,
};
use regs::{
    CardSession, CipherCode, Command, CommandFlags, DeviceAddr, DigestCode, RingId, SessionBlock,
    Status,
};
use timebase::Time;
use zeroize::Zeroize;

use crate::card::{Card, DriverState, Shortage, Sink};
use crate::command::{DESTINATION_LIST_AT, KEYS_MAX, SOURCE_LIST_AT, Stream, TooBig, Work};
use crate::mapping::{self, Hold, HoldError, Mapper};
use crate::ring::{Area, Post, Ring, Verdict};
use crate::session::{Facts, Refusal};
use crate::stats::Counters;
use crate::{BringUpError, Direction, DriverConfig, DriverStats, MapError, StatsHandle, Transport};

/// Longest cipher key of a session, in bytes.
const CIPHER_KEY_MAX: usize = 64;
/// Longest digest key of a session, in bytes.
const DIGEST_KEY_MAX: usize = 128;
/// Longest IV, in bytes.
const IV_MAX: usize = 16;

/// How full a data ring is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RingOccupancy {
    /// Ring pair.
    pub ring: RingId,
    /// Commands in flight.
    pub in_flight: u32,
    /// Most commands in flight.
    pub capacity: u32,
}

/// The driver of one card.
pub struct CardDriver<T: Transport> {
    card: Card<T, Job>,
    bench: Bench,
    /// Requests that ended without the card's help.
    ended: Vec<Completed>,
}

impl<T: Transport> CardDriver<T> {
    /// Takes the card behind `transport`: checks that it is one, takes ring memory and starts a reset.
    /// The rest of bring-up happens in `service`.
    ///
    /// # Errors
    /// [`BringUpError`] if the configuration is invalid, nobody or another device answers, the path has
    /// no interrupt vectors, or ring memory cannot be had.
    pub fn new(transport: T, config: DriverConfig) -> Result<Self, BringUpError> {
        Ok(Self {
            card: Card::new(transport, config)?,
            bench: Bench::new(),
            ended: Vec::new(),
        })
    }

    /// What the card is doing.
    #[must_use]
    pub fn state(&self) -> DriverState {
        self.card.state()
    }

    /// What the driver has done so far.
    #[must_use]
    pub fn stats(&self) -> DriverStats {
        self.card.counters.snapshot()
    }

    /// A view of the counters that outlives a move of the driver into a registry.
    #[must_use]
    pub fn stats_handle(&self) -> StatsHandle {
        StatsHandle(Arc::clone(&self.card.counters))
    }

    /// How full each data ring is, in order of rings.
    pub fn occupancy(&self) -> impl Iterator<Item = RingOccupancy> {
        self.card.rings.iter().map(|ring| RingOccupancy {
            ring: ring.id(),
            in_flight: ring.in_flight(),
            capacity: ring.capacity(),
        })
    }

    /// The path to the card.
    #[must_use]
    pub fn transport(&self) -> &T {
        &self.card.transport
    }

    /// The path to the card, to change it.
    #[must_use]
    pub fn transport_mut(&mut self) -> &mut T {
        &mut self.card.transport
    }

    /// Ends a request without the card.
    fn fail(&mut self, request: Box<Request>, error: DriverError) {
        // The last of a batch may be the one that fails: its neighbours must not wait for it.
        self.card.publish();
        self.ended.push(Completed {
            request,
            result: Err(error),
        });
    }

    fn refuse(&mut self, ring: usize, shortage: Shortage, request: Box<Request>) -> Blocked {
        Blocked {
            generation: self.card.refuse(ring, shortage),
            request,
        }
    }

    /// Answers a request that comes while the card takes none.
    #[cold]
    fn process_early_or_late(&mut self, request: Box<Request>) -> Result<(), Blocked> {
        match self.card.state() {
            // Bounded: the reset ends in time, with a new generation, or the card is lost.
            DriverState::Resetting | DriverState::Restoring | DriverState::Running => {
                Err(self.refuse(0, Shortage::Reset, request))
            }
            DriverState::Detaching | DriverState::Lost => {
                self.card.counters.lost.add(1);
                self.fail(request, DriverError::Lost { untouched: true });
                Ok(())
            }
        }
    }

    /// Maps a request, describes it and posts it to its ring, which has room.
    #[inline]
    fn submit(
        &mut self,
        session: CardSession,
        facts: Facts,
        request: Box<Request>,
        follows: bool,
    ) -> Result<(), (Box<Request>, Trouble)> {
        let work = match work(session, facts, &request) {
            Ok(work) => work,
            Err(TooBig) => return Err((request, Trouble::TooBig)),
        };
        let id = request.id.0;
        let (bench, card) = (&mut self.bench, &mut self.card);
        let job = bench.hold(&mut card.transport, request, facts, &card.counters)?;
        let ring = usize::from(facts.ring);
        match bench.describe(&mut card.rings[ring], &job, &work, facts) {
            Ok((command, area)) => {
                let mut secret_len = 0;
                if let Some(area) = area.filter(|_| work.has_keys()) {
                    let block = card.sessions.block(session);
                    let block = block.expect("an open session keeps its block");
                    write_keys(&card.rings[ring], area, &job.request, block);
                    secret_len = key_len(facts) as u32;
                }
                let post = Post {
                    command,
                    job,
                    area,
                    secret_len,
                    request: Some(id),
                };
                card.post(ring, post, follows);
                Ok(())
            }
            Err(trouble) => {
                let (request, _) = bench.release(&mut card.transport, job, None);
                Err((request, trouble))
            }
        }
    }
}

impl<T: Transport> CryptoDriver for CardDriver<T> {
    fn name(&self) -> &str {
        self.card.name()
    }

    fn flags(&self) -> DriverFlags {
        DriverFlags::HARDWARE
    }

    fn probe_session(&self, params: &SessionParams) -> Option<ProbeScore> {
        let is_served = self.card.state() != DriverState::Lost
            && !params.flags.contains(SessionFlags::ESN)
            && params.cipher_key_len <= CIPHER_KEY_MAX
            && params.auth_key_len <= DIGEST_KEY_MAX
            && params.iv_len <= IV_MAX
            && (params.mode != Mode::Aead || (12..=16).contains(&params.digest_len()));
        is_served.then_some(ProbeScore::HARDWARE)
    }

    fn open_session(
        &mut self,
        now: Time,
        params: &SessionParams,
    ) -> Result<DriverSession, OpenError> {
        self.card.set_now(now);
        if self.probe_session(params).is_none() {
            return Err(OpenError::Unsupported);
        }
        let session = self.card.open(session_block(params)).map_err(open_error)?;
        Ok(DriverSession(session.0))
    }

    fn close_session(&mut self, now: Time, session: DriverSession) {
        self.card.set_now(now);
        self.card.close(CardSession(session.0));
    }

    #[inline]
    fn process(
        &mut self,
        now: Time,
        session: DriverSession,
        request: Box<Request>,
        hint: Hint,
    ) -> Result<(), Blocked> {
        self.card.set_now(now);
        if !self.card.is_running() {
            return self.process_early_or_late(request);
        }
        let session = CardSession(session.0);
        let facts = self.card.sessions.facts(session);
        if !facts.is_open {
            self.card.counters.failed.add(1);
            self.fail(request, DriverError::Device);
            return Ok(());
        }
        let ring = usize::from(facts.ring);
        if self.card.rings[ring].room() == 0 {
            return Err(self.refuse(ring, Shortage::Ring, request));
        }
        match self.submit(session, facts, request, hint == Hint::More) {
            Ok(()) => Ok(()),
            Err((request, Trouble::Short(shortage))) if self.card.has_data_in_flight() => {
                Err(self.refuse(ring, shortage, request))
            }
            Err((request, Trouble::Short(_))) => {
                // Nothing is in flight, so no completion would ever bring back what is missing.
                self.card.counters.exhausted.add(1);
                self.fail(request, DriverError::Device);
                Ok(())
            }
            Err((request, Trouble::TooBig)) => {
                self.card.counters.too_big.add(1);
                self.fail(request, DriverError::TooBig);
                Ok(())
            }
        }
    }

    fn flush(&mut self, now: Time) {
        self.card.set_now(now);
        self.card.publish();
    }

    fn service(&mut self, now: Time, output: &mut DriverOutput) {
        output.completed.append(&mut self.ended);
        let counters = Arc::clone(&self.card.counters);
        let mut reporter = Reporter {
            output,
            bench: &mut self.bench,
            counters: &counters,
        };
        self.card.service(now, &mut reporter);
    }

    #[inline]
    fn deadline(&self) -> Time {
        if self.ended.is_empty() {
            self.card.deadline()
        } else {
            self.card.now()
        }
    }

    fn unblock_generation(&self) -> u64 {
        self.card.generation
    }

    fn detach(&mut self, now: Time) {
        self.card.set_now(now);
        self.card.detach();
    }
}

/// Turns what leaves the card into the framework's output.
struct Reporter<'a> {
    output: &'a mut DriverOutput,
    bench: &'a mut Bench,
    counters: &'a Counters,
}

impl<T: Transport> Sink<T, Job> for Reporter<'_> {
    #[inline]
    fn finish(&mut self, transport: &mut T, job: Job, verdict: Verdict) {
        let is_good = verdict == Verdict::Card(Status::Success);
        let copy_out = is_good.then_some(self.counters);
        let (request, untouched) = self.bench.release(transport, job, copy_out);
        let result = if is_good {
            Ok(())
        } else {
            Err(driver_error(verdict, untouched, self.counters))
        };
        self.output.completed.push(Completed { request, result });
    }

    fn opened(&mut self, session: CardSession, result: Result<(), Refusal>) {
        let opened = (DriverSession(session.0), result.map_err(open_error));
        self.output.opened.push(opened);
    }

    fn lost(&mut self) {
        self.output.lost = true;
    }
}

#[cold]
fn driver_error(verdict: Verdict, untouched: bool, counters: &Counters) -> DriverError {
    match verdict {
        Verdict::Card(Status::DigestMismatch) => {
            counters.mismatched.add(1);
            DriverError::DigestMismatch
        }
        Verdict::Lost | Verdict::Card(Status::Aborted) => {
            counters.lost.add(1);
            DriverError::Lost { untouched }
        }
        Verdict::Card(_) | Verdict::Nonsense => {
            counters.failed.add(1);
            DriverError::Device
        }
    }
}

fn open_error(refusal: Refusal) -> OpenError {
    match refusal {
        Refusal::NoRoom => OpenError::NoRoom,
        Refusal::Unsupported => OpenError::Unsupported,
        Refusal::Device => OpenError::Device,
    }
}

/// Why a request was not posted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
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
struct Job {
    request: Box<Request>,
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
struct Bench {
    source: Stream,
    destination: Stream,
    mapper: Mapper,
}

impl Bench {
    fn new() -> Self {
        Self {
            source: Stream::new(),
            destination: Stream::new(),
            mapper: Mapper::default(),
        }
    }

    /// Maps the buffers of `request`, each in the direction the card needs.
    #[inline]
    fn hold<T: Transport>(
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
    fn release<T: Transport>(
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
    fn describe(
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
fn key_len(facts: Facts) -> usize {
    usize::from(facts.cipher_key_len) + usize::from(facts.digest_key_len)
}

/// Writes the keys of `request` to `area`; a key it does not bring is the session's.
fn write_keys(ring: &Ring<Job>, area: Area, request: &Request, block: &SessionBlock) {
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
fn work(session: CardSession, facts: Facts, request: &Request) -> Result<Work, TooBig> {
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
    Ok(Work {
        session,
        flags,
        aad_len: u16::try_from(request.aad_len()).map_err(|_| TooBig)?,
        payload_len: u32::try_from(request.payload.len).map_err(|_| TooBig)?,
        iv,
    })
}

/// The parameters as the card reads them. Without a session key the lengths still count, because
/// requests bring keys of these lengths; the key is zeroes then and never used.
fn session_block(params: &SessionParams) -> Box<SessionBlock> {
    // Made in its box, so that no copy of the keys is left on the stack.
    let mut block = Box::<SessionBlock>::default();
    block.cipher = params.cipher.map_or(CipherCode::None, cipher_code);
    block.digest = params.digest.map_or(DigestCode::None, digest_code);
    block.digest_len = params.digest_len() as u8;
    block.iv_len = params.iv_len as u8;
    let (no_cipher_key, no_digest_key) = ([0; CIPHER_KEY_MAX], [0; DIGEST_KEY_MAX]);
    let cipher_key = match &params.cipher_key {
        Some(key) => key.bytes(),
        None => &no_cipher_key[..params.cipher_key_len],
    };
    let digest_key = match &params.auth_key {
        Some(key) => key.bytes(),
        None => &no_digest_key[..params.auth_key_len],
    };
    block
        .set_keys(cipher_key, digest_key)
        .expect("the probe checked the key lengths");
    block
}

fn cipher_code(cipher: Cipher) -> CipherCode {
    match cipher {
        Cipher::Null => CipherCode::Null,
        Cipher::AesCbc => CipherCode::AesCbc,
        Cipher::AesCtr => CipherCode::AesCtr,
        Cipher::AesXts => CipherCode::AesXts,
        Cipher::AesGcm => CipherCode::AesGcm,
    }
}

fn digest_code(digest: Digest) -> DigestCode {
    match digest {
        Digest::Sha1 => DigestCode::Sha1,
        Digest::Sha224 => DigestCode::Sha224,
        Digest::Sha256 => DigestCode::Sha256,
        Digest::Sha384 => DigestCode::Sha384,
        Digest::Sha512 => DigestCode::Sha512,
        Digest::HmacSha1 => DigestCode::HmacSha1,
        Digest::HmacSha224 => DigestCode::HmacSha224,
        Digest::HmacSha256 => DigestCode::HmacSha256,
        Digest::HmacSha384 => DigestCode::HmacSha384,
        Digest::HmacSha512 => DigestCode::HmacSha512,
    }
}
