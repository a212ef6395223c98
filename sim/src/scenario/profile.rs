//! Device profiles: those that come with the program, and reading one from a file.

use std::path::Path;

use device_model::{EngineGroup, Engines, LinkTiming, Profile, Rate};
use timebase::Span;

use super::ScenarioError;
use super::builtin::read_bounded;
use super::diagnostic::{Source, alternatives};
use super::reader::{Item, Section, read_document};

/// Built-in profiles: name and text.
const BUILTINS: [(&str, &str); 2] = [
    ("reference", include_str!("../../profiles/reference.toml")),
    ("slow", include_str!("../../profiles/slow.toml")),
];

const KEYS: [&str; 12] = [
    "name",
    "ring_pairs",
    "session_capacity",
    "context_cache_entries",
    "context_hit_ns",
    "context_miss_ns",
    "fetch_burst",
    "command_overhead_ns",
    "interrupt_delay_ns",
    "reset_time_us",
    "link",
    "engines",
];
const LINK_KEYS: [&str; 4] = [
    "latency_ns",
    "bytes_per_second",
    "max_payload",
    "packet_overhead",
];
const ENGINES_KEYS: [&str; 3] = ["cipher", "digest", "combined"];
const GROUP_KEYS: [&str; 4] = [
    "lanes",
    "clock_hz",
    "startup_cycles",
    "millicycles_per_byte",
];

/// Longest time of a profile, in nanoseconds: a second.
const MAX_NS: u64 = 1_000_000_000;

/// Names of the built-in profiles.
#[must_use]
pub fn builtin_profiles() -> Vec<&'static str> {
    BUILTINS.iter().map(|&(name, _)| name).collect()
}

/// The built-in profile called `name`.
///
/// # Panics
/// Never: the texts are part of the program and its tests read each.
#[must_use]
pub fn builtin_profile(name: &str) -> Option<Profile> {
    let &(name, text) = BUILTINS.iter().find(|(builtin, _)| *builtin == name)?;
    match profile_from_toml(text, &format!("{name}.toml")) {
        Ok(profile) => Some(profile),
        Err(error) => panic!("built-in profile {name}: {error}"),
    }
}

/// The profile that `text` describes; `origin` names it in complaints.
///
/// # Errors
/// [`ScenarioError`] if the text describes no possible card.
pub fn profile_from_toml(text: &str, origin: &str) -> Result<Profile, ScenarioError> {
    read_document(Source { text, origin }, &KEYS, read_profile)
}

/// The profile that `item` of a scenario names: a built-in one, or a file relative to `base`.
pub(super) fn named_profile(item: &Item<'_>, base: &Path) -> Result<Profile, ScenarioError> {
    let name = item.text()?;
    if let Some(profile) = builtin_profile(name) {
        return Ok(profile);
    }
    let known = builtin_profiles();
    if !name.ends_with(".toml") {
        let expected = format!("a path that ends in `.toml`, or {}", alternatives(&known));
        return Err(item
            .unknown("profile", name, &expected)
            .with_nearest(name, &known));
    }
    let path = base.join(name);
    let text = read_bounded(&path).map_err(|error| {
        let found = format!("cannot read profile {}: {error}", path.display());
        item.complain(found, "a profile file, relative to the scenario's")
    })?;
    profile_from_toml(&text, &path.display().to_string())
}

fn read_profile(top: &Section<'_>) -> Result<Profile, ScenarioError> {
    let ns = |key: &str| Ok(Span::from_ns(top.require(key)?.integer(0..=MAX_NS)?));
    let count = |key: &str, most: u32| top.require(key)?.count(1..=most);
    let engines = top.require("engines")?.section(&ENGINES_KEYS)?;
    Ok(Profile {
        name: top.require("name")?.text()?.to_owned(),
        ring_pairs: u16::try_from(count("ring_pairs", regs::MAX_RING_PAIRS)?).expect("at most 64"),
        session_capacity: count("session_capacity", 1 << 24)?,
        context_cache_entries: count("context_cache_entries", 1 << 24)?,
        context_hit: ns("context_hit_ns")?,
        context_miss: ns("context_miss_ns")?,
        fetch_burst: count("fetch_burst", regs::MAX_RING_ENTRIES)?,
        command_overhead: ns("command_overhead_ns")?,
        link: read_link(&top.require("link")?.section(&LINK_KEYS)?)?,
        engines: Engines {
            cipher: read_group(&engines.require("cipher")?.section(&GROUP_KEYS)?)?,
            digest: read_group(&engines.require("digest")?.section(&GROUP_KEYS)?)?,
            combined: read_group(&engines.require("combined")?.section(&GROUP_KEYS)?)?,
        },
        interrupt_delay: ns("interrupt_delay_ns")?,
        reset_time: Span::from_us(top.require("reset_time_us")?.integer(0..=MAX_NS / 1_000)?),
    })
}

fn read_link(link: &Section<'_>) -> Result<LinkTiming, ScenarioError> {
    let max_payload = link.require("max_payload")?;
    let size = max_payload.count(128..=4_096)?;
    if !size.is_power_of_two() {
        return Err(max_payload.error("a power of two from 128 to 4096"));
    }
    Ok(LinkTiming {
        latency: Span::from_ns(link.require("latency_ns")?.integer(0..=MAX_NS)?),
        bytes_per_second: link
            .require("bytes_per_second")?
            .integer(1_000_000..=1_000_000_000_000)?,
        max_payload: size,
        packet_overhead: link.require("packet_overhead")?.count(0..=256)?,
    })
}

fn read_group(group: &Section<'_>) -> Result<EngineGroup, ScenarioError> {
    let lanes = group.require("lanes")?.count(1..=64)?;
    Ok(EngineGroup {
        lanes: u8::try_from(lanes).expect("at most 64"),
        clock_hz: group
            .require("clock_hz")?
            .integer(1_000_000..=10_000_000_000)?,
        rate: Rate {
            startup_cycles: group.require("startup_cycles")?.count(0..=1_000_000)?,
            millicycles_per_byte: group
                .require("millicycles_per_byte")?
                .count(0..=10_000_000)?,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_reads_and_is_called_what_its_file_is_called() {
        for name in builtin_profiles() {
            let profile = builtin_profile(name).expect("built in");
            assert_eq!(profile.name, name);
        }
        assert!(builtin_profile("no-such").is_none());
    }

    #[test]
    fn the_slow_card_is_slower_in_every_way() {
        let reference = builtin_profile("reference").expect("built in");
        let slow = builtin_profile("slow").expect("built in");
        assert!(slow.link.bytes_per_second < reference.link.bytes_per_second);
        assert!(slow.ring_pairs < reference.ring_pairs);
        let groups = |p: &Profile| [p.engines.cipher, p.engines.digest, p.engines.combined];
        for (slow, reference) in groups(&slow).into_iter().zip(groups(&reference)) {
            let rate = |group: EngineGroup| {
                u64::from(group.lanes) * group.clock_hz / u64::from(group.rate.millicycles_per_byte)
            };
            assert!(rate(slow) * 4 < rate(reference));
        }
    }

    #[test]
    fn a_number_no_card_can_have_is_pointed_at() {
        let text = BUILTINS[0].1.replace("lanes = 8", "lanes = 65");
        let message = profile_from_toml(&text, "fast.toml")
            .expect_err("65 lanes")
            .to_string();
        assert!(message.contains("lanes is 65"), "{message}");
        assert!(
            message.contains("expected a whole number from 1 to 64"),
            "{message}"
        );
        let text = BUILTINS[0]
            .1
            .replace("max_payload = 256", "max_payload = 300");
        let message = profile_from_toml(&text, "fast.toml")
            .expect_err("300 bytes")
            .to_string();
        assert!(message.contains("max_payload is 300"), "{message}");
    }

    #[test]
    fn a_missing_number_is_pointed_at_where_it_belongs() {
        let text = BUILTINS[0].1.replacen("latency_ns", "# latency_ns", 1);
        let message = profile_from_toml(&text, "fast.toml")
            .expect_err("no latency")
            .to_string();
        assert!(message.contains("no `latency_ns` in `link`"), "{message}");
        assert!(message.contains("| [link]"), "{message}");
    }
}
