//! The faults of a scenario: when, and what.

use device_model::Latch;
use regs::{BAR0_LEN, RingId, Vector};
use timebase::{Span, Time};

use super::{MAX_NS, MAX_REQUESTS, MAX_US};
use crate::rule::{Fate, Holds, Message, Rule};
use crate::scenario::reader::{Item, Section};
use crate::scenario::{Action, CardSpec, FaultSpec, Moment, ScenarioError, Trigger};

const TRIGGERS: [&str; 7] = [
    "at_us",
    "at_ns",
    "after_requests",
    "ring_full",
    "after_previous_us",
    "on_message",
    "on_event",
];
const ACTIONS: [&str; 11] = [
    "unplug",
    "plug",
    "detach",
    "reset",
    "sleep",
    "wake",
    "interrupt",
    "write",
    "rebalance",
    "message",
    "latch",
];
const FAULT_KEYS: [&str; TRIGGERS.len() + ACTIONS.len() + 2] = {
    let mut keys = ["percent"; TRIGGERS.len() + ACTIONS.len() + 2];
    let mut at = 0;
    while at < TRIGGERS.len() {
        keys[at] = TRIGGERS[at];
        at += 1;
    }
    while at < TRIGGERS.len() + ACTIONS.len() {
        keys[at] = ACTIONS[at - TRIGGERS.len()];
        at += 1;
    }
    keys[at] = "may_idle";
    keys
};
const MESSAGE_KEYS: [&str; 12] = [
    "card", "kind", "fate", "first", "last", "bytes", "holds", "nth", "count", "one_in",
    "delay_ns", "value",
];
const ON_MESSAGE_KEYS: [&str; 8] = [
    "card", "kind", "first", "last", "bytes", "holds", "nth", "one_in",
];
const HOLDS_KEYS: [&str; 4] = ["at", "stride", "mask", "value"];
const ON_EVENT_KEYS: [&str; 4] = ["card", "kind", "ring", "nth"];
const RING_FULL_KEYS: [&str; 2] = ["card", "nth"];
const LATCH_KEYS: [&str; 3] = ["card", "kind", "nth"];
const INTERRUPT_KEYS: [&str; 4] = ["card", "vector", "count", "every_ns"];
const WRITE_KEYS: [&str; 3] = ["card", "offset", "value"];

/// Most faults of a scenario.
const MAX_FAULTS: usize = 100_000;
/// Most interrupts of all faults together: each is kept until it arrives.
const MAX_STORM: u64 = 100_000;
/// Farthest place in a message that a rule may look at, in bytes.
const MAX_AT: u64 = 1 << 20;
/// Highest interrupt vector of a card.
const MAX_VECTOR: u64 = 127;

pub(super) fn read_faults(
    top: &Section<'_>,
    cards: &[CardSpec],
) -> Result<Vec<FaultSpec>, ScenarioError> {
    let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
    let mut faults = Vec::new();
    let mut storm = 0;
    for section in top.sections("fault", &FAULT_KEYS)? {
        if faults.len() == MAX_FAULTS {
            let found = format!("more than {MAX_FAULTS} faults");
            return Err(section.error(found, format!("at most {MAX_FAULTS}")));
        }
        let trigger_item = section.exactly_one(&TRIGGERS, "trigger")?;
        let trigger = read_trigger(&trigger_item, &names)?;
        if faults.is_empty() && matches!(trigger, Trigger::AfterPrevious(_)) {
            let found = "no fault before the first";
            return Err(trigger_item.complain(found, "another trigger for the first fault"));
        }
        let action_item = section.exactly_one(&ACTIONS, "action")?;
        let action = read_action(&action_item, &names)?;
        if let Action::Interrupt { count, .. } = action {
            storm += u64::from(count);
            if storm > MAX_STORM {
                let found = format!("{storm} interrupts from nowhere in all");
                return Err(action_item.complain(found, format!("at most {MAX_STORM}")));
            }
        }
        faults.push(FaultSpec {
            trigger,
            action,
            percent: section.percent("percent", 100)?,
            may_idle: section.boolean("may_idle", false)?,
        });
    }
    Ok(faults)
}

fn read_trigger(item: &Item<'_>, cards: &[&str]) -> Result<Trigger, ScenarioError> {
    match item.name() {
        "at_us" => Ok(Trigger::At(
            Time::ZERO + Span::from_us(item.integer(0..=MAX_US)?),
        )),
        "at_ns" => Ok(Trigger::At(
            Time::ZERO + Span::from_ns(item.integer(0..=MAX_US * 1_000)?),
        )),
        "after_requests" => Ok(Trigger::AfterRequests(item.integer(0..=MAX_REQUESTS)?)),
        "after_previous_us" => Ok(Trigger::AfterPrevious(Span::from_us(
            item.integer(0..=MAX_US)?,
        ))),
        "on_message" => {
            let section = item.section(&ON_MESSAGE_KEYS)?;
            let (card, rule) = read_rule(&section, Fate::Carry, cards)?;
            Ok(Trigger::Message { card, rule })
        }
        "on_event" => {
            let section = item.section(&ON_EVENT_KEYS)?;
            let names = Moment::ALL.map(|(name, _)| name);
            let moment = section.require("kind")?.one_of("kind of event", &names)?;
            let ring = section.get("ring");
            let ring = ring.map(|ring| ring.count(0..=regs::MAX_RING_PAIRS));
            Ok(Trigger::Event {
                card: section.require("card")?.one_of("card", cards)?,
                moment: Moment::ALL[moment].1,
                ring: ring.transpose()?.map(|ring| RingId(ring as u16)),
                nth: section.integer("nth", 1..=MAX_REQUESTS, 1)?,
            })
        }
        _ => {
            let ring_full = item.section(&RING_FULL_KEYS)?;
            Ok(Trigger::RingFull {
                card: ring_full.require("card")?.one_of("card", cards)?,
                nth: ring_full.integer("nth", 1..=MAX_REQUESTS, 1)?,
            })
        }
    }
}

fn read_action(item: &Item<'_>, cards: &[&str]) -> Result<Action, ScenarioError> {
    let card = || item.one_of("card", cards);
    match item.name() {
        "unplug" => Ok(Action::Unplug { card: card()? }),
        "plug" => Ok(Action::Plug { card: card()? }),
        "detach" => Ok(Action::Detach { card: card()? }),
        "reset" => Ok(Action::Reset { card: card()? }),
        "sleep" => Ok(Action::Sleep { card: card()? }),
        "wake" => Ok(Action::Wake { card: card()? }),
        "interrupt" => read_interrupt(&item.section(&INTERRUPT_KEYS)?, cards),
        "write" => read_write(&item.section(&WRITE_KEYS)?, cards),
        "message" => read_message(&item.section(&MESSAGE_KEYS)?, cards),
        "latch" => read_latch(&item.section(&LATCH_KEYS)?, cards),
        _ if item.boolean()? => Ok(Action::Rebalance),
        _ => Err(item.error("`true`, or no fault at all")),
    }
}

fn read_interrupt(section: &Section<'_>, cards: &[&str]) -> Result<Action, ScenarioError> {
    Ok(Action::Interrupt {
        card: section.require("card")?.one_of("card", cards)?,
        vector: Vector(section.integer("vector", 0..=MAX_VECTOR, 0)? as u16),
        count: section.integer("count", 1..=MAX_STORM, 1)? as u32,
        every: Span::from_ns(section.integer("every_ns", 0..=MAX_NS, 0)?),
    })
}

fn read_write(section: &Section<'_>, cards: &[&str]) -> Result<Action, ScenarioError> {
    let item = section.require("offset")?;
    let offset = item.integer(0..=u64::from(BAR0_LEN) - 4)?;
    if !offset.is_multiple_of(4) {
        return Err(item.error("a multiple of 4"));
    }
    Ok(Action::Write {
        card: section.require("card")?.one_of("card", cards)?,
        offset: offset as u32,
        value: section.require("value")?.integer(0..=u32::MAX.into())? as u32,
    })
}

/// Which messages of which card meet `fate`, and how many times.
fn read_rule(
    section: &Section<'_>,
    fate: Fate,
    cards: &[&str],
) -> Result<(usize, Rule), ScenarioError> {
    let card = section.require("card")?.one_of("card", cards)?;
    let kinds = Message::ALL.map(Message::name);
    let message = Message::ALL[section.require("kind")?.one_of("kind of message", &kinds)?];
    let everywhere = 0..=i64::MAX as u64;
    let first = section.integer("first", everywhere.clone(), 0)?;
    let last = match section.get("last") {
        Some(last) => last.integer(first..=*everywhere.end())?,
        None => u64::MAX,
    };
    let bytes = match section.get("bytes") {
        Some(item) if !message.is_memory() => {
            let what = message.name();
            return Err(item.error(format!("no `bytes`, as a {what} has no length")));
        }
        Some(item) => Some(item.integer(1..=1 << 20)?),
        None => None,
    };
    let rule = Rule {
        message,
        first,
        last,
        bytes,
        holds: read_holds(section, message)?,
        one_in: section.integer("one_in", 1..=MAX_REQUESTS, 1)?,
        skip: section.integer("nth", 1..=MAX_REQUESTS, 1)? - 1,
        count: 1,
        fate,
    };
    Ok((card, rule))
}

/// What a message must say.
fn read_holds(section: &Section<'_>, message: Message) -> Result<Option<Holds>, ScenarioError> {
    let Some(item) = section.get("holds") else {
        return Ok(None);
    };
    if !message.has_contents() {
        let what = message.name();
        return Err(item.error(format!("no `holds`, as an {what} says nothing")));
    }
    let holds = item.section(&HOLDS_KEYS)?;
    let word = 0..=u64::from(u32::MAX);
    let value = holds.require("value")?;
    let mask = holds.integer("mask", word.clone(), *word.end())? as u32;
    let bits = value.integer(word)? as u32;
    if bits & !mask != 0 {
        return Err(value.error(format!("no bit outside of the mask {mask:#x}")));
    }
    Ok(Some(Holds {
        at: holds.integer("at", 0..=MAX_AT, 0)? as u32,
        stride: holds.integer("stride", 0..=MAX_AT, 0)? as u32,
        mask,
        value: bits,
    }))
}

fn read_message(section: &Section<'_>, cards: &[&str]) -> Result<Action, ScenarioError> {
    let named = section.require("fate")?;
    let fate = read_fate(section, &named)?;
    let (card, rule) = read_rule(section, fate, cards)?;
    if !rule.message.can(fate) {
        let what = rule.message.name();
        return Err(named.error(format!("another fate for a {what}")));
    }
    let count = section.integer("count", 1..=MAX_REQUESTS, 1)?;
    let rule = Rule { count, ..rule };
    Ok(Action::Message { card, rule })
}

fn read_fate(section: &Section<'_>, named: &Item<'_>) -> Result<Fate, ScenarioError> {
    let name = Fate::NAMES[named.one_of("fate", &Fate::NAMES)?];
    let (delay, value) = (section.get("delay_ns"), section.get("value"));
    let waits = matches!(name, "delay" | "again");
    if let (Some(delay), false) = (&delay, waits) {
        return Err(delay.error(format!("no `delay_ns`, as `{name}` does not wait")));
    }
    if let (Some(value), true) = (&value, name != "answer") {
        return Err(value.error(format!("no `value`, as `{name}` has none")));
    }
    let span = || match &delay {
        None => Err(section.error("no `delay_ns`", "how long it is delayed")),
        Some(delay) => Ok(Span::from_ns(delay.integer(1..=MAX_NS)?)),
    };
    Ok(match name {
        "lose" => Fate::Lose,
        "double" => Fate::Double,
        "delay" => Fate::Delay(span()?),
        "again" => Fate::Again(span()?),
        "overtake" => Fate::Overtake,
        "flip" => Fate::Flip,
        "refuse" => Fate::Refuse,
        "poison" => Fate::Poison,
        "stale" => Fate::Stale,
        _ => Fate::Answer(section.require("value")?.integer(0..=u32::MAX.into())? as u32),
    })
}

fn read_latch(section: &Section<'_>, cards: &[&str]) -> Result<Action, ScenarioError> {
    let card = section.require("card")?.one_of("card", cards)?;
    let kind = section.require("kind")?;
    // Scenario files count from one, the model from the moment the latch is pulled.
    let nth = section.integer("nth", 1..=MAX_REQUESTS, 1)? - 1;
    let name = Latch::NAMES[kind.one_of("kind of latch", &Latch::NAMES)?];
    let latch = Latch::named(name, nth).ok_or_else(|| kind.error("a latch by its name"))?;
    match section.get("nth") {
        Some(nth) if !latch.counts() => {
            Err(nth.error(format!("no `nth`, as `{name}` does not count")))
        }
        _ => Ok(Action::Latch { card, latch }),
    }
}
