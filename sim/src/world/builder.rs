//! A test in a few lines: a scenario put together in Rust, and its runs.
//!
//! Owns no rule of its own. What is put together is the table that a scenario file would be, and
//! the reader of such files has the last word on it: defaults, bounds and complaints are the same,
//! and whatever runs here can be written down as a file.

mod faults;

use std::fmt::{self, Write as _};
use std::ops::{Bound, Range, RangeBounds};

use timebase::{Span, Time};
use toml::{Table, Value};

pub use self::faults::{
    Messages, What, When, after_requests, at, detach, interrupts, latch, later, message, on_event,
    on_message, plug, rebalance, reset, ring_full, sleep, stray_write, unplug, wake,
};
use super::{SetupError, World};
use crate::case::{Case, Data, Replay};
use crate::input::InputError;
use crate::outcome::{Outcome, Violation};
use crate::scenario::{Count, Placement, Scenario, ScenarioError};

/// Bytes of noise that consumers process unless told otherwise, as in a sweep.
const NOISE: u32 = 65_536;
/// Violations of one seed that a message names.
const NAMED: usize = 5;
/// What a scenario has that was told nothing else.
const BLANK: &str = "name = \"built\"\nsoftware = false\n\
                     [workload]\nsizes = [{ bytes = 1024 }]\nsuites = [\"aes-128-gcm\"]\n";
/// What complaints call the text that a builder hands to the reader of scenarios.
const ORIGIN: &str = "the scenario that was built";

impl World<'_> {
    /// Begins a scenario: no card, no software driver, eight consumers of AES-128-GCM on pieces of
    /// 1 KiB, one seed.
    ///
    /// ```
    /// use sim::World;
    /// use sim::scenario::Count;
    /// use sim::world::builder::{BuildError, after_requests, card, later, plug, unplug};
    /// use timebase::Span;
    ///
    /// fn main() -> Result<(), BuildError> {
    ///     let runs = World::builder()
    ///         .card(card("reference").ring_entries(8))
    ///         .card("slow")
    ///         .suites(["aes-256-gcm", "sha256"])
    ///         .sizes([64, 4_096])
    ///         .pieces(100)
    ///         .fault(after_requests(30), unplug("card0"))
    ///         .fault(later(Span::from_us(50)), plug("card0"))
    ///         .expect(Count::Migrations, 1..)
    ///         .seeds(0..10)
    ///         .run()?;
    ///     runs.assert_passed();
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn builder() -> Builder {
        Builder {
            table: BLANK.parse().expect("the blank scenario is TOML"),
            unread: None,
            seeds: 0..1,
            data: Data::Noise(NOISE),
        }
    }
}

/// A scenario that is being put together, and how to run it.
#[derive(Clone, Debug)]
pub struct Builder {
    table: Table,
    /// A text that is no TOML; the reader shall say where it goes wrong.
    unread: Option<String>,
    seeds: Range<u64>,
    data: Data,
}

/// A card and its slot, as a table of a scenario.
#[derive(Clone, Debug)]
pub struct CardTable(Table);

/// A card of this profile: the name of a built-in one, or the path of a file.
#[must_use]
pub fn card(profile: &str) -> CardTable {
    CardTable(Table::from_iter([("profile".to_owned(), profile.into())]))
}

impl From<&str> for CardTable {
    fn from(profile: &str) -> Self {
        card(profile)
    }
}

impl CardTable {
    /// Calls the slot `name`, which is `card` and its number otherwise.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        self.with("name", name)
    }

    /// Gives each ring this many entries, of which one stays empty.
    #[must_use]
    pub fn ring_entries(self, entries: u32) -> Self {
        self.with("ring_entries", i64::from(entries))
    }

    /// Gives the card this many pairs of data rings.
    #[must_use]
    pub fn ring_pairs(self, pairs: u16) -> Self {
        self.with("ring_pairs", i64::from(pairs))
    }

    /// Interrupts after this many completions, or this long after the first, in whole
    /// microseconds.
    #[must_use]
    pub fn coalescing(self, count: u32, timer: Span) -> Self {
        let card = self.with("coalesce_count", i64::from(count));
        card.with("coalesce_timer_us", micros(timer))
    }

    /// Has the driver call the card stuck after this long without progress, in whole microseconds.
    #[must_use]
    pub fn watchdog(self, patience: Span) -> Self {
        self.with("watchdog_us", micros(patience))
    }

    /// Leaves the slot empty until a fault plugs the card in.
    #[must_use]
    pub fn absent(self) -> Self {
        self.with("present", false)
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }
}

impl Builder {
    /// Calls the scenario `name`.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.with("name", name)
    }

    /// Puts a card into the next slot: what [`card`] makes, or the name of a profile.
    #[must_use]
    pub fn card(self, card: impl Into<CardTable>) -> Self {
        self.append("card", card.into().0)
    }

    /// Registers the software driver too.
    #[must_use]
    pub fn software(self) -> Self {
        self.with("software", true)
    }

    /// Delays each interrupt by something in between, in whole nanoseconds.
    #[must_use]
    pub fn interrupt_jitter(self, low: Span, high: Span) -> Self {
        let range = [low, high].map(|span| integer(span.as_ns()));
        self.with("interrupt_jitter_ns", Value::from(range.to_vec()))
    }

    /// Delays each register write by up to this, in whole nanoseconds, and keeps their order.
    #[must_use]
    pub fn write_jitter(self, most: Span) -> Self {
        self.with("write_jitter_ns", integer(most.as_ns()))
    }

    /// Delays each write of a card to memory by up to this, in whole nanoseconds, and keeps their
    /// order and that of interrupts behind them.
    #[must_use]
    pub fn memory_jitter(self, most: Span) -> Self {
        self.with("memory_jitter_ns", integer(most.as_ns()))
    }

    /// Calls the run stuck when nothing moves for this long, in whole microseconds.
    #[must_use]
    pub fn drain_within(self, bound: Span) -> Self {
        self.with("drain_within_us", micros(bound))
    }

    /// Has so many consumers, each with one session.
    #[must_use]
    pub fn consumers(self, count: u32) -> Self {
        self.workload("consumers", i64::from(count))
    }

    /// Keeps so many requests of a consumer going at once.
    #[must_use]
    pub fn depth(self, requests: u32) -> Self {
        self.workload("depth", i64::from(requests))
    }

    /// Processes so many pieces of data in all.
    #[must_use]
    pub fn pieces(self, count: u64) -> Self {
        self.workload("pieces", integer(count))
    }

    /// Cuts pieces of these sizes, in bytes, each as often as the others.
    #[must_use]
    pub fn sizes(self, sizes: impl IntoIterator<Item = u32>) -> Self {
        let size = |bytes: u32| Value::from(table([("bytes", i64::from(bytes).into())]));
        let sizes: Vec<Value> = sizes.into_iter().map(size).collect();
        self.workload("sizes", sizes)
    }

    /// Deals these suites to the consumers in turn.
    #[must_use]
    pub fn suites<'a>(self, names: impl IntoIterator<Item = &'a str>) -> Self {
        let names: Vec<Value> = names.into_iter().map(Value::from).collect();
        self.workload("suites", names)
    }

    /// Lets this percentage of sessions move without their consumers' noticing.
    #[must_use]
    pub fn transparent_percent(self, percent: u8) -> Self {
        self.workload("transparent_percent", i64::from(percent))
    }

    /// Allows sessions on these drivers only.
    #[must_use]
    pub fn placement(self, placement: Placement) -> Self {
        self.workload("placement", placement.name())
    }

    /// Lets something go wrong, after what was listed before it.
    #[must_use]
    pub fn fault(self, when: impl Into<When>, what: impl Into<What>) -> Self {
        let (When(trigger, moment), What(action, subject)) = (when.into(), what.into());
        self.append("fault", table([(trigger, moment), (action, subject)]))
    }

    /// Lets the last fault that was listed be in this percentage of runs; the seed decides.
    #[must_use]
    pub fn in_percent(self, percent: u8) -> Self {
        self.of_last_fault("percent", i64::from(percent))
    }

    /// Lets a run pass in which the last fault that was listed does not happen.
    #[must_use]
    pub fn may_idle(self) -> Self {
        self.of_last_fault("may_idle", true)
    }

    /// Fails a run whose count is outside `bounds`.
    #[must_use]
    pub fn expect(self, count: Count, bounds: impl RangeBounds<u64>) -> Self {
        let mut entries = Table::new();
        let low = match bounds.start_bound() {
            Bound::Included(&low) => low,
            Bound::Excluded(&low) => low.saturating_add(1),
            Bound::Unbounded => 0,
        };
        entries.insert("at_least".to_owned(), integer(low));
        let high = match bounds.end_bound() {
            Bound::Included(&high) => Some(high),
            Bound::Excluded(&high) => Some(high.saturating_sub(1)),
            Bound::Unbounded => None,
        };
        if let Some(high) = high {
            entries.insert("at_most".to_owned(), integer(high));
        }
        self.merge("expect", table([(count.name(), entries.into())]))
    }

    /// Adds what a scenario file says: its cards and faults come after those that are there, its
    /// other keys count from now on. For what has no method here.
    #[must_use]
    pub fn toml(mut self, text: &str) -> Self {
        let Ok(read) = text.parse::<Table>() else {
            self.unread.get_or_insert_with(|| text.to_owned());
            return self;
        };
        read.into_iter()
            .fold(self, |all, (key, value)| match value {
                Value::Array(items) => all.extend(&key, items),
                Value::Table(entries) => all.merge(&key, entries),
                other => all.with(&key, other),
            })
    }

    /// Runs with one seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seeds = seed..seed.saturating_add(1);
        self
    }

    /// Runs with each of these seeds.
    #[must_use]
    pub fn seeds(self, seeds: Range<u64>) -> Self {
        Self { seeds, ..self }
    }

    /// Has consumers process this, and not 64 KiB of noise.
    #[must_use]
    pub fn data(self, data: Data) -> Self {
        Self { data, ..self }
    }

    /// The scenario so far, as plain data. [`Scenario::to_toml`] writes it down.
    ///
    /// # Errors
    /// [`ScenarioError`], with the text that the reader of scenarios stumbled over.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let text = self.table.to_string();
        Scenario::from_toml(self.unread.as_ref().unwrap_or(&text), ORIGIN)
    }

    /// Runs the scenario with every seed, each up to its first violation.
    ///
    /// # Errors
    /// [`BuildError`] if a run cannot begin.
    pub fn run(&self) -> Result<Runs, BuildError> {
        let case = Case {
            exhibit: None,
            scenario: self.scenario()?,
            seed: self.seeds.start,
            data: self.data.clone(),
        };
        let input = case.data.read()?;
        let of_seed = |seed| Case {
            seed,
            ..case.clone()
        };
        let outcomes = self
            .seeds
            .clone()
            .map(|seed| of_seed(seed).run(&input, false));
        Ok(Runs {
            outcomes: outcomes.collect::<Result<_, _>>()?,
            case,
        })
    }

    fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.table.insert(key.to_owned(), value.into());
        self
    }

    fn workload(self, key: &str, value: impl Into<Value>) -> Self {
        self.merge("workload", table([(key, value.into())]))
    }

    /// Without a fault there is nothing to say of it.
    fn of_last_fault(mut self, key: &str, value: impl Into<Value>) -> Self {
        let faults = self.table.get_mut("fault").and_then(Value::as_array_mut);
        let last = faults.and_then(|faults| faults.last_mut());
        if let Some(fault) = last.and_then(Value::as_table_mut) {
            fault.insert(key.to_owned(), value.into());
        }
        self
    }

    fn append(self, key: &str, entries: Table) -> Self {
        self.extend(key, vec![entries.into()])
    }

    fn extend(mut self, key: &str, mut items: Vec<Value>) -> Self {
        let is_list = matches!(key, "card" | "fault");
        match self.table.get_mut(key) {
            Some(Value::Array(all)) if is_list => all.append(&mut items),
            _ => return self.with(key, items),
        }
        self
    }

    fn merge(mut self, key: &str, entries: Table) -> Self {
        match self.table.get_mut(key) {
            Some(Value::Table(all)) => all.extend(entries),
            _ => return self.with(key, entries),
        }
        self
    }
}

/// Why what was built does not run.
#[derive(thiserror::Error)]
pub enum BuildError {
    /// It is no scenario.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The data for the consumers cannot be read.
    #[error("the data for the consumers")]
    Data(#[from] InputError),
    /// A run could not begin.
    #[error("the run could not begin")]
    SetUp(#[from] SetupError),
}

/// As it is displayed, with its causes: a test that fails shows its error this way.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// One run for each seed.
#[derive(Debug)]
pub struct Runs {
    /// The first of them; the others differ in their seed.
    case: Case,
    outcomes: Vec<Outcome>,
}

impl Runs {
    /// What each run left behind, in order of seed.
    #[must_use]
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// The runs in which something was found.
    pub fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| !outcome.passed())
    }

    /// The first run that failed, for a file that `ringside replay`, `explain` and `shrink` read;
    /// `None` if all passed.
    #[must_use]
    pub fn replay(&self) -> Option<Replay> {
        let outcome = self.failed().next()?;
        let case = Case {
            seed: outcome.summary.seed,
            ..self.case.clone()
        };
        Replay::new(case, outcome)
    }

    /// Nothing was found in any run.
    ///
    /// # Panics
    /// If something was, with the violations of the first run that failed and the file that replays
    /// it.
    #[track_caller]
    pub fn assert_passed(&self) {
        let (Some(first), Some(replay)) = (self.failed().next(), self.replay()) else {
            return;
        };
        let mut text = format!(
            "{} of {} seeds failed, the first is {}\n",
            self.failed().count(),
            self.outcomes.len(),
            first.summary.seed,
        );
        text += &listed(&first.violations);
        text += "what follows, as a FILE, is that run: `ringside replay FILE` runs it again,\n\
                 `ringside explain FILE` tells its story, `ringside shrink FILE` reduces it\n\n";
        panic!("{text}{}", replay.to_toml());
    }
}

/// The first of `violations`, one a line.
pub(crate) fn listed(violations: &[Violation]) -> String {
    let mut text = String::new();
    for violation in violations.iter().take(NAMED) {
        let at = Time::from_ps(violation.at_ps);
        let Violation { check, message, .. } = violation;
        writeln!(text, "  {at} {check}: {message}").expect("a string takes every line");
    }
    let more = violations.len().saturating_sub(NAMED);
    if more > 0 {
        writeln!(text, "  and {more} more").expect("a string takes every line");
    }
    text
}

fn table<'a>(entries: impl IntoIterator<Item = (&'a str, Value)>) -> Table {
    let owned = |(key, value): (&str, Value)| (key.to_owned(), value);
    entries.into_iter().map(owned).collect()
}

/// `number` as TOML has it. Whatever is above its largest is beyond every bound of a scenario.
fn integer(number: u64) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn micros(span: Span) -> i64 {
    i64::try_from(span.as_ns() / 1_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
