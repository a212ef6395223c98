//! The bench: a foreign device, its driver, and what goes wrong between them, on one virtual clock.

use std::ops::{Range, RangeInclusive};

use dma::Pool;
use rand::{Rng as _, SeedableRng as _};
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::{Span, Time};

use super::link::{Bus, Link};
use super::{Device, Driver};
use crate::checker::{Checkers, Findings};
use crate::event::Record;
use crate::link::Delays;
use crate::outcome::Violation;
use crate::recorder::{Level, Recorder};
use crate::rule::Rule;
use crate::schedule::{Actor, Schedule};
use crate::world::builder::listed;

/// From a removal or an insertion until the driver is told.
const NOTICE: Span = Span::from_us(1);
/// Steps at one instant after which time is said to stand still.
const MAX_STEPS_AT_ONCE: u32 = 100_000;

const DEVICE: Actor = Actor(0);
const DRIVER: Actor = Actor(1);
const SCRIPT: Actor = Actor(2);

/// What goes wrong on a bench, or is put right again.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// The device is pulled out without warning.
    Unplug,
    /// Another device of the kind is put in.
    Plug,
    /// From now on, messages between driver and device meet a fate. For a foreign device every
    /// register write is a [`Write`](crate::rule::Message::Write).
    Messages(Rule),
}

/// How to run a device and its driver against each other.
#[derive(Clone, Debug)]
pub struct Bench<M, N> {
    make_device: M,
    make_driver: N,
    faults: Vec<(RangeInclusive<Span>, Fault)>,
    latency: Span,
    interrupt_jitter: (Span, Span),
    write_jitter: Span,
    memory_jitter: Span,
    drain_within: Span,
    pool_len: usize,
    keep_log: bool,
}

/// What a run left behind.
#[derive(Debug)]
pub struct Trial<E> {
    /// The seed.
    pub seed: u64,
    /// Digest of every event, 16 hexadecimal digits. Two runs that differ have different ones.
    pub digest: String,
    /// Events.
    pub events: u64,
    /// When the run was over.
    pub ended: Time,
    /// What went wrong; nothing if the run passed.
    pub violations: Vec<Violation>,
    /// Every event, if the bench was asked to keep them.
    pub log: Vec<Record>,
    /// The driver, to look at what it counted.
    pub driver: E,
}

impl<M, N, D, E> Bench<M, N>
where
    M: Fn() -> D,
    N: Fn() -> E,
    D: Device + 'static,
    E: Driver,
{
    /// A bench for what the two functions make: a device for each insertion, a driver for each run.
    /// Register writes take 300 ns, nothing jitters, nothing goes wrong, a run in which nothing
    /// moves for 10 ms is stuck, and drivers have 1 MiB of memory to deal out.
    pub fn new(make_device: M, make_driver: N) -> Self {
        Self {
            make_device,
            make_driver,
            faults: Vec::new(),
            latency: Span::from_ns(300),
            interrupt_jitter: (Span::ZERO, Span::ZERO),
            write_jitter: Span::ZERO,
            memory_jitter: Span::ZERO,
            drain_within: Span::from_ms(10),
            pool_len: 1 << 20,
            keep_log: false,
        }
    }

    /// Lets a register write take this long.
    #[must_use]
    pub fn latency(self, latency: Span) -> Self {
        Self { latency, ..self }
    }

    /// Delays each interrupt by something in between, drawn from the seed.
    #[must_use]
    pub fn interrupt_jitter(self, low: Span, high: Span) -> Self {
        let interrupt_jitter = (low, high);
        Self {
            interrupt_jitter,
            ..self
        }
    }

    /// Delays each register write by up to this, drawn from the seed; order is kept.
    #[must_use]
    pub fn write_jitter(self, write_jitter: Span) -> Self {
        Self {
            write_jitter,
            ..self
        }
    }

    /// Delays each write of the device to memory by up to this, drawn from the seed; order is kept,
    /// interrupts wait for it and reads push it.
    #[must_use]
    pub fn memory_jitter(self, memory_jitter: Span) -> Self {
        Self {
            memory_jitter,
            ..self
        }
    }

    /// Calls a run stuck when nothing moves for this long.
    #[must_use]
    pub fn drain_within(self, drain_within: Span) -> Self {
        Self {
            drain_within,
            ..self
        }
    }

    /// Gives drivers this many bytes of memory to deal out.
    #[must_use]
    pub fn pool(self, pool_len: usize) -> Self {
        Self { pool_len, ..self }
    }

    /// Keeps every event of a run.
    #[must_use]
    pub fn keep_log(self) -> Self {
        Self {
            keep_log: true,
            ..self
        }
    }

    /// Lets something go wrong at a moment within `when`, drawn from the seed.
    #[must_use]
    pub fn fault(mut self, when: RangeInclusive<Span>, fault: Fault) -> Self {
        self.faults.push((when, fault));
        self
    }

    /// One run. The same seed is the same run, to the bit.
    ///
    /// # Panics
    /// If the system has no memory for the pool.
    pub fn run(&self, seed: u64) -> Trial<E> {
        let mut run = Run::new(self, seed);
        while !run.is_over() && run.step() {}
        run.finish(seed)
    }

    /// The first of `seeds` whose run fails.
    pub fn first_failure(&self, seeds: Range<u64>) -> Option<Trial<E>> {
        let mut trials = seeds.map(|seed| self.run(seed));
        trials.find(|trial| !trial.passed())
    }
}

impl<E> Trial<E> {
    /// Whether nothing went wrong.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }

    /// What went wrong, and which seed shows it again; empty if nothing did.
    #[must_use]
    pub fn complaint(&self) -> String {
        if self.passed() {
            return String::new();
        }
        let (seed, digest) = (self.seed, &self.digest);
        let listed = listed(&self.violations);
        format!("seed {seed} (digest {digest}) failed\n{listed}")
    }

    /// Nothing went wrong.
    ///
    /// # Panics
    /// With the [`complaint`](Self::complaint) if something did.
    #[track_caller]
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{}", self.complaint());
    }
}

/// A run that is under way.
struct Run<'a, M, N, E> {
    bench: &'a Bench<M, N>,
    link: Link,
    driver: E,
    schedule: Schedule,
    /// When each fault happens, and whether it has happened.
    script: Vec<(Time, bool)>,
    chance: Xoshiro256PlusPlus,
    /// When the driver is told to look, besides its own deadline.
    notice_at: Time,
    is_stuck: bool,
}

impl<'a, M, N, D, E> Run<'a, M, N, E>
where
    M: Fn() -> D,
    N: Fn() -> E,
    D: Device + 'static,
    E: Driver,
{
    fn new(bench: &'a Bench<M, N>, seed: u64) -> Self {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed);
        let pool = Pool::new(bench.pool_len).expect("memory for the pool");
        let jitter = bench.interrupt_jitter;
        let delays = Delays::new(jitter, bench.write_jitter, chance.next_u64())
            .with_memory(bench.memory_jitter);
        let level = if bench.keep_log {
            Level::Keep
        } else {
            Level::Check
        };
        let recorder = Recorder::new(level, Checkers::default());
        let mut link = Link::new(pool, bench.latency, delays, recorder);
        link.plug(Box::new((bench.make_device)()));
        let schedule = Schedule::new(3, chance.next_u64());
        let faults = bench.faults.iter();
        let script = faults.map(|(when, _)| (drawn(&mut chance, when), false));
        let mut run = Self {
            bench,
            script: script.collect(),
            link,
            driver: (bench.make_driver)(),
            schedule,
            chance,
            notice_at: Time::ZERO,
            is_stuck: false,
        };
        run.settle();
        run
    }

    /// The work is done, or there is no device to do it with and none will come.
    fn is_over(&self) -> bool {
        let no_more_faults = self.script.iter().all(|&(_, happened)| happened);
        let is_idle = !self.link.has_device() && self.notice_at == Time::NEVER;
        self.is_stuck || self.driver.left() == 0 || (no_more_faults && is_idle)
    }

    /// Keeps one appointment. False if there is none.
    fn step(&mut self) -> bool {
        let Some((at, actor)) = self.schedule.next_due() else {
            return false;
        };
        // A read that was delayed has taken time that no appointment knows of.
        let at = at.max(self.link.now());
        self.link.set_now(at);
        // Nobody can work without a device.
        let waiting = match self.link.has_device() {
            true => self.driver.left(),
            false => 0,
        };
        let bound = self.bench.drain_within;
        let liveness = &mut self.link.recorder.checkers().liveness;
        self.is_stuck =
            liveness.is_stuck(at, waiting, bound) || liveness.is_spinning(at, MAX_STEPS_AT_ONCE);
        if self.is_stuck {
            return false;
        }
        match actor {
            DEVICE => self.link.advance(),
            DRIVER => {
                self.notice_at = Time::NEVER;
                self.driver.service(&mut Bus::new(&mut self.link));
            }
            _ => self.run_script(at),
        }
        self.settle();
        true
    }

    fn settle(&mut self) {
        let now = self.link.now();
        let device = self.link.device_deadline();
        let driver = self.driver.deadline().min(self.link.interrupt_deadline());
        let script = self.script.iter().filter(|(_, happened)| !happened);
        let script = script.map(|&(at, _)| at).min().unwrap_or(Time::NEVER);
        for (actor, at) in [
            (DEVICE, device),
            (DRIVER, driver.min(self.notice_at)),
            (SCRIPT, script),
        ] {
            self.schedule.set(actor, at.max(now));
        }
    }

    fn run_script(&mut self, now: Time) {
        for index in 0..self.script.len() {
            let (at, happened) = self.script[index];
            if happened || at > now {
                continue;
            }
            self.script[index].1 = true;
            match self.bench.faults[index].1 {
                Fault::Unplug => {
                    self.link.unplug();
                    self.notice_at = now + NOTICE;
                }
                Fault::Plug => {
                    self.link.plug(Box::new((self.bench.make_device)()));
                    self.notice_at = now + NOTICE;
                }
                Fault::Messages(rule) => {
                    let seed = self.chance.next_u64();
                    self.link.rules().arm(index, rule, seed);
                }
            }
            self.link.recorder.checkers().liveness.progress(now);
        }
    }

    fn finish(mut self, seed: u64) -> Trial<E> {
        let now = self.link.now();
        if !self.is_stuck {
            if self.link.has_device() {
                let left = self.driver.left();
                let liveness = &mut self.link.recorder.checkers().liveness;
                liveness.nothing_left(now, left);
            }
            self.driver.close(&mut Bus::new(&mut self.link));
            self.link.recorder.checkers().exactly_once.finish(now);
        }
        let mut bench = Findings::new("bench");
        let windows = self.link.windows();
        if !self.is_stuck && windows > 0 {
            bench.violation(now, || format!("{windows} DMA windows are still open"));
        }
        for (index, (_, fault)) in self.bench.faults.iter().enumerate() {
            if let Fault::Messages(rule) = fault
                && self.link.rules().struck(index).unwrap_or(0) == 0
            {
                let (number, kind) = (index + 1, rule.message.name());
                bench.violation(now, || format!("fault {number} struck no {kind}"));
            }
        }
        let (_, mut violations) = self.link.recorder.checkers().results();
        violations.extend(self.link.wrong.take().into_iter().chain(bench.take()));
        violations.sort_by_key(|violation| violation.at_ps);
        Trial {
            seed,
            digest: format!("{:016x}", self.link.recorder.digest()),
            events: self.link.recorder.count(),
            ended: now,
            violations,
            log: self.link.recorder.take_log(),
            driver: self.driver,
        }
    }
}

/// A moment within `when`.
fn drawn(chance: &mut Xoshiro256PlusPlus, when: &RangeInclusive<Span>) -> Time {
    let (low, high) = (when.start().as_ps(), when.end().as_ps());
    let width = high.saturating_sub(low).saturating_add(1);
    Time::ZERO + Span::from_ps(low + chance.next_u64() % width)
}
