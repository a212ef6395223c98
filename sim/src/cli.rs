//! The `ringside` command line.
//!
//! Owns arguments, the terminal, files that are written and the exit status. What is run and what
//! is found belongs to `world`; how it is told, to `summary`, `report`
//! and `trace`.

mod case;
mod ctl;
mod debug;
mod guest;
mod list;
mod museum;
mod profile;
mod serve;
mod sweep;

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::datasheet::{header, svd};
use crate::input::{Input, InputError};
use crate::outcome::Outcome;
use crate::profile::{FitError, ValidateError};
use crate::scenario::{Scenario, ScenarioError};
use crate::summary::{Replay, render_json, render_text, render_verdict};
use crate::sweep::ReadError;
use crate::world::{self, RunOptions, SetupError};
use crate::{coverage, report, trace, wave};

/// Seed of a run that names none.
const DEFAULT_SEED: u64 = 1;

/// Exit status of a run in which a check or an expectation did not hold.
const STATUS_FAILED: u8 = 1;
/// Exit status when there was no run: bad usage, bad input, or nowhere to write.
const STATUS_ERROR: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  ringside run failover                          pull a card out under load and put it in again
  ringside run failover --seed 7                 the same with other chance
  ringside run single --input traffic.pcap       one request for each packet payload
  ringside run mine.toml --report mine.html      a scenario of your own, with a page to look at
  ringside run failover --trace failover.json    open the trace in https://ui.perfetto.dev
  ringside run failover --waves failover.fst     open the waveforms in GTKWave or Surfer
  ringside list                                  what is built in
  ringside datasheet c > ringside_card.h         the card's registers as a C header

Exit status:
  0  every check and every expectation held
  1  a check or an expectation did not hold
  2  no run: bad usage, a mistake in a scenario, unreadable input, or nowhere to write";

#[derive(Debug, Parser)]
#[command(
    name = "ringside",
    version,
    about = "Runs emulated crypto cards, their driver and a crypto framework in virtual time",
    after_help = EXAMPLES
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and check everything that happens in it
    Run(Run),
    Sweep(sweep::SweepRun),
    Merge(sweep::Merge),
    Shrink(case::Shrink),
    Replay(case::ReplayFile),
    Explain(case::Explain),
    Debug(debug::Debug),
    Museum(museum::Museum),
    /// List the scenarios that are built in
    List(List),
    /// Print the card's registers, descriptors and codes for other tools
    Datasheet(Datasheet),
    /// Look at device profiles, fit them to measurements, hold them against measurements
    Profile(profile::Profile),
    /// Serve a card on a socket, in real time
    Serve(serve::Serve),
    /// Give orders to a card that is served
    Ctl(ctl::Ctl),
    Qemu(guest::Qemu),
    GuestCheck(guest::GuestCheck),
    GuestBench(guest::GuestBench),
}

#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
struct Run {
    /// Name of a built-in scenario, or path of a scenario file
    #[arg(value_name = "SCENARIO|FILE")]
    scenario: String,
    /// Where all chance comes from: the same seed gives the same run
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Data to process: a file, a folder, or a packet capture [default: the project's own source]
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Write an HTML page about the run
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Write every event as a trace for Perfetto
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Write registers, ring indices and interrupt lines as waveforms; the name ends in .vcd or
    /// .fst
    #[arg(long, value_name = "FILE")]
    waves: Option<PathBuf>,
    /// Write an HTML page about the states in which faults struck
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
    /// Print the verdict only
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// Colour the summary
    #[arg(long, value_name = "WHEN", default_value_t, value_enum)]
    color: Color,
}

#[derive(Args, Debug)]
struct List {
    /// Print a JSON list
    #[arg(long)]
    json: bool,
}

#[derive(Args, Debug)]
struct Datasheet {
    /// What to print
    #[arg(value_enum)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// A C99 header
    C,
    /// CMSIS-SVD, for register viewers and generators
    Svd,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Color {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    fn is_on(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let is_refused =
                    std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                !is_refused && io::stdout().is_terminal()
            }
        }
    }
}

/// Why there was no run, or none to show.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("cannot set the run up")]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Validate(#[from] ValidateError),
    #[error(transparent)]
    Fit(#[from] FitError),
    #[error("two options name {}", .0.display())]
    SameFile(PathBuf),
    #[error("--waves {}: the name of the file ends in .vcd or .fst", .0.display())]
    NoFormat(PathBuf),
    #[error("cannot write {}", path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use {}", path.display())]
    Results {
        path: PathBuf,
        #[source]
        source: ReadError,
    },
    #[error("`{0}` is a scenario: name the seed that fails with --seed")]
    NoSeed(String),
    #[error("no result")]
    Case(#[source] Box<dyn Error>),
    #[error("cannot serve a card")]
    Serve(#[source] Box<dyn Error>),
    #[error("cannot give orders on {}", path.display())]
    Control {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("no guest, or no card in it")]
    Guest(#[source] Box<dyn Error>),
    #[error("cannot write to standard output")]
    Print(#[source] io::Error),
}

/// Runs the command line of this process and returns its exit status.
#[must_use]
pub fn main() -> ExitCode {
    world::name_runs_that_panic();
    let result = match Cli::parse().command {
        Command::Run(run) => run.execute(),
        Command::List(List { json }) => print(&list::render(json)).map(|()| ExitCode::SUCCESS),
        Command::Sweep(sweep) => sweep.execute(),
        Command::Merge(merge) => merge.execute(),
        Command::Shrink(shrink) => shrink.execute(),
        Command::Replay(replay) => replay.execute(),
        Command::Explain(explain) => explain.execute(),
        Command::Debug(debug) => debug.execute(),
        Command::Museum(museum) => museum.execute(),
        Command::Datasheet(Datasheet { format }) => {
            let text = match format {
                Format::C => header::render(),
                Format::Svd => svd::render(),
            };
            print(&text).map(|()| ExitCode::SUCCESS)
        }
        Command::Profile(profile) => profile.execute(),
        Command::Serve(serve) => serve.execute(),
        Command::Ctl(ctl) => ctl.execute(),
        Command::Qemu(qemu) => qemu.execute(),
        Command::GuestCheck(check) => check.execute(),
        Command::GuestBench(bench) => bench.execute(),
    };
    result.unwrap_or_else(|error| {
        complain(&error);
        ExitCode::from(STATUS_ERROR)
    })
}

impl Run {
    fn execute(&self) -> Result<ExitCode, CliError> {
        let scenario = Scenario::find(&self.scenario)?;
        let input = self
            .input
            .as_deref()
            .map_or_else(|| Ok(Input::project()), Input::from_path)?;
        // Opened before the run: a long run that ends with nowhere to write is a run for nothing.
        let outputs = Outputs::open(self)?;
        let outcome = self.simulate(&scenario, input)?;
        let replay = Replay {
            scenario: self.scenario.clone(),
            seed: self.seed,
            input: self.input.clone(),
        };
        outputs.write(&scenario, &outcome, &replay)?;
        print(&self.tell(&outcome, &replay))?;
        let status = if outcome.passed() { 0 } else { STATUS_FAILED };
        Ok(ExitCode::from(status))
    }

    fn simulate(&self, scenario: &Scenario, input: Input) -> Result<Outcome, CliError> {
        let options = RunOptions {
            // The page about a run that fails shows what happened around its violation.
            keep_log: self.trace.is_some() || self.waves.is_some() || self.report.is_some(),
            coverage: self.coverage.is_some(),
            ..RunOptions::new(self.seed, input)
        };
        let bar = self.progress_bar(&scenario.name);
        let result = world::run(scenario, &options, &mut |progress| {
            bar.set_length(progress.total);
            bar.set_position(progress.finished);
            bar.set_message(format!("{} virtual", progress.now));
        });
        bar.finish_and_clear();
        Ok(result?)
    }

    fn progress_bar(&self, name: &str) -> ProgressBar {
        let target = if self.quiet || self.json {
            ProgressDrawTarget::hidden()
        } else {
            // Hides itself unless standard error is a terminal.
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template("{prefix} {bar:32} {percent:>3}%  {msg}")
            .expect("a template known to be right");
        ProgressBar::with_draw_target(Some(0), target)
            .with_style(style)
            .with_prefix(name.to_owned())
    }

    fn tell(&self, outcome: &Outcome, replay: &Replay) -> String {
        if self.json {
            return render_json(outcome, replay) + "\n";
        }
        let color = self.color.is_on();
        if self.quiet {
            render_verdict(outcome, color)
        } else {
            render_text(outcome, replay, color)
        }
    }
}

/// Files that a run writes.
struct Outputs<'a> {
    report: Option<(&'a Path, File)>,
    coverage: Option<(&'a Path, File)>,
    trace: Option<(&'a Path, File)>,
    waves: Option<(&'a Path, File, wave::Format)>,
}

impl<'a> Outputs<'a> {
    fn open(run: &'a Run) -> Result<Self, CliError> {
        let paths = [&run.report, &run.trace, &run.waves, &run.coverage];
        let paths: Vec<&PathBuf> = paths.into_iter().flatten().collect();
        for (index, path) in paths.iter().enumerate() {
            if paths[..index].contains(path) {
                return Err(CliError::SameFile(path.to_path_buf()));
            }
        }
        let format =
            |path: &Path| wave::Format::of(path).ok_or_else(|| CliError::NoFormat(path.to_owned()));
        let format = run.waves.as_deref().map(format).transpose()?;
        let open = |path: &'a Option<PathBuf>| {
            let open = |path: &'a PathBuf| {
                let file = File::create(path).map_err(|source| unwritten(path, source))?;
                Ok::<_, CliError>((path.as_path(), file))
            };
            path.as_ref().map(open).transpose()
        };
        Ok(Self {
            report: open(&run.report)?,
            coverage: open(&run.coverage)?,
            trace: open(&run.trace)?,
            waves: open(&run.waves)?
                .zip(format)
                .map(|((path, file), format)| (path, file, format)),
        })
    }

    fn write(
        self,
        scenario: &Scenario,
        outcome: &Outcome,
        replay: &Replay,
    ) -> Result<(), CliError> {
        if let Some((path, mut file)) = self.report {
            let page = report::render(scenario, outcome, replay);
            file.write_all(page.as_bytes())
                .map_err(|source| unwritten(path, source))?;
        }
        if let (Some((path, mut file)), Some(covered)) = (self.coverage, &outcome.coverage) {
            let page = coverage::render(&scenario.name, covered);
            file.write_all(page.as_bytes())
                .map_err(|source| unwritten(path, source))?;
        }
        if let Some((path, file)) = self.trace {
            let mut file = BufWriter::new(file);
            trace::write(&mut file, scenario, &outcome.log)
                .and_then(|()| file.flush())
                .map_err(|source| unwritten(path, source))?;
        }
        if let Some((path, file, format)) = self.waves {
            wave::write(file, format, scenario, &outcome.log)
                .map_err(|source| unwritten(path, source))?;
        }
        Ok(())
    }
}

fn unwritten(path: &Path, source: io::Error) -> CliError {
    CliError::Write {
        path: path.to_owned(),
        source,
    }
}

/// Prints `text`. A reader that has seen enough is no error.
fn print(text: &str) -> Result<(), CliError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::Print(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn complain(error: &CliError) {
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    // Nobody is left to tell if standard error is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_run_has_a_seed_even_if_none_is_named() {
        let cli = Cli::parse_from(["ringside", "run", "failover"]);
        let Command::Run(run) = cli.command else {
            panic!("not a run: {cli:?}");
        };
        assert_eq!(run.seed, DEFAULT_SEED);
        assert!(run.input.is_none() && !run.json && !run.quiet);
    }
}
