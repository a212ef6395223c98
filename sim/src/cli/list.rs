//! `ringside list`: the scenarios that are built in.

use serde::Serialize;

use crate::scenario::{CardSpec, Scenario, builtins};
use crate::summary::units::counted;

#[derive(Serialize)]
struct Entry {
    name: String,
    description: String,
    cards: Vec<CardEntry>,
    software: bool,
    consumers: u32,
    depth: u32,
    pieces: Option<u64>,
    suites: Vec<String>,
    faults: usize,
}

#[derive(Serialize)]
struct CardEntry {
    name: String,
    profile: String,
    ring_pairs: u16,
    ring_entries: u32,
    errata: Vec<&'static str>,
}

/// The list as text or as JSON.
pub(super) fn render(json: bool) -> String {
    let scenarios = builtins();
    if json {
        let entries: Vec<Entry> = scenarios.iter().map(Entry::of).collect();
        serde_json::to_string_pretty(&entries).expect("names and numbers") + "\n"
    } else {
        scenarios
            .iter()
            .map(describe)
            .collect::<Vec<String>>()
            .join("\n")
    }
}

impl Entry {
    fn of(scenario: &Scenario) -> Self {
        let workload = &scenario.workload;
        Self {
            name: scenario.name.clone(),
            description: scenario.description.clone(),
            cards: scenario.cards.iter().map(CardEntry::of).collect(),
            software: scenario.software,
            consumers: workload.consumers,
            depth: workload.depth,
            pieces: workload.pieces,
            suites: workload.suites.iter().map(ToString::to_string).collect(),
            faults: scenario.faults.len(),
        }
    }
}

impl CardEntry {
    fn of(card: &CardSpec) -> Self {
        Self {
            name: card.name.clone(),
            profile: card.profile.name.clone(),
            ring_pairs: card.profile.ring_pairs,
            ring_entries: card.ring_entries,
            errata: card.profile.errata.names().collect(),
        }
    }
}

fn describe(scenario: &Scenario) -> String {
    let mut drivers: Vec<String> = scenario
        .cards
        .iter()
        .map(|card| {
            let rings = format!("{} × {}", card.profile.ring_pairs, card.ring_entries);
            let errata = match card.profile.errata.names().count() as u64 {
                0 => String::new(),
                count => format!(
                    ", {}",
                    counted(count, "erratum").replace("erratums", "errata")
                ),
            };
            format!(
                "{} ({}, rings {rings}{errata})",
                card.name, card.profile.name
            )
        })
        .collect();
    if scenario.software {
        drivers.push("software".to_owned());
    }
    let workload = &scenario.workload;
    format!(
        "{}\n    {}\n    drivers:  {}\n    load:     {} with {} in flight each, {}, {}\n",
        scenario.name,
        scenario.description,
        drivers.join(", "),
        counted(u64::from(workload.consumers), "consumer"),
        counted(u64::from(workload.depth), "request"),
        counted(workload.suites.len() as u64, "suite"),
        counted(scenario.faults.len() as u64, "fault"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_names_every_scenario_with_its_drivers() {
        let text = render(false);
        for scenario in builtins() {
            assert!(text.contains(&format!("{}\n    {}", scenario.name, scenario.description)));
        }
        assert!(text.contains("card0 (reference, rings 2 × 8)"), "{text}");
        let errata = "card0 (errata, rings 2 × 64, 12 errata)";
        assert!(text.contains(errata), "{text}");
    }

    #[test]
    fn machines_get_the_same_list() {
        let list: serde_json::Value = serde_json::from_str(&render(true)).expect("JSON");
        assert_eq!(list[0]["name"], "failover");
        assert_eq!(list[0]["cards"][1]["name"], "card1");
        assert_eq!(list.as_array().map(Vec::len), Some(builtins().len()));
        assert_eq!(list[0]["cards"][0]["errata"], serde_json::json!([]));
        let errata = &list[6]["cards"][0]["errata"];
        assert_eq!(errata[7], "early-ready", "{errata}");
    }
}
