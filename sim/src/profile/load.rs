//! A measured load on simulated cards: threads that keep bursts of requests going through
//! framework, driver and link, until the rate is known.
//!
//! The cards leave the work itself out, so that only time is simulated. Nothing is drawn: the same
//! load gives the same rate.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use device_model::{Card, LinkBacklog, MAX_PAYLOAD, Profile};
use dma::Pool;
use driver::{CardDriver, DriverConfig};
use framework::{
    Buffer, DriverChoice, DriverId, Framework, Limits, MigrationPolicy, Mode, Operation, Region,
    Request, SessionId,
};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::{Span, Time};

use super::Host;
use crate::checker::Checkers;
use crate::link::{Clock, Delays, LinkTransport, Port};
use crate::recorder::{Level, Recorder};
use crate::scenario::Suite;
use crate::schedule::{Actor, Schedule};
use crate::workload::session_params;

/// Bytes behind a payload, for any digest.
const DIGEST_ROOM: usize = 64;
/// Pool memory for one entry of a ring, more than enough.
const ENTRY_LEN: usize = 4096;
/// Bytes of a host's cache line.
const CACHE_LINE: u32 = 64;
/// Completions that send an interrupt at once, where more than one is in flight.
const COALESCE_COUNT: u32 = 32;
const COALESCE_TIMER: Span = Span::from_us(2);

/// What is asked of the cards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Algorithms.
    pub suite: Suite,
    /// Cards, all alike.
    pub cards: u32,
    /// Threads, each with one session; dealt to the cards in turn.
    pub threads: u32,
    /// Requests a thread keeps in flight.
    pub depth: u32,
    /// Requests that a thread makes at once, at most `depth`.
    pub burst: u32,
    /// Payload of a request; longer ones than a card takes are made as several.
    pub bytes: u32,
    /// Bytes of AAD in front of the payload, for suites that take it.
    pub aad: u32,
    /// Whether the cards share one link instead of having one each.
    pub shared_link: bool,
}

/// What the cards did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Speed {
    /// Requests of the measured stretch.
    pub requests: u64,
    /// How long it was.
    pub elapsed: Span,
}

/// Why there was no run.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// No memory.
    #[error("no DMA pool")]
    Pool(#[from] dma::PoolError),
    /// The profile describes no card.
    #[error(transparent)]
    Profile(#[from] device_model::ProfileError),
    /// A driver did not start.
    #[error("bring-up")]
    BringUp(#[from] driver::BringUpError),
    /// No card serves the suite.
    #[error("no card serves {suite}")]
    Session {
        /// What was wanted.
        suite: String,
        /// What the framework said.
        #[source]
        source: framework::SessionError,
    },
    /// A request was not accepted, or did not end well.
    #[error("a request of {suite} failed: {what}")]
    Request {
        /// Its suite.
        suite: String,
        /// What became of it.
        what: String,
    },
}

impl Load {
    /// Ring pairs of a card that sessions are dealt to.
    fn ring_pairs(&self, profile: &Profile) -> u16 {
        let sessions = self.threads.div_ceil(self.cards).max(1);
        profile.ring_pairs.min(sessions as u16)
    }

    /// Entries of a ring that never fills.
    fn ring_entries(&self) -> u32 {
        2 * self.depth.next_power_of_two()
    }
}

impl Speed {
    /// Requests a second; zero if no time went by.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        let seconds = self.elapsed.as_ps() as f64 / 1e12;
        if seconds > 0.0 {
            self.requests as f64 / seconds
        } else {
            0.0
        }
    }
}

/// Runs `load` on cards of `profile` in `host` until the rate is steady, and measures it.
///
/// # Errors
/// [`LoadError`] if the machine cannot be set up, or does not serve the suite.
pub fn run(profile: &Profile, host: &Host, load: &Load) -> Result<Speed, LoadError> {
    let parts = load.bytes.div_ceil(MAX_PAYLOAD).max(1);
    let part = Load {
        bytes: load.bytes.div_ceil(parts),
        ..*load
    };
    let mut machine = Machine::new(profile, *host, part)?;
    let speed = machine.measure()?;
    Ok(Speed {
        elapsed: speed.elapsed * u64::from(parts),
        ..speed
    })
}

/// A thread of the host.
#[derive(Debug)]
struct Thread {
    session: SessionId,
    /// Requests to be made.
    idle: VecDeque<Box<Request>>,
    /// Requests whose end the thread will have noticed at a time.
    ended: VecDeque<(Time, Box<Request>)>,
    /// The thread is at work until then.
    busy_until: Time,
    /// When the burst that is being made leaves.
    leaves: Option<Time>,
    /// When the last burst left.
    left: Time,
}

/// Cards, drivers, framework and threads on one clock.
#[derive(Debug)]
pub struct Machine {
    load: Load,
    host: Host,
    clock: Clock,
    schedule: Schedule,
    ports: Vec<Rc<RefCell<Port>>>,
    drivers: Vec<DriverId>,
    framework: Framework,
    threads: Vec<Thread>,
    burst: VecDeque<Box<Request>>,
    /// Requests that have ended.
    count: u64,
    failure: Option<String>,
}

impl Machine {
    /// Cards of `profile` in `host` with sessions open, before the first request. They leave the
    /// work out until [`set_timing_only`](Self::set_timing_only) says otherwise.
    ///
    /// # Errors
    /// [`LoadError`] if the machine cannot be set up, or does not serve the suite.
    pub fn new(profile: &Profile, host: Host, load: Load) -> Result<Self, LoadError> {
        let in_flight = load.threads as usize * load.depth as usize;
        let buffer_len = load.aad as usize + load.bytes as usize + DIGEST_ROOM;
        let rings = usize::from(load.ring_pairs(profile)) + 1;
        let ring_len = rings * load.ring_entries() as usize * ENTRY_LEN;
        let buffers = in_flight * buffer_len.next_power_of_two() * 2;
        let pool = Pool::new((4 << 20) + buffers + load.cards as usize * ring_len)?;
        let clock: Clock = Rc::new(Cell::new(Time::ZERO));
        let mut machine = Self {
            load,
            host,
            clock,
            schedule: Schedule::new(2 * load.cards + load.threads, 0),
            ports: Vec::new(),
            drivers: Vec::new(),
            framework: Framework::new(Limits {
                event_len: 0,
                ..Limits::default()
            }),
            threads: Vec::new(),
            burst: VecDeque::new(),
            count: 0,
            failure: None,
        };
        machine.plug(profile, &pool)?;
        machine.open(&pool)?;
        let now = machine.clock.get();
        for index in 0..machine.threads.len() {
            machine.schedule.set(machine.thread_actor(index), now);
        }
        Ok(machine)
    }

    /// Lets the cards do the work, or leave it out.
    pub fn set_timing_only(&mut self, timing_only: bool) {
        for port in &self.ports {
            if let Some(card) = port.borrow_mut().card_mut() {
                card.set_timing_only(timing_only);
            }
        }
    }

    /// Puts the cards in and starts their drivers.
    fn plug(&mut self, profile: &Profile, pool: &Pool) -> Result<(), LoadError> {
        let checkers = Recorder::new(Level::Off, Checkers::default());
        let recorder = Rc::new(RefCell::new(checkers));
        let uplink = Rc::new(Cell::new(LinkBacklog::default()));
        let is_deep = self.load.depth > 1;
        for index in 0..self.load.cards {
            let delays = Delays::new((Span::ZERO, Span::ZERO), Span::ZERO, 0);
            let (clock, recorder) = (Rc::clone(&self.clock), Rc::clone(&recorder));
            let mut port = Port::new(index as u16, clock, recorder, delays);
            if self.load.shared_link {
                port.share_link(Rc::clone(&uplink));
            }
            let mut card = Card::new(profile.clone())?;
            card.set_timing_only(true);
            port.plug(card);
            let port = Rc::new(RefCell::new(port));
            let alive = Rc::new(Cell::new(true));
            let transport = LinkTransport::new(Rc::clone(&port), pool.clone(), alive);
            let count = COALESCE_COUNT.min(self.load.depth / 2);
            let config = DriverConfig {
                name: format!("card{index}"),
                ring_pairs: self.load.ring_pairs(profile),
                ring_entries: self.load.ring_entries(),
                coalesce_count: if is_deep { count.max(1) } else { 1 },
                coalesce_timer: if is_deep { COALESCE_TIMER } else { Span::ZERO },
                watchdog: Span::from_ms(1_000),
                // What was measured on a product began with no such order.
                identify: false,
                ..DriverConfig::default()
            };
            let driver = CardDriver::new(transport, config)?;
            self.drivers.push(self.framework.register(Box::new(driver)));
            self.ports.push(port);
        }
        for index in 0..self.drivers.len() {
            self.schedule.set(self.driver_actor(index), Time::ZERO);
        }
        Ok(())
    }

    /// Opens the sessions and waits until they can be used.
    fn open(&mut self, pool: &Pool) -> Result<(), LoadError> {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(1);
        for index in 0..self.load.threads as usize {
            let params = session_params(self.load.suite, &mut chance);
            let choice = DriverChoice::driver(self.drivers[index % self.drivers.len()]);
            let now = self.clock.get();
            let session = self
                .framework
                .open_session(now, params, choice, MigrationPolicy::Report)
                .map_err(|source| LoadError::Session {
                    suite: self.load.suite.to_string(),
                    source,
                })?;
            let requests = (0..self.load.depth).map(|_| self.request(session, index, pool));
            self.threads.push(Thread {
                session,
                idle: requests.collect::<Result<_, _>>()?,
                ended: VecDeque::new(),
                busy_until: Time::ZERO,
                leaves: None,
                left: Time::ZERO,
            });
        }
        for slot in 0..self.drivers.len() {
            self.settle(slot);
        }
        while self.step()? {}
        Ok(())
    }

    fn request(
        &self,
        session: SessionId,
        thread: usize,
        pool: &Pool,
    ) -> Result<Box<Request>, LoadError> {
        let (mode, load) = (self.load.suite.mode, &self.load);
        let takes_aad = matches!(mode, Mode::Aead | Mode::EncryptThenAuthenticate);
        let aad_len = if takes_aad { load.aad as usize } else { 0 };
        let end = aad_len + load.bytes as usize;
        let buffer = Buffer::Pooled(pool.take(end + DIGEST_ROOM)?);
        let operation = match mode {
            Mode::Cipher => Operation::Encrypt,
            Mode::Compress(_) => Operation::Compress,
            Mode::Digest => Operation::ComputeDigest,
            Mode::Aead | Mode::EncryptThenAuthenticate => Operation::EncryptCompute,
        };
        let mut request = Request::new(session, operation, buffer);
        request.iv = (load.suite.iv_len > 0).then_some([0; 64]);
        request.aad = Region {
            start: 0,
            len: aad_len,
        };
        request.payload = Region {
            start: aad_len,
            len: load.bytes as usize,
        };
        if !matches!(mode, Mode::Cipher | Mode::Compress(_)) {
            request.digest_start = end;
        }
        request.opaque = thread as u64;
        Ok(request)
    }

    /// Waits until everything is in flight and measures what follows.
    ///
    /// # Errors
    /// [`LoadError::Request`] if a request is not accepted or does not end well.
    pub fn measure(&mut self) -> Result<Speed, LoadError> {
        let in_flight = u64::from(self.load.threads) * u64::from(self.load.depth);
        let begin = self.count + 3 * in_flight + 2;
        let end = begin + 6 * in_flight;
        let mut began = None;
        while self.count < end {
            if !self.step()? {
                return Err(self.failed("nothing is left to happen"));
            }
            if began.is_none() && self.count >= begin {
                began = Some((self.clock.get(), self.count));
            }
        }
        let (at, count) = began.unwrap_or((Time::ZERO, 0));
        Ok(Speed {
            requests: self.count - count,
            elapsed: self.clock.get() - at,
        })
    }

    /// What all runs so far did together, the stretches before measuring included.
    #[must_use]
    pub fn total(&self) -> Speed {
        Speed {
            requests: self.count,
            elapsed: self.clock.get().since(Time::ZERO),
        }
    }

    fn driver_actor(&self, driver: usize) -> Actor {
        Actor(self.load.cards + driver as u32)
    }

    fn thread_actor(&self, thread: usize) -> Actor {
        Actor(2 * self.load.cards + thread as u32)
    }

    /// Keeps one appointment; false if there is none.
    fn step(&mut self) -> Result<bool, LoadError> {
        let Some((at, Actor(actor))) = self.schedule.next_due() else {
            return Ok(false);
        };
        self.clock.set(at);
        let cards = self.load.cards;
        let slot = if actor < cards {
            self.ports[actor as usize].borrow_mut().advance();
            actor as usize
        } else if actor < 2 * cards {
            let slot = (actor - cards) as usize;
            self.framework.service(at, self.drivers[slot]);
            self.take_finished();
            slot
        } else {
            let thread = (actor - 2 * cards) as usize;
            self.act(thread);
            thread % self.drivers.len()
        };
        self.settle(slot);
        match self.failure.take() {
            Some(what) => Err(self.failed(&what)),
            None => Ok(true),
        }
    }

    fn failed(&self, what: &str) -> LoadError {
        LoadError::Request {
            suite: self.load.suite.to_string(),
            what: what.to_owned(),
        }
    }

    /// Makes the appointments of the card in `slot` and of its driver: nothing else has changed.
    fn settle(&mut self, slot: usize) {
        let now = self.clock.get();
        let port = self.ports[slot].borrow();
        let wants = self.framework.driver_deadline(self.drivers[slot]);
        let wants = wants.min(port.interrupt_deadline());
        let driver = self.driver_actor(slot);
        self.schedule
            .set(Actor(slot as u32), port.card_deadline().max(now));
        self.schedule.at_latest(driver, wants.max(now));
    }

    fn take_finished(&mut self) {
        let now = self.clock.get();
        while let Some(finished) = self.framework.take_finished() {
            if let Err(error) = finished.result {
                self.failure = Some(error.to_string());
            }
            let index = finished.request.opaque as usize;
            let thread = &mut self.threads[index];
            let noticed = self.host.notices(thread.left, now);
            let done = thread.busy_until.max(noticed) + self.host.complete;
            thread.busy_until = done;
            thread.ended.push_back((done, finished.request));
            self.schedule
                .at_latest(Actor(2 * self.load.cards + index as u32), done);
        }
    }

    /// A thread takes what has ended, and makes the next burst.
    fn act(&mut self, index: usize) {
        let (now, load) = (self.clock.get(), self.load);
        let thread = &mut self.threads[index];
        while let Some((_, request)) = thread.ended.pop_front_if(|(at, _)| *at <= now) {
            thread.idle.push_back(request);
            self.count += 1;
        }
        loop {
            let thread = &mut self.threads[index];
            if thread.leaves.is_some_and(|at| at <= now) {
                self.send(index);
                continue;
            }
            if thread.leaves.is_some() || thread.idle.len() < load.burst as usize {
                break;
            }
            let making = self.host.makes(&load) * u64::from(load.burst);
            let leaves = thread.busy_until.max(now) + making;
            thread.busy_until = leaves;
            thread.leaves = Some(leaves);
        }
        let thread = &self.threads[index];
        let ended = thread.ended.front().map_or(Time::NEVER, |&(at, _)| at);
        let next = ended.min(thread.leaves.unwrap_or(Time::NEVER));
        self.schedule.set(self.thread_actor(index), next);
    }

    /// A thread's burst leaves.
    fn send(&mut self, index: usize) {
        let now = self.clock.get();
        let thread = &mut self.threads[index];
        thread.leaves = None;
        thread.left = now;
        for mut request in thread.idle.drain(..self.load.burst as usize) {
            request.session = thread.session;
            self.burst.push_back(request);
        }
        if let Err(rejected) = self.framework.dispatch_batch(now, &mut self.burst) {
            self.failure = Some(rejected.reason.to_string());
        }
    }
}

impl Host {
    /// What making one request of `load` takes.
    fn makes(&self, load: &Load) -> Span {
        let writes_back = load.suite.mode != Mode::Digest;
        let is_partial = writes_back && !load.bytes.is_multiple_of(CACHE_LINE);
        let partial = if is_partial {
            self.partial_line
        } else {
            Span::ZERO
        };
        self.submit + self.copy_per_byte * u64::from(load.bytes) + partial
    }

    /// When an end that could be seen at `now` is, of a request that left at `left`.
    fn notices(&self, left: Time, now: Time) -> Time {
        let tick = self.notice_tick.as_ps();
        if tick == 0 {
            return now;
        }
        let waited = (now - left).as_ps();
        left + Span::from_ps(waited.next_multiple_of(tick))
    }
}
