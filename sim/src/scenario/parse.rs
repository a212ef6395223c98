//! From a TOML text to a [`Scenario`], or to a complaint that points at the mistake.

mod fault;

use std::path::Path;

use regs::Errata;
use timebase::Span;

use super::diagnostic::Source;
use super::profile::{builtin_profile, named_profile, read_errata};
use super::reader::{Item, Section, read_document};
use super::{CardSpec, Count, Expectation, Placement, Scenario, ScenarioError, Suite, Workload};
use crate::outcome::Summary;

/// Keys of a replay file: those of a scenario, and one more.
pub(crate) const REPLAY_KEYS: [&str; 14] = [
    "name",
    "description",
    "pool_mib",
    "software",
    "timing_only",
    "drain_within_us",
    "interrupt_jitter_ns",
    "write_jitter_ns",
    "memory_jitter_ns",
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
        faults: fault::read_faults(top, &cards)?,
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
        memory_jitter: Span::from_ns(top.integer("memory_jitter_ns", 0..=MAX_NS, 0)?),
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
