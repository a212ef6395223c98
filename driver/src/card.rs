//! The card as a whole: its rings, what is in flight on them, and what a call of service does.
//!
//! One state machine ([`Phase`]) advanced by [`Card::service`]; its transitions stand in
//! `recovery`. Registers are read in bring-up, after an error interrupt and by the watchdog, never
//! on the way of a request. What leaves the card goes to a [`Sink`]; the jobs themselves (`J`) are
//! the business of `ocf`.

use std::mem::take;
use std::sync::Arc;

use regs::{CardSession, DEVICE_ID, DeviceAddr, Errata, Register, RingId};
use timebase::Time;

use crate::admin::Desk;
use crate::command::AREA_LEN;
use crate::errata::{Quirks, TORN_RETRY};
use crate::interrupt::Vectors;
use crate::ring::{AreaShape, End, Post, Ring, Stall};
use crate::session::{AdminJob, Refusal, Sessions, Wanted};
use crate::stats::Counters;
use crate::{BringUpError, DriverConfig, DriverEvent, Transport};

/// Most areas (segment lists, request keys) of one data ring.
const MAX_AREAS: u32 = 256;
/// Commands held back by hints before the doorbell is rung anyway.
const MAX_HELD_BACK: u32 = 32;
/// A read that nobody answered.
pub(crate) const ALL_ONES: u32 = u32::MAX;
/// Bit of the vector that errors are told on, the admin ring's.
const ERROR_VECTOR: u128 = 1;
/// Bit of the admin ring in a mask of rings.
pub(crate) const ADMIN_BIT: u128 = 1;

/// What a driver's card is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DriverState {
    /// A reset is under way: the first one, or one that repairs a hang.
    Resetting,
    /// The card is back from a reset and gets its sessions again.
    Restoring,
    /// Requests are served.
    Running,
    /// The driver finishes what is in flight and stops the card.
    Detaching,
    /// The card is gone, given up or stopped for good.
    Lost,
}

/// Where the card is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Phase {
    /// The card was told to reset; what was in flight stays mapped until it is over. `until` is set
    /// by the first call that knows the time.
    Resetting {
        until: Option<Time>,
        poll_at: Time,
        then: Then,
    },
    /// Sessions that were open before a reset are created again.
    Restoring,
    /// Requests are served.
    Running,
    /// No request is taken any more.
    Detaching(Leave),
    /// Nothing is left to do.
    Lost,
}

/// What follows a reset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Then {
    /// The card is used.
    Use,
    /// The card is left alone.
    Leave,
}

/// How far a detach has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Leave {
    /// Data commands are in flight.
    Draining,
    /// Sessions are being destroyed.
    Closing,
}

/// Takes what leaves the card.
pub(crate) trait Sink<T, J> {
    /// `job` ended.
    fn finish(&mut self, transport: &mut T, counters: &Counters, job: J, end: End);
    /// The opening of `session` ended.
    fn opened(&mut self, session: CardSession, result: Result<(), Refusal>);
    /// The card is lost; everything was handed over before.
    fn lost(&mut self);
}

/// Why a job cannot be posted now. Whoever offered it may wait for the unblock generation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Shortage {
    /// The ring is full.
    Ring,
    /// DMA windows are used up.
    Window,
    /// Pool memory is used up.
    Memory,
    /// The ring's areas are used up.
    Area,
    /// The card resets.
    Reset,
}

/// One card.
pub(crate) struct Card<T, J> {
    pub(crate) transport: T,
    pub(crate) rings: Vec<Ring<J>>,
    pub(crate) sessions: Sessions,
    /// What is asked of the card beside requests and sessions.
    pub(crate) desk: Arc<Desk>,
    /// Orders in flight for which the card may take long.
    pub(crate) slow_orders: u32,
    pub(crate) counters: Arc<Counters>,
    pub(crate) generation: u64,
    pub(crate) config: DriverConfig,
    pub(crate) vectors: Vectors,
    pub(crate) quirks: Quirks,
    pub(crate) phase: Phase,
    pub(crate) shared: Vec<DeviceAddr>,
    /// Rings with work in flight, bit `n` for ring `n`.
    pub(crate) busy: u128,
    /// Data rings with commands the card does not know of.
    pub(crate) held_back: u128,
    /// Data rings that refused for lack of slots.
    pub(crate) refused: u128,
    /// Something refused for lack of what completions bring back: windows, memory, areas.
    pub(crate) is_starved: bool,
    /// Something refused because the card resets, or before it was reset.
    pub(crate) is_waiting: bool,
    /// Some ring has more completions than the budget allowed.
    pub(crate) is_hungry: bool,
    /// Whether interrupts are not wanted: somebody looks all the time.
    pub(crate) is_quiet: bool,
    /// No ring can have stood still for the watchdog's time before this.
    pub(crate) watchdog_at: Time,
    pub(crate) fruitless_resets: u32,
    /// Data commands in flight, all rings together.
    pub(crate) in_flight: u32,
    /// Data commands posted that are not counted yet.
    posted: u32,
    /// The last time anybody told us.
    pub(crate) now: Time,
}

impl<T: Transport, J> Card<T, J> {
    /// Checks that the right card answers, takes memory and starts a reset.
    pub(crate) fn new(mut transport: T, config: DriverConfig) -> Result<Self, BringUpError> {
        config.validate().map_err(BringUpError::Config)?;
        match transport.read(Register::DeviceId.offset()) {
            DEVICE_ID => {}
            ALL_ONES => return Err(BringUpError::Gone),
            id => return Err(BringUpError::ForeignDevice { id }),
        }
        let quirks = Quirks::new(transport.read(Register::Errata.offset()), &config);
        let vector_count = transport.vectors();
        if vector_count == 0 {
            return Err(BringUpError::NoVectors);
        }
        let mut shared = Vec::new();
        let memory = make_rings(&mut transport, &config, quirks, &mut shared);
        let (sessions, rings) = match memory {
            Ok(memory) => memory,
            Err(error) => {
                shared.drain(..).for_each(|addr| transport.unshare(addr));
                return Err(error);
            }
        };
        let mut card = Self {
            vectors: Vectors::new(config.ring_pairs + 1, vector_count),
            transport,
            rings,
            sessions,
            desk: Arc::default(),
            slow_orders: 0,
            counters: Arc::default(),
            generation: 0,
            quirks,
            config,
            phase: Phase::Resetting {
                until: None,
                poll_at: Time::ZERO,
                then: Then::Use,
            },
            shared,
            busy: 0,
            held_back: 0,
            refused: 0,
            is_starved: false,
            is_waiting: false,
            is_hungry: false,
            is_quiet: false,
            watchdog_at: Time::NEVER,
            fruitless_resets: 0,
            in_flight: 0,
            posted: 0,
            now: Time::ZERO,
        };
        card.write_reset();
        Ok(card)
    }

    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    pub(crate) fn state(&self) -> DriverState {
        match self.phase {
            Phase::Resetting {
                then: Then::Use, ..
            } => DriverState::Resetting,
            Phase::Restoring => DriverState::Restoring,
            Phase::Running => DriverState::Running,
            Phase::Detaching(_) | Phase::Resetting { .. } => DriverState::Detaching,
            Phase::Lost => DriverState::Lost,
        }
    }

    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    /// Whether a data command is in flight, so that a completion will come.
    pub(crate) fn has_data_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    #[inline]
    pub(crate) fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    /// Queues the creation of a session.
    pub(crate) fn open(&mut self, wanted: Wanted) -> Result<CardSession, Refusal> {
        if matches!(self.state(), DriverState::Lost | DriverState::Detaching) {
            return Err(Refusal::Device);
        }
        let session = self.sessions.open(wanted).inspect_err(|_| {
            self.counters.refused_sessions.add(1);
        })?;
        self.post_admin();
        Ok(session)
    }

    /// Queues the destruction of a session.
    pub(crate) fn close(&mut self, session: CardSession) {
        if self.phase != Phase::Lost {
            self.sessions.close(session);
            self.post_admin();
        }
    }

    /// Posts a command to data ring `index` and rings the doorbell unless more `follows`.
    #[inline(always)]
    pub(crate) fn post(&mut self, index: usize, post: Post<J>, follows: bool) {
        let ring = &mut self.rings[index];
        let was_idle = ring.in_flight() == 0;
        let unpublished = ring.unpublished();
        ring.post(&mut self.transport, post);
        self.in_flight += 1;
        self.posted += 1;
        if was_idle {
            self.wake(index);
        }
        if unpublished == 0 {
            self.held_back |= ADMIN_BIT << (index + 1);
        }
        if !follows || unpublished + 1 >= MAX_HELD_BACK {
            self.publish();
        }
    }

    /// Begins to watch data ring `index`, which was idle.
    #[inline(never)]
    fn wake(&mut self, index: usize) {
        let ring = &mut self.rings[index];
        ring.progress_at = self.now;
        ring.stall = Stall::None;
        self.busy |= ADMIN_BIT << (index + 1);
        let patience = self.quirks.patience(self.config.watchdog);
        self.watchdog_at = self.watchdog_at.min(self.now + patience);
    }

    /// Rings the doorbell of every ring with commands that the card does not know of.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.held_back != 0 {
            self.publish_held_back();
        }
    }

    #[inline(never)]
    fn publish_held_back(&mut self) {
        self.count_posted();
        let rung = self.held_back;
        while self.held_back != 0 {
            let ring = self.held_back.trailing_zeros() as usize;
            self.held_back = self.other_held_back();
            self.rings[ring - 1].publish(&mut self.transport);
            self.counters.doorbells.add(1);
        }
        self.confirm_doorbells(rung);
    }

    /// Counts what was posted since the last time, before anything of it can complete.
    pub(crate) fn count_posted(&mut self) {
        let counters = &self.counters;
        counters.posted.add(u64::from(take(&mut self.posted)));
        counters.max_in_flight.raise_to(u64::from(self.in_flight));
    }

    /// Notes a refusal; the generation that will be exceeded once there is room.
    pub(crate) fn refuse(&mut self, index: usize, shortage: Shortage) -> u64 {
        // What is held back must reach the card, or the room waited for never comes.
        self.publish_rest();
        let counters = &self.counters;
        let counter = match shortage {
            Shortage::Ring => &counters.refused_ring_full,
            Shortage::Window => &counters.refused_no_window,
            Shortage::Memory => &counters.refused_no_memory,
            Shortage::Area => &counters.refused_no_area,
            Shortage::Reset => &counters.refused_not_running,
        };
        counter.add(1);
        match shortage {
            Shortage::Ring => self.refused |= ADMIN_BIT << (index + 1),
            Shortage::Window | Shortage::Memory | Shortage::Area => self.is_starved = true,
            Shortage::Reset => self.is_waiting = true,
        }
        if let Some(ring) = self.rings.get(index) {
            let ring = ring.id();
            self.transport.observe(DriverEvent::Refused { ring });
        }
        self.generation
    }

    /// Looks for what happened and hands it to `sink`.
    pub(crate) fn service<S: Sink<T, J>>(&mut self, now: Time, sink: &mut S) {
        self.now = now;
        let in_flight = self.in_flight;
        if self.desk.has_orders() {
            self.post_admin();
        }
        match self.phase {
            Phase::Lost => return,
            Phase::Resetting { until, then, .. } => {
                // An interrupt now is an echo of the time before the reset: nothing is read for it.
                let _ = self.transport.take_interrupts();
                self.advance_reset(until, then, sink);
            }
            Phase::Running | Phase::Restoring | Phase::Detaching(_) => {
                let fired = self.transport.take_interrupts();
                self.reap_all(fired, sink);
                if now >= self.watchdog_at {
                    self.watch(sink);
                }
                if self.quirks.is_torn {
                    self.watchdog_at = self.watchdog_at.min(now + TORN_RETRY);
                }
                self.settle(sink);
            }
        }
        if self.phase != Phase::Lost && self.is_gone() {
            self.lose(sink);
        }
        self.unblock(self.in_flight < in_flight);
        self.publish_rest();
    }

    /// When `service` must run even if no interrupt arrives.
    #[inline]
    pub(crate) fn deadline(&self) -> Time {
        if self.desk.has_orders() && self.takes_orders() {
            return self.now;
        }
        match self.phase {
            Phase::Lost => Time::NEVER,
            Phase::Resetting { poll_at, .. } => poll_at,
            Phase::Detaching(_) if self.busy == 0 => self.now,
            Phase::Detaching(_) | Phase::Restoring | Phase::Running => {
                if self.is_hungry || self.is_to_publish() {
                    self.now
                } else {
                    self.watchdog_at
                }
            }
        }
    }

    fn reap_all<S: Sink<T, J>>(&mut self, fired: u128, sink: &mut S) {
        let hit = self.vectors.rings_of(fired);
        let mut todo = self.busy | hit;
        let error_rings = self.vectors.rings_of(fired & ERROR_VECTOR);
        let mut is_explained = error_rings == 0;
        self.is_hungry = false;
        self.quirks.is_torn = false;
        while todo != 0 {
            let ring = todo.trailing_zeros();
            todo &= todo - 1;
            let is_hit = hit >> ring & 1 != 0;
            let entries = if ring == 0 {
                self.reap_admin(is_hit, sink)
            } else {
                self.reap_data(ring as usize - 1, is_hit, sink)
            };
            is_explained |= entries > 0 && error_rings >> ring & 1 != 0;
        }
        if self.busy == 0 {
            self.watchdog_at = Time::NEVER;
        }
        // An error message has the admin ring's vector, and no completion.
        if !is_explained {
            self.read_error(sink);
        }
    }

    fn reap_data<S: Sink<T, J>>(&mut self, index: usize, is_hit: bool, sink: &mut S) -> u32 {
        let ring = &mut self.rings[index];
        let is_overdue =
            ring.in_flight() > 0 && self.now >= ring.progress_at + self.config.watchdog;
        let budget = self.config.reap_budget;
        let counters = &*self.counters;
        let finish = |transport: &mut T, job, end: End| {
            sink.finish(transport, counters, job, end);
        };
        let reaped = ring.reap(&mut self.transport, budget, counters, finish);
        self.quirks.is_torn |= reaped.is_torn;
        if reaped.entries == 0 && (!is_hit || self.quirks.leaves_alone(reaped)) {
            return 0;
        }
        self.is_hungry |= reaped.is_exhausted;
        let has_answered = ring.answer(&mut self.transport, reaped, self.is_quiet);
        self.counters.completion_doorbells.add(has_answered.into());
        if reaped.entries == 0 {
            return 0;
        }
        self.counters.reaped.add(u64::from(reaped.jobs));
        self.counters
            .budget_exhausted
            .add(u64::from(reaped.is_exhausted));
        self.in_flight -= reaped.jobs;
        if reaped.jobs > 0 {
            ring.progress_at = self.now;
            ring.stall = Stall::None;
            self.fruitless_resets = 0;
            if ring.in_flight() == 0 {
                self.busy &= !(ADMIN_BIT << (index + 1));
            }
            if is_overdue && !is_hit {
                let ring = ring.id();
                self.note_stall(ring);
                self.counters.polled_completions.add(u64::from(reaped.jobs));
            }
        }
        reaped.entries
    }

    fn reap_admin<S: Sink<T, J>>(&mut self, is_hit: bool, sink: &mut S) -> u32 {
        let ring = &mut self.sessions.ring;
        let is_overdue =
            ring.in_flight() > 0 && self.now >= ring.progress_at + self.config.watchdog;
        let mut ended = Vec::new();
        let reaped = ring.reap(
            &mut self.transport,
            self.config.reap_budget,
            &self.counters,
            |_, job, end| {
                ended.push((job, end.verdict));
            },
        );
        self.quirks.is_torn |= reaped.is_torn;
        if reaped.entries > 0 || (is_hit && !self.quirks.leaves_alone(reaped)) {
            self.is_hungry |= reaped.is_exhausted;
            let has_answered = ring.answer(&mut self.transport, reaped, self.is_quiet);
            self.counters.completion_doorbells.add(has_answered.into());
        }
        if reaped.jobs > 0 {
            ring.progress_at = self.now;
            ring.stall = Stall::None;
            if is_overdue && !is_hit {
                self.note_stall(RingId::ADMIN);
                self.counters.polled_completions.add(u64::from(reaped.jobs));
            }
        }
        for (job, verdict) in ended {
            let job = match job {
                AdminJob::Session(job) => job,
                AdminJob::Order(job) => {
                    self.finish_order(*job, verdict);
                    continue;
                }
            };
            if let Some((session, result)) = self.sessions.finish(job, verdict, &self.counters) {
                sink.opened(session, result);
            }
        }
        self.post_admin();
        if self.sessions.ring.in_flight() == 0 {
            self.busy &= !ADMIN_BIT;
        }
        reaped.entries
    }

    /// Posts queued admin commands, if the card takes any.
    pub(crate) fn post_admin(&mut self) {
        match self.phase {
            Phase::Running | Phase::Restoring | Phase::Detaching(_) => {}
            Phase::Lost => return self.desk.close(),
            Phase::Resetting { .. } => return,
        }
        let was_idle = self.sessions.ring.in_flight() == 0;
        let mut has_posted = self.sessions.post(&mut self.transport, &self.counters);
        if self.desk.has_orders() {
            has_posted |= self.take_orders();
        }
        if has_posted && was_idle {
            self.busy |= ADMIN_BIT;
            self.sessions.ring.progress_at = self.now;
            self.sessions.ring.stall = Stall::None;
            let patience = self.quirks.patience(self.config.watchdog);
            self.watchdog_at = self.watchdog_at.min(self.now + patience);
        }
        if has_posted {
            self.confirm_doorbells(ADMIN_BIT);
        }
    }

    /// Raises the unblock generation if something refused and there is room again.
    fn unblock(&mut self, has_reaped: bool) {
        if self.refused == 0 && !self.is_starved && !self.is_waiting {
            return;
        }
        if self.phase != Phase::Running {
            return;
        }
        let mut has_room = self.is_waiting || (self.is_starved && has_reaped);
        let mut refused = self.refused;
        while refused != 0 {
            let bit = refused.trailing_zeros() as usize;
            refused &= refused - 1;
            let ring = &self.rings[bit - 1];
            // A quarter of the ring, so that the next batch does not block at its first request.
            if ring.room() >= (ring.capacity() / 4).max(1) {
                self.refused &= !(ADMIN_BIT << bit);
                has_room = true;
            }
        }
        if has_room {
            self.is_waiting = false;
            self.is_starved = false;
            self.raise_generation();
        }
    }

    pub(crate) fn raise_generation(&mut self) {
        self.generation += 1;
        self.counters.unblocks.add(1);
    }

    pub(crate) fn note_stall(&mut self, ring: RingId) {
        self.counters.watchdog_firings.add(1);
        self.transport.observe(DriverEvent::Watchdog { ring });
    }
}

fn make_rings<T: Transport, J>(
    transport: &mut T,
    config: &DriverConfig,
    quirks: Quirks,
    shared: &mut Vec<DeviceAddr>,
) -> Result<(Sessions, Vec<Ring<J>>), BringUpError> {
    let areas = AreaShape {
        len: AREA_LEN,
        max_count: MAX_AREAS,
    };
    let mut sessions = Sessions::new(transport, config.sessions, config.ring_pairs, shared)?;
    let mut rings = (1..=config.ring_pairs)
        .map(|id| Ring::new(transport, RingId(id), config.ring_entries, areas, shared))
        .collect::<Result<Vec<_>, _>>()?;
    if quirks.avoids(Errata::EARLY_STATUS) {
        sessions.ring.mark_consumed_entries();
        rings.iter_mut().for_each(Ring::mark_consumed_entries);
    }
    if quirks.avoids(Errata::STALE_CONTEXT) {
        sessions.rekey_created();
    }
    Ok((sessions, rings))
}
