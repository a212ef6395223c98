//! Device profiles: those that come with the program, and reading one from a file.

use std::path::Path;

use device_model::{
    EngineGroup, Engines, EntropySource, Firmware, LinkTiming, Profile, ProfileError,
    PublicKeyEngine, Rate, Rounds,
};
use regs::{Errata, Erratum};
use timebase::Span;

use super::ScenarioError;
use super::builtin::read_bounded;
use super::diagnostic::{Source, alternatives};
use super::reader::{Item, Section, read_document};

/// A built-in profile's name and text.
macro_rules! builtin {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../profiles/", $name, ".toml")),
        )
    };
}

/// Built-in profiles: name and text.
pub(crate) const BUILTINS: [(&str, &str); 13] = [
    builtin!("reference"),
    builtin!("slow"),
    builtin!("errata"),
    builtin!("qat-c62x"),
    builtin!("ti-am64x-sa2ul"),
    builtin!("ti-am65x-sa2ul"),
    builtin!("qualcomm-qce"),
    builtin!("microchip-mpfs"),
    builtin!("kunpeng-sec2"),
    builtin!("hifn-7956"),
    builtin!("qemu-virtio-crypto"),
    builtin!("qemu-virtio-crypto-tcp"),
    builtin!("ideal"),
];

/// Keys of a profile file: those of the card, then those that `crate::profile` reads.
pub(crate) const KEYS: [&str; 25] = [
    "name",
    "ring_pairs",
    "session_capacity",
    "virtual_functions",
    "virtual_ring_pairs",
    "virtual_sessions",
    "context_cache_entries",
    "context_hit_ns",
    "context_miss_ns",
    "context_bytes",
    "fetch_burst",
    "command_overhead_ns",
    "interrupt_delay_ns",
    "reset_time_us",
    "errata",
    "link",
    "engines",
    "firmware",
    "public_key",
    "entropy",
    "about",
    "host",
    "goal",
    "measured",
    "fit",
];
const FIRMWARE_KEYS: [&str; 7] = [
    "processors",
    "clock_hz",
    "command_cycles",
    "digest_cycles",
    "aead_cycles",
    "millicycles_per_digested_byte",
    "held_permille",
];
const PUBLIC_KEY_KEYS: [&str; 4] = [
    "lanes",
    "clock_hz",
    "startup_cycles",
    "millicycles_per_product",
];
const ENTROPY_KEYS: [&str; 2] = ["bytes_per_second", "buffer_len"];
const ROUNDS_KEYS: [&str; 7] = ["aes", "des", "sm4", "sha1", "sha256", "sha512", "sm3"];
const LINK_KEYS: [&str; 4] = [
    "latency_ns",
    "bytes_per_second",
    "max_payload",
    "packet_overhead",
];
const ENGINES_KEYS: [&str; 4] = ["cipher", "digest", "combined", "rounds"];
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

/// The profile that `item` of a scenario names or is: a built-in one, a file relative to `base`, or
/// a table with all that a profile file has.
pub(super) fn named_profile(item: &Item<'_>, base: &Path) -> Result<Profile, ScenarioError> {
    if item.is_table() {
        return read_profile(&item.section(&KEYS)?);
    }
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

pub(crate) fn read_profile(top: &Section<'_>) -> Result<Profile, ScenarioError> {
    let ns = |key: &str| Ok(Span::from_ns(top.require(key)?.integer(0..=MAX_NS)?));
    let count = |key: &str| top.require(key)?.count(0..=u32::MAX);
    let ring_pairs = top.require("ring_pairs")?.count(0..=u32::from(u16::MAX))?;
    let few = |key: &str, default| {
        let number = top.integer(key, 0..=u64::from(u16::MAX), default)?;
        Ok(u16::try_from(number).expect("16 bits"))
    };
    let sessions = top.integer("virtual_sessions", 0..=u64::from(u32::MAX), 1)?;
    let engines = top.require("engines")?.section(&ENGINES_KEYS)?;
    let profile = Profile {
        name: top.require("name")?.text()?.to_owned(),
        ring_pairs: u16::try_from(ring_pairs).expect("16 bits"),
        session_capacity: count("session_capacity")?,
        virtual_functions: few("virtual_functions", 0)?,
        virtual_ring_pairs: few("virtual_ring_pairs", 1)?,
        virtual_sessions: u32::try_from(sessions).expect("32 bits"),
        context_cache_entries: count("context_cache_entries")?,
        context_hit: ns("context_hit_ns")?,
        context_miss: ns("context_miss_ns")?,
        context_bytes: small(top, "context_bytes")?,
        fetch_burst: count("fetch_burst")?,
        command_overhead: ns("command_overhead_ns")?,
        firmware: top
            .get("firmware")
            .as_ref()
            .map(read_firmware)
            .transpose()?,
        link: read_link(&top.require("link")?.section(&LINK_KEYS)?)?,
        engines: Engines {
            cipher: read_group(&engines.require("cipher")?.section(&GROUP_KEYS)?)?,
            digest: read_group(&engines.require("digest")?.section(&GROUP_KEYS)?)?,
            combined: read_group(&engines.require("combined")?.section(&GROUP_KEYS)?)?,
            rounds: engines
                .get("rounds")
                .as_ref()
                .map(read_rounds)
                .transpose()?
                .unwrap_or_default(),
        },
        public_key: top
            .get("public_key")
            .as_ref()
            .map(read_public_key)
            .transpose()?,
        entropy: top
            .get("entropy")
            .as_ref()
            .map(read_entropy)
            .transpose()?
            .unwrap_or_default(),
        interrupt_delay: ns("interrupt_delay_ns")?,
        reset_time: Span::from_us(top.require("reset_time_us")?.integer(0..=MAX_NS / 1_000)?),
        errata: read_errata(top, "errata")?,
    };
    profile.validate().map_err(|error| point_at(top, &error))?;
    Ok(profile)
}

/// The errata that `key` of `section` lists, none without it.
pub(super) fn read_errata(section: &Section<'_>, key: &str) -> Result<Errata, ScenarioError> {
    let Some(item) = section.get(key) else {
        return Ok(Errata::empty());
    };
    let names = Erratum::SHEET.map(|erratum| erratum.name);
    let mut errata = Errata::empty();
    for item in item.list()? {
        let erratum = Erratum::SHEET[item.one_of("erratum", &names)?].flag;
        if errata.contains(erratum) {
            return Err(item.error("each erratum once"));
        }
        errata |= erratum;
    }
    Ok(errata)
}

fn read_link(link: &Section<'_>) -> Result<LinkTiming, ScenarioError> {
    Ok(LinkTiming {
        latency: Span::from_ns(link.require("latency_ns")?.integer(0..=MAX_NS)?),
        bytes_per_second: link.require("bytes_per_second")?.integer(0..=u64::MAX)?,
        max_payload: link.require("max_payload")?.count(0..=u32::MAX)?,
        packet_overhead: link.require("packet_overhead")?.count(0..=u32::MAX)?,
    })
}

fn read_group(group: &Section<'_>) -> Result<EngineGroup, ScenarioError> {
    let lanes = group.require("lanes")?.count(0..=u32::from(u8::MAX))?;
    Ok(EngineGroup {
        lanes: u8::try_from(lanes).expect("8 bits"),
        clock_hz: group.require("clock_hz")?.integer(0..=u64::MAX)?,
        rate: Rate {
            startup_cycles: group.require("startup_cycles")?.count(0..=u32::MAX)?,
            millicycles_per_byte: group.require("millicycles_per_byte")?.count(0..=u32::MAX)?,
        },
    })
}

/// A number of 32 bits, zero if it is not given.
fn small(section: &Section<'_>, key: &str) -> Result<u32, ScenarioError> {
    let number = section.integer(key, 0..=u64::from(u32::MAX), 0)?;
    Ok(u32::try_from(number).expect("32 bits"))
}

fn read_firmware(item: &Item<'_>) -> Result<Firmware, ScenarioError> {
    let section = item.section(&FIRMWARE_KEYS)?;
    let processors = section
        .require("processors")?
        .count(0..=u32::from(u8::MAX))?;
    Ok(Firmware {
        processors: u8::try_from(processors).expect("8 bits"),
        clock_hz: section.require("clock_hz")?.integer(0..=u64::MAX)?,
        command_cycles: section.require("command_cycles")?.count(0..=u32::MAX)?,
        digest_cycles: small(&section, "digest_cycles")?,
        aead_cycles: small(&section, "aead_cycles")?,
        millicycles_per_digested_byte: small(&section, "millicycles_per_digested_byte")?,
        held_permille: small(&section, "held_permille")?,
    })
}

fn read_public_key(item: &Item<'_>) -> Result<PublicKeyEngine, ScenarioError> {
    let section = item.section(&PUBLIC_KEY_KEYS)?;
    let lanes = section.require("lanes")?.count(0..=u32::from(u8::MAX))?;
    let count = |key| section.require(key)?.count(0..=u32::MAX);
    Ok(PublicKeyEngine {
        lanes: u8::try_from(lanes).expect("8 bits"),
        clock_hz: section.require("clock_hz")?.integer(0..=u64::MAX)?,
        startup_cycles: count("startup_cycles")?,
        millicycles_per_product: count("millicycles_per_product")?,
    })
}

fn read_entropy(item: &Item<'_>) -> Result<EntropySource, ScenarioError> {
    let section = item.section(&ENTROPY_KEYS)?;
    Ok(EntropySource {
        bytes_per_second: section.require("bytes_per_second")?.integer(0..=u64::MAX)?,
        buffer_len: section.require("buffer_len")?.count(0..=u32::MAX)?,
    })
}

fn read_rounds(item: &Item<'_>) -> Result<Rounds, ScenarioError> {
    let section = item.section(&ROUNDS_KEYS)?;
    let cost = |key| small(&section, key);
    Ok(Rounds {
        aes: cost("aes")?,
        des: cost("des")?,
        sm4: cost("sm4")?,
        sha1: cost("sha1")?,
        sha256: cost("sha256")?,
        sha512: cost("sha512")?,
        sm3: cost("sm3")?,
    })
}

/// The complaint about the place of the number that makes the profile impossible.
fn point_at(top: &Section<'_>, error: &ProfileError) -> ScenarioError {
    let mut path: Vec<&str> = error.field.split('.').collect();
    if ENGINES_KEYS.contains(&path[0]) {
        path.insert(0, "engines");
    }
    // A time is called without its unit.
    let is_called = |item: &Item<'_>, name: &str| {
        let unit = item.name().strip_prefix(name);
        unit.is_some_and(|unit| matches!(unit, "" | "_ns" | "_us"))
    };
    let mut items = top.items();
    while let Some(at) = items.iter().position(|item| is_called(item, path[0])) {
        path.remove(0);
        if path.is_empty() {
            return items[at].error(error.expected);
        }
        items = items[at].children();
    }
    top.error(error.to_string(), error.expected)
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
    fn the_reference_file_says_what_the_model_says() {
        assert_eq!(builtin_profile("reference"), Some(Profile::reference()));
    }

    #[test]
    fn a_number_no_card_can_have_is_pointed_at() {
        let complaint = |old: &str, new: &str| {
            assert!(BUILTINS[0].1.contains(old), "{old}");
            let text = BUILTINS[0].1.replacen(old, new, 1);
            profile_from_toml(&text, "fast.toml")
                .expect_err(new)
                .to_string()
        };
        for (old, new, expected) in [
            ("lanes = 8", "lanes = 65", "1 to 64"),
            ("lanes = 8", "lanes = 256", "a whole number from 0 to 255"),
            (
                "max_payload = 256",
                "max_payload = 300",
                "a power of two from 128 to 4096",
            ),
            ("clock_hz = 800_000_000", "clock_hz = 8", "1 MHz to 100 GHz"),
            ("ring_pairs = 4", "ring_pairs = 0", "1 to 64"),
            ("fetch_burst = 16", "fetch_burst = 0", "1 to 128"),
        ] {
            let message = complaint(old, new);
            assert!(message.starts_with(&new.replace('=', "is")), "{message}");
            assert!(
                message.contains(&format!("expected {expected}")),
                "{message}"
            );
            assert!(message.contains(&format!("| {new}")), "{message}");
        }
    }

    #[test]
    fn errata_are_listed_by_name_once_and_an_unknown_one_is_pointed_at() {
        let with = |list: &str| {
            let text = BUILTINS[0]
                .1
                .replacen("[link]", &format!("errata = {list}\n[link]"), 1);
            let profile = profile_from_toml(&text, "old.toml");
            profile
                .map(|profile| profile.errata)
                .map_err(|error| error.to_string())
        };
        assert_eq!(with("[]"), Ok(Errata::empty()));
        assert_eq!(
            with("[\"early-ready\", \"stale-prefetch\"]"),
            Ok(Errata::EARLY_READY | Errata::STALE_PREFETCH)
        );
        let message = with("[\"early-ready\", \"stale-prefech\"]").expect_err("a wrong name");
        assert!(
            message.starts_with("unknown erratum `stale-prefech`"),
            "{message}"
        );
        assert!(message.contains("| errata = ["), "{message}");
        assert!(message.contains("`short-last-segment`"), "{message}");
        assert!(
            message.contains("did you mean `stale-prefetch`"),
            "{message}"
        );
        let message = with("[\"early-ready\", \"early-ready\"]").expect_err("twice");
        assert!(message.contains("expected each erratum once"), "{message}");
        assert_eq!(
            builtin_profile("errata").map(|of| of.errata),
            Some(Errata::all())
        );
    }

    #[test]
    fn the_errata_card_is_the_reference_card_but_for_its_errata() {
        let errata = builtin_profile("errata").expect("built in");
        let mended = Profile {
            name: "reference".to_owned(),
            errata: Errata::empty(),
            ..errata
        };
        assert_eq!(mended, Profile::reference());
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
