//! Looking at a run event by event, forwards and backwards.
//!
//! A position is a number of events. Going back needs no record of the past: the run up to there
//! is made again, and held against the log of the first time, event by event.

pub(crate) mod line;
mod order;
mod page;
#[cfg(test)]
mod tests;

use crate::case::Case;
use crate::event::Record;
use crate::input::{Input, InputError};
use crate::world::{RunOptions, SetupError, state};

pub use order::{Order, OrderError};

/// Events that `list` shows on each side of the position.
const AROUND: u64 = 5;

/// A run, and a position in it.
#[derive(Debug)]
pub struct Debugger {
    case: Case,
    input: Input,
    names: Vec<String>,
    /// All events, up to the first violation if there is one.
    log: Vec<Record>,
    violation: Option<String>,
    /// Events that have happened.
    position: u64,
}

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum DebugError {
    /// It means nothing.
    #[error(transparent)]
    Order(#[from] OrderError),
    /// Nothing like that happens on the way.
    #[error("no such event from here {0}")]
    NoEvent(&'static str),
    /// Nothing was found in this run.
    #[error("this run has no violation")]
    NoViolation,
    /// There is nothing of that name.
    #[error("no `{name}`: there are {known}")]
    NoName {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The run could not begin.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The same case took another course.
    #[error("the run took another course: event {event} was `{was}` and is `{is}` now")]
    Diverged {
        /// Number of the first event that differs.
        event: u64,
        /// What it was.
        was: String,
        /// What it is.
        is: String,
    },
}

impl Debugger {
    /// Runs `case` once, up to the first violation; the position is before its first event.
    ///
    /// # Errors
    /// [`DebugError::Input`] if its data cannot be read, [`DebugError::Setup`] if the run cannot
    /// begin.
    pub fn new(case: Case) -> Result<Self, DebugError> {
        let input = case.data.read()?;
        let outcome = case.run(&input, true)?;
        let violation = outcome.violations.first();
        let violation = violation.map(|it| format!("{}: {}", it.check, it.message));
        let cards = case.scenario.cards.iter();
        Ok(Self {
            names: cards.map(|card| card.name.clone()).collect(),
            input,
            log: outcome.log,
            violation,
            position: 0,
            case,
        })
    }

    /// How many events have happened, of how many.
    #[must_use]
    pub fn position(&self) -> (u64, u64) {
        (self.position, self.log.len() as u64)
    }

    /// Carries `order` out; gives what there is to say.
    ///
    /// # Errors
    /// [`DebugError`] says why it was not; the position is as before.
    pub fn carry_out(&mut self, order: &Order) -> Result<String, DebugError> {
        let end = self.log.len() as u64;
        match order {
            Order::Step(count) => Ok(self.go_to(self.position.saturating_add(*count))),
            Order::Back(count) => Ok(self.go_to(self.position.saturating_sub(*count))),
            Order::Go(event) => Ok(self.go_to(*event)),
            Order::GoToTime(time) => {
                let before = self.log.iter().take_while(|record| record.at < *time);
                let before = before.count() as u64;
                Ok(self.go_to(before))
            }
            Order::GoToViolation => {
                if self.violation.is_none() {
                    return Err(DebugError::NoViolation);
                }
                Ok(self.go_to(end))
            }
            Order::Until(words) => {
                let found = (self.position + 1..=end).find(|&event| self.has(event, words));
                Ok(self.go_to(found.ok_or(DebugError::NoEvent("on"))?))
            }
            Order::BackUntil(words) => {
                let mut events = (1..self.position).rev();
                let found = events.find(|&event| self.has(event, words));
                Ok(self.go_to(found.ok_or(DebugError::NoEvent("back"))?))
            }
            Order::Find(words) => {
                let found = (1..=end).filter(|&event| self.has(event, words));
                Ok(self.lines(found))
            }
            Order::List => {
                let first = self.position.saturating_sub(AROUND - 1).max(1);
                Ok(self.lines(first..=end.min(self.position + AROUND)))
            }
            Order::Where => Ok(self.go_to(self.position)),
            Order::Print(name) => self.print(name),
            Order::Help => Ok(order::HELP.to_owned()),
            Order::Quit => Ok(String::new()),
        }
    }

    fn go_to(&mut self, event: u64) -> String {
        let end = self.log.len() as u64;
        self.position = event.min(end);
        let mut text = match self.position {
            0 => format!("before the first of {end} events\n"),
            at => self.lines(std::iter::once(at)),
        };
        if let Some(violation) = self.violation.as_ref().filter(|_| self.position == end) {
            text += &format!("FOUND by {violation}\n");
        }
        text
    }

    /// The lines of events, marked where the position is.
    fn lines(&self, events: impl IntoIterator<Item = u64>) -> String {
        let lines = events.into_iter().map(|event| {
            let mark = if event == self.position { '>' } else { ' ' };
            format!("{mark}{event:>7} {}\n", self.line(event))
        });
        lines.collect()
    }

    /// What the event with this number, from 1 on, was.
    fn line(&self, event: u64) -> String {
        line::of(&self.names, &self.log[event as usize - 1])
    }

    fn has(&self, event: u64, words: &[String]) -> bool {
        let line = self.line(event);
        let said: Vec<&str> = line.split_whitespace().collect();
        words.iter().all(|word| said.contains(&word.as_str()))
    }

    /// Makes the run again up to here, and prints a part of its state.
    fn print(&self, name: &str) -> Result<String, DebugError> {
        let options = RunOptions::new(self.case.seed, self.input.clone());
        let _shown = self.case.show()?;
        let state = state::at(&self.case.scenario, &options, self.position)?;
        let pairs = self.log.iter().zip(&state.log);
        for (event, (was, is)) in (1..).zip(pairs) {
            if was != is {
                let [was, is] = [was, is].map(|record| line::of(&self.names, record));
                return Err(DebugError::Diverged { event, was, is });
            }
        }
        page::of(&state, name).ok_or_else(|| {
            let slots = self.names.join(", ");
            DebugError::NoName {
                name: name.to_owned(),
                known: format!("framework, consumers and the cards {slots}"),
            }
        })
    }
}
