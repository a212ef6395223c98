//! Ring ownership: each slot belongs to the driver or to the card, and only its owner touches it.
//!
//! A command slot is the card's from the doorbell that publishes it until it is fetched; a
//! completion slot is the driver's from its being written until the doorbell that gives it back.
//! What the driver does not know cannot be held against it: a card that is gone, or was reset by
//! others, keeps its rings here until the driver acts on it.

use device_model::CardEvent;
use driver::DriverEvent;
use regs::{Control, Doorbell, Register, RingControl, RingId, RingRegister, Slot, Target};
use timebase::Time;

use super::{Findings, RegisterAccess};
use crate::event::{Event, Record};

/// Watches slots of command and completion rings.
#[derive(Debug)]
pub struct RingOwner {
    /// What it saw.
    pub findings: Findings,
    /// Rings of each slot's card.
    cards: Vec<Vec<Ring>>,
}

/// Who has which slots of a ring pair.
#[derive(Debug, Default)]
struct Ring {
    /// What the entries will be when the pair turns on.
    configured: u32,
    /// Zero while the pair is off.
    entries: u32,
    /// The driver writes its next command here.
    tail: Slot,
    /// First command slot that the card does not know of.
    published: Slot,
    /// First command slot that the card has not fetched.
    fetched: Slot,
    /// First completion slot that was not given back.
    given_back: Slot,
    /// First completion slot that the card has not written.
    completed: Slot,
    /// Completion slots written by the card and not read by the driver.
    unread: Vec<bool>,
}

impl Default for RingOwner {
    fn default() -> Self {
        Self {
            findings: Findings::new("ring ownership"),
            cards: Vec::new(),
        }
    }
}

impl RingOwner {
    #[inline]
    pub(super) fn observe(&mut self, record: &Record) {
        let (card, ring, verdict) = match record.event {
            Event::Driver { card, event } => match event {
                DriverEvent::Posted { ring, slot, .. } => {
                    (card, ring, self.ring(card, ring).posted(slot))
                }
                DriverEvent::Reaped { ring, slot, .. } => {
                    (card, ring, self.ring(card, ring).reaped(slot))
                }
                DriverEvent::Reset | DriverEvent::Lost => return self.turn_off(card),
                _ => return,
            },
            Event::Card { card, event } => match event {
                CardEvent::Fetched { ring, first, count } => {
                    (card, ring, self.ring(card, ring).fetched(first, count))
                }
                CardEvent::Completed { ring, slot, .. } => {
                    (card, ring, self.ring(card, ring).completed(slot))
                }
                _ => return,
            },
            _ => return,
        };
        self.judge(record.at, card, ring, verdict);
    }

    /// The driver of the card in a slot made an access.
    pub fn accessed(&mut self, at: Time, card: u16, access: RegisterAccess, last_ring: RingId) {
        let RegisterAccess::Write { value, .. } = access else {
            return;
        };
        let (ring, verdict) = match access.target(last_ring) {
            Some(Target::CommandDoorbell(ring)) => {
                let slot = Doorbell::from_bits(value).slot;
                (ring, self.ring(card, ring).publish(slot))
            }
            Some(Target::CompletionDoorbell(ring)) => {
                let slot = Doorbell::from_bits(value).slot;
                (ring, self.ring(card, ring).give_back(slot))
            }
            Some(Target::Ring(ring, register)) => {
                return self.ring(card, ring).configure(register, value);
            }
            Some(Target::Control(Register::Control)) if Control::from_bits(value).reset() => {
                return self.turn_off(card);
            }
            _ => return,
        };
        self.judge(at, card, ring, verdict);
    }

    fn judge(&mut self, at: Time, card: u16, ring: RingId, verdict: Result<(), String>) {
        self.findings.look();
        if let Err(complaint) = verdict {
            self.findings
                .violation(at, || format!("slot {card}, ring {}: {complaint}", ring.0));
        }
    }

    /// All rings of a card are off.
    fn turn_off(&mut self, card: u16) {
        let rings = self.cards.get_mut(usize::from(card)).into_iter();
        rings.flatten().for_each(Ring::turn_off);
    }

    /// The driver of a card begins anew.
    pub(super) fn forget(&mut self, card: u16) {
        if let Some(rings) = self.cards.get_mut(usize::from(card)) {
            rings.clear();
        }
    }

    #[inline]
    fn ring(&mut self, card: u16, ring: RingId) -> &mut Ring {
        let (card, ring) = (usize::from(card), usize::from(ring.0));
        if card >= self.cards.len() {
            self.cards.resize_with(card + 1, Vec::new);
        }
        let rings = &mut self.cards[card];
        if ring >= rings.len() {
            rings.resize_with(ring + 1, Ring::default);
        }
        &mut rings[ring]
    }
}

impl Ring {
    /// What the card completed before may still be read.
    fn turn_off(&mut self) {
        *self = Self {
            unread: std::mem::take(&mut self.unread),
            ..Self::default()
        };
    }

    fn configure(&mut self, register: RingRegister, value: u32) {
        match register {
            RingRegister::Entries => self.configured = value,
            RingRegister::RingControl => {
                let control = RingControl::from_bits(value);
                let (was_on, configured) = (self.entries > 0, self.configured);
                if control.reset() || !control.enabled() || !was_on {
                    self.turn_off();
                    self.configured = configured;
                }
                if control.enabled() && self.entries == 0 {
                    self.entries = configured;
                    self.unread = vec![false; configured as usize];
                }
            }
            _ => {}
        }
    }

    #[inline]
    fn has(&self, slot: Slot) -> bool {
        slot.0 < self.entries
    }

    /// Only what there is can be touched.
    #[inline]
    fn expect(&self, what: &str, slot: Slot) -> Result<(), String> {
        if self.has(slot) {
            Ok(())
        } else if self.entries == 0 {
            Err(format!("{what} entry {slot}, and the ring is off"))
        } else {
            Err(format!("{what} entry {slot} of {}", self.entries))
        }
    }

    #[inline]
    fn distance(&self, from: Slot, to: Slot) -> u32 {
        from.distance_to(to, self.entries)
    }

    fn posted(&mut self, slot: Slot) -> Result<(), String> {
        self.expect("a command was written to", slot)?;
        let expected = self.tail;
        let is_cards =
            self.distance(self.fetched, slot) < self.distance(self.fetched, self.published);
        self.tail = slot.next(self.entries);
        if is_cards {
            Err(format!(
                "a command was written to entry {slot}, which is the card's"
            ))
        } else if slot != expected {
            Err(format!(
                "a command was written to entry {slot}, and entry {expected} is next"
            ))
        } else if self.tail == self.fetched {
            Err(format!(
                "a command in entry {slot} makes a full ring look empty"
            ))
        } else {
            Ok(())
        }
    }

    fn publish(&mut self, slot: Slot) -> Result<(), String> {
        self.expect("the doorbell published commands before", slot)?;
        let written = self.distance(self.published, self.tail);
        if self.distance(self.published, slot) > written {
            return Err(format!(
                "the doorbell published entry {slot}, and nothing was written from entry {} on",
                self.tail
            ));
        }
        self.published = slot;
        Ok(())
    }

    fn fetched(&mut self, first: Slot, count: u32) -> Result<(), String> {
        if self.entries == 0 {
            return Ok(());
        }
        let known = self.distance(self.fetched, self.published);
        let expected = self.fetched;
        self.fetched = Slot((first.0 + count) % self.entries);
        if first != expected || count > known {
            return Err(format!(
                "the card fetched {count} commands from entry {first} on, and {known} were published from \
                 entry {expected} on"
            ));
        }
        Ok(())
    }

    fn completed(&mut self, slot: Slot) -> Result<(), String> {
        if !self.has(slot) {
            // The card does not know yet that the ring is off.
            if let Some(unread) = self.unread.get_mut(slot.0 as usize) {
                *unread = true;
            }
            return Ok(());
        }
        self.completed = slot.next(self.entries);
        if std::mem::replace(&mut self.unread[slot.0 as usize], true) {
            return Err(format!(
                "the card completed into entry {slot}, which nobody had read"
            ));
        }
        Ok(())
    }

    fn reaped(&mut self, slot: Slot) -> Result<(), String> {
        let unread = self.unread.get_mut(slot.0 as usize);
        if unread.is_some_and(std::mem::take) {
            return Ok(());
        }
        self.expect("a completion was read from", slot)?;
        Err(format!(
            "a completion was read from entry {slot}, which the card had not written"
        ))
    }

    fn give_back(&mut self, slot: Slot) -> Result<(), String> {
        self.expect("the doorbell gave back completions before", slot)?;
        let written = self.distance(self.given_back, self.completed);
        if self.distance(self.given_back, slot) > written {
            return Err(format!(
                "the doorbell gave back completions before entry {slot}, and none was written from entry {} on",
                self.completed
            ));
        }
        // Entries that made no sense were read as well.
        while self.given_back != slot {
            self.unread[self.given_back.0 as usize] = false;
            self.given_back = self.given_back.next(self.entries);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regs::Status;

    const RING: RingId = RingId(1);

    struct Bench(RingOwner);

    impl Bench {
        /// A pair of four entries, turned on.
        fn new() -> Self {
            let mut bench = Self(RingOwner::default());
            bench.write(RING.register(RingRegister::Entries), 4);
            let on = RingControl::new().with_enabled(true).into_bits();
            bench.write(RING.register(RingRegister::RingControl), on);
            bench
        }

        fn write(&mut self, offset: u32, value: u32) {
            let access = RegisterAccess::Write { offset, value };
            self.0.accessed(Time::ZERO, 0, access, RING);
        }

        fn see(&mut self, event: Event) {
            let at = Time::ZERO;
            self.0.observe(&Record { at, event });
        }

        fn post(&mut self, slot: u32) -> &mut Self {
            let event = DriverEvent::Posted {
                ring: RING,
                slot: Slot(slot),
                cookie: 0,
                request: None,
            };
            self.see(Event::Driver { card: 0, event });
            self
        }

        fn reap(&mut self, slot: u32) -> &mut Self {
            let (ring, slot, cookie) = (RING, Slot(slot), 0);
            let event = DriverEvent::Reaped { ring, slot, cookie };
            self.see(Event::Driver { card: 0, event });
            self
        }

        fn fetch(&mut self, first: u32, count: u32) -> &mut Self {
            let (ring, first) = (RING, Slot(first));
            let event = CardEvent::Fetched { ring, first, count };
            self.see(Event::Card { card: 0, event });
            self
        }

        fn complete(&mut self, slot: u32) -> &mut Self {
            let event = CardEvent::Completed {
                ring: RING,
                slot: Slot(slot),
                cookie: 0,
                status: Status::Success,
            };
            self.see(Event::Card { card: 0, event });
            self
        }

        fn publish(&mut self, slot: u32) -> &mut Self {
            self.write(RING.command_doorbell(), slot);
            self
        }

        fn give_back(&mut self, slot: u32) -> &mut Self {
            self.write(RING.completion_doorbell(), slot);
            self
        }

        /// The only complaint contains this.
        fn complains(&self, part: &str) {
            let messages = self.0.findings.messages();
            assert_eq!(messages.len(), 1, "{messages:?}");
            assert!(messages[0].contains(part), "{messages:?}");
        }
    }

    #[test]
    fn a_ring_that_goes_round_passes() {
        let mut bench = Bench::new();
        for slot in (0..12).map(|at| at % 4) {
            let next = (slot + 1) % 4;
            bench.post(slot).publish(next).publish(next).fetch(slot, 1);
            bench.complete(slot).reap(slot).give_back(next);
        }
        assert_eq!(bench.0.findings.messages(), [""; 0]);
        assert!(bench.0.findings.looked > 60);
    }

    #[test]
    fn an_entry_that_made_no_sense_is_given_back_unread() {
        let mut bench = Bench::new();
        for slot in (0..8).map(|at| at % 4) {
            bench.complete(slot).give_back((slot + 1) % 4);
        }
        assert_eq!(bench.0.findings.messages(), [""; 0]);
    }

    #[test]
    fn a_driver_that_touches_what_is_the_cards_is_found() {
        let mut bench = Bench::new();
        bench
            .post(0)
            .publish(1)
            .post(0)
            .complains("which is the card's");
        Bench::new().post(1).complains("and entry 0 is next");
        let mut bench = Bench::new();
        bench
            .post(0)
            .post(1)
            .post(2)
            .post(3)
            .complains("look empty");
        Bench::new()
            .publish(1)
            .complains("nothing was written from entry 0 on");
    }

    #[test]
    fn a_doorbell_of_a_ring_that_is_off_or_beyond_its_end_is_found() {
        let off = || Bench(RingOwner::default());
        off()
            .publish(1)
            .complains("published commands before entry 1, and the ring is off");
        off()
            .give_back(1)
            .complains("gave back completions before entry 1, and the ring is off");
        Bench::new()
            .publish(4)
            .complains("published commands before entry 4 of 4");
        Bench::new()
            .give_back(4)
            .complains("gave back completions before entry 4 of 4");
        let mut reset = Bench::new();
        reset.write(
            Register::Control.offset(),
            Control::new().with_reset(true).into_bits(),
        );
        reset.publish(1).complains("and the ring is off");
    }

    #[test]
    fn a_driver_that_reads_or_gives_back_too_early_is_found() {
        Bench::new()
            .reap(0)
            .complains("which the card had not written");
        let mut bench = Bench::new();
        bench
            .complete(0)
            .reap(0)
            .reap(0)
            .complains("which the card had not written");
        let mut bench = Bench::new();
        bench
            .complete(0)
            .reap(0)
            .give_back(2)
            .complains("none was written from entry 1 on");
    }

    #[test]
    fn a_card_that_takes_or_writes_what_is_not_its_own_is_found() {
        let mut bench = Bench::new();
        bench
            .post(0)
            .fetch(0, 1)
            .complains("0 were published from entry 0 on");
        let mut bench = Bench::new();
        bench
            .complete(0)
            .complete(0)
            .complains("which nobody had read");
    }

    #[test]
    fn what_was_completed_before_a_reset_is_read_once_after_it() {
        let mut bench = Bench::new();
        bench.post(0).publish(1).fetch(0, 1).complete(0);
        let event = DriverEvent::Reset;
        bench.see(Event::Driver { card: 0, event });
        bench.reap(0);
        assert_eq!(bench.0.findings.messages(), [""; 0]);
        bench.reap(0).complains("and the ring is off");
    }

    #[test]
    fn a_reset_begins_anew() {
        let mut bench = Bench::new();
        bench.post(0).publish(1).complete(0);
        bench.write(
            Register::Control.offset(),
            Control::new().with_reset(true).into_bits(),
        );
        let on = RingControl::new().with_enabled(true).into_bits();
        bench.write(RING.register(RingRegister::Entries), 4);
        bench.write(RING.register(RingRegister::RingControl), on);
        bench.post(0).publish(1).fetch(0, 1).complete(0).reap(0);
        assert_eq!(bench.0.findings.messages(), [""; 0]);
    }
}
