//! Any text at all as a scenario or a replay file.

use sim::case::Replay;
use sim::input::Input;
use sim::scenario::{Scenario, builtins};
use sim::world::{self, RunOptions};

use super::Story;

/// What is spliced in: words and values that the files know, and some that they should not.
const WORDS: [&str; 24] = [
    "0",
    "1",
    "-1",
    "9223372036854775807",
    "1e9",
    "true",
    "\"card0\"",
    "\"card1\"",
    "{}",
    "[]",
    "\n[[fault]]\nat_us = 1\n",
    "unplug = ",
    "latch = ",
    "message = ",
    "kind = ",
    "fate = ",
    "nth = ",
    "\n[[card]]\n",
    "ring_entries = 2\n",
    "sizes = [{ bytes = 16 }]\n",
    "percent = ",
    "\u{feff}",
    "\n[replay]\nversion = 2\n",
    "\"\"\"",
];
/// Most pieces of input that an accepted scenario is run with.
const PIECES: u64 = 12;

/// Reads a text as a scenario and as a replay: one of the built-in scenarios, edited as the bytes
/// say, or the bytes themselves. What is accepted is written and read again, and run if it is
/// small. Gives the number of requests that called back in such a run.
///
/// # Panics
/// If a complaint does not say where the mistake is, or a text that was accepted does not read back
/// as it was.
pub fn scenario(bytes: &[u8]) -> u64 {
    let mut story = Story::new(bytes);
    let text = match story.byte() {
        0xFF => String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned(),
        base => edited(usize::from(base), &mut story),
    };
    as_replay(&text);
    as_scenario(&text)
}

/// A built-in text after a few edits.
fn edited(base: usize, story: &mut Story<'_>) -> String {
    let scenarios = builtins();
    let mut text = scenarios[base % scenarios.len()].to_toml();
    if base & 0x40 != 0 {
        text += "\n[replay]\nversion = 1\nseed = 3\ndata = { noise = 4096 }\n\
                 digest = \"0123456789abcdef\"\nevents = 9\ncheck = \"order\"\nmessage = \"m\"\n";
    }
    let edits = story.byte() % 6;
    for _ in 0..edits {
        let (place, len) = (usize::from(story.half()), usize::from(story.byte() % 24));
        let start = floor(&text, place % (text.len() + 1));
        let end = floor(&text, (start + len).min(text.len()));
        let word = WORDS[usize::from(story.byte()) % WORDS.len()];
        text.replace_range(start..end.max(start), word);
    }
    text
}

/// The last boundary between characters up to `place`.
fn floor(text: &str, place: usize) -> usize {
    let mut place = place;
    while !text.is_char_boundary(place) {
        place -= 1;
    }
    place
}

fn as_scenario(text: &str) -> u64 {
    let mut scenario = match Scenario::from_toml(text, "hostile.toml") {
        Ok(scenario) => scenario,
        Err(error) => {
            assert_placed(&error.to_string());
            return 0;
        }
    };
    let written = scenario.to_toml();
    let again = Scenario::from_toml(&written, "written.toml");
    let again = again.unwrap_or_else(|error| panic!("{error}\n{written}"));
    assert_eq!(again.to_toml(), written);
    if !is_small(&scenario) {
        return 0;
    }
    scenario.cut(scenario.workload.pieces.unwrap_or(PIECES).min(PIECES));
    let options = RunOptions::new(1, Input::noise(4096));
    // That a run cannot begin is said; what its faults do to it is for its checkers.
    let outcome = world::run(&scenario, &options, &mut |_| {});
    outcome.map_or(0, |outcome| outcome.summary.requests)
}

/// Whether a run of the scenario is over soon.
fn is_small(scenario: &Scenario) -> bool {
    let workload = &scenario.workload;
    let cards = &scenario.cards;
    workload.consumers <= 64
        && workload.depth <= 64
        && workload.sizes.iter().all(|&(bytes, _)| bytes <= 1 << 16)
        && scenario.pool_len <= 64 << 20
        && scenario.faults.len() <= 64
        && cards.len() <= 4
        && cards.iter().all(|card| card.ring_entries <= 1024)
}

/// A complaint says where the mistake is: the line, or that it is the file as a whole.
fn assert_placed(complaint: &str) {
    assert!(complaint.contains("hostile.toml"), "{complaint}");
}

fn as_replay(text: &str) {
    match Replay::from_toml(text, "hostile.toml") {
        Ok(replay) => {
            let written = replay.to_toml();
            let again = Replay::from_toml(&written, "written.toml");
            assert_eq!(again.map(|it| it.to_toml()).ok(), Some(written));
        }
        Err(error) => assert_placed(&error.to_string()),
    }
}
