//! The table of the museum, for people, for pages and for programs.

use std::fmt::Write;

use exhibit::Exhibit;
use serde::Serialize;

use super::Row;
use crate::case::Replay;
use crate::summary::units::counted;

/// The museum in four numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Bugs that were looked for.
    pub exhibits: usize,
    /// Those of them that a checker found.
    pub found: usize,
    /// Half of the bugs took no more seeds than this; `None` if half were not found.
    pub median_seeds: Option<u64>,
    /// Half of the replays have no more [steps](crate::case::Replay::steps) than this; `None`
    /// without any.
    pub median_steps: Option<u64>,
    /// Half of the replays have no more events than this, from power-on to the violation; `None`
    /// without any.
    pub median_events: Option<u64>,
}

impl Summary {
    /// The numbers of `rows`.
    #[must_use]
    pub fn of(rows: &[Row]) -> Self {
        let found: Vec<&Row> = rows.iter().filter(|row| row.found.is_some()).collect();
        let replays = || {
            found
                .iter()
                .filter_map(|row| Some(&row.found.as_ref()?.replay))
        };
        Self {
            exhibits: rows.len(),
            found: found.len(),
            // A bug that was not found took more than all of its seeds.
            median_seeds: median(rows.iter().map(|row| match row.found {
                Some(_) => row.seeds,
                None => u64::MAX,
            }))
            .filter(|&seeds| seeds != u64::MAX),
            median_steps: median(replays().map(Replay::steps)),
            median_events: median(replays().map(|replay| replay.events)),
        }
    }

    /// One line about all of it.
    #[must_use]
    pub fn line(&self) -> String {
        let of_all = format!("{} of {} found", self.found, self.exhibits);
        match (self.median_seeds, self.median_steps, self.median_events) {
            (Some(seeds), Some(steps), Some(events)) => format!(
                "{of_all}; in the middle {}, {} and {}",
                counted(seeds, "seed"),
                counted(steps, "step"),
                counted(events, "event")
            ),
            _ => of_all,
        }
    }
}

/// The upper one of two in the middle.
fn median(numbers: impl Iterator<Item = u64>) -> Option<u64> {
    let mut numbers: Vec<u64> = numbers.collect();
    numbers.sort_unstable();
    numbers.get(numbers.len() / 2).copied()
}

/// What a row says of how its bug was found: seeds, steps, events, check.
fn finding(row: &Row) -> [String; 4] {
    match &row.found {
        Some(found) => [
            row.seeds.to_string(),
            found.replay.steps().to_string(),
            found.replay.events.to_string(),
            found.replay.check.clone(),
        ],
        None => [
            format!("more than {}", row.seeds),
            "-".to_owned(),
            "-".to_owned(),
            "NOT FOUND".to_owned(),
        ],
    }
}

/// The table for a terminal, a line a bug.
#[must_use]
pub fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<27} {:<9} {:>6} {:>6} {:>7}  {:<19} real case\n",
        "bug", "in the", "seeds", "steps", "events", "found by"
    );
    for row in rows {
        let (exhibit, [seeds, steps, events, check]) = (row.exhibit, finding(row));
        let (name, place, case) = (exhibit.name(), exhibit.place().to_string(), exhibit.case());
        writeln!(
            text,
            "{name:<27} {place:<9} {seeds:>6} {steps:>6} {events:>7}  {check:<19} {case}"
        )
        .expect("memory for a line");
    }
    text + &Summary::of(rows).line() + "\n"
}

/// The part of a line of the page that says what the bug is, and not how it was found.
#[must_use]
pub fn described(exhibit: Exhibit) -> String {
    let (name, place) = (exhibit.name(), exhibit.place());
    let (bug, case) = (exhibit.bug(), exhibit.case());
    format!("| `{name}` | {place} | {bug} | {case} |")
}

/// The table for the page.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text =
        "| bug | in the | what it does | real case | seeds | steps | events | found by |\n\
                    |---|---|---|---|--:|--:|--:|---|\n"
            .to_owned();
    for row in rows {
        let [seeds, steps, events, check] = finding(row);
        let described = described(row.exhibit);
        writeln!(text, "{described} {seeds} | {steps} | {events} | {check} |")
            .expect("memory for a line");
    }
    text
}

#[derive(Serialize)]
struct Entry<'a> {
    name: &'a str,
    place: String,
    bug: &'a str,
    case: &'a str,
    seeds: u64,
    found: Option<FoundEntry<'a>>,
}

#[derive(Serialize)]
struct FoundEntry<'a> {
    scenario: &'a str,
    steps: u64,
    events: u64,
    check: &'a str,
    message: &'a str,
}

/// The table and its numbers as one JSON object.
///
/// # Panics
/// Never: names and numbers have a form in JSON.
#[must_use]
pub fn json(rows: &[Row]) -> String {
    #[derive(Serialize)]
    struct Museum<'a> {
        summary: Summary,
        exhibits: Vec<Entry<'a>>,
    }
    let museum = Museum {
        summary: Summary::of(rows),
        exhibits: rows.iter().map(entry).collect(),
    };
    serde_json::to_string_pretty(&museum).expect("names and numbers") + "\n"
}

fn entry(row: &Row) -> Entry<'_> {
    let exhibit = row.exhibit;
    Entry {
        name: exhibit.name(),
        place: exhibit.place().to_string(),
        bug: exhibit.bug(),
        case: exhibit.case(),
        seeds: row.seeds,
        found: row.found.as_ref().map(|found| FoundEntry {
            scenario: &found.scenario,
            steps: found.replay.steps(),
            events: found.replay.events,
            check: &found.replay.check,
            message: &found.replay.message,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_bug_as_the_catalogue_has_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/museum.md");
        let page = std::fs::read_to_string(path).expect("the museum's page");
        let missing = Exhibit::ALL
            .iter()
            .map(|&exhibit| described(exhibit))
            .filter(|line| !page.lines().any(|of| of.starts_with(line.as_str())));
        let missing: Vec<String> = missing.collect();
        let how = "cargo run -p sim --features museum -- museum --markdown";
        assert!(missing.is_empty(), "{how}:\n{}", missing.join("\n"));
    }

    #[test]
    fn a_bug_that_is_not_found_is_said_to_be_and_counts_against_the_middle() {
        let rows = vec![Row {
            exhibit: Exhibit::ALL[0],
            seeds: 7,
            found: None,
        }];
        assert!(markdown(&rows).contains("| more than 7 | - | - | NOT FOUND |"));
        assert!(text(&rows).ends_with("0 of 1 found\n"), "{}", text(&rows));
        assert_eq!(Summary::of(&rows).median_seeds, None);
        assert!(json(&rows).contains("\"found\": null"));
    }
}
