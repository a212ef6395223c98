//! What goes wrong and when, as a scenario says it.

use device_model::Latch;
use timebase::Span;
use toml::{Table, Value};

use super::{integer, micros, table};
use crate::rule::{Fate, Holds, Message};
use crate::scenario::Moment;

/// When a fault happens, as a scenario says it.
#[derive(Clone, Debug)]
pub struct When(pub(super) &'static str, pub(super) Value);

/// What a fault does, as a scenario says it.
#[derive(Clone, Debug)]
pub struct What(pub(super) &'static str, pub(super) Value);

/// Which messages of a link meet which fate, as a scenario says it.
#[derive(Clone, Debug)]
pub struct Messages(Table);

/// This long after the workload began, in whole nanoseconds.
#[must_use]
pub fn at(after: Span) -> When {
    When("at_ns", integer(after.as_ns()))
}

/// When this many requests have called back.
#[must_use]
pub fn after_requests(count: u64) -> When {
    When("after_requests", integer(count))
}

/// When a ring of the card in this slot is full for the `nth` time, from 1.
#[must_use]
pub fn ring_full(card: &str, nth: u64) -> When {
    let entries = [("card", card.into()), ("nth", integer(nth))];
    When("ring_full", table(entries).into())
}

/// This long after the fault before it happened, in whole microseconds.
#[must_use]
pub fn later(after: Span) -> When {
    When("after_previous_us", micros(after).into())
}

/// When the `nth` message of this kind, from 1, goes between the card in this slot and its driver.
/// Which ones count can be said as for a fate; only [`count`](Messages::count) means nothing here.
#[must_use]
pub fn on_message(card: &str, kind: Message, nth: u64) -> Messages {
    let entries = [("card", card.into()), ("kind", kind.name().into())];
    Messages(table(entries)).with("nth", nth)
}

impl From<Messages> for When {
    fn from(messages: Messages) -> Self {
        Self("on_message", messages.0.into())
    }
}

/// At the `nth` time, from 1, that `moment` comes for the card in this slot.
#[must_use]
pub fn on_event(card: &str, moment: Moment, nth: u64) -> When {
    let entries = [
        ("card", card.into()),
        ("kind", moment.name().into()),
        ("nth", integer(nth)),
    ];
    When("on_event", table(entries).into())
}

/// The card in this slot is pulled out without warning.
#[must_use]
pub fn unplug(card: &str) -> What {
    What("unplug", card.into())
}

/// A card is put into this slot and brought up.
#[must_use]
pub fn plug(card: &str) -> What {
    What("plug", card.into())
}

/// The card in this slot is taken out of service in an orderly way.
#[must_use]
pub fn detach(card: &str) -> What {
    What("detach", card.into())
}

/// The bus resets the card in this slot and sets it up again. Its driver is not told.
#[must_use]
pub fn reset(card: &str) -> What {
    What("reset", card.into())
}

/// The card in this slot is sent to D3hot. Its driver is not told.
#[must_use]
pub fn sleep(card: &str) -> What {
    What("sleep", card.into())
}

/// The card in this slot is brought back to D0 and set up again. Its driver is not told.
#[must_use]
pub fn wake(card: &str) -> What {
    What("wake", card.into())
}

/// So many interrupts of a vector of the card in this slot arrive that nobody sent, one `every` so
/// often, in whole nanoseconds.
#[must_use]
pub fn interrupts(card: &str, vector: u16, count: u32, every: Span) -> What {
    let entries = [
        ("card", card.into()),
        ("vector", integer(vector.into())),
        ("count", integer(count.into())),
        ("every_ns", integer(every.as_ns())),
    ];
    What("interrupt", table(entries).into())
}

/// A write to a register in BAR 0 of the card in this slot arrives that nobody made.
#[must_use]
pub fn stray_write(card: &str, offset: u32, value: u32) -> What {
    let entries = [
        ("card", card.into()),
        ("offset", integer(offset.into())),
        ("value", integer(value.into())),
    ];
    What("write", table(entries).into())
}

/// Sessions are spread over the drivers again.
#[must_use]
pub fn rebalance() -> What {
    What("rebalance", true.into())
}

/// The silicon of the card in this slot misbehaves.
#[must_use]
pub fn latch(card: &str, latch: Latch) -> What {
    let mut entries = table([("card", card.into()), ("kind", latch.name().into())]);
    if let Some(nth) = latch.nth() {
        // Scenarios count from one.
        entries.insert("nth".to_owned(), integer(nth.saturating_add(1)));
    }
    What("latch", entries.into())
}

/// The next message of this kind between the card in this slot and its driver meets `fate`.
#[must_use]
pub fn message(card: &str, kind: Message, fate: Fate) -> Messages {
    let entries = [
        ("card", card.into()),
        ("kind", kind.name().into()),
        ("fate", fate.name().into()),
    ];
    let messages = Messages(table(entries));
    match fate {
        Fate::Delay(delay) | Fate::Again(delay) => messages.with("delay_ns", delay.as_ns()),
        Fate::Answer(value) => messages.with("value", value.into()),
        _ => messages,
    }
}

impl Messages {
    /// Strikes from the `nth` on, from 1.
    #[must_use]
    pub fn from_nth(self, nth: u64) -> Self {
        self.with("nth", nth)
    }

    /// Strikes so many.
    #[must_use]
    pub fn count(self, count: u64) -> Self {
        self.with("count", count)
    }

    /// Strikes one in so many, by chance.
    #[must_use]
    pub fn one_in(self, many: u64) -> Self {
        self.with("one_in", many)
    }

    /// Strikes at these places only; see [`Rule::first`](crate::rule::Rule::first).
    #[must_use]
    pub fn places(self, first: u64, last: u64) -> Self {
        self.with("first", first).with("last", last)
    }

    /// Strikes messages of this many bytes of memory only.
    #[must_use]
    pub fn bytes(self, bytes: u64) -> Self {
        self.with("bytes", bytes)
    }

    /// Strikes messages only that say this.
    #[must_use]
    pub fn holding(mut self, holds: Holds) -> Self {
        let entries = [
            ("at", holds.at),
            ("stride", holds.stride),
            ("mask", holds.mask),
            ("value", holds.value),
        ];
        let entries = entries.map(|(key, number)| (key, integer(number.into())));
        self.0.insert("holds".to_owned(), table(entries).into());
        self
    }

    fn with(mut self, key: &str, number: u64) -> Self {
        self.0.insert(key.to_owned(), integer(number));
        self
    }
}

impl From<Messages> for What {
    fn from(messages: Messages) -> Self {
        Self("message", messages.0.into())
    }
}
