//! `ringside sweep` and `merge`: many seeds, and shards of them put together.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek, Write};
use std::num::NonZero;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::thread::available_parallelism;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{CliError, STATUS_FAILED, print, unwritten};
use crate::case::Data;
use crate::coverage;
use crate::scenario::Scenario;
use crate::summary::units::{count, counted};
use crate::sweep::{
    self, FaultTotal, Header, Plan, ReadError, SeedResult, Sweep, fault_totals, groups, junit,
};

/// Bytes of noise that the consumers of a sweep process.
pub(super) const NOISE: u32 = 65_536;
/// Most threads.
const MAX_JOBS: i64 = 1024;

const EXAMPLES: &str = "\
Examples:
  ringside sweep failover-brief --seeds 0..10000
  ringside sweep mine.toml --seeds 0..100000 --out all.jsonl --junit all.xml
  ringside sweep mine.toml --seeds 0..100000 --out all.jsonl --resume
  ringside sweep mine.toml --seeds 0..100000 --shard 3/16 --out 3.jsonl
  ringside sweep swarm --seeds 0..1000 --coverage swarm.html
  ringside merge *.jsonl --out all.jsonl

Exit status:
  0  no seed failed
  1  a seed failed
  2  no sweep: bad usage, a mistake in a scenario, or nowhere to write";

/// Run a scenario under many seeds
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct SweepRun {
    /// Name of a built-in scenario, or path of a scenario file
    #[arg(value_name = "SCENARIO|FILE")]
    scenario: String,
    /// First seed, and the one after the last
    #[arg(long, value_name = "A..B", default_value = "0..1000")]
    seeds: Seeds,
    /// Threads, 1 to 1024 [default: as many as there are processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=MAX_JOBS))]
    jobs: Option<u16>,
    /// Only every Nth seed, from the Kth
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    shard: Shard,
    /// Pieces of input, in place of what the scenario says
    #[arg(long, value_name = "N")]
    pieces: Option<u64>,
    /// Data to process [default: noise]
    #[arg(long, value_name = "PATH")]
    input: Option<PathBuf>,
    /// Stop at the first seed that fails
    #[arg(long)]
    fail_fast: bool,
    /// Write results, a JSON line for each seed
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on with the file of an interrupted sweep
    #[arg(long, requires = "out")]
    resume: bool,
    /// Write results for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write an HTML page about the states in which faults struck
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
}

/// Put the results of all shards of a sweep together
#[derive(Args, Debug)]
pub(super) struct Merge {
    /// Results of the shards
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the results of all seeds
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write results for CI
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write an HTML page about the states in which faults struck; the shards were run with this
    /// option too
    #[arg(long, value_name = "FILE")]
    coverage: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug)]
struct Seeds {
    first: u64,
    count: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected two numbers, the first below the second: 0..1000".to_owned();
        let (first, end) = text.split_once("..").ok_or_else(expected)?;
        let number = |text: &str| text.replace('_', "").parse::<u64>().map_err(|_| expected());
        let (first, end) = (number(first)?, number(end)?);
        let count = end.checked_sub(first).filter(|&count| count > 0);
        let count = count.ok_or_else(expected)?;
        Ok(Self { first, count })
    }
}

#[derive(Clone, Copy, Debug)]
struct Shard {
    at: u64,
    of: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "expected which one of how many: 3/16".to_owned();
        let (at, of) = text.split_once('/').ok_or_else(expected)?;
        let number = |text: &str| text.parse::<u64>().map_err(|_| expected());
        let (at, of) = (number(at)?, number(of)?);
        if at == 0 || at > of {
            return Err(expected());
        }
        Ok(Self { at, of })
    }
}

impl SweepRun {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let plan = self.plan()?;
        let header = Header::of(&plan);
        let (mut sweep, mut out) = self.begin(&header)?;
        let bar = progress_bar(header.len());
        bar.set_position(sweep.results.len() as u64);
        let mut trouble = None;
        let mut failed = sweep
            .results
            .iter()
            .filter(|it| it.finding.is_some())
            .count() as u64;
        let may_go_on = |failed: u64| failed == 0 || !self.fail_fast;
        if may_go_on(failed) {
            sweep::run(
                &plan,
                sweep.results.len() as u64,
                self.jobs(),
                &mut |result| {
                    bar.inc(1);
                    failed += u64::from(result.finding.is_some());
                    bar.set_message(format!("{failed} failed"));
                    if let Some(file) = &mut out
                        && let Err(error) = file.write_all(result.line().as_bytes())
                    {
                        trouble = Some(error);
                        return ControlFlow::Break(());
                    }
                    sweep.results.push(result);
                    match may_go_on(failed) {
                        true => ControlFlow::Continue(()),
                        false => ControlFlow::Break(()),
                    }
                },
            )?;
        }
        bar.finish_and_clear();
        if let (Some(error), Some(path)) = (trouble, &self.out) {
            return Err(unwritten(path, error));
        }
        write_coverage(&sweep, self.coverage.as_deref())?;
        report(&self.scenario, &sweep, self.junit.as_deref())
    }

    fn jobs(&self) -> NonZero<u16> {
        let processors = available_parallelism().map_or(1, NonZero::get);
        let jobs = self
            .jobs
            .map_or(processors.min(MAX_JOBS as usize), usize::from);
        u16::try_from(jobs)
            .ok()
            .and_then(NonZero::new)
            .unwrap_or(NonZero::<u16>::MIN)
    }

    fn plan(&self) -> Result<Plan, CliError> {
        let mut scenario = Scenario::find(&self.scenario)?;
        if self.pieces.is_some() {
            scenario.workload.pieces = self.pieces;
        }
        Ok(Plan {
            scenario,
            data: self.input.clone().map_or(Data::Noise(NOISE), Data::Path),
            first: self.seeds.first,
            count: self.seeds.count,
            shard: self.shard.at,
            shards: self.shard.of,
            coverage: self.coverage.is_some(),
        })
    }

    /// What there is already, and the file that takes what is to come.
    fn begin(&self, header: &Header) -> Result<(Sweep, Option<File>), CliError> {
        let nothing = Sweep {
            header: header.clone(),
            results: Vec::new(),
            whole: 0,
        };
        let Some(path) = &self.out else {
            return Ok((nothing, None));
        };
        if self.resume && path.exists() {
            let there = read(path)?;
            if there.header != *header {
                let other = "it is of another sweep: scenario, data, seeds or shard differ";
                return Err(unusable(path, ReadError::Merge(other.to_owned())));
            }
            let reopen = || {
                let mut file = OpenOptions::new().write(true).open(path)?;
                // A line that was interrupted is written anew.
                file.set_len(there.whole)?;
                file.seek(io::SeekFrom::End(0))?;
                Ok(file)
            };
            let file = reopen().map_err(|source| unwritten(path, source))?;
            return Ok((there, Some(file)));
        }
        let create = || {
            let mut file = File::create(path)?;
            file.write_all(header.line().as_bytes())?;
            Ok(file)
        };
        let file = create().map_err(|source| unwritten(path, source))?;
        Ok((nothing, Some(file)))
    }
}

impl Merge {
    pub(super) fn execute(&self) -> Result<ExitCode, CliError> {
        let shards = self.files.iter().map(|path| read(path));
        let shards = shards.collect::<Result<Vec<Sweep>, CliError>>()?;
        let merged = sweep::merge(shards).map_err(|error| CliError::Case(Box::new(error)))?;
        if let Some(path) = &self.out {
            fs::write(path, merged.text()).map_err(|source| unwritten(path, source))?;
        }
        write_coverage(&merged, self.coverage.as_deref())?;
        report("the sweep", &merged, self.junit.as_deref())
    }
}

fn read(path: &Path) -> Result<Sweep, CliError> {
    let file = File::open(path).map_err(|error| unusable(path, error.into()))?;
    Sweep::read(BufReader::new(file)).map_err(|error| unusable(path, error))
}

fn unusable(path: &Path, source: ReadError) -> CliError {
    CliError::Results {
        path: path.to_owned(),
        source,
    }
}

/// The page about the states in which faults struck, if there is a path for it. Its name is that of
/// the scenario, so that shards put together have the page of the sweep in one piece.
fn write_coverage(sweep: &Sweep, path: Option<&Path>) -> Result<(), CliError> {
    let Some(path) = path else {
        return Ok(());
    };
    let Some(coverage) = sweep.coverage() else {
        let without = "the sweep was run without --coverage".to_owned();
        return Err(CliError::Case(Box::new(ReadError::Merge(without))));
    };
    let scenario = Scenario::from_toml(&sweep.header.scenario, "the sweep").ok();
    let name = scenario.map_or_else(|| "the sweep".to_owned(), |it| it.name);
    fs::write(path, coverage::render(&name, &coverage)).map_err(|source| unwritten(path, source))
}

/// What a sweep found, for people, and for CI if there is a path.
fn report(name: &str, sweep: &Sweep, xml: Option<&Path>) -> Result<ExitCode, CliError> {
    if let Some(path) = xml {
        fs::write(path, junit(name, sweep)).map_err(|source| unwritten(path, source))?;
    }
    let results = &sweep.results;
    let failed = results.iter().filter(|it| it.finding.is_some()).count();
    let sum = |of: fn(&SeedResult) -> u64| results.iter().map(of).sum::<u64>();
    let (requests, events) = (sum(|it| it.requests), sum(|it| it.events));
    let mut text = String::new();
    for group in groups(results.iter()) {
        let seeds: Vec<String> = group.seeds.iter().map(u64::to_string).collect();
        text += &format!(
            "{} failed: {}\n  seeds {}{}\n  {}\n",
            counted(group.count, "seed"),
            group.signature,
            seeds.join(", "),
            if group.count > seeds.len() as u64 {
                ", ..."
            } else {
                ""
            },
            group.message
        );
    }
    for (number, total) in (1..).zip(fault_totals(sweep)) {
        let FaultTotal {
            fault,
            armed,
            fired,
            observed,
        } = total;
        let [armed, fired, observed] = [armed, fired, observed].map(count);
        text += &format!(
            "fault {number}: armed in {armed}, fired in {fired}, observed in {observed} of the \
             seeds; {fault}\n"
        );
    }
    let verdict = if failed == 0 { "PASSED" } else { "FAILED" };
    text += &format!(
        "{verdict}  {name}: {} of {} failed; {} requests, {} events\n",
        count(failed as u64),
        counted(results.len() as u64, "seed"),
        count(requests),
        count(events),
    );
    print(&text)?;
    Ok(ExitCode::from(if failed == 0 { 0 } else { STATUS_FAILED }))
}

fn progress_bar(len: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:32} {pos}/{len} {per_sec} {eta} left  {msg}")
        .expect("a template known to be right");
    ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr()).with_style(style)
}
