//! Random walks: whatever happens in whatever order, each accepted request ends exactly once.

use std::collections::BTreeSet;

use framework::{CryptoDriver, DriverSession, Hint, Request};
use regs::Status;

use super::{Bench, config, null_params, request_on};
use crate::{DriverConfig, DriverState};

/// A small generator with a long enough period; the seed is the walk's name.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

struct Walk {
    bench: Bench,
    chance: Chance,
    sessions: Vec<DriverSession>,
    next: u64,
    in_flight: BTreeSet<u64>,
    waiting: Option<(Box<Request>, u64)>,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let config = DriverConfig {
            ring_pairs: 2,
            reap_budget: 1 + chance.below(4) as u32,
            ..config(2 + chance.below(9) as u32)
        };
        let (mut bench, first) = Bench::running_with(config, &null_params());
        let second = bench.open(&null_params());
        Self {
            bench,
            chance,
            sessions: vec![first, second],
            next: 0,
            in_flight: BTreeSet::new(),
            waiting: None,
        }
    }

    fn offer(&mut self) {
        let request = match self.waiting.take() {
            Some((request, generation)) => {
                if self.bench.driver.unblock_generation() == generation {
                    self.waiting = Some((request, generation));
                    return;
                }
                request
            }
            None => {
                self.next += 1;
                self.request()
            }
        };
        let hint = match self.chance.below(2) {
            0 => Hint::More,
            _ => Hint::Last,
        };
        let session = self.sessions[self.chance.below(2) as usize];
        let id = request.id.0;
        match self.bench.offer(session, request, hint) {
            Ok(()) => assert!(self.in_flight.insert(id)),
            Err(blocked) => self.waiting = Some((blocked.request, blocked.generation)),
        }
    }

    fn request(&mut self) -> Box<Request> {
        match self.chance.below(3) {
            0 => self.bench.request(self.next),
            1 => request_on(self.next, framework::Buffer::Memory(vec![7; 30]), 30),
            _ => {
                let parts = vec![self.bench.pooled(&[1; 9]), self.bench.pooled(&[2; 9])];
                request_on(self.next, framework::Buffer::Chain(parts), 18)
            }
        }
    }

    fn complete_one(&mut self) {
        let ring = 1 + self.chance.below(2) as u16;
        self.bench.card().fetch(ring);
        let pending = self.bench.card().ring(ring).pending.len() as u64;
        if pending > 0 {
            let index = self.chance.below(pending) as usize;
            self.bench.card().complete(ring, index, Status::Success);
        }
    }

    fn service(&mut self) {
        self.bench.service();
        for done in std::mem::take(&mut self.bench.output.completed) {
            assert!(self.in_flight.remove(&done.request.id.0), "twice or never");
            assert_ne!(done.request.buffer.len(), 0, "with its buffer");
        }
    }

    fn step(&mut self) {
        match self.chance.below(100) {
            0..40 => self.offer(),
            40..70 => self.complete_one(),
            70..90 => self.service(),
            90..94 => self.bench.card().serve_admin(),
            94..96 => self.bench.card().sends_interrupts ^= true,
            96..97 => self.bench.card().loses_doorbells ^= true,
            _ => {
                let deadline = self.bench.driver.deadline();
                if deadline != timebase::Time::NEVER {
                    self.bench.now = self.bench.now.max(deadline);
                    self.service();
                }
            }
        }
    }

    /// From here on the card is well: all that is in flight ends, and who waits gets in.
    fn settle(&mut self) {
        self.bench.card().loses_doorbells = false;
        for _ in 0..1000 {
            if self.in_flight.is_empty() && self.waiting.is_none() {
                return;
            }
            self.bench.card().serve();
            self.service();
            let deadline = self.bench.driver.deadline();
            if deadline != timebase::Time::NEVER {
                self.bench.now = self.bench.now.max(deadline);
                self.service();
            }
            if self.waiting.is_some() {
                self.offer();
            }
        }
        panic!(
            "stuck in {:?} with {:?}",
            self.bench.driver.state(),
            self.in_flight
        );
    }
}

#[test]
fn every_walk_ends_with_nothing_lost_and_nothing_doubled() {
    let mut seen = [0; 6];
    for seed in 0..300 {
        let mut walk = Walk::new(seed);
        for _ in 0..400 {
            walk.step();
            if walk.bench.driver.state() == DriverState::Lost {
                break;
            }
        }
        walk.settle();
        assert_eq!(walk.bench.card().open_windows(), 0, "seed {seed}");
        let held: u32 = walk
            .bench
            .driver
            .occupancy()
            .map(|ring| ring.in_flight)
            .sum();
        assert_eq!(held, 0, "seed {seed}");
        let stats = walk.bench.stats();
        let events = [
            stats.resets,
            stats.rerung,
            stats.polled_completions,
            stats.refused_ring_full,
            stats.refused_not_running,
            stats.bounces,
        ];
        for (sum, count) in seen.iter_mut().zip(events) {
            *sum += count;
        }
    }
    assert!(
        seen.iter().all(|&sum| sum > 20),
        "the walks see too little: {seen:?}"
    );
}

#[test]
fn every_walk_that_ends_in_removal_brings_everything_back() {
    for seed in 0..300 {
        let mut walk = Walk::new(seed);
        let steps = walk.chance.below(200);
        for _ in 0..steps {
            walk.step();
        }
        walk.bench.card().is_alive = false;
        for _ in 0..20 {
            walk.bench.now = walk.bench.now.max(walk.bench.driver.deadline());
            walk.service();
            if walk.bench.output.lost {
                break;
            }
        }
        if walk.in_flight.is_empty() && !walk.bench.output.lost {
            continue;
        }
        assert!(walk.in_flight.is_empty(), "seed {seed}");
        assert_eq!(walk.bench.card().open_mappings(), 0, "seed {seed}");
    }
}
