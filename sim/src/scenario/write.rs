//! A scenario as text that reads back as the same scenario.
//!
//! The other half of `parse`. What a reader would assume anyway is left out, so that a reduced
//! scenario fits on a screen. Times are written in the units of their keys: what is finer than a
//! nanosecond or a microsecond there cannot come from a file and is cut off.

use std::fmt::Display;

use device_model::{EngineGroup, EntropySource, Profile, Rounds};
use regs::{Errata, Erratum};
use timebase::{Span, Time};

use crate::rule::{Fate, Rule};

use super::{
    Action, CardSpec, Expectation, FaultSpec, Placement, Scenario, Trigger, Workload,
    builtin_profile,
};

/// Lines of `key = value` and headings.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, key: &str, value: impl Display) {
        self.0 += &format!("{key} = {value}\n");
    }

    /// A line unless the reader would assume `value` without it.
    fn unless<T: Display + PartialEq>(&mut self, assumed: &T, key: &str, value: T) {
        if value != *assumed {
            self.line(key, value);
        }
    }

    fn heading(&mut self, heading: &str) {
        self.0 += &format!("\n{heading}\n");
    }
}

impl Scenario {
    /// The scenario as the text of a scenario file, with nothing in it that a reader assumes.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut page = Page::default();
        page.line("name", quoted(&self.name));
        if !self.description.is_empty() {
            page.line("description", quoted(&self.description));
        }
        page.unless(&true, "software", self.software);
        page.unless(&false, "timing_only", self.timing_only);
        page.unless(&64, "pool_mib", self.pool_len >> 20);
        page.unless(&100_000, "drain_within_us", micros(self.drain_within));
        range(&mut page, "interrupt_jitter_ns", self.interrupt_jitter);
        page.unless(&0, "write_jitter_ns", self.write_jitter.as_ns());
        page.unless(&0, "memory_jitter_ns", self.memory_jitter.as_ns());
        for (slot, card) in self.cards.iter().enumerate() {
            write_card(&mut page, slot, card);
        }
        write_workload(&mut page, &self.workload);
        for fault in &self.faults {
            write_fault(&mut page, fault, &self.cards);
        }
        if !self.expect.is_empty() {
            page.heading("[expect]");
        }
        for expectation in &self.expect {
            write_expectation(&mut page, expectation);
        }
        page.0
    }
}

/// `text` as TOML quotes it.
pub(crate) fn quoted(text: &str) -> toml::Value {
    toml::Value::from(text)
}

fn micros(span: Span) -> u64 {
    span.as_ns() / 1_000
}

fn range(page: &mut Page, key: &str, (low, high): (Span, Span)) {
    if (low, high) != (Span::ZERO, Span::ZERO) {
        page.line(key, format!("[{}, {}]", low.as_ns(), high.as_ns()));
    }
}

fn errata(page: &mut Page, key: &str, errata: Errata) {
    if !errata.is_empty() {
        let listed = |erratum: &&Erratum| errata.contains(erratum.flag);
        let names = Erratum::SHEET.iter().filter(listed).map(|it| it.name);
        page.line(key, list(names.map(quoted)));
    }
}

fn list(items: impl Iterator<Item = impl Display>) -> String {
    let items: Vec<String> = items.map(|item| item.to_string()).collect();
    format!("[{}]", items.join(", "))
}

fn write_card(page: &mut Page, slot: usize, card: &CardSpec) {
    page.heading("[[card]]");
    if card.name != format!("card{slot}") {
        page.line("name", quoted(&card.name));
    }
    let profile = &card.profile;
    let like = |builtin: Profile| {
        let pairs = builtin.ring_pairs;
        let same = Profile {
            ring_pairs: profile.ring_pairs,
            ..builtin
        };
        (same == *profile).then_some(pairs)
    };
    let builtin = builtin_profile(&profile.name).and_then(like);
    if let Some(pairs) = builtin {
        if profile.name != "reference" {
            page.line("profile", quoted(&profile.name));
        }
        page.unless(&pairs, "ring_pairs", profile.ring_pairs);
    }
    page.unless(&256, "ring_entries", card.ring_entries);
    page.unless(&8, "coalesce_count", card.coalesce_count);
    page.unless(&10, "coalesce_timer_us", micros(card.coalesce_timer));
    page.unless(&10_000, "watchdog_us", micros(card.watchdog));
    page.unless(&true, "present", card.present);
    errata(page, "ignore_errata", card.ignore_errata);
    if builtin.is_none() {
        write_profile(page, profile);
    }
}

fn write_profile(page: &mut Page, profile: &Profile) {
    page.heading("[card.profile]");
    page.line("name", quoted(&profile.name));
    page.line("ring_pairs", profile.ring_pairs);
    page.line("session_capacity", profile.session_capacity);
    page.line("virtual_functions", profile.virtual_functions);
    page.line("virtual_ring_pairs", profile.virtual_ring_pairs);
    page.line("virtual_sessions", profile.virtual_sessions);
    page.line("context_cache_entries", profile.context_cache_entries);
    page.line("context_hit_ns", profile.context_hit.as_ns());
    page.line("context_miss_ns", profile.context_miss.as_ns());
    page.line("context_bytes", profile.context_bytes);
    page.line("fetch_burst", profile.fetch_burst);
    page.line("command_overhead_ns", profile.command_overhead.as_ns());
    page.line("interrupt_delay_ns", profile.interrupt_delay.as_ns());
    page.line("reset_time_us", micros(profile.reset_time));
    errata(page, "errata", profile.errata);
    page.heading("[card.profile.link]");
    page.line("latency_ns", profile.link.latency.as_ns());
    page.line("bytes_per_second", profile.link.bytes_per_second);
    page.line("max_payload", profile.link.max_payload);
    page.line("packet_overhead", profile.link.packet_overhead);
    write_group(page, "cipher", profile.engines.cipher);
    write_group(page, "digest", profile.engines.digest);
    write_group(page, "combined", profile.engines.combined);
    if profile.engines.rounds != Rounds::default() {
        write_rounds(page, &profile.engines.rounds);
    }
    if let Some(firmware) = &profile.firmware {
        page.heading("[card.profile.firmware]");
        page.line("processors", firmware.processors);
        page.line("clock_hz", firmware.clock_hz);
        page.line("command_cycles", firmware.command_cycles);
        page.line("digest_cycles", firmware.digest_cycles);
        page.line("aead_cycles", firmware.aead_cycles);
        let digested = firmware.millicycles_per_digested_byte;
        page.line("millicycles_per_digested_byte", digested);
        page.line("held_permille", firmware.held_permille);
    }
    if let Some(public_key) = &profile.public_key {
        page.heading("[card.profile.public_key]");
        page.line("lanes", public_key.lanes);
        page.line("clock_hz", public_key.clock_hz);
        page.line("startup_cycles", public_key.startup_cycles);
        page.line(
            "millicycles_per_product",
            public_key.millicycles_per_product,
        );
    }
    if profile.entropy != EntropySource::default() {
        page.heading("[card.profile.entropy]");
        page.line("bytes_per_second", profile.entropy.bytes_per_second);
        page.line("buffer_len", profile.entropy.buffer_len);
    }
}

fn write_group(page: &mut Page, name: &str, group: EngineGroup) {
    page.heading(&format!("[card.profile.engines.{name}]"));
    page.line("lanes", group.lanes);
    page.line("clock_hz", group.clock_hz);
    page.line("startup_cycles", group.rate.startup_cycles);
    page.line("millicycles_per_byte", group.rate.millicycles_per_byte);
}

fn write_rounds(page: &mut Page, rounds: &Rounds) {
    page.heading("[card.profile.engines.rounds]");
    page.line("aes", rounds.aes);
    page.line("des", rounds.des);
    page.line("sm4", rounds.sm4);
    page.line("sha1", rounds.sha1);
    page.line("sha256", rounds.sha256);
    page.line("sha512", rounds.sha512);
    page.line("sm3", rounds.sm3);
}

fn write_workload(page: &mut Page, workload: &Workload) {
    page.heading("[workload]");
    page.unless(&8, "consumers", workload.consumers);
    page.unless(&4, "depth", workload.depth);
    if let Some(pieces) = workload.pieces {
        page.line("pieces", pieces);
    }
    let sizes = workload.sizes.iter().map(|&(bytes, weight)| match weight {
        1 => format!("{{ bytes = {bytes} }}"),
        _ => format!("{{ bytes = {bytes}, weight = {weight} }}"),
    });
    page.line("sizes", list(sizes));
    let suites = workload.suites.iter();
    page.line(
        "suites",
        list(suites.map(|suite| quoted(&suite.to_string()))),
    );
    page.unless(&50, "transparent_percent", workload.transparent_percent);
    for (key, percent) in [
        ("separate_output_percent", workload.separate_output_percent),
        ("chain_percent", workload.chain_percent),
        ("unpooled_percent", workload.unpooled_percent),
        ("tampered_percent", workload.tampered_percent),
    ] {
        page.unless(&0, key, percent);
    }
    range(page, "think_ns", workload.think);
    if workload.placement != Placement::Any {
        page.line("placement", quoted(workload.placement.name()));
    }
}

fn write_fault(page: &mut Page, fault: &FaultSpec, cards: &[CardSpec]) {
    page.heading("[[fault]]");
    let name = |card: usize| quoted(&cards[card].name);
    match fault.trigger {
        Trigger::At(at) => {
            let ns = at.since(Time::ZERO).as_ns();
            match ns % 1_000 {
                0 => page.line("at_us", ns / 1_000),
                _ => page.line("at_ns", ns),
            }
        }
        Trigger::AfterRequests(count) => page.line("after_requests", count),
        Trigger::RingFull { card, nth } => {
            let card = name(card);
            page.line("ring_full", format!("{{ card = {card}, nth = {nth} }}"));
        }
        Trigger::AfterPrevious(span) => page.line("after_previous_us", micros(span)),
        Trigger::Message { card, rule } => {
            let (card, kind) = (name(card), quoted(rule.message.name()));
            let more = rule_bounds(&rule);
            page.line(
                "on_message",
                format!("{{ card = {card}, kind = {kind}{more} }}"),
            );
        }
        Trigger::Event {
            card,
            moment,
            ring,
            nth,
        } => {
            let (card, kind) = (name(card), quoted(moment.name()));
            let ring = ring.map_or(String::new(), |ring| format!(", ring = {}", ring.0));
            let event = format!("{{ card = {card}, kind = {kind}{ring}, nth = {nth} }}");
            page.line("on_event", event);
        }
    }
    page.unless(&100, "percent", fault.percent);
    page.unless(&false, "may_idle", fault.may_idle);
    write_action(page, fault.action, &name);
}

/// What a rule says of place and number, and a reader would not assume.
fn rule_bounds(rule: &Rule) -> String {
    let mut more = String::new();
    let (first, last) = Rule::ANYWHERE.into_inner();
    for (key, number, assumed) in [
        ("first", rule.first, first),
        ("last", rule.last, last),
        ("bytes", rule.bytes.unwrap_or(0), 0),
        ("nth", rule.skip + 1, 1),
        ("count", rule.count, 1),
        ("one_in", rule.one_in, 1),
    ] {
        if number != assumed {
            more += &format!(", {key} = {number}");
        }
    }
    if let Some(holds) = rule.holds {
        let (at, stride) = (holds.at, holds.stride);
        let (mask, value) = (holds.mask, holds.value);
        let word = format!("mask = {mask:#x}, value = {value:#x}");
        more += &format!(", holds = {{ at = {at}, stride = {stride}, {word} }}");
    }
    more
}

fn write_action(page: &mut Page, action: Action, name: &dyn Fn(usize) -> toml::Value) {
    match action {
        Action::Unplug { card } => page.line("unplug", name(card)),
        Action::Plug { card } => page.line("plug", name(card)),
        Action::Detach { card } => page.line("detach", name(card)),
        Action::Reset { card } => page.line("reset", name(card)),
        Action::Sleep { card } => page.line("sleep", name(card)),
        Action::Wake { card } => page.line("wake", name(card)),
        Action::Interrupt {
            card,
            vector,
            count,
            every,
        } => {
            let card = name(card);
            let (vector, every) = (vector.0, every.as_ns());
            let storm = format!("vector = {vector}, count = {count}, every_ns = {every}");
            page.line("interrupt", format!("{{ card = {card}, {storm} }}"));
        }
        Action::Write {
            card,
            offset,
            value,
        } => {
            let card = name(card);
            let write = format!("offset = {offset:#x}, value = {value:#x}");
            page.line("write", format!("{{ card = {card}, {write} }}"));
        }
        Action::Rebalance => page.line("rebalance", true),
        Action::Message { card, rule } => {
            let (kind, fate) = (quoted(rule.message.name()), quoted(rule.fate.name()));
            let mut more = rule_bounds(&rule);
            match rule.fate {
                Fate::Delay(delay) | Fate::Again(delay) => {
                    more += &format!(", delay_ns = {}", delay.as_ns());
                }
                Fate::Answer(value) => more += &format!(", value = {value}"),
                _ => {}
            }
            let card = name(card);
            let rule = format!("{{ card = {card}, kind = {kind}, fate = {fate}{more} }}");
            page.line("message", rule);
        }
        Action::Latch { card, latch } => {
            let kind = quoted(latch.name());
            let nth = match latch.nth() {
                // Scenario files count from one.
                Some(nth) => format!(", nth = {}", nth + 1),
                None => String::new(),
            };
            let card = name(card);
            page.line("latch", format!("{{ card = {card}, kind = {kind}{nth} }}"));
        }
    }
}

fn write_expectation(page: &mut Page, expectation: &Expectation) {
    let at_least = expectation.at_least;
    let bounds = match expectation.at_most {
        Some(most) => format!("{{ at_least = {at_least}, at_most = {most} }}"),
        None => format!("{{ at_least = {at_least} }}"),
    };
    page.line(expectation.count.name(), bounds);
}

#[cfg(test)]
mod tests {
    use device_model::Latch;

    use super::*;
    use crate::rule::Holds;
    use crate::rule::Message;
    use crate::scenario::Moment;
    use crate::scenario::{builtin_profiles, builtins};

    fn read(text: &str) -> Scenario {
        match Scenario::from_toml(text, "written.toml") {
            Ok(scenario) => scenario,
            Err(error) => panic!("{error}\n{text}"),
        }
    }

    #[test]
    fn every_built_in_scenario_reads_back_as_it_was() {
        for scenario in builtins() {
            let text = scenario.to_toml();
            assert_eq!(read(&text), scenario, "{text}");
            assert_eq!(read(&text).to_toml(), text);
        }
    }

    #[test]
    fn a_card_like_no_built_in_one_is_written_whole() {
        for name in builtin_profiles() {
            let mut scenario = Scenario::builtin("single").expect("built in");
            let profile = builtin_profile(name).expect("built in");
            scenario.cards[0].profile = Profile {
                name: "mine".to_owned(),
                ..profile
            };
            let text = scenario.to_toml();
            assert!(text.contains("[card.profile.engines.cipher]"), "{text}");
            assert_eq!(read(&text), scenario, "{text}");
        }
    }

    /// One action of every kind.
    fn actions() -> Vec<Action> {
        let latches = Latch::NAMES.map(|name| Latch::named(name, 6).expect("a latch"));
        let mut actions = vec![
            Action::Unplug { card: 1 },
            Action::Plug { card: 1 },
            Action::Detach { card: 0 },
            Action::Reset { card: 1 },
            Action::Sleep { card: 1 },
            Action::Wake { card: 1 },
            Action::Interrupt {
                card: 1,
                vector: regs::Vector(3),
                count: 70,
                every: Span::from_ns(20),
            },
            Action::Write {
                card: 1,
                offset: 0x40,
                value: 0xFFFF_FFFF,
            },
            Action::Rebalance,
        ];
        for message in Message::ALL {
            let delay = Fate::Delay(Span::from_ns(70));
            let fates = [
                Fate::Lose,
                Fate::Double,
                delay,
                Fate::Again(Span::from_ns(9)),
                Fate::Overtake,
                Fate::Flip,
                Fate::Refuse,
                Fate::Poison,
                Fate::Stale,
                Fate::Answer(7),
            ];
            for (fate, skip) in fates.into_iter().zip(0..) {
                if message.can(fate) {
                    let rule = Rule {
                        first: skip * 4,
                        last: if skip == 2 { 0x1_0000 } else { u64::MAX },
                        bytes: message.is_memory().then_some(64 + skip),
                        skip,
                        holds: (message.has_contents() && skip % 2 == 0).then_some(Holds {
                            at: 8,
                            stride: 64 * skip as u32,
                            mask: 0xFF00,
                            value: 0x1200,
                        }),
                        count: 3 - skip % 3,
                        one_in: 1 + skip,
                        ..Rule::next(message, fate)
                    };
                    actions.push(Action::Message { card: 1, rule });
                }
            }
        }
        actions.extend(latches.map(|latch| Action::Latch { card: 1, latch }));
        actions
    }

    #[test]
    fn every_kind_of_fault_reads_back_as_it_was() {
        let mut scenario = Scenario::builtin("failover").expect("built in");
        let actions = actions();
        let triggers = [
            Trigger::At(Time::ZERO + Span::from_us(17)),
            Trigger::At(Time::ZERO + Span::from_ns(1_001)),
            Trigger::AfterRequests(9),
            Trigger::RingFull { card: 1, nth: 3 },
            Trigger::AfterPrevious(Span::from_us(4)),
            Trigger::Message {
                card: 1,
                rule: Rule {
                    skip: 8,
                    first: 0x1000,
                    ..Rule::next(Message::Read, Fate::Carry)
                },
            },
            Trigger::Event {
                card: 1,
                moment: Moment::Completed,
                ring: Some(regs::RingId(2)),
                nth: 4,
            },
        ];
        let at = |index: usize| triggers[index % triggers.len()];
        let faults = actions
            .iter()
            .enumerate()
            .map(|(index, &action)| FaultSpec::new(at(index), action));
        scenario.faults = faults.collect();
        scenario.faults[3].percent = 20;
        scenario.faults[5].may_idle = true;
        let text = scenario.to_toml();
        assert_eq!(read(&text), scenario, "{text}");
    }
}
