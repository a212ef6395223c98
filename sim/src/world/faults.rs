//! The fault script: what goes wrong, and when.

use framework::{DriverId, Rebalance};
use rand::SeedableRng as _;
use rand_xoshiro::Xoshiro256PlusPlus;
use timebase::{Span, Time};

use super::{SetupError, World};
use crate::event::Event;
use crate::outcome::{Mark, MarkKind, Violation};
use crate::scenario::{Action, FaultSpec, Trigger};
use crate::workload::percent;

/// A card cannot be put in while the driver of the one before is leaving: try again after this.
const RETRY: Span = Span::from_us(1);

/// Sets the stream that draws the faults of a run apart from all others.
const MIX: u64 = 0x6A09_E667_F3BC_C908;

/// The seed of what `fault` draws: a stream of its own moves nothing else.
const fn stream(fleet: u64, fault: usize) -> u64 {
    fleet ^ (fault as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// Which of `faults` a run has; one that follows another goes with it. Drawn from a stream of its
/// own, so that nothing else of the run depends on how many there are.
pub(crate) fn present(faults: &[FaultSpec], seed: u64) -> impl Iterator<Item = bool> {
    let mut chance = Xoshiro256PlusPlus::seed_from_u64(seed ^ MIX);
    let mut is_in = true;
    faults.iter().map(move |fault| {
        let drawn = percent(&mut chance, fault.percent);
        let follows = matches!(fault.trigger, Trigger::AfterPrevious(_));
        is_in = drawn && (is_in || !follows);
        is_in
    })
}

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
    may_idle: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    /// The seed left it out of the run.
    Absent,
    Waiting,
    Due(Time),
    Done,
}

impl Script {
    /// The faults of a run.
    pub(super) fn new(faults: &[FaultSpec], seed: u64) -> Self {
        let entry = |(fault, is_in): (&FaultSpec, bool)| Entry {
            trigger: fault.trigger,
            action: fault.action,
            state: if is_in { State::Waiting } else { State::Absent },
            first_due: None,
            happened: None,
            may_idle: fault.may_idle,
        };
        let entries = faults.iter().zip(present(faults, seed)).map(entry);
        Self {
            entries: entries.collect(),
        }
    }

    /// Whether nothing of the script can happen any more once the workload of `requests` is over.
    pub(super) fn is_over(&self, requests: u64) -> bool {
        let mut follows = false;
        for entry in &self.entries {
            let may_happen = match (entry.state, entry.trigger) {
                (State::Done | State::Absent, _) => false,
                (State::Due(_), _) => true,
                (State::Waiting, Trigger::AfterPrevious(_)) => follows,
                (State::Waiting, Trigger::AfterRequests(count)) => requests >= count,
                // Whether these ever come is not for the script to say.
                (State::Waiting, _) => false,
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

    /// Of each fault, whether the seed left it in the run, and whether it happened.
    pub(super) fn course(&self) -> impl Iterator<Item = (bool, bool)> + '_ {
        let of = |entry: &Entry| (entry.state != State::Absent, entry.happened.is_some());
        self.entries.iter().map(of)
    }

    fn next_due(&self) -> Time {
        let due = |entry: &Entry| match entry.state {
            State::Due(at) => at,
            State::Waiting | State::Done | State::Absent => Time::NEVER,
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
        for (fault, entry) in self.script.entries.iter_mut().enumerate() {
            if entry.state != State::Waiting {
                continue;
            }
            match entry.trigger {
                Trigger::At(at) => entry.state = State::Due(start + at.since(Time::ZERO)),
                Trigger::Message { card, rule } => {
                    let seed = stream(self.fleet, fault);
                    self.ports[card].borrow_mut().rules().arm(fault, rule, seed);
                }
                Trigger::Event {
                    card,
                    moment,
                    ring,
                    nth,
                } => {
                    let mut recorder = self.recorder.borrow_mut();
                    recorder.wait(fault, card as u16, (moment, ring), nth);
                }
                _ => {}
            }
        }
        self.schedule
            .set(self.script_actor(), self.script.next_due());
    }

    /// What some faults wait for has come.
    #[cold]
    pub(super) fn told(&mut self, faults: &[usize]) {
        let now = self.now();
        for &fault in faults {
            let entry = &mut self.script.entries[fault];
            if entry.state == State::Waiting {
                entry.state = State::Due(now);
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
            let is_first = entry.first_due.is_none();
            let first_due = *self.script.entries[index].first_due.get_or_insert(now);
            if is_first {
                self.strikes(index, entry.action);
            }
            let state = match self.perform(index, entry.action, is_first) {
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
    fn perform(
        &mut self,
        fault: usize,
        action: Action,
        is_first: bool,
    ) -> Result<bool, SetupError> {
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
            Action::Rebalance => {
                self.framework.rebalance(now, Rebalance::Even);
                self.marks.push(Mark {
                    at: now,
                    kind: MarkKind::Fault,
                    driver: String::new(),
                    text: "the sessions are spread over the drivers again".to_owned(),
                });
                Ok(true)
            }
            other => Ok(self.disturb(fault, other, is_first)),
        }
    }

    /// Disturbs a card or its link; false if it must be looked at again later.
    fn disturb(&mut self, fault: usize, action: Action, is_first: bool) -> bool {
        match action {
            Action::Message { card, rule } => {
                let seed = stream(self.fleet, fault);
                self.ports[card].borrow_mut().rules().arm(fault, rule, seed);
                let (what, fate) = (rule.message.name(), rule.fate);
                self.note(card, &format!("{what}: {fate:?} from now on"));
                true
            }
            Action::Latch { card, latch } => {
                if let Some(model) = self.ports[card].borrow_mut().card_mut() {
                    model.latch(latch);
                }
                self.note(card, &format!("{latch:?}"));
                true
            }
            Action::Reset { card } => {
                if is_first {
                    self.note(card, "link reset by the bus");
                    self.ports[card].borrow_mut().hot_reset();
                }
                self.ports[card].borrow_mut().restore()
            }
            Action::Sleep { card } => {
                self.note(card, "card sent to D3hot");
                self.ports[card].borrow_mut().sleep();
                true
            }
            Action::Wake { card } => {
                if is_first {
                    self.note(card, "card brought back to D0");
                    self.ports[card].borrow_mut().wake();
                }
                self.ports[card].borrow_mut().restore()
            }
            Action::Interrupt {
                card,
                vector,
                count,
                every,
            } => {
                self.note(
                    card,
                    &format!("{count} interrupts {} from nowhere", vector.0),
                );
                let mut port = self.ports[card].borrow_mut();
                port.stray_interrupts(vector, count, every);
                true
            }
            Action::Write {
                card,
                offset,
                value,
            } => {
                self.note(card, &format!("write to {offset:#x} from nowhere"));
                self.ports[card].borrow_mut().stray_write(offset, value);
                true
            }
            Action::Unplug { .. }
            | Action::Plug { .. }
            | Action::Detach { .. }
            | Action::Rebalance => true,
        }
    }

    /// Marks what happens to the card in a slot, if a driver serves it.
    fn note(&mut self, card: usize, text: &str) {
        if let Some(driver) = self.slots[card].driver {
            self.mark(MarkKind::Fault, driver, text);
        }
    }

    /// Faults that should have happened by now, or struck a message, and did not.
    pub(super) fn idle_faults(&self) -> impl Iterator<Item = String> + '_ {
        let entries = self.script.entries.iter().enumerate();
        entries.filter_map(|(index, entry)| {
            let number = index + 1;
            if entry.may_idle || entry.state == State::Absent {
                return None;
            }
            if entry.happened.is_none() {
                return Some(format!("fault {number} of the scenario never happened"));
            }
            let Action::Message { card, rule } = entry.action else {
                return None;
            };
            let struck = self.ports[card].borrow_mut().rules().struck(index);
            (struck.unwrap_or(0) == 0).then(|| {
                let (kind, name) = (rule.message.name(), &self.scenario.cards[card].name);
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
