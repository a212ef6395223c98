//! Consumers at work on a rig: the same that work in simulated runs, in real time.

use framework::{DriverChoice, Request};
use framework::{Finished, MigrationPolicy, RequestError, SessionError};
use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::{Span, Time};

use super::rig::Rig;
use crate::input::{Cursor, Input};
use crate::scenario::{Placement, Suite, Workload};
use crate::workload::{Consumer, Phase, Source, percent};

/// Most mistakes that are told one by one.
const MAX_MISTAKES: usize = 8;

/// What came of a load.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    /// Requests that were called back.
    pub(crate) requests: u64,
    /// Pieces that went forward and back and were right.
    pub(crate) pieces: u64,
    /// Falsified digests that were found out.
    pub(crate) tampered: u64,
    /// Requests whose buffer was in doubt and that were made anew.
    pub(crate) interrupted: u64,
    /// What was wrong, in words; the first few.
    pub(crate) mistakes: Vec<String>,
}

impl Tally {
    /// Of a load that could not begin.
    pub(crate) fn failed(why: String) -> Self {
        Self {
            mistakes: vec![why],
            ..Self::default()
        }
    }

    /// What came of another load besides.
    pub(crate) fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.pieces += other.pieces;
        self.tampered += other.tampered;
        self.interrupted += other.interrupted;
        self.mistakes.extend(other.mistakes);
    }

    pub(crate) fn mistake(&mut self, what: String) {
        if self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(what);
        }
    }
}

/// A number of consumers, each with one session.
pub(crate) struct Load<'a> {
    input: &'a Input,
    cursor: Cursor,
    chance: Xoshiro256PlusPlus,
    workload: Workload,
    consumers: Vec<Consumer>,
    begun: u64,
    outstanding: u64,
    tally: Tally,
}

/// What a load is.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// One consumer for each.
    pub(crate) suites: Vec<Suite>,
    /// Requests that each keeps going.
    pub(crate) depth: u32,
    /// Pieces in all.
    pub(crate) pieces: u64,
    pub(crate) seed: u64,
}

impl<'a> Load<'a> {
    /// Opens the sessions.
    ///
    /// # Errors
    /// A message if one is refused, or the reference libraries do not serve it.
    pub(crate) fn open(rig: &mut Rig, input: &'a Input, order: &Order) -> Result<Self, String> {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(order.seed);
        let mut consumers = Vec::new();
        for (index, &suite) in (0..).zip(&order.suites) {
            let mut consumer = Consumer::new(index, suite, true, &mut chance)?;
            let session = rig.framework.open_session(
                rig.now(),
                consumer.params.clone(),
                DriverChoice::hardware_only(),
                MigrationPolicy::Transparent,
            );
            let refused = |error: SessionError| format!("{suite}: no session: {error}");
            consumer.session = session.map_err(refused)?;
            consumers.push(consumer);
        }
        let workload = Workload {
            consumers: consumers.len() as u32,
            depth: order.depth,
            pieces: Some(order.pieces),
            sizes: vec![(64, 3), (1000, 2), (4096, 2), (9000, 1)],
            suites: order.suites.clone(),
            transparent_percent: 100,
            separate_output_percent: 30,
            chain_percent: 25,
            unpooled_percent: 20,
            tampered_percent: 30,
            think: (Span::ZERO, Span::ZERO),
            placement: Placement::Hardware,
        };
        Ok(Self {
            input,
            cursor: Cursor::default(),
            chance,
            workload,
            consumers,
            begun: 0,
            outstanding: 0,
            tally: Tally::default(),
        })
    }

    /// Whether nothing is left to do.
    pub(crate) fn is_done(&self) -> bool {
        let is_idle = |consumer: &Consumer| consumer.ready.is_empty();
        self.begun >= self.goal() && self.outstanding == 0 && self.consumers.iter().all(is_idle)
    }

    /// Pieces that ended so far.
    pub(crate) const fn ended(&self) -> u64 {
        self.tally.pieces
    }

    const fn goal(&self) -> u64 {
        match self.workload.pieces {
            Some(pieces) => pieces,
            None => 0,
        }
    }

    /// Begins no further piece.
    pub(crate) const fn stop(&mut self) {
        self.workload.pieces = Some(self.begun);
    }

    /// Dispatches what there is room for, lets the drivers work, takes what came back; sleeps if
    /// nothing did.
    pub(crate) fn turn(&mut self, rig: &mut Rig) {
        let count = self.consumers.len();
        while (0..count).any(|index| self.consume(index, rig)) {}
        rig.turn();
        let before = self.tally.requests;
        while let Some(finished) = rig.framework.take_finished() {
            self.call_back(finished, rig);
        }
        if self.tally.requests == before && !self.is_done() {
            rig.sleep();
        }
    }

    /// Works until all is done or it is `end`; closes the sessions.
    pub(crate) fn finish(mut self, rig: &mut Rig, end: Time) -> Tally {
        while !self.is_done() && rig.now() < end {
            self.turn(rig);
        }
        if !self.is_done() {
            let (out, left) = (self.outstanding, self.goal() - self.begun);
            let message = format!("{out} requests did not come back, {left} were not begun");
            self.tally.mistake(message);
        }
        for consumer in &self.consumers {
            let now = rig.now();
            // A session that went with its card is closed already.
            let _ = rig.framework.close_session(now, consumer.session);
        }
        rig.turn();
        self.tally
    }

    /// Whether there is a request to dispatch, and the consumer dispatched it.
    fn consume(&mut self, index: usize, rig: &mut Rig) -> bool {
        if self.outstanding >= self.most() {
            return false;
        }
        // Each consumer begins a piece in turn, so that every suite gets its share.
        let is_mine = self.begun % self.consumers.len() as u64 == index as u64;
        if self.consumers[index].ready.is_empty() && is_mine && self.begun < self.goal() {
            self.begun += 1;
            let mut source = Source {
                input: self.input,
                cursor: &mut self.cursor,
                chance: &mut self.chance,
                pool: &rig.pool,
            };
            if let Err(message) = self.consumers[index].begin(&self.workload, &mut source) {
                self.tally.mistake(message);
            }
        }
        let request = self.consumers[index].ready.pop_front();
        request.is_some_and(|request| self.dispatch(index, request, rig))
    }

    /// Most requests under way.
    fn most(&self) -> u64 {
        u64::from(self.workload.depth) * self.consumers.len() as u64
    }

    fn dispatch(&mut self, index: usize, mut request: Box<Request>, rig: &mut Rig) -> bool {
        let consumer = &self.consumers[index];
        request.session = consumer.session;
        let number = request.opaque as u32;
        request.opaque = (index as u64) << 32 | u64::from(number);
        let now = rig.now();
        match rig.framework.dispatch(now, request) {
            Ok(_) => {
                self.outstanding += 1;
                true
            }
            Err(rejected) => {
                let message = format!("{}: rejected: {}", consumer.suite, rejected.reason);
                self.tally.mistake(message);
                self.consumers[index].end(number);
                false
            }
        }
    }

    fn call_back(&mut self, Finished { request, result }: Finished, rig: &Rig) {
        let (index, number) = ((request.opaque >> 32) as usize, request.opaque as u32);
        self.outstanding -= 1;
        self.tally.requests += 1;
        let consumer = &mut self.consumers[index];
        match result {
            Ok(()) => self.ended_well(index, number, &request, rig),
            Err(RequestError::DigestMismatch) if consumer.job(number).phase == Phase::Tampered => {
                self.tally.tampered += 1;
                consumer.go_on(number, Phase::Back, &rig.pool);
            }
            Err(RequestError::Moved(session)) => {
                consumer.session = session;
                consumer.ready.push_back(request);
            }
            Err(RequestError::Interrupted(session)) => {
                self.tally.interrupted += 1;
                consumer.session = session;
                consumer.make(number, &rig.pool);
            }
            Err(error) => {
                let message = format!("{}: a request failed: {error}", consumer.suite);
                consumer.end(number);
                self.tally.mistake(message);
            }
        }
    }

    fn ended_well(&mut self, index: usize, number: u32, request: &Request, rig: &Rig) {
        let consumer = &mut self.consumers[index];
        let suite = consumer.suite;
        let job = consumer.job(number);
        let phase = job.phase;
        let wrong = job.compare_result(request);
        let wrong: Vec<_> = wrong
            .iter()
            .filter(|part| part.actual != part.expected)
            .map(|part| format!("{suite}, {phase:?}: {} is wrong", part.what))
            .collect();
        let is_right = wrong.is_empty() && phase != Phase::Tampered;
        for message in wrong {
            self.tally.mistake(message);
        }
        if phase == Phase::Tampered {
            self.tally
                .mistake(format!("{suite}: a false digest was verified"));
        }
        if phase == Phase::Forward && is_right {
            let tamper =
                consumer.verifies() && percent(&mut self.chance, self.workload.tampered_percent);
            let next = if tamper { Phase::Tampered } else { Phase::Back };
            return consumer.go_on(number, next, &rig.pool);
        }
        self.tally.pieces += u64::from(is_right);
        consumer.end(number);
    }
}
