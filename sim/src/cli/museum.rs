//! `ringside museum`: real bugs, switched on and found.

use std::fs;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;

use clap::Args;
use exhibit::Exhibit;
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{CliError, STATUS_FAILED, print, unwritten};
use crate::museum::{self, Effort, Row};

/// Events that shrinking may take for one bug.
const SHRINK: u64 = 4_000_000;
/// Runs of one bug.
const SEEDS: u64 = 400;

const EXAMPLES: &str = "\
Examples:
  cargo run --release -p sim --features museum -- museum
  ringside museum --only lost-unblock --out replays
  ringside replay replays/lost-unblock.toml

Exit status:
  0  every bug was found
  1  a bug was not found
  2  no museum: bad usage, a program built without it, or nowhere to write";

/// Switch real bugs on, one by one, and find each with the scenarios and checkers of every run
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Museum {
    /// Look for this bug only; may be given again
    #[arg(long, value_name = "BUG", value_parser = named)]
    only: Vec<Exhibit>,
    /// Most runs of one bug
    #[arg(long, value_name = "N", default_value_t = SEEDS)]
    seeds: u64,
    /// Events to spend on making one replay small
    #[arg(long, value_name = "N", default_value_t = SHRINK)]
    budget: u64,
    /// Threads [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZero<u16>>,
    /// Write a replay file for each bug into this folder
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Print the table as Markdown
    #[arg(long, conflicts_with = "json")]
    markdown: bool,
}

fn named(name: &str) -> Result<Exhibit, String> {
    Exhibit::named(name).ok_or_else(|| {
        let names: Vec<&str> = Exhibit::ALL.iter().map(|it| it.name()).collect();
        format!("no such bug; there are {}", names.join(", "))
    })
}

impl Museum {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let exhibits = match self.only.is_empty() {
            true => Exhibit::ALL,
            false => &self.only,
        };
        let processors = available_parallelism().map_or(1, NonZero::get);
        let processors = u16::try_from(processors).ok().and_then(NonZero::new);
        let effort = Effort {
            seeds: self.seeds,
            shrink: self.budget,
            jobs: self.jobs.or(processors).unwrap_or(NonZero::<u16>::MIN),
        };
        if let Some(folder) = &self.out {
            fs::create_dir_all(folder).map_err(|source| unwritten(folder, source))?;
        }
        let target = ProgressDrawTarget::stderr();
        let bar = ProgressBar::with_draw_target(Some(exhibits.len() as u64), target);
        let (mut rows, mut trouble) = (Vec::new(), None);
        let visited = museum::visit(exhibits, effort, &mut |row| {
            bar.inc(1);
            let written = self
                .out
                .as_deref()
                .map_or(Ok(()), |folder| write(folder, &row));
            rows.push(row);
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    trouble = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        bar.finish_and_clear();
        visited.map_err(|closed| CliError::Case(Box::new(closed)))?;
        if let Some(error) = trouble {
            return Err(error);
        }
        print(&match (self.json, self.markdown) {
            (true, _) => museum::json(&rows),
            (_, true) => museum::markdown(&rows),
            _ => museum::text(&rows),
        })?;
        let is_complete = rows.iter().all(|row| row.found.is_some());
        let status = if is_complete { 0 } else { STATUS_FAILED };
        Ok(ExitCode::from(status))
    }
}

/// Writes the replay of a bug that was found.
fn write(folder: &Path, row: &Row) -> Result<(), CliError> {
    let Some(found) = &row.found else {
        return Ok(());
    };
    let path = folder.join(row.exhibit.name()).with_extension("toml");
    fs::write(&path, found.replay.to_toml()).map_err(|source| unwritten(&path, source))
}
