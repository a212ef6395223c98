//! The fault script: what goes wrong, and when.

use framework::{DriverId, Rebalance};
use timebase::{Span, Time};

use super::{SetupError, World};
use crate::event::Event;
use crate::outcome::{MarkKind, Violation};
use crate::scenario::{Action, FaultSpec, Trigger};

/// A card cannot be put in while the driver of the one before is leaving: try again after this.
const RETRY: Span = Span::from_us(1);

/// The faults of a scenario and how far they are.
#[derive(Debug)]
pub(super) struct Script {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    trigger: Trigger,
    action: Action,
    state: State,
    /// When it was first due; it may have to wait for the machine.
    first_due: Option<Time>,
    happened: Option<Time>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Waiting,
    Due(Time),
    Done,
}

impl Script {
    pub(super) fn new(faults: &[FaultSpec]) -> Self {
        let entry = |fault: &FaultSpec| Entry {
            trigger: fault.trigger,
            action: fault.action,
            state: State::Waiting,
            first_due: None,
            happened: None,
        };
        Self {
            entries: faults.iter().map(entry).collect(),
        }
    }

    /// Whether nothing of the script can happen any more once the workload of `requests` is over.
    pub(super) fn is_over(&self, requests: u64) -> bool {
        let mut follows = false;
        for entry in &self.entries {
            let may_happen = match (entry.state, entry.trigger) {
                (State::Done, _) => false,
                (State::Due(_), _) => true,
                (State::Waiting, Trigger::AfterPrevious(_)) => follows,
                (State::Waiting, Trigger::AfterRequests(count)) => requests >= count,
                (State::Waiting, Trigger::At(_) | Trigger::RingFull { .. }) => false,
            };
            if may_happen {
                return false;
            }
            follows = matches!(entry.state, State::Due(_));
        }
        true
    }

    /// When each fault happened.
    pub(super) fn happened(&self) -> impl Iterator<Item = Option<Time>> + '_ {
        self.entries.iter().map(|entry| entry.happened)
    }

    fn next_due(&self) -> Time {
        let due = |entry: &Entry| match entry.state {
            State::Due(at) => at,
            State::Waiting | State::Done => Time::NEVER,
        };
        self.entries.iter().map(due).min().unwrap_or(Time::NEVER)
    }

    fn arm(&mut self, now: Time, matches: impl Fn(Trigger) -> bool) {
        for entry in &mut self.entries {
            if entry.state == State::Waiting && matches(entry.trigger) {
                entry.state = State::Due(now);
            }
        }
    }
}

impl World<'_> {
    /// Makes the appointments that depend on time alone, counted from `start`.
    pub(super) fn arm_script(&mut self, start: Time) {
        for entry in &mut self.script.entries {
            if let Trigger::At(at) = entry.trigger {
                entry.state = State::Due(start + at.since(Time::ZERO));
            }
        }
        self.schedule
            .set(self.script_actor(), self.script.next_due());
    }

    /// A request called back: some faults wait for a number of them.
    pub(super) fn count_request(&mut self) {
        self.counts.requests += 1;
        let (now, count) = (self.now(), self.counts.requests);
        self.arm(now, |trigger| trigger == Trigger::AfterRequests(count));
    }

    /// A driver handed a request back: some faults wait for a full ring.
    pub(super) fn refused(&mut self, driver: DriverId) {
        self.counts.refusals += 1;
        let Some(card) = self
            .slots
            .iter()
            .position(|slot| slot.driver == Some(driver))
        else {
            return;
        };
        self.slots[card].refusals += 1;
        let (now, nth) = (self.now(), self.slots[card].refusals);
        self.arm(now, |trigger| trigger == Trigger::RingFull { card, nth });
    }

    fn arm(&mut self, now: Time, matches: impl Fn(Trigger) -> bool) {
        self.script.arm(now, matches);
        self.schedule
            .set(self.script_actor(), self.script.next_due());
    }

    pub(super) fn run_script(&mut self) {
        let now = self.now();
        for index in 0..self.script.entries.len() {
            let entry = self.script.entries[index];
            if !matches!(entry.state, State::Due(at) if at <= now) {
                continue;
            }
            let first_due = *self.script.entries[index].first_due.get_or_insert(now);
            let state = match self.perform(index, entry.action) {
                Ok(true) => State::Done,
                Ok(false) if now - first_due <= self.scenario.drain_within => {
                    State::Due(now + RETRY)
                }
                Ok(false) => {
                    self.violation(format!(
                        "{:?} is due since {first_due}, but the driver before never left",
                        entry.action
                    ));
                    State::Done
                }
                Err(error) => {
                    self.report(&error);
                    State::Done
                }
            };
            self.script.entries[index].state = state;
            if state == State::Done {
                self.script.entries[index].happened = Some(now);
                self.recorder.borrow_mut().checkers().liveness.progress(now);
                self.arm_next(index + 1, now);
            }
        }
        self.schedule
            .set(self.script_actor(), self.script.next_due());
    }

    fn arm_next(&mut self, index: usize, now: Time) {
        if let Some(next) = self.script.entries.get_mut(index)
            && let (Trigger::AfterPrevious(span), State::Waiting) = (next.trigger, next.state)
        {
            next.state = State::Due(now + span);
        }
    }

    /// Does it; false if it must be tried again later.
    fn perform(&mut self, fault: usize, action: Action) -> Result<bool, SetupError> {
        let now = self.now();
        match action {
            Action::Unplug { card } => {
                let driver = self.slots[card].driver;
                if self.unplug(card) {
                    self.counts.unplugs += 1;
                    if let Some(driver) = driver {
                        self.mark(MarkKind::Unplug, driver, "card pulled out");
                    }
                }
                Ok(true)
            }
            Action::Plug { card } => {
                if self.plug(card)? {
                    self.counts.plugs += 1;
                    self.record(Event::Plugged { card: card as u16 });
                    if let Some(driver) = self.slots[card].driver {
                        self.mark(MarkKind::Plug, driver, "card put in");
                    }
                    return Ok(true);
                }
                // A slot whose card is in place has nothing to plug; one whose driver is still
                // leaving has to wait for it.
                Ok(self.ports[card].borrow().card().is_some())
            }
            Action::Detach { card } => {
                if let Some(driver) = self.slots[card].driver {
                    self.mark(MarkKind::Fault, driver, "driver asked to detach");
                    // A driver that has just been lost needs no detaching any more.
                    let _ = self.framework.unregister(now, driver);
                }
                Ok(true)
            }
            Action::Message { card, rule } => {
                // A stream of its own: what a rule draws moves nothing else.
                let seed = self.fleet ^ (fault as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                self.ports[card].borrow_mut().rules().arm(fault, rule, seed);
                if let Some(driver) = self.slots[card].driver {
                    let (what, fate) = (rule.message.name(), rule.fate);
                    self.mark(
                        MarkKind::Fault,
                        driver,
                        &format!("{what}: {fate:?} from now on"),
                    );
                }
                Ok(true)
            }
            Action::Latch { card, latch } => {
                if let Some(model) = self.ports[card].borrow_mut().card_mut() {
                    model.latch(latch);
                }
                if let Some(driver) = self.slots[card].driver {
                    self.mark(MarkKind::Fault, driver, &format!("{latch:?}"));
                }
                Ok(true)
            }
            Action::Rebalance => {
                self.framework.rebalance(now, Rebalance::Even);
                Ok(true)
            }
        }
    }

    /// Faults that should have struck a message by now, and did not.
    pub(super) fn idle_rules(&self) -> impl Iterator<Item = String> + '_ {
        let faults = self.scenario.faults.iter().enumerate();
        faults.filter_map(|(index, fault)| {
            let Action::Message { card, rule } = fault.action else {
                return None;
            };
            let struck = self.ports[card].borrow_mut().rules().struck(index);
            (struck.unwrap_or(0) == 0).then(|| {
                let (kind, name) = (rule.message.name(), &self.scenario.cards[card].name);
                let number = index + 1;
                format!("fault {number} of the scenario struck no {kind} of {name}")
            })
        })
    }

    pub(super) fn report(&mut self, error: &dyn std::error::Error) {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        self.violation(message);
    }

    fn violation(&mut self, message: String) {
        let (check, at_ps) = ("world".to_owned(), self.now().as_ps());
        self.other_violations.push(Violation {
            check,
            at_ps,
            message,
        });
    }
}
