//! What there is in a world at one of its events, for whoever looks at a run from outside.

use device_model::{CardStats, RingOccupancy};
use framework::SessionId;
use framework::listing::Listing;
use timebase::Time;

use super::{RunOptions, SetupError, World};
use crate::event::Record;
use crate::scenario::Scenario;

/// The state of a world.
#[derive(Debug)]
pub struct State {
    /// Virtual time.
    pub now: Time,
    /// What was recorded up to here.
    pub log: Vec<Record>,
    /// Drivers, sessions and counters of the framework.
    pub framework: Listing,
    /// Machine slots, in the order of the scenario.
    pub slots: Vec<SlotState>,
    /// Consumers.
    pub consumers: Vec<ConsumerState>,
}

/// A machine slot.
#[derive(Debug)]
pub struct SlotState {
    /// Its name.
    pub name: String,
    /// The card in it.
    pub card: Option<CardState>,
    /// Counters of its driver, with their names; none without a driver.
    pub driver: Option<Vec<(&'static str, u64)>>,
    /// DMA windows that are open.
    pub windows: usize,
}

/// A card.
#[derive(Debug)]
pub struct CardState {
    /// Its counters.
    pub stats: CardStats,
    /// Its rings.
    pub rings: Vec<RingOccupancy>,
}

/// A consumer.
#[derive(Debug)]
pub struct ConsumerState {
    /// Its algorithms.
    pub suite: String,
    /// Its session.
    pub session: SessionId,
    /// Requests that it waits for.
    pub outstanding: u32,
    /// Requests that it has not dispatched.
    pub ready: usize,
}

/// The state when `events` were recorded, or right after: one step of the world can record several.
/// Beyond the last event of the workload it is that at its end.
///
/// # Errors
/// [`SetupError`] if the run cannot begin.
pub fn at(scenario: &Scenario, options: &RunOptions, events: u64) -> Result<State, SetupError> {
    let options = RunOptions {
        keep_log: true,
        ..options.clone()
    };
    let mut world = World::new(scenario, &options)?;
    while world.recorder.borrow().count() < events && !world.is_done() && world.step() {}
    Ok(world.state())
}

impl World<'_> {
    fn state(&self) -> State {
        let slots = self.scenario.cards.iter().enumerate().map(|(slot, spec)| {
            let port = self.ports[slot].borrow();
            SlotState {
                name: spec.name.clone(),
                card: port.card().map(|card| CardState {
                    stats: *card.stats(),
                    rings: card.rings().collect(),
                }),
                driver: self.slots[slot].counters(),
                windows: port.windows().live(),
            }
        });
        let consumers = self.consumers.iter().map(|consumer| ConsumerState {
            suite: consumer.suite.to_string(),
            session: consumer.session,
            outstanding: consumer.outstanding,
            ready: consumer.ready.len(),
        });
        State {
            now: self.now(),
            log: self.recorder.borrow_mut().take_log(),
            framework: self.framework.listing(),
            slots: slots.collect(),
            consumers: consumers.collect(),
        }
    }
}
