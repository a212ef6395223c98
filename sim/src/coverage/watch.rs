//! The states of drivers and cards, followed along the event log.

use std::collections::BTreeMap;

use device_model::CardEvent;
use driver::DriverEvent;
use regs::{Control, Register, RingControl, RingId, RingRegister, Target};
use timebase::Time;

use super::{Card, Coverage, Driver, NO_FAULT};
use crate::event::{Event, Record};

/// Follows one run.
#[derive(Debug)]
pub(crate) struct Watch {
    slots: Vec<Slot>,
    /// Slot of each driver's card.
    cards: BTreeMap<u32, u16>,
    /// How often each pair was entered.
    entered: BTreeMap<(Driver, Card), u64>,
    /// How often each fault struck in each pair.
    struck: BTreeMap<(usize, Driver, Card), u64>,
}

/// What is known of one slot.
#[derive(Clone, Copy, Debug)]
struct Slot {
    driver: Driver,
    is_present: bool,
    is_enabled: bool,
    is_faulted: bool,
    /// The driver has reset the card, so what comes on its admin ring next restores sessions.
    is_recovering: bool,
    /// Commands that are on the card.
    on_card: u32,
    /// Commands of the admin ring that were posted and not reaped.
    admin: u32,
    /// When the last engine lane is done.
    busy_until: Time,
    /// The pair that was counted last.
    pair: (Driver, Card),
    /// The pair when the last step of the world was over.
    before: (Driver, Card),
}

const NOWHERE: (Driver, Card) = (Driver::Absent, Card::Absent);

impl Watch {
    /// Watches slots, of which some have a card.
    pub(crate) fn new(present: impl Iterator<Item = bool>) -> Self {
        let slot = |is_present| Slot {
            driver: Driver::Absent,
            is_present,
            is_enabled: false,
            is_faulted: false,
            is_recovering: false,
            on_card: 0,
            admin: 0,
            busy_until: Time::ZERO,
            pair: NOWHERE,
            before: NOWHERE,
        };
        Self {
            slots: present.map(slot).collect(),
            cards: BTreeMap::new(),
            entered: BTreeMap::new(),
            struck: BTreeMap::new(),
        }
    }

    /// Takes note of an event.
    pub(crate) fn observe(&mut self, record: &Record) {
        let Some(card) = self.card_of(record.event) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(usize::from(card)) else {
            return;
        };
        slot.follow(record.event);
        let pair = (slot.driver, slot.card(record.at));
        if slot.pair != pair {
            slot.pair = pair;
            *self.entered.entry(pair).or_default() += 1;
        }
    }

    /// A step of the world is over: what strikes in the next one does so in these states.
    pub(crate) fn settle(&mut self) {
        for slot in &mut self.slots {
            slot.before = slot.pair;
        }
    }

    /// A fault strikes a slot.
    pub(crate) fn struck(&mut self, fault: usize, slot: usize) {
        let (driver, card) = self.slots[slot].before;
        *self.struck.entry((fault, driver, card)).or_default() += 1;
    }

    /// The counts, with the kinds of the faults.
    pub(crate) fn coverage(&self, kinds: &[String]) -> Coverage {
        let mut coverage = Coverage::default();
        for (&pair, &times) in &self.entered {
            coverage.visit(pair, NO_FAULT, times);
        }
        for (&(fault, driver, card), &times) in &self.struck {
            coverage.visit((driver, card), &kinds[fault], times);
        }
        coverage
    }

    fn card_of(&mut self, event: Event) -> Option<u16> {
        match event {
            Event::Driver { card, .. }
            | Event::Card { card, .. }
            | Event::WriteArrived { card, .. }
            | Event::Unplugged { card }
            | Event::Plugged { card } => Some(card),
            Event::Registered { driver, card } => {
                self.cards.insert(driver, card);
                Some(card)
            }
            Event::Blocked { driver }
            | Event::Unblocked { driver }
            | Event::DriverLost { driver } => self.cards.get(&driver).copied(),
            Event::Dispatch { .. }
            | Event::Callback { .. }
            | Event::DmaRefused { .. }
            | Event::InterruptArrived { .. }
            | Event::SessionOpened { .. }
            | Event::SessionMoved { .. }
            | Event::Resubmitted { .. } => None,
        }
    }
}

impl Slot {
    fn follow(&mut self, event: Event) {
        match event {
            Event::Driver { event, .. } => self.follow_driver(event),
            Event::Card { event, .. } => self.follow_card(event),
            Event::WriteArrived { offset, value, .. } => self.follow_write(offset, value),
            Event::Registered { .. } => {
                self.driver = Driver::Resetting;
                self.is_present = true;
                (self.is_recovering, self.admin) = (false, 0);
            }
            // The framework has let the driver go; one that left in good order took its card along.
            Event::DriverLost { .. } => {
                self.driver = Driver::Absent;
                self.leave();
            }
            Event::Unplugged { .. } => self.leave(),
            Event::Plugged { .. } => self.is_present = true,
            Event::Blocked { .. } if self.driver == Driver::Running => {
                self.driver = Driver::Blocked;
            }
            Event::Unblocked { .. } if self.driver == Driver::Blocked => {
                self.driver = Driver::Running;
            }
            _ => {}
        }
    }

    fn follow_driver(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Posted { ring, .. } => {
                let is_admin = ring == RingId::ADMIN;
                self.admin += u32::from(is_admin);
                if self.driver == Driver::Resetting {
                    let is_restoring = self.is_recovering && is_admin;
                    self.driver = match is_restoring {
                        true => Driver::Restoring,
                        false => Driver::Running,
                    };
                }
            }
            DriverEvent::Reaped { ring, .. } => {
                if ring == RingId::ADMIN {
                    self.admin = self.admin.saturating_sub(1);
                }
                let is_restored = self.driver == Driver::Restoring && self.admin == 0;
                if is_restored || self.driver == Driver::Stalled {
                    self.driver = Driver::Running;
                    self.is_recovering = false;
                }
            }
            DriverEvent::Watchdog { .. } => {
                if matches!(self.driver, Driver::Running | Driver::Blocked) {
                    self.driver = Driver::Stalled;
                }
            }
            DriverEvent::Reset => {
                self.driver = Driver::Resetting;
                (self.is_recovering, self.admin) = (true, 0);
            }
            DriverEvent::Lost => self.driver = Driver::Lost,
            DriverEvent::Strange { .. } | DriverEvent::Refused { .. } => {}
        }
    }

    fn follow_card(&mut self, event: CardEvent) {
        match event {
            CardEvent::Fetched { count, .. } => self.on_card += count,
            CardEvent::Started { finish, .. } => self.busy_until = self.busy_until.max(finish),
            CardEvent::Completed { .. } => self.on_card = self.on_card.saturating_sub(1),
            CardEvent::DmaFault { .. } | CardEvent::ErrorMessage { .. } => self.is_faulted = true,
            CardEvent::Reset => self.clear(),
            CardEvent::Doorbell { .. }
            | CardEvent::Interrupt { .. }
            | CardEvent::SessionCreated { .. }
            | CardEvent::SessionRekeyed { .. }
            | CardEvent::SessionDestroyed { .. }
            | CardEvent::FunctionReset { .. } => {}
        }
    }

    fn follow_write(&mut self, offset: u32, value: u32) {
        match regs::decode(offset, RingId(u16::MAX)) {
            Some(Target::Control(Register::Control)) => {
                self.is_enabled = Control::from_bits(value).enabled();
                // Without a session to restore the driver goes on as soon as the card is enabled.
                if self.is_enabled && self.driver == Driver::Resetting && !self.is_recovering {
                    self.driver = Driver::Running;
                }
            }
            Some(Target::Ring(_, RingRegister::RingControl)) => {
                // Only a driver that leaves stops a ring while it serves.
                let is_off = !RingControl::from_bits(value).enabled();
                if is_off && matches!(self.driver, Driver::Running | Driver::Blocked) {
                    self.driver = Driver::Detaching;
                }
            }
            _ => {}
        }
    }

    fn leave(&mut self) {
        self.is_present = false;
        self.clear();
    }

    fn clear(&mut self) {
        (self.is_enabled, self.is_faulted, self.on_card) = (false, false, 0);
        self.busy_until = Time::ZERO;
    }

    fn card(&self, now: Time) -> Card {
        match self.on_card {
            _ if !self.is_present => Card::Absent,
            _ if !self.is_enabled => Card::Off,
            _ if self.is_faulted => Card::Faulted,
            _ if now < self.busy_until => Card::Working,
            0 => Card::Idle,
            _ => Card::Waiting,
        }
    }
}
