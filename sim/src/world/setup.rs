//! Before the first appointment: slots, drivers, consumers and their sessions.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dma::Pool;
use framework::{DriverChoice, Framework, Limits, MigrationPolicy};
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::{Span, Time};

use super::faults::Script;
use super::machine::Slot;
use super::notice::Ledger;
use super::{Counts, RunOptions, SetupError, World};
use crate::checker::Checkers;
use crate::coverage::Watch;
use crate::cpu::CpuDriver;
use crate::event::Event;
use crate::input::Cursor;
use crate::link::{Delays, Port};
use crate::recorder::{Level, Recorder};
use crate::scenario::{Placement, Scenario};
use crate::schedule::Schedule;
use crate::workload::{Consumer, below, percent};

/// The workload begins after this time even if some card is not up.
const BRING_UP: Span = Span::from_ms(1_000);

/// What the framework of a world is held to.
pub(super) fn limits() -> Limits {
    Limits {
        event_len: 1 << 20,
        ..Limits::default()
    }
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario, options: &'a RunOptions) -> Result<Self, SetupError> {
        let mut chance = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        let level = if options.keep_log {
            Level::Keep
        } else {
            Level::Check
        };
        let recorder = Rc::new(RefCell::new(Recorder::new(level, Checkers::default())));
        if !scenario.faults.is_empty() {
            recorder.borrow_mut().watch_signs();
        }
        if options.coverage {
            // Each card that is there is put in before the first event.
            let watch = Watch::new(scenario.cards.iter().map(|card| card.present));
            recorder.borrow_mut().watch_coverage(watch);
        }
        let clock = Rc::new(Cell::new(Time::ZERO));
        let ports: Vec<_> = (0..scenario.cards.len())
            .map(|index| {
                let delays = Delays::of(scenario, chance.next_u64());
                let (clock, recorder) = (Rc::clone(&clock), Rc::clone(&recorder));
                Rc::new(RefCell::new(Port::new(
                    index as u16,
                    clock,
                    recorder,
                    delays,
                )))
            })
            .collect();
        let actors = 2 * scenario.cards.len() as u32 + 2 + scenario.workload.consumers;
        let mut world = Self {
            scenario,
            input: &options.input,
            clock,
            schedule: Schedule::new(actors, chance.next_u64()),
            framework: Framework::new(limits()),
            pool: Pool::new(scenario.pool_len)?,
            slots: ports.iter().map(|_| Slot::default()).collect(),
            ports,
            software: None,
            consumers: Vec::new(),
            cursor: Cursor::default(),
            chance,
            fleet: options.seed,
            recorder,
            script: Script::new(&scenario.faults, options.seed),
            ledger: Ledger::new(scenario.faults.len(), scenario.cards.len()),
            counts: Counts {
                pieces_total: pieces(scenario, options),
                ..Counts::default()
            },
            marks: Vec::new(),
            other_violations: Vec::new(),
            first_dispatch: None,
            last_callback: Time::ZERO,
            stuck: false,
            stop_at_first: options.stop_at_first,
            is_cut: false,
            began: Time::ZERO,
        };
        world.set_up_drivers()?;
        world.set_up_consumers()?;
        world.settle();
        // The cards come up and open the sessions before the first consumer acts.
        let limit = world.now() + BRING_UP;
        while world.now() < limit && !world.is_over() && world.step() {}
        world.start();
        Ok(world)
    }

    fn set_up_drivers(&mut self) -> Result<(), SetupError> {
        for slot in 0..self.slots.len() {
            if self.scenario.cards[slot].present {
                self.plug(slot)?;
            }
        }
        if self.scenario.software {
            let id = self
                .framework
                .register(Box::new(CpuDriver::new("software")));
            self.software = Some(id);
            self.record(Event::Registered {
                driver: id.as_u32(),
                card: u16::MAX,
            });
        }
        Ok(())
    }

    fn set_up_consumers(&mut self) -> Result<(), SetupError> {
        let workload = &self.scenario.workload;
        let mut ordered = Vec::new();
        for index in 0..workload.consumers {
            let suite = workload.suites[index as usize % workload.suites.len()];
            let transparent = percent(&mut self.chance, workload.transparent_percent);
            let mut consumer =
                Consumer::new(index, suite, transparent, &mut self.chance).map_err(|message| {
                    SetupError::Reference {
                        consumer: index,
                        message,
                    }
                })?;
            if self.scenario.timing_only {
                consumer.expect_nothing();
            }
            consumer.session = self.open_session(index, &consumer)?;
            self.watch_keys(index, &consumer);
            ordered.push(consumer.ordered);
            self.consumers.push(consumer);
        }
        self.recorder.borrow_mut().checkers().order.expect(ordered);
        Ok(())
    }

    /// The workload begins now, and with it the time that the fault script counts.
    fn start(&mut self) {
        let now = self.now();
        self.began = now;
        self.arm_script(now);
        for index in 0..self.consumers.len() {
            // Consumers begin within a microsecond, in an order the seed decides.
            let delay = Span::from_ps(below(&mut self.chance, 1_000_000));
            self.schedule.set(self.consumer_actor(index), now + delay);
        }
    }

    fn open_session(
        &mut self,
        index: u32,
        consumer: &Consumer,
    ) -> Result<framework::SessionId, SetupError> {
        let choice = match self.scenario.workload.placement {
            Placement::Any => DriverChoice::any(),
            Placement::Hardware => DriverChoice::hardware_only(),
            Placement::Software => DriverChoice::software_only(),
        };
        let policy = if consumer.transparent {
            MigrationPolicy::Transparent
        } else {
            MigrationPolicy::Report
        };
        let now = self.now();
        self.framework
            .open_session(now, consumer.params.clone(), choice, policy)
            .map_err(|source| SetupError::Session {
                consumer: index,
                suite: consumer.suite.to_string(),
                source,
            })
    }

    fn watch_keys(&mut self, index: u32, consumer: &Consumer) {
        let mut recorder = self.recorder.borrow_mut();
        let params = &consumer.params;
        recorder.checkers().nonce.watch(params);
        let residue = &mut recorder.checkers().key_residue;
        for (kind, key) in [("cipher", &params.cipher_key), ("digest", &params.auth_key)] {
            if let Some(key) = key {
                residue.watch(&format!("consumer {index} ({kind})"), key.bytes());
            }
        }
    }
}

/// Pieces a run processes: what the scenario says, but the given input at least once.
fn pieces(scenario: &Scenario, options: &RunOptions) -> u64 {
    if options.input.is_empty() {
        return 0;
    }
    match (scenario.workload.pieces, options.input.origin()) {
        (Some(pieces), None) => pieces,
        (pieces, _) => pieces
            .unwrap_or(0)
            .max(pieces_of_one_lap(scenario, options)),
    }
}

/// Upper bound of the pieces in one lap: sizes are drawn, so the smallest decides. Consumers stop
/// after one lap; see `World::consume`.
fn pieces_of_one_lap(scenario: &Scenario, options: &RunOptions) -> u64 {
    let smallest = scenario
        .workload
        .sizes
        .iter()
        .map(|&(bytes, _)| bytes.max(1))
        .min()
        .unwrap_or(64);
    options.input.pieces_at_most(smallest as usize)
}
