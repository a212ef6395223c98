//! A sweep: one scenario under many seeds.
//!
//! Seeds are independent runs, so they are dealt to threads; results come out in order of seed
//! whatever the threads do, and one seed's line is the same on every machine. The work can be
//! divided into shards and put together again ([`merge`]).

mod faults;
mod file;
mod group;
mod junit;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use serde::{Deserialize, Serialize};

use crate::case::{Case, Data, Signature};
use crate::coverage::Coverage;
use crate::input::{Input, InputError};
use crate::outcome::Outcome;
use crate::scenario::Scenario;
use crate::world::RunOptions;

pub use faults::{FaultTotal, fault_totals};
pub use file::{Header, ReadError, Sweep, merge};
pub use group::{Group, groups};
pub use junit::junit;

/// What a sweep runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// The scenario.
    pub scenario: Scenario,
    /// What consumers process.
    pub data: Data,
    /// First seed.
    pub first: u64,
    /// Number of seeds of all shards together.
    pub count: u64,
    /// Which shard, from 1.
    pub shard: u64,
    /// Number of shards.
    pub shards: u64,
    /// Whether to follow the states in which faults strike.
    pub coverage: bool,
}

impl Plan {
    /// The case of one seed.
    #[must_use]
    pub fn case(&self, seed: u64) -> Case {
        Case {
            scenario: self.scenario.clone(),
            seed,
            data: self.data.clone(),
            exhibit: None,
        }
    }
}

/// How one seed ended: a line of a results file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SeedResult {
    /// The seed.
    pub seed: u64,
    /// Digest of every event, 16 hexadecimal digits; empty if the run could not begin.
    pub digest: String,
    /// Events.
    pub events: u64,
    /// Requests called back.
    pub requests: u64,
    /// Of each fault of the scenario, how often it was armed, fired and observed; see
    /// [`FaultSummary`](crate::outcome::FaultSummary).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<[u64; 3]>,
    /// In which states faults struck, if the sweep follows that.
    #[serde(default, skip_serializing_if = "Coverage::is_empty")]
    pub coverage: Coverage,
    /// What was found first, if anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
}

/// What was found in a seed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Failures with the same signature are taken for the same failure.
    pub signature: String,
    /// What was seen and what was expected.
    pub message: String,
}

impl SeedResult {
    fn new(seed: u64, outcome: &Outcome) -> Self {
        let finding = outcome.violations.first().map(|violation| Finding {
            signature: Signature::of(violation).to_string(),
            message: violation.message.clone(),
        });
        let faults = outcome.summary.faults.iter();
        let faults = faults.map(|fault| [fault.armed, fault.fired, fault.observed]);
        Self {
            seed,
            digest: outcome.summary.digest.clone(),
            events: outcome.summary.events,
            requests: outcome.summary.requests,
            faults: faults.collect(),
            coverage: outcome.coverage.clone().unwrap_or_default(),
            finding,
        }
    }

    /// A run that could not begin is a failure too.
    fn not_begun(seed: u64, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message += &format!(": {error}");
            cause = error.source();
        }
        Self {
            seed,
            digest: String::new(),
            events: 0,
            requests: 0,
            faults: Vec::new(),
            coverage: Coverage::default(),
            finding: Some(Finding {
                signature: "set-up".to_owned(),
                message,
            }),
        }
    }
}

/// Runs the seeds of `plan` but for the first `done` ones on `jobs` threads, and hands each result
/// to `take` in order of seed, until that says that it is enough.
///
/// # Errors
/// [`InputError`] if the data cannot be read.
pub fn run(
    plan: &Plan,
    done: u64,
    jobs: NonZero<u16>,
    take: &mut dyn FnMut(SeedResult) -> ControlFlow<()>,
) -> Result<(), InputError> {
    let input = plan.data.read()?;
    let header = Header::of(plan);
    let (next, is_enough) = (AtomicU64::new(done), AtomicBool::new(false));
    let jobs = usize::from(jobs.get());
    let (sender, results) = mpsc::sync_channel(jobs * 64);
    thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let due = || {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let seed = header.seed(number)?;
                (!is_enough.load(Ordering::Relaxed)).then_some((number, seed))
            };
            let input = &input;
            scope.spawn(move || work(plan, input, due, &sender));
        }
        drop(sender);
        in_order(done, &results, take);
        is_enough.store(true, Ordering::Relaxed);
        // Who waits for room in the channel is let go.
        drop(results);
    });
    Ok(())
}

type Numbered = (u64, SeedResult);

/// One thread: takes the next seed as long as one is `due`.
fn work(
    plan: &Plan,
    input: &Input,
    due: impl Fn() -> Option<(u64, u64)>,
    sender: &mpsc::SyncSender<Numbered>,
) {
    while let Some((number, seed)) = due() {
        let options = RunOptions {
            coverage: plan.coverage,
            ..RunOptions::new(seed, input.clone())
        };
        let result = match plan.case(seed).run_as(&options) {
            Ok(outcome) => SeedResult::new(seed, &outcome),
            Err(error) => SeedResult::not_begun(seed, &error),
        };
        if sender.send((number, result)).is_err() {
            break;
        }
    }
}

/// Takes results in order of their number, from `due` on.
fn in_order(
    mut due: u64,
    results: &mpsc::Receiver<Numbered>,
    take: &mut dyn FnMut(SeedResult) -> ControlFlow<()>,
) {
    let mut early = BTreeMap::new();
    for (number, result) in results {
        early.insert(number, result);
        while let Some(result) = early.remove(&due) {
            due += 1;
            if take(result).is_break() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests;
