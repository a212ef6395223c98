//! Every failure mode that is known of real cards can be brought about, and is survived or told of.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sim::input::Input;
use sim::outcome::Outcome;
use sim::scenario::Scenario;
use sim::world::{self, RunOptions};

/// One failure mode, as `modes.toml` describes it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mode {
    name: String,
    case: String,
    duty: String,
    #[serde(default)]
    card: String,
    #[serde(default)]
    workload: String,
    #[serde(default)]
    faults: String,
    shown: Shown,
}

/// How a mode is shown to be met.
#[derive(Deserialize)]
#[serde(untagged)]
enum Shown {
    By(By),
    /// It cannot be survived: one of these checks finds it, and none finds anything without it.
    Reported(Vec<String>),
    Elsewhere {
        file: String,
        test: String,
    },
}

#[derive(Clone, Copy, Deserialize, Eq, PartialEq)]
enum By {
    /// A run with it passes every check.
    #[serde(rename = "survives")]
    Survives,
    /// Requests that it strikes end with an error that says so; nothing else is found.
    #[serde(rename = "fails")]
    Fails,
}

/// Every mode with its number.
fn modes() -> Vec<(usize, Mode)> {
    #[derive(Deserialize)]
    struct File {
        mode: Vec<Mode>,
    }
    let file: File = toml::from_str(include_str!("modes.toml")).expect("modes.toml");
    assert_eq!(file.mode.len(), 60);
    (1..).zip(file.mode).collect()
}

/// Seeds of each mode.
const SEEDS: std::ops::Range<u64> = 0..20;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// `key = value` lines, of which later ones replace earlier ones of the same key.
fn lines(parts: &[&str]) -> String {
    let mut lines: Vec<(&str, &str)> = Vec::new();
    for line in parts.iter().flat_map(|part| part.lines()) {
        let (key, _) = line.split_once(" = ").expect("a key and a value");
        lines.retain(|&(other, _)| other != key);
        lines.push((key, line));
    }
    lines.iter().fold(String::new(), |mut text, (_, line)| {
        let _ = writeln!(text, "{line}");
        text
    })
}

/// The run of `mode`, with or without its faults.
fn scenario(number: usize, mode: &Mode, with_faults: bool) -> Scenario {
    let (extra, card) = match mode.card.as_str() {
        "another" => ("[[card]]\n", ""),
        card => ("", card),
    };
    let (plain, profile): (Vec<&str>, Vec<&str>) =
        card.lines().partition(|line| !line.starts_with("profile."));
    let card = lines(&["watchdog_us = 500", &plain.join("\n")]);
    let usual = "consumers = 8\ndepth = 4\npieces = 300
sizes = [{ bytes = 512 }, { bytes = 2_048 }]
suites = [\"aes-128-ctr\", \"aes-256-gcm\", \"hmac-sha256\"]";
    let workload = lines(&[usual, &mode.workload]);
    let faults = if with_faults {
        mode.faults.as_str()
    } else {
        ""
    };
    let text = format!(
        "name = \"mode-{number}\"\ndrain_within_us = 200_000\n[[card]]\n{card}{extra}\
         [workload]\n{workload}{faults}"
    );
    let mut scenario = Scenario::from_toml(&text, "modes.rs")
        .unwrap_or_else(|error| panic!("mode {number}: {error}"));
    for line in profile {
        change(&mut scenario, line);
    }
    scenario
}

/// What a mode changes in the profile of its card.
fn change(scenario: &mut Scenario, line: &str) {
    let profile = &mut scenario.cards[0].profile;
    let (key, value) = line.split_once(" = ").expect("a key and a value");
    match key {
        "profile.errata" => {
            let name = value.trim_matches(['[', ']', '"']);
            let erratum = regs::Erratum::SHEET.iter().find(|it| it.name == name);
            profile.errata |= erratum.unwrap_or_else(|| panic!("no erratum {name}")).flag;
        }
        "profile.slower" => {
            let times: u64 = value.parse().expect("a number");
            let engines = &mut profile.engines;
            for group in [
                &mut engines.cipher,
                &mut engines.digest,
                &mut engines.combined,
            ] {
                group.clock_hz /= times;
            }
        }
        _ => panic!("nothing known of {key}"),
    }
}

fn run(scenario: &Scenario, seed: u64) -> Outcome {
    let options = RunOptions::new(seed, Input::project());
    world::run(scenario, &options, &mut |_| {}).expect("a run that begins")
}

/// What is wrong with `mode`.
fn wrong(number: usize, mode: &Mode) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut found = 0;
    for seed in SEEDS {
        let outcome = run(&scenario(number, mode, true), seed);
        let checks: Vec<&str> = outcome
            .violations
            .iter()
            .map(|it| it.check.as_str())
            .collect();
        let expected: &[String] = match &mode.shown {
            Shown::By(By::Survives | By::Fails) => &[],
            Shown::Reported(checks) => checks,
            Shown::Elsewhere { .. } => return wrong,
        };
        found += u64::from(!checks.is_empty());
        if matches!(mode.shown, Shown::By(By::Fails)) {
            let failed = |message: &str| message.ends_with("the device failed the request");
            let mut others = outcome.violations.iter().filter(|it| !failed(&it.message));
            wrong.extend(
                others
                    .next()
                    .map(|other| format!("mode {number} seed {seed}: {other:?}")),
            );
        } else if let Some(other) = checks
            .iter()
            .find(|check| !expected.iter().any(|it| it == *check))
        {
            let all = &outcome.violations;
            wrong.push(format!(
                "mode {number} seed {seed}: {other}: {:?}",
                all.first()
            ));
        }
        if outcome.summary.requests < 300 {
            wrong.push(format!("mode {number} seed {seed}: too little done"));
        }
    }
    if !matches!(mode.shown, Shown::By(By::Survives)) {
        if found == 0 {
            wrong.push(format!("mode {number}: nothing found"));
        }
        let without = run(&scenario(number, mode, false), 0);
        if !without.passed() {
            wrong.push(format!(
                "mode {number} without its faults: {:?}",
                without.violations
            ));
        }
    }
    wrong
}

#[test]
fn every_mode_is_survived_or_found_out() {
    let wrong: Vec<String> = modes()
        .iter()
        .flat_map(|(number, mode)| wrong(*number, mode))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_is_shown_elsewhere_is_shown_there() {
    for (number, mode) in modes() {
        let Shown::Elsewhere { file, test } = mode.shown else {
            continue;
        };
        let text = std::fs::read_to_string(root().join(&file));
        let text = text.unwrap_or_else(|error| panic!("mode {number}: {file}: {error}"));
        let is_there = text.contains(&format!("fn {test}("));
        assert!(is_there, "mode {number}: {file}: no {test}");
    }
}

/// The table of the modes for `docs/faults.md`.
fn page() -> String {
    let mut page = "| | mode | seen | what a driver does | brought about by | shown |\n\
                    |---|---|---|---|---|---|\n"
        .to_owned();
    for (number, mode) in modes() {
        let by = rule(&mode);
        let shown = match mode.shown {
            Shown::By(By::Survives) => "survives".to_owned(),
            Shown::By(By::Fails) => "fails the request".to_owned(),
            Shown::Reported(checks) => format!("reported: {}", checks.join(", ")),
            Shown::Elsewhere { file, test } => format!("`{test}` in {file}"),
        };
        let Mode {
            name, case, duty, ..
        } = mode;
        let _ = writeln!(
            page,
            "| {number} | {name} | {case} | {duty} | {by} | {shown} |"
        );
    }
    page
}

/// What brings a mode about, in one line.
fn rule(mode: &Mode) -> String {
    let parts = [&mode.faults, &mode.card, &mode.workload];
    let lines = parts.iter().flat_map(|part| part.lines());
    let lines = lines.filter(|line| *line != "[[fault]]" && !line.is_empty());
    let lines: Vec<String> = lines.map(|line| format!("`{line}`")).collect();
    lines.join("<br>")
}

#[test]
fn the_page_lists_every_mode() {
    let path = root().join("docs/faults.md");
    let text = std::fs::read_to_string(&path).expect("docs/faults.md");
    let (begin, end) = ("<!-- begin modes -->\n", "<!-- end modes -->");
    let (head, rest) = text.split_once(begin).expect("where the table begins");
    let (table, tail) = rest.split_once(end).expect("where the table ends");
    let page = page();
    if std::env::var_os("UPDATE_FAULTS").is_some() {
        let text = format!("{head}{begin}{page}{end}{tail}");
        std::fs::write(&path, text).expect("docs/faults.md written");
    } else {
        assert!(
            table == page,
            "docs/faults.md is old: run this test with UPDATE_FAULTS=1"
        );
    }
}

#[test]
fn a_machine_without_a_card_and_one_with_64_work() {
    for cards in [0, 1, 64] {
        let text = format!(
            "name = \"many\"\n{}[workload]\npieces = 300\nconsumers = 128\n\
             sizes = [{{ bytes = 512 }}]\nsuites = [\"aes-256-gcm\"]\n",
            "[[card]]\nring_entries = 16\n".repeat(cards)
        );
        let scenario = Scenario::from_toml(&text, "modes.rs").expect("a scenario");
        let outcome = run(&scenario, 3);
        assert!(outcome.passed(), "{cards}: {:#?}", outcome.violations);
        assert_eq!(outcome.summary.pieces, 300, "{cards} cards");
    }
}
