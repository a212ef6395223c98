//! Which signals there are, and when each changes.

use std::collections::BTreeMap;

use device_model::CardEvent;
use driver::DriverEvent;
use regs::{Doorbell, Register, RingId, RingRegister, Slot, Target};
use timebase::Time;

use crate::event::{Event, Record};
use crate::scenario::Scenario;
use crate::trace::in_order;
use crate::trace::lanes::group_name;

/// A place in the hierarchy; they stand in the file in this order.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Scope {
    Requests,
    Framework,
    Card(u16),
    Registers(u16),
    Interrupts(u16),
    Engines(u16),
    Ring(u16, RingId),
}

/// A signal's scope and its place there, which no other signal of the scope has.
type Key = (Scope, u32);

/// A key as one number in the same order, because each event looks for one or two.
fn packed((scope, place): Key) -> u64 {
    let (rank, card, ring) = match scope {
        Scope::Requests => (0, 0, 0),
        Scope::Framework => (1, 0, 0),
        Scope::Card(card) => (2, card, 0),
        Scope::Registers(card) => (3, card, 0),
        Scope::Interrupts(card) => (4, card, 0),
        Scope::Engines(card) => (5, card, 0),
        Scope::Ring(card, ring) => (6, card, ring.0),
    };
    let place = u64::from(place.min(MAX_PLACE));
    rank << 56 | u64::from(card) << 40 | u64::from(ring) << 24 | place
}

/// Last place of a scope.
const MAX_PLACE: u32 = (1 << 24) - 1;

/// A signal that was set once. Its name is made then, and not for each event.
struct Known {
    scope: Scope,
    number: usize,
    name: String,
    width: u32,
    value: u32,
}

/// What a signal is called.
#[derive(Clone, Copy)]
enum Name<'a> {
    Is(&'a str),
    /// A word and a number.
    Numbered(&'a str, u32),
    Lane(u8, u8),
    Control(Register),
    Ring(RingRegister),
}

impl Name<'_> {
    fn spell(self) -> String {
        match self {
            Self::Is(name) => name.to_owned(),
            Self::Numbered(name, number) => format!("{name}{number}"),
            Self::Lane(group, lane) => format!("{}{lane}", group_name(group).replace(' ', "_")),
            Self::Control(register) => format!("{register:?}"),
            Self::Ring(register) => format!("{register:?}"),
        }
    }
}

/// One signal.
#[derive(Debug)]
pub(super) struct Signal {
    /// The scopes it is in, outermost first.
    pub(super) scopes: Vec<String>,
    pub(super) name: String,
    /// Bits.
    pub(super) width: u32,
}

/// One change of a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Change {
    pub(super) at: Time,
    /// Which signal.
    pub(super) signal: usize,
    pub(super) value: u32,
}

/// What is shown of a driver.
#[derive(Clone, Copy)]
enum DriverSignal {
    Registered,
    Blocked,
}

/// All signals and their changes.
#[derive(Debug, Default)]
pub(super) struct Waves {
    /// In order of their scopes.
    pub(super) signals: Vec<Signal>,
    /// Each signal's value in the beginning.
    pub(super) initial: Vec<u32>,
    /// What comes after it, in order of time; a signal changes once at a time.
    pub(super) changes: Vec<Change>,
}

/// Follows the log.
struct Follower<'a> {
    scenario: &'a Scenario,
    now: Time,
    known: BTreeMap<u64, Known>,
    changes: Vec<Change>,
    /// Slot of each driver's card.
    slots: BTreeMap<u32, u16>,
    /// When each engine lane is done, unless it is done already.
    busy: BTreeMap<(u16, u8, u8), Time>,
    /// No lane is done before.
    next_done: Time,
}

impl Waves {
    pub(super) fn of(scenario: &Scenario, log: &[Record]) -> Self {
        let mut follower = Follower {
            scenario,
            now: Time::ZERO,
            known: BTreeMap::new(),
            changes: Vec::new(),
            slots: BTreeMap::new(),
            busy: BTreeMap::new(),
            next_done: Time::NEVER,
        };
        for (slot, card) in (0..).zip(&scenario.cards) {
            follower.set(
                (Scope::Card(slot), 0),
                Name::Is("present"),
                1,
                card.present.into(),
            );
        }
        // Cards report in their own time, a little ahead or behind.
        for record in in_order(log) {
            follower.finish_work(record.at);
            follower.now = record.at;
            follower.follow(record.event);
        }
        follower.finish_work(Time::NEVER);
        follower.end()
    }
}

impl Follower<'_> {
    fn follow(&mut self, event: Event) {
        match event {
            Event::Dispatch { consumer, .. } => self.count_request(consumer, 1),
            Event::Callback { consumer, .. } => self.count_request(consumer, -1),
            Event::Resubmitted { .. } => self.add(Scope::Framework, 0, "resubmitted", 1),
            Event::SessionMoved { .. } => self.add(Scope::Framework, 1, "sessions_moved", 1),
            Event::SessionOpened { .. } => self.add(Scope::Framework, 2, "sessions_opened", 1),
            Event::Registered { driver, card } => {
                self.slots.insert(driver, card);
                self.set_driver(driver, DriverSignal::Registered, true);
            }
            Event::DriverLost { driver } => {
                self.set_driver(driver, DriverSignal::Registered, false);
                self.set_driver(driver, DriverSignal::Blocked, false);
            }
            Event::Blocked { driver } => self.set_driver(driver, DriverSignal::Blocked, true),
            Event::Unblocked { driver } => self.set_driver(driver, DriverSignal::Blocked, false),
            Event::Plugged { card } => self.set((Scope::Card(card), 0), Name::Is("present"), 1, 1),
            Event::Unplugged { card } => {
                self.set((Scope::Card(card), 0), Name::Is("present"), 1, 0);
                self.clear(card);
            }
            Event::WriteArrived {
                card,
                offset,
                value,
            } => self.write(card, offset, value),
            Event::InterruptArrived { card, vector } => {
                self.set_line(card, vector, 0);
            }
            Event::DmaRefused { card, .. } => self.add(Scope::Card(card), 5, "dma_refused", 1),
            Event::Driver { card, event } => self.driver(card, event),
            Event::Card { card, event } => self.card(card, event),
        }
    }

    fn driver(&mut self, card: u16, event: DriverEvent) {
        match event {
            DriverEvent::Posted { ring, slot, .. } => {
                self.index((card, ring), 0, "written", slot);
                self.add(Scope::Ring(card, ring), 6, "in_flight", 1);
            }
            DriverEvent::Reaped { ring, slot, .. } => {
                self.index((card, ring), 5, "reaped", slot);
                self.add(Scope::Ring(card, ring), 6, "in_flight", -1);
            }
            DriverEvent::Strange { .. } => self.add(Scope::Card(card), 6, "strange", 1),
            DriverEvent::Refused { .. } => self.add(Scope::Card(card), 7, "refused", 1),
            DriverEvent::Watchdog { .. } => self.add(Scope::Card(card), 8, "watchdog", 1),
            DriverEvent::Reset => {
                self.add(Scope::Card(card), 9, "driver_resets", 1);
                self.clear(card);
            }
            DriverEvent::Lost => self.clear(card),
        }
    }

    fn card(&mut self, card: u16, event: CardEvent) {
        match event {
            CardEvent::Doorbell { .. } => {}
            CardEvent::Fetched { ring, first, count } => {
                let last = Slot((first.0 + count).wrapping_sub(1));
                self.index((card, ring), 2, "fetched", last);
            }
            CardEvent::Started {
                group,
                lane,
                finish,
                ..
            } => {
                self.set_lane(card, group, lane, 1);
                self.busy.insert((card, group, lane), finish);
                self.next_done = self.next_done.min(finish);
            }
            CardEvent::Completed {
                ring, slot, status, ..
            } => {
                self.index((card, ring), 3, "completed", slot);
                let ring = Scope::Ring(card, ring);
                self.set((ring, 7), Name::Is("status"), 16, status as u32);
            }
            CardEvent::Interrupt { vector, .. } => self.set_line(card, vector.0, 1),
            CardEvent::DmaFault { .. } => self.add(Scope::Card(card), 10, "dma_faults", 1),
            CardEvent::SessionCreated { .. } => self.add(Scope::Card(card), 4, "sessions", 1),
            CardEvent::SessionDestroyed { .. } => self.add(Scope::Card(card), 4, "sessions", -1),
            CardEvent::SessionRekeyed { .. } | CardEvent::ErrorMessage { .. } => {}
            CardEvent::Reset | CardEvent::FunctionReset { .. } => {
                self.add(Scope::Card(card), 3, "resets", 1);
                self.set((Scope::Card(card), 4), Name::Is("sessions"), 32, 0);
            }
        }
    }

    fn write(&mut self, card: u16, offset: u32, value: u32) {
        let slot = Doorbell::from_bits(value).slot;
        match regs::decode(offset, RingId(u16::MAX)) {
            Some(Target::Control(register)) => {
                let key = (Scope::Registers(card), register.offset());
                self.set(key, Name::Control(register), 32, value);
            }
            Some(Target::Ring(ring, register)) => {
                let key = (Scope::Ring(card, ring), 16 + register.offset());
                self.set(key, Name::Ring(register), 32, value);
            }
            Some(Target::CommandDoorbell(ring)) => {
                self.index((card, ring), 1, "command_doorbell", slot);
            }
            Some(Target::CompletionDoorbell(ring)) => {
                self.index((card, ring), 4, "completion_doorbell", slot);
            }
            None => {}
        }
    }

    fn count_request(&mut self, consumer: u32, by: i32) {
        self.add(Scope::Requests, 0, "all", by);
        let key = (Scope::Requests, consumer.saturating_add(1));
        self.change(key, Name::Numbered("consumer", consumer), 32, |value| {
            value.saturating_add_signed(by)
        });
    }

    fn index(&mut self, ring: (u16, RingId), place: u32, name: &str, slot: Slot) {
        let key = (Scope::Ring(ring.0, ring.1), place);
        self.set(key, Name::Is(name), 32, slot.0);
    }

    fn set_line(&mut self, card: u16, vector: u16, level: u32) {
        let vector = u32::from(vector);
        let key = (Scope::Interrupts(card), vector);
        self.set(key, Name::Numbered("vector", vector), 1, level);
    }

    fn set_lane(&mut self, card: u16, group: u8, lane: u8, level: u32) {
        let place = u32::from(group) << 8 | u32::from(lane);
        let key = (Scope::Engines(card), place);
        self.set(key, Name::Lane(group, lane), 1, level);
    }

    fn set_driver(&mut self, driver: u32, what: DriverSignal, level: bool) {
        let slot = self.slots.get(&driver).copied().unwrap_or(u16::MAX);
        let is_card = usize::from(slot) < self.scenario.cards.len();
        let (place, name) = match (what, is_card) {
            (DriverSignal::Registered, true) => (1, "registered"),
            (DriverSignal::Blocked, true) => (2, "blocked"),
            (DriverSignal::Blocked, false) => (3, "software_blocked"),
            (DriverSignal::Registered, false) => (4, "software_registered"),
        };
        let scope = match is_card {
            true => Scope::Card(slot),
            false => Scope::Framework,
        };
        self.set((scope, place), Name::Is(name), 1, level.into());
    }

    /// Lanes that are done by `now` fall.
    fn finish_work(&mut self, now: Time) {
        if now < self.next_done {
            return;
        }
        let done: Vec<_> = self.busy.iter().filter(|&(_, &at)| at <= now).collect();
        let mut done: Vec<_> = done.into_iter().map(|(&lane, &at)| (at, lane)).collect();
        done.sort_unstable();
        for (at, (card, group, lane)) in done {
            self.busy.remove(&(card, group, lane));
            self.now = at;
            self.set_lane(card, group, lane, 0);
        }
        let next = self.busy.values().min();
        self.next_done = next.copied().unwrap_or(Time::NEVER);
    }

    /// Nothing of a card is left: lines, lanes and rings fall.
    fn clear(&mut self, card: u16) {
        self.busy.retain(|&(other, _, _), _| other != card);
        let is_its = |scope: &Scope| match *scope {
            Scope::Interrupts(of) | Scope::Engines(of) | Scope::Ring(of, _) => of == card,
            _ => false,
        };
        let signals = self.known.iter_mut();
        for (_, known) in signals.filter(|(_, known)| is_its(&known.scope)) {
            if std::mem::take(&mut known.value) != 0 {
                self.changes.push(Change {
                    at: self.now,
                    signal: known.number,
                    value: 0,
                });
            }
        }
    }

    fn add(&mut self, scope: Scope, place: u32, name: &str, by: i32) {
        self.change((scope, place), Name::Is(name), 32, |value| {
            value.saturating_add_signed(by)
        });
    }

    fn set(&mut self, key: Key, name: Name<'_>, width: u32, value: u32) {
        self.change(key, name, width, |_| value);
    }

    /// Changes the signal at this place of a scope; `name` is looked at the first time only.
    fn change(&mut self, key: Key, name: Name<'_>, width: u32, to: impl FnOnce(u32) -> u32) {
        let next = self.known.len();
        let known = self.known.entry(packed(key)).or_insert_with(|| Known {
            scope: key.0,
            number: next,
            name: name.spell(),
            width,
            value: 0,
        });
        let value = to(known.value);
        if known.value != value {
            known.value = value;
            self.changes.push(Change {
                at: self.now,
                signal: known.number,
                value,
            });
        }
    }

    fn end(self) -> Waves {
        let Self {
            scenario,
            known,
            mut changes,
            ..
        } = self;
        let mut place = vec![0; known.len()];
        let mut signals = Vec::with_capacity(known.len());
        for known in known.into_values() {
            place[known.number] = signals.len();
            signals.push(Signal {
                scopes: scopes(scenario, known.scope),
                name: known.name,
                width: known.width,
            });
        }
        for change in &mut changes {
            change.signal = place[change.signal];
        }
        // They are in order of time: a lane that falls between two records does so in between. What
        // is undone at the same time is not seen.
        for same in changes.chunk_by_mut(|one, next| one.at == next.at) {
            same.sort_by_key(|change| change.signal);
        }
        changes.dedup_by(|later, earlier| {
            let is_same = (later.at, later.signal) == (earlier.at, earlier.signal);
            if is_same {
                earlier.value = later.value;
            }
            is_same
        });
        let mut initial = vec![0; signals.len()];
        let begun = changes.partition_point(|change| change.at == Time::ZERO);
        for change in changes.drain(..begun) {
            initial[change.signal] = change.value;
        }
        let mut last = initial.clone();
        changes.retain(|change| {
            std::mem::replace(&mut last[change.signal], change.value) != change.value
        });
        Waves {
            signals,
            initial,
            changes,
        }
    }
}

fn scopes(scenario: &Scenario, scope: Scope) -> Vec<String> {
    let (card, inner) = match scope {
        Scope::Requests => return vec!["requests".to_owned()],
        Scope::Framework => return vec!["framework".to_owned()],
        Scope::Card(card) => (card, None),
        Scope::Registers(card) => (card, Some("registers".to_owned())),
        Scope::Interrupts(card) => (card, Some("interrupts".to_owned())),
        Scope::Engines(card) => (card, Some("engines".to_owned())),
        Scope::Ring(card, RingId::ADMIN) => (card, Some("admin_ring".to_owned())),
        Scope::Ring(card, ring) => (card, Some(format!("ring{}", ring.0))),
    };
    let spec = scenario.cards.get(usize::from(card));
    let name = spec.map_or_else(|| format!("slot{card}"), |spec| spec.name.clone());
    // What separates names in a viewer cannot stand in one.
    let name = name.replace(|c: char| c.is_whitespace() || c == '.', "_");
    std::iter::once(name).chain(inner).collect()
}
