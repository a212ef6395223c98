//! The story of a failing run, in sentences: what happened to the request that it is about, and to
//! the machine around it.

use device_model::CardEvent;
use driver::DriverEvent;
use timebase::Time;

use super::Replay;
use crate::event::{Event, OUTCOMES, Record};
use crate::outcome::{Mark, MarkKind, Outcome};
use crate::summary::units;

/// Most sentences: the beginning and the end of a longer story.
const MAX_SENTENCES: usize = 60;

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
        told: Vec::new(),
    };
    for record in &outcome.log {
        teller.hear(record);
    }
    for mark in outcome.marks.iter().filter(|mark| is_fault(mark)) {
        let sentence = format!("{}: {}.", mark.driver, mark.text);
        teller.told.push((mark.at, sentence));
    }
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
    told: Vec<(Time, String)>,
}

impl Teller<'_> {
    fn hear(&mut self, record: &Record) {
        let sentence = match record.event {
            Event::Driver { card, event } => self.of_driver(card, event),
            Event::Card { card, event } => self.of_card(card, event),
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

    fn of_world(&self, event: Event) -> Option<String> {
        match event {
            Event::Dispatch {
                request,
                consumer,
                session,
                bytes,
            } if self.is_subject(request) => Some(format!(
                "Consumer {consumer} dispatches it: {bytes} bytes, session {session:#x}."
            )),
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
            Event::SessionMoved { from, to, driver } => Some(format!(
                "Session {from:#x} moves to driver {driver}, and is {to:#x} from now on."
            )),
            Event::Unplugged { card } => Some(format!("{} is pulled out.", self.card(card))),
            Event::Plugged { card } => Some(format!("{} is put in.", self.card(card))),
            Event::DriverLost { driver } => Some(format!("Driver {driver} is gone.")),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
