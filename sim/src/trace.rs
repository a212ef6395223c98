//! The event log as a trace for Perfetto: open the file in <https://ui.perfetto.dev>.
//!
//! Owns what is drawn where. Consumers, the framework and each card are processes. Work that
//! overlaps is dealt to lanes, because slices of one track must nest: a consumer has a lane for
//! each request in flight, a ring for each command in its slots, an engine group for each of its
//! real lanes. A flow leads from the consumer's slice over ring, engine and completion back to the
//! consumer.
//!
//! Leaves the format to `json`. Not drawn: fetches, and events of a card that is out of its slot.

mod card;
mod json;
pub(crate) mod lanes;

use std::collections::BTreeMap;
use std::io::{self, Write};

use regs::{RingId, Target};
use timebase::Time;

use crate::event::{Event, OUTCOMES, Record};
use crate::scenario::Scenario;
use card::{Command, Work};
use json::{Args, Name, Writer};
use lanes::{Kind, Lane, Tracks};

/// Slot number of the software driver in [`Event::Registered`].
const SOFTWARE: u16 = u16::MAX;
/// Writes `log` to `out` as a trace in the JSON format that Perfetto reads.
///
/// # Errors
/// Whatever `out` says.
pub fn write<W: Write>(out: W, scenario: &Scenario, log: &[Record]) -> io::Result<()> {
    // Cards report in their own time, a little ahead or behind; a trace is told in order of time.
    let mut tracer = Tracer::new(Writer::new(out)?, scenario)?;
    let mut now = Time::ZERO;
    for record in in_order(log) {
        now = record.at;
        tracer.record(record)?;
    }
    tracer.finish(now)
}

/// The records in order of time, those of one time as they were recorded.
pub(crate) fn in_order(log: &[Record]) -> impl Iterator<Item = &Record> {
    // Times beside each other are sorted in half the time that it takes to look each up.
    let times = log.iter().map(|record| record.at);
    let mut order: Vec<(Time, usize)> = times.zip(0..).collect();
    order.sort_unstable();
    order.into_iter().map(|(_, at)| &log[at])
}

/// A request between dispatch and callback.
struct Flight {
    consumer: u32,
    lane: Lane,
    /// Whether its flow has begun, which it does when it first reaches a card.
    has_flow: bool,
}

struct Tracer<'a, W: Write> {
    out: Writer<W>,
    scenario: &'a Scenario,
    tracks: Tracks,
    flights: BTreeMap<u64, Flight>,
    commands: BTreeMap<(u16, u64), Command>,
    /// Commands of requests of which no dispatch was told yet: a request may be in its ring before
    /// the dispatch that put it there has returned.
    early: BTreeMap<u64, (u16, u64)>,
    works: BTreeMap<(u16, u8, u8), Work>,
    /// Commands in each ring, and what that count is called.
    used: BTreeMap<(u16, RingId), (String, u32)>,
    /// Names of registers by their offset: there are few, and many writes.
    registers: BTreeMap<u32, String>,
    /// Slot of each driver's card.
    slots: BTreeMap<u32, u16>,
    /// Drivers that are blocked.
    blocked: BTreeMap<u32, Lane>,
    /// Cards that are in their slots.
    present: BTreeMap<u16, Lane>,
}

impl<'a, W: Write> Tracer<'a, W> {
    fn new(mut out: Writer<W>, scenario: &'a Scenario) -> io::Result<Self> {
        let names = scenario.cards.iter().map(|card| card.name.as_str());
        let tracks = Tracks::new(&mut out, names)?;
        let mut tracer = Self {
            out,
            scenario,
            tracks,
            flights: BTreeMap::new(),
            commands: BTreeMap::new(),
            early: BTreeMap::new(),
            works: BTreeMap::new(),
            used: BTreeMap::new(),
            registers: BTreeMap::new(),
            slots: BTreeMap::new(),
            blocked: BTreeMap::new(),
            present: BTreeMap::new(),
        };
        for (slot, card) in (0_u16..).zip(&scenario.cards) {
            if card.present {
                tracer.plug(Time::ZERO, slot)?;
            }
        }
        Ok(tracer)
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        let at = record.at;
        match record.event {
            Event::Dispatch {
                request,
                consumer,
                session,
                bytes,
            } => {
                let args = [("session", session), ("bytes", bytes.into())];
                self.dispatch(at, request, consumer, &args)
            }
            Event::Callback {
                request, outcome, ..
            } => self.callback(at, request, outcome),
            Event::Driver { card, event } => self.driver_event(at, card, event),
            Event::Card { card, event } if self.present.contains_key(&card) => {
                self.card_event(at, card, event)
            }
            Event::Card { .. } => Ok(()),
            Event::WriteArrived {
                card,
                offset,
                value,
            } => {
                let track = self.tracks.fixed(&mut self.out, Kind::Writes { card })?;
                let name = self.registers.entry(offset);
                let name = name.or_insert_with(|| register_name(offset));
                self.out
                    .instant(track, at, name, &[("value", value.into())])
            }
            Event::DmaRefused { card, addr, .. } => {
                let kind = Kind::Writes { card };
                self.instant(at, kind, "DMA refused", &[("address", addr.0)])
            }
            Event::InterruptArrived { card, vector } => {
                let kind = Kind::Interrupts { card };
                self.instant(at, kind, "arrived", &[("vector", vector.into())])
            }
            Event::Unplugged { card } => self.unplug(at, card),
            Event::Plugged { card } => self.plug(at, card),
            Event::Blocked { .. }
            | Event::Unblocked { .. }
            | Event::Registered { .. }
            | Event::SessionOpened { .. }
            | Event::SessionMoved { .. }
            | Event::Resubmitted { .. }
            | Event::DriverLost { .. } => self.framework_event(at, record.event),
        }
    }

    fn dispatch(
        &mut self,
        at: Time,
        request: u64,
        consumer: u32,
        args: Args<'_>,
    ) -> io::Result<()> {
        let lane = self
            .tracks
            .take(&mut self.out, Kind::Consumer { consumer })?;
        self.out
            .begin(lane.track, at, Name::Numbered("request", request), args)?;
        let flight = Flight {
            consumer,
            lane,
            has_flow: false,
        };
        self.flights.insert(request, flight);
        self.lead_early(at, request)
    }

    fn callback(&mut self, at: Time, request: u64, outcome: u8) -> io::Result<()> {
        let Some(flight) = self.flights.remove(&request) else {
            return Ok(());
        };
        if flight.has_flow {
            // No step may come after the end.
            self.stop_works(at, |_, work| work.flow == Some(request))?;
            self.out.flow_end(flight.lane.track, at, request)?;
        }
        let outcome = OUTCOMES
            .get(usize::from(outcome))
            .copied()
            .unwrap_or("unknown");
        self.out.end(flight.lane.track, at, Some(outcome))?;
        self.tracks.give_back(
            Kind::Consumer {
                consumer: flight.consumer,
            },
            flight.lane,
        );
        Ok(())
    }

    fn framework_event(&mut self, at: Time, event: Event) -> io::Result<()> {
        match event {
            Event::Registered { driver, card } => {
                self.slots.insert(driver, card);
                let name = format!("{} registered", self.slot_name(card));
                self.instant(at, Kind::Drivers, &name, &[("driver", driver.into())])
            }
            Event::DriverLost { driver } => {
                self.unblock(at, driver)?;
                let name = format!("{} lost", self.driver_name(driver));
                self.instant(at, Kind::Drivers, &name, &[("driver", driver.into())])
            }
            Event::Blocked { driver } => self.block(at, driver),
            Event::Unblocked { driver } => self.unblock(at, driver),
            Event::SessionOpened { session, driver } => {
                let name = format!("session opened on {}", self.driver_name(driver));
                self.instant(at, Kind::Sessions, &name, &[("session", session)])
            }
            Event::SessionMoved {
                from, to, driver, ..
            } => {
                let name = format!("session moved to {}", self.driver_name(driver));
                self.instant(at, Kind::Sessions, &name, &[("from", from), ("to", to)])
            }
            Event::Resubmitted { request } => self.instant(
                at,
                Kind::Resubmitted,
                "resubmitted",
                &[("request", request)],
            ),
            _ => Ok(()),
        }
    }

    fn block(&mut self, at: Time, driver: u32) -> io::Result<()> {
        if self.blocked.contains_key(&driver) {
            return Ok(());
        }
        let lane = self.tracks.take(&mut self.out, Kind::Blocked)?;
        let name = format!("{} blocked", self.driver_name(driver));
        self.out
            .begin(lane.track, at, &*name, &[("driver", driver.into())])?;
        self.blocked.insert(driver, lane);
        Ok(())
    }

    fn unblock(&mut self, at: Time, driver: u32) -> io::Result<()> {
        let Some(lane) = self.blocked.remove(&driver) else {
            return Ok(());
        };
        self.out.end(lane.track, at, None)?;
        self.tracks.give_back(Kind::Blocked, lane);
        Ok(())
    }

    fn plug(&mut self, at: Time, card: u16) -> io::Result<()> {
        if self.present.contains_key(&card) {
            return Ok(());
        }
        let lane = self.tracks.take(&mut self.out, Kind::Presence { card })?;
        self.out.begin(lane.track, at, "in its slot", &[])?;
        self.present.insert(card, lane);
        Ok(())
    }

    fn unplug(&mut self, at: Time, card: u16) -> io::Result<()> {
        let Some(lane) = self.present.remove(&card) else {
            return Ok(());
        };
        self.stop_works(at, |lane, _| lane.0 == card)?;
        self.out.end(lane.track, at, None)?;
        self.tracks.give_back(Kind::Presence { card }, lane);
        self.instant(at, Kind::CardEvents { card }, "pulled out", &[])
    }

    fn instant(&mut self, at: Time, kind: Kind, name: &str, args: Args<'_>) -> io::Result<()> {
        let track = self.tracks.fixed(&mut self.out, kind)?;
        self.out.instant(track, at, name, args)
    }

    /// Ends whatever is still open.
    fn finish(mut self, now: Time) -> io::Result<()> {
        let cards: Vec<u16> = (0_u16..).take(self.scenario.cards.len()).collect();
        for card in cards {
            self.stop_works(Time::NEVER, |lane, _| lane.0 == card)?;
            self.abandon(now, card, "end of run")?;
            if let Some(lane) = self.present.remove(&card) {
                self.out.end(lane.track, now, None)?;
            }
        }
        for (request, flight) in std::mem::take(&mut self.flights) {
            if flight.has_flow {
                self.out.flow_end(flight.lane.track, now, request)?;
            }
            self.out.end(flight.lane.track, now, Some("end of run"))?;
        }
        for (_, lane) in std::mem::take(&mut self.blocked) {
            self.out.end(lane.track, now, None)?;
        }
        self.out.finish()
    }

    fn driver_name(&self, driver: u32) -> &str {
        self.slots
            .get(&driver)
            .map_or("driver", |&slot| self.slot_name(slot))
    }

    fn slot_name(&self, slot: u16) -> &str {
        if slot == SOFTWARE {
            return "software";
        }
        self.scenario
            .cards
            .get(usize::from(slot))
            .map_or("card", |card| card.name.as_str())
    }
}

fn command_name(request: Option<u64>) -> Name<'static> {
    request.map_or(Name::Text("admin command"), |request| {
        Name::Numbered("request", request)
    })
}

fn ring_name(ring: RingId) -> String {
    if ring == RingId::ADMIN {
        "admin ring".to_owned()
    } else {
        format!("ring {}", ring.0)
    }
}

fn register_name(offset: u32) -> String {
    match regs::decode(offset, RingId(u16::MAX)) {
        Some(Target::Control(register)) => format!("{register:?}"),
        Some(Target::Ring(ring, register)) => format!("{} {register:?}", ring_name(ring)),
        Some(Target::CommandDoorbell(ring)) => format!("{} command doorbell", ring_name(ring)),
        Some(Target::CompletionDoorbell(ring)) => {
            format!("{} completion doorbell", ring_name(ring))
        }
        None => format!("hole at {offset:#x}"),
    }
}

#[cfg(test)]
mod tests;
