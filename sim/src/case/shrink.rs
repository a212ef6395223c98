//! A failing case made small: what is left fails in the same way and can be read.
//!
//! Takes things away, one kind after the other, as long as the failure stays: faults, requests,
//! consumers, cards, sizes, chance. A candidate that draws other numbers takes another course, so
//! a failure that hangs on one interleaving would be lost at the first step; each candidate is
//! tried with a few seeds. Works until nothing more can be taken away, or a budget of events is
//! spent; no clock has a say, so a case shrinks to the same one on every machine.

use timebase::{Span, Time};

use super::{Case, Data, Replay, Signature};
use crate::input::{Input, InputError};
use crate::outcome::Outcome;
use crate::rule::Rule;
use crate::scenario::{Action, FaultSpec, Placement, Scenario, Trigger, builtin_profile};
use crate::world::SetupError;

/// Bytes of noise that a small case takes for its input.
const NOISE: u32 = 65_536;
/// Seeds that each candidate is tried with, besides its own.
const SEEDS: u64 = 6;
/// Largest seed of a case that is done: a small number is easier to read.
const SMALL_SEED: u64 = 64;

/// How far the work is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Effort {
    /// Candidates that ran.
    pub runs: u64,
    /// Events of all of them.
    pub events: u64,
}

/// Why a case was not made small.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// The data cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The case itself does not run.
    #[error("cannot set the run up")]
    Setup(#[from] SetupError),
    /// The case does not fail.
    #[error("no check finds anything in `{scenario}` with seed {seed}: there is nothing to shrink")]
    Passes {
        /// Name of the scenario.
        scenario: String,
        /// The seed.
        seed: u64,
    },
}

/// Makes `case` as small as it gets with `budget` events, and gives the replay of what is left.
/// `progress` hears of every candidate that is smaller and still fails.
///
/// # Errors
/// [`ShrinkError`] if the case does not run, or does not fail.
pub fn shrink(
    case: Case,
    budget: u64,
    progress: &mut dyn FnMut(&Case, Effort),
) -> Result<(Replay, Effort), ShrinkError> {
    let input = case.data.read()?;
    let outcome = case.run(&input, false)?;
    let Some(target) = Signature::first(&outcome) else {
        return Err(ShrinkError::Passes {
            scenario: case.scenario.name,
            seed: case.seed,
        });
    };
    let mut work = Work {
        target,
        best: case,
        outcome,
        input,
        effort: Effort::default(),
        budget,
        progress,
    };
    work.noise();
    while work.pass() {}
    work.seed();
    let replay = Replay::new(work.best, &work.outcome).expect("the best case fails");
    Ok((replay, work.effort))
}

struct Work<'a> {
    target: Signature,
    best: Case,
    /// How the best case ended.
    outcome: Outcome,
    input: Input,
    effort: Effort,
    budget: u64,
    progress: &'a mut dyn FnMut(&Case, Effort),
}

impl Work<'_> {
    fn is_spent(&self) -> bool {
        self.effort.events >= self.budget
    }

    /// Runs `case`; takes it for the best one if it fails as it should.
    fn take(&mut self, case: Case) -> bool {
        if self.is_spent() {
            return false;
        }
        self.effort.runs += 1;
        // What cannot begin does not fail as it should.
        let Ok(outcome) = case.run(&self.input, false) else {
            return false;
        };
        self.effort.events += outcome.summary.events;
        if !self.target.is_in(&outcome) {
            return false;
        }
        (self.progress)(&case, self.effort);
        (self.best, self.outcome) = (case, outcome);
        true
    }

    /// Tries the best case with `change`, under a few seeds.
    fn attempt(&mut self, change: impl FnOnce(&mut Scenario)) -> bool {
        let mut scenario = self.best.scenario.clone();
        change(&mut scenario);
        if scenario == self.best.scenario {
            return false;
        }
        let own = self.best.seed;
        std::iter::once(own).chain(1..=SEEDS).any(|seed| {
            let scenario = scenario.clone();
            self.take(Case {
                scenario,
                seed,
                data: self.best.data.clone(),
                exhibit: self.best.exhibit,
            })
        })
    }

    /// Other bytes rarely matter, and noise needs no file.
    fn noise(&mut self) {
        if let Data::Noise(_) = self.best.data {
            return;
        }
        let given = std::mem::replace(&mut self.input, Input::noise(NOISE as usize));
        let pieces = self.outcome.summary.requests.max(1);
        let mut case = self.best.clone();
        case.data = Data::Noise(NOISE);
        case.scenario.workload.pieces.get_or_insert(pieces);
        if !self.take(case) {
            self.input = given;
        }
    }

    /// Tries everything once; whether anything helped.
    fn pass(&mut self) -> bool {
        let before = self.best.clone();
        self.expectations();
        self.pieces();
        self.faults();
        self.certain();
        self.moments();
        self.times();
        self.consumers();
        self.sizes();
        self.cards();
        self.chance();
        self.latches();
        self.best != before && !self.is_spent()
    }

    fn expectations(&mut self) {
        self.attempt(|scenario| scenario.description.clear());
        self.attempt(|scenario| scenario.expect.clear());
        for index in (0..self.best.scenario.expect.len()).rev() {
            self.attempt(|scenario| {
                scenario.expect.remove(index);
            });
        }
    }

    /// No more requests than it takes.
    fn pieces(&mut self) {
        // A file of the user's is processed as a whole, whatever the scenario says.
        if let Data::Path(_) = self.best.data {
            return;
        }
        // Whatever comes after the violation is not needed.
        let needed = self.outcome.summary.requests + u64::from(self.best.scenario.workload.depth);
        let all = self.best.scenario.workload.pieces.unwrap_or(u64::MAX);
        if needed < all {
            self.attempt(|scenario| scenario.workload.pieces = Some(needed));
        }
        self.least(
            1,
            |scenario| scenario.workload.pieces.unwrap_or(u64::MAX),
            |scenario, value| scenario.workload.pieces = Some(value),
        );
    }

    /// Makes a number as small as it gets, but not below `low`.
    fn least(
        &mut self,
        low: u64,
        get: impl Fn(&Scenario) -> u64,
        set: impl Fn(&mut Scenario, u64),
    ) {
        let mut low = low;
        let mut high = get(&self.best.scenario);
        // A step down from the bottom first: most numbers do not matter at all.
        let mut next = low;
        while low < high {
            if self.attempt(|scenario| set(scenario, next)) {
                high = get(&self.best.scenario);
            } else {
                low = next + 1;
            }
            next = low + (high.saturating_sub(low)) / 2;
        }
    }

    /// No more faults than it takes: in large parts first, then one by one.
    fn faults(&mut self) {
        let mut part = self.best.scenario.faults.len();
        while part > 0 {
            let mut end = self.best.scenario.faults.len();
            while end > 0 {
                let start = end.saturating_sub(part);
                self.attempt(|scenario| remove_faults(&mut scenario.faults, start..end));
                end = start.min(self.best.scenario.faults.len());
            }
            part /= 2;
        }
    }

    /// What the seed draws is there or not, whatever the seed.
    fn certain(&mut self) {
        for index in 0..self.best.scenario.faults.len() {
            self.attempt(|scenario| scenario.faults[index].percent = 100);
            self.attempt(|scenario| scenario.faults[index].may_idle = false);
        }
    }

    /// A fault at a time that is named is easier to follow than one that waits for something.
    fn moments(&mut self) {
        for index in 0..self.best.scenario.faults.len() {
            let (Some(&Some(at)), Some(fault)) = (
                self.outcome.faults.get(index),
                self.best.scenario.faults.get(index),
            ) else {
                continue;
            };
            if matches!(fault.trigger, Trigger::At(_)) {
                continue;
            }
            let exact = Time::ZERO + Span::from_ns(at.as_ns());
            let round = Time::ZERO + Span::from_us(at.as_ns() / 1_000 + 1);
            for at in [round, exact] {
                let at = Trigger::At(at);
                if self.attempt(|scenario| scenario.faults[index].trigger = at) {
                    break;
                }
            }
        }
    }

    /// What happens early needs fewer requests before it.
    fn times(&mut self) {
        for index in 0..self.best.scenario.faults.len() {
            let at = |scenario: &Scenario| match scenario.faults[index].trigger {
                Trigger::At(at) => at.since(Time::ZERO).as_ns() / 1_000,
                _ => 0,
            };
            self.least(0, at, |scenario, us| {
                let trigger = &mut scenario.faults[index].trigger;
                if let Trigger::At(at) = trigger {
                    *at = Time::ZERO + Span::from_us(us);
                }
            });
        }
    }

    fn consumers(&mut self) {
        let suites = self.best.scenario.workload.suites.clone();
        let alone = |scenario: &mut Scenario, suite| {
            scenario.workload.suites = vec![suite];
            scenario.workload.consumers = 1;
        };
        let mut found = suites.len() == 1;
        for &suite in &suites {
            found = found || self.attempt(|scenario| alone(scenario, suite));
        }
        for &suite in &suites {
            found = found || self.attempt(|scenario| scenario.workload.suites = vec![suite]);
        }
        for index in (0..self.best.scenario.workload.suites.len()).rev() {
            self.attempt(|scenario| {
                if scenario.workload.suites.len() > 1 {
                    scenario.workload.suites.remove(index);
                }
            });
        }
        self.least(
            1,
            |scenario| scenario.workload.consumers.into(),
            |scenario, value| scenario.workload.consumers = value as u32,
        );
        self.least(
            1,
            |scenario| scenario.workload.depth.into(),
            |scenario, value| scenario.workload.depth = value as u32,
        );
    }

    fn sizes(&mut self) {
        let mut sizes = self.best.scenario.workload.sizes.clone();
        sizes.sort_unstable();
        let is_alone = sizes.len() == 1;
        let small = [(16, 1), (64, 1)];
        let mut found = false;
        for size in small.into_iter().chain(sizes) {
            let lone = vec![(size.0, 1)];
            let current = &self.best.scenario.workload.sizes;
            if found || (is_alone && current[0].0 <= size.0) {
                break;
            }
            found = self.attempt(|scenario| scenario.workload.sizes = lone);
        }
        for index in (0..self.best.scenario.workload.sizes.len()).rev() {
            self.attempt(|scenario| {
                if scenario.workload.sizes.len() > 1 {
                    scenario.workload.sizes.remove(index);
                }
            });
        }
    }

    fn cards(&mut self) {
        for slot in (0..self.best.scenario.cards.len()).rev() {
            self.attempt(|scenario| remove_card(scenario, slot));
        }
        self.attempt(|scenario| {
            // Without a card there would be no driver left.
            scenario.software &= scenario.cards.is_empty();
        });
        for slot in 0..self.best.scenario.cards.len() {
            self.attempt(|scenario| scenario.cards[slot].profile.ring_pairs = 1);
            self.attempt(|scenario| {
                let reference = builtin_profile("reference").expect("built in");
                let pairs = scenario.cards[slot].profile.ring_pairs;
                let card = &mut scenario.cards[slot];
                card.profile = reference;
                card.profile.ring_pairs = pairs;
                card.ignore_errata &= card.profile.errata;
            });
            for erratum in self.best.scenario.cards[slot].profile.errata {
                self.attempt(|scenario| {
                    let card = &mut scenario.cards[slot];
                    card.profile.errata.remove(erratum);
                    card.ignore_errata.remove(erratum);
                });
            }
            self.attempt(|scenario| scenario.cards[slot].name = format!("card{slot}"));
            self.attempt(|scenario| scenario.cards[slot].ring_entries = 256);
            self.attempt(|scenario| scenario.cards[slot].coalesce_count = 8);
            self.attempt(|scenario| scenario.cards[slot].coalesce_timer = Span::from_us(10));
            self.attempt(|scenario| scenario.cards[slot].watchdog = Span::from_us(10_000));
        }
    }

    /// Less that is left to chance.
    fn chance(&mut self) {
        self.attempt(|scenario| scenario.interrupt_jitter = (Span::ZERO, Span::ZERO));
        self.attempt(|scenario| scenario.write_jitter = Span::ZERO);
        self.attempt(|scenario| scenario.memory_jitter = Span::ZERO);
        self.attempt(|scenario| scenario.workload.think = (Span::ZERO, Span::ZERO));
        self.attempt(|scenario| scenario.workload.placement = Placement::Any);
        self.attempt(|scenario| scenario.workload.separate_output_percent = 0);
        self.attempt(|scenario| scenario.workload.chain_percent = 0);
        self.attempt(|scenario| scenario.workload.unpooled_percent = 0);
        self.attempt(|scenario| scenario.workload.tampered_percent = 0);
        for all in [0, 100] {
            if matches!(self.best.scenario.workload.transparent_percent, 0 | 100) {
                break;
            }
            self.attempt(|scenario| scenario.workload.transparent_percent = all);
        }
        self.attempt(|scenario| scenario.drain_within = Span::from_us(100_000));
    }

    /// Latches and rules that count should not count far.
    fn latches(&mut self) {
        for index in 0..self.best.scenario.faults.len() {
            let mut numbers = |number: fn(&mut Rule) -> &mut u64, low| {
                let of = |fault: &mut FaultSpec| match &mut fault.action {
                    Action::Message { rule, .. } => Some(*number(rule)),
                    _ => None,
                };
                self.least(
                    low,
                    |scenario| of(&mut scenario.faults[index].clone()).unwrap_or(low),
                    |scenario, value| {
                        if let Action::Message { rule, .. } = &mut scenario.faults[index].action {
                            *number(rule) = value;
                        }
                    },
                );
            };
            numbers(|rule| &mut rule.count, 1);
            numbers(|rule| &mut rule.skip, 0);
            numbers(|rule| &mut rule.one_in, 1);
            self.attempt(|scenario| {
                if let Action::Message { rule, .. } = &mut scenario.faults[index].action {
                    (rule.first, rule.last) = Rule::ANYWHERE.into_inner();
                }
            });
        }
        for index in 0..self.best.scenario.faults.len() {
            let latch = |scenario: &Scenario| match scenario.faults[index].action {
                Action::Latch { card, latch } => latch.nth().map(|nth| (card, latch, nth)),
                _ => None,
            };
            if latch(&self.best.scenario).is_none() {
                continue;
            }
            self.least(
                0,
                |scenario| latch(scenario).map_or(0, |(_, _, nth)| nth),
                |scenario, nth| {
                    if let Some((card, latch, _)) = latch(scenario) {
                        let latch = device_model::Latch::named(latch.name(), nth);
                        let latch = latch.expect("a latch that has this name");
                        scenario.faults[index].action = Action::Latch { card, latch };
                    }
                },
            );
        }
    }

    /// A small seed, if one of them fails as well.
    fn seed(&mut self) {
        for seed in 0..self.best.seed.min(SMALL_SEED) {
            let case = Case {
                seed,
                ..self.best.clone()
            };
            if self.take(case) {
                break;
            }
        }
    }
}

/// Takes faults out. The one behind them waits for what they waited for, and as long.
fn remove_faults(faults: &mut Vec<FaultSpec>, range: std::ops::Range<usize>) {
    if let Some(next) = faults.get(range.end).cloned() {
        faults[range.end].trigger = inherited(&faults[range.clone()], next.trigger);
    }
    faults.drain(range);
}

/// What `trigger` becomes without the faults `gone` before it.
fn inherited(gone: &[FaultSpec], trigger: Trigger) -> Trigger {
    let mut trigger = trigger;
    for fault in gone.iter().rev() {
        let Trigger::AfterPrevious(wait) = trigger else {
            break;
        };
        trigger = match fault.trigger {
            Trigger::AfterPrevious(before) => Trigger::AfterPrevious(before + wait),
            Trigger::At(at) => Trigger::At(at + wait),
            other => other,
        };
    }
    trigger
}

/// Takes a card and its faults out, if another driver is left.
fn remove_card(scenario: &mut Scenario, slot: usize) {
    if scenario.cards.len() == 1 && (!scenario.software || needs_card(scenario)) {
        return;
    }
    scenario.cards.remove(slot);
    while let Some(index) = scenario
        .faults
        .iter()
        .position(|fault| concerns(fault, slot))
    {
        remove_faults(&mut scenario.faults, index..index + 1);
    }
    let renumber = |card: &mut usize| *card -= usize::from(*card > slot);
    for fault in &mut scenario.faults {
        fault.action.card_mut().map(renumber);
        fault.trigger.card_mut().map(renumber);
    }
}

fn needs_card(scenario: &Scenario) -> bool {
    scenario.workload.placement == Placement::Hardware
}

fn concerns(fault: &FaultSpec, slot: usize) -> bool {
    let mut fault = fault.clone();
    let cards = [fault.action.card_mut(), fault.trigger.card_mut()];
    cards.into_iter().flatten().any(|card| *card == slot)
}

#[cfg(test)]
mod tests;
