//! The bug museum: every bug of the catalogue is switched on, looked for and made small.
//!
//! Nothing here knows one bug from another. A handful of scenarios is run, in turn and with one
//! seed after the other, until a checker of every run finds something; then the case is shrunk as
//! any other. The same scenarios and seeds without a bug find nothing, which is looked at too.

mod table;

use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use exhibit::{Closed, Exhibit};

use crate::case::shrink::{self, ShrinkError};
use crate::case::{Case, Data, Replay, Signature};
use crate::input::Input;
use crate::scenario::Scenario;

pub use table::{Summary, described, json, markdown, text};

/// Bytes of noise that consumers process.
const NOISE: u32 = 65_536;
/// Most pieces of a run: the moments at which most goes wrong come early.
const PIECES: u64 = 800;

/// How hard to look.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// Most runs of one bug, over all scenarios.
    pub seeds: u64,
    /// Events that shrinking may take for one bug; zero leaves what was found as it is.
    pub shrink: u64,
    /// Threads.
    pub jobs: NonZero<u16>,
}

/// What became of a bug.
#[derive(Clone, Debug)]
pub struct Row {
    /// The bug.
    pub exhibit: Exhibit,
    /// Runs up to the first that a checker complained of, or all of them.
    pub seeds: u64,
    /// The case that a checker complained of, made small; `None` if none did.
    pub found: Option<Found>,
}

/// A bug that was found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The scenario in which it was found.
    pub scenario: String,
    /// The smallest case that fails in the same way.
    pub replay: Replay,
}

/// The scenarios that the bugs are looked for with, in the order in which they are tried.
///
/// # Panics
/// Never: the texts are part of the program and its tests read each.
#[must_use]
pub fn scenarios() -> Vec<Scenario> {
    let built_in = |name: &&str| Scenario::builtin(name).expect("a built-in scenario");
    let own = [
        ("patient", include_str!("patient.toml")),
        ("mishaps", include_str!("mishaps.toml")),
        ("seldom", include_str!("seldom.toml")),
    ];
    let own = own.map(|(name, text)| match Scenario::from_toml(text, name) {
        Ok(scenario) => scenario,
        Err(error) => panic!("scenario {name}: {error}"),
    });
    let built_in = BUILT_IN.iter().map(built_in);
    let mut all: Vec<Scenario> = own.into_iter().chain(built_in).collect();
    for scenario in &mut all {
        scenario.cut(scenario.workload.pieces.unwrap_or(PIECES).min(PIECES));
    }
    all
}

const BUILT_IN: [&str; 5] = [
    "failover-brief",
    "backpressure",
    "migrate-under-load",
    "errata",
    "unplug-storm",
];

/// Runs `exhibit`, or the code as it is, with up to `seeds` seeds; gives the number of runs and the
/// first case of which a checker complained.
fn search(exhibit: Option<Exhibit>, seeds: u64, scenarios: &[Scenario]) -> (u64, Option<Case>) {
    let input = Input::noise(NOISE as usize);
    for run in 0..seeds {
        let at = (run % scenarios.len() as u64) as usize;
        let case = Case {
            scenario: scenarios[at].clone(),
            seed: run / scenarios.len() as u64 + 1,
            data: Data::Noise(NOISE),
            exhibit,
        };
        // What cannot begin shows nothing to a checker.
        let Ok(outcome) = case.run(&input, false) else {
            continue;
        };
        if Signature::first(&outcome).is_some() {
            return (run + 1, Some(case));
        }
    }
    (seeds, None)
}

/// Looks for one bug.
fn look_for(exhibit: Exhibit, effort: Effort, scenarios: &[Scenario]) -> Row {
    let (seeds, case) = search(Some(exhibit), effort.seeds, scenarios);
    let found = case.and_then(|case| {
        let scenario = case.scenario.name.clone();
        let replay = keep(case, effort.shrink).ok()?;
        Some(Found { scenario, replay })
    });
    Row {
        exhibit,
        seeds,
        found,
    }
}

/// The replay of a case that fails, as small as it gets with `budget` events.
fn keep(case: Case, budget: u64) -> Result<Replay, ShrinkError> {
    let (replay, _) = shrink::shrink(case, budget, &mut |_, _| {})?;
    Ok(replay)
}

/// Looks for each of `exhibits`, and hands the rows to `take` in their order, until that says that
/// it is enough.
///
/// # Errors
/// [`Closed`] if this program was built without the bugs.
pub fn visit(
    exhibits: &[Exhibit],
    effort: Effort,
    take: &mut dyn FnMut(Row) -> ControlFlow<()>,
) -> Result<(), Closed> {
    if let Some(exhibit) = exhibits.first() {
        let _ = exhibit.show()?;
    }
    let scenarios = scenarios();
    let next = AtomicUsize::new(0);
    let (sender, rows) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..effort.jobs.get() {
            let (sender, next, scenarios) = (sender.clone(), &next, &scenarios);
            scope.spawn(move || {
                while let Some((at, &exhibit)) = due(next, exhibits) {
                    if sender
                        .send((at, look_for(exhibit, effort, scenarios)))
                        .is_err()
                    {
                        break;
                    }
                }
            });
        }
        drop(sender);
        let mut early: Vec<Option<Row>> = vec![None; exhibits.len()];
        let mut told = 0;
        for (at, row) in rows {
            early[at] = Some(row);
            while let Some(row) = early.get_mut(told).and_then(Option::take) {
                told += 1;
                if take(row).is_break() {
                    next.store(exhibits.len(), Ordering::Relaxed);
                }
            }
        }
    });
    Ok(())
}

fn due<'a>(next: &AtomicUsize, exhibits: &'a [Exhibit]) -> Option<(usize, &'a Exhibit)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((at, exhibits.get(at)?))
}

/// Runs the code as it is with `seeds` seeds; gives what a checker complained of, which would be no
/// exhibit's fault.
#[must_use]
pub fn control(seeds: u64) -> Option<Case> {
    search(None, seeds, &scenarios()).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_found_in_the_code_as_it_is() {
        let found = control(3 * scenarios().len() as u64);
        let found = found.map(|case| (case.scenario.name, case.seed));
        assert_eq!(found, None);
    }
}
