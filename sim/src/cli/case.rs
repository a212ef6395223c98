//! `ringside shrink`, `replay` and `explain`: a failing run made small, run again and told.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::ProgressBar;

use super::{CliError, STATUS_FAILED, print, unwritten};
use crate::case::shrink::{self, Effort, ShrinkError};
use crate::case::{Case, Data, Replay, story};
use crate::scenario::Scenario;
use crate::summary::units::counted;

/// Events that a case may take to get small: some ten seconds.
const BUDGET: u64 = 40_000_000;

/// Which case an order is about.
#[derive(Args, Debug)]
pub(super) struct Chosen {
    /// Name of a built-in scenario, path of a scenario file, or a replay file
    #[arg(value_name = "SCENARIO|FILE")]
    scenario: String,
    /// The seed that fails; a replay file has its own
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Data to process [default: noise, as in a sweep; if nothing fails with that, the project's
    /// own source, as in a run]
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
}

/// Reduce a failing run to a replay file that fits on a screen
#[derive(Args, Debug)]
pub(super) struct Shrink {
    #[command(flatten)]
    chosen: Chosen,
    /// Where the replay goes [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Events to spend on it
    #[arg(long, value_name = "N", default_value_t = BUDGET)]
    budget: u64,
}

/// Run a replay file, and say whether it is still the same run
#[derive(Args, Debug)]
pub(super) struct ReplayFile {
    /// The replay file
    file: PathBuf,
}

/// Tell the story of a replay file in sentences
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The replay file
    file: PathBuf,
}

impl Chosen {
    pub(super) fn case(&self) -> Result<Case, CliError> {
        // A replay file may be made smaller still.
        let case = match self.seed {
            None if Scenario::builtin(&self.scenario).is_some() => {
                return Err(CliError::NoSeed(self.scenario.clone()));
            }
            None => Replay::from_file(self.scenario.as_ref())?.case,
            Some(seed) => Case {
                scenario: Scenario::find(&self.scenario)?,
                seed,
                data: Data::Noise(super::sweep::NOISE),
                exhibit: None,
            },
        };
        let data = self.input.clone().map(Data::Path);
        Ok(Case {
            data: data.unwrap_or(case.data.clone()),
            ..case
        })
    }
}

impl Shrink {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let bar = ProgressBar::new_spinner();
        let mut progress = |case: &Case, effort: Effort| {
            let faults = counted(case.scenario.faults.len() as u64, "fault");
            let pieces = counted(case.scenario.workload.pieces.unwrap_or(0), "piece");
            let runs = counted(effort.runs, "run");
            bar.set_message(format!("{faults}, {pieces} after {runs}"));
            bar.tick();
        };
        let case = self.chosen.case()?;
        let mut shrunk = shrink::shrink(case.clone(), self.budget, &mut progress);
        let Chosen { seed, input, .. } = &self.chosen;
        if let (Err(ShrinkError::Passes { .. }), Some(_), None) = (&shrunk, seed, input) {
            let data = Data::Project;
            shrunk = shrink::shrink(Case { data, ..case }, self.budget, &mut progress);
        }
        let (replay, effort) = shrunk.map_err(|error| CliError::Case(Box::new(error)))?;
        bar.finish_and_clear();
        let text = replay.to_toml();
        let Some(path) = &self.out else {
            print(&text)?;
            return Ok(ExitCode::SUCCESS);
        };
        fs::write(path, &text).map_err(|source| unwritten(path, source))?;
        let lines = counted(text.lines().count() as u64, "line");
        let runs = counted(effort.runs, "run");
        let message = &replay.message;
        let path = path.display();
        print(&format!(
            "{path}: {lines} after {runs}\n{}: {message}\nringside replay {path}\n",
            replay.check
        ))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a replay and runs it, with its log.
fn run_again(file: &std::path::Path) -> Result<(Replay, crate::outcome::Outcome), CliError> {
    let replay = Replay::from_file(file)?;
    let outcome = replay.case.run(&replay.case.data.read()?, true)?;
    Ok((replay, outcome))
}

impl ReplayFile {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let (replay, outcome) = run_again(&self.file)?;
        let summary = &outcome.summary;
        let events = counted(summary.events, "event");
        let (verdict, status) = if replay.is_same(&outcome) {
            ("SAME   to the bit", ExitCode::SUCCESS)
        } else if replay.signature().is_in(&outcome) {
            (
                "OTHER  another course, the same failure",
                STATUS_FAILED.into(),
            )
        } else {
            ("GONE   the failure does not happen", STATUS_FAILED.into())
        };
        let mut text = String::new();
        for violation in &outcome.violations {
            text += &format!("{}: {}\n", violation.check, violation.message);
        }
        let (kept, now) = (&replay.digest, &summary.digest);
        text += &format!(
            "{verdict}: digest {now} after {events}, kept {kept} after {}\n",
            replay.events
        );
        print(&text)?;
        Ok(status)
    }
}

impl Explain {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let (replay, outcome) = run_again(&self.file)?;
        print(&story::tell(&replay, &outcome))?;
        let is_told = replay.signature().is_in(&outcome);
        let status = if is_told { 0 } else { STATUS_FAILED };
        Ok(ExitCode::from(status))
    }
}
