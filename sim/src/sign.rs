//! Signs that something went wrong, from whoever is not the link: drivers, requests, checkers.
//!
//! Collects them while a run has faults; which fault a sign goes to is for the world to say. The
//! definition for readers is in `docs/faults.md`.

use std::collections::BTreeMap;

use driver::{DriverEvent, DriverStats};

use crate::event::{Event, Record};
use crate::series::Course;

/// What was noticed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sign {
    Strange,
    Watchdog,
    Reset,
    Lost,
    Polled,
    RangAgain,
    ErrorReported,
    CommandFailed,
    Registered,
    Left,
    SessionMoved,
    RequestEnded,
    Resubmitted,
    Checked,
}

impl Sign {
    /// What is said of it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Strange => "strange completion",
            Self::Watchdog => "watchdog",
            Self::Reset => "driver resets the card",
            Self::Lost => "driver finds the card gone",
            Self::Polled => "completion found without interrupt",
            Self::RangAgain => "doorbell rung again",
            Self::ErrorReported => "card reports an error",
            Self::CommandFailed => "card fails a command",
            Self::Registered => "driver comes",
            Self::Left => "driver goes",
            Self::SessionMoved => "session moves",
            Self::RequestEnded => "request ends with an error",
            Self::Resubmitted => "request submitted again",
            Self::Checked => "check broken",
        }
    }
}

/// The counters of a driver that are signs, and which. Those that events tell of are not here, and
/// neither are digests that did not match, because a workload has false ones on purpose.
pub(crate) const fn counted(stats: &DriverStats) -> [(Sign, u64); 4] {
    [
        (Sign::Polled, stats.polled_completions),
        (Sign::RangAgain, stats.rerung),
        (Sign::ErrorReported, stats.card_errors),
        (Sign::CommandFailed, stats.failed + stats.admin_failed),
    ]
}

/// Signs since the last time somebody took them, each with the card slot that it is about.
#[derive(Debug, Default)]
pub(crate) struct Signs {
    /// Slot of each driver's card.
    slots: BTreeMap<u32, u16>,
    seen: Vec<(Option<u16>, Sign)>,
}

impl Signs {
    /// Takes note of what happened; `course` knows where requests were.
    pub(crate) fn observe(&mut self, record: &Record, course: &Course) {
        // The slot of software is none of a card.
        let of_request = |request| course.slot_of(request).filter(|&it| it != Course::SOFTWARE);
        let (card, sign) = match record.event {
            Event::Driver { card, event } => match event {
                DriverEvent::Strange { .. } => (Some(card), Sign::Strange),
                DriverEvent::Watchdog { .. } => (Some(card), Sign::Watchdog),
                DriverEvent::Reset => (Some(card), Sign::Reset),
                DriverEvent::Lost => (Some(card), Sign::Lost),
                DriverEvent::Posted { .. }
                | DriverEvent::Reaped { .. }
                | DriverEvent::Refused { .. } => return,
            },
            Event::Registered { driver, card } => {
                self.slots.insert(driver, card);
                (Some(card), Sign::Registered)
            }
            Event::DriverLost { driver } => (self.slots.get(&driver).copied(), Sign::Left),
            Event::SessionMoved { .. } => (None, Sign::SessionMoved),
            Event::Resubmitted { request } => (of_request(request), Sign::Resubmitted),
            // 0 is well, and 2 is a digest that does not match, which may be on purpose.
            Event::Callback {
                request, outcome, ..
            } if !matches!(outcome, 0 | 2) => (of_request(request), Sign::RequestEnded),
            _ => return,
        };
        self.seen.push((card, sign));
    }

    /// Takes the signs since the last time.
    pub(crate) fn take(&mut self) -> Vec<(Option<u16>, Sign)> {
        std::mem::take(&mut self.seen)
    }
}
