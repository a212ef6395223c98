//! From a TOML text to a [`Scenario`], or to a complaint that points at the mistake.

use std::path::Path;

use device_model::Latch;
use regs::Errata;
use timebase::{Span, Time};

use super::diagnostic::Source;
use super::profile::{builtin_profile, named_profile, read_errata};
use super::reader::{Item, Section, read_document};
use super::{
    Action, CardSpec, Count, Expectation, FaultSpec, Placement, Scenario, ScenarioError, Suite,
    Trigger, Workload,
};
use crate::outcome::Summary;
use crate::rule::{Fate, Message, Rule};

/// Keys of a replay file: those of a scenario, and one more.
pub(crate) const REPLAY_KEYS: [&str; 13] = [
    "name",
    "description",
    "pool_mib",
    "software",
    "timing_only",
    "drain_within_us",
    "interrupt_jitter_ns",
    "write_jitter_ns",
    "card",
    "workload",
    "fault",
    "expect",
    "replay",
];
const CARD_KEYS: [&str; 9] = [
    "name",
    "profile",
    "ring_pairs",
    "ring_entries",
    "coalesce_count",
    "coalesce_timer_us",
    "watchdog_us",
    "present",
    "ignore_errata",
];
const WORKLOAD_KEYS: [&str; 12] = [
    "consumers",
    "depth",
    "pieces",
    "sizes",
    "suites",
    "transparent_percent",
    "separate_output_percent",
    "chain_percent",
    "unpooled_percent",
    "tampered_percent",
    "think_ns",
    "placement",
];
const SIZE_KEYS: [&str; 2] = ["bytes", "weight"];
const TRIGGERS: [&str; 5] = [
    "at_us",
    "at_ns",
    "after_requests",
    "ring_full",
    "after_previous_us",
];
const ACTIONS: [&str; 6] = ["unplug", "plug", "detach", "rebalance", "message", "latch"];
const FAULT_KEYS: [&str; 11] = [
    "at_us",
    "at_ns",
    "after_requests",
    "ring_full",
    "after_previous_us",
    "unplug",
    "plug",
    "detach",
    "rebalance",
    "message",
    "latch",
];
const MESSAGE_KEYS: [&str; 9] = [
    "card", "kind", "fate", "first", "last", "nth", "count", "one_in", "delay_ns",
];
const RING_FULL_KEYS: [&str; 2] = ["card", "nth"];
const LATCH_KEYS: [&str; 3] = ["card", "kind", "nth"];
const BOUND_KEYS: [&str; 2] = ["at_least", "at_most"];
const PLACEMENTS: [(&str, Placement); 3] = [
    ("any", Placement::Any),
    ("hardware", Placement::Hardware),
    ("software", Placement::Software),
];

/// What the driver without a card is called.
const SOFTWARE: &str = "software";
/// Longest time in a scenario, in microseconds: an hour.
const MAX_US: u64 = 3_600_000_000;
/// Longest delay of a message or a consumer, in nanoseconds: a second.
const MAX_NS: u64 = 1_000_000_000;
/// Most cards in a machine.
const MAX_CARDS: usize = 64;
/// Most faults of a scenario.
const MAX_FAULTS: usize = 100_000;
/// Most requests or pieces that a scenario can name.
const MAX_REQUESTS: u64 = 1 << 48;
/// Longest piece of input, in bytes.
const MAX_PIECE_LEN: u32 = 1 << 20;
/// Largest DMA pool, in mebibytes.
const MAX_POOL_MIB: u64 = 4_096;
/// Most consumers.
const MAX_CONSUMERS: u32 = 65_536;
/// Most requests one consumer keeps going.
const MAX_DEPTH: u32 = 65_536;

impl Scenario {
    /// The scenario that `text` describes. `origin` is the file it comes from: it is named in
    /// complaints, and profile files are looked for next to it.
    ///
    /// # Errors
    /// [`ScenarioError`] with place, line, what was found and what was expected.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ScenarioError> {
        let base = Path::new(origin).parent().unwrap_or(Path::new(""));
        read_document(Source { text, origin }, &REPLAY_KEYS, |top| {
            if let Some(replay) = top.get("replay") {
                let expected = "a scenario; `ringside replay` runs this file";
                return Err(replay.complain("a replay with a seed of its own", expected));
            }
            read_scenario(top, base)
        })
    }
}

impl Count {
    /// Every count.
    pub const ALL: [Self; 9] = [
        Self::Requests,
        Self::Refusals,
        Self::Blocks,
        Self::Unblocks,
        Self::Migrations,
        Self::Moved,
        Self::Resubmitted,
        Self::Unplugs,
        Self::Plugs,
    ];

    /// The name of the count, in scenarios and summaries.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Refusals => "refusals",
            Self::Blocks => "blocks",
            Self::Unblocks => "unblocks",
            Self::Migrations => "migrations",
            Self::Moved => "moved",
            Self::Resubmitted => "resubmitted",
            Self::Unplugs => "unplugs",
            Self::Plugs => "plugs",
        }
    }

    /// The count in `summary`.
    #[must_use]
    pub const fn of(self, summary: &Summary) -> u64 {
        match self {
            Self::Requests => summary.requests,
            Self::Refusals => summary.refusals,
            Self::Blocks => summary.blocks,
            Self::Unblocks => summary.unblocks,
            Self::Migrations => summary.migrations,
            Self::Moved => summary.moved,
            Self::Resubmitted => summary.resubmitted,
            Self::Unplugs => summary.unplugs,
            Self::Plugs => summary.plugs,
        }
    }
}

impl Placement {
    /// The name of the placement in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Hardware => "hardware",
            Self::Software => "software",
        }
    }
}

pub(crate) fn read_scenario(top: &Section<'_>, base: &Path) -> Result<Scenario, ScenarioError> {
    let name = plain_name(&top.require("name")?)?;
    let description = top.get("description").map_or(Ok(""), |item| item.text())?;
    let cards = read_cards(top, base)?;
    let software = top.boolean("software", true)?;
    if cards.is_empty() && !software {
        return Err(top.error(
            "no driver: no [[card]] and `software = false`",
            "a [[card]]",
        ));
    }
    let timing_only = top.boolean("timing_only", false)?;
    if timing_only && software {
        return Err(top.error(
            "`timing_only = true` with a software driver, which makes results",
            "`software = false`",
        ));
    }
    let workload = read_workload(&top.require("workload")?.section(&WORKLOAD_KEYS)?)?;
    check_placement(top, &workload, &cards, software)?;
    let us = |key: &str, default| Ok(Span::from_us(top.integer(key, 0..=MAX_US, default)?));
    Ok(Scenario {
        name,
        description: description.trim().to_owned(),
        pool_len: usize::try_from(top.integer("pool_mib", 1..=MAX_POOL_MIB, 64)? << 20)
            .expect("at most 4 GiB"),
        faults: read_faults(top, &cards)?,
        cards,
        software,
        timing_only,
        workload,
        expect: read_expectations(top)?,
        drain_within: us("drain_within_us", 100_000)?,
        interrupt_jitter: top
            .get("interrupt_jitter_ns")
            .map_or(Ok((Span::ZERO, Span::ZERO)), |item| {
                item.span_range(1_000, MAX_NS)
            })?,
        write_jitter: Span::from_ns(top.integer("write_jitter_ns", 0..=MAX_NS, 0)?),
    })
}

/// A name that a terminal and a command line take as it is.
fn plain_name(item: &Item<'_>) -> Result<String, ScenarioError> {
    let name = item.text()?;
    let is_odd = |char: char| char.is_control() || char.is_whitespace();
    if name.is_empty() || name.chars().any(is_odd) {
        return Err(item.error("a name without blanks"));
    }
    Ok(name.to_owned())
}

fn read_cards(top: &Section<'_>, base: &Path) -> Result<Vec<CardSpec>, ScenarioError> {
    let mut cards: Vec<CardSpec> = Vec::new();
    for section in top.sections("card", &CARD_KEYS)? {
        if cards.len() == MAX_CARDS {
            return Err(section.error(
                format!("card {}", MAX_CARDS + 1),
                format!("{MAX_CARDS} at most"),
            ));
        }
        let card = read_card(&section, cards.len(), base)?;
        if cards.iter().any(|other| other.name == card.name) {
            let found = format!("a second card `{}`", card.name);
            return Err(section.get("name").map_or_else(
                || section.error(found.as_str(), "a name of its own"),
                |item| item.complain(found.as_str(), "a name of its own"),
            ));
        }
        cards.push(card);
    }
    Ok(cards)
}

fn read_card(card: &Section<'_>, slot: usize, base: &Path) -> Result<CardSpec, ScenarioError> {
    let name = match card.get("name") {
        None => format!("card{slot}"),
        Some(item) if item.text()? == SOFTWARE => {
            return Err(item.error("another name, as that is the driver without a card"));
        }
        Some(item) => plain_name(&item)?,
    };
    let mut profile = match card.get("profile") {
        None => builtin_profile("reference").expect("built in"),
        Some(item) => named_profile(&item, base)?,
    };
    if let Some(item) = card.get("ring_pairs") {
        let pairs = item.count(1..=regs::MAX_RING_PAIRS)?;
        profile.ring_pairs = u16::try_from(pairs).expect("at most 64");
    }
    let profile_errata = profile.errata;
    let entries = regs::MIN_RING_ENTRIES..=regs::MAX_RING_ENTRIES;
    let us =
        |key: &str, low, default| Ok(Span::from_us(card.integer(key, low..=MAX_US, default)?));
    Ok(CardSpec {
        name,
        profile,
        ring_entries: card
            .get("ring_entries")
            .map_or(Ok(256), |item| item.count(entries))?,
        coalesce_count: card
            .get("coalesce_count")
            .map_or(Ok(8), |item| item.count(0..=regs::MAX_RING_ENTRIES))?,
        coalesce_timer: {
            // The card counts this time in a register of 32 bits of nanoseconds.
            let most = u64::from(u32::MAX) / 1_000;
            Span::from_us(card.integer("coalesce_timer_us", 0..=most, 10)?)
        },
        watchdog: us("watchdog_us", 1, 10_000)?,
        present: card.boolean("present", true)?,
        ignore_errata: read_ignored(card, profile_errata)?,
    })
}

/// The errata that the driver ignores; the card has them.
fn read_ignored(card: &Section<'_>, has: Errata) -> Result<Errata, ScenarioError> {
    let ignored = read_errata(card, "ignore_errata")?;
    match (
        ignored.difference(has).names().next(),
        card.get("ignore_errata"),
    ) {
        (Some(name), Some(item)) => {
            let found = format!("the profile has no erratum `{name}` to ignore");
            Err(item.complain(found, "errata of the card's profile"))
        }
        _ => Ok(ignored),
    }
}

fn read_workload(workload: &Section<'_>) -> Result<Workload, ScenarioError> {
    let sizes = read_sizes(workload)?;
    Ok(Workload {
        consumers: workload
            .get("consumers")
            .map_or(Ok(8), |item| item.count(1..=MAX_CONSUMERS))?,
        depth: workload
            .get("depth")
            .map_or(Ok(4), |item| item.count(1..=MAX_DEPTH))?,
        pieces: workload
            .get("pieces")
            .map(|item| item.integer(0..=MAX_REQUESTS))
            .transpose()?,
        suites: read_suites(workload, &sizes)?,
        sizes,
        transparent_percent: workload.percent("transparent_percent", 50)?,
        separate_output_percent: workload.percent("separate_output_percent", 0)?,
        chain_percent: workload.percent("chain_percent", 0)?,
        unpooled_percent: workload.percent("unpooled_percent", 0)?,
        tampered_percent: workload.percent("tampered_percent", 0)?,
        think: workload
            .get("think_ns")
            .map_or(Ok((Span::ZERO, Span::ZERO)), |item| {
                item.span_range(1_000, MAX_NS)
            })?,
        placement: match workload.get("placement") {
            None => Placement::Any,
            Some(item) => {
                let at = item.one_of("placement", &PLACEMENTS.map(|(name, _)| name))?;
                PLACEMENTS[at].1
            }
        },
    })
}

fn read_sizes(workload: &Section<'_>) -> Result<Vec<(u32, u32)>, ScenarioError> {
    workload
        .require("sizes")?
        .filled_list("size, such as { bytes = 4096, weight = 1 }")?
        .iter()
        .map(|item| {
            let size = item.section(&SIZE_KEYS)?;
            let bytes = size.require("bytes")?.count(1..=MAX_PIECE_LEN)?;
            let weight = size
                .get("weight")
                .map_or(Ok(1), |item| item.count(1..=1_000_000))?;
            Ok((bytes, weight))
        })
        .collect()
}

fn read_suites(workload: &Section<'_>, sizes: &[(u32, u32)]) -> Result<Vec<Suite>, ScenarioError> {
    let read = |item: &Item<'_>| {
        let suite: Suite = item.text()?.parse().map_err(|error: super::UnknownSuite| {
            let expected = "a suite such as `aes-256-gcm`, `sha256` or `aes-128-cbc+hmac-sha256`";
            let near: Vec<&str> = error.nearest.iter().map(String::as_str).collect();
            let complaint = item.unknown("suite", &error.name, expected);
            if near.is_empty() {
                complaint
            } else {
                complaint.with_nearest(&error.name, &near)
            }
        })?;
        let block = suite.block_len();
        if !sizes
            .iter()
            .any(|&(bytes, _)| (bytes as usize).is_multiple_of(block))
        {
            let found = format!("`{suite}` works on blocks of {block} bytes and no size fits");
            let expected = format!("a multiple of {block} among `sizes`");
            return Err(item.complain(found, expected));
        }
        Ok(suite)
    };
    workload
        .require("suites")?
        .filled_list("suite, such as \"aes-256-gcm\"")?
        .iter()
        .map(read)
        .collect()
}

/// A placement that no driver can serve even when nothing goes wrong is a mistake.
fn check_placement(
    top: &Section<'_>,
    workload: &Workload,
    cards: &[CardSpec],
    software: bool,
) -> Result<(), ScenarioError> {
    let missing = match workload.placement {
        Placement::Hardware if cards.is_empty() => "a [[card]], as there is none",
        Placement::Software if !software => "`software = true`, as it is false",
        Placement::Any | Placement::Hardware | Placement::Software => return Ok(()),
    };
    let item = top
        .require("workload")?
        .section(&WORKLOAD_KEYS)?
        .require("placement")?;
    Err(item.error(missing))
}

fn read_faults(top: &Section<'_>, cards: &[CardSpec]) -> Result<Vec<FaultSpec>, ScenarioError> {
    let names: Vec<&str> = cards.iter().map(|card| card.name.as_str()).collect();
    let mut faults = Vec::new();
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
        let action = read_action(&section.exactly_one(&ACTIONS, "action")?, &names)?;
        faults.push(FaultSpec { trigger, action });
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
        "message" => read_message(&item.section(&MESSAGE_KEYS)?, cards),
        "latch" => read_latch(&item.section(&LATCH_KEYS)?, cards),
        _ if item.boolean()? => Ok(Action::Rebalance),
        _ => Err(item.error("`true`, or no fault at all")),
    }
}

fn read_message(section: &Section<'_>, cards: &[&str]) -> Result<Action, ScenarioError> {
    let card = section.require("card")?.one_of("card", cards)?;
    let kinds = Message::ALL.map(Message::name);
    let message = Message::ALL[section.require("kind")?.one_of("kind of message", &kinds)?];
    let named = section.require("fate")?;
    let delay = section.get("delay_ns");
    let fate = match (Fate::NAMES[named.one_of("fate", &Fate::NAMES)?], &delay) {
        ("delay", None) => return Err(section.error("no `delay_ns`", "how long it is delayed")),
        ("delay", Some(delay)) => Fate::Delay(Span::from_ns(delay.integer(1..=MAX_NS)?)),
        (name, Some(delay)) => {
            return Err(delay.error(format!("no `delay_ns`, as `{name}` does not wait")));
        }
        ("lose", None) => Fate::Lose,
        ("double", None) => Fate::Double,
        ("flip", None) => Fate::Flip,
        (_, None) => Fate::Refuse,
    };
    if !message.can(fate) {
        return Err(named.error(format!("another fate for a {}", message.name())));
    }
    let everywhere = 0..=i64::MAX as u64;
    let first = section.integer("first", everywhere.clone(), 0)?;
    let last = match section.get("last") {
        Some(last) => last.integer(first..=*everywhere.end())?,
        None => u64::MAX,
    };
    let rule = Rule {
        message,
        first,
        last,
        one_in: section.integer("one_in", 1..=MAX_REQUESTS, 1)?,
        skip: section.integer("nth", 1..=MAX_REQUESTS, 1)? - 1,
        count: section.integer("count", 1..=MAX_REQUESTS, 1)?,
        fate,
    };
    Ok(Action::Message { card, rule })
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

fn read_expectations(top: &Section<'_>) -> Result<Vec<Expectation>, ScenarioError> {
    const NAMES: [&str; Count::ALL.len()] = {
        let mut names = [""; Count::ALL.len()];
        let mut at = 0;
        while at < names.len() {
            names[at] = Count::ALL[at].name();
            at += 1;
        }
        names
    };
    let Some(expect) = top.get("expect") else {
        return Ok(Vec::new());
    };
    let read = |item: &Item<'_>| {
        let bounds = item.section(&BOUND_KEYS)?;
        let at_least = bounds.integer("at_least", 0..=MAX_REQUESTS, 0)?;
        let at_most = bounds
            .get("at_most")
            .map(|most| {
                let bound = most.integer(0..=MAX_REQUESTS)?;
                if bound < at_least {
                    return Err(most.error(format!("a number not below at_least, {at_least}")));
                }
                Ok(bound)
            })
            .transpose()?;
        if bounds.items().is_empty() {
            return Err(item.complain("no bound", "`at_least`, `at_most` or both"));
        }
        let count = Count::ALL
            .into_iter()
            .find(|count| count.name() == item.name());
        Ok(Expectation {
            count: count.expect("a key of the section"),
            at_least,
            at_most,
        })
    };
    expect.section(&NAMES)?.items().iter().map(read).collect()
}

#[cfg(test)]
mod tests;
