//! The story of a failing run, in sentences: what happened to the request that it is about, and to
//! the machine around it.

use std::collections::BTreeMap;

use device_model::CardEvent;
use driver::DriverEvent;
use framework::MoveReason;
use timebase::{Span, Time};

use super::Replay;
use crate::event::{Event, OUTCOMES, Record};
use crate::outcome::{Mark, MarkKind, Outcome};
use crate::summary::units;

/// Most sentences: the beginning and the end of a longer story.
const MAX_SENTENCES: usize = 60;

/// Moves that are told in one sentence are no further apart.
const MOVES_APART: Span = Span::from_us(100);
/// Most names of sessions in a sentence.
const MAX_NAMES: usize = 6;

/// Tells `outcome`, which has its log, in one sentence a line, in order of time.
#[must_use]
pub fn tell(replay: &Replay, outcome: &Outcome) -> String {
    let scenario = &replay.case.scenario;
    let names: Vec<&str> = scenario.cards.iter().map(|it| it.name.as_str()).collect();
    let subject = outcome
        .violations
        .first()
        .and_then(|violation| request_in(&violation.message));
    let mut teller = Teller {
        names: &names,
        subject,
        cookies: Vec::new(),
        session: None,
        slots: BTreeMap::new(),
        moves: Vec::new(),
        told: Vec::new(),
    };
    // What goes wrong stands before what comes of it at the same time.
    for mark in outcome.marks.iter().filter(|mark| is_fault(mark)) {
        let sentence = match mark.driver.as_str() {
            "" => capital(&format!("{}.", mark.text)),
            driver => format!("{driver}: {}.", mark.text),
        };
        teller.told.push((mark.at, sentence));
    }
    for record in &outcome.log {
        teller.hear(record);
    }
    teller.tell_moves();
    for violation in &outcome.violations {
        let sentence = format!("FOUND by `{}`: {}", violation.check, violation.message);
        teller.told.push((Time::from_ps(violation.at_ps), sentence));
    }
    let mut told = teller.told;
    told.sort_by_key(|&(at, _)| at);
    let about = subject.map_or_else(String::new, |id| format!(", about request {id}"));
    let mut text = format!("{} with seed {}{about}:\n", scenario.name, replay.case.seed);
    let cut = told.len().saturating_sub(MAX_SENTENCES);
    for (index, (at, sentence)) in told.iter().enumerate() {
        if cut > 0 && index == MAX_SENTENCES / 2 {
            text += &format!(
                "{:>14}  ({})\n",
                "...",
                units::counted(cut as u64, "sentence")
            );
        }
        if cut == 0 || index < MAX_SENTENCES / 2 || index >= MAX_SENTENCES / 2 + cut {
            text += &format!("{:>14}  {sentence}\n", at.to_string());
        }
    }
    text
}

/// Faults, which no event of the log tells of.
fn is_fault(mark: &Mark) -> bool {
    mark.kind == MarkKind::Fault
}

/// `sentence` with a capital letter.
fn capital(sentence: &str) -> String {
    let mut letters = sentence.chars();
    let first = letters.next().map(|letter| letter.to_uppercase());
    first.into_iter().flatten().chain(letters).collect()
}

/// The request that a violation names.
pub(crate) fn request_in(message: &str) -> Option<u64> {
    let mut words = message.split(|char: char| !char.is_ascii_alphanumeric());
    words.find(|&word| word == "request")?;
    words.next()?.parse().ok()
}

struct Teller<'a> {
    /// Names of the slots.
    names: &'a [&'a str],
    subject: Option<u64>,
    /// Under which cookies the request was on which cards.
    cookies: Vec<(u16, u64)>,
    /// The session of the request, by its name now.
    session: Option<u64>,
    /// Slot of each driver's card.
    slots: BTreeMap<u32, u16>,
    /// Sessions that moved one after the other, from and to one place and for one reason.
    moves: Vec<Move>,
    told: Vec<(Time, String)>,
}

/// A session that moved.
#[derive(Clone, Copy, Debug)]
struct Move {
    at: Time,
    name: u64,
    from: u32,
    to: u32,
    reason: MoveReason,
}

impl Move {
    /// Whether `next` is told in one sentence with it.
    fn goes_with(&self, next: &Self) -> bool {
        (self.from, self.to, self.reason) == (next.from, next.to, next.reason)
            && next.at.since(self.at) <= MOVES_APART
    }
}

impl Teller<'_> {
    fn hear(&mut self, record: &Record) {
        let sentence = match record.event {
            Event::Driver { card, event } => self.of_driver(card, event),
            Event::Card { card, event } => self.of_card(card, event),
            Event::SessionMoved { .. } => self.of_move(record),
            event => self.of_world(event),
        };
        if let Some(sentence) = sentence {
            self.told.push((record.at, sentence));
        }
    }

    fn card(&self, card: u16) -> &str {
        self.names.get(usize::from(card)).unwrap_or(&"software")
    }

    fn is_subject(&self, request: u64) -> bool {
        self.subject == Some(request)
    }

    fn of_driver(&mut self, card: u16, event: DriverEvent) -> Option<String> {
        match event {
            DriverEvent::Posted {
                ring,
                slot,
                cookie,
                request: Some(request),
            } if self.is_subject(request) => {
                self.cookies.push((card, cookie));
                let (ring, slot) = (ring.0, slot.0);
                let name = self.card(card);
                Some(format!(
                    "The driver of {name} posts it in slot {slot} of ring {ring}, cookie {cookie:#x}."
                ))
            }
            DriverEvent::Reaped { ring, slot, cookie } if self.knows(card, cookie) => {
                let (ring, slot, name) = (ring.0, slot.0, self.card(card));
                Some(format!(
                    "The driver of {name} reads its completion in slot {slot} of ring {ring}."
                ))
            }
            DriverEvent::Strange { ring, cookie } => {
                let (ring, name) = (ring.0, self.card(card));
                Some(format!(
                    "The driver of {name} cannot make sense of a completion in ring {ring}: \
                     cookie {cookie:#x}."
                ))
            }
            DriverEvent::Watchdog { ring } => {
                let (ring, name) = (ring.0, self.card(card));
                Some(format!(
                    "The driver of {name} sees no progress in ring {ring}."
                ))
            }
            DriverEvent::Reset => Some(format!("The driver of {} resets it.", self.card(card))),
            DriverEvent::Lost => Some(format!("The driver of {} finds it gone.", self.card(card))),
            DriverEvent::Posted { .. }
            | DriverEvent::Reaped { .. }
            | DriverEvent::Refused { .. } => None,
        }
    }

    fn knows(&self, card: u16, cookie: u64) -> bool {
        self.cookies.contains(&(card, cookie))
    }

    fn of_card(&self, card: u16, event: CardEvent) -> Option<String> {
        let name = self.card(card);
        match event {
            CardEvent::Started {
                cookie,
                lane,
                finish,
                ..
            } if self.knows(card, cookie) => Some(format!(
                "{name} works on it in lane {lane}, until {finish}."
            )),
            CardEvent::Completed { cookie, status, .. } if self.knows(card, cookie) => {
                Some(format!("{name} writes its completion: {status:?}."))
            }
            CardEvent::DmaFault {
                ring,
                addr,
                is_write,
            } => {
                let what = if is_write { "write" } else { "read" };
                let (ring, addr) = (ring.0, addr.0);
                Some(format!(
                    "{name} may not {what} at {addr:#x}, for ring {ring}."
                ))
            }
            CardEvent::Reset => Some(format!("{name} is reset.")),
            CardEvent::ErrorMessage { message, .. } => {
                Some(format!("{name} sends an error message: {message:?}."))
            }
            _ => None,
        }
    }

    /// The name of the slot of a driver's card.
    fn place(&self, driver: u32) -> String {
        let slot = self.slots.get(&driver);
        slot.map_or_else(
            || format!("driver {driver}"),
            |&slot| self.card(slot).to_owned(),
        )
    }

    /// The move of the request's own session is told by itself, others wait for their like.
    fn of_move(&mut self, record: &Record) -> Option<String> {
        let Event::SessionMoved {
            from,
            to,
            driver,
            from_driver,
            reason,
        } = record.event
        else {
            return None;
        };
        let next = Move {
            at: record.at,
            name: from,
            from: from_driver,
            to: driver,
            reason,
        };
        if self.session == Some(from) {
            self.session = Some(to);
            let why = self.because(&next);
            let [left, new] = [from_driver, driver].map(|it| self.place(it));
            let name = match from == to {
                true => String::new(),
                false => format!(", and is {to:#x} from now on"),
            };
            return Some(format!(
                "Its session {from:#x} moves from {left} to {new}{name}, {why}."
            ));
        }
        if !self.moves.last().is_some_and(|last| last.goes_with(&next)) {
            self.tell_moves();
        }
        self.moves.push(next);
        None
    }

    fn because(&self, of: &Move) -> String {
        let from = self.place(of.from);
        match of.reason {
            MoveReason::Lost => format!("because {from} was lost"),
            MoveReason::Unregistered => format!("because the driver of {from} leaves"),
            MoveReason::Asked => "because the sessions are spread again".to_owned(),
            MoveReason::OpenFailed => format!("because {from} cannot open it"),
        }
    }

    /// Tells the moves that wait, in one sentence.
    fn tell_moves(&mut self) {
        let moves = std::mem::take(&mut self.moves);
        let Some(first) = moves.first() else {
            return;
        };
        let names: Vec<String> = moves
            .iter()
            .take(MAX_NAMES)
            .map(|one| format!("{:#x}", one.name))
            .collect();
        let more = match moves.len() - names.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let who = match moves.len() {
            1 => format!("Session {} moves", names[0]),
            count => format!("{count} sessions ({}{more}) move", names.join(", ")),
        };
        let [from, to] = [first.from, first.to].map(|it| self.place(it));
        let why = self.because(first);
        let sentence = format!("{who} from {from} to {to}, {why}.");
        self.told.push((first.at, sentence));
    }

    fn of_world(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Dispatch {
                request,
                consumer,
                session,
                bytes,
            } if self.is_subject(request) => {
                self.session = Some(session);
                Some(format!(
                    "Consumer {consumer} dispatches it: {bytes} bytes, session {session:#x}."
                ))
            }
            Event::Callback {
                request, outcome, ..
            } if self.is_subject(request) => Some(match outcome {
                0 => "It calls back, well.".to_owned(),
                code => {
                    let name = OUTCOMES.get(usize::from(code)).unwrap_or(&"unknown");
                    format!("It calls back: {name}.")
                }
            }),
            Event::Resubmitted { request } if self.is_subject(request) => {
                Some("The framework submits it again.".to_owned())
            }
            Event::DmaRefused {
                card,
                addr,
                is_write,
                reason,
            } => {
                let (name, addr) = (self.card(card), addr.0);
                let what = if is_write { "write" } else { "read" };
                Some(format!(
                    "The host refuses {name} a {what} at {addr:#x}: {reason:?}."
                ))
            }
            Event::Registered { driver, card } => {
                self.slots.insert(driver, card);
                None
            }
            Event::Unplugged { card } => Some(format!("{} is pulled out.", self.card(card))),
            Event::Plugged { card } => Some(format!("{} is put in.", self.card(card))),
            Event::DriverLost { driver } => {
                Some(format!("The driver of {} is gone.", self.place(driver)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Case, Data};
    use crate::scenario::Scenario;

    /// The story of a run with two cards, in which a bit flips late, and `faults` before that.
    fn story(faults: &str) -> String {
        let text = format!(
            "name = \"moves\"\n[[card]]\n[[card]]\n[workload]\nconsumers = 8\ndepth = 2\n\
             pieces = 200\nsizes = [{{ bytes = 1024 }}]\nsuites = [\"aes-128-gcm\"]\n{faults}\
             [[fault]]\nat_us = 5\n\
             latch = {{ card = \"card1\", kind = \"corrupt-output\", nth = 220 }}\n"
        );
        let scenario = Scenario::from_toml(&text, "test").expect("a scenario");
        let case = Case {
            scenario,
            seed: 3,
            data: Data::Noise(1 << 16),
            exhibit: None,
        };
        let outcome = case.run(&case.data.read().expect("noise"), true);
        let outcome = outcome.expect("a run that begins");
        let replay = Replay::new(case, &outcome).expect("a failure");
        tell(&replay, &outcome)
    }

    #[test]
    fn sessions_that_move_are_told_with_from_where_where_to_and_why() {
        let pulled = story("[[fault]]\nafter_requests = 30\nunplug = \"card0\"\n");
        let moved = " from card0 to card1, because card0 was lost.";
        assert!(pulled.contains(moved), "{pulled}");
        assert!(pulled.contains("The driver of card0 is gone."), "{pulled}");
        assert!(!pulled.contains("spread"), "{pulled}");
        let left = story("[[fault]]\nafter_requests = 30\ndetach = \"card0\"\n");
        let moved = " from card0 to card1, because the driver of card0 leaves.";
        assert!(left.contains(moved), "{left}");
    }

    #[test]
    fn a_rebalance_is_a_sentence_and_so_are_its_moves() {
        let told = story(
            "[[fault]]\nafter_requests = 30\nunplug = \"card0\"\n\
             [[fault]]\nafter_previous_us = 30\nplug = \"card0\"\n\
             [[fault]]\nafter_previous_us = 60\nrebalance = true\n",
        );
        let spread = "  The sessions are spread over the drivers again.\n";
        assert!(told.contains(spread), "{told}");
        let moved = told
            .lines()
            .filter(|line| line.ends_with(" to card0, because the sessions are spread again."));
        assert!(moved.count() >= 1, "{told}");
    }

    #[test]
    fn the_request_of_a_violation_is_found_by_its_number() {
        assert_eq!(
            request_in("request 12 of consumer 0 (null): wrong"),
            Some(12)
        );
        assert_eq!(request_in("a request of consumer 3 failed"), None);
        assert_eq!(request_in("3 sessions do not close"), None);
    }
}
