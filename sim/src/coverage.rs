//! Which states faults struck in: state of the driver, state of its card, kind of fault.
//!
//! Owns the states as the event log shows them, and counts. A state is that of a state machine of
//! the product, as far as it can be seen at a boundary: the phases of the driver's card, the
//! function, rings and engines of the card. Counts of runs add up, in whatever order. `page` shows
//! them.

mod page;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;

use device_model::Latch;
use timebase::Span;

use crate::rule::{Fate, Message};
use crate::scenario::Action;

pub use page::render;
pub(crate) use watch::Watch;

/// Stands for no fault: that the pair of states was entered at all.
pub const NO_FAULT: &str = "none";

/// What a driver is doing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Driver {
    /// There is none.
    Absent,
    /// A reset is under way: the first one, or one that repairs a hang.
    Resetting,
    /// Sessions that were open before a reset are created again.
    Restoring,
    /// Requests are served.
    Running,
    /// Requests are served, and one was refused for lack of room.
    Blocked,
    /// A ring stands still, and the watchdog has said so.
    Stalled,
    /// The rings are stopped and the driver leaves.
    Detaching,
    /// The card was found gone, and what it had is handed back.
    Lost,
}

/// What a card is doing.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Card {
    /// The slot is empty.
    Absent,
    /// In its slot, and not enabled: before bring-up, and in a reset.
    Off,
    /// Enabled, without a command.
    Idle,
    /// Commands are on the card, and no engine lane works: they are looked up, written back, or
    /// hang.
    Waiting,
    /// An engine lane works.
    Working,
    /// An access to memory was refused, or an error message sent, since the last reset.
    Faulted,
}

impl Driver {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::Resetting,
        Self::Restoring,
        Self::Running,
        Self::Blocked,
        Self::Stalled,
        Self::Detaching,
        Self::Lost,
    ];

    /// The state's name, in results and on the page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Resetting => "resetting",
            Self::Restoring => "restoring",
            Self::Running => "running",
            Self::Blocked => "blocked",
            Self::Stalled => "stalled",
            Self::Detaching => "detaching",
            Self::Lost => "lost",
        }
    }
}

impl Card {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Absent,
        Self::Off,
        Self::Idle,
        Self::Waiting,
        Self::Working,
        Self::Faulted,
    ];

    /// The state's name, in results and on the page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Off => "off",
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Working => "working",
            Self::Faulted => "faulted",
        }
    }
}

/// Every kind of fault, by name: actions, latches, and what messages can meet.
#[must_use]
pub fn kinds() -> Vec<String> {
    const PLAIN: [&str; 9] = [
        "unplug",
        "plug",
        "detach",
        "rebalance",
        "reset",
        "sleep",
        "wake",
        "interrupt",
        "write",
    ];
    let fates = [
        Fate::Lose,
        Fate::Double,
        Fate::Delay(Span::ZERO),
        Fate::Again(Span::ZERO),
        Fate::Overtake,
        Fate::Flip,
        Fate::Refuse,
        Fate::Poison,
        Fate::Stale,
        Fate::Answer(0),
    ];
    let of_messages = Message::ALL.into_iter().flat_map(|message| {
        let fates = fates.into_iter().filter(move |&fate| message.can(fate));
        fates.map(move |fate| of_message(message, fate))
    });
    let latches = Latch::NAMES.into_iter().map(|name| format!("latch {name}"));
    let plain = PLAIN.into_iter().map(str::to_owned);
    plain.chain(latches).chain(of_messages).collect()
}

fn of_message(message: Message, fate: Fate) -> String {
    format!("{} {}", fate.name(), message.name())
}

/// The kind of a fault; one of [`kinds`].
#[must_use]
pub fn kind(action: &Action) -> String {
    match action {
        Action::Unplug { .. } => "unplug".to_owned(),
        Action::Plug { .. } => "plug".to_owned(),
        Action::Detach { .. } => "detach".to_owned(),
        Action::Rebalance => "rebalance".to_owned(),
        Action::Reset { .. } => "reset".to_owned(),
        Action::Sleep { .. } => "sleep".to_owned(),
        Action::Wake { .. } => "wake".to_owned(),
        Action::Interrupt { .. } => "interrupt".to_owned(),
        Action::Write { .. } => "write".to_owned(),
        Action::Message { rule, .. } => of_message(rule.message, rule.fate),
        Action::Latch { latch, .. } => format!("latch {}", latch.name()),
    }
}

/// How often each kind of fault struck in each pair of states, and how often each pair was entered.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
#[serde(transparent)]
pub struct Coverage(BTreeMap<String, u64>);

impl Coverage {
    /// Whether nothing was visited.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Counts a visit of a triple; `kind` is one of [`kinds`] or [`NO_FAULT`].
    pub fn visit(&mut self, (driver, card): (Driver, Card), kind: &str, times: u64) {
        *self.0.entry(key(driver, card, kind)).or_default() += times;
    }

    /// How often the triple was visited.
    #[must_use]
    pub fn visits(&self, (driver, card): (Driver, Card), kind: &str) -> u64 {
        let known = self.0.get(&key(driver, card, kind));
        known.copied().unwrap_or(0)
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        for (key, times) in &other.0 {
            let sum = self.0.entry(key.clone()).or_default();
            *sum = sum.saturating_add(*times);
        }
    }

    /// The pairs of states that were entered, in order.
    #[must_use]
    pub fn pairs(&self) -> Vec<(Driver, Card)> {
        all_pairs()
            .filter(|&pair| self.visits(pair, NO_FAULT) > 0)
            .collect()
    }

    /// The pairs of states that were never entered, in order. Some of them cannot be.
    #[must_use]
    pub fn never_entered(&self) -> Vec<(Driver, Card)> {
        all_pairs()
            .filter(|&pair| self.visits(pair, NO_FAULT) == 0)
            .collect()
    }

    /// The pairs of states that were entered, but in which `kind` never struck, in order.
    #[must_use]
    pub fn never_struck(&self, kind: &str) -> Vec<(Driver, Card)> {
        let mut pairs = self.pairs();
        pairs.retain(|&pair| self.visits(pair, kind) == 0);
        pairs
    }
}

fn all_pairs() -> impl Iterator<Item = (Driver, Card)> {
    let drivers = Driver::ALL.into_iter();
    drivers.flat_map(|driver| Card::ALL.into_iter().map(move |card| (driver, card)))
}

fn key(driver: Driver, card: Card, kind: &str) -> String {
    format!("{}/{}/{kind}", driver.name(), card.name())
}
