//! The window of a failing run: the time around its first violation, and what happened there.
//!
//! Owns which events belong to it and in what words. If the violation is about a request, the
//! window is the life of that request, and its events are the steps; otherwise it is the events
//! around the violation, and the last ones before it are the steps. `closeup` draws it.

use std::ops::Range;

use device_model::CardEvent;
use driver::DriverEvent;
use regs::{RingId, Target};
use timebase::{Span, Time};

use crate::case::story::request_in;
use crate::debug::line;
use crate::event::{Event, OUTCOMES, Record};
use crate::outcome::{Outcome, Violation};
use crate::scenario::Scenario;

/// Events before a violation that names no request, and after it.
const AROUND: [usize; 2] = [40, 12];
/// Steps of a window without a request.
const STEPS: usize = 12;
/// Most steps of a request: the first ones.
const MAX_STEPS: usize = 40;
/// What stands free on each side of the events: one part of so many of their time.
const MARGIN: u64 = 14;
/// What stands free at least, in nanoseconds.
const MIN_MARGIN_NS: u64 = 100;
/// Checks about a whole run, which have no moment.
const OF_WHOLE_RUNS: [&str; 2] = ["expectations", "faults"];

/// Where something happens, from the consumer down to the card's interrupts.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Lane {
    Consumer,
    Driver,
    Ring,
    Link,
    Engine,
    Interrupt,
}

impl Lane {
    /// Every lane with its name, from the top on.
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Consumer, "consumer"),
        (Self::Driver, "driver"),
        (Self::Ring, "ring"),
        (Self::Link, "link"),
        (Self::Engine, "engine"),
        (Self::Interrupt, "interrupt"),
    ];
}

/// An event that is told of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Step {
    pub(super) at: Time,
    pub(super) lane: Lane,
    /// Where: card, ring and slot, as far as they have a say.
    pub(super) place: String,
    pub(super) what: String,
}

/// Any other event.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Dot {
    pub(super) at: Time,
    pub(super) lane: Lane,
    /// The event as the debugger shows it.
    pub(super) text: String,
}

/// A time in which something is under way.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bar {
    pub(super) time: Range<Time>,
    pub(super) lane: Lane,
    /// Whether it is of the request that the violation is about.
    pub(super) is_subject: bool,
    pub(super) text: String,
}

/// The window.
#[derive(Debug)]
pub(super) struct Window<'a> {
    pub(super) time: Range<Time>,
    pub(super) violation: &'a Violation,
    /// The request that it is about.
    pub(super) subject: Option<u64>,
    /// In order of time.
    pub(super) steps: Vec<Step>,
    pub(super) dots: Vec<Dot>,
    pub(super) bars: Vec<Bar>,
}

impl Window<'_> {
    /// When the violation was found.
    pub(super) fn found_at(&self) -> Time {
        Time::from_ps(self.violation.at_ps)
    }
}

/// The window of `outcome`; none if nothing was found, if what was found has no moment, or if the
/// run kept no events.
pub(super) fn of<'a>(scenario: &Scenario, outcome: &'a Outcome) -> Option<Window<'a>> {
    let mut violations = outcome.violations.iter();
    let violation = violations.find(|it| !OF_WHOLE_RUNS.contains(&it.check.as_str()))?;
    let names: Vec<String> = scenario.cards.iter().map(|it| it.name.clone()).collect();
    // Cards report in their own time, a little ahead or behind.
    let mut log: Vec<&Record> = outcome.log.iter().collect();
    log.sort_by_key(|record| record.at);
    let found_at = Time::from_ps(violation.at_ps);
    let subject = request_in(&violation.message).or_else(|| ended_badly(&log, found_at));
    let mut teller = Teller::new(&names, subject);
    if subject.is_some() {
        // Posting is recorded before the dispatch that did it has returned.
        for record in &log {
            teller.follow(record);
        }
        teller.close(found_at);
    }
    let is_told = !teller.steps.is_empty();
    if !is_told {
        teller.tell_last(&log, found_at);
    }
    let inner = match is_told {
        true => life(&teller.steps, found_at),
        false => surroundings(&log, found_at)?,
    };
    let margin = ((inner.end - inner.start) / MARGIN).max(Span::from_ns(MIN_MARGIN_NS));
    let start = Time::from_ps(inner.start.as_ps().saturating_sub(margin.as_ps()));
    let time = start..inner.end + margin;
    let inside = log.iter().filter(|record| time.contains(&record.at));
    for record in inside {
        teller.see(record);
    }
    let Teller {
        steps, dots, bars, ..
    } = teller;
    let steps = steps.into_iter().map(|(_, step)| step).collect();
    let subject = subject.filter(|_| is_told);
    Some(Window {
        time,
        violation,
        subject,
        steps,
        dots,
        bars,
    })
}

/// The request that called back with an error when the violation was found.
fn ended_badly(log: &[&Record], found_at: Time) -> Option<u64> {
    let then = log.iter().filter(|record| record.at == found_at);
    let mut ended = then.filter_map(|record| match record.event {
        Event::Callback {
            request, outcome, ..
        } if outcome != 0 => Some(request),
        _ => None,
    });
    ended.next()
}

fn life(steps: &[(u8, Step)], found_at: Time) -> Range<Time> {
    let first = steps.first().map_or(found_at, |(_, step)| step.at);
    let last = steps.last().map_or(found_at, |(_, step)| step.at);
    first.min(found_at)..last.max(found_at)
}

fn surroundings(log: &[&Record], found_at: Time) -> Option<Range<Time>> {
    let next = log.partition_point(|record| record.at <= found_at);
    let first = log.get(next.saturating_sub(AROUND[0]))?.at;
    let last = log[(next + AROUND[1]).min(log.len()) - 1].at;
    Some(first.min(found_at)..last.max(found_at))
}

/// A bar whose end has not come: its lane, where, and since when.
type Open = (Lane, u16, RingId, Time, String);

/// Tells events.
struct Teller<'a> {
    names: &'a [String],
    subject: Option<u64>,
    /// Under which cookies the request was on which cards.
    cookies: Vec<(u16, u64)>,
    /// Each with its rank among those of one time.
    steps: Vec<(u8, Step)>,
    dots: Vec<Dot>,
    bars: Vec<Bar>,
    open: Vec<Open>,
    /// The doorbell that tells of the request, the interrupt that tells of its completion, and the
    /// vector that is on its way.
    bell: Option<(u16, RingId)>,
    signal: Option<(u16, RingId)>,
    vector: Option<(u16, u16)>,
}

impl<'a> Teller<'a> {
    const fn new(names: &'a [String], subject: Option<u64>) -> Self {
        Self {
            names,
            subject,
            cookies: Vec::new(),
            steps: Vec::new(),
            dots: Vec::new(),
            bars: Vec::new(),
            open: Vec::new(),
            bell: None,
            signal: None,
            vector: None,
        }
    }

    fn name(&self, card: u16) -> &str {
        let name = self.names.get(usize::from(card));
        name.map_or("software", String::as_str)
    }

    /// Makes a step of `record` if it is about the request.
    fn follow(&mut self, record: &Record) {
        let at = record.at;
        match record.event {
            Event::Dispatch { request, .. } if Some(request) == self.subject => {
                self.begin(Lane::Consumer, (u16::MAX, RingId::ADMIN), at, "outstanding");
                self.step(0, record);
            }
            Event::Callback { request, .. } if Some(request) == self.subject => {
                self.end(Lane::Consumer, u16::MAX, at);
                self.step(2, record);
            }
            Event::Resubmitted { request } if Some(request) == self.subject => {
                self.step(1, record);
            }
            Event::Driver { card, event } => self.follow_driver(record, card, event),
            Event::Card { card, event } => self.follow_card(record, card, event),
            Event::WriteArrived { card, offset, .. } => {
                let bell = self
                    .bell
                    .take_if(|&mut (of, ring)| of == card && offset == ring.command_doorbell());
                if bell.is_some() {
                    self.step(1, record);
                }
            }
            Event::InterruptArrived { card, vector } => {
                let awaited = self.vector.take_if(|it| *it == (card, vector));
                if awaited.is_some() {
                    self.end(Lane::Interrupt, card, at);
                    self.step(1, record);
                }
            }
            Event::Unplugged { card } if self.is_on(card) => self.step(1, record),
            _ => {}
        }
    }

    fn follow_driver(&mut self, record: &Record, card: u16, event: DriverEvent) {
        match event {
            DriverEvent::Posted {
                ring,
                slot,
                cookie,
                request,
            } if request.is_some() && request == self.subject => {
                self.cookies.push((card, cookie));
                self.bell = Some((card, ring));
                let text = format!("in slot {slot} of ring {}", ring.0);
                self.begin(Lane::Ring, (card, ring), record.at, &text);
                self.step(1, record);
            }
            DriverEvent::Reaped { cookie, .. } if self.knows(card, cookie) => {
                self.end(Lane::Ring, card, record.at);
                // Whatever interrupt comes now tells of others.
                self.signal = None;
                self.step(1, record);
            }
            DriverEvent::Watchdog { .. } | DriverEvent::Reset | DriverEvent::Lost
                if self.is_on(card) =>
            {
                self.step(1, record);
            }
            _ => {}
        }
    }

    fn follow_card(&mut self, record: &Record, card: u16, event: CardEvent) {
        match event {
            CardEvent::Started { cookie, finish, .. } if self.knows(card, cookie) => {
                self.bar(Lane::Engine, record.at..finish, true, "works on it");
                self.step(1, record);
            }
            CardEvent::Completed { ring, cookie, .. } if self.knows(card, cookie) => {
                self.signal = Some((card, ring));
                self.step(1, record);
            }
            CardEvent::Interrupt { ring, vector }
                if self.signal.take_if(|it| *it == (card, ring)).is_some() =>
            {
                self.vector = Some((card, vector.0));
                self.begin(Lane::Interrupt, (card, ring), record.at, "on its way");
                self.step(1, record);
            }
            CardEvent::Reset if self.is_on(card) => self.step(1, record),
            _ => {}
        }
    }

    fn knows(&self, card: u16, cookie: u64) -> bool {
        self.cookies.contains(&(card, cookie))
    }

    /// Whether the request is in a ring of `card`.
    fn is_on(&self, card: u16) -> bool {
        let mut open = self.open.iter();
        open.any(|&(lane, of, ..)| lane == Lane::Ring && of == card)
    }

    fn begin(&mut self, lane: Lane, (card, ring): (u16, RingId), at: Time, text: &str) {
        self.open.push((lane, card, ring, at, text.to_owned()));
    }

    fn end(&mut self, lane: Lane, card: u16, at: Time) {
        let mut open = self.open.iter();
        let found = open.position(|it| (it.0, it.1) == (lane, card));
        if let Some(found) = found {
            let (.., since, text) = self.open.remove(found);
            self.bar(lane, since..at, true, &text);
        }
    }

    fn bar(&mut self, lane: Lane, time: Range<Time>, is_subject: bool, text: &str) {
        self.bars.push(Bar {
            time,
            lane,
            is_subject,
            text: text.to_owned(),
        });
    }

    /// What has no end yet lasts to the violation; steps come in their order.
    fn close(&mut self, found_at: Time) {
        for (lane, _, _, since, text) in std::mem::take(&mut self.open) {
            self.bar(lane, since..found_at.max(since), true, &text);
        }
        self.steps.sort_by_key(|(rank, step)| (step.at, *rank));
        self.steps.truncate(MAX_STEPS);
    }

    fn step(&mut self, rank: u8, record: &Record) {
        if let Some(step) = self.told(record) {
            self.steps.push((rank, step));
        }
    }

    /// Makes steps of the last events up to `found_at`.
    fn tell_last(&mut self, log: &[&Record], found_at: Time) {
        let next = log.partition_point(|record| record.at <= found_at);
        for record in &log[next.saturating_sub(STEPS)..next] {
            self.step(1, record);
        }
    }

    /// Makes a dot or a bar of `record`, unless it is a step.
    fn see(&mut self, record: &Record) {
        if let Event::Card { card, event } = record.event
            && let CardEvent::Started { cookie, finish, .. } = event
            && !self.knows(card, cookie)
        {
            let text = line::of(self.names, record);
            self.bar(Lane::Engine, record.at..finish, false, &text);
        }
        let Some(step) = self.told(record) else {
            return;
        };
        if self.steps.iter().any(|(_, told)| *told == step) {
            return;
        }
        self.dots.push(Dot {
            at: step.at,
            lane: step.lane,
            text: line::of(self.names, record),
        });
    }

    fn told(&self, record: &Record) -> Option<Step> {
        let (lane, place, what) = self.words(record.event)?;
        Some(Step {
            at: record.at,
            lane,
            place,
            what,
        })
    }

    /// Lane, place and words of an event.
    fn words(&self, event: Event) -> Option<(Lane, String, String)> {
        let of = |card: u16| self.name(card).to_owned();
        Some(match event {
            Event::Dispatch {
                request,
                consumer,
                bytes,
                ..
            } => {
                let what = format!("dispatch of {request}, {bytes} bytes");
                (Lane::Consumer, format!("consumer {consumer}"), what)
            }
            Event::Callback {
                request,
                consumer,
                outcome,
            } => {
                let outcome = OUTCOMES.get(usize::from(outcome)).unwrap_or(&"unknown");
                let what = format!("callback of {request}: {outcome}");
                (Lane::Consumer, format!("consumer {consumer}"), what)
            }
            Event::Driver { card, event } => self.words_of_driver(card, event),
            Event::Card { card, event } => self.words_of_card(card, event)?,
            Event::WriteArrived {
                card,
                offset,
                value,
            } => {
                let (place, what) = register(offset, value);
                (Lane::Link, format!("{}{place}", of(card)), what)
            }
            Event::DmaRefused {
                card,
                is_write,
                reason,
                ..
            } => {
                let access = if is_write { "write" } else { "read" };
                let what = format!("DMA {access} refused: {reason:?}");
                (Lane::Link, of(card), what)
            }
            Event::InterruptArrived { card, vector } => {
                let what = format!("interrupt {vector} arrived");
                (Lane::Interrupt, of(card), what)
            }
            Event::Blocked { .. } => (Lane::Driver, framework(), "driver blocked".into()),
            Event::Unblocked { .. } => (Lane::Driver, framework(), "driver unblocked".into()),
            Event::Registered { card, .. } => (Lane::Driver, of(card), "registered".into()),
            Event::DriverLost { .. } => (Lane::Driver, framework(), "driver gone".into()),
            Event::SessionOpened { session, .. } => {
                let what = format!("session {session:#x} opened");
                (Lane::Consumer, framework(), what)
            }
            Event::SessionMoved { from, .. } => {
                let what = format!("session {from:#x} moves");
                (Lane::Consumer, framework(), what)
            }
            Event::Resubmitted { request } => {
                let what = format!("{request} submitted again");
                (Lane::Consumer, framework(), what)
            }
            Event::Unplugged { card } => (Lane::Link, of(card), "pulled out".into()),
            Event::Plugged { card } => (Lane::Link, of(card), "put in".into()),
        })
    }

    fn words_of_driver(&self, card: u16, event: DriverEvent) -> (Lane, String, String) {
        let name = self.name(card);
        let ring_of = |ring: RingId| format!("{name}, {}", ring_name(ring));
        let (place, what) = match event {
            DriverEvent::Posted { ring, slot, .. } => {
                (format!("{}, slot {slot}", ring_of(ring)), "posted")
            }
            DriverEvent::Reaped { ring, slot, .. } => {
                (format!("{}, slot {slot}", ring_of(ring)), "reaped")
            }
            DriverEvent::Strange { ring, .. } => (ring_of(ring), "strange completion"),
            DriverEvent::Refused { ring } => (ring_of(ring), "no room"),
            DriverEvent::Watchdog { ring } => (ring_of(ring), "watchdog fired"),
            DriverEvent::Reset => (name.to_owned(), "driver resets it"),
            DriverEvent::Lost => (name.to_owned(), "driver finds it gone"),
        };
        (Lane::Driver, place, what.to_owned())
    }

    fn words_of_card(&self, card: u16, event: CardEvent) -> Option<(Lane, String, String)> {
        let name = self.name(card);
        let ring_of = |ring: RingId| format!("{name}, {}", ring_name(ring));
        let (lane, place, what) = match event {
            // That it arrives is an event of the link.
            CardEvent::Doorbell { .. } => return None,
            CardEvent::Fetched { ring, first, count } => {
                let place = format!("{}, slot {first}", ring_of(ring));
                (Lane::Ring, place, format!("{count} fetched"))
            }
            CardEvent::Started { group, lane, .. } => {
                let place = format!("{name}, group {group}, lane {lane}");
                (Lane::Engine, place, "started".to_owned())
            }
            CardEvent::Completed {
                ring, slot, status, ..
            } => {
                let place = format!("{}, slot {slot}", ring_of(ring));
                (Lane::Ring, place, format!("completed: {status:?}"))
            }
            CardEvent::Interrupt { ring, vector } => {
                let what = format!("interrupt {} sent", vector.0);
                (Lane::Interrupt, ring_of(ring), what)
            }
            CardEvent::DmaFault { ring, is_write, .. } => {
                let access = if is_write { "write" } else { "read" };
                (Lane::Link, ring_of(ring), format!("DMA {access} failed"))
            }
            CardEvent::SessionCreated { session } => {
                let what = format!("session {session} created");
                (Lane::Engine, name.to_owned(), what)
            }
            CardEvent::SessionRekeyed { session } => {
                let what = format!("session {session} rekeyed");
                (Lane::Engine, name.to_owned(), what)
            }
            CardEvent::SessionDestroyed { session } => {
                let what = format!("session {session} destroyed");
                (Lane::Engine, name.to_owned(), what)
            }
            CardEvent::Reset | CardEvent::FunctionReset { .. } => {
                (Lane::Engine, name.to_owned(), "reset".to_owned())
            }
            CardEvent::ErrorMessage { message, .. } => {
                let what = format!("error message: {message:?}");
                (Lane::Link, name.to_owned(), what)
            }
        };
        Some((lane, place, what))
    }
}

fn framework() -> String {
    "framework".to_owned()
}

fn ring_name(ring: RingId) -> String {
    match ring {
        RingId::ADMIN => "admin ring".to_owned(),
        RingId(number) => format!("ring {number}"),
    }
}

/// Place and words of a register write that arrived.
fn register(offset: u32, value: u32) -> (String, String) {
    match regs::decode(offset, RingId(u16::MAX)) {
        Some(Target::CommandDoorbell(ring)) => {
            (format!(", {}", ring_name(ring)), "doorbell arrived".into())
        }
        Some(Target::CompletionDoorbell(ring)) => {
            let what = "completion doorbell arrived".to_owned();
            (format!(", {}", ring_name(ring)), what)
        }
        Some(Target::Control(register)) => (String::new(), format!("{register:?} = {value:#x}")),
        Some(Target::Ring(ring, register)) => {
            let place = format!(", {}", ring_name(ring));
            (place, format!("{register:?} = {value:#x}"))
        }
        None => (String::new(), format!("write to {offset:#x}")),
    }
}

#[cfg(test)]
pub(crate) mod tests;
