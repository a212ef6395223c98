//! Faults in words, and how far each came.

use super::Paint;
use super::units::{count, counted, time};
use crate::outcome::FaultSummary;
use crate::scenario::{Action, FaultSpec, Scenario, Trigger};

/// The table of faults; nothing if there is none.
pub(super) fn table(faults: &[FaultSummary], paint: &Paint) -> String {
    if faults.is_empty() {
        return String::new();
    }
    let head = format!("{:>5}  {:>5}  {:>8}", "armed", "fired", "observed");
    let mut text = format!("\n  {}  {}\n", paint.faint("fault"), paint.faint(&head));
    for (number, fault) in (1..).zip(faults) {
        let sign = fault.first_sign.as_ref();
        let sign = sign.map_or_else(String::new, |sign| format!("; first sign: {sign}"));
        text += &format!(
            "  {number:<5}  {:>5}  {:>5}  {:>8}  {}{}\n",
            count(fault.armed),
            count(fault.fired),
            count(fault.observed),
            fault.fault,
            paint.faint(&sign),
        );
    }
    text
}

/// When a fault happens and what it does.
pub(crate) fn story(scenario: &Scenario, fault: &FaultSpec) -> String {
    let name = |card: usize| {
        scenario
            .cards
            .get(card)
            .map_or("?", |card| card.name.as_str())
    };
    let when = match fault.trigger {
        Trigger::At(at) => format!("at {at}"),
        Trigger::AfterRequests(requests) => format!("after {}", counted(requests, "request")),
        Trigger::RingFull { card, nth: 1 } => format!("when a ring of {} is full", name(card)),
        Trigger::RingFull { card, nth } => {
            format!("when a ring of {} is full, time {}", name(card), count(nth))
        }
        Trigger::AfterPrevious(span) => format!("{} later", time(span)),
        Trigger::Message { card, rule } => {
            let (nth, kind) = (rule.skip + 1, rule.message.name());
            format!("at {kind} {nth} of {}", name(card))
        }
        Trigger::Event {
            card, moment, nth, ..
        } => format!("at event `{}` {nth} of {}", moment.name(), name(card)),
    };
    let what = match fault.action {
        Action::Unplug { card } => format!("pull {} out", name(card)),
        Action::Plug { card } => format!("put {} in", name(card)),
        Action::Detach { card } => format!("take {} out of service", name(card)),
        Action::Reset { card } => format!("reset the link of {}", name(card)),
        Action::Sleep { card } => format!("send {} to D3hot", name(card)),
        Action::Wake { card } => format!("bring {} back to D0", name(card)),
        Action::Interrupt {
            card,
            vector,
            count,
            ..
        } => {
            let many = counted(count.into(), "interrupt");
            format!("{many} {} of {} from nowhere", vector.0, name(card))
        }
        Action::Write {
            card,
            offset,
            value,
        } => format!(
            "write {value:#x} to {offset:#x} of {} from nowhere",
            name(card)
        ),
        Action::Rebalance => "spread the sessions again".to_owned(),
        Action::Message { card, rule } => {
            let (kind, fate) = (rule.message.name(), rule.fate.name());
            let (from, number) = (count(rule.skip + 1), count(rule.count));
            format!(
                "{}: {fate} {number} {kind}, from number {from} on",
                name(card)
            )
        }
        Action::Latch { card, latch } => format!("{} misbehaves: {latch:?}", name(card)),
    };
    format!("{when}: {what}")
}
