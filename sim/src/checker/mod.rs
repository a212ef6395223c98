//! Checkers: one invariant a file, watching from outside.
//!
//! They see the event log, the card's and the pool's memory, and what consumers got. Each counts
//! how often it looked, so that a check that never ran cannot pass for one that held.

mod bounds;
mod data_right;
mod dma_window;
mod exactly_once;
mod key_residue;
mod liveness;
mod nonce;
mod order;
mod registers;
mod ring_owner;

pub use bounds::Bounds;
pub use data_right::DataRight;
pub use dma_window::DmaWindow;
pub use exactly_once::ExactlyOnce;
pub use key_residue::KeyResidue;
pub use liveness::Liveness;
pub use nonce::NonceReuse;
pub use order::SessionOrder;
pub use registers::{RegisterAccess, RegisterLint};
pub use ring_owner::RingOwner;

use regs::RingId;
use timebase::Time;

use crate::event::Record;
use crate::outcome::{CheckSummary, Violation};

/// Violations kept of one check; more are only counted.
const KEPT: usize = 20;

/// What one check saw.
#[derive(Debug)]
pub struct Findings {
    name: &'static str,
    looked: u64,
    violations: u64,
    kept: Vec<Violation>,
}

impl Findings {
    /// No findings yet of the check `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            looked: 0,
            violations: 0,
            kept: Vec::new(),
        }
    }

    /// The check looked once more.
    #[inline]
    pub fn look(&mut self) {
        self.looked += 1;
    }

    /// The check found something wrong.
    pub fn violation(&mut self, at: Time, message: impl FnOnce() -> String) {
        self.violations += 1;
        if self.kept.len() < KEPT {
            let check = self.name.to_owned();
            self.kept.push(Violation {
                check,
                at_ps: at.as_ps(),
                message: message(),
            });
        }
    }

    /// Violations found so far.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.violations
    }

    /// Takes the violations kept.
    #[must_use]
    pub fn take(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.kept)
    }

    /// Messages of the violations kept.
    #[must_use]
    pub fn messages(&self) -> Vec<&str> {
        self.kept
            .iter()
            .map(|violation| violation.message.as_str())
            .collect()
    }
}

/// All checkers of a run.
#[derive(Debug, Default)]
pub struct Checkers {
    /// Every request calls back exactly once.
    pub exactly_once: ExactlyOnce,
    /// What comes back is right.
    pub data_right: DataRight,
    /// Sessions keep their order.
    pub order: SessionOrder,
    /// No DMA outside a window.
    pub dma_window: DmaWindow,
    /// No key bytes are left behind.
    pub key_residue: KeyResidue,
    /// Everything drains.
    pub liveness: Liveness,
    /// Ring slots are touched by their owner.
    pub ring_owner: RingOwner,
    /// Registers are used as the datasheet has them.
    pub registers: RegisterLint,
    /// No nonce repeats under a key.
    pub nonce: NonceReuse,
    /// Queues and memory stay within their bounds.
    pub bounds: Bounds,
}

impl Checkers {
    /// Shows an event to every checker that watches events.
    #[inline]
    pub fn observe(&mut self, record: &Record) {
        self.exactly_once.observe(record);
        self.order.observe(record);
        self.dma_window.observe(record);
        self.ring_owner.observe(record);
        self.registers.observe(record);
    }

    /// A card was put into a slot: its driver begins anew.
    pub fn plugged(&mut self, card: u16) {
        self.ring_owner.forget(card);
        self.registers.forget(card);
    }

    /// Shows a register access of the driver of the card in a slot to every checker that watches
    /// them. `side` is what it meets there: the last ring of its card, and whether the card
    /// answers, which it does unless it sleeps or has its memory space off; `None` if its card is
    /// gone.
    pub fn accessed(
        &mut self,
        at: Time,
        card: u16,
        access: RegisterAccess,
        side: Option<(RingId, bool)>,
    ) {
        if let Some((last_ring, _)) = side {
            self.ring_owner.accessed(at, card, access, last_ring);
        }
        self.registers.accessed(at, card, access, side);
    }

    /// Whether any check found something.
    #[must_use]
    pub fn have_found(&self) -> bool {
        self.all().iter().any(|findings| findings.violations > 0)
    }

    /// Violations that any check found so far.
    #[must_use]
    pub fn violations(&self) -> u64 {
        self.all().iter().map(|findings| findings.violations).sum()
    }

    fn all(&self) -> [&Findings; 10] {
        [
            &self.exactly_once.findings,
            &self.data_right.findings,
            &self.order.findings,
            &self.dma_window.findings,
            &self.key_residue.findings,
            &self.liveness.findings,
            &self.ring_owner.findings,
            &self.registers.findings,
            &self.nonce.findings,
            &self.bounds.findings,
        ]
    }

    /// Each check's part of the summary, and all violations kept.
    #[must_use]
    pub fn results(&self) -> (Vec<CheckSummary>, Vec<Violation>) {
        let all = self.all();
        let summaries = all.map(|findings| CheckSummary {
            name: findings.name.to_owned(),
            looked: findings.looked,
            violations: findings.violations,
        });
        let violations = all
            .iter()
            .flat_map(|findings| findings.kept.iter().cloned())
            .collect();
        (summaries.into(), violations)
    }
}
