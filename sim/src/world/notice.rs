//! Which fault a sign goes to: the one that struck last, at the card that the sign is about.

use super::World;
use crate::coverage::{self, Coverage};
use crate::outcome::FaultSummary;
use crate::scenario::Action;
use crate::sign::{self, Sign};
use crate::summary::faults::story;

/// What was noticed of the faults of a run.
#[derive(Debug)]
pub(super) struct Ledger {
    /// Signs of each fault, and the first of them.
    rows: Vec<(u64, Option<Sign>)>,
    /// The fault that struck each slot last.
    last: Vec<Option<usize>>,
    /// The fault that struck last.
    latest: Option<usize>,
    /// What the driver of each slot had counted.
    counted: Vec<[u64; 4]>,
    /// What checks had found.
    found: u64,
    /// The run ends, and drivers go in good order.
    is_closing: bool,
}

impl Ledger {
    pub(super) fn new(faults: usize, slots: usize) -> Self {
        Self {
            rows: vec![(0, None); faults],
            last: vec![None; slots],
            latest: None,
            counted: vec![[0; 4]; slots],
            found: 0,
            is_closing: false,
        }
    }

    /// From now on drivers go because the run ends, which is no sign of anything.
    pub(super) const fn close(&mut self) {
        self.is_closing = true;
    }

    fn credit(&mut self, slot: Option<u16>, sign: Sign) {
        let fault = match slot {
            Some(slot) => self.last.get(usize::from(slot)).copied().flatten(),
            None => self.latest,
        };
        if let Some(fault) = fault {
            let (signs, first) = &mut self.rows[fault];
            *signs += 1;
            first.get_or_insert(sign);
        }
    }
}

impl World<'_> {
    /// A fault of the script happens. One on messages strikes later, if at all.
    pub(super) fn strikes(&mut self, fault: usize, mut action: Action) {
        if matches!(action, Action::Message { .. }) {
            return;
        }
        match action.card_mut().copied() {
            Some(slot) => self.struck(fault, slot),
            None => (0..self.slots.len()).for_each(|slot| self.struck(fault, slot)),
        }
    }

    fn struck(&mut self, fault: usize, slot: usize) {
        if self.ledger.last[slot].is_none() {
            // What was counted before is no sign of this.
            self.ledger.counted[slot] = self.counted(slot);
        }
        if let Some(coverage) = self.recorder.borrow_mut().coverage() {
            coverage.struck(fault, slot);
        }
        self.ledger.last[slot] = Some(fault);
        self.ledger.latest = Some(fault);
    }

    fn counted(&self, slot: usize) -> [u64; 4] {
        let stats = self.slots[slot].stats();
        stats.map_or([0; 4], |stats| {
            sign::counted(&stats).map(|(_, count)| count)
        })
    }

    /// Looks what the last step of the world struck, and who noticed. What both happened in one
    /// step is taken for cause and effect.
    pub(super) fn notice(&mut self) {
        for slot in 0..self.slots.len() {
            let latest = self.ports[slot].borrow_mut().rules().take_latest();
            if let Some(fault) = latest {
                self.struck(fault, slot);
            }
        }
        let (signs, found) = {
            let mut recorder = self.recorder.borrow_mut();
            (recorder.take_signs(), recorder.checkers().violations())
        };
        for (slot, sign) in signs {
            if sign != Sign::Left || !self.ledger.is_closing {
                self.ledger.credit(slot, sign);
            }
        }
        for slot in 0..self.slots.len() {
            if self.ledger.last[slot].is_some() {
                self.compare_counters(slot);
            }
        }
        let found = found + self.other_violations.len() as u64;
        for _ in self.ledger.found..found {
            self.ledger.credit(None, Sign::Checked);
        }
        self.ledger.found = found;
    }

    fn compare_counters(&mut self, slot: usize) {
        let Some(stats) = self.slots[slot].stats() else {
            self.ledger.counted[slot] = [0; 4];
            return;
        };
        let counted = sign::counted(&stats);
        for (at, (sign, now)) in counted.into_iter().enumerate() {
            // A driver that is new has counted nothing yet.
            let before = std::mem::replace(&mut self.ledger.counted[slot][at], now);
            for _ in before..now {
                self.ledger.credit(Some(slot as u16), sign);
            }
        }
    }

    /// In which states faults struck, if that was followed.
    pub(super) fn coverage(&self) -> Option<Coverage> {
        let faults = self.scenario.faults.iter();
        let kinds: Vec<String> = faults.map(|fault| coverage::kind(&fault.action)).collect();
        let mut recorder = self.recorder.borrow_mut();
        recorder.coverage().map(|watch| watch.coverage(&kinds))
    }

    /// The faults of the scenario: in the run, happened, noticed.
    pub(super) fn fault_summaries(&self) -> Vec<FaultSummary> {
        let faults = self.scenario.faults.iter().zip(self.script.course());
        let rows = faults.zip(&self.ledger.rows).enumerate();
        rows.map(|(index, ((fault, (is_armed, has_happened)), row))| {
            let fired = match fault.action {
                Action::Message { card, .. } => {
                    let struck = self.ports[card].borrow_mut().rules().struck(index);
                    struck.unwrap_or(0)
                }
                _ => u64::from(has_happened),
            };
            FaultSummary {
                fault: story(self.scenario, fault),
                armed: u64::from(is_armed),
                fired,
                observed: row.0,
                first_sign: row.1.map(|sign| sign.name().to_owned()),
            }
        })
        .collect()
    }
}
