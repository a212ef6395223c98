//! The driver as the framework sees it (seam 1): the only module that knows the framework.
//!
//! Owns the answers to the framework: what is accepted, refused or failed, and which status of the
//! card is which error. What a request is on the card stands in `request`, what a session is in
//! `params`.

mod compression;
mod key;
mod layout;
mod learned;
mod packed;
mod params;
mod request;
mod state;

use std::mem::{forget, replace, take};
use std::sync::Arc;

use exhibit::{Exhibit, on};
use framework::{
    Blocked, Buffer, Completed, CryptoDriver, DriverError, DriverFlags, DriverOutput,
    DriverSession, Hint, KeyBlocked, KeyOps, KeyRequest, OpenError, ProbeScore, Request,
    SessionFlags, SessionParams,
};
use regs::{CardSession, Errata, RingId, Status};
use timebase::Time;

use self::compression::{Ending, Squeeze, is_compression};
use self::key::Keys;
use self::layout::{Plain, iv, work};
use self::learned::Learned;
pub use self::params::{cipher_code, compression_code, digest_code};
use self::params::{is_served, session_block};
use self::request::{Bench, Job, Trouble, key_len, write_keys};
use self::state::digest_in_parts;
use crate::card::{Card, DriverState, Shortage, Sink};
use crate::command::TooBig;
use crate::errata::SHORTEST_LAST;
use crate::mapping::HoldError;
use crate::ring::{End, Post, Verdict};
use crate::session::{Facts, Openness, Refusal, Wanted};
use crate::stats::Counters;
use crate::{AdminHandle, BringUpError, DriverConfig, DriverStats, StatsHandle, Transport};

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
    keys: Keys,
    learned: Learned,
}

impl<T: Transport> CardDriver<T> {
    /// Takes the card behind `transport`: checks that it is one, takes ring memory and starts a
    /// reset. The rest of bring-up happens in `service`.
    ///
    /// # Errors
    /// [`BringUpError`] if the configuration is invalid, nobody or another device answers, the path
    /// has no interrupt vectors, or ring memory cannot be had.
    pub fn new(transport: T, config: DriverConfig) -> Result<Self, BringUpError> {
        let identify = config.identify;
        let card = Card::new(transport, config)?;
        let learned = match identify {
            true => Learned::asking(&AdminHandle(Arc::clone(&card.desk))),
            false => Learned::default(),
        };
        let mut bench = Bench::new();
        if card.quirks.avoids(Errata::SHORT_LAST_SEGMENT) {
            bench.shortest_last = SHORTEST_LAST;
        }
        Ok(Self {
            card,
            learned,
            bench,
            ended: Vec::new(),
            keys: Keys::default(),
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

    /// Asks the card for what the framework has no word for. Outlives a move of the driver into a
    /// registry.
    #[must_use]
    pub fn admin_handle(&self) -> AdminHandle {
        AdminHandle(Arc::clone(&self.card.desk))
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

    /// Whether the card tells of completions by interrupts, as it does at first. Who turns that off
    /// calls `service` all the time, and spares the card an interrupt and most acknowledgements;
    /// who turns it on again may sleep until the next, which comes at once if something ended in
    /// between.
    pub fn set_interrupts(&mut self, are_wanted: bool) {
        self.card.set_interrupts(are_wanted);
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

    /// Answers a request that is not plain, or comes when there is no room or no session for it.
    #[inline(never)]
    fn process_any(
        &mut self,
        session: CardSession,
        request: Box<Request>,
        follows: bool,
    ) -> Result<(), Blocked> {
        if !self.card.is_running() {
            return self.process_early_or_late(request);
        }
        let facts = self.card.sessions.facts(session);
        // Keys that a request leaves out are those of the session, which the driver may not know.
        let brings_keys = request.cipher_key.is_some() || request.auth_key.is_some();
        let lacks_keys = brings_keys && !self.card.sessions.knows_keys(session);
        if facts.openness == Openness::Closed || lacks_keys {
            self.card.counters.failed.add(1);
            self.fail(request, DriverError::Device);
            return Ok(());
        }
        let ring = usize::from(facts.ring);
        if self.card.rings[ring].room() == 0 {
            if on(Exhibit::FullRingFails) {
                self.fail(request, DriverError::Device);
                return Ok(());
            }
            return Err(self.refuse(ring, Shortage::Ring, request));
        }
        let submitted = match is_compression(&request) {
            true => self.submit_squeeze(session, ring, request, follows),
            false => self.submit_any(session, facts, request, follows),
        };
        match submitted {
            Ok(()) => Ok(()),
            Err((request, trouble)) => self.give_up(ring, request, trouble),
        }
    }

    /// Answers a request that could not be posted to `ring`.
    #[cold]
    #[inline(never)]
    fn give_up(
        &mut self,
        ring: usize,
        request: Box<Request>,
        trouble: Trouble,
    ) -> Result<(), Blocked> {
        match trouble {
            Trouble::Short(shortage) if self.card.has_data_in_flight() => {
                return Err(self.refuse(ring, shortage, request));
            }
            Trouble::Short(_) => {
                // Nothing is in flight, so no completion would ever bring back what is missing.
                self.card.counters.exhausted.add(1);
                self.fail(request, DriverError::Device);
            }
            Trouble::TooBig => {
                self.card.counters.too_big.add(1);
                self.fail(request, DriverError::TooBig);
            }
        }
        Ok(())
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

    /// Posts a request that is `plain` to its ring, which has room.
    // Inlined, as what it calls, so that the job is built where it stands until it ends.
    #[inline(always)]
    fn submit_plain(
        &mut self,
        session: CardSession,
        facts: Facts,
        mut request: Box<Request>,
        (plain, follows): (Plain, bool),
    ) -> Result<(), (Box<Request>, Trouble)> {
        // It may stand in the buffer, which goes away.
        let iv = iv(&request, facts.iv_len);
        let Buffer::Pooled(memory) = &mut request.buffer else {
            unreachable!("a plain request has a pooled buffer");
        };
        let mapped = match self.card.transport.map(take(memory), plain.direction()) {
            Ok(mapped) => mapped,
            Err((unmapped, error)) => {
                *memory = unmapped;
                return Err((request, HoldError::from(error).into()));
            }
        };
        let post = Post {
            command: plain.command(session, &request, mapped.addr, iv),
            area: None,
            request: Some(request.id.0),
            job: Job::Plain {
                request,
                mapped,
                writes: plain.writes(),
            },
        };
        self.card.post(usize::from(facts.ring), post, follows);
        Ok(())
    }

    /// Posts a request that compresses or decompresses to `ring`, which has room.
    fn submit_squeeze(
        &mut self,
        session: CardSession,
        ring: usize,
        request: Box<Request>,
        follows: bool,
    ) -> Result<(), (Box<Request>, Trouble)> {
        let (transport, counters) = (&mut self.card.transport, &*self.card.counters);
        let id = request.id.0;
        let (command, job) = Squeeze::prepare(transport, session, request, counters)?;
        let post = Post {
            command,
            area: None,
            request: Some(id),
            job: Job::Squeeze(Box::new(job)),
        };
        self.card.post(ring, post, follows);
        Ok(())
    }

    /// Maps a request, describes it and posts it to its ring, which has room.
    fn submit_any(
        &mut self,
        session: CardSession,
        facts: Facts,
        mut request: Box<Request>,
        follows: bool,
    ) -> Result<(), (Box<Request>, Trouble)> {
        let esn = match facts.openness {
            Openness::Special => self.card.sessions.takes_esn(session).then_some(request.esn),
            Openness::Plain | Openness::Closed => None,
        };
        let work = match work(session, facts, &request, esn) {
            Ok(work) => work,
            Err(TooBig) => return Err((request, Trouble::TooBig)),
        };
        let (bench, card) = (&mut self.bench, &mut self.card);
        let digest = match facts.in_parts {
            true => card.sessions.block(session),
            false => None,
        };
        let digest = digest.and_then(|block| digest_in_parts(&request, block));
        let held = bench.hold(
            &mut card.transport,
            &mut request,
            (facts, digest),
            &card.counters,
        );
        let held = match held {
            Ok(held) => held,
            Err(trouble) => return Err((request, trouble)),
        };
        let index = usize::from(facts.ring);
        let ring = &mut card.rings[index];
        let (command, area) = match bench.describe(ring, (&request, &held), &work) {
            Ok(Some(described)) => described,
            Ok(None) => {
                bench.release(&mut card.transport, &mut request, held, None);
                return self.submit_packed((facts, digest), request, &work, follows);
            }
            Err(trouble) => {
                bench.release(&mut card.transport, &mut request, held, None);
                return Err((request, trouble));
            }
        };
        let mut secret_len = 0;
        if let Some(area) = area.filter(|_| work.has_keys()) {
            let block = card.sessions.block(work.session);
            let block = block.expect("an open session keeps its block");
            write_keys(ring, area, &request, block);
            secret_len = key_len(facts) as u32;
        }
        if let Some(area) = area.filter(|_| work.front_len > secret_len) {
            let rest_len = (work.front_len - secret_len) as usize;
            ring.write_area(area, secret_len as usize, &work.iv_rest[..rest_len]);
        }
        let post = Post {
            command,
            area: area.map(|area| (area, secret_len)),
            request: Some(request.id.0),
            job: Job::Any { request, held },
        };
        card.post(index, post, follows);
        Ok(())
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
        let is_useful =
            self.card.state() != DriverState::Lost && is_served(params) && self.learned.has(params);
        is_useful.then_some(ProbeScore::HARDWARE)
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
        let opened = self.card.open(Wanted {
            block: session_block(params),
            in_parts: params.flags.contains(SessionFlags::PARTS),
        });
        opened
            .map(|session| DriverSession(session.0))
            .map_err(open_error)
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
        let session = CardSession(session.0);
        let follows = hint == Hint::More;
        let facts = self.card.sessions.facts(session);
        let ring = usize::from(facts.ring);
        if self.card.is_running()
            && facts.openness == Openness::Plain
            && self.card.rings[ring].room() > 0
            && let Some(plain) = Plain::of(&request, facts)
        {
            return match self.submit_plain(session, facts, request, (plain, follows)) {
                Ok(()) => Ok(()),
                Err((request, trouble)) => self.give_up(ring, request, trouble),
            };
        }
        self.process_any(session, request, follows)
    }

    fn flush(&mut self, now: Time) {
        self.card.set_now(now);
        self.card.publish_rest();
    }

    fn service(&mut self, now: Time, output: &mut DriverOutput) {
        output.completed.append(&mut self.ended);
        let mut reporter = Reporter {
            output,
            bench: &mut self.bench,
        };
        self.card.service(now, &mut reporter);
        self.learned.look();
        self.keys.collect(&mut output.keys);
    }

    #[inline]
    fn deadline(&self) -> Time {
        if self.ended.is_empty() && !self.keys.has_ended() {
            self.card.deadline()
        } else {
            self.card.now()
        }
    }

    fn unblock_generation(&self) -> u64 {
        self.card.generation
    }

    fn key_operations(&self) -> KeyOps {
        self.keys.offered() & self.learned.key_operations()
    }

    fn process_key(&mut self, now: Time, request: Box<KeyRequest>) -> Result<(), KeyBlocked> {
        self.card.set_now(now);
        let bits_max = self.learned.key_bits();
        self.keys.process(&self.admin_handle(), request, bits_max)
    }

    fn key_unblock_generation(&self) -> u64 {
        self.keys.generation()
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
}

impl<T: Transport> Sink<T, Job> for Reporter<'_> {
    // Inlined, so that the job is read where it stands.
    #[inline(always)]
    fn finish(&mut self, transport: &mut T, counters: &Counters, job: Job, end: End) {
        let verdict = end.verdict;
        let is_good =
            verdict == Verdict::Card(Status::Success) && !shares_failure(&self.output.completed);
        let (request, untouched) = match job {
            Job::Plain {
                mut request,
                mapped,
                writes,
            } => {
                let unmapped = transport.unmap(mapped);
                let Buffer::Pooled(memory) = &mut request.buffer else {
                    unreachable!("a plain request has a pooled buffer");
                };
                // What is overwritten owns nothing: forgetting it spares the look.
                forget(replace(memory, unmapped.buffer));
                (request, !(unmapped.touched && writes))
            }
            Job::Squeeze(job) => {
                let completed = finish_squeeze(*job, transport, counters, end);
                return self.output.completed.push(completed);
            }
            Job::Any { mut request, held } => {
                let copy_out = is_good.then_some(counters);
                let untouched = self.bench.release(transport, &mut request, held, copy_out);
                (request, untouched)
            }
            Job::Packed {
                mut request,
                packed,
            } => {
                packed.release(transport, &mut request, is_good.then_some(counters));
                (request, true)
            }
        };
        let result = if is_good {
            Ok(())
        } else {
            // A state that a request did not bring cannot be bad.
            let verdict = match verdict {
                Verdict::Card(Status::BadState) if request.state.is_none() => Verdict::Nonsense,
                verdict => verdict,
            };
            Err(driver_error(verdict, untouched, counters))
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

/// Whether the last of `completed` failed, and that is taken for the failure of all.
#[inline(always)]
fn shares_failure(completed: &[Completed]) -> bool {
    on(Exhibit::StatusShared) && completed.last().is_some_and(|last| last.result.is_err())
}

/// How a job of compression ended. Out of line, because the others need none of it.
#[inline(never)]
fn finish_squeeze<T: Transport>(
    job: Squeeze,
    transport: &mut T,
    counters: &Counters,
    end: End,
) -> Completed {
    let (request, ended) = job.finish(transport, counters, end);
    let result = ended.map_err(|ending| match ending {
        Ending::Data(error) => error,
        Ending::Failed(verdict, untouched) => driver_error(verdict, untouched, counters),
    });
    Completed { request, result }
}

#[cold]
fn driver_error(verdict: Verdict, untouched: bool, counters: &Counters) -> DriverError {
    match verdict {
        _ if on(Exhibit::EveryErrorAMismatch) => DriverError::DigestMismatch,
        Verdict::Card(Status::DigestMismatch) => {
            counters.mismatched.add(1);
            DriverError::DigestMismatch
        }
        Verdict::Card(Status::BadState) => {
            counters.failed.add(1);
            DriverError::BadState
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
