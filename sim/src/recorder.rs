//! The recorder: the one place every event passes.
//!
//! Mixes each event into the trace digest, shows it to the checkers, and keeps it if the run was
//! asked to. Switched off it costs a branch.

use device_model::CardEvent;
use driver::DriverEvent;
use regs::RingId;
use timebase::Time;

use crate::checker::{Checkers, RegisterAccess};
use crate::coverage::Watch;
use crate::event::{Event, Record};
use crate::scenario::Moment;
use crate::series::Course;
use crate::sign::{Sign, Signs};

/// Passes events on.
#[derive(Debug)]
pub struct Recorder {
    digest: Digest,
    count: u64,
    level: Level,
    log: Vec<Record>,
    checkers: Checkers,
    course: Course,
    waits: Vec<Wait>,
    told: Vec<usize>,
    /// Only in a run with faults.
    signs: Option<Signs>,
    /// Only if it was asked for.
    coverage: Option<Watch>,
}

/// A fault that waits for an event.
#[derive(Clone, Copy, Debug)]
struct Wait {
    fault: usize,
    card: u16,
    moment: Moment,
    ring: Option<RingId>,
    /// How many times it still has to happen.
    left: u64,
}

/// How much a recorder does.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    /// Nothing.
    Off,
    /// The digest.
    Digest,
    /// The digest and the checkers.
    Check,
    /// The digest, the checkers and the log.
    Keep,
}

impl Recorder {
    /// A recorder that does as much as `level` says.
    #[must_use]
    pub fn new(level: Level, checkers: Checkers) -> Self {
        Self {
            digest: Digest::default(),
            count: 0,
            level,
            log: Vec::new(),
            checkers,
            course: Course::default(),
            waits: Vec::new(),
            told: Vec::new(),
            signs: None,
            coverage: None,
        }
    }

    /// Follows the states of drivers and cards from now on.
    pub(crate) fn watch_coverage(&mut self, watch: Watch) {
        self.coverage = Some(watch);
    }

    /// The states of drivers and cards, if they are followed.
    pub(crate) const fn coverage(&mut self) -> Option<&mut Watch> {
        self.coverage.as_mut()
    }

    /// Collects signs of faults from now on.
    pub(crate) fn watch_signs(&mut self) {
        self.signs = Some(Signs::default());
    }

    /// Takes the signs of faults since the last time, each with the slot that it is about.
    pub(crate) fn take_signs(&mut self) -> Vec<(Option<u16>, Sign)> {
        self.signs.as_mut().map(Signs::take).unwrap_or_default()
    }

    /// Tells of the `nth` time from now (from 1) that `moment` comes for the card in a slot, on a
    /// ring pair if one is given.
    pub fn wait(
        &mut self,
        fault: usize,
        card: u16,
        (moment, ring): (Moment, Option<RingId>),
        nth: u64,
    ) {
        self.waits.push(Wait {
            fault,
            card,
            moment,
            ring,
            left: nth,
        });
    }

    /// Takes the faults whose moment has come since the last time.
    #[inline]
    pub fn take_told(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.told)
    }

    /// Takes note of `event`.
    #[inline]
    pub fn record(&mut self, at: Time, event: Event) {
        if self.level == Level::Off {
            return;
        }
        self.count += 1;
        self.digest.mix(at, &event);
        if self.level >= Level::Check {
            self.watch(Record { at, event });
        }
    }

    /// Takes note of what a card did. Cheaper than [`record`](Self::record), for the busiest
    /// source.
    #[inline(always)]
    pub fn record_card(&mut self, at: Time, card: u16, event: CardEvent) {
        if self.level == Level::Off {
            return;
        }
        self.count += 1;
        self.digest.mix_words(at, card_words(card.into(), event));
        if self.level >= Level::Check {
            self.watch(Record {
                at,
                event: Event::Card { card, event },
            });
        }
    }

    /// Takes note of what a driver did. Cheaper than [`record`](Self::record), for a busy source.
    #[inline(always)]
    pub fn record_driver(&mut self, at: Time, card: u16, event: DriverEvent) {
        if self.level == Level::Off {
            return;
        }
        self.count += 1;
        self.digest.mix_words(at, driver_words(card.into(), event));
        if self.level >= Level::Check {
            self.watch(Record {
                at,
                event: Event::Driver { card, event },
            });
        }
    }

    #[inline(never)]
    fn watch(&mut self, record: Record) {
        self.checkers.observe(&record);
        self.course.observe(&record);
        if let Some(signs) = &mut self.signs {
            signs.observe(&record, &self.course);
        }
        if let Some(coverage) = &mut self.coverage {
            coverage.observe(&record);
        }
        if !self.waits.is_empty() {
            self.count_down(record.event);
        }
        if self.level == Level::Keep {
            self.log.push(record);
        }
    }

    #[cold]
    fn count_down(&mut self, event: Event) {
        let Some((card, moment, ring)) = Moment::of(event) else {
            return;
        };
        for wait in &mut self.waits {
            let is_it = (wait.card, wait.moment) == (card, moment)
                && (wait.ring.is_none() || wait.ring == ring);
            if is_it && wait.left > 0 {
                wait.left -= 1;
                if wait.left == 0 {
                    self.told.push(wait.fault);
                }
            }
        }
    }

    /// Shows the checkers a register access of a driver, at its end of the link: that it arrives
    /// is an event of its own.
    #[inline]
    pub fn accessed(
        &mut self,
        at: Time,
        card: u16,
        access: RegisterAccess,
        side: Option<(RingId, bool)>,
    ) {
        if self.level >= Level::Check {
            self.checkers.accessed(at, card, access, side);
        }
    }

    /// The checkers.
    pub fn checkers(&mut self) -> &mut Checkers {
        &mut self.checkers
    }

    /// The course of the run.
    pub fn course(&mut self) -> &mut Course {
        &mut self.course
    }

    /// Events so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Digest of all events so far.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.digest.value()
    }

    /// Takes the log out.
    #[must_use]
    pub fn take_log(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.log)
    }
}

/// A 64-bit digest of a sequence of events. Not cryptographic: it finds divergence, not forgery.
#[derive(Clone, Copy, Debug)]
struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }
}

impl Digest {
    fn mix(&mut self, at: Time, event: &Event) {
        self.mix_words(at, words(event));
    }

    #[inline(always)]
    fn mix_words(&mut self, at: Time, [a, b, c]: [u64; 3]) {
        const K: [u64; 4] = [
            0xA076_1D64_78BD_642F,
            0xE703_7ED1_A0B4_28DB,
            0x8EBC_6AF0_9C88_C6E3,
            0x5899_65CC_7537_4CC3,
        ];
        let state = self.0;
        // Two products that do not wait for each other; each depends on the state.
        let left = fold(state ^ at.as_ps() ^ K[0], a ^ K[1]);
        let right = fold(state.rotate_left(32) ^ b ^ K[2], c ^ K[3]);
        self.0 = left ^ right.rotate_left(23);
    }

    fn value(self) -> u64 {
        self.0
    }
}

/// The two halves of a product, laid over each other.
#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    product as u64 ^ (product >> 64) as u64
}

/// Packs `tag` and up to three small numbers into one word.
#[inline]
const fn pack(tag: u8, a: u64, b: u64) -> u64 {
    (tag as u64) << 56 | (a & 0xFF_FFFF) << 32 | (b & 0xFFFF_FFFF)
}

/// The event as three words, the same on every machine.
#[inline]
fn words(event: &Event) -> [u64; 3] {
    match *event {
        Event::Dispatch {
            request,
            consumer,
            session,
            bytes,
        } => [pack(1, consumer.into(), bytes.into()), request, session],
        Event::Callback {
            request,
            consumer,
            outcome,
        } => [pack(2, consumer.into(), outcome.into()), request, 0],
        Event::Driver { card, event } => driver_words(card.into(), event),
        Event::Card { card, event } => card_words(card.into(), event),
        Event::WriteArrived {
            card,
            offset,
            value,
        } => [pack(3, card.into(), offset.into()), value.into(), 0],
        Event::DmaRefused {
            card,
            addr,
            is_write,
            reason,
        } => {
            let how = u64::from(is_write) << 8 | reason as u64;
            [pack(14, card.into(), how), addr.0, 0]
        }
        Event::InterruptArrived { card, vector } => [pack(4, card.into(), vector.into()), 0, 0],
        Event::Blocked { driver } => [pack(5, 0, driver.into()), 0, 0],
        Event::Unblocked { driver } => [pack(6, 0, driver.into()), 0, 0],
        Event::Registered { driver, card } => [pack(7, card.into(), driver.into()), 0, 0],
        Event::SessionOpened { session, driver } => [pack(8, 0, driver.into()), session, 0],
        // Where it was and why follow from what came before, and kept digests stay right.
        Event::SessionMoved {
            from, to, driver, ..
        } => [pack(9, 0, driver.into()), from, to],
        Event::Resubmitted { request } => [pack(10, 0, 0), request, 0],
        Event::Unplugged { card } => [pack(11, card.into(), 0), 0, 0],
        Event::Plugged { card } => [pack(12, card.into(), 0), 0, 0],
        Event::DriverLost { driver } => [pack(13, 0, driver.into()), 0, 0],
    }
}

#[inline(always)]
fn driver_words(card: u64, event: DriverEvent) -> [u64; 3] {
    let place = |ring: regs::RingId, slot: u32| u64::from(ring.0) << 32 | u64::from(slot);
    match event {
        DriverEvent::Posted {
            ring,
            slot,
            cookie,
            request,
        } => {
            let request = request.map_or(u64::MAX, |request| request);
            [
                pack(0x20, card, slot.0.into()) ^ u64::from(ring.0) << 48,
                cookie,
                request,
            ]
        }
        DriverEvent::Reaped { ring, slot, cookie } => {
            [pack(0x21, card, 0), place(ring, slot.0), cookie]
        }
        DriverEvent::Strange { ring, cookie } => [pack(0x22, card, ring.0.into()), cookie, 0],
        DriverEvent::Refused { ring } => [pack(0x23, card, ring.0.into()), 0, 0],
        DriverEvent::Watchdog { ring } => [pack(0x24, card, ring.0.into()), 0, 0],
        DriverEvent::Reset => [pack(0x25, card, 0), 0, 0],
        DriverEvent::Lost => [pack(0x26, card, 0), 0, 0],
    }
}

#[inline(always)]
fn card_words(card: u64, event: CardEvent) -> [u64; 3] {
    let place = |ring: regs::RingId, slot: u32| u64::from(ring.0) << 32 | u64::from(slot);
    match event {
        CardEvent::Doorbell { ring, tail } => [pack(0x40, card, 0), place(ring, tail.0), 0],
        CardEvent::Fetched { ring, first, count } => {
            [pack(0x41, card, count.into()), place(ring, first.0), 0]
        }
        CardEvent::Started {
            ring,
            cookie,
            group,
            lane,
            finish,
        } => {
            let place = u64::from(group) << 8 | u64::from(lane) | u64::from(ring.0) << 16;
            [pack(0x42, card, place), cookie, finish.as_ps()]
        }
        CardEvent::Completed {
            ring,
            slot,
            cookie,
            status,
        } => [pack(0x43, card, status as u64), place(ring, slot.0), cookie],
        CardEvent::Interrupt { ring, vector } => {
            [pack(0x44, card, vector.0.into()), ring.0.into(), 0]
        }
        CardEvent::DmaFault {
            ring,
            addr,
            is_write,
        } => [pack(0x45, card, is_write.into()), ring.0.into(), addr.0],
        CardEvent::SessionCreated { session } => [pack(0x46, card, session.into()), 0, 0],
        CardEvent::SessionRekeyed { session } => [pack(0x49, card, session.into()), 0, 0],
        CardEvent::SessionDestroyed { session } => [pack(0x47, card, session.into()), 0, 0],
        CardEvent::Reset => [pack(0x48, card, 0), 0, 0],
        CardEvent::FunctionReset { function } => [pack(0x4A, card, function.0.into()), 0, 0],
        CardEvent::ErrorMessage { function, message } => {
            [pack(0x4B, card, message as u64), function.0.into(), 0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(events: &[(u64, Event)]) -> u64 {
        let mut recorder = Recorder::new(Level::Digest, Checkers::default());
        for &(at, event) in events {
            recorder.record(Time::from_ps(at), event);
        }
        recorder.digest()
    }

    #[test]
    fn the_digest_sees_time_order_and_every_field() {
        let base = Event::Callback {
            request: 1,
            consumer: 2,
            outcome: 0,
        };
        let variants = [
            digest(&[(5, base)]),
            digest(&[(6, base)]),
            digest(&[(
                5,
                Event::Callback {
                    request: 3,
                    consumer: 2,
                    outcome: 0,
                },
            )]),
            digest(&[(
                5,
                Event::Callback {
                    request: 1,
                    consumer: 3,
                    outcome: 0,
                },
            )]),
            digest(&[(
                5,
                Event::Callback {
                    request: 1,
                    consumer: 2,
                    outcome: 1,
                },
            )]),
            digest(&[(5, base), (5, base)]),
            digest(&[(5, Event::Plugged { card: 0 }), (5, base)]),
            digest(&[(5, base), (5, Event::Plugged { card: 0 })]),
            digest(&[]),
        ];
        for (index, one) in variants.iter().enumerate() {
            for other in &variants[index + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    #[test]
    fn a_rekeyed_session_and_an_error_message_are_told_apart() {
        let card = |event| Event::Card { card: 0, event };
        let rekeyed = card(CardEvent::SessionRekeyed { session: 0 });
        let message = card(CardEvent::ErrorMessage {
            function: regs::FunctionId::PHYSICAL,
            message: device_model::pci::ErrorMessage::Correctable,
        });
        assert_ne!(digest(&[(5, rekeyed)]), digest(&[(5, message)]));
    }

    #[test]
    fn a_recorder_that_is_off_records_nothing() {
        let mut recorder = Recorder::new(Level::Off, Checkers::default());
        recorder.record(Time::ZERO, Event::Plugged { card: 0 });
        assert_eq!(recorder.count(), 0);
    }

    #[test]
    fn the_digest_of_a_known_sequence_never_changes() {
        // Replay files and bug reports carry digests: a change of the packing is a new version.
        let events = [
            (0, Event::Plugged { card: 1 }),
            (
                7,
                Event::Dispatch {
                    request: 1,
                    consumer: 2,
                    session: 3,
                    bytes: 4,
                },
            ),
        ];
        assert_eq!(digest(&events), 14_046_942_900_121_525_749);
    }
}
