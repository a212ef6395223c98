//! Machine slots: cards go in and out.

use std::cell::Cell;
use std::rc::Rc;

use device_model::{Card, Provisioning};
use driver::{CardDriver, DriverConfig, DriverStats, StatsHandle};
use framework::DriverId;
use rand::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use regs::Errata;
use timebase::{Span, Time};

use super::{Alive, SetupError, World};
use crate::event::Event;
use crate::link::LinkTransport;

/// From a removal until the host's hot-plug controller tells the driver.
const HOT_PLUG_NOTICE: Span = Span::from_us(1);

/// What the host knows of one slot.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The driver of the card that is, or was a moment ago, in the slot.
    pub(super) driver: Option<DriverId>,
    /// Every driver the slot ever had, to name it in reports.
    had: Vec<DriverId>,
    alive: Alive,
    stats: Option<StatsHandle>,
    /// When the driver is told to look, besides its own deadlines.
    pub(super) notice_at: Option<Time>,
    /// Refusals so far, for the fault script.
    pub(super) refusals: u64,
    /// Counts of cards and drivers that are gone.
    gone: Gone,
}

/// Counts of the cards and drivers that were in a slot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gone {
    pub(super) busy: Span,
    pub(super) lanes: u64,
    pub(super) interrupts: u64,
    pub(super) bounced: u64,
}

impl Gone {
    fn add(&mut self, card: &Card) {
        let stats = card.stats();
        self.busy = stats
            .groups
            .iter()
            .fold(self.busy, |busy, group| busy + group.busy);
        self.lanes = stats
            .groups
            .iter()
            .map(|group| u64::from(group.lanes))
            .sum();
        self.interrupts += stats.interrupts;
    }
}

impl Slot {
    /// Counters of the driver, with their names, if there is one.
    pub(super) fn counters(&self) -> Option<Vec<(&'static str, u64)>> {
        Some(self.stats.as_ref()?.get().rows())
    }

    /// What the driver has counted, if there is one.
    pub(super) fn stats(&self) -> Option<DriverStats> {
        Some(self.stats.as_ref()?.get())
    }

    /// Whether this driver's card is or was in the slot.
    pub(super) fn was(&self, id: DriverId) -> bool {
        self.had.contains(&id)
    }
}

/// What the card of a slot is made with: the root key is that of all cards of a run.
fn provisioning(fleet: u64, slot: usize) -> Provisioning {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(fleet);
    let mut draw = || {
        let mut bytes = [0; 32];
        chance.fill_bytes(&mut bytes);
        bytes
    };
    let root_key = draw();
    let mut entropy_seed = draw();
    for _ in 0..slot {
        entropy_seed = draw();
    }
    Provisioning {
        serial: slot as u64 + 1,
        root_key: Some(root_key),
        entropy_seed,
    }
}

impl World<'_> {
    /// Puts a card into an empty slot and starts its driver. False if the slot is still taken.
    pub(super) fn plug(&mut self, slot: usize) -> Result<bool, SetupError> {
        if self.slots[slot].driver.is_some() || self.ports[slot].borrow().card().is_some() {
            return Ok(false);
        }
        let spec = &self.scenario.cards[slot];
        let name = || spec.name.clone();
        let provisioning = provisioning(self.fleet, slot);
        let card = Card::provisioned(spec.profile.clone(), &provisioning);
        let mut card = card.map_err(|source| SetupError::Profile {
            slot: name(),
            source,
        })?;
        card.set_timing_only(self.scenario.timing_only);
        {
            let mut port = self.ports[slot].borrow_mut();
            port.plug(card);
            // The one erratum that the machine under the driver works around.
            port.program_backward(spec.ignore_errata.contains(Errata::VECTOR_ORDER));
        }
        let alive: Alive = Rc::new(Cell::new(true));
        let port = Rc::clone(&self.ports[slot]);
        let transport = LinkTransport::new(port, self.pool.clone(), Rc::clone(&alive));
        let config = DriverConfig {
            name: name(),
            ring_pairs: spec.profile.ring_pairs,
            ring_entries: spec.ring_entries,
            coalesce_count: spec.coalesce_count,
            coalesce_timer: spec.coalesce_timer,
            watchdog: spec.watchdog,
            ignore_errata: spec.ignore_errata,
            ..DriverConfig::default()
        };
        let driver = CardDriver::new(transport, config).map_err(|source| SetupError::BringUp {
            slot: name(),
            source,
        })?;
        let stats = driver.stats_handle();
        let id = self.framework.register(Box::new(driver));
        let state = &mut self.slots[slot];
        state.driver = Some(id);
        state.had.push(id);
        state.alive = alive;
        state.stats = Some(stats);
        // A driver that was just started has something to do at once.
        state.notice_at = Some(self.clock.get());
        self.record(Event::Registered {
            driver: id.as_u32(),
            card: slot as u16,
        });
        Ok(true)
    }

    /// Pulls a card out without warning. False if the slot is empty.
    pub(super) fn unplug(&mut self, slot: usize) -> bool {
        let remains = self.ports[slot].borrow_mut().unplug();
        let Some(card) = remains else { return false };
        let now = self.now();
        self.slots[slot].alive.set(false);
        self.slots[slot].notice_at = Some(now + HOT_PLUG_NOTICE);
        self.record(Event::Unplugged { card: slot as u16 });
        self.keep_counts(slot, &card);
        let place = format!("the card pulled out of {}", self.scenario.cards[slot].name);
        let mut recorder = self.recorder.borrow_mut();
        recorder
            .checkers()
            .key_residue
            .look_at_card(now, &place, &card);
        true
    }

    /// A driver found its card gone, or finished detaching: the slot's software side is free.
    pub(super) fn driver_lost(&mut self, id: DriverId) {
        self.record(Event::DriverLost {
            driver: id.as_u32(),
        });
        let Some(slot) = self.slots.iter().position(|slot| slot.driver == Some(id)) else {
            return;
        };
        let bounced = self.slots[slot]
            .stats
            .take()
            .map_or(0, |stats| stats.get().bounces);
        self.slots[slot].gone.bounced += bounced;
        self.slots[slot].driver = None;
        let remains = self.ports[slot].borrow_mut().unplug();
        if let Some(card) = remains {
            // Detached in an orderly way: the card is switched off.
            self.slots[slot].alive.set(false);
            self.keep_counts(slot, &card);
        }
    }

    fn keep_counts(&mut self, slot: usize, card: &Card) {
        self.slots[slot].gone.add(card);
    }

    /// Counts of everything that was and is in the slot.
    pub(super) fn slot_counts(&self, slot: usize) -> Gone {
        let state = &self.slots[slot];
        let mut counts = state.gone;
        if let Some(card) = self.ports[slot].borrow().card() {
            counts.add(card);
        }
        counts.bounced += state.stats.as_ref().map_or(0, |stats| stats.get().bounces);
        counts
    }
}
