//! The world: every actor on one virtual clock.
//!
//! Owns the clock, the schedule, the framework with its drivers, the machine slots with their
//! cards, the consumers and the fault script. Takes one appointment at a time, lets that actor act,
//! then delivers what came of it. Nothing in here asks a wall clock, a thread or an address: the
//! seed, the scenario and the input decide everything.

pub mod builder;
mod closing;
mod consume;
pub(crate) mod faults;
mod machine;
mod notice;
mod panic;
mod setup;
pub mod state;
#[cfg(test)]
mod tests;

pub use self::panic::name_runs_that_panic;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use dma::Pool;
use framework::{DriverId, Framework, FrameworkEvent};
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::Time;

use crate::event::Event;
use crate::input::{Cursor, Input};
use crate::link::{Clock, Port};
use crate::outcome::{Mark, MarkKind, Outcome, Violation};
use crate::recorder::Recorder;
use crate::scenario::Scenario;
use crate::schedule::{Actor, Schedule};
use crate::workload::Consumer;

use self::faults::Script;
use self::machine::Slot;
use self::notice::Ledger;

/// Events at one instant after which the world is called stuck.
const MAX_STEPS_AT_ONCE: u32 = 100_000;

/// How to run a scenario.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Where every choice comes from.
    pub seed: u64,
    /// What consumers process.
    pub input: Input,
    /// Whether to keep the whole event log, for a trace file or the report of a failure.
    pub keep_log: bool,
    /// Whether to follow the states of drivers and cards in which faults strike.
    pub coverage: bool,
    /// Whether to end at the first violation: what comes after it is not looked at.
    pub stop_at_first: bool,
}

impl RunOptions {
    /// A whole run without a log.
    #[must_use]
    pub const fn new(seed: u64, input: Input) -> Self {
        Self {
            seed,
            input,
            keep_log: false,
            coverage: false,
            stop_at_first: false,
        }
    }
}

/// How far a run is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Pieces done.
    pub finished: u64,
    /// Pieces to do.
    pub total: u64,
    /// Virtual time.
    pub now: Time,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The case has a bug that this program was built without.
    #[error(transparent)]
    Closed(#[from] exhibit::Closed),
    /// No memory for the DMA pool.
    #[error("no DMA pool")]
    Pool(#[from] dma::PoolError),
    /// A card's profile describes no card.
    #[error("slot {slot}")]
    Profile {
        /// Name of the slot.
        slot: String,
        /// What is wrong.
        #[source]
        source: device_model::ProfileError,
    },
    /// A driver did not start.
    #[error("slot {slot}")]
    BringUp {
        /// Name of the slot.
        slot: String,
        /// What is wrong.
        #[source]
        source: driver::BringUpError,
    },
    /// No driver serves a consumer's session.
    #[error("consumer {consumer} ({suite}) finds no driver")]
    Session {
        /// Which consumer.
        consumer: u32,
        /// What it wants.
        suite: String,
        /// What the framework said.
        #[source]
        source: framework::SessionError,
    },
    /// A reference library does not serve a suite.
    #[error("consumer {consumer}: {message}")]
    Reference {
        /// Which consumer.
        consumer: u32,
        /// What it said.
        message: String,
    },
}

/// Runs `scenario` to its end. `progress` hears how far it is, about a hundred times.
///
/// # Errors
/// [`SetupError`] if the run cannot begin. What goes wrong later is in the outcome.
pub fn run(
    scenario: &Scenario,
    options: &RunOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, SetupError> {
    let _running = panic::Running::new(&scenario.name, options.seed);
    let mut world = World::new(scenario, options)?;
    world.work(progress);
    if !world.is_over() {
        world.close();
    }
    Ok(world.outcome(options.seed))
}

/// A world while it runs; [`World::builder`] is the way to one for a test.
pub struct World<'a> {
    scenario: &'a Scenario,
    input: &'a Input,
    clock: Clock,
    schedule: Schedule,
    framework: Framework,
    pool: Pool,
    ports: Vec<Rc<RefCell<Port>>>,
    slots: Vec<Slot>,
    software: Option<DriverId>,
    consumers: Vec<Consumer>,
    cursor: Cursor,
    chance: Xoshiro256PlusPlus,
    /// Where the cards' own keys come from, so that their making draws nothing from `chance`.
    fleet: u64,
    recorder: Rc<RefCell<Recorder>>,
    script: Script,
    ledger: Ledger,
    counts: Counts,
    marks: Vec<Mark>,
    other_violations: Vec<Violation>,
    first_dispatch: Option<Time>,
    last_callback: Time,
    /// The run cannot go on.
    stuck: bool,
    /// The run ends at the first violation.
    stop_at_first: bool,
    /// A violation ended the run.
    is_cut: bool,
    /// When the workload began; what the fault script counts from.
    began: Time,
}

/// Counts for the summary that are kept nowhere else.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    pieces_begun: u64,
    pieces_total: u64,
    pieces: u64,
    requests: u64,
    bytes: u64,
    blocks: u64,
    unblocks: u64,
    migrations: u64,
    moved: u64,
    interrupted: u64,
    resubmitted: u64,
    refusals: u64,
    tampered_caught: u64,
    unplugs: u64,
    plugs: u64,
}

impl World<'_> {
    fn now(&self) -> Time {
        self.clock.get()
    }

    fn card_actor(&self, slot: usize) -> Actor {
        Actor(slot as u32)
    }

    fn driver_actor(&self, slot: usize) -> Actor {
        Actor((self.slots.len() + slot) as u32)
    }

    fn software_actor(&self) -> Actor {
        Actor(2 * self.slots.len() as u32)
    }

    fn script_actor(&self) -> Actor {
        Actor(2 * self.slots.len() as u32 + 1)
    }

    fn consumer_actor(&self, consumer: usize) -> Actor {
        Actor(2 * self.slots.len() as u32 + 2 + consumer as u32)
    }

    /// Takes appointments until the workload is done, or nothing is left to happen.
    fn work(&mut self, progress: &mut dyn FnMut(Progress)) {
        let step = (self.counts.pieces_total / 100).max(1);
        let mut report_at = 0;
        while !self.is_done() && !self.is_over() && self.step() {
            if self.counts.pieces >= report_at {
                report_at = self.counts.pieces + step;
                progress(Progress {
                    finished: self.counts.pieces,
                    total: self.counts.pieces_total,
                    now: self.now(),
                });
            }
        }
        if !self.stuck && !self.is_over() {
            let (now, open) = (self.now(), self.outstanding());
            self.recorder
                .borrow_mut()
                .checkers()
                .liveness
                .nothing_left(now, open);
        }
    }

    /// Whether something was found, and that ends the run.
    fn is_over(&self) -> bool {
        self.stop_at_first
            && (!self.other_violations.is_empty()
                || self.recorder.borrow_mut().checkers().have_found())
    }

    fn is_done(&self) -> bool {
        let begun = self.counts.pieces_begun >= self.counts.pieces_total;
        let idle = self
            .consumers
            .iter()
            .all(|c| c.outstanding == 0 && c.ready.is_empty());
        begun && idle && self.script.is_over(self.counts.requests)
    }

    fn outstanding(&self) -> u64 {
        self.consumers
            .iter()
            .map(|consumer| u64::from(consumer.outstanding))
            .sum()
    }

    /// Keeps one appointment. False if there is none, or the world is stuck.
    fn step(&mut self) -> bool {
        let Some((at, actor)) = self.schedule.next_due() else {
            return false;
        };
        if self.is_stuck(at) {
            return false;
        }
        // A processor that was stalled comes late to what was due meanwhile.
        self.clock.set(at.max(self.now()));
        self.act(actor);
        self.settle();
        true
    }

    fn is_stuck(&mut self, at: Time) -> bool {
        let outstanding = self.outstanding();
        let bound = self.scenario.drain_within;
        let mut recorder = self.recorder.borrow_mut();
        let liveness = &mut recorder.checkers().liveness;
        self.stuck |= liveness.is_stuck(at, outstanding, bound)
            || liveness.is_spinning(at, MAX_STEPS_AT_ONCE);
        self.stuck
    }

    fn act(&mut self, actor: Actor) {
        let (slots, number) = (self.slots.len(), actor.0 as usize);
        let now = self.now();
        if number < slots {
            self.ports[number].borrow_mut().advance();
        } else if number < 2 * slots {
            if let Some(driver) = self.slots[number - slots].driver {
                self.slots[number - slots].notice_at = None;
                self.framework.service(now, driver);
            }
        } else if actor == self.software_actor() {
            if let Some(driver) = self.software {
                self.framework.service(now, driver);
            }
        } else if actor == self.script_actor() {
            self.run_script();
        } else {
            self.consume(number - 2 * slots - 2);
        }
    }

    /// Delivers what came of the last act, and makes the appointments that follow from it.
    fn settle(&mut self) {
        self.take_finished();
        self.take_events();
        let now = self.now();
        let told = self.recorder.borrow_mut().take_told();
        if !told.is_empty() {
            self.told(&told);
        }
        for slot in 0..self.slots.len() {
            let (card_at, interrupt_at, has_news) = {
                let port = self.ports[slot].borrow();
                let interrupt_at = port.interrupt_deadline();
                (port.card_deadline(), interrupt_at, port.has_news())
            };
            if has_news {
                let told = self.ports[slot].borrow_mut().rules().take_told();
                self.told(&told);
            }
            self.schedule.set(self.card_actor(slot), card_at.max(now));
            let Some(driver) = self.slots[slot].driver else {
                continue;
            };
            let wants = self.framework.driver_deadline(driver).min(interrupt_at);
            let wants = wants.min(self.slots[slot].notice_at.unwrap_or(Time::NEVER));
            self.schedule.set(self.driver_actor(slot), wants.max(now));
        }
        if let Some(software) = self.software {
            let wants = self.framework.driver_deadline(software);
            self.schedule.set(self.software_actor(), wants.max(now));
        }
        if !self.scenario.faults.is_empty() {
            self.notice();
        }
        if let Some(coverage) = self.recorder.borrow_mut().coverage() {
            coverage.settle();
        }
    }

    fn take_events(&mut self) {
        let events: Vec<FrameworkEvent> = self.framework.events().collect();
        for event in events {
            match event {
                FrameworkEvent::Refused { driver, .. } => self.refused(driver),
                FrameworkEvent::Blocked { driver } => {
                    self.counts.blocks += 1;
                    self.record(Event::Blocked {
                        driver: driver.as_u32(),
                    });
                    self.mark(MarkKind::Block, driver, "ring full, driver blocked");
                }
                FrameworkEvent::Unblocked { driver } => {
                    self.counts.unblocks += 1;
                    self.record(Event::Unblocked {
                        driver: driver.as_u32(),
                    });
                    self.mark(MarkKind::Unblock, driver, "driver unblocked");
                }
                FrameworkEvent::SessionOpened { session, driver } => {
                    let (session, driver) = (session.as_u64(), driver.as_u32());
                    self.record(Event::SessionOpened { session, driver });
                }
                FrameworkEvent::SessionMoved {
                    from,
                    to,
                    from_driver,
                    to_driver,
                    reason,
                } => {
                    self.counts.migrations += 1;
                    let text = format!(
                        "session {:#x} moves from {} to {}",
                        from.as_u64(),
                        self.driver_name(from_driver),
                        self.driver_name(to_driver)
                    );
                    self.mark(MarkKind::Migrate, to_driver, &text);
                    let (from, to) = (from.as_u64(), to.as_u64());
                    self.record(Event::SessionMoved {
                        from,
                        to,
                        driver: to_driver.as_u32(),
                        from_driver: from_driver.as_u32(),
                        reason,
                    });
                }
                FrameworkEvent::Resubmitted { request } => {
                    self.counts.resubmitted += 1;
                    self.record(Event::Resubmitted { request: request.0 });
                }
                FrameworkEvent::DriverLost { driver } => self.driver_lost(driver),
                FrameworkEvent::DriverRegistered { .. }
                | FrameworkEvent::Queued { .. }
                | FrameworkEvent::SessionHomeless { .. }
                | FrameworkEvent::SessionClosed { .. } => {}
            }
        }
    }

    fn record(&self, event: Event) {
        self.recorder.borrow_mut().record(self.now(), event);
    }

    fn mark(&mut self, kind: MarkKind, driver: DriverId, text: &str) {
        let driver = self.driver_name(driver);
        self.marks.push(Mark {
            at: self.now(),
            kind,
            driver,
            text: text.to_owned(),
        });
    }

    fn driver_name(&self, id: DriverId) -> String {
        let slot = self.slots.iter().position(|slot| slot.was(id));
        match slot {
            Some(slot) => self.scenario.cards[slot].name.clone(),
            None => "software".to_owned(),
        }
    }
}

/// Whether a card's driver may still reach it.
type Alive = Rc<Cell<bool>>;
